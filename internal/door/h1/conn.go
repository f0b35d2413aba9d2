package h1

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/internal/door"
	"github.com/sallyport/sallyport/internal/door/upstream"
	"github.com/sallyport/sallyport/internal/door/wire"
	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/record"
)

// conn is one client connection. Its goroutine owns everything but what is atomic
// or has a lock of its own.
type conn struct {
	s     *Server
	nc    net.Conn
	tls   *model.TLSFacts
	asked time.Time // when tls was asked for
	peer  netip.Addr
	port  uint16
	onEnd func() // is called once, behind the end
	until int64  // of a wait that began before it slept; unix nanoseconds

	ctx     context.Context // ends with the connection
	cancel  context.CancelFunc
	rest    rest
	client  guard       // writing to the client, and waiting for its next head
	feed    guard       // waiting for more of a body
	target  guard       // the target's side
	life    guard       // what the caller's credential allows
	expired atomic.Bool // and it was that which ended the exchange
	asks    asks

	in   input
	req  wire.Request
	body body
	desk *desk
	out  []byte // the desk's, as far as it is filled

	ex      *gate.Exchange
	streams [2]door.Stream // the user's and the client's
	held    upstream.Direct
	holds   bool    // held is to be given back
	spent   int     // how many times the request was sent again
	tried   bool    // it may have reached a target
	up      *upload // the body, where it does not go with the head
	began   time.Time
	decided bool // and not completed
	status  int
	sent    int64 // body bytes of the answer
	wait    time.Duration
	wmu     sync.Mutex  // interim answers may come from another goroutine
	started atomic.Bool // the final answer's head is out; set under wmu
	told    bool        // 100 (Continue) has been said; guarded by wmu
	broken  atomic.Bool // the connection cannot be kept
	severed bool        // by RST: there is nothing to linger for
}

// desk is what an exchange works with, and an idle connection does without.
type desk struct {
	out      []byte
	req, res []model.Field
	reply    reply
}

const deskSize = bufferSize + 4<<10 // a head, and a block behind it

var desks = sync.Pool{New: func() any { return &desk{out: make([]byte, 0, deskSize)} }}

func (c *conn) sit() {
	if c.desk == nil {
		c.desk = desks.Get().(*desk)
		c.out, c.req = c.desk.out[:0], wire.Request{Fields: c.desk.req[:0]}
	}
}

// leave gives the desk back, without what an odd request has made it grow to.
func (c *conn) leave() {
	d := c.desk
	if d == nil {
		return
	}
	d.req, d.reply = c.req.Fields[:0], reply{}
	if cap(d.req) > wire.MaxFields {
		d.req = nil
	}
	if cap(d.res) > wire.MaxFields {
		d.res = nil
	}
	if cap(c.out) <= 4*deskSize {
		d.out = c.out[:0]
	}
	c.desk, c.out, c.req.Fields = nil, nil, nil
	desks.Put(d)
}

// ends are the client's address and our port.
func ends(nc net.Conn) (peer netip.Addr, port uint16) {
	if a, err := netip.ParseAddrPort(nc.RemoteAddr().String()); err == nil {
		peer = a.Addr().Unmap()
	}
	if a, err := netip.ParseAddrPort(nc.LocalAddr().String()); err == nil {
		port = a.Port()
	}
	return peer, port
}

func newConn(s *Server, nc net.Conn, peer netip.Addr, port uint16, ended func()) *conn {
	c := &conn{s: s, nc: nc, peer: peer, port: port, onEnd: ended}
	c.ctx, c.cancel = context.WithCancel(s.ctx)
	c.in.init(nc)
	c.streams[0].Cut, c.streams[1].Cut = c.interrupt, c.interrupt
	return c
}

// serve answers requests, one after the other, until the connection ends or sleeps.
func (c *conn) serve() (asleep bool) {
	for {
		idle, draining := c.s.cfg.IdleTimeout, c.s.draining.Load()
		if draining { // a request may be on its way even so
			idle = min(idle, lull)
		}
		until := c.s.after(idle)
		if c.until != 0 {
			until, c.until = min(until, c.until), 0
		}
		c.rest.begin(draining)
		c.client.set(c.nc, until)
		n, err := c.in.head(&c.req, c.s.cfg.HeaderBytes, c.begin)
		fired := c.client.clear()
		if fired && err == nil {
			c.unblock()
		}
		if err != nil {
			if !fired && c.rest.sleep(err) {
				if c.doze(until) {
					return true
				}
				c.until = until
				continue
			}
			c.refuseHead(err)
			return false
		}
		c.in.r = n
		keep := c.exchange()
		c.leave()
		if !keep {
			c.linger()
			return false
		}
	}
}

// begin is called with a request's first byte: from now on it is the head's time
// that counts, and a drain waits.
func (c *conn) begin() {
	if c.rest.end() {
		c.unblock()
	}
	c.sit()
	c.began = c.s.deps.Now()
	c.client.deadline.Store(c.s.after(c.s.cfg.HeaderTimeout))
}

