package record_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/record"
)

// log keeps copies of what it is told.
type log struct {
	events []model.Event
	fail   error
}

func (l *log) Append(e *model.Event) error {
	if l.fail != nil {
		return l.fail
	}
	l.events = append(l.events, *e)
	return nil
}

type meter struct{ observed, security []string }

func (m *meter) Observe(route, service, step, code string, _, _ time.Duration) {
	m.observed = append(m.observed, strings.Join([]string{route, service, step, code}, "/"))
}
func (m *meter) Security(kind string) { m.security = append(m.security, kind) }

func exchange() *gate.Exchange {
	ex := &gate.Exchange{ID: "r1", Plan: &gate.Plan{Revision: 7}, Route: &gate.Route{Model: &model.Route{Name: "orders"}, Service: &model.Service{Name: "backend"}}}
	ex.Method, ex.Request.Target, ex.Host, ex.Peer = "GET", "/orders?token=secret", "api.example.com", netip.MustParseAddr("192.0.2.7")
	return ex
}

func TestARequestLeavesOneEventInTwoParts(t *testing.T) {
	l, m := &log{}, &meter{}
	r := &record.Recorder{Log: l, Meter: m}
	ex := exchange()
	if err := r.Decided(ex); err != nil {
		t.Fatal(err)
	}
	r.Completed(ex, record.Completion{Status: 200, BytesOut: 12, Duration: 3 * time.Millisecond, Target: 2 * time.Millisecond})
	if len(l.events) != 2 || l.events[0].Part != "decision" || l.events[1].Part != "completion" || l.events[0].RequestID != "r1" || l.events[1].RequestID != "r1" {
		t.Fatalf("%+v", l.events)
	}
	d, c := l.events[0], l.events[1]
	if d.Outcome != "allowed" || d.Route != "orders" || d.Service != "backend" || d.Revision != 7 || d.ClientIP != "192.0.2.7" || d.Path != "/orders" {
		t.Errorf("decision: %+v", d)
	}
	if c.Status != 200 || c.BytesOut != 12 || c.DurationMs != 3 || c.Outcome != "allowed" {
		t.Errorf("completion: %+v", c)
	}
	if c.Route != "" || c.User != "" || c.Revision != 0 || c.Code != "" || c.Step != "" {
		t.Errorf("the completion says again what the decision said: %+v", c)
	}
	if len(m.observed) != 1 || m.observed[0] != "orders/backend/complete/allowed" {
		t.Errorf("%v", m.observed)
	}
}

func TestQueriesAreNotRecordedForTheyMayHoldSecrets(t *testing.T) {
	l := &log{}
	r := &record.Recorder{Log: l, Meter: &meter{}}
	_ = r.Decided(exchange())
	for _, e := range l.events {
		if strings.Contains(e.Path, "secret") {
			t.Errorf("%+v", e)
		}
	}
}

func TestARefusalIsRecordedWithItsStepAndCause(t *testing.T) {
	l, m := &log{}, &meter{}
	r := &record.Recorder{Log: l, Meter: m}
	ex := exchange()
	ex.Err, ex.Step, ex.Detail = model.NewError(model.PermissionDenied, "You may not."), gate.StepAuthorise, "no role"
	_ = r.Decided(ex)
	r.Completed(ex, record.Completion{Status: 403})
	if d := l.events[0]; d.Outcome != "denied" || d.Step != "authorise" || d.Code != model.PermissionDenied || d.Reason != "no role" || d.Status != 403 {
		t.Errorf("%+v", d)
	}
	if m.observed[0] != "orders/backend/authorise/permission_denied" {
		t.Errorf("%v", m.observed)
	}
}

func TestAFailureToForwardIsTheCompletions(t *testing.T) {
	l := &log{}
	r := &record.Recorder{Log: l, Meter: &meter{}}
	ex := exchange()
	_ = r.Decided(ex)
	r.Completed(ex, record.Completion{Status: 502, Err: (&model.Error{Code: model.UpstreamUnreachable}).WithCause(errors.New("connection refused"))})
	if d, c := l.events[0], l.events[1]; d.Outcome != "allowed" || c.Outcome != "error" || c.Code != model.UpstreamUnreachable || c.Step != "forward" || c.Reason != "connection refused" {
		t.Errorf("%+v %+v", d, c)
	}
}

func TestAForgedIdentityIsASecurityEvent(t *testing.T) {
	l, m := &log{}, &meter{}
	r := &record.Recorder{Log: l, Meter: m}
	ex := exchange()
	ex.Forged = []string{"x_user"}
	_ = r.Decided(ex)
	if len(l.events) != 2 || l.events[1].Type != model.EventSecurity || !strings.Contains(l.events[1].Reason, "x_user") || len(m.security) != 1 {
		t.Errorf("%+v %v", l.events, m.security)
	}
}

func TestWhatCannotBeRecordedIsAnError(t *testing.T) {
	r := &record.Recorder{Log: &log{fail: errors.New("disk full")}, Meter: &meter{}}
	if err := r.Decided(exchange()); err == nil {
		t.Error("the decision is taken for recorded")
	}
}
