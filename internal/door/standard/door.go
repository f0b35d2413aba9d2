package standard

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/internal/door"
	"github.com/sallyport/sallyport/internal/door/upstream"
	"github.com/sallyport/sallyport/internal/model"
)

// Deps are what the door needs. All are required but what door.Deps says.
type Deps struct {
	door.Deps
	Pools *upstream.Pools
}

// Config are the limits of the door. The zero value of a field means its default.
type Config struct {
	IdleTimeout time.Duration // without progress within a request's body; 90 s
}

// Door answers requests that net/http has read. Make one with New.
type Door struct {
	deps     Deps
	idle     time.Duration
	draining atomic.Bool
}

// New makes a door.
func New(c Config, d Deps) *Door {
	if c.IdleTimeout == 0 {
		c.IdleTimeout = 90 * time.Second
	}
	d.Defaults()
	return &Door{deps: d, idle: c.IdleTimeout}
}

// Drain makes every further answer the last of its connection. A connection that
// is closed while it idles may lose a request that is on its way; one that was
// told to close does not.
func (d *Door) Drain() { d.draining.Store(true) }

type connKey struct{}

// ConnContext is an http.Server's ConnContext: it keeps the facts of a connection
// from one of its requests to the next.
func (d *Door) ConnContext(ctx context.Context, nc net.Conn) context.Context {
	c := &conn{nc: nc}
	if a, err := netip.ParseAddrPort(nc.RemoteAddr().String()); err == nil {
		c.peer = a.Addr().Unmap()
	}
	if a, err := netip.ParseAddrPort(nc.LocalAddr().String()); err == nil {
		c.port = a.Port()
	}
	return context.WithValue(ctx, connKey{}, c)
}

// recheck is how long the verdict on a client's certificate is believed: a
// revocation reaches connections that are open.
const recheck = time.Second

// conn is what is known of a connection.
type conn struct {
	nc   net.Conn
	peer netip.Addr
	port uint16

	mu    sync.Mutex
	facts *model.TLSFacts
	asked time.Time
}

// of gives the connection of a request; one that came without ConnContext is
// known by the request alone.
func (d *Door) of(r *http.Request) *conn {
	if c, ok := r.Context().Value(connKey{}).(*conn); ok {
		return c
	}
	c := &conn{}
	if a, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		c.peer = a.Addr().Unmap()
	}
	if l, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		if a, err := netip.ParseAddrPort(l.String()); err == nil {
			c.port = a.Port()
		}
	}
	return c
}

func (d *Door) tls(c *conn, state *tls.ConnectionState) *model.TLSFacts {
	if state == nil {
		return nil
	}
	if d.deps.TLS == nil {
		return &model.TLSFacts{ServerName: state.ServerName, Version: state.Version, Cipher: state.CipherSuite}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if c.facts == nil || len(state.PeerCertificates) > 0 && now.Sub(c.asked) > recheck {
		c.facts, c.asked = d.deps.TLS.Facts(state), now
	}
	return c.facts
}

// reset ends the connection so that the client cannot take a cut answer for a
// whole one.
func (c *conn) reset() {
	nc := c.nc
	for nc != nil {
		if t, ok := nc.(*net.TCPConn); ok {
			_ = t.SetLinger(0)
			_ = t.Close()
			return
		}
		inner, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			return
		}
		nc = inner.NetConn()
	}
}
