package h1

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/door"
	"github.com/sallyport/sallyport/internal/door/upstream"
	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// decision is what the gate decided on, as the recorder saw it.
type decision struct {
	id, method, target, host string
	code                     model.Code
	step                     gate.Step
}

// journey is the real gate, with a recorder that remembers.
type journey struct {
	gate *gate.Gate
	plan *gate.Plan
	pool sync.Pool
	// users are the principals that X-Test-User names; a request without it is
	// nobody's.
	users   map[string]*directory.Principal
	expires time.Time
	full    atomic.Bool // decisions cannot be recorded
	quiet   bool        // remembers nothing
	before  func(ex *gate.Exchange)

	held      atomic.Int64 // exchanges out
	mu        sync.Mutex
	decisions []decision
	done      chan record.Completion
}

func (j *journey) Acquire() *gate.Exchange {
	j.held.Add(1)
	ex, ok := j.pool.Get().(*gate.Exchange)
	if !ok {
		ex = new(gate.Exchange)
	}
	ex.Plan = j.plan
	return ex
}

func (j *journey) Release(ex *gate.Exchange) {
	j.held.Add(-1)
	ex.Reset()
	j.pool.Put(ex)
}

func (j *journey) Challenges(ex *gate.Exchange) []string { return ex.Challenges() }

func (j *journey) Decide(ctx context.Context, ex *gate.Exchange) {
	j.gate.Decide(ctx, ex)
	if name, ok := ex.Get("X-Test-User"); ok && ex.Err == nil {
		if p := j.users[name]; p != nil {
			ex.Access = &gate.Access{Principal: p}
			ex.Proof = &authn.Proof{Principal: p, Credential: &p.User.Credentials[0], Expires: j.expires}
		}
	}
	if j.before != nil {
		j.before(ex)
	}
}

func (j *journey) Decided(ex *gate.Exchange) error {
	if j.full.Load() {
		return errors.New("the disk is full")
	}
	if j.quiet {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.decisions = append(j.decisions, decision{strings.Clone(ex.ID), strings.Clone(ex.Method), strings.Clone(ex.Target), strings.Clone(ex.Host), ex.Code(), ex.Step})
	return nil
}

func (j *journey) Complete(_ *gate.Exchange, c record.Completion) {
	if j.quiet {
		return
	}
	select {
	case j.done <- c:
	default:
	}
}

// decided gives the decisions so far.
func (j *journey) decided() []decision {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]decision(nil), j.decisions...)
}

// rig is a door under test, with a listener in front of it and everything behind.
type rig struct {
	t testing.TB
	*journey
	s       *Server
	streams *door.Streams
	pools   *upstream.Pools
	addr    string
	trust   *tls.Config // of a client; nil = plain
	panics  atomic.Int64
	conns   sync.WaitGroup
}

// setup is what a test may change before the door opens.
type setup struct {
	set    *model.Set
	cfg    Config
	deps   Deps
	secure bool
	j      *journey
}

type option func(*setup)

func route(edit func(*model.Route)) option {
	return func(s *setup) { edit(&s.set.Routes[0]) }
}

func service(edit func(*model.Service)) option {
	return func(s *setup) { edit(&s.set.Services[0]) }
}

func limits(c Config) option { return func(s *setup) { s.cfg = c } }

func secure(s *setup) { s.secure = true }

func principal(name string) *directory.Principal {
	return directory.NewPrincipal(model.User{ID: "id-" + name, Username: name, Credentials: []model.Credential{{ID: "c-" + name}}})
}

