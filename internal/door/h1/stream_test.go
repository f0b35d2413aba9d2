package h1

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/model"
)

const handshake = "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

// switcher is a target that switches protocols and then does what then says.
func switcher(t *testing.T, then func(c net.Conn, r *bufio.Reader)) *target {
	return rawTarget(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		req, err := http.ReadRequest(r)
		if err != nil || req.Header.Get("Upgrade") != "websocket" || !strings.EqualFold(req.Header.Get("Connection"), "upgrade") {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSet-Cookie: __Host-sallyport=x\r\nX-Request-Id: 1\r\n\r\n")
		then(c, r)
	})
}

func echo(c net.Conn, r *bufio.Reader) {
	_, _ = io.Copy(c, r)
	_ = c.(*net.TCPConn).CloseWrite()
}

// tunnelled opens a tunnel.
func (g *rig) tunnelled(more string) *client {
	g.T.Helper()
	c := g.client()
	c.send(handshake + more)
	if h := c.must("GET"); h.StatusCode != 101 || h.Header.Get("Upgrade") != "websocket" || h.Header.Get("Sec-Websocket-Accept") == "" ||
		h.Header.Get("Set-Cookie") != "" || len(h.Header["X-Request-Id"]) != 1 || len(h.Header.Get("X-Request-Id")) != 32 {
		g.T.Fatalf("%s %v", h.Status, h.Header)
	}
	return c
}

func TestATunnelCarriesBothWaysAndEndsBothWays(t *testing.T) {
	both(t, func(t *testing.T, o ...option) {
		x := switcher(t, echo)
		g := start(t, x.addr(), o...)
		c := g.tunnelled("\r\nearly ")
		go func() {
			_, _ = io.WriteString(c, strings.Repeat("x", 1<<20)+"end")
			_ = c.Conn.(interface{ CloseWrite() error }).CloseWrite() // half-closed: the target still has its say
		}()
		b, err := io.ReadAll(c.r)
		if err != nil || len(b) != 6+1<<20+3 || string(b[:6]) != "early " {
			t.Errorf("%d bytes came back, %v", len(b), err)
		}
		if done := g.Completion(); done.Status != 101 || done.BytesIn != int64(len(b)) || done.BytesOut != int64(len(b)) || done.Err != nil {
			t.Errorf("%+v", done)
		}
	})
}

func TestWhateverSideEndsATunnelTheOtherIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		target func(net.Conn, *bufio.Reader)
		client func(*client)
	}{
		"the target closes":       {func(net.Conn, *bufio.Reader) {}, func(c *client) { _, _ = io.Copy(io.Discard, c.r) }},
		"the target resets":       {func(c net.Conn, _ *bufio.Reader) { reset(c) }, func(c *client) { _, _ = io.Copy(io.Discard, c.r) }},
		"the client closes":       {func(c net.Conn, r *bufio.Reader) { _, _ = io.Copy(io.Discard, r) }, func(c *client) { _ = c.Close() }},
		"the client resets":       {func(c net.Conn, r *bufio.Reader) { _, _ = io.Copy(io.Discard, r) }, func(c *client) { reset(c.Conn); _ = c.Close() }},
		"the client goes midway":  {func(c net.Conn, _ *bufio.Reader) { _, _ = io.Copy(c, neverEnding{}) }, func(c *client) { _, _ = c.r.ReadByte(); _ = c.Close() }},
		"the target stops midway": {func(c net.Conn, r *bufio.Reader) { _, _ = r.ReadByte() }, func(c *client) { _, _ = io.Copy(c, neverEnding{}) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			done := make(chan bool)
			x := switcher(t, func(nc net.Conn, r *bufio.Reader) { c.target(nc, r); close(done) })
			g := start(t, x.addr())
			cl := g.tunnelled("\r\n")
			c.client(cl)
			_ = cl.Close()
			select {
			case <-done:
			case <-time.After(5 * time.Second):
				t.Error("the target was not told")
			}
			g.Completion()
		})
	}
}

type neverEnding struct{}

func (neverEnding) Read(b []byte) (int, error) { return len(b), nil }

func TestAnUpgradeThatIsRefusedLeavesTheConnectionInStep(t *testing.T) {
	x := newTarget(t, func(_ int, s seen) answer {
		if s.RequestURI == "/ws" {
			return answer{raw: "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\nSec-WebSocket-Version: 13\r\n\r\nno"}
		}
		return ok(s.RequestURI)
	})
	g := start(t, x.addr(), keeper)
	c := g.client()
	c.send(handshake + "\r\n" + smuggled + "GET /next HTTP/1.1\r\nHost: x\r\n\r\n")
	for i, want := range []string{"426 no", "403 {", "200 /next"} {
		h := c.must("GET")
		if got := fmt.Sprint(h.StatusCode, " ", h.body); !strings.HasPrefix(got, want) {
			t.Errorf("answer %d: %s", i, got)
		}
	}
}

