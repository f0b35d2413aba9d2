package h2

import (
	"context"
	"crypto/tls"
	"errors"
	"math"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2/hpack"

	"github.com/sallyport/sallyport/internal/door/h2/compress"
	"github.com/sallyport/sallyport/internal/door/h2/frame"
	"github.com/sallyport/sallyport/internal/model"
)

// conn is one client connection.
type conn struct {
	s    *Server
	nc   net.Conn
	peer netip.Addr
	port uint16

	ctx    context.Context // ends with the connection
	cancel context.CancelFunc

	// The reader's alone.
	in      input
	dec     *hpack.Decoder
	block   block
	pending []*stream // opened, their bodies on the way: handed over before the reader waits

	// Times on the server's clock, 0 = does not apply.
	heading atomic.Int64 // since when a header block, or the preface, is under way
	writing atomic.Int64 // since when the socket takes no more

	mu      sync.Mutex
	streams map[uint32]*stream
	closed  closedRing
	uploads []upload // answered, and still going on; the oldest first
	lastID  uint32   // of the streams that the client has opened
	final   bool     // streams above finalID are nobody's any more
	finalID uint32
	busy    int       // workers at work on the connection
	heads   int       // bytes of the heads of streams that are held
	quiet   sync.Cond // busy has become 0
	idle    int64     // since when there is no stream, on the server's clock; 0 = there is one
	budget  budget
	ending  error // why the connection is being ended
	output

	shake sync.Mutex // guards the two below
	facts *model.TLSFacts
	asked time.Time // when they were established
}

// ways in which a connection ends that are nobody's fault
var (
	errIdle    = errors.New("no stream for too long")
	errRetired = errors.New("drained")
	errAborted = errors.New("cut")
)

// fault is what a client did that its connection cannot survive (RFC 9113, 5.4.1).
type fault struct {
	code frame.Code
	text string
}

func (f *fault) Error() string { return f.code.String() + ": " + f.text }

func protocolError(text string) error { return &fault{frame.ProtocolError, text} }
func sizeError(text string) error     { return &fault{frame.FrameSizeError, text} }
func calm(text string) error          { return &fault{frame.EnhanceYourCalm, text} }

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{s: s, nc: nc, streams: map[uint32]*stream{}}
	c.ctx, c.cancel = context.WithCancel(s.ctx)
	c.in.nc = nc
	c.quiet.L = &c.mu
	if a, err := netip.ParseAddrPort(nc.RemoteAddr().String()); err == nil {
		c.peer = a.Addr().Unmap()
	}
	if a, err := netip.ParseAddrPort(nc.LocalAddr().String()); err == nil {
		c.port = a.Port()
	}
	c.dec = hpack.NewDecoder(compress.Most, c.field)
	c.dec.SetMaxStringLength(c.mostBlock())
	now := s.clock.Load()
	c.idle = now
	c.budget.start(now)
	c.output.start(s.cfg.ConnWindow)
	c.heading.Store(now)
	return c
}

// serve reads frames until the connection ends, and leaves nothing behind.
func (c *conn) serve() {
	err := c.guarded()
	c.heading.Store(0)
	c.mu.Lock()
	if c.ending == nil {
		c.ending = err
	}
	err = c.ending
	var f *fault
	orderly := errors.Is(err, errIdle) || errors.Is(err, errRetired)
	if errors.As(err, &f) {
		c.goAway(c.lastID, f.code, f.text)
		c.s.deps.Log.Debug("an HTTP/2 connection was ended", "peer", c.peer.String(), "cause", f.Error())
	}
	for _, st := range c.streams {
		c.kill(st, errGone)
	}
	if orderly {
		c.dismiss(math.MaxInt64)
	}
	if f == nil && !orderly {
		c.cancel()
	}
	c.mu.Unlock()
	c.dropPending()
	if f != nil || orderly {
		c.part()
	}
	c.cancel()
	_ = c.nc.SetDeadline(past) // whoever writes for a worker must not wait for this client
	c.mu.Lock()
	for c.busy > 0 || c.flushing {
		c.quiet.Wait()
	}
	c.output.free()
	c.mu.Unlock()
	if errors.Is(err, errAborted) {
		c.discard()
	}
	_ = c.nc.Close()
	c.in.release()
}

// discard lets what the client has not read go with the connection: the kernel
// would hold it for minutes, and a TLS goodbye would wait behind it.
func (c *conn) discard() {
	nc := c.nc
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	if t, ok := nc.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
		_ = t.Close()
	}
}

