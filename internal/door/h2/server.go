package h2

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/internal/door"
	"github.com/sallyport/sallyport/internal/door/upstream"
	"github.com/sallyport/sallyport/internal/model"
)

// Config are the limits of the door. The zero value of a field means its default.
type Config struct {
	HeaderBytes   int           // of a header list; 32 KiB
	HeaderTimeout time.Duration // from a header block's first byte to its last; 10 s
	IdleTimeout   time.Duration // without a stream, and without progress of one; 90 s
	Streams       int           // at a time on a connection; 250
	StreamWindow  int           // bytes of a request's body that are held; 256 KiB
	ConnWindow    int           // of all bodies of a connection; 1 MiB
}

func (c *Config) defaults() {
	for _, d := range []struct {
		v *int
		n int
	}{{&c.HeaderBytes, 32 << 10}, {&c.Streams, 250}, {&c.StreamWindow, 256 << 10}, {&c.ConnWindow, 1 << 20}} {
		if *d.v == 0 {
			*d.v = d.n
		}
	}
	if c.HeaderTimeout == 0 {
		c.HeaderTimeout = 10 * time.Second
	}
	if c.IdleTimeout == 0 {
		c.IdleTimeout = 90 * time.Second
	}
}

// Ways are the ways out to the services.
type Ways interface {
	Direct(ctx context.Context, s *model.Service, key string) (upstream.Direct, bool)
	Forward(ctx context.Context, s *model.Service, r *upstream.Request) (*upstream.Response, error)
}

// Deps are what the door needs. All are required but what door.Deps says.
type Deps struct {
	door.Deps
	Ways Ways
}

// Server serves connections. Make one with New.
type Server struct {
	cfg     Config
	deps    Deps
	workers workers
	streams sync.Pool // of *stream
	clock   atomic.Int64
	dates   door.Dates

	mu       sync.Mutex
	conns    map[*conn]struct{}
	over     bool // Shutdown has begun
	draining atomic.Bool
	ctx      context.Context
	stop     context.CancelFunc
}

// New makes a server and starts its clock, which ends what outlives its limits.
func New(cfg Config, deps Deps) *Server {
	cfg.defaults()
	deps.Defaults()
	s := &Server{cfg: cfg, deps: deps, conns: map[*conn]struct{}{}}
	s.workers.jobs = make(chan job)
	s.streams.New = func() any { return newStream() }
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.clock.Store(time.Now().UnixNano())
	go s.watch()
	return s
}

// ServeConn serves one connection until it ends. nc is a *tls.Conn whose handshake
// is done and has settled on h2, or a connection whose client knows without.
func (s *Server) ServeConn(nc net.Conn) {
	c := newConn(s, nc)
	s.mu.Lock()
	if s.draining.Load() {
		s.mu.Unlock()
		return
	}
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	defer s.remove(c)
	c.serve()
}

func (s *Server) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if s.over && len(s.conns) == 0 {
		s.workers.close()
	}
}

// tick is how exactly limits of time are kept.
const tick = 100 * time.Millisecond

// watch ends what has passed its limit. One clock for all connections costs a
// request nothing but a few stores.
func (s *Server) watch() {
	t := time.NewTicker(tick)
	defer t.Stop()
	var all []*conn
	for {
		select {
		case <-s.ctx.Done():
			return
		case now := <-t.C:
			s.clock.Store(now.UnixNano())
			s.trim()
			all = s.all(all[:0])
			for _, c := range all {
				c.check(now.UnixNano())
			}
			clear(all)
		}
	}
}

func (s *Server) trim() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.workers.trim()
	}
}

func (s *Server) all(list []*conn) []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		list = append(list, c)
	}
	return list
}

// lull is how long a client has, once it was told to open no more streams, for
// those that are on their way (RFC 9113, 6.8).
const lull = time.Second

// Drain tells every client to go elsewhere with what it has not sent yet, and after
// a lull lets the connections end with the streams that are open.
func (s *Server) Drain() {
	if s.draining.Swap(true) {
		return
	}
	for _, c := range s.all(nil) {
		c.farewell()
	}
	time.AfterFunc(lull, func() {
		for _, c := range s.all(nil) {
			c.retire()
		}
	})
}

// Shutdown takes no more streams: connections end when those that are open have
// ended. When ctx ends first, what is left is cut.
func (s *Server) Shutdown(ctx context.Context) error {
	s.draining.Store(true)
	s.mu.Lock()
	if s.over = true; len(s.conns) == 0 {
		s.workers.close()
	}
	s.mu.Unlock()
	for _, c := range s.all(nil) {
		c.retire()
	}
	defer s.stop()
	t := time.NewTicker(10 * time.Millisecond)
	defer t.Stop()
	for s.Open() > 0 {
		select {
		case <-ctx.Done():
			left := s.all(nil)
			for _, c := range left {
				c.abort()
			}
			if len(left) == 0 {
				return nil
			}
			return errors.New("cut HTTP/2 connections that were still at work: " + ctx.Err().Error())
		case <-t.C:
		}
	}
	return nil
}

// Open is how many connections there are.
func (s *Server) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

func (s *Server) date() string { return s.dates.At(s.clock.Load()) }
