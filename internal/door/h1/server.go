package h1

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/internal/door"
)

// Config are the limits of the door. The zero value of a field means its default.
type Config struct {
	HeaderBytes   int           // of a request head; 32 KiB
	HeaderTimeout time.Duration // from a head's first byte to its last; 10 s
	IdleTimeout   time.Duration // between requests, and without progress within a body; 90 s
	SleepAfter    time.Duration // how long a connection that waits for a request keeps its state; 5 s
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
	if c.SleepAfter == 0 {
		c.SleepAfter = defaultSleep
	}
}

// Deps are what the door needs. All are required but what door.Deps says.
type Deps struct {
	door.Deps
	Ways Ways
}

// Server serves connections. Make one with New.
type Server struct {
	cfg  Config
	deps Deps

	poller   *poller // of sleepers; nil = connections do not sleep
	mu       sync.Mutex
	conns    map[*conn]struct{}
	asleep   map[uint64]*sleeper // by ticket
	tickets  uint64              // given out
	closing  int                 // sleepers that are being closed
	draining atomic.Bool
	ctx      context.Context
	stop     context.CancelFunc
	dates    door.Dates
	clock    atomic.Int64 // unix nanoseconds of the last tick
}

// New makes a server and starts its clock, which ends what outlives its limits and
// runs until Shutdown.
func New(cfg Config, deps Deps) *Server {
	cfg.defaults()
	deps.Defaults()
	s := &Server{cfg: cfg, deps: deps, conns: map[*conn]struct{}{}, asleep: map[uint64]*sleeper{}, poller: newPoller()}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.clock.Store(time.Now().UnixNano())
	if s.poller != nil {
		go s.poller.run(s.wake)
	}
	go s.watch()
	return s
}

// ServeConn serves one connection and calls ended when that is over, which may be
// long after it returns: a connection that waits for a request has no goroutine. nc is
// a *net.TCPConn, or a *tls.Conn whose handshake is done.
func (s *Server) ServeConn(nc net.Conn, ended func()) {
	peer, port := ends(nc)
	c := newConn(s, nc, peer, port, ended)
	s.mu.Lock()
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	s.serve(c)
}

// serve serves a connection until it ends, or sleeps.
func (s *Server) serve(c *conn) {
	asleep := false
	defer func() {
		if asleep {
			return
		}
		c.close()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
		c.onEnd()
	}()
	asleep = c.serve()
}

const (
	// tick is how exactly limits of time are kept.
	tick = 200 * time.Millisecond
	// looks is after how many ticks a client that waits for its answer is looked
	// at: is it still there?
	looks = 5
)

// after is the moment d from now, at most a tick late: for limits whose start is not
// worth a look at the clock.
func (s *Server) after(d time.Duration) int64 { return s.clock.Load() + int64(d+tick) }

// watch ends what has passed its deadline, and what nobody waits for any more.
func (s *Server) watch() {
	t := time.NewTicker(tick)
	defer t.Stop()
	if s.poller != nil {
		defer s.poller.close()
	}
	var all []*conn
	awake, asleep := newCalm(), newCalm()
	for n := 0; ; n++ {
		select {
		case <-s.ctx.Done():
			return
		case <-t.C:
		}
		now := time.Now().UnixNano()
		s.clock.Store(now)
		s.mu.Lock()
		all = all[:0]
		for c := range s.conns {
			all = append(all, c)
		}
		s.mu.Unlock()
		for _, c := range all {
			c.check(now, n%looks == 0)
		}
		clear(all)
		s.endAsleep(now)
		if n%looks == 0 {
			sleepers := s.sleepers()
			awake.look(len(all) + sleepers)
			asleep.look(sleepers)
		}
	}
}

// lull is how long a drain leaves idle connections open: their clients may have a
// request on its way.
const lull = time.Second

// Drain makes every further answer the last of its connection, and ends the idle
// connections after a lull.
func (s *Server) Drain() {
	if s.draining.Swap(true) {
		return
	}
	time.AfterFunc(lull, s.endIdle)
}

// endIdle ends the connections that wait for a request.
func (s *Server) endIdle() {
	s.mu.Lock()
	for c := range s.conns {
		c.endIfIdle()
	}
	s.mu.Unlock()
	s.endAsleep(never)
}

// Shutdown stops taking requests: idle connections end at once, the others when
// their exchange is done. When ctx ends first, what is left is cut.
func (s *Server) Shutdown(ctx context.Context) error {
	s.draining.Store(true)
	t := time.NewTicker(10 * time.Millisecond)
	defer t.Stop()
	defer s.stop()
	for s.Open() > 0 {
		s.endIdle()
		select {
		case <-ctx.Done():
			return s.cut(ctx)
		case <-t.C:
		}
	}
	return nil
}

// cutting is how long a connection may take to end that was cut.
const cutting = time.Second

func (s *Server) cut(ctx context.Context) error {
	s.mu.Lock()
	for c := range s.conns {
		c.abort()
	}
	s.mu.Unlock()
	for end := time.Now().Add(cutting); s.Open() > 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	return errors.New("cut connections that were still at work: " + ctx.Err().Error())
}

// Open is how many connections there are.
func (s *Server) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns) + len(s.asleep) + s.closing
}
