package doortest

import (
	"context"
	"crypto/x509"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/door"
	"github.com/sallyport/sallyport/internal/door/upstream"
	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/record"
)

// World is what a test may change before a door opens.
type World struct {
	*Journey
	Set          *model.Set
	Local        func(host, path string) http.Handler
	TLS          door.Handshake
	Idle, Header time.Duration // the door's limits of time
	Secure       bool          // over TLS
	HTTP2        bool          // what Client speaks
}

// Option changes a world.
type Option func(*World)

// NewWorld has one service, whose target is url, and one route, which is public and
// leads everywhere. Its limits of time are none that a busy machine meets.
func NewWorld(url string) *World {
	var s model.Service
	s.Defaults()
	s.Name, s.Targets = "orders", []model.Target{{URL: url, Weight: 1}}
	var r model.Route
	r.Defaults()
	r.Name, r.Service, r.Access, r.Paths = "all", "orders", model.AccessPublic, []string{"/"}
	w := &World{Journey: &Journey{done: make(chan record.Completion, 1000)}, Set: model.NewSet(), Idle: 20 * time.Second, Header: 20 * time.Second}
	w.Set.Services, w.Set.Routes = []model.Service{s}, []model.Route{r}
	return w
}

// Route edits the route.
func Route(edit func(*model.Route)) Option { return func(w *World) { edit(&w.Set.Routes[0]) } }

// Service edits the service.
func Service(edit func(*model.Service)) Option { return func(w *World) { edit(&w.Set.Services[0]) } }

// Unlimited lets bodies of any size pass.
func Unlimited(w *World) { none := model.Size(0); w.Set.Routes[0].BodyBytes = &none }

// Brief has limits of time that a test can wait for.
func Brief(w *World) { w.Idle, w.Header = 500*time.Millisecond, 500*time.Millisecond }

// Running is a door that listens.
type Running struct {
	Host  string         // and port
	Roots *x509.CertPool // by whom its certificate is known, as localhost's; nil = plain
	// Drain lets go of all clients without losing a request.
	Drain func(context.Context) error
	// Close ends everything at once, and returns when nothing of it runs any more.
	Close func()
}

// Rig is a door under test with everything behind it.
type Rig struct {
	T testing.TB
	*World
	Running
	Streams *door.Streams
	Pools   *upstream.Pools
	// Panics counts the faults that the door met in its own code. A test that means
	// them takes them away; others fail of them.
	Panics atomic.Int64
}

// Open opens the door that serve makes in a world, until the test's end: by then
// nothing may be left of any request.
func Open(t testing.TB, w *World, serve func(*Rig) Running) *Rig {
	t.Helper()
	plan, faults := gate.Compile(w.Set, gate.Env{ID: "gw.test", BodyBytes: 1 << 20,
		Methods: func(*model.Set) ([]authn.Method, model.Faults) { return nil, nil }})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	g := &Rig{T: t, World: w, Streams: door.NewStreams(time.Now), Pools: upstream.New(w.Set.Services, upstream.Options{})}
	g.plan, g.gate = plan, gate.New(gate.Deps{Recorder: g.Journey, Now: time.Now})
	g.Running = serve(g)
	t.Cleanup(func() {
		g.Close()
		g.Pools.Close()
		if n := g.Panics.Load(); n > 0 {
			t.Errorf("%d panics", n)
		}
		if n := g.held.Load(); n != 0 {
			t.Errorf("%d exchanges were not released", n)
		}
		if n := g.Streams.Open(); n != 0 {
			t.Errorf("%d streams are still registered", n)
		}
	})
	return g
}

// Deps are what the door needs, but for its way out, which is Pools.
func (g *Rig) Deps() door.Deps {
	return door.Deps{Gate: g.Journey, Streams: g.Streams, Local: g.Local, TLS: g.TLS, Now: time.Now, Panicked: func() { g.Panics.Add(1) }}
}

// Completion waits for the next request's end.
func (g *Rig) Completion() record.Completion {
	g.T.Helper()
	select {
	case c := <-g.done:
		return c
	case <-time.After(5 * time.Second):
		g.T.Fatal("no completion was recorded")
		return record.Completion{}
	}
}
