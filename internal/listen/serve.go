package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// lull is how long a drain waits before it closes idle connections: their clients
// may have a request on its way.
const lull = time.Second

// Handlers are who serves the connections.
type Handlers struct {
	// HTTP serves requests that net/http has read: HTTP/2 where Conn2 is nil, and
	// HTTP/1.1 where Conn is.
	HTTP        http.Handler
	ConnContext func(ctx context.Context, nc net.Conn) context.Context
	// Conn serves a whole HTTP/1.1 connection, a *net.TCPConn or a *tls.Conn after
	// its handshake. It closes the connection and calls ended when that is over, which
	// may be after it has returned. nil = net/http does.
	Conn func(nc net.Conn, ended func())
	// Conn2 does for HTTP/2, on TLS connections that have settled on it, and returns
	// when the connection has ended. It is not asked where Conn is nil.
	Conn2 func(nc net.Conn)
	// Drain is told once that every further answer should be its connection's last.
	Drain func()
}

type server struct {
	mu    sync.Mutex
	over  bool // closed or drained before it was served
	http  *http.Server
	drain func()
}

func (s *server) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	if s.http != nil {
		_ = s.http.Close()
	}
}

// Serve accepts connections until Drain or Close, and then answers nil.
func (l *Listener) Serve(h Handlers) error {
	srv := &http.Server{Handler: h.HTTP, ConnContext: h.ConnContext, DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout: l.conf.Limits.HeaderTimeout, IdleTimeout: l.conf.Limits.IdleTimeout,
		MaxHeaderBytes: l.conf.Limits.HeaderBytes, ErrorLog: quiet(l.opt.Log), Protocols: both(),
		// Left to itself, net/http offers frames of 1 MiB, which no stream's window has
		// room for, and whoever sends one is refused.
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 250, MaxReceiveBufferPerStream: 256 << 10, MaxReadFrameSize: 16 << 10,
			MaxReceiveBufferPerConnection: 1 << 20, WriteByteTimeout: l.conf.Limits.IdleTimeout}}
	if h.Conn != nil {
		// Those connections are not wrapped, so it is net/http who says when one ends.
		srv.ConnState = func(_ net.Conn, s http.ConnState) {
			if s == http.StateClosed || s == http.StateHijacked {
				l.ended()
			}
		}
	}
	f := &feed{addr: l.ln.Addr(), conns: make(chan net.Conn), done: make(chan struct{})}
	l.srv.mu.Lock()
	over := l.srv.over
	l.srv.http, l.srv.drain = srv, h.Drain
	l.srv.mu.Unlock()
	if over {
		return nil
	}
	go func() { _ = srv.Serve(f) }()
	go l.watch()
	err := l.accept(h, f)
	if l.draining.Load() || l.life.Err() != nil || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return fmt.Errorf("listener %s: %w", l.conf.Address, err)
}

func both() *http.Protocols {
	var p http.Protocols
	p.SetHTTP1(true)
	p.SetHTTP2(true)
	return &p
}

// accept takes connections. Running out of descriptors is a state that passes, not
// a reason to stop.
func (l *Listener) accept(h Handlers, f *feed) error {
	pause := 5 * time.Millisecond
	for {
		nc, err := l.ln.Accept()
		if err != nil {
			if l.draining.Load() || errors.Is(err, net.ErrClosed) {
				return err
			}
			//lint:ignore SA1019 nothing else tells running out of descriptors from a closed socket
			if ne, ok := err.(net.Error); ok && ne.Temporary() {
				l.opt.Log.Warn("cannot accept connections for the moment", "listener", l.conf.Address, "cause", err)
				time.Sleep(pause)
				pause = min(2*pause, time.Second)
				continue
			}
			return err
		}
		pause = 5 * time.Millisecond
		if !l.opt.Cap.take() {
			_ = nc.Close()
			continue
		}
		l.open.Add(1)
		boundUnsent(nc)
		switch {
		case l.base != nil:
			go l.secure(nc, h, f)
		case h.Conn != nil:
			go h.Conn(nc, l.ended)
		default:
			f.push(l.wrap(nc))
		}
	}
}