// start opens a door in front of the target; routes are public and lead everywhere.
func start(t testing.TB, target string, options ...option) *rig {
	t.Helper()
	s := &setup{set: model.NewSet(), j: &journey{done: make(chan record.Completion, 100_000),
		users: map[string]*directory.Principal{"alice": principal("alice"), "bob": principal("bob")}},
		cfg: Config{HeaderTimeout: 5 * time.Second, IdleTimeout: 5 * time.Second}}
	var svc model.Service
	svc.Defaults()
	svc.Name, svc.Targets = "orders", []model.Target{{URL: "http://" + target, Weight: 1}}
	svc.Timeouts.Response = model.Duration(3 * time.Second)
	var r model.Route
	r.Defaults()
	r.Name, r.Service, r.Access, r.Paths = "all", "orders", model.AccessPublic, []string{"/"}
	s.set.Services, s.set.Routes = []model.Service{svc}, []model.Route{r}
	g := &rig{t: t, journey: s.j, streams: door.NewStreams(time.Now)}
	s.deps = Deps{Gate: s.j, Streams: g.streams, Now: time.Now, Panicked: func() { g.panics.Add(1) }}
	for _, o := range options {
		o(s)
	}
	plan, faults := gate.Compile(s.set, gate.Env{ID: "gw.test", BodyBytes: 1 << 20,
		Methods: func(*model.Set) ([]authn.Method, model.Faults) { return nil, nil }})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	g.plan, g.gate = plan, gate.New(gate.Deps{Recorder: s.j, Now: time.Now})
	g.pools = upstream.New(s.set.Services, upstream.Options{})
	s.deps.Ways = g.pools
	g.s = New(s.cfg, s.deps)
	g.open(s)
	return g
}

// open listens and serves.
func (g *rig) open(s *setup) {
	t := g.t
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var server *tls.Config
	if s.secure {
		server, g.trust = certificates()
	}
	g.addr = ln.Addr().String()
	g.conns.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			g.conns.Add(1)
			go func() {
				if server != nil {
					c := tls.Server(nc, server)
					if c.Handshake() != nil {
						_ = nc.Close()
						g.conns.Done()
						return
					}
					nc = c
				}
				g.s.ServeConn(nc, g.conns.Done)
			}()
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		_ = g.s.Shutdown(ctx)
		g.conns.Wait()
		g.pools.Close()
		if n := g.held.Load(); n != 0 {
			t.Errorf("%d exchanges were not released", n)
		}
		if n := g.streams.Open(); n != 0 {
			t.Errorf("%d streams are still registered", n)
		}
	})
}

// certificates gives a pair of TLS configurations.
func certificates() (server, client *tls.Config) {
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	return &tls.Config{Certificates: s.TLS.Certificates, NextProtos: []string{"http/1.1"}}, &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"}
}

func (g *rig) dial() net.Conn {
	g.t.Helper()
	c, err := net.Dial("tcp", g.addr)
	if err != nil {
		g.t.Fatal(err)
	}
	if g.trust != nil {
		c = tls.Client(c, g.trust)
	}
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	g.t.Cleanup(func() { _ = c.Close() })
	return c
}

// completion waits for the next request's end.
func (g *rig) completion() record.Completion {
	g.t.Helper()
	select {
	case c := <-g.done:
		return c
	case <-time.After(5 * time.Second):
		g.t.Fatal("no completion was recorded")
		return record.Completion{}
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
	c := g.dial()
	return &client{c, g.t, bufio.NewReader(c)}
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
	g.t.Helper()
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
	t      testing.TB
	ln     net.Listener
	answer func(n int, s seen) answer

	mu    sync.Mutex
	raw   []*bytes.Buffer // one a connection
	saw   []seen
	open  map[net.Conn]bool
	conns sync.WaitGroup
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
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	x := &target{t: t, ln: ln, open: map[net.Conn]bool{}}
	if serve == nil {
		serve = x.serve
	}
	x.conns.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			x.mu.Lock()
			x.open[c] = true
			x.mu.Unlock()
			x.conns.Go(func() {
				defer func() {
					_ = c.Close()
					x.mu.Lock()
					delete(x.open, c)
					x.mu.Unlock()
				}()
				serve(c)
			})
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		x.mu.Lock()
		for c := range x.open {
			_ = c.Close()
		}
		x.mu.Unlock()
		x.conns.Wait()
	})
	return x
}

func (x *target) addr() string { return x.ln.Addr().String() }

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
