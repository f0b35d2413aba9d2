package lane

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"syscall"
	"time"
)

// Lane is the pool of one address. The zero value is not usable: see New.
type Lane struct {
	dial    func(ctx context.Context) (net.Conn, error)
	maxIdle int
	maxAge  time.Duration // of idleness

	mu     sync.Mutex
	idle   []*Conn // last used last
	closed bool
}

// New makes a lane that dials by dial, keeps at most maxIdle connections, and none
// that has idled for maxAge.
func New(dial func(ctx context.Context) (net.Conn, error), maxIdle int, maxAge time.Duration) *Lane {
	return &Lane{dial: dial, maxIdle: maxIdle, maxAge: maxAge}
}

// Conn is one connection of a lane, and the buffer that its answers are read into.
type Conn struct {
	net.Conn
	Reused bool

	raw   syscall.RawConn
	since time.Time // idle since
	alive bool
	peek  func(fd uintptr) bool
}

// Get gives an idle connection, or a fresh one where there is none or fresh is
// asked for. An idle connection is looked at first: one that the target has closed
// fails no request, and bytes that a target sent unasked are never taken for the
// answer to somebody's request.
func (l *Lane) Get(ctx context.Context, fresh bool) (*Conn, error) {
	for !fresh {
		c := l.pop()
		if c == nil {
			break
		}
		if time.Since(c.since) > l.maxAge || !c.Alive() {
			_ = c.Close()
			continue
		}
		c.Reused = true
		return c, nil
	}
	nc, err := l.dial(ctx)
	if err != nil {
		return nil, err
	}
	c := &Conn{Conn: nc}
	under := nc
	if t, ok := nc.(*tls.Conn); ok {
		under = t.NetConn()
	}
	if sc, ok := under.(syscall.Conn); ok {
		c.raw, _ = sc.SyscallConn()
	}
	c.peek = c.look
	return c, nil
}

func (l *Lane) pop() *Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.idle)
	if n == 0 {
		return nil
	}
	c := l.idle[n-1]
	l.idle[n-1] = nil
	l.idle = l.idle[:n-1]
	return c
}

// Put takes back a connection whose exchange has ended cleanly. One that is not to
// be used again is closed by whoever holds it.
func (l *Lane) Put(c *Conn, now time.Time) {
	c.since = now
	l.mu.Lock()
	if l.closed || len(l.idle) >= l.maxIdle {
		l.mu.Unlock()
		_ = c.Close()
		return
	}
	l.idle = append(l.idle, c)
	var old *Conn
	if len(l.idle) > 1 && now.Sub(l.idle[0].since) > l.maxAge { // one a time keeps the lane young
		old = l.idle[0]
		l.idle = append(l.idle[:0], l.idle[1:]...)
	}
	l.mu.Unlock()
	if old != nil {
		_ = old.Close()
	}
}

// Close ends the idle connections; those in use end when they are put back.
func (l *Lane) Close() {
	l.mu.Lock()
	l.closed = true
	idle := l.idle
	l.idle = nil
	l.mu.Unlock()
	for _, c := range idle {
		_ = c.Close()
	}
}

// Idle is how many connections wait.
func (l *Lane) Idle() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.idle)
}

// Alive says whether the target still holds the connection open and has sent
// nothing unasked: bytes that nobody asked for would be taken for the next answer.
func (c *Conn) Alive() bool {
	if c.raw == nil {
		return true
	}
	c.alive = false
	return c.raw.Read(c.peek) == nil && c.alive
}

func (c *Conn) look(fd uintptr) bool {
	var b [1]byte
	for {
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		if err == syscall.EINTR {
			continue
		}
		c.alive = err == syscall.EAGAIN
		return true
	}
}
