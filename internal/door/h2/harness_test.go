package h2

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/http2"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/door"
	"github.com/sallyport/sallyport/internal/door/h2/h2test"
	"github.com/sallyport/sallyport/internal/door/upstream"
	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/gate/authn"
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
	before  func(*gate.Exchange)
	pool    sync.Pool

	mu      sync.Mutex
	decided []string
	done    chan record.Completion
}

func (j *journey) Acquire() *gate.Exchange {
	ex, _ := j.pool.Get().(*gate.Exchange)
	if ex == nil {
		ex = &gate.Exchange{}
	}
	ex.Plan = j.plan
	return ex
}

func (j *journey) Release(ex *gate.Exchange) {
	ex.Reset()
	j.pool.Put(ex)
}

func (j *journey) Challenges(ex *gate.Exchange) []string { return ex.Challenges() }

func (j *journey) Decide(ctx context.Context, ex *gate.Exchange) {
	j.gate.Decide(ctx, ex)
	if j.user != nil && ex.Err == nil {
		ex.Access = &gate.Access{Principal: j.user}
		ex.Proof = &authn.Proof{Principal: j.user, Credential: &j.user.User.Credentials[0], Expires: j.expires}
	}
	if j.before != nil {
		j.before(ex)
	}
}

func (j *journey) Decided(ex *gate.Exchange) error {
	if j.refuse.Load() {
		return errors.New("the disk is full")
	}
	if j.done == nil { // of a benchmark
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.decided = append(j.decided, ex.Method+" "+string(ex.Code()))
	return nil
}

func (j *journey) decisions() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]string(nil), j.decided...)
}

func (j *journey) Complete(_ *gate.Exchange, c record.Completion) {
	select {
	case j.done <- c:
	default:
	}
}

// rig is a door under test with everything behind it, over plain TCP or TLS.
type rig struct {
	t testing.TB
	*journey
	streams *door.Streams
	pools   *upstream.Pools
	server  *Server
	host    string
	ca      *x509.CertPool
	panics  atomic.Int64
}

type world struct {
	set  *model.Set
	deps Deps
	cfg  Config
}

type option func(*world)

// start opens a door in front of backend; the one route is public and leads everywhere.
func start(t testing.TB, backend string, secure bool, options ...option) *rig {
	t.Helper()
	w := &world{set: model.NewSet(), cfg: Config{IdleTimeout: 700 * time.Millisecond, HeaderTimeout: 500 * time.Millisecond}}
	var s model.Service
	s.Defaults()
	s.Name, s.Targets = "orders", []model.Target{{URL: backend, Weight: 1}}
	var r model.Route
	r.Defaults()
	r.Name, r.Service, r.Access, r.Paths = "all", "orders", model.AccessPublic, []string{"/"}
	w.set.Services, w.set.Routes = []model.Service{s}, []model.Route{r}
	g := &rig{t: t, journey: &journey{done: make(chan record.Completion, 10000)}}
	w.deps = Deps{Gate: g.journey, Now: time.Now, Panicked: func() { g.panics.Add(1) }}
	for _, o := range options {
		o(w)
	}
	plan, faults := gate.Compile(w.set, gate.Env{ID: "test", BodyBytes: 1 << 20,
		Methods: func(*model.Set) ([]authn.Method, model.Faults) { return nil, nil }})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	g.plan = plan
	g.gate = gate.New(gate.Deps{Recorder: g.journey, Now: time.Now})
	g.journey.streamsOf(g)
	g.pools = upstream.New(w.set.Services, upstream.Options{})
	w.deps.Streams, w.deps.Ways = g.streams, g.pools
	g.server = New(w.cfg, w.deps)
	g.listen(secure)
	return g
}

func (*journey) streamsOf(g *rig) { g.streams = door.NewStreams(time.Now) }

func (g *rig) listen(secure bool) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		g.t.Fatal(err)
	}
	g.host = ln.Addr().String()
	var conf *tls.Config
	if secure {
		conf, g.ca = certificate(g.t)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer func() { _ = nc.Close() }()
				if conf == nil {
					g.server.ServeConn(nc)
					return
				}
				t := tls.Server(nc, conf)
				if t.Handshake() == nil {
					g.server.ServeConn(t)
				}
			})
		}
	})
	g.t.Cleanup(func() {
		_ = ln.Close()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = g.server.Shutdown(ctx)
		all.Wait()
		g.pools.Close()
		if n := g.panics.Load(); n > 0 {
			g.t.Errorf("%d panics", n)
		}
		if n := g.streams.Open(); n > 0 {
			g.t.Errorf("%d streams are still registered", n)
		}
	})
}

func certificate(t testing.TB) (*tls.Config, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, _ := x509.ParseCertificate(der)
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, NextProtos: []string{"h2"}}, pool
}

// client is the standard library's, over TLS.
func (g *rig) client() *http.Client {
	tr := &http.Transport{DisableCompression: true, ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: g.ca, ServerName: "localhost"}}
	g.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (g *rig) url(path string) string { return "https://" + g.host + path }

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

// raw is a client that speaks frames, well or badly.
type (
	raw   = h2test.Client
	event = h2test.Event
)

var (
	get, post = h2test.Get, h2test.Post
	with      = h2test.With
)

const endStream, endHeaders = h2test.EndStream, h2test.EndHeaders

// dial connects and says the preface with the settings given.
func (g *rig) dial(settings ...http2.Setting) *raw {
	g.t.Helper()
	c := g.dialAs(g.t)
	c.Hello(settings...)
	return c
}

func (g *rig) dialSilent() *raw { return g.dialAs(g.t) }

func (g *rig) dialAs(t testing.TB) *raw {
	t.Helper()
	nc, err := net.Dial("tcp", g.host)
	if err != nil {
		t.Fatal(err)
	}
	if g.ca == nil {
		return h2test.New(t, nc)
	}
	return h2test.New(t, tls.Client(nc, &tls.Config{RootCAs: g.ca, ServerName: "localhost", NextProtos: []string{"h2"}}))
}

// backend is a real server that remembers what it saw.
type backend struct {
	*httptest.Server
	mu   sync.Mutex
	seen []*http.Request
}

func newBackend(t testing.TB, h http.HandlerFunc) *backend {
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

func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	fmt.Fprint(w, r.Method, " ", r.RequestURI, " ", r.Host, " ", string(body))
}

// hostile is a backend that is a raw socket.
func hostile(t testing.TB, serve func(c net.Conn, r *bufio.Reader, head string)) string {
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

func read(t testing.TB, res *http.Response, err error) (int, string) {
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

func route(edit func(*model.Route)) option { return func(w *world) { edit(&w.set.Routes[0]) } }

func serviceOf(edit func(*model.Service)) option { return func(w *world) { edit(&w.set.Services[0]) } }

// patient is for tests that a busy machine may keep waiting.
func patient(w *world) { w.cfg.IdleTimeout, w.cfg.HeaderTimeout = 20*time.Second, 20*time.Second }

func limits(edit func(*Config)) option { return func(w *world) { edit(&w.cfg) } }

// elsewhere says of every host that it belongs to another certificate.
type elsewhere struct{}

func (elsewhere) Facts(s *tls.ConnectionState) *model.TLSFacts {
	return &model.TLSFacts{ServerName: s.ServerName, Version: s.Version}
}
func (elsewhere) Misdirected(string, string) bool { return true }

// sized answers with n bytes.
func sized(n int64) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(n))
		_, _ = io.CopyN(w, zeros{}, n)
	}
}
