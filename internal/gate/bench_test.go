package gate_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/model"
)

// The decision, all steps on a warm cache: SPEC 17 asks for under 2 µs and no
// allocation.
func BenchmarkDecide(b *testing.B) {
	w := newWorld(b, settled)
	browsers := newWorld(b, browsing)
	browsers.login("good", "1", "corp")
	for _, c := range []struct{ name, target, header, value string }{
		{"public", "/open/x", "Accept", "*/*"},
		{"apiKey", "/orders/42?page=2", "X-API-Key", w.key},
		{"basic", "/orders/42", "Authorization", password("alice", "alices")},
		{"bearer", "/orders/42", "Authorization", w.token("alice")},
		{"session", "/any/42", "Cookie", "theme=dark; __Host-sallyport=good; __Host-sallyport-csrf=" + browsers.csrf.Token(gate.SessionBinding("1", "ses_good"))},
	} {
		b.Run(c.name, func(b *testing.B) {
			w := w
			if c.name == "session" {
				w = browsers
			}
			ex := &gate.Exchange{}
			decide := func() {
				ex.Plan, ex.ID = w.plan, "0123456789abcdef0123456789abcdef"
				ex.Method, ex.Request.Target, ex.Host, ex.Scheme = "GET", c.target, "api.example.com", "https"
				ex.Peer, ex.Time = netip.AddrFrom4([4]byte{192, 0, 2, 7}), time.Now()
				ex.Fields = append(ex.Fields, model.Field{Name: "Accept", Value: "application/json"},
					model.Field{Name: "User-Agent", Value: "curl/8.0"}, model.Field{Name: "Accept-Encoding", Value: "gzip"},
					model.Field{Name: c.header, Value: c.value})
				w.gate.Decide(context.Background(), ex)
				if ex.Err != nil {
					b.Fatal(ex.Err, ex.Detail)
				}
				ex.Reset()
			}
			decide()
			b.ReportAllocs()
			for b.Loop() {
				decide()
			}
		})
	}
}

func TestAWarmDecisionDoesNotAllocate(t *testing.T) {
	w := newWorld(t, settled)
	for name, fields := range map[string][2]string{
		"apiKey": {"X-API-Key", w.key},
		"basic":  {"Authorization", password("alice", "alices")},
		"bearer": {"Authorization", w.token("alice")},
	} {
		ex := &gate.Exchange{}
		n := testing.AllocsPerRun(100, func() {
			ex.Plan, ex.ID, ex.Method, ex.Request.Target, ex.Host, ex.Scheme = w.plan, "r", "GET", "/orders/42", "api.example.com", "https"
			ex.Peer, ex.Time = netip.AddrFrom4([4]byte{192, 0, 2, 7}), time.Now()
			ex.Fields = append(ex.Fields, model.Field{Name: fields[0], Value: fields[1]}, model.Field{Name: "Accept", Value: "*/*"})
			w.gate.Decide(context.Background(), ex)
			if ex.Err != nil {
				t.Fatal(name, ex.Err, ex.Detail)
			}
			ex.Reset()
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