// downloads are ways in which an answer can be under way for long.
var downloads = map[string]struct {
	send string
	then func(net.Conn)
}{
	"a download": {"GET / HTTP/1.1\r\nHost: x\r\nX-Test-User: alice\r\n\r\n", func(c net.Conn) {
		drip(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"+strings.Repeat("2\r\nok\r\n", 10_000), time.Millisecond)
	}},
	"a silent stream":      {"GET / HTTP/1.1\r\nHost: x\r\nX-Test-User: alice\r\n\r\n", func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\nbegun"); stay(c) }},
	"a request unanswered": {"GET / HTTP/1.1\r\nHost: x\r\nX-Test-User: alice\r\n\r\n", stay},
	"an upload":            {"POST / HTTP/1.1\r\nHost: x\r\nX-Test-User: alice\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", stay},
}

func TestOpenExchangesEndWithTheirUser(t *testing.T) {
	for name, d := range downloads {
		for way, cut := range map[string]func(*rig) int{
			"the user":       func(g *rig) int { return g.Streams.CutUser("id-alice") },
			"the credential": func(g *rig) int { return g.Streams.CutCredential("id-alice", "c-alice") },
		} {
			t.Run(name+", "+way, func(t *testing.T) {
				both(t, func(t *testing.T, o ...option) {
					arrived, ended := make(chan bool, 1), make(chan bool)
					x := rawTarget(t, func(c net.Conn) {
						b := make([]byte, 10)
						_, _ = c.Read(b)
						arrived <- true
						d.then(c)
						close(ended)
					})
					g := start(t, x.addr(), o...)
					c := g.client()
					c.send(d.send)
					<-arrived
					time.Sleep(20 * time.Millisecond)
					if n := g.Streams.CutUser("id-bob"); n != 0 {
						t.Errorf("%d of bob's were cut", n)
					}
					began := time.Now()
					if n := cut(g); n != 1 {
						t.Fatalf("%d were cut", n)
					}
					b, err := io.ReadAll(c.r)
					if took := time.Since(began); err == nil || took > time.Second {
						t.Errorf("ended after %v with %v behind %q", took, err, b)
					}
					select {
					case <-ended:
					case <-time.After(time.Second):
						t.Error("the target's side goes on")
					}
					if done := g.Completion(); done.Err != nil {
						t.Errorf("%+v", done)
					}
				})
			})
		}
	}
}

func TestATunnelEndsWithItsUser(t *testing.T) {
	both(t, func(t *testing.T, o ...option) {
		ended := make(chan bool)
		x := switcher(t, func(c net.Conn, r *bufio.Reader) {
			defer close(ended)
			go func() { _, _ = io.Copy(io.Discard, r) }() // a half-closed side is no reason to end, for this one
			drip(c, strings.Repeat("m\n", 10_000), time.Millisecond)
		})
		g := start(t, x.addr(), o...)
		c := g.tunnelled("X-Test-User: alice\r\n\r\n")
		_, _ = c.r.ReadByte()
		began := time.Now()
		if n := g.Streams.CutUser("id-alice"); n != 1 {
			t.Fatalf("%d were cut", n)
		}
		_, err := io.Copy(io.Discard, c.r)
		if took := time.Since(began); err == nil || took > time.Second {
			t.Errorf("ended after %v with %v", took, err)
		}
		select {
		case <-ended:
		case <-time.After(time.Second):
			t.Error("the target's side goes on")
		}
	})
}

func TestAnExchangeThatWasDecidedBeforeTheCutIsNotForwarded(t *testing.T) {
	x := newTarget(t, nil)
	var g *rig
	g = start(t, x.addr(), func(s *setup) {
		s.Before = func(ex *gate.Exchange) {
			if ex.Access != nil {
				g.Streams.CutUser("id-alice")
			}
		}
	})
	if all, closed := g.talk("GET / HTTP/1.1\r\nHost: x\r\nX-Test-User: alice\r\n\r\n"); len(all) != 0 || !closed || len(x.bytes()) != 0 {
		t.Errorf("%d answers, the target saw %q", len(all), x.bytes())
	}
	if done := g.Completion(); done.Status != statusGone {
		t.Errorf("%+v", done)
	}
}

func TestACutNeverHitsTheNextUserOfTheConnection(t *testing.T) {
	x := newTarget(t, nil)
	g := start(t, x.addr())
	stop := make(chan bool)
	var cutting sync.WaitGroup
	cutting.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				g.Streams.CutUser("id-alice")
			}
		}
	})
	cut, served := 0, 0
	for end := time.Now().Add(time.Second); time.Now().Before(end); {
		c := g.client()
		for range 20 { // alice's exchange may be cut; bob's, on the same connection, never
			c.send("GET / HTTP/1.1\r\nHost: x\r\nX-Test-User: alice\r\n\r\n")
			if _, err := c.hear("GET"); err != nil {
				cut++
				break
			}
			c.send("GET / HTTP/1.1\r\nHost: x\r\nX-Test-User: bob\r\n\r\n")
			if _, err := c.hear("GET"); err != nil {
				t.Fatalf("bob was cut: %v", err)
			}
			served++
		}
		_ = c.Close()
	}
	close(stop)
	cutting.Wait()
	t.Logf("%d of alice's were cut, %d of bob's served", cut, served)
}

