package h1

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sallyport/sallyport/internal/door"
	"github.com/sallyport/sallyport/internal/door/wire"
	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/record"
)

// conn is one client connection. Its goroutine owns everything but what is atomic.
type conn struct {
	s    *Server
	nc   net.Conn
	tls  *model.TLSFacts
	peer netip.Addr
	port uint16

	ctx    context.Context // ends with the connection
	cancel context.CancelFunc
	idle   atomic.Bool // waiting for a request: a drain may end it
	wmu    sync.Mutex  // an interim answer may come from another goroutine
	client guard       // deadline of the client's side
	target guard       // deadline of the target's side

	in   input
	req  wire.Request
	body body
	out  []byte

	resFields []model.Field
	ex        *gate.Exchange
	stream    door.Stream
	began     time.Time

	// of the answer under way
	status  int
	sent    int64       // body bytes
	started atomic.Bool // the answer's head is out
	broken  bool        // the connection cannot be kept
	wait    time.Duration
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{s: s, nc: nc}
	c.ctx, c.cancel = context.WithCancel(s.ctx)
	c.in.init(nc)
	if a, err := netip.ParseAddrPort(nc.RemoteAddr().String()); err == nil {
		c.peer = a.Addr().Unmap()
	}
	if a, err := netip.ParseAddrPort(nc.LocalAddr().String()); err == nil {
		c.port = a.Port()
	}
	if t, ok := nc.(*tls.Conn); ok && s.deps.TLS != nil {
		state := t.ConnectionState()
		c.tls = s.deps.TLS.Facts(&state)
	}
	c.stream.Cut = c.abort
	return c
}

// serve answers requests, one after the other, until the connection ends.
func (c *conn) serve() {
	for {
		c.idle.Store(true)
		if c.s.draining.Load() && c.in.r == c.in.w {
			return
		}
		c.client.set(c.nc, time.Now().Add(c.s.cfg.IdleTimeout))
		n, err := c.in.head(&c.req, c.s.cfg.HeaderBytes, c.begin)
		timedOut := c.client.clear()
		if err != nil {
			c.refuseHead(err, timedOut)
			return
		}
		c.in.r = n
		if !c.exchange() {
			c.linger()
			return
		}
	}
}

// begin is called with a request's first byte: from now on it is the head's time
// that counts, and a drain waits.
func (c *conn) begin() {
	c.idle.Store(false)
	c.began = c.s.deps.Now()
	c.client.deadline.Store(time.Now().Add(c.s.cfg.HeaderTimeout).UnixNano())
}

// refuseHead answers a head that is not one, where the client can still hear it.
func (c *conn) refuseHead(err error, timedOut bool) {
	e := &model.Error{Code: model.RequestMalformed, Message: "The request is not well-formed HTTP/1.1."}
	var bad wire.Malformed
	switch {
	case errors.Is(err, wire.TooLarge):
		e = &model.Error{Code: model.HeadersTooLarge, Message: "The request's head is larger than this gateway takes."}
		if firstLineTooLong(c.in.buf[:c.in.w]) {
			e = &model.Error{Code: model.URITooLong, Message: "The request's target is longer than this gateway takes."}
		}
	case errors.As(err, &bad):
	default: // gone, slow, or never began: nobody to answer
		_ = timedOut
		return
	}
	c.req = wire.Request{Method: "?", Fields: c.req.Fields[:0], Close: true, Minor: 1}
	c.acquire()
	c.ex.Err, c.ex.Step, c.ex.Detail = e.WithCause(err), gate.StepParse, err.Error()
	c.body.start(&c.in, 0, 0)
	c.s.deps.Gate.Decide(c.ctx, c.ex)
	c.refuse(c.ex.Err)
	c.complete(nil, "")
	c.in.r = c.in.w
	c.linger()
}

func firstLineTooLong(b []byte) bool {
	for _, x := range b {
		if x == '\n' {
			return false
		}
	}
	return true
}

