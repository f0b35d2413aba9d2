package h2

import (
	"errors"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/http2"

	"github.com/sallyport/sallyport/internal/door/doortest"
	"github.com/sallyport/sallyport/internal/door/h2/h2test"
	"github.com/sallyport/sallyport/internal/model"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a door under test with everything behind it, over plain TCP or TLS.
type rig struct {
	*doortest.Rig
	server *Server
}

// world is what a test may change before the door opens.
type world struct {
	*doortest.World
	cfg Config
}

type option func(*world)

// start opens a door in front of backend; the one route is public and leads everywhere.
func start(t testing.TB, backend string, secure bool, options ...option) *rig {
	t.Helper()
	w := &world{World: doortest.NewWorld(backend), cfg: Config{IdleTimeout: 700 * time.Millisecond, HeaderTimeout: 500 * time.Millisecond}}
	w.Secure, w.HTTP2 = secure, true
	for _, o := range options {
		o(w)
	}
	g := &rig{}
	g.Rig = doortest.Open(t, w.World, func(r *doortest.Rig) doortest.Running {
		g.server = engine(r, w.cfg)
		return r.Accept(served{g.server}, "h2")
	})
	return g
}

func engine(g *doortest.Rig, cfg Config) *Server {
	return New(cfg, Deps{Deps: g.Deps(), Ways: g.Pools})
}

// served closes a connection that it has served.
type served struct{ *Server }

func (s served) ServeConn(nc net.Conn, ended func()) {
	defer ended()
	defer func() { _ = nc.Close() }()
	s.Server.ServeConn(nc)
}

// TestItIsADoor holds the engine to what every door does, with a client that is the
// standard library's.
func TestItIsADoor(t *testing.T) {
	d := doortest.Door{HTTP2: true, Own: true}
	d.Serve = func(g *doortest.Rig) doortest.Running {
		return g.Accept(served{engine(g, Config{IdleTimeout: g.Idle, HeaderTimeout: g.Header})}, "h2")
	}
	d.Cut = func(err error) bool {
		var e http2.StreamError
		return errors.As(err, &e) && e.Code == http2.ErrCodeInternal
	}
	for name, secure := range map[string]bool{"plain": false, "TLS": true} {
		d.Secure = secure
		t.Run(name, func(t *testing.T) { doortest.Run(t, d) })
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

const endStream = h2test.EndStream

// dial connects and says the preface with the settings given.
func (g *rig) dial(settings ...http2.Setting) *raw {
	g.T.Helper()
	c := g.dialSilent()
	c.Hello(settings...)
	return c
}

func (g *rig) dialSilent() *raw { return g.dialAs(g.T) }

func (g *rig) dialAs(t testing.TB) *raw {
	t.Helper()
	return h2test.New(t, g.Dial("h2"))
}

// patient is for tests that a busy machine may keep waiting.
func patient(w *world) { w.cfg.IdleTimeout, w.cfg.HeaderTimeout = 20*time.Second, 20*time.Second }

func limits(edit func(*Config)) option { return func(w *world) { edit(&w.cfg) } }

func route(edit func(*model.Route)) option { return func(w *world) { edit(&w.Set.Routes[0]) } }