// guarded keeps a fault in our code from ending more than this connection.
func (c *conn) guarded() (err error) {
	defer func() {
		if v := recover(); v != nil {
			c.s.deps.Panicked()
			c.s.deps.Log.Error("a connection met a fault in the gateway", "fault", v, "stack", string(debug.Stack()))
			err = &fault{frame.InternalError, ""}
		}
	}()
	return c.read()
}

// part says the last words and closes so that the client can read them: what it
// still sends is read for a moment, for a reset would destroy them on their way.
func (c *conn) part() {
	_ = c.nc.SetDeadline(time.Now().Add(parting))
	c.mu.Lock()
	for c.flushing {
		c.quiet.Wait()
	}
	c.flushAll()
	c.mu.Unlock()
	cw, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || cw.CloseWrite() != nil {
		return
	}
	c.in.take()
	for range 64 {
		if _, err := c.nc.Read(c.in.block[:]); err != nil {
			return
		}
	}
}

// parting is how long saying goodbye may take.
const parting = 500 * time.Millisecond

var past = time.Unix(1, 0)

// end makes the reader end the connection; with mu held.
func (c *conn) end(why error) {
	if c.ending == nil {
		c.ending = why
		_ = c.nc.SetReadDeadline(past)
	}
}

// abort ends the connection at once, from any goroutine.
func (c *conn) abort() {
	c.mu.Lock()
	c.end(errAborted)
	c.mu.Unlock()
	c.cancel()
	_ = c.nc.SetDeadline(past)
}

// farewell tells the client to open no more streams; those on their way count
// (RFC 9113, 6.8).
func (c *conn) farewell() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.final && c.ending == nil {
		c.goAway(frame.LastStream, frame.NoError, "")
		c.kick()
	}
}

// retire takes no streams beyond those that are open, and ends the connection with
// the last of them.
func (c *conn) retire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.final || c.ending != nil {
		return
	}
	c.final, c.finalID = true, c.lastID
	c.goAway(c.lastID, frame.NoError, "")
	c.kick()
	c.retired()
}

// retired ends a connection that has been retired and has nothing to do.
func (c *conn) retired() {
	if c.final && len(c.streams) == 0 && c.busy == 0 {
		c.end(errRetired)
	}
}

// check ends what has passed its limit.
func (c *conn) check(now int64) {
	limit := int64(c.s.cfg.IdleTimeout)
	if t := c.heading.Load(); t > 0 && now-t > int64(c.s.cfg.HeaderTimeout) {
		c.mu.Lock()
		c.end(calm("a header block, or the preface, takes too long"))
		c.mu.Unlock()
	}
	if t := c.writing.Load(); t > 0 && now-t > limit {
		c.abort()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.idle > 0 && now-c.idle > limit && c.ending == nil {
		c.goAway(c.lastID, frame.NoError, "")
		c.end(errIdle)
	}
	if len(c.uploads) > 0 {
		c.dismiss(now)
		c.kick()
	}
	for _, st := range c.streams {
		c.checkStream(st, now, limit)
	}
}

// checkStream ends a stream whose caller's standing has ended, or whose client takes
// nothing, or sends nothing, for too long, and fires the deadline of its target.
func (c *conn) checkStream(st *stream, now, limit int64) {
	st.target.check(now)
	switch {
	case st.until > 0 && now >= st.until:
		c.reset(st, frame.InternalError, errExpired)
		c.kick()
	case st.parked && now-st.since > limit:
		c.reset(st, frame.Cancel, errStalled)
		c.kick()
	case st.body.reader != nil:
		st.body.reader.check(now, limit)
	}
}

// recheck is how long the verdict on a client's certificate is believed: a
// revocation reaches connections that are open.
const recheck = time.Second

// handshake gives the facts of the TLS handshake; nil on a plain connection.
func (c *conn) handshake() *model.TLSFacts {
	t, ok := c.nc.(*tls.Conn)
	if !ok {
		return nil
	}
	c.shake.Lock()
	defer c.shake.Unlock()
	if c.facts != nil && (c.facts.Certificate == nil && c.facts.CertificateFault == "" || time.Since(c.asked) < recheck) {
		return c.facts
	}
	state := t.ConnectionState()
	if c.s.deps.TLS == nil {
		c.facts = &model.TLSFacts{ServerName: state.ServerName, Version: state.Version, Cipher: state.CipherSuite}
	} else {
		c.facts = c.s.deps.TLS.Facts(&state)
	}
	c.asked = time.Now()
	return c.facts
}
