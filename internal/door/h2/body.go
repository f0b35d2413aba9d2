package h2

import (
	"errors"
	"io"
	"strings"
	"sync"

	"github.com/sallyport/sallyport/internal/door/h2/frame"
	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/model"
)

const pieceSize = 16 << 10

type piece struct {
	data [pieceSize]byte
	next *piece
}

var pieces = sync.Pool{New: func() any { return new(piece) }}

// body is what has arrived of a request's body and has not been read. Guarded by
// conn.mu.
type body struct {
	first, last *piece
	r, w        int // unread: from r in first, up to w in last
	held        int // unread bytes

	received int64 // bytes of the body
	taken    int64 // of them, by whoever carries the request
	window   int64 // that the client may still send
	owed     int   // bytes taken, for which the stream has not been given new ones
	whole    bool  // it has been received to its end
	cause    error // why no more comes
	trailers []model.Field
	reader   *bodyReader // nil = nobody reads
}

func (b *body) reset(window int64) {
	*b = body{window: window, trailers: b.trailers[:0]}
}

// add keeps p.
func (b *body) add(p []byte) {
	b.received += int64(len(p))
	for len(p) > 0 {
		if b.last == nil || b.w == pieceSize {
			n := pieces.Get().(*piece)
			n.next = nil
			if b.last == nil {
				b.first, b.r = n, 0
			} else {
				b.last.next = n
			}
			b.last, b.w = n, 0
		}
		n := copy(b.last.data[b.w:], p)
		b.w += n
		b.held += n
		p = p[n:]
	}
	b.rouse()
}

// unread is the next piece of what is held.
func (b *body) unread() []byte {
	if b.held == 0 {
		return nil
	}
	return b.first.data[b.r:min(pieceSize, b.r+b.held)]
}

// skip lets go of n bytes of unread's.
func (b *body) skip(n int) {
	b.r += n
	b.held -= n
	b.taken += int64(n)
	if b.held == 0 || b.r == pieceSize {
		p := b.first
		b.first, b.r = p.next, 0
		if b.first == nil {
			b.last = nil
		}
		pieces.Put(p)
	}
}

// finish notes that the body has ended properly.
func (b *body) finish(trailers []model.Field) {
	b.whole = true
	b.trailers = append(b.trailers[:0], trailers...)
	b.rouse()
}

// fail ends a body that will not end properly.
func (b *body) fail(cause error) {
	if !b.whole && b.cause == nil {
		b.cause = cause
	}
	b.rouse()
}

// drop lets go of everything, and of the reader; it answers how many bytes nobody
// has taken.
func (b *body) drop() int {
	n := b.held
	for b.first != nil {
		p := b.first
		b.first = p.next
		pieces.Put(p)
	}
	b.last, b.held = nil, 0
	if b.reader != nil {
		b.reader.st = nil
		b.rouse()
		b.reader = nil
	}
	return n
}

func (b *body) rouse() {
	if b.reader == nil {
		return
	}
	select {
	case b.reader.wake <- struct{}{}:
	default:
	}
}

var (
	errOver     = errors.New("the exchange is over")
	errNoBytes  = errors.New("no byte of the body for too long")
	errTooLarge = errors.New("the body is larger than the limit")
)

// tooLarge is the answer to a body over its limit.
func tooLarge() *model.Error {
	return &model.Error{Code: model.BodyTooLarge, Message: "The request's body is larger than this route takes."}
}

func notWhole(cause error) *model.Error {
	return &model.Error{Code: model.RequestMalformed, Message: "The request's body did not arrive whole.", Err: cause}
}

// bodyReader gives a request's body to the way out, which may read it from a
// goroutine of its own, and may still be reading when the exchange has ended.
type bodyReader struct {
	c       *conn
	length  int64 // of the body; -1 = unknown
	limit   int64 // 0 = none
	patient bool  // silence is no fault: a gRPC call may say nothing for as long as it likes
	wake    chan struct{}

	// Guarded by conn.mu.
	st      *stream // nil = the exchange is over
	waiting int64   // since when, on the server's clock; 0 = not
	asked   bool    // 100 (Continue) has been said, or need not be
	failure *model.Error
}

// Read waits for bytes, and gives the client as many new ones.
func (r *bodyReader) Read(p []byte) (int, error) {
	c := r.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		st := r.st
		switch {
		case st == nil:
			return 0, errOver
		case r.failure != nil:
			return 0, r.failure
		}
		b := &st.body
		if data := b.unread(); data != nil {
			n := copy(p, data)
			b.skip(n)
			if r.limit > 0 && b.taken > r.limit { // an error, so that the target sees no shorter body
				r.failure = tooLarge()
				r.failure.Err = errTooLarge
				return 0, r.failure
			}
			c.repay(st, n)
			if b.held == 0 && b.whole {
				return n, io.EOF
			}
			return n, nil
		}
		switch {
		case b.whole:
			return 0, io.EOF
		case b.cause != nil:
			return 0, notWhole(b.cause)
		}
		r.await(st)
	}
}

// await waits for something to happen; with mu held, which it lets go meanwhile.
func (r *bodyReader) await(st *stream) {
	c := r.c
	if !r.asked {
		r.asked = true
		if st.head.expects && !st.started {
			c.interim(st, 100, nil)
			c.kick()
		}
	}
	r.waiting = c.s.clock.Load()
	c.mu.Unlock()
	<-r.wake
	c.mu.Lock()
	r.waiting = 0
}

// check ends a wait that is too long; with mu held.
func (r *bodyReader) check(now, limit int64) {
	if r.patient || r.waiting == 0 || r.failure != nil {
		return
	}
	if r.c.window <= 0 || r.st.body.window <= 0 { // it may not send: others' bodies fill the connection
		r.waiting = now
	}
	if now-r.waiting <= limit {
		return
	}
	r.failure = notWhole(errNoBytes)
	r.st.body.rouse()
}

// trailers are the request's, less what is not a client's to set. The way out asks
// for them at the body's end.
func (r *bodyReader) trailers(plan *gate.Plan) (out []model.Field) {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	if r.st == nil {
		return nil
	}
	for _, f := range r.st.body.trailers {
		if plan.PassesTrailer(f.Name) {
			out = append(out, f)
		}
	}
	return out
}

// failed is what was wrong with the body; nil = nothing.
func (r *bodyReader) failed() *model.Error {
	if r == nil {
		return nil
	}
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	return r.failure
}

// isCall says whether the fields are those of a gRPC call.
func isCall(fields []model.Field) bool {
	for i := range fields {
		if f := &fields[i]; f.Name == "content-type" {
			return strings.HasPrefix(f.Value, "application/grpc")
		}
	}
	return false
}

// repay gives the client n new bytes for those that were taken, in steps that are
// worth a frame; with mu held.
func (c *conn) repay(st *stream, n int) {
	c.credit(n)
	c.owe(st, n)
	c.kick()
}

// owe notes that n bytes of the stream's window have been used up; with mu held.
func (c *conn) owe(st *stream, n int) {
	b := &st.body
	if b.owed += n; b.owed >= c.s.cfg.StreamWindow/4 && !st.remoteDone && !st.dead {
		b.window += int64(b.owed)
		c.out = frame.AppendWindowUpdate(c.room(), st.id, b.owed)
		b.owed = 0
	}
}

// credit gives the client n new bytes of the connection's; with mu held.
func (c *conn) credit(n int) {
	if c.owed += n; c.owed < c.s.cfg.ConnWindow/4 || c.ending != nil {
		return
	}
	c.window += int64(c.owed)
	c.out = frame.AppendWindowUpdate(c.room(), 0, c.owed)
	c.owed = 0
}
