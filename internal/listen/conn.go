package listen

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// guarded is a connection that net/http serves: it ends a write that makes no
// progress, for a client that does not read must not hold an answer for ever, and
// it tells when it is closed, hijacked or not.
type guarded struct {
	net.Conn
	stall  time.Duration
	armed  atomic.Int64 // when the deadline was set last, in Unix nanoseconds
	theirs atomic.Bool  // whoever serves the connection has set a deadline
	once   sync.Once
	ended  func()
}

func (l *Listener) wrap(nc net.Conn) net.Conn {
	return &guarded{Conn: nc, stall: l.conf.Limits.IdleTimeout, ended: l.ended}
}

// NetConn is the connection inside.
func (g *guarded) NetConn() net.Conn { return g.Conn }

func (g *guarded) Write(b []byte) (int, error) {
	if !g.theirs.Load() {
		// Setting a deadline costs; a limit that is kept to an eighth will do.
		if now := time.Now(); now.UnixNano()-g.armed.Load() > int64(g.stall/8) {
			g.armed.Store(now.UnixNano())
			_ = g.Conn.SetWriteDeadline(now.Add(g.stall))
		}
	}
	n, err := g.Conn.Write(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		// What the client did not read stays with the kernel, and would for minutes
		// after the end of the connection: let it go.
		if t, ok := g.Conn.(*net.TCPConn); ok {
			_ = t.SetLinger(0)
		}
	}
	return n, err
}

func (g *guarded) SetWriteDeadline(t time.Time) error {
	g.theirs.Store(!t.IsZero())
	g.armed.Store(0)
	return g.Conn.SetWriteDeadline(t)
}

func (g *guarded) SetDeadline(t time.Time) error {
	g.theirs.Store(!t.IsZero())
	g.armed.Store(0)
	return g.Conn.SetDeadline(t)
}

func (g *guarded) CloseWrite() error {
	if c, ok := g.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return net.ErrClosed
}

func (g *guarded) Close() error {
	err := g.Conn.Close()
	g.once.Do(g.ended)
	return err
}
