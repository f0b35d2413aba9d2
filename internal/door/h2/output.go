package h2

import (
	"runtime"
	"sync"

	"github.com/sallyport/sallyport/internal/door/h2/compress"
	"github.com/sallyport/sallyport/internal/door/h2/frame"
)

const (
	// mostOut is where the buffer is full: whoever has more waits until it has been
	// written out.
	mostOut = 64 << 10
	// mostHeads is where it is full for heads too, which no window holds back.
	mostHeads = 4 * mostOut
	// dataSize is the most that goes into a DATA frame: with its header it fills
	// one TLS record.
	dataSize = frame.MinMax - frame.HeaderLen
	// mostUnread is where a client that reads nothing, and asks for more answers to
	// frames of its own, is given up.
	mostUnread = 1 << 20
)

// outBuffer is where frames gather.
type outBuffer struct{ b []byte }

var outBuffers = sync.Pool{New: func() any { return &outBuffer{make([]byte, 0, 4<<10)} }}

// output is the connection's way to the client. Guarded by conn.mu.
type output struct {
	out      []byte // frames that gather
	buffer   *outBuffer
	flushing bool // somebody writes, or is about to

	enc         *compress.Encoder
	sendWindow  int64 // of the connection
	firstWindow int64 // of the client's streams
	mostFrame   int   // that the client takes

	window int64 // of the connection, for the client's bodies
	owed   int   // bytes that it has not been given back

	first, last *stream // waiting for the connection's window, or for room
}

func (o *output) start(window int) {
	*o = output{enc: compress.New(), sendWindow: frame.FirstWindow, firstWindow: frame.FirstWindow,
		mostFrame: frame.MinMax, window: int64(window)}
}

// room is where the next frame goes.
func (o *output) room() []byte {
	if o.buffer == nil {
		o.buffer = outBuffers.Get().(*outBuffer)
		o.out = o.buffer.b[:0]
	}
	return o.out
}

// free gives the buffer back.
func (o *output) free() {
	if o.buffer != nil {
		recycle(o.buffer, o.out)
		o.buffer, o.out = nil, nil
	}
}

func recycle(o *outBuffer, b []byte) {
	if cap(b) > 4*mostOut { // a head of unusual size made it
		b = make([]byte, 0, 4<<10)
	}
	o.b = b[:0]
	outBuffers.Put(o)
}

// kick has what has gathered written out by somebody else; with mu held.
func (c *conn) kick() {
	if !c.flushing && len(c.out) > 0 {
		c.flushing = true
		c.s.workers.run(job{c: c})
	}
}

// gather is the end of a worker's part: it writes out what there is, but first lets
// others that are ready finish theirs, so that one write does for all. With mu
// held, which it lets go meanwhile.
func (c *conn) gather() {
	if c.flushing || len(c.out) == 0 {
		return
	}
	c.flushing = true
	if c.busy > 0 {
		c.mu.Unlock()
		runtime.Gosched()
		c.mu.Lock()
	}
	c.flushAll()
}

// flushAll writes until nothing is left. The caller has claimed flushing, and holds
// mu, which is let go meanwhile.
func (c *conn) flushAll() {
	for c.flushOnce() {
	}
	c.flushed()
}

// flushOnce writes what has gathered by now; false = there was nothing.
func (c *conn) flushOnce() bool {
	if len(c.out) == 0 {
		return false
	}
	buffer, b := c.buffer, c.out
	c.buffer, c.out = nil, nil
	c.mu.Unlock()
	var err error
	for rest := b; len(rest) > 0 && err == nil; { // a record at a time: each that is taken is progress
		n := min(len(rest), frame.MinMax)
		c.writing.Store(c.s.clock.Load())
		_, err = c.nc.Write(rest[:n])
		rest = rest[n:]
	}
	c.writing.Store(0)
	recycle(buffer, b)
	c.mu.Lock()
	if err != nil {
		c.end(err)
	}
	c.nudge()
	return true
}

// flushed ends a claim on flushing.
func (c *conn) flushed() {
	c.flushing = false
	if c.ending != nil {
		c.quiet.Broadcast()
	}
}

