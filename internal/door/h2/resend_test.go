package h2

import (
	"bufio"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sallyport/sallyport/internal/model"
)

// As over HTTP/1.1: once, once more for each retry, and once more for the kept
// connection that was to blame, perhaps, whoever of the two that keep some kept it.
func TestARequestThatTargetsDieOfIsSentABoundedNumberOfTimes(t *testing.T) {
	for _, x := range []struct {
		method  string
		retries int
		want    int64
	}{{"GET", 0, 2}, {"GET", 1, 3}, {"HEAD", 2, 4}, {"PUT", 1, 3}, {"POST", 2, 1}} {
		var deaths, seen atomic.Int64
		url := hostile(t, func(c net.Conn, _ *bufio.Reader, _ string) {
			seen.Add(1)
			if deaths.Add(-1) >= 0 {
				_ = c.Close()
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		})
		g := start(t, url, false, serviceOf(func(s *model.Service) { s.Retries = x.retries }))
		c, id := g.dial(), uint32(1)
		ask := func(method string, dies int64, status string) int64 {
			before := seen.Load()
			deaths.Store(dies)
			c.Request(id, true, ":method", method, ":scheme", "http", ":path", "/", ":authority", "x")
			if fields, _, _ := c.Answer(id); !strings.HasPrefix(fields, ":status: "+status+"\n") {
				t.Fatal(fields)
			}
			id += 2
			return seen.Load() - before
		}
		ask("GET", 0, "200")
		if x.retries > 0 { // upstream keeps the connection that succeeds
			ask("GET", 2, "200")
			ask("GET", 0, "200")
		}
		if n := ask(x.method, 100, "502"); n != x.want {
			t.Errorf("%s with retries %d was seen %d times, want %d", x.method, x.retries, n, x.want)
		}
	}
}
