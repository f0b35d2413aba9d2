package lane

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/sallyport/sallyport/internal/door/socket"
)

// Lane is the pool of one address. The zero value is not usable: see New.
type Lane struct {
	dial    func(ctx context.Context) (net.Conn, error)
	maxIdle int
	maxAge  time.Duration // of idleness

	mu     sync.Mutex
	idle   []*Conn // last used last
	sweep  *time.Timer
	closed bool
}

// New makes a lane that dials by dial, keeps at most maxIdle connections, and none
// that has idled for maxAge.
func New(dial func(ctx context.Context) (net.Conn, error), maxIdle int, maxAge time.Duration) *Lane {
	return &Lane{dial: dial, maxIdle: maxIdle, maxAge: maxAge}
}

// Conn is one connection of a lane.
type Conn struct {
	net.Conn
	Reused bool

	raw     syscall.RawConn
	plain   bool      // what is written is what goes over the wire
	since   time.Time // idle since
	alive   bool
	peek    func(fd uintptr) bool
	written uint64 // bytes, ever
	mark    uint64 // of them, before the request that is under way
	turn    turn
	step    func(fd uintptr) bool
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
		return c, nil
	}
	return l.connect(ctx)
}

// Take is Get, but leaves it to Ask, or to whoever has something else to say, to
// look at a connection that had been idle.
func (l *Lane) Take(ctx context.Context, now time.Time) (*Conn, error) {
	for c := l.pop(); c != nil; c = l.pop() {
		if now.Sub(c.since) <= l.maxAge {
			return c, nil
		}
		_ = c.Close()
	}
	return l.connect(ctx)
}

func (l *Lane) connect(ctx context.Context) (*Conn, error) {
	nc, err := l.dial(ctx)
	if err != nil {
		return nil, err
	}
	c := &Conn{Conn: nc, plain: true}
	under := nc
	if t, ok := nc.(*tls.Conn); ok {
		under, c.plain = t.NetConn(), false
	}
	if sc, ok := under.(syscall.Conn); ok {
		c.raw, _ = sc.SyscallConn()
	}
	c.peek, c.step = c.look, c.next
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
	c.since, c.Reused = now, true
	l.mu.Lock()
	if l.closed || len(l.idle) >= l.maxIdle {
		l.mu.Unlock()
		_ = c.Close()
		return
	}
	l.idle = append(l.idle, c)
	if l.sweep == nil {
		l.sweep = time.AfterFunc(l.maxAge, l.clear)
	}
	l.mu.Unlock()
}

// clear closes what has idled for too long, and comes again while anything idles:
// a target that gets no more requests must not keep our descriptors.
func (l *Lane) clear() {
	now := time.Now()
	l.mu.Lock()
	n := 0
	for n < len(l.idle) && now.Sub(l.idle[n].since) >= l.maxAge {
		n++
	}
	old := append([]*Conn(nil), l.idle[:n]...)
	kept := append(l.idle[:0], l.idle[n:]...)
	clear(l.idle[len(kept):])
	l.idle = kept
	if l.sweep = nil; len(kept) > 0 {
		l.sweep = time.AfterFunc(l.maxAge-now.Sub(kept[0].since), l.clear)
	}
	l.mu.Unlock()
	for _, c := range old {
		_ = c.Close()
	}
}

// Close ends the idle connections; those in use end when they are put back.
func (l *Lane) Close() {
	l.mu.Lock()
	l.closed = true
	idle := l.idle
	l.idle = nil
	if l.sweep != nil {
		l.sweep.Stop()
	}
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
	c.alive = quiet(fd)
	return true
}

func quiet(fd uintptr) bool {
	var b [1]byte
	_, err := socket.Peek(fd, b[:])
	return err == syscall.EAGAIN
}

// Begin notes that what is written next is a request.
func (c *Conn) Begin() { c.mark = c.written }

// Write counts what it writes.
func (c *Conn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.written += uint64(n)
	return n, err
}

// Untaken says that the target has not taken the request that began last, whose
// exchange failed with err: it had closed the connection before the first byte
// came. Such a request may be sent again whatever its method. False is also the
// answer where nobody can tell.
//
// It is so where nothing could be written; and where the target's FIN came first,
// did not acknowledge the request, and the request met a reset. A reset alone
// proves nothing: it acknowledges nothing of what the target may have read.
func (c *Conn) Untaken(err error) bool {
	if c.written == c.mark {
		return true
	}
	if c.raw == nil || !c.plain || !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false
	}
	for range resetWait / time.Millisecond {
		closed, acked, ok := false, uint64(0), false
		err := c.raw.Control(func(fd uintptr) { closed, acked, ok = fate(fd) })
		switch {
		case err != nil || !ok || acked > c.mark+1: // the kernel counts the SYN that we sent as a byte
			return false
		case closed:
			return true
		}
		time.Sleep(time.Millisecond) // the reset is a round trip behind the FIN
	}
	return false
}

// resetWait is how long a reset may be behind the FIN.
const resetWait = 100 * time.Millisecond
