package h1

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

func TestAHeadThatComesInPiecesIsTheSameHead(t *testing.T) {
	both(t, func(t *testing.T, o ...option) {
		x := newTarget(t, nil)
		g := start(t, x.addr(), o...)
		raw := "\r\nPOST /a HTTP/1.1\r\nHost: x\r\nX-Long: " + strings.Repeat("y", 700) + "\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n"
		for _, step := range []int{1, 2, 3, 7, 64, 511, 512, 513} {
			c := g.client()
			for i := 0; i < len(raw); i += step {
				c.send(raw[i:min(i+step, len(raw))])
				if step > 7 {
					time.Sleep(time.Millisecond)
				}
			}
			if h := c.must("POST"); h.StatusCode != 200 {
				t.Errorf("in pieces of %d: %s %s", step, h.Status, h.body)
			}
			all := x.requests()
			if s := all[len(all)-1]; s.body != "hello" || s.Trailer.Get("X-Sum") != "7" || len(s.Header.Get("X-Long")) != 700 {
				t.Errorf("in pieces of %d: the target saw %q %v", step, s.body, s.Trailer)
			}
			_ = c.Close()
		}
	})
}

func TestLargeHeadsAndWhatIsBehindThem(t *testing.T) {
	x := newTarget(t, func(_ int, s seen) answer {
		return ok(fmt.Sprint(len(s.Header.Get("X")), " ", len(s.body), " ", s.Trailer))
	})
	g := start(t, x.addr(), limits(Config{HeaderBytes: 64 << 10}))
	c := g.client()
	for _, n := range []int{10, 16_000, 17_000, 40_000, 60_000, 100} {
		for _, body := range []int{0, 10, 16_000, 40_000} {
			head := "POST / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("y", n) + "\r\n"
			c.send(head + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", body, strings.Repeat("b", body)) +
				head + fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\nZ: z\r\n\r\n", body+1, strings.Repeat("c", body+1)))
			for i, want := range []string{fmt.Sprint(n, " ", body, " map[]"), fmt.Sprint(n, " ", body+1, " map[Z:[z]]")} {
				if h := c.must("POST"); h.body != want {
					t.Fatalf("head of %d, body of %d, %d: %s %s, want %s", n, body, i, h.Status, h.body, want)
				}
			}
		}
	}
}

func TestSlowHeadsAreCut(t *testing.T) {
	both(t, func(t *testing.T, o ...option) {
		x := newTarget(t, nil)
		g := start(t, x.addr(), append(o, limits(Config{HeaderTimeout: 300 * time.Millisecond, IdleTimeout: 10 * time.Second}))...)
		c := g.client()
		began := time.Now()
		go func() {
			for _, b := range "GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X: y\r\n", 1000) {
				if _, err := c.Write([]byte{byte(b)}); err != nil {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		}()
		_, _ = io.Copy(io.Discard, c.Conn)
		if took := time.Since(began); took < 250*time.Millisecond || took > 1500*time.Millisecond {
			t.Errorf("cut after %v", took)
		}
		if len(x.bytes()) != 0 {
			t.Error("the target was asked")
		}
	})
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	both(t, func(t *testing.T, o ...option) {
		x := newTarget(t, nil)
		g := start(t, x.addr(), append(o, limits(Config{HeaderTimeout: 10 * time.Second, IdleTimeout: 400 * time.Millisecond}))...)
		for name, send := range map[string]string{"new": "", "used": "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "used, with an empty line behind": "GET / HTTP/1.1\r\nHost: x\r\n\r\n\r\n"} {
			c := g.client()
			if send != "" {
				c.send(send)
				c.must("GET")
			}
			began := time.Now()
			if err := c.ended(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if took := time.Since(began); took < 300*time.Millisecond || took > 1500*time.Millisecond {
				t.Errorf("%s: closed after %v", name, took)
			}
		}
	})
}

func TestABodyThatStopsComingIsRefused(t *testing.T) {
	both(t, func(t *testing.T, o ...option) {
		var cut atomic.Int64
		x := rawTarget(t, func(c net.Conn) {
			b, _ := io.ReadAll(c)
			if strings.HasSuffix(string(b), "0\r\n\r\n") {
				cut.Add(100)
			}
			cut.Add(1)
		})
		g := start(t, x.addr(), append(o, limits(Config{IdleTimeout: 400 * time.Millisecond}))...)
		for _, head := range []string{"Content-Length: 10\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: "} {
			c := g.client()
			began := time.Now()
			c.send("POST / HTTP/1.1\r\nHost: x\r\n" + head)
			h := c.must("POST")
			if h.StatusCode != 400 || !h.Close || !strings.Contains(h.body, "stopped coming") || c.ended() != nil {
				t.Errorf("%q: %s %s", head, h.Status, h.body)
			}
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("%q: took %v", head, took)
			}
			if done := g.Completion(); done.Err == nil || done.Status != 400 || done.BytesIn != 5 {
				t.Errorf("%+v", done)
			}
		}
		// The short one waits here; nobody was asked.
		soon(t, "the target's connections were not given up, or a body ended cleanly", func() bool { return cut.Load() == 2 })
	})
}

func TestABodyOverTheLimitNeverArrivesWhole(t *testing.T) {
	limit := model.Size(1000)
	x := newTarget(t, nil)
	g := start(t, x.addr(), route(func(r *model.Route) { r.BodyBytes = &limit }))
	for name, c := range map[string]struct {
		send   string
		status int
	}{
		"declared":         {"Content-Length: 1001\r\n\r\n" + strings.Repeat("x", 1001), 413},
		"declared, unsent": {"Content-Length: 100000000\r\n\r\n", 413},
		"expected":         {"Expect: 100-continue\r\nContent-Length: 1001\r\n\r\n", 413},
		"one chunk":        {"Transfer-Encoding: chunked\r\n\r\n3e9\r\n" + strings.Repeat("x", 1001) + "\r\n0\r\n\r\n", 413},
		"many chunks":      {"Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1\r\nx\r\n", 1001) + "0\r\n\r\n", 413},
		"a chunk that is as long as a length can be": {"Transfer-Encoding: chunked\r\n\r\n7fffffffffffff\r\n" + strings.Repeat("x", 5000), 413},
		"at the limit":        {"Content-Length: 1000\r\n\r\n" + strings.Repeat("x", 1000), 200},
		"chunks at the limit": {"Transfer-Encoding: chunked\r\n\r\n3e8\r\n" + strings.Repeat("x", 1000) + "\r\n0\r\n\r\n", 200},
	} {
		before := len(x.requests())
		cl := g.client()
		cl.send("POST / HTTP/1.1\r\nHost: x\r\n" + c.send)
		h := cl.must("POST")
		if h.StatusCode != c.status || c.status == 413 && (!h.Close || !strings.Contains(h.body, "body_too_large") || cl.ended() != nil) {
			t.Errorf("%s: %s %s", name, h.Status, h.body)
		}
		if done := g.Completion(); done.Status != c.status || (done.Err != nil) != (c.status == 413) {
			t.Errorf("%s: %+v", name, done)
		}
		time.Sleep(10 * time.Millisecond)
		for _, s := range x.requests()[before:] {
			if c.status == 413 && s.err == nil {
				t.Errorf("%s: the target took a body of %d bytes for whole", name, len(s.body))
			}
		}
	}
}

func TestContinueIsSaidOnlyOnceTheRequestMayPass(t *testing.T) {
	both(t, func(t *testing.T, o ...option) {
		x := newTarget(t, nil)
		g := start(t, x.addr(), append(o, keeper)...)
		c := g.client()
		c.send("POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
		if h := c.must("POST"); h.StatusCode != 100 {
			t.Fatal(h.Status)
		}
		c.send("hello")
		if h := c.must("POST"); h.StatusCode != 200 || x.requests()[0].body != "hello" {
			t.Fatal(h.Status)
		}
		c.send("POST /smuggled HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
		if h := c.must("POST"); h.StatusCode != 403 || !h.Close {
			t.Errorf("%s, close %v", h.Status, h.Close)
		}
		if err := c.ended(); err != nil {
			t.Error(err)
		}
		if n := len(x.requests()); n != 1 {
			t.Errorf("the target saw %d requests", n)
		}
	})
}

func TestATargetThatDoesNotWantTheBodyIsHeard(t *testing.T) {
	x := rawTarget(t, func(c net.Conn) {
		b := make([]byte, 1000)
		_, _ = c.Read(b)
		_, _ = io.WriteString(c, "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
		_ = c.(*net.TCPConn).CloseWrite()
		stay(c)
	})
	g := start(t, x.addr())
	for _, send := range []string{
		"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n",
		"Content-Length: 500000\r\n\r\n" + strings.Repeat("x", 100_000),
		"Transfer-Encoding: chunked\r\n\r\n100000\r\n" + strings.Repeat("x", 100_000),
	} {
		c := g.client()
		c.send("POST / HTTP/1.1\r\nHost: x\r\n" + send)
		h := c.must("POST")
		if h.StatusCode != 417 || h.body != "no" || h.err != nil {
			t.Errorf("%.40q: %s %q %v", send, h.Status, h.body, h.err)
		}
		_ = c.Close()
	}
}

func TestAnEarlyAnswerLeavesTheConnectionInStep(t *testing.T) {
	// The target answers before it has read the body. What is left of that must not
	// be taken for the next request, nor sent with it.
	x := rawTarget(t, func(c net.Conn) {
		for {
			b := make([]byte, 4000)
			n, err := c.Read(b)
			if err != nil {
				return
			}
			line, _, _ := strings.Cut(string(b[:n]), "\r\n")
			if strings.HasPrefix(line, "POST") || strings.HasPrefix(line, "GET") {
				body := strings.Fields(line)[1]
				_, _ = io.WriteString(c, fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
			}
		}
	})
	g := start(t, x.addr())
	for range 10 {
		c := g.client()
		c.send("POST /first HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n23\r\n" + smuggled)
		if h := c.must("POST"); h.body != "/first" {
			t.Fatalf("%s %q", h.Status, h.body)
		}
		c.send("\r\n0\r\n\r\nGET /second HTTP/1.1\r\nHost: x\r\n\r\n")
		h, err := c.hear("GET")
		if err == nil && h.body != "/second" {
			t.Fatalf("%s %q", h.Status, h.body)
		}
		_ = c.Close()
	}
	for _, d := range g.Decisions() {
		if strings.Contains(d.Target, "smuggled") {
			t.Fatal("a body was taken for a request")
		}
	}
}

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	both(t, func(t *testing.T, o ...option) {
		x := newTarget(t, func(_ int, s seen) answer { return ok(s.RequestURI + " " + s.body) })
		g := start(t, x.addr(), o...)
		c := g.client()
		const n = 500
		go func() {
			var b strings.Builder
			for i := range n {
				switch i % 3 {
				case 0:
					fmt.Fprintf(&b, "GET /%d HTTP/1.1\r\nHost: x\r\n\r\n", i)
				case 1:
					fmt.Fprintf(&b, "POST /%d HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n%04d", i, i)
				default:
					fmt.Fprintf(&b, "POST /%d HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n%04d\r\n0\r\n\r\n", i, i)
				}
			}
			_, _ = io.WriteString(c, b.String())
		}()
		for i := range n {
			want := fmt.Sprintf("/%d %04d", i, i)
			if i%3 == 0 {
				want = fmt.Sprintf("/%d ", i)
			}
			if h := c.must("GET"); h.body != want {
				t.Fatalf("answer %d is %s %q", i, h.Status, h.body)
			}
		}
	})
}

func TestBodiesOfAnySizeStreamInBothDirections(t *testing.T) {
	both(t, func(t *testing.T, o ...option) {
		none := model.Size(0)
		x := rawTarget(t, nil)
		x.answer = func(_ int, s seen) answer {
			return answer{raw: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(s.body), s.body)}
		}
		g := start(t, x.addr(), append(o, route(func(r *model.Route) { r.BodyBytes = &none }),
			service(func(s *model.Service) { s.Timeouts.Response = 0 }))...)
		for _, n := range []int{1, 1000, bufferSize - 300, bufferSize, bufferSize + 1, 1 << 20, 8 << 20} {
			c := g.client()
			data := strings.Repeat("0123456789abcdef", n/16+1)[:n]
			for _, head := range []string{fmt.Sprintf("Content-Length: %d\r\n\r\n", n), "Transfer-Encoding: chunked\r\n\r\n"} {
				go func() {
					body := data
					if head[0] == 'T' {
						body = fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", n, data)
					}
					_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\n"+head+body)
				}()
				if h := c.must("POST"); h.body != data || h.err != nil {
					t.Fatalf("%d bytes: %d came back, %v", n, len(h.body), h.err)
				}
				if done := g.Completion(); done.BytesIn != int64(n) || done.BytesOut != int64(n) {
					t.Errorf("%d bytes: %+v", n, done)
				}
			}
			_ = c.Close()
		}
	})
}

func TestEventsArriveAsTheyAreSent(t *testing.T) {
	for name, head := range map[string]string{"chunked": "Transfer-Encoding: chunked\r\n", "until the close": "", "a length": "Content-Length: 6\r\n"} {
		next := make(chan bool)
		x := rawTarget(t, func(c net.Conn) {
			b := make([]byte, 1000)
			_, _ = c.Read(b)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n"+head+"\r\n")
			for range 3 {
				if <-next; name == "chunked" {
					_, _ = io.WriteString(c, "2\r\nok\r\n")
				} else {
					_, _ = io.WriteString(c, "ok")
				}
			}
			if name == "chunked" {
				_, _ = io.WriteString(c, "0\r\n\r\n")
			}
		})
		g := start(t, x.addr())
		c := g.client()
		c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		res, err := http.ReadResponse(c.r, nil)
		if err != nil {
			t.Fatal(name, err)
		}
		for range 3 {
			next <- true
			if _, err := io.ReadFull(res.Body, make([]byte, 2)); err != nil {
				t.Fatal(name, err)
			}
		}
		if _, err := res.Body.Read(make([]byte, 1)); err != io.EOF {
			t.Error(name, err)
		}
	}
}

func TestAClientThatGoesAwayEndsTheRequestAtTheTarget(t *testing.T) {
	both(t, func(t *testing.T, o ...option) {
		for name, leave := range map[string]func(net.Conn){
			"closes": func(c net.Conn) { _ = c.Close() },
			"resets": func(c net.Conn) {
				if tcp, ok := c.(*net.TCPConn); ok {
					_ = tcp.SetLinger(0)
				}
				_ = c.Close()
			},
		} {
			for when, raw := range map[string]string{"before the answer": "", "within the body": "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"} {
				arrived, ended := make(chan bool, 1), make(chan error, 1)
				x := rawTarget(t, func(c net.Conn) {
					b := make([]byte, 1000)
					_, _ = c.Read(b)
					_, _ = io.WriteString(c, raw)
					arrived <- true
					_, err := c.Read(b)
					ended <- err
				})
				g := start(t, x.addr(), append(o, service(func(s *model.Service) { s.Timeouts.Response = 0 }))...)
				c := g.client()
				c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
				<-arrived
				leave(c.Conn)
				select {
				case <-ended:
				case <-time.After(4 * time.Second):
					t.Errorf("%s %s: the target waits still", name, when)
				}
				if done := g.Completion(); raw == "" && done.Status != statusGone {
					t.Errorf("%s %s: %+v", name, when, done)
				}
			}
		}
	})
}

func TestAClientThatEndsItsSideStillHearsAQuickAnswer(t *testing.T) {
	x := newTarget(t, func(int, seen) answer { time.Sleep(500 * time.Millisecond); return ok("ok") })
	g := start(t, x.addr())
	c := g.client()
	c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n")
	_ = c.Conn.(*net.TCPConn).CloseWrite()
	for range 2 {
		if h := c.must("GET"); h.body != "ok" {
			t.Error(h.Status)
		}
	}
}

func TestAClientThatDoesNotReadIsCut(t *testing.T) {
	both(t, func(t *testing.T, o ...option) {
		x := rawTarget(t, func(c net.Conn) {
			b := make([]byte, 1000)
			_, _ = c.Read(b)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
			for {
				if _, err := c.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		})
		g := start(t, x.addr(), append(o, limits(Config{IdleTimeout: 400 * time.Millisecond}))...)
		c := g.client()
		c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		began := time.Now()
		g.Completion()
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("cut after %v", took)
		}
		_ = c.SetReadDeadline(time.Now().Add(3 * time.Second))
		if _, err := io.Copy(io.Discard, c.r); err == nil || errors.Is(err, syscall.ETIMEDOUT) {
			t.Errorf("it ended with %v", err)
		}
	})
}

func TestTheDateIsKeptForASecond(t *testing.T) {
	s := &Server{}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))
	date := func(at time.Time) string { s.clock.Store(at.UnixNano()); return s.date() }
	if d := date(at); d != "Fri, 02 Jan 2026 02:04:05 GMT" || date(at.Add(900*time.Millisecond)) != d || date(at.Add(time.Second)) == d {
		t.Error(d)
	}
}
