package h1

import (
	"bytes"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

// canned is a target that answers every request with the same bytes, and allocates
// nothing for it.
func canned(t testing.TB, answer string) *target {
	b := []byte(answer)
	return rawTarget(t, func(c net.Conn) {
		buf := make([]byte, 64<<10)
		for n := 0; ; {
			m, err := c.Read(buf[n:])
			if err != nil {
				return
			}
			if n += m; bytes.HasSuffix(buf[:n], []byte("\r\n\r\n")) || bytes.HasSuffix(buf[:n], []byte("body")) {
				if _, err := c.Write(b); err != nil {
					return
				}
				n = 0
			}
		}
	})
}

func sized(n int) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nDate: Mon, 01 Jan 2001 00:00:00 GMT\r\n\r\n%s", n, strings.Repeat("x", n))
}

const curl = "GET /orders/1?a=b HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n"

// exchange sends request and reads an answer, whose size is that of the first one.
func exchange(tb testing.TB, c *client, request []byte, buf []byte, size int) int {
	if _, err := c.Conn.Write(request); err != nil {
		tb.Fatal(err)
	}
	n := 0
	for {
		m, err := c.Conn.Read(buf[n:])
		if err != nil {
			tb.Fatal(err)
		}
		if n += m; size > 0 && n >= size || size == 0 && (bytes.HasSuffix(buf[:n], []byte("xx")) || bytes.HasSuffix(buf[:n], []byte("0\r\n\r\n"))) {
			return n
		}
	}
}

func BenchmarkDirect(b *testing.B) {
	for _, c := range []struct {
		name, request, answer string
		options               []option
	}{
		{"GET 785 bytes", curl + "\r\n", sized(785), nil},
		{"POST 785 bytes", strings.Replace(curl, "GET", "POST", 1) + "Content-Length: 4\r\n\r\nbody", sized(785), nil},
		{"GET 64 KiB", curl + "\r\n", sized(64 << 10), nil},
		{"GET chunked", curl + "\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n311\r\n" + strings.Repeat("x", 785) + "\r\n0\r\n\r\n", nil},
		{"GET 785 bytes of a known user", curl + "X-Test-User: alice\r\n\r\n", sized(785), nil},
		{"GET 785 bytes over TLS", curl + "\r\n", sized(785), []option{secure}},
	} {
		b.Run(c.name, func(b *testing.B) {
			x := canned(b, c.answer)
			g := start(b, x.addr(), append(c.options, func(s *setup) {
				s.Quiet = true
				s.Set.Services[0].Timeouts.Response = model.Duration(30 * time.Second)
				s.cfg = Config{}
			})...)
			cl := g.client()
			_ = cl.SetDeadline(time.Time{})
			buf := make([]byte, 256<<10)
			request := []byte(c.request)
			size := exchange(b, cl, request, buf, 0)
			b.ReportAllocs()
			for b.Loop() {
				exchange(b, cl, request, buf, size)
			}
		})
	}
}

func TestADirectRequestCostsNoAllocation(t *testing.T) {
	if raced {
		t.Skip("the race detector allocates")
	}
	for name, request := range map[string]string{"GET": curl + "\r\n", "POST": strings.Replace(curl, "GET", "POST", 1) + "Content-Length: 4\r\n\r\nbody"} {
		x := canned(t, sized(785))
		g := start(t, x.addr(), func(s *setup) { s.Quiet = true })
		c := g.client()
		buf := make([]byte, 64<<10)
		size := exchange(t, c, []byte(request), buf, 0)
		raw := []byte(request)
		for range 100 {
			exchange(t, c, raw, buf, size)
		}
		if n := testing.AllocsPerRun(500, func() { exchange(t, c, raw, buf, size) }); n >= 1 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// inUse is the memory that the heap and stacks hold, in bytes.
func inUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// idleCost is what a connection costs that has had an answer, once settle says that
// all of them idle: in bytes, the client's end included.
func idleCost(t *testing.T, name string, settle func(g *rig, n int), o ...option) int64 {
	t.Helper()
	if raced {
		t.Skip("the race detector allocates")
	}
	x := canned(t, sized(785))
	g := start(t, x.addr(), append([]option{func(s *setup) { s.Quiet = true; s.cfg = Config{} }}, o...)...)
	const n = 300
	conns, buf := make([]*client, n), make([]byte, 64<<10)
	before := inUse()
	for i := range conns {
		conns[i] = g.client()
		conns[i].r = nil
		_ = conns[i].SetDeadline(time.Time{})
		size := exchange(t, conns[i], []byte(curl+"\r\n"), buf, 0)
		exchange(t, conns[i], []byte(curl+"\r\n"), buf, size)
	}
	settle(g, n)
	cost := (inUse() - before) / n
	t.Logf("%s: %d bytes a connection, both ends", name, cost)
	for _, cl := range conns {
		_ = cl.Close()
	}
	return cost
}

// An idle connection holds no buffer, on either kind of connection: what is left is
// its state, its goroutine's stack, and what crypto/tls keeps. The client's end is
// measured with it, so the bounds are wider than what the gateway pays.
func TestAnIdleConnectionHoldsNoBuffer(t *testing.T) {
	for name, c := range map[string]struct {
		options []option
		most    int64
	}{"plain": {nil, 10 << 10}, "TLS": {[]option{secure}, 45 << 10}} {
		awhile := func(*rig, int) { time.Sleep(50 * time.Millisecond) }
		if cost := idleCost(t, name, awhile, c.options...); cost > c.most {
			t.Errorf("%s: more than %d", name, c.most)
		}
	}
}
