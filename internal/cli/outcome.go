package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/sallyport/sallyport/internal/model"
)

// outcome is what a change did, or would do.
type outcome struct {
	Revision int64          `json:"revision"`
	Changes  []model.Change `json:"changes"`
	Impact   struct {
		Users  int64    `json:"users"`
		Routes []string `json:"routes"`
	} `json:"impact"`
	Warnings []string `json:"warnings"`
}

// maxShown bounds the changes that a person is shown one by one.
const maxShown = 200

// printOutcome writes an outcome: for people as a list of changes, + made,
// ~ changed field by field, - deleted.
func (r *run) printOutcome(raw json.RawMessage, dryRun bool) error {
	if r.format() != formatTable {
		return r.print(raw)
	}
	var o outcome
	if err := json.Unmarshal(raw, &o); err != nil {
		return err
	}
	all, told := 0, 0
	for _, c := range o.Changes {
		n, one := weight(c)
		if all += n; one {
			told++
		}
		if one && told <= maxShown {
			r.printChange(c)
		}
	}
	if shown := min(told, maxShown); all > shown {
		fmt.Fprintf(r.out, "… and %d more (--output json shows %d)\n", all-shown, told)
	}
	for _, w := range o.Warnings {
		fmt.Fprintln(r.err, "Warning:", printable(w))
	}
	switch {
	case len(o.Changes) == 0:
		fmt.Fprintln(r.out, "Nothing to change.")
	case dryRun:
		fmt.Fprintf(r.out, "%s would be made; the rights of %s may change.\n", count(all, "change"), count(int(o.Impact.Users), "user"))
	default:
		fmt.Fprintf(r.out, "%s made; revision %d.\n", count(all, "change"), o.Revision)
	}
	return nil
}

// weight is how many changes c stands for. Of very many, the gateway tells ten thousand
// one by one, and then how many more there are of each kind.
func weight(c model.Change) (n int, one bool) {
	if after, ok := c.After.(map[string]any); ok && c.Name == "*" {
		if more, ok := after["more"].(float64); ok {
			return int(more), false
		}
	}
	return 1, true
}

func (r *run) printChange(c model.Change) {
	sign := map[string]string{"create": "+", "update": "~", "delete": "-"}[c.Action]
	fmt.Fprintf(r.out, "%s %s/%s\n", sign, printable(c.Kind), printable(c.Name))
	if c.Action != "update" {
		return
	}
	before, ok := c.Before.(map[string]any)
	after, ok2 := c.After.(map[string]any)
	if !ok || !ok2 {
		return
	}
	r.printFields("", before, after)
}

// printFields shows the fields that differ, objects by their own fields.
func (r *run) printFields(path string, before, after map[string]any) {
	names := map[string]bool{}
	for k := range before {
		names[k] = true
	}
	for k := range after {
		names[k] = true
	}
	for _, k := range slices.Sorted(maps.Keys(names)) {
		old, was := before[k]
		now, is := after[k]
		a, aIsMap := old.(map[string]any)
		b, bIsMap := now.(map[string]any)
		switch {
		case reflect.DeepEqual(old, now):
		case aIsMap && bIsMap:
			r.printFields(path+k+".", a, b)
		case !was:
			fmt.Fprintf(r.out, "    %s%s: %s\n", path, k, printable(short(now)))
		case !is:
			fmt.Fprintf(r.out, "    %s%s: %s → (none)\n", path, k, printable(short(old)))
		default:
			fmt.Fprintf(r.out, "    %s%s: %s → %s\n", path, k, printable(short(old)), printable(short(now)))
		}
	}
}

func short(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	if text := []rune(string(b)); len(text) > 200 {
		return string(text[:200]) + "…"
	}
	return string(b)
}