func TestAnExchangeEndsWhenItsCredentialExpires(t *testing.T) {
	for name, d := range downloads {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := rawTarget(t, func(c net.Conn) {
				b := make([]byte, 10)
				_, _ = c.Read(b)
				d.then(c)
			})
			g := start(t, x.addr(), func(s *setup) { s.Expires = time.Now().Add(500 * time.Millisecond) })
			c := g.client()
			began := time.Now()
			c.send(d.send)
			b, err := io.ReadAll(c.r)
			if took := time.Since(began); err == nil || took < 300*time.Millisecond || took > 2*time.Second {
				t.Errorf("ended after %v with %v behind %d bytes", took, err, len(b))
			}
		})
	}
}

func TestADrainLosesNothing(t *testing.T) {
	both(t, func(t *testing.T, o ...option) {
		x := newTarget(t, func(_ int, s seen) answer {
			if s.RequestURI == "/slow" {
				time.Sleep(500 * time.Millisecond)
			}
			return ok(s.RequestURI)
		})
		g := start(t, x.addr(), o...)
		idle, busy, fresh, begun := g.client(), g.client(), g.client(), g.client()
		if c, ok := fresh.Conn.(interface{ Handshake() error }); ok {
			_ = c.Handshake()
		}
		idle.send("GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
		idle.must("GET")
		busy.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
		begun.send("GET /b HTTP/1.1\r\nHost:")
		soon(t, "the connections are not open", func() bool { return g.s.Open() == 4 })
		time.Sleep(20 * time.Millisecond)
		g.s.Drain()
		g.s.Drain()
		late := g.client() // accepted before the listener was closed
		late.send("GET /late HTTP/1.1\r\nHost: x\r\n\r\n")
		if h := late.must("GET"); h.body != "/late" || !h.Close {
			t.Errorf("a late one: %s, close %v", h.Status, h.Close)
		}
		fresh.send("GET /fresh HTTP/1.1\r\nHost: x\r\n\r\n")
		if h := fresh.must("GET"); h.body != "/fresh" || !h.Close {
			t.Errorf("a fresh one: %s, close %v", h.Status, h.Close)
		}
		if h := busy.must("GET"); h.body != "/slow" || !h.Close {
			t.Errorf("a busy one: %s, close %v", h.Status, h.Close)
		}
		idle.send("GET /c HTTP/1.1\r\nHost: x\r\n\r\n")
		if h := idle.must("GET"); h.body != "/c" || !h.Close {
			t.Errorf("an idle one: %s, close %v", h.Status, h.Close)
		}
		time.Sleep(lull)
		begun.send(" x\r\n\r\n")
		if h := begun.must("GET"); h.body != "/b" || !h.Close {
			t.Errorf("one whose head had begun: %s, close %v", h.Status, h.Close)
		}
		for _, c := range []*client{idle, busy, fresh, begun, late} {
			if err := c.ended(); err != nil {
				t.Error(err)
			}
		}
		soon(t, "connections are left", func() bool { return g.s.Open() == 0 })
	})
}

func TestADrainEndsIdleConnectionsAfterALull(t *testing.T) {
	x := newTarget(t, nil)
	g := start(t, x.addr())
	c, d := g.client(), g.client()
	c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	c.must("GET")
	soon(t, "not open", func() bool { return g.s.Open() == 2 })
	began := time.Now()
	g.s.Drain()
	for _, c := range []*client{c, d} {
		if err := c.ended(); err != nil {
			t.Error(err)
		}
	}
	if took := time.Since(began); took < lull-100*time.Millisecond || took > 3*lull {
		t.Errorf("ended after %v", took)
	}
}

func TestShutdownWaitsForWhatIsUnderWayAndCutsTheRest(t *testing.T) {
	x := newTarget(t, func(_ int, s seen) answer {
		if s.RequestURI == "/slow" {
			time.Sleep(300 * time.Millisecond)
		}
		if s.RequestURI == "/never" {
			return answer{raw: "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"}
		}
		return ok(s.RequestURI)
	})
	g := start(t, x.addr())
	idle, slow := g.client(), g.client()
	idle.send("GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
	idle.must("GET")
	slow.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
	soon(t, "not asked", func() bool { return len(x.requests()) == 2 })
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- g.s.Shutdown(ctx) }()
	if h := slow.must("GET"); h.body != "/slow" {
		t.Error(h.Status)
	}
	if err := <-ended; err != nil || g.s.Open() != 0 || idle.ended() != nil {
		t.Error(err)
	}

	g = start(t, x.addr())
	never := g.client()
	never.send("GET /never HTTP/1.1\r\nHost: x\r\n\r\n")
	soon(t, "not asked", func() bool { return len(x.requests()) == 3 })
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := g.s.Shutdown(short); err == nil || g.s.Open() != 0 {
		t.Errorf("%v, %d open", err, g.s.Open())
	}
	if b, err := io.ReadAll(never.r); err == nil {
		t.Errorf("a cut answer ended cleanly behind %q", b)
	}
}

func TestADrainUnderLoadLosesNothing(t *testing.T) {
	x := newTarget(t, func(_ int, s seen) answer { return ok(s.RequestURI) })
	g := start(t, x.addr())
	var clients sync.WaitGroup
	var sent, lost atomic.Int64
	for range 20 {
		clients.Go(func() {
			c := g.client()
			for i := 0; ; i++ {
				sent.Add(1)
				c.send(fmt.Sprintf("POST /%d HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx", i))
				h, err := c.hear("POST")
				if err != nil || h.StatusCode != 200 {
					lost.Add(1)
					return
				}
				if h.Close {
					return
				}
			}
		})
	}
	time.Sleep(200 * time.Millisecond)
	g.s.Drain()
	clients.Wait()
	if lost.Load() != 0 || sent.Load() != int64(len(x.requests())) {
		t.Errorf("%d sent, %d lost, the target saw %d", sent.Load(), lost.Load(), len(x.requests()))
	}
}

// descriptors is how many the process has open.
func descriptors(t *testing.T) int {
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(d)
}

func TestGoroutinesAndDescriptorsReturnToWhereTheyWere(t *testing.T) {
	x := newTarget(t, func(_ int, s seen) answer {
		switch s.RequestURI {
		case "/reset":
			return answer{reset: true}
		case "/cut":
			return answer{raw: "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", close: true}
		case "/late":
			time.Sleep(300 * time.Millisecond)
		}
		return ok("ok")
	})
	g := start(t, x.addr(), limits(Config{HeaderTimeout: 300 * time.Millisecond, IdleTimeout: 300 * time.Millisecond}),
		service(func(s *model.Service) { s.Timeouts.Response = model.Duration(200 * time.Millisecond) }))
	_, _ = g.talk("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	time.Sleep(10 * time.Millisecond)
	goroutines, files := runtime.NumGoroutine(), descriptors(t)
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			c, err := net.Dial("tcp", g.Host)
			if err != nil {
				return
			}
			defer func() { _ = c.Close() }()
			_ = c.SetDeadline(time.Now().Add(2 * time.Second))
			raw := []string{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "GET /reset HTTP/1.1\r\nHost: x\r\n\r\n", "GET /cut HTTP/1.1\r\nHost: x\r\n\r\n", "GET /late HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HT", "",
				"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe", "POST /cut HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nhello", "\x00\r\n\r\n", handshake + "\r\n"}[i%10]
			_, _ = io.WriteString(c, raw)
			switch i / 10 % 3 {
			case 0:
				_, _ = io.Copy(io.Discard, c)
			case 1:
				time.Sleep(20 * time.Millisecond)
				_ = c.(*net.TCPConn).SetLinger(0)
			}
		})
	}
	all.Wait()
	soon(t, "connections are left", func() bool { return g.s.Open() == 0 })
	for end := time.Now().Add(2 * idleOfLanes); ; time.Sleep(50 * time.Millisecond) {
		n, f := runtime.NumGoroutine(), descriptors(t)
		if n <= goroutines+2 && f <= files+2 {
			return
		}
		if time.Now().After(end) {
			b := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, there were %d; %d descriptors, there were %d\n%s", n, goroutines, f, files, b[:runtime.Stack(b, true)])
		}
	}
}

// idleOfLanes is how long upstream keeps idle connections.
const idleOfLanes = 5 * time.Second
