package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Config is one listener.
type Config struct {
	Address string // host:port
	TLS     *TLS   // nil = plain HTTP
	Limits  Limits
}

// Limits bound what one client can hold. The zero value of a field means its default.
type Limits struct {
	HeaderBytes   int           // of a request's head; 32 KiB
	HeaderTimeout time.Duration // for a TLS handshake, and for a head to arrive; 10 s
	IdleTimeout   time.Duration // between requests, and without progress in a write; 90 s
}

func (l *Limits) defaults() {
	if l.HeaderBytes == 0 {
		l.HeaderBytes = 32 << 10
	}
	if l.HeaderTimeout == 0 {
		l.HeaderTimeout = 10 * time.Second
	}
	if l.IdleTimeout == 0 {
		l.IdleTimeout = 90 * time.Second
	}
}

// Options are what listeners share. All may be left out.
type Options struct {
	Cap       *Cap         // on all listeners' connections together; nil = none
	Inherited *Inheritance // sockets that were open before us
	Log       *slog.Logger
	Now       func() time.Time
}

// Listener is one open socket. Make one with Open.
type Listener struct {
	conf Config
	opt  Options
	ln   net.Listener

	live     atomic.Pointer[material] // what TLS works with now; nil on a plain listener
	base     *tls.Config
	loading  sync.Mutex
	refused  [32]byte // the fingerprint that was refused last, so that it is said once
	open     atomic.Int64
	draining atomic.Bool
	srv      server
	stop     context.CancelFunc
	life     context.Context
}

// Open reads the TLS files and binds the socket. Its error says which listener,
// what is wrong and what to do.
func Open(c Config, o Options) (*Listener, error) {
	c.Limits.defaults()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	l := &Listener{conf: c, opt: o}
	l.life, l.stop = context.WithCancel(context.Background())
	if c.TLS != nil {
		m, err := l.load()
		if err != nil {
			return nil, fmt.Errorf("listener %s: %w", c.Address, err)
		}
		l.live.Store(m)
		// Ticket keys are the base's, so that a reload ends nobody's session.
		l.base = &tls.Config{MinVersion: c.TLS.version(), NextProtos: protocols,
			GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return l.live.Load().config, nil }}
	}
	if l.ln = o.Inherited.take(c.Address); l.ln == nil {
		ln, err := net.Listen("tcp", c.Address)
		if err != nil {
			return nil, bindFault(c.Address, err)
		}
		l.ln = ln
	}
	return l, nil
}

func bindFault(address string, err error) error {
	say := func(s string) error { return fmt.Errorf("listener %s: %s (%w)", address, s, err) }
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return say("the address is in use by another program; stop that program, or give this listener another address")
	case errors.Is(err, syscall.EACCES):
		return say("this user may not open that port; use one of 1024 and above, or grant CAP_NET_BIND_SERVICE")
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return say("this machine has no such address; write 0.0.0.0 for all of its addresses")
	}
	return say("cannot listen there; an address is HOST:PORT, such as 127.0.0.1:8443")
}

// Addr is the address that the socket is bound to.
func (l *Listener) Addr() net.Addr { return l.ln.Addr() }

// AddrPort is Addr in the form in which loops are looked for.
func (l *Listener) AddrPort() netip.AddrPort {
	a, _ := netip.ParseAddrPort(l.ln.Addr().String())
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// Secure says whether the listener speaks TLS.
func (l *Listener) Secure() bool { return l.conf.TLS != nil }

// Open is how many connections there are.
func (l *Listener) Open() int { return int(l.open.Load()) }

// File duplicates the socket, to hand it to another process.
func (l *Listener) File() (*os.File, error) {
	f, ok := l.ln.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, fmt.Errorf("listener %s: the socket cannot be handed over", l.conf.Address)
	}
	return f.File()
}

// Close ends the listener at once, connections that net/http serves included.
func (l *Listener) Close() error {
	l.stop()
	err := l.ln.Close()
	l.srv.close()
	return err
}

// Cap bounds connections over all listeners.
type Cap struct {
	max     int64
	open    atomic.Int64
	refused atomic.Int64
}

// NewCap makes a bound of max connections; 0 = none.
func NewCap(max int) *Cap { return &Cap{max: int64(max)} }

// Refused is how many connections were turned away.
func (c *Cap) Refused() int64 { return c.refused.Load() }

func (c *Cap) take() bool {
	if c == nil || c.max <= 0 {
		return true
	}
	if c.open.Add(1) > c.max {
		c.open.Add(-1)
		c.refused.Add(1)
		return false
	}
	return true
}

func (c *Cap) release() {
	if c != nil && c.max > 0 {
		c.open.Add(-1)
	}
}
