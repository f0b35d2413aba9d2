package h1

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/internal/door"
	"github.com/sallyport/sallyport/internal/model"
)

// Config are the limits of the door. The zero value of a field means its default.
type Config struct {
	HeaderBytes   int           // of a request head; 32 KiB
	HeaderTimeout time.Duration // from a head's first byte to its last; 10 s
	IdleTimeout   time.Duration // between requests, and without progress within a body; 90 s
}

func (c *Config) defaults() {
	if c.HeaderBytes == 0 {
		c.HeaderBytes = 32 << 10
	}
	if c.HeaderTimeout == 0 {
		c.HeaderTimeout = 10 * time.Second
	}
	if c.IdleTimeout == 0 {
		c.IdleTimeout = 90 * time.Second
	}
}

// Handshake tells the facts of a connection's TLS handshake, and whether a Host
// may be asked for over it; listen provides it.
type Handshake interface {
	Facts(state *tls.ConnectionState) *model.TLSFacts
	Misdirected(serverName, host string) bool
}

// Deps are what the door needs. All are required but Local and TLS.
type Deps struct {
	Gate    door.Gate
	Streams *door.Streams
	Ways    Ways
	// Local are the gateway's own paths, answered before routing; nil entries and
	// other paths below /.sallyport/ are not there.
	Local func(host, path string) http.Handler
	TLS   Handshake
	Now   func() time.Time
}

// Server serves connections. Make one with New.
type Server struct {
	cfg  Config
	deps Deps

	mu       sync.Mutex
	conns    map[*conn]struct{}
	draining atomic.Bool
	ctx      context.Context
	stop     context.CancelFunc
	dated    atomic.Pointer[stamp]
}

// New makes a server and starts its clock, which ends what outlives its limits.
func New(cfg Config, deps Deps) *Server {
	cfg.defaults()
	s := &Server{cfg: cfg, deps: deps, conns: map[*conn]struct{}{}}
	s.ctx, s.stop = context.WithCancel(context.Background())
	go s.watch()
	return s
}

// ServeConn serves one connection until it ends. nc is a *net.TCPConn, or a
// *tls.Conn whose handshake is done.
func (s *Server) ServeConn(nc net.Conn) {
	c := newConn(s, nc)
	s.mu.Lock()
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	defer func() {
		c.close()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
	if s.draining.Load() {
		return
	}
	c.serve()
}

// tick is how exactly limits of time are kept.
const tick = 200 * time.Millisecond

// watch ends what has passed its deadline. One clock for all connections costs a
// request two stores instead of timers set and unset.
func (s *Server) watch() {
	t := time.NewTicker(tick)
	defer t.Stop()
	var all []*conn
	for {
		select {
		case <-s.ctx.Done():
			return
		case now := <-t.C:
			s.mu.Lock()
			all = all[:0]
			for c := range s.conns {
				all = append(all, c)
			}
			s.mu.Unlock()
			for _, c := range all {
				c.client.check(now)
				c.target.check(now)
			}
		}
	}
}

// lull is how long a drain waits before it ends idle connections: their clients
// may have a request on its way.
const lull = time.Second

// Drain makes every further answer the last of its connection, and ends the idle
// connections after a lull.
func (s *Server) Drain() {
	if s.draining.Swap(true) {
		return
	}
	time.AfterFunc(lull, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for c := range s.conns {
			c.endIfIdle()
		}
	})
}

// Shutdown stops taking requests: idle connections end at once, the others when
// their exchange is done. When ctx ends first, what is left is cut.
func (s *Server) Shutdown(ctx context.Context) error {
	s.draining.Store(true)
	t := time.NewTicker(10 * time.Millisecond)
	defer t.Stop()
	defer s.stop()
	for {
		left := 0
		s.mu.Lock()
		for c := range s.conns {
			left++
			c.endIfIdle()
		}
		s.mu.Unlock()
		if left == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			s.mu.Lock()
			for c := range s.conns {
				c.abort()
			}
			s.mu.Unlock()
			return errors.New("cut connections that were still at work: " + ctx.Err().Error())
		case <-t.C:
		}
	}
}

// Open is how many connections there are.
func (s *Server) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// guard is one side's deadline. The side's owner sets and clears it; the server's
// clock fires it.
type guard struct {
	deadline atomic.Int64 // unix nanoseconds; 0 = none
	mu       sync.Mutex
	nc       net.Conn
	fired    bool
}

// set arms the guard for nc.
func (g *guard) set(nc net.Conn, at time.Time) {
	g.mu.Lock()
	g.nc, g.fired = nc, false
	g.mu.Unlock()
	if at.IsZero() {
		g.deadline.Store(0)
		return
	}
	g.deadline.Store(at.UnixNano())
}

// fire ends what the guarded side waits for, now.
func (g *guard) fire() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.nc != nil {
		g.fired = true
		_ = g.nc.SetDeadline(past)
	}
}

// clear disarms the guard and tells whether it has fired.
func (g *guard) clear() bool {
	g.deadline.Store(0)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.nc = nil
	return g.fired
}

func (g *guard) check(now time.Time) {
	d := g.deadline.Load()
	if d == 0 || now.UnixNano() < d {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.nc != nil && g.deadline.Load() == d {
		g.fired = true
		_ = g.nc.SetDeadline(past)
	}
}

var past = time.Unix(1, 0)