// push writes out what has gathered unless somebody does already: what a worker
// does before it waits for more to send. It writes once and leaves what has
// gathered meanwhile to others, for it has its own stream to carry. With mu held.
func (c *conn) push() {
	if c.flushing || len(c.out) == 0 {
		return
	}
	c.flushing = true
	c.flushOnce()
	if len(c.out) > 0 {
		c.s.workers.run(job{c: c}) // the claim goes with it
		return
	}
	c.flushed()
}

// flush is push for those that do not hold mu.
func (c *conn) flush() {
	c.mu.Lock()
	c.push()
	c.mu.Unlock()
}

// nudge lets the first of those that wait for the connection go on, where it can;
// who goes on nudges the next. With mu held.
func (c *conn) nudge() {
	if c.first == nil || c.sendWindow <= 0 || len(c.out) >= mostOut {
		return
	}
	st := c.first
	if c.first = st.next; c.first == nil {
		c.last = nil
	}
	st.next, st.queued = nil, false
	st.rouse()
}

// enqueue makes st wait for the connection; with mu held.
func (c *conn) enqueue(st *stream) {
	if st.queued {
		return
	}
	st.queued = true
	if c.last == nil {
		c.first = st
	} else {
		c.last.next = st
	}
	c.last = st
}

// dequeue takes st out of those that wait; with mu held.
func (c *conn) dequeue(st *stream) {
	if !st.queued {
		return
	}
	var before *stream
	for at := c.first; at != nil; before, at = at, at.next {
		if at != st {
			continue
		}
		if before == nil {
			c.first = st.next
		} else {
			before.next = st.next
		}
		if c.last == st {
			c.last = before
		}
		break
	}
	st.next, st.queued = nil, false
}

// send writes p as DATA, as fast as the client's windows let it, and ends the
// stream behind it where last says so.
func (c *conn) send(st *stream, p []byte, last bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !st.dead {
		n := int(max(min(int64(len(p)), st.sendWindow, c.sendWindow, int64(mostOut-len(c.out))), 0))
		if n > 0 || len(p) == 0 {
			c.data(st, p[:n], last && n == len(p))
			if p = p[n:]; len(p) == 0 {
				c.nudge()
				return nil
			}
			continue
		}
		c.park(st)
	}
	c.nudge()
	return st.cause
}

// data writes DATA frames; with mu held.
func (c *conn) data(st *stream, p []byte, last bool) {
	most := min(c.mostFrame, dataSize)
	st.sendWindow -= int64(len(p))
	c.sendWindow -= int64(len(p))
	st.sent += int64(len(p))
	for {
		n := min(len(p), most)
		flags := frame.Flags(0)
		if last && n == len(p) {
			flags = frame.EndStream
			st.localDone = true
		}
		c.out = append(frame.Append(c.room(), n, frame.Data, flags, st.id), p[:n]...)
		c.budget.useful(n)
		if p = p[n:]; len(p) == 0 {
			return
		}
	}
}

// park waits until the stream may look again; with mu held, which it lets go
// meanwhile.
func (c *conn) park(st *stream) {
	c.push()
	if st.dead {
		return
	}
	if st.sendWindow > 0 {
		if c.sendWindow > 0 && len(c.out) < mostOut {
			return // the push has made room
		}
		c.enqueue(st)
	}
	st.parked, st.since = true, c.s.clock.Load()
	c.mu.Unlock()
	<-st.wake
	c.mu.Lock()
	st.parked = false
	c.dequeue(st)
}

// makeRoom waits until the buffer takes a head; with mu held, which it lets go
// meanwhile. false = the stream has ended.
func (c *conn) makeRoom(st *stream) bool {
	for !st.dead && len(c.out) >= mostHeads {
		c.push()
		if st.dead || len(c.out) < mostHeads {
			continue
		}
		c.enqueue(st)
		st.parked, st.since = true, c.s.clock.Load()
		c.mu.Unlock()
		<-st.wake
		c.mu.Lock()
		st.parked = false
		c.dequeue(st)
	}
	return !st.dead
}

// goAway writes a GOAWAY; with mu held.
func (c *conn) goAway(last uint32, code frame.Code, text string) {
	c.out = frame.AppendGoAway(c.room(), last, code, text)
}