// refuseHead answers a head that is not one, where the client can still hear it.
func (c *conn) refuseHead(err error) {
	e := &model.Error{Code: model.RequestMalformed, Message: "The request is not well-formed HTTP/1.1."}
	switch {
	case errors.Is(err, wire.TooLarge):
		e = &model.Error{Code: model.HeadersTooLarge, Message: "The request's head is larger than this gateway takes."}
		if firstLineTooLong(c.in.buf[:c.in.w], c.s.cfg.HeaderBytes) {
			e = &model.Error{Code: model.URITooLong, Message: "The request's target is longer than this gateway takes."}
		}
	case wire.IsMalformed(err):
	default: // gone, slow, or never began: nobody to answer
		return
	}
	c.req = wire.Request{Method: known(c.req.Method), Target: visible(c.req.Target), Fields: c.req.Fields[:0], Close: true, Minor: 1}
	c.acquire()
	c.body.start(&c.in, 0, 0)
	c.ex.Err, c.ex.Step, c.ex.Detail = e.WithCause(err), gate.StepParse, err.Error()
	c.answer()
	c.in.r = c.in.w
	c.linger()
}

// known is the method of a request that was not understood, as far as it was: the
// answer to HEAD has no body even so.
func known(method string) string {
	if !model.ValidToken(method) {
		return "?"
	}
	return method
}

// visible is a target as far as it can be recorded.
func visible(target string) string {
	for i := range len(target) {
		if target[i] <= ' ' || target[i] >= 0x7f {
			return target[:i]
		}
	}
	return target
}

// firstLineTooLong says whether the first line alone takes up the limit.
func firstLineTooLong(b []byte, limit int) bool {
	if len(b) > 2 && b[0] == '\r' && b[1] == '\n' {
		b = b[2:]
	}
	for i := range min(len(b), limit-2) {
		if b[i] == '\n' {
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
	ex.NameIt(door.FillID)
	ex.Method, ex.Request.Target, ex.Host, ex.Upgrade = r.Method, r.Target, r.Host, r.Upgrade
	ex.Scheme, ex.TLS = "http", c.handshake()
	if ex.TLS != nil {
		ex.Scheme = "https"
	}
	ex.Fields = append(ex.Fields[:0], r.Fields...)
	ex.Body = r.Length != 0
	ex.Peer, ex.Port, ex.Time = c.peer, c.port, c.began
	c.status, c.sent, c.wait, c.told, c.decided = 0, 0, 0, false, false
	c.up, c.spent, c.tried = nil, 0, false
	c.broken.Store(false)
	c.started.Store(false)
}

// recheck is how long the verdict on a client's certificate is believed: a
// revocation reaches connections that are open.
const recheck = time.Second

// handshake gives what the handshake settled; nil on a plain connection.
func (c *conn) handshake() *model.TLSFacts {
	t, ok := c.nc.(*tls.Conn)
	if !ok || c.tls != nil && (c.tls.Certificate == nil && c.tls.CertificateFault == "" || c.began.Sub(c.asked) < recheck) {
		return c.tls
	}
	state := t.ConnectionState()
	c.asked = c.began
	if c.s.deps.TLS != nil {
		c.tls = c.s.deps.TLS.Facts(&state)
	} else {
		c.tls = &model.TLSFacts{ServerName: state.ServerName, Version: state.Version, Cipher: state.CipherSuite}
	}
	return c.tls
}

// exchange decides one request and answers it; false = the connection ends.
func (c *conn) exchange() bool {
	c.acquire()
	c.body.start(&c.in, c.req.Length, 0)
	c.s.deps.Screen(c.ex)
	c.answer()
	keep := !c.req.Close && !c.broken.Load()
	if keep && !c.body.ended {
		c.feed.setRead(c.nc, c.s.after(c.s.cfg.HeaderTimeout))
		keep = c.body.drain(drainMost)
		if c.feed.clear() {
			keep = false
		}
	}
	c.body.finish()
	return keep && (c.ctx.Err() == nil || c.revive())
}

// answer brings one exchange to its end. The exchange is released on return.
func (c *conn) answer() {
	ex, d := c.ex, &c.s.deps
	defer func() {
		if v := recover(); v != nil {
			c.fault(v)
		}
		c.ex = nil
		d.Gate.Release(ex)
	}()
	if h := d.Own(ex); h != nil {
		c.answerLocal(h)
		return
	}
	c.decided = true
	d.Gate.Decide(c.ctx, ex)
	var failed *model.Error
	detail := ""
	switch {
	case ex.Err != nil:
		c.refuse(ex.Err)
	case ex.Preflight:
		c.answerEmpty()
	default:
		failed, detail = c.forward()
	}
	c.complete(failed, detail)
}

func (c *conn) complete(failed *model.Error, detail string) {
	if !c.decided {
		return
	}
	c.decided = false
	c.s.deps.Gate.Complete(c.ex, record.Completion{Status: c.status, BytesIn: c.body.count, BytesOut: c.sent,
		Duration: c.s.deps.Now().Sub(c.began), Target: c.wait, Err: failed, Detail: detail})
}

// fault turns a panic in our code into a 500 that is counted, and into nothing that
// could pass for an answer where one has begun. The connection ends.
func (c *conn) fault(v any) {
	d := &c.s.deps
	d.Panicked()
	d.Log.Error("a request met a fault in the gateway", "requestId", c.ex.ID, "fault", v, "stack", string(debug.Stack()))
	c.target.clear()
	c.life.clear()
	if c.holds { // wakes whoever writes to it
		_ = c.held.Conn.SetDeadline(past)
	}
	c.up.stop()
	c.yield()
	for i := range c.streams {
		d.Streams.Remove(&c.streams[i])
	}
	c.broken.Store(true)
	e := model.NewError(model.Internal, "The gateway met an unexpected fault.")
	c.refuse(e)
	c.complete(e, "panic")
}
