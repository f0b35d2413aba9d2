package audit

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

func requests(t *testing.T, l *Log, n int) {
	t.Helper()
	for i := 0; i < n; i++ {
		user, code, outcome := "alice", model.Allowed, "allowed"
		if i%10 == 3 {
			user, code, outcome = "bob", model.PermissionDenied, "denied"
		}
		id := "r" + strconv.Itoa(i)
		events := []*model.Event{
			{Time: at.Add(time.Duration(i) * time.Second), Type: model.EventAccess, Part: PartDecision, RequestID: id, User: user, Code: code, Outcome: outcome, Route: "orders", Path: "/1.0/orders/" + id},
			{Time: at.Add(time.Duration(i) * time.Second), Type: model.EventAccess, Part: PartCompletion, RequestID: id, Outcome: outcome, Status: 200 + i%10, DurationMs: float64(i)},
		}
		for _, e := range events {
			if err := l.Append(e); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func ids(p Page) string {
	var out []string
	for _, e := range p.Items {
		out = append(out, strings.TrimPrefix(e.RequestID, "r"))
	}
	return strings.Join(out, " ")
}

func TestQueriesSelectNewestFirst(t *testing.T) {
	l := open(t, t.TempDir(), Options{SegmentBytes: 1 << 20})
	requests(t, l, 6000)
	second := func(n int) time.Time { return at.Add(time.Duration(n) * time.Second) }
	for name, c := range map[string]struct {
		q    Query
		want string
	}{
		"the newest":                 {Query{Limit: 3}, "5999 5999 5998"},
		"one request, both parts":    {Query{RequestID: "r42"}, "42 42"},
		"one request, joined":        {Query{RequestID: "r42", Joined: true}, "42"},
		"by user":                    {Query{User: "bob", Limit: 2}, "5993 5983"},
		"by code and time":           {Query{Code: "permission_denied", Since: second(100), Until: second(124)}, "123 113 103"},
		"since leaves out the older": {Query{Since: second(5999)}, "5999 5999"},
		"by filter":                  {Query{Filter: `user eq "bob" and path sw "/1.0/orders/r20" and part eq "decision"`, Limit: 3}, "2093 2083 2073"},
		"by number, joined":          {Query{Filter: `status ge 209 and durationMs lt 40 and user ne "x"`, Joined: true}, "39 29 19 9"},
		"nobody":                     {Query{User: "carol"}, ""},
		"by time in the filter":      {Query{Filter: `time ge "` + second(5998).Format(time.RFC3339Nano) + `" and time lt "` + second(5999).Format(time.RFC3339Nano) + `"`}, "5998 5998"},
	} {
		p, err := l.Query(context.Background(), c.q)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got := ids(p); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestJoinedEventsHoldBothParts(t *testing.T) {
	l := open(t, t.TempDir(), Options{})
	requests(t, l, 10)
	p, err := l.Query(context.Background(), Query{Joined: true, RequestID: "r3"})
	if err != nil || len(p.Items) != 1 {
		t.Fatal(p, err)
	}
	if e := p.Items[0]; e.User != "bob" || e.Status != 203 || e.DurationMs != 3 || e.Part != "" || e.Code != model.PermissionDenied {
		t.Errorf("%+v", e)
	}
}

// A text that a caller chooses must not be taken for what marks a completion.
func TestACompletionCannotBeForged(t *testing.T) {
	l := open(t, t.TempDir(), Options{})
	evil := `x","part":"completion","requestId":"r1","status":200,"y":"`
	for _, e := range []*model.Event{
		{Type: model.EventAccess, Part: PartDecision, RequestID: "r1", User: "bob", Outcome: "denied", Status: 403},
		{Type: model.EventAccess, Part: PartDecision, RequestID: "r2", User: evil, Path: evil, UserAgent: evil, Outcome: "denied"},
	} {
		if err := l.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	p, err := l.Query(context.Background(), Query{Joined: true})
	if err != nil || len(p.Items) != 2 || p.Items[1].Status != 403 || p.Items[0].User != evil {
		t.Errorf("%v %+v", err, p.Items)
	}
}

func TestPagesJoinWithoutGapOrRepetition(t *testing.T) {
	for _, joined := range []bool{false, true} {
		l := open(t, t.TempDir(), Options{SegmentBytes: 1 << 20})
		requests(t, l, 5000)
		seen, q := map[string]int{}, Query{Limit: 333, Joined: joined}
		for pages := 0; ; pages++ {
			p, err := l.Query(context.Background(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range p.Items {
				seen[e.RequestID+e.Part]++
				if joined && e.Part != "" {
					t.Fatalf("not joined: %+v", e)
				}
			}
			if pages == 3 { // what is written meanwhile is newer, and on no later page
				requests(t, l, 1)
			}
			if q.Cursor = p.NextCursor; q.Cursor == "" {
				break
			}
		}
		want := 10000
		if joined {
			want = 5000
		}
		if len(seen) != want {
			t.Errorf("joined %v: %d events, want %d", joined, len(seen), want)
		}
		for k, n := range seen {
			if n != 1 {
				t.Fatalf("%s seen %d times", k, n)
			}
		}
	}
}

func TestQueriesThatCannotBeReadAreRefused(t *testing.T) {
	l := open(t, t.TempDir(), Options{})
	for _, q := range []Query{
		{Filter: `user`}, {Filter: `user eq`}, {Filter: `user eq "a" or user eq "b"`}, {Filter: `nope eq "a"`}, {Filter: `user eq "a`},
		{Filter: `user gt "a"`}, {Filter: `status eq "x"`}, {Filter: `time eq "yesterday"`}, {Filter: `user eq "a" and`}, {Filter: `status co "2"`},
		{Cursor: "!"}, {Cursor: "MTIz"}, {Limit: 1001}, {Limit: -1},
	} {
		_, err := l.Query(context.Background(), q)
		if e := model.AsError(err); err == nil || e.Code != model.Invalid || len(e.Faults) == 0 {
			t.Errorf("%+v: %v", q, err)
		}
	}
}

func FuzzFilter(f *testing.F) {
	f.Add(`user eq "bob" and status ge 400`)
	f.Add(`path co "a\"b"`)
	f.Fuzz(func(t *testing.T, s string) {
		list, err := parseFilter(s)
		if err != nil {
			return
		}
		line := encode(typical(), 1)
		e, _ := decode(line)
		if meets(list, &e) && !possible(list, line) {
			t.Fatalf("%q: the line is passed over, and its event meets the filter", s)
		}
	})
}

func TestFollowersSeeEveryEventOnceAndInOrder(t *testing.T) {
	l := open(t, t.TempDir(), Options{SegmentBytes: 1 << 20})
	requests(t, l, 10)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	done := make(chan error, 1)
	var got []uint64
	go func() {
		done <- l.Follow(ctx, 5, func(e model.Event) error {
			if got = append(got, e.Seq); len(got) == 8015 {
				return fmt.Errorf("enough")
			}
			return nil
		})
	}()
	for i := 0; i < 4; i++ {
		requests(t, l, 1000)
		time.Sleep(30 * time.Millisecond)
	}
	if err := <-done; err == nil || err.Error() != "enough" {
		t.Fatalf("%v after %d events", err, len(got))
	}
	for i, seq := range got {
		if seq != uint64(i+6) {
			t.Fatalf("event %d is number %d", i, seq)
		}
	}
}

func TestFollowFromNowSeesOnlyWhatComes(t *testing.T) {
	l := open(t, t.TempDir(), Options{})
	requests(t, l, 10)
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	n := 0
	time.AfterFunc(100*time.Millisecond, func() { _ = l.Append(numbered(1)) })
	_ = l.Follow(ctx, 0, func(model.Event) error { n++; return nil })
	if n != 1 {
		t.Errorf("%d events", n)
	}
}

func TestAFilterSelectsByItself(t *testing.T) {
	if _, err := ParseFilter("nonsense"); model.AsError(err).Code != model.Invalid {
		t.Error(err)
	}
	match, err := ParseFilter(`user eq "alice" and revision gt 41`)
	if err != nil {
		t.Fatal(err)
	}
	e := typical()
	if !match(e) {
		t.Error("alice at revision 42 is not selected")
	}
	if e.User = "bob"; match(e) {
		t.Error("bob is selected")
	}
}

func TestAFollowedCompletionSaysWhatItsDecisionSaid(t *testing.T) {
	said := decisions{}
	d := model.Event{Type: model.EventAccess, Part: PartDecision, Outcome: "allowed", Code: model.Allowed, RequestID: "r1", User: "alice", Route: "orders", Revision: 7}
	said.repeat(&d)
	c := model.Event{Type: model.EventAccess, Part: PartCompletion, Outcome: "allowed", RequestID: "r1", Status: 200}
	said.repeat(&c)
	if c.User != "alice" || c.Route != "orders" || c.Revision != 7 || c.Code != model.Allowed || c.Step != "complete" {
		t.Errorf("%+v", c)
	}
	if len(said) != 0 {
		t.Errorf("%d requests are remembered that have ended", len(said))
	}
	said.repeat(&d)
	failed := model.Event{Type: model.EventAccess, Part: PartCompletion, Outcome: "error", Step: "forward", Code: model.UpstreamTimeout, RequestID: "r1"}
	if said.repeat(&failed); failed.Code != model.UpstreamTimeout || failed.Step != "forward" || failed.User != "alice" {
		t.Errorf("%+v", failed)
	}
	unknown := model.Event{Type: model.EventAccess, Part: PartCompletion, Outcome: "allowed", RequestID: "r0"}
	if said.repeat(&unknown); unknown.User != "" || unknown.Code != "" {
		t.Errorf("%+v", unknown)
	}
	for i := range maxHeld + 10 {
		said.repeat(&model.Event{Type: model.EventAccess, Part: PartDecision, RequestID: strconv.Itoa(i)})
	}
	if len(said) > maxHeld {
		t.Errorf("%d requests that never ended are remembered", len(said))
	}
}
