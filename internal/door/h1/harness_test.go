package h1

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/door/doortest"
	"github.com/sallyport/sallyport/internal/door/targettest"
	"github.com/sallyport/sallyport/internal/model"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a door under test, with a listener in front of it and everything behind.
type rig struct {
	*doortest.Rig
	s *Server
}

// setup is what a test may change before the door opens.
type setup struct {
	*doortest.World
	cfg Config
}

type option func(*setup)

func route(edit func(*model.Route)) option {
	return func(s *setup) { edit(&s.Set.Routes[0]) }
}

func service(edit func(*model.Service)) option {
	return func(s *setup) { edit(&s.Set.Services[0]) }
}

func limits(c Config) option { return func(s *setup) { s.cfg = c } }

func secure(s *setup) { s.Secure = true }

// start opens a door in front of the target; routes are public and lead everywhere.
func start(t testing.TB, target string, options ...option) *rig {
	t.Helper()
	s := &setup{World: doortest.NewWorld("http://" + target), cfg: Config{HeaderTimeout: 5 * time.Second, IdleTimeout: 5 * time.Second}}
	s.Users = map[string]*directory.Principal{"alice": doortest.Principal("alice"), "bob": doortest.Principal("bob")}
	s.Set.Services[0].Timeouts.Response = model.Duration(3 * time.Second)
	for _, o := range options {
		o(s)
	}
	g := &rig{}
	g.Rig = doortest.Open(t, s.World, func(r *doortest.Rig) doortest.Running {
		g.s = engine(r, s.cfg)
		return r.Accept(g.s, protocol)
	})
	return g
}

const protocol = "http/1.1"

func engine(g *doortest.Rig, cfg Config) *Server {
	return New(cfg, Deps{Deps: g.Deps(), Ways: g.Pools})
}

// TestItIsADoor holds the engine to what every door does, and every door that
// speaks HTTP/1.1.
func TestItIsADoor(t *testing.T) {
	d := doortest.Door{Own: true}
	d.Serve = func(g *doortest.Rig) doortest.Running {
		return g.Accept(engine(g, Config{HeaderTimeout: g.Header, IdleTimeout: g.Idle}), protocol)
	}
	for name, secure := range map[string]bool{"plain": false, "TLS": true} {
		d.Secure = secure
		t.Run(name, func(t *testing.T) {
			doortest.Run(t, d)
			doortest.RunHTTP1(t, d)
		})
	}
}

// heard is one answer as a client hears it.
type heard struct {
	*http.Response
	body string
	err  error // of the body
}

// client is a raw connection to the door.
type client struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

func (g *rig) client() *client {
	c := g.Dial(protocol)
	return &client{c, g.T, bufio.NewReader(c)}
}

func (c *client) send(raw string) {
	c.t.Helper()
	if _, err := io.WriteString(c, raw); err != nil {
		c.t.Fatalf("sending: %v", err)
	}
}

// hear reads one answer to a request of that method.
func (c *client) hear(method string) (heard, error) {
	res, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		return heard{}, err
	}
	b, err := io.ReadAll(res.Body)
	return heard{res, string(b), err}, nil
}

func (c *client) must(method string) heard {
	c.t.Helper()
	h, err := c.hear(method)
	if err != nil {
		c.t.Fatalf("no answer: %v", err)
	}
	return h
}

// ended waits for the connection's end and tells how it came: nil is a clean one.
func (c *client) ended() error {
	_ = c.SetReadDeadline(time.Now().Add(3 * time.Second))
	b, err := c.r.ReadByte()
	switch {
	case err == io.EOF:
		return nil
	case err == nil:
		rest, _ := c.r.Peek(c.r.Buffered())
		return fmt.Errorf("more bytes: %q", append([]byte{b}, rest...))
	}
	return err
}

// talk sends bytes and reads all answers until the connection ends or says nothing
// for a while.
func (g *rig) talk(raw string) (all []heard, closed bool) {
	g.T.Helper()
	c := g.client()
	defer func() { _ = c.Close() }()
	method, _, _ := strings.Cut(strings.TrimLeft(raw, "\r\n"), " ")
	c.send(raw)
	for {
		_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		if len(all) == 0 {
			_ = c.SetReadDeadline(time.Now().Add(3 * time.Second))
		}
		h, err := c.hear(method)
		if err != nil {
			var n net.Error
			return all, !errors.As(err, &n) || !n.Timeout()
		}
		all = append(all, h)
	}
}

// seen is one request as a target saw it.
type seen struct {
	*http.Request
	body string
	err  error // of the body
}

// target is a raw server that logs exactly the bytes that it saw, and answers what
// it is told to.
type target struct {
	host   string
	answer func(n int, s seen) answer

	mu  sync.Mutex
	raw []*bytes.Buffer // one a connection
	saw []seen
}

// answer is what a target says to a request, and what it does then.
type answer struct {
	raw   string
	close bool
	reset bool
}

func ok(body string) answer {
	return answer{raw: fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)}
}

// newTarget starts a target; nil answers everything with ok.
func newTarget(t testing.TB, f func(n int, s seen) answer) *target {
	t.Helper()
	if f == nil {
		f = func(_ int, s seen) answer {
			if s.Method == http.MethodHead {
				return answer{raw: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"}
			}
			return ok("ok")
		}
	}
	x := rawTarget(t, nil)
	x.answer = f
	return x
}

// rawTarget starts a target whose connections are served by serve.
func rawTarget(t testing.TB, serve func(c net.Conn)) *target {
	t.Helper()
	x := &target{}
	if serve == nil {
		serve = x.serve
	}
	x.host = targettest.Listen(t, serve)
	return x
}

func (x *target) addr() string { return x.host }

// tee logs what is read.
type tee struct {
	net.Conn
	x   *target
	log *bytes.Buffer
}

func (t tee) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	t.x.mu.Lock()
	t.log.Write(b[:n])
	t.x.mu.Unlock()
	return n, err
}

func (x *target) serve(c net.Conn) {
	log := &bytes.Buffer{}
	x.mu.Lock()
	x.raw = append(x.raw, log)
	x.mu.Unlock()
	r := bufio.NewReader(tee{c, x, log})
	for {
		s, err := readRequest(r, func() { _, _ = io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n") })
		if err != nil {
			return
		}
		x.mu.Lock()
		n := len(x.saw)
		x.saw = append(x.saw, s)
		x.mu.Unlock()
		a := x.answer(n, s)
		_, _ = io.WriteString(c, a.raw)
		if a.reset {
			_ = c.(*net.TCPConn).SetLinger(0)
		}
		if a.close || a.reset || s.err != nil {
			return
		}
	}
}

func readRequest(r *bufio.Reader, proceed func()) (seen, error) {
	req, err := http.ReadRequest(r)
	if err != nil {
		return seen{}, err
	}
	if strings.EqualFold(req.Header.Get("Expect"), "100-continue") {
		proceed()
	}
	b, err := io.ReadAll(req.Body)
	return seen{req, string(b), err}, nil
}

// requests gives what was seen so far.
func (x *target) requests() []seen {
	x.mu.Lock()
	defer x.mu.Unlock()
	return append([]seen(nil), x.saw...)
}

// bytes gives the log of each connection.
func (x *target) bytes() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	out := make([]string, len(x.raw))
	for i := range x.raw {
		out[i] = x.raw[i].String()
	}
	return out
}

// soon waits until ok.
func soon(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatal(what)
}
