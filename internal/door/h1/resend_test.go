package h1

import (
	"sync/atomic"
	"testing"

	"github.com/sallyport/sallyport/internal/model"
)

// A target that dies of a request is met by way of connections that are kept here,
// and of others that are kept in upstream, where earlier requests were sent again:
// it sees the request once, once more for each retry, and once more for the kept
// connection that was to blame, perhaps.
func TestARequestThatTargetsDieOfIsSentABoundedNumberOfTimes(t *testing.T) {
	for _, c := range []struct {
		method  string
		retries int
		want    int
	}{{"GET", 0, 2}, {"GET", 1, 3}, {"HEAD", 2, 4}, {"PUT", 1, 3}, {"POST", 2, 1}} {
		var deaths atomic.Int64
		x := newTarget(t, func(int, seen) answer {
			if deaths.Add(-1) >= 0 {
				return answer{close: true}
			}
			return ok("ok")
		})
		g := start(t, x.addr(), service(func(s *model.Service) { s.Retries = c.retries }))
		cl := g.client()
		ask := func(method string, dies int64, status int) (seen int) {
			before := len(x.requests())
			deaths.Store(dies)
			cl.send(method + " / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
			if h := cl.must(method); h.StatusCode != status {
				t.Fatal(h.Status)
			}
			return len(x.requests()) - before
		}
		ask("GET", 0, 200)
		if c.retries > 0 { // upstream keeps the connection that succeeds
			ask("GET", 2, 200)
			ask("GET", 0, 200)
		}
		if n := ask(c.method, 100, 502); n != c.want {
			t.Errorf("%s with retries %d was seen %d times, want %d", c.method, c.retries, n, c.want)
		}
	}
}
