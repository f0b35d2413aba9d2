package app

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sallyport/sallyport/internal/audit"
	"github.com/sallyport/sallyport/internal/model"
)

// elsewhere keeps the events of requests in the audit's place.
type elsewhere struct {
	mu   sync.Mutex
	kept []model.Event
	full bool
}

func (e *elsewhere) Append(ev *model.Event) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.full {
		return errors.New("no room")
	}
	e.kept = append(e.kept, *ev)
	return nil
}

func TestEventsThatGoElsewhereAreOfRequestsAloneAndStillDecide(t *testing.T) {
	b := backend(t)
	e := &elsewhere{}
	r := start(t, "", strings.ReplaceAll(basics, "BACKEND", b.URL), func(o *Options) { o.Events = e })
	if code, _, body := r.do("GET", "https://"+r.proxy+"/open", ""); code != 200 {
		t.Fatalf("%d %s", code, body)
	}
	r.client.CloseIdleConnections()
	e.mu.Lock()
	if !slices.ContainsFunc(e.kept, func(ev model.Event) bool { return ev.Part == "decision" && ev.Outcome == "allowed" }) {
		t.Errorf("no decision among %d events", len(e.kept))
	}
	e.full = true
	e.mu.Unlock()
	count := func(kind model.EventType) int {
		p, err := r.g.audit.Query(t.Context(), audit.Query{Type: string(kind)})
		if err != nil {
			t.Fatal(err)
		}
		return len(p.Items)
	}
	if n := count(model.EventAccess); n != 0 {
		t.Errorf("%d events of requests in the audit as well", n)
	}
	if count(model.EventAdmin) == 0 {
		t.Error("changes are not in the audit any more")
	}
	if code, _, body := r.do("GET", "https://"+r.proxy+"/open", ""); code != 503 || !strings.Contains(body, string(model.AuditUnavailable)) {
		t.Errorf("a decision that nobody kept: %d %s", code, body)
	}
}