func (l *Listener) ended() {
	l.open.Add(-1)
	l.opt.Cap.release()
}

// own lets a door's engine serve the connection to its end.
func (l *Listener) own(nc net.Conn, serve func(net.Conn)) {
	defer l.ended()
	defer func() { _ = nc.Close() }()
	serve(nc)
}

// secure makes the TLS handshake and hands the connection on by its protocol.
func (l *Listener) secure(nc net.Conn, h Handlers, f *feed) {
	if h.Conn == nil {
		nc = l.wrap(nc)
	}
	t := tls.Server(nc, l.base)
	ctx, cancel := context.WithTimeout(l.life, l.conf.Limits.HeaderTimeout)
	err := t.HandshakeContext(ctx)
	cancel()
	if err != nil {
		var plain tls.RecordHeaderError
		if errors.As(err, &plain) && plain.Conn != nil && looksPlain(plain.RecordHeader) {
			_, _ = io.WriteString(plain.Conn, "HTTP/1.0 400 Bad Request\r\nConnection: close\r\n\r\nThis port speaks https.\n")
		}
		_ = nc.Close()
		if h.Conn != nil {
			l.ended()
		}
		l.opt.Log.Debug("a TLS handshake failed", "listener", l.conf.Address, "peer", nc.RemoteAddr().String(), "cause", err)
		return
	}
	// On a stack of its own: what a handshake needs of it would stay with the connection.
	switch h2 := t.ConnectionState().NegotiatedProtocol == "h2"; {
	case h.Conn == nil || h2 && h.Conn2 == nil:
		f.push(t)
	case h2:
		go l.own(t, h.Conn2)
	default:
		go h.Conn(t, l.ended)
	}
}

// looksPlain says whether what came instead of a TLS record is an HTTP request.
func looksPlain(b [5]byte) bool {
	switch string(b[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "DELET", "PATCH":
		return true
	}
	return false
}

// Drain ends the listener: it accepts no more, tells clients that the next answer
// is the last, closes idle connections after a lull, and waits for the others.
// Where ctx ends first, what net/http serves is cut, and the error says how many
// connections were left.
func (l *Listener) Drain(ctx context.Context) error {
	l.draining.Store(true)
	_ = l.ln.Close()
	l.srv.mu.Lock()
	l.srv.over = true
	srv, drain := l.srv.http, l.srv.drain
	l.srv.mu.Unlock()
	if drain != nil {
		drain()
	}
	defer l.stop()
	if srv == nil {
		return nil
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	calm := time.After(lull)
	closing := make(chan error, 1)
	for {
		if l.open.Load() == 0 && calm == nil {
			break
		}
		select {
		case <-ctx.Done():
			n := l.open.Load()
			_ = srv.Close()
			return fmt.Errorf("listener %s: cut %d connections that were still at work: %w", l.conf.Address, n, context.Cause(ctx))
		case <-calm:
			calm = nil
			go func() { closing <- srv.Shutdown(ctx) }()
		case <-tick.C:
			if l.open.Load() == 0 && calm != nil {
				calm = nil
				go func() { closing <- srv.Shutdown(ctx) }()
			}
		}
	}
	return <-closing
}

// feed is a net.Listener that is handed its connections.
type feed struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (f *feed) push(nc net.Conn) {
	select {
	case f.conns <- nc:
	case <-f.done:
		_ = nc.Close()
	}
}

func (f *feed) Accept() (net.Conn, error) {
	select {
	case nc := <-f.conns:
		return nc, nil
	case <-f.done:
		return nil, net.ErrClosed
	}
}

func (f *feed) Close() error {
	f.once.Do(func() { close(f.done) })
	return nil
}

func (f *feed) Addr() net.Addr { return f.addr }

// quiet keeps net/http's remarks about clients' mistakes out of the log's way.
func quiet(to *slog.Logger) *log.Logger { return slog.NewLogLogger(to.Handler(), slog.LevelDebug) }
