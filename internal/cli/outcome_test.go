package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/model"
)

// A gateway tells ten thousand changes one by one; a person is told how many there were.
func TestChangesThatAreOnlyCountedCount(t *testing.T) {
	many := make([]model.Change, 300)
	for i := range many {
		many[i] = model.Change{Kind: "users", Name: fmt.Sprintf("user-%d", i), Action: "create"}
	}
	more := func(kind, action string, n int) model.Change {
		return model.Change{Kind: kind, Name: "*", Action: action, After: map[string]int{"more": n}}
	}
	for name, c := range map[string]struct {
		changes []model.Change
		lines   int
		says    []string
	}{
		"all are told":              {many[:200], 201, []string{"200 changes made; revision 7."}},
		"more than a person reads":  {many, 202, []string{"… and 100 more (--output json shows 300)", "300 changes made"}},
		"more than a gateway tells": {append(many[:300:300], more("users", "create", 99_700), more("users", "delete", 5)), 202, []string{"… and 99805 more (--output json shows 300)", "100005 changes made"}},
		"few, and some are counted": {append(many[:2:2], more("groups", "update", 3)), 4, []string{"… and 3 more (--output json shows 2)", "5 changes made"}},
		"an object of that name":    {[]model.Change{{Kind: "roles", Name: "*", Action: "delete"}}, 2, []string{"- roles/*", "1 change made"}},
		"none":                      {nil, 1, []string{"Nothing to change."}},
	} {
		var out bytes.Buffer
		r := &run{terminal: &terminal{out: &out}, flags: &globals{}}
		raw, err := json.Marshal(map[string]any{"revision": 7, "changes": c.changes})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.printOutcome(raw, false); err != nil || strings.Count(out.String(), "\n") != c.lines {
			t.Errorf("%s: %v, %d lines:\n%.500s", name, err, strings.Count(out.String(), "\n"), out.String())
		}
		for _, s := range c.says {
			if !strings.Contains(out.String(), s) {
				t.Errorf("%s: no %q in\n%s", name, s, out.String()[max(0, out.Len()-200):])
			}
		}
	}
}