// acquire fills an exchange with the request's facts.
func (c *conn) acquire() {
	ex := c.s.deps.Gate.Acquire()
	c.ex = ex
	r := &c.req
	ex.ID = door.NewID()
	ex.Method, ex.Request.Target, ex.Host, ex.Upgrade = r.Method, r.Target, r.Host, r.Upgrade
	ex.Scheme, ex.TLS = "http", c.tls
	if c.tls != nil {
		ex.Scheme = "https"
	}
	ex.Fields = append(ex.Fields[:0], r.Fields...)
	ex.Peer, ex.Port, ex.Time = c.peer, c.port, c.began
	c.status, c.sent, c.broken, c.wait = 0, 0, false, 0
	c.started.Store(false)
}

// exchange decides one request and answers it; false = the connection ends.
func (c *conn) exchange() bool {
	c.acquire()
	c.body.start(&c.in, c.req.Length, 0)
	keep := c.answer()
	c.ex = nil
	if c.broken || c.req.Close || c.s.draining.Load() {
		keep = false
	}
	if keep && !c.body.drain(64<<10, time.Now().Add(c.s.cfg.HeaderTimeout)) {
		keep = false
	}
	c.body.finish()
	return keep
}

// answer brings one exchange to its end. The exchange is released on return.
func (c *conn) answer() bool {
	ex, d := c.ex, &c.s.deps
	defer d.Gate.Release(ex)
	if h := c.local(); h != nil {
		return c.answerLocal(h)
	}
	if c.tls != nil && c.tls.ServerName != "" && d.TLS.Misdirected(c.tls.ServerName, ex.Host) {
		ex.Err, ex.Step = &model.Error{Code: model.Misdirected, Message: "This connection was opened for another host name."}, gate.StepAccept
	}
	d.Gate.Decide(c.ctx, ex)
	var failed *model.Error
	detail := ""
	switch {
	case ex.Err != nil:
		c.refuse(ex.Err)
	case ex.Preflight:
		c.answerPreflight()
	default:
		failed, detail = c.forward()
	}
	c.complete(failed, detail)
	return true
}

func (c *conn) complete(failed *model.Error, detail string) {
	c.s.deps.Gate.Complete(c.ex, record.Completion{Status: c.status, BytesIn: c.body.count, BytesOut: c.sent,
		Duration: c.s.deps.Now().Sub(c.began), Target: c.wait, Err: failed, Detail: detail})
}

// write sends b to the client, within the idle limit.
func (c *conn) write(b []byte) error {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	c.client.set(c.nc, time.Now().Add(c.s.cfg.IdleTimeout))
	_, err := c.nc.Write(b)
	c.client.clear()
	if err != nil {
		c.broken = true
	}
	return err
}

// abort ends the connection at once, from any goroutine: a user was revoked, or a
// drain is over.
func (c *conn) abort() {
	c.cancel()
	_ = c.nc.SetDeadline(past)
	c.target.fire()
}

// endIfIdle ends a connection that waits for a request.
func (c *conn) endIfIdle() {
	if c.idle.Load() {
		_ = c.nc.SetReadDeadline(past)
	}
}

// linger closes so that the client can read the last answer: what it still sends
// is read for a moment, for a reset would destroy the answer on its way.
func (c *conn) linger() {
	if !c.started.Load() {
		return
	}
	cw, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || cw.CloseWrite() != nil {
		return
	}
	_ = c.nc.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
	scrap := blocks.Get().(*block)
	defer blocks.Put(scrap)
	for range 64 {
		if _, err := c.nc.Read(scrap[:]); err != nil {
			return
		}
	}
}

// reset ends the connection so that the client cannot take a cut answer for a
// whole one.
func (c *conn) reset() {
	c.broken = true
	c.started.Store(false) // nothing to linger for
	if t, ok := c.nc.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	} else if t, ok := c.nc.(*tls.Conn); ok {
		if tcp, ok := t.NetConn().(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
			_ = tcp.Close()
		}
	}
}

func (c *conn) close() {
	c.cancel()
	_ = c.nc.Close()
	c.in.r, c.in.w = 0, 0
	c.in.release()
}

// gone says whether err means that the client went away or was cut.
func gone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, os.ErrDeadlineExceeded)
}
