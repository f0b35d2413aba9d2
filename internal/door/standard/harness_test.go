package standard

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
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
	"github.com/sallyport/sallyport/internal/listen"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// journey is the real gate, with a recorder that remembers.
type journey struct {
	gate *gate.Gate
	plan *gate.Plan
	// user, where it is set, is who every request is taken to come from.
	user    *directory.Principal
	expires time.Time
	refuse  atomic.Bool // decisions cannot be recorded
	before  func()      // runs before each decision is returned

	mu      sync.Mutex
	decided []string
	done    chan record.Completion
}

func (j *journey) Acquire() *gate.Exchange               { return &gate.Exchange{Plan: j.plan} }
func (j *journey) Release(*gate.Exchange)                {}
func (j *journey) Challenges(ex *gate.Exchange) []string { return ex.Challenges() }

func (j *journey) Decide(ctx context.Context, ex *gate.Exchange) {
	j.gate.Decide(ctx, ex)
	if j.user != nil && ex.Err == nil {
		ex.Access = &gate.Access{Principal: j.user}
		ex.Proof = &authn.Proof{Principal: j.user, Credential: &j.user.User.Credentials[0], Expires: j.expires}
	}
	if j.before != nil {
		j.before()
	}
}

func (j *journey) Decided(ex *gate.Exchange) error {
	if j.refuse.Load() {
		return errors.New("the disk is full")
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.decided = append(j.decided, ex.Method+" "+string(ex.Code()))
	return nil
}

func (j *journey) Complete(_ *gate.Exchange, c record.Completion) {
	select {
	case j.done <- c:
	default:
	}
}

// door under test, with its listener and everything behind it.
type rig struct {
	t *testing.T
	*journey
	streams *door.Streams
	pools   *upstream.Pools
	door    *Door
	l       *listen.Listener
	host    string
	ca      *x509.CertPool
	panics  atomic.Int64
	set     *model.Set
}

type option func(*model.Set, *Deps)

// start opens a door in front of backend; routes are public and lead everywhere.
func start(t *testing.T, backend string, secure bool, options ...option) *rig {
	t.Helper()
	set := model.NewSet()
	var s model.Service
	s.Defaults()
	s.Name, s.Targets = "orders", []model.Target{{URL: backend, Weight: 1}}
	var r model.Route
	r.Defaults()
	r.Name, r.Service, r.Access, r.Paths = "all", "orders", model.AccessPublic, []string{"/"}
	set.Services, set.Routes = []model.Service{s}, []model.Route{r}
	g := &rig{t: t, journey: &journey{done: make(chan record.Completion, 1000)}, set: set}
	deps := Deps{Gate: g.journey, Now: time.Now, Panicked: func() { g.panics.Add(1) }}
	for _, o := range options {
		o(set, &deps)
	}
	plan, faults := gate.Compile(set, gate.Env{ID: "test", BodyBytes: 1 << 20,
		Methods: func(*model.Set) ([]authn.Method, model.Faults) { return nil, nil }})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	g.plan = plan
	g.gate = gate.New(gate.Deps{Recorder: g.journey, Now: time.Now})
	g.streams = door.NewStreams(time.Now)
	g.pools = upstream.New(set.Services, upstream.Options{})
	t.Cleanup(g.pools.Close)
	deps.Streams, deps.Pools = g.streams, g.pools

	dir := t.TempDir()
	conf := listen.Config{Address: "127.0.0.1:0", Limits: listen.Limits{IdleTimeout: 2 * time.Second}}
	if secure {
		conf.TLS = &listen.TLS{SelfSigned: true, Dir: dir}
	}
	var err error
	if g.l, err = listen.Open(conf, listen.Options{}); err != nil {
		t.Fatal(err)
	}
	if secure {
		deps.TLS = g.l
		b, err := os.ReadFile(listen.CAFile(dir))
		if err != nil {
			t.Fatal(err)
		}
		g.ca = x509.NewCertPool()
		g.ca.AppendCertsFromPEM(b)
	}
	g.door = New(Config{IdleTimeout: 500 * time.Millisecond}, deps)
	g.host = g.l.Addr().String()
	served := make(chan error, 1)
	go func() {
		served <- g.l.Serve(listen.Handlers{HTTP: g.door, ConnContext: g.door.ConnContext, Drain: g.door.Drain})
	}()
	t.Cleanup(func() {
		_ = g.l.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return g
}

// client speaks one protocol to the rig.
func (g *rig) client(http2 bool) *http.Client {
	tr := &http.Transport{DisableCompression: true}
	if g.ca != nil {
		tr.TLSClientConfig = &tls.Config{RootCAs: g.ca, ServerName: "localhost"}
		tr.ForceAttemptHTTP2 = http2
		if !http2 {
			tr.TLSClientConfig.NextProtos = []string{"http/1.1"}
		}
	}
	g.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (g *rig) url(path string) string {
	if g.ca != nil {
		return "https://" + g.host + path
	}
	return "http://" + g.host + path
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

// talk sends bytes as they are and reads the answer.
func (g *rig) talk(raw string) (*http.Response, string, error) {
	g.t.Helper()
	c := g.dial()
	defer func() { _ = c.Close() }()
	if _, err := io.WriteString(c, raw); err != nil {
		return nil, "", err
	}
	method, _, _ := strings.Cut(raw, " ")
	res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		return nil, "", err
	}
	b, err := io.ReadAll(res.Body)
	return res, string(b), err
}

func (g *rig) dial() net.Conn {
	g.t.Helper()
	c, err := net.Dial("tcp", g.host)
	if err != nil {
		g.t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	g.t.Cleanup(func() { _ = c.Close() })
	return c
}

// backend is a real server that remembers what it saw.
type backend struct {
	*httptest.Server
	mu   sync.Mutex
	seen []*http.Request
}

func newBackend(t *testing.T, h http.HandlerFunc) *backend {
	t.Helper()
	b := &backend{}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		b.seen = append(b.seen, r)
		b.mu.Unlock()
		h(w, r)
	}))
	t.Cleanup(b.Close)
	return b
}

func (b *backend) count() int { b.mu.Lock(); defer b.mu.Unlock(); return len(b.seen) }

func (b *backend) last() *http.Request {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.seen) == 0 {
		return nil
	}
	return b.seen[len(b.seen)-1]
}

// hostile is a backend that is a raw socket.
func hostile(t *testing.T, serve func(c net.Conn, r *bufio.Reader, head string)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	all.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			all.Go(func() {
				defer func() { _ = c.Close() }()
				r := bufio.NewReader(c)
				for {
					head := ""
					for !strings.HasSuffix(head, "\r\n\r\n") {
						line, err := r.ReadString('\n')
						if err != nil {
							return
						}
						head += line
					}
					serve(c, r, head)
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		mu.Lock()
		for c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return "http://" + ln.Addr().String()
}

// twice runs a test over HTTP/1.1 and over HTTP/2.
func twice(t *testing.T, f func(t *testing.T, http2 bool)) {
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprint("http2=", http2), func(t *testing.T) { f(t, http2) })
	}
}

func read(t *testing.T, res *http.Response, err error) (int, string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func route(edit func(*model.Route)) option {
	return func(s *model.Set, _ *Deps) { edit(&s.Routes[0]) }
}

func serviceOf(edit func(*model.Service)) option {
	return func(s *model.Set, _ *Deps) { edit(&s.Services[0]) }
}
