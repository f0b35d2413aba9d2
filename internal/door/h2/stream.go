package h2

import (
	"context"
	"errors"
	"time"

	"github.com/sallyport/sallyport/internal/door"
	"github.com/sallyport/sallyport/internal/door/h2/frame"
	"github.com/sallyport/sallyport/internal/gate"
)

// Why a stream ended before its answer did.
var (
	errGone    = errors.New("the client went away")
	errCut     = errors.New("cut: the user or credential behind it was ended, or the gateway is stopping")
	errExpired = errors.New("cut: the credential behind it has expired")
	errStalled = errors.New("cut: the client took nothing for too long")
	errFaulty  = errors.New("the client broke the rules of its stream")
)

// stream is one request and its answer. It is used again once its worker is done
// with it and it is out of the connection's table.
type stream struct {
	c  *conn
	id uint32

	// The request's head, written by the reader before the stream is handed over.
	head head

	// Guarded by conn.mu.
	remoteDone bool // the client has ended its side
	localDone  bool // we have ended ours
	dead       bool // out of the table: reset, or done
	cause      error
	sendWindow int64
	parked     bool  // waiting for a window, or for room in the buffer
	since      int64 // when it was parked, on the server's clock
	until      int64 // when the caller's standing ends, on the server's clock; 0 = never
	queued     bool
	next       *stream // in conn.output's queue
	cancel     context.CancelCauseFunc
	body       body

	wake   chan struct{} // told when a parked stream may go on; holds one
	target guard         // deadline of the connection to the target

	carrier
}

// carrier is what a worker needs to carry a stream's exchange, and its alone.
type carrier struct {
	ex      *gate.Exchange
	began   time.Time
	streams [2]door.Stream // the user's and the client's
	started bool           // the answer's head is out
	writing bool           // it is being written, from start on: mu is held
	start   int
	status  int
	sent    int64
	wait    time.Duration
	spent   int       // how many times the request was sent again
	tried   bool      // it may have reached a target
	out     []byte    // a request to a target
	via     [2]string // as the plan has it, and as it is sent
	answer  answer
}

func newStream() *stream {
	st := &stream{wake: make(chan struct{}, 1)}
	for i := range st.streams {
		st.streams[i].Cut = st.cut
	}
	return st
}

// reuse readies the stream for another request; its buffers stay.
func (st *stream) reuse(c *conn, id uint32) {
	st.c, st.id = c, id
	st.head.reset()
	st.remoteDone, st.localDone, st.dead, st.cause = false, false, false, nil
	st.sendWindow, st.parked, st.until, st.queued, st.next, st.cancel = 0, false, 0, false, nil, nil
	st.body.reset(int64(c.s.cfg.StreamWindow))
	select {
	case <-st.wake:
	default:
	}
	st.ex, st.started, st.writing, st.status, st.sent, st.wait, st.spent, st.tried = nil, false, false, 0, 0, 0, 0, false
}

// free gives the stream back. Nobody but the caller knows it any more.
func (st *stream) free() {
	s := st.c.s
	st.c = nil
	if cap(st.out) > 64<<10 {
		st.out = nil
	}
	s.streams.Put(st)
}

// cut ends the stream from outside: its user was revoked, or a drain is over.
func (st *stream) cut() {
	c := st.c
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reset(st, frame.InternalError, errCut)
	c.kick()
}

// reset tells the client that the stream has ended, and ends it; with mu held.
func (c *conn) reset(st *stream, code frame.Code, cause error) {
	if st.dead {
		return
	}
	c.out = frame.AppendRST(c.room(), st.id, code)
	c.closed.put(st.id, byUs)
	c.kill(st, cause)
}

// kill takes the stream out of the table and ends whatever is under way for it;
// with mu held.
func (c *conn) kill(st *stream, cause error) {
	if st.dead {
		return
	}
	st.dead, st.cause = true, cause
	c.forget(st)
	st.rouse()
	st.body.fail(cause)
	if st.cancel != nil {
		st.cancel(cause)
	}
	st.target.fire()
}

// forget takes the stream out of the table; with mu held.
func (c *conn) forget(st *stream) {
	delete(c.streams, st.id)
	if len(c.streams) == 0 {
		c.idle = c.s.clock.Load()
	}
}

// rouse lets a parked stream look again; with mu held.
func (st *stream) rouse() {
	select {
	case st.wake <- struct{}{}:
	default:
	}
}

// violate ends a stream whose client broke its rules (RFC 9113, 5.4.2); with mu
// held. Who makes us do that too often is cut off (CVE-2025-8671).
func (c *conn) violate(st *stream, code frame.Code) error {
	c.reset(st, code, errFaulty)
	return c.early()
}

// early counts a stream that ended before its answer; with mu held.
func (c *conn) early() error {
	if !c.budget.earlyEnd(c.s.clock.Load()) {
		return calm("too many streams end before their answers")
	}
	return nil
}

// finish ends a worker's part in the stream, whatever came of it: what has not been
// ended properly is reset. The worker then writes out what has gathered, its own
// answer among it.
func (st *stream) finish() {
	c := st.c
	c.mu.Lock()
	unread := st.body.drop()
	if !st.dead {
		switch {
		case st.head.fault != "": // answered, and malformed (RFC 9113, 8.1.1)
			c.reset(st, frame.ProtocolError, errFaulty)
			if c.early() != nil {
				c.end(calm("too many malformed requests"))
			}
		case !st.localDone:
			c.reset(st, frame.InternalError, errFaulty)
		default:
			how := whole
			if !st.remoteDone {
				how = c.discourage(st.id)
			}
			c.closed.put(st.id, how)
			st.dead = true
			c.forget(st)
			c.budget.answered()
		}
	}
	c.credit(unread)
	c.heads -= st.head.size
	st.free()
	c.busy--
	c.gather()
	if c.busy == 0 && c.ending != nil {
		c.quiet.Broadcast()
	}
	c.retired()
	c.mu.Unlock()
}

// how a stream was closed
type closing uint32

const (
	unknown closing = iota
	whole           // both sides ended
	byUs            // we reset it, or answered it early: the client may not know yet
	byPeer          // the client reset it
)

// closedRing remembers how the last streams were closed: what may still come for
// them depends on it (RFC 9113, 5.1). Ids are odd, which leaves a bit.
type closedRing [256]uint32

func (r *closedRing) put(id uint32, how closing) { r[id/2%uint32(len(r))] = id/2<<2 | uint32(how) }

func (r *closedRing) get(id uint32) closing {
	v := r[id/2%uint32(len(r))]
	if v>>2 != id/2&(1<<30-1) {
		return unknown
	}
	return closing(v & 3)
}
