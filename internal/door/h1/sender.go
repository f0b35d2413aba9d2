package h1

import (
	"io"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/internal/door"
)

const (
	// replay is how much of a body is kept, so that a request whose connection was
	// dead can be sent again.
	replay = 64 << 10
	// reluctance is how long a body waits that the target was asked to want, and
	// that says nothing (RFC 9110, 10.1.1).
	reluctance = time.Second
	// parting is how long the last bytes of a body may take to go out once the
	// answer is complete.
	parting = 50 * time.Millisecond
)

// A block has room for a chunk's size in front of the data, and for its end behind.
const front, back = 8, 2

// sender sends a body on to the target while its answer is being waited for, or is
// under way already. It runs on a goroutine of its own.
type sender struct {
	c    *conn
	r    *reply
	body *upload

	wanted  chan struct{} // closed when the target wants the body
	quit    chan struct{} // closed when nobody wants any more of it
	done    chan struct{} // closed when nothing more is sent
	whole   bool          // all of it was sent; read behind done
	failed  atomic.Bool   // the body failed, and the target must not take it for whole
	kept    []byte        // what was read of it, in a buffer of replays
	torn    bool          // more was read than is kept
	mu      sync.Mutex    // guards the target's deadline against answered
	heard   bool
	waiting bool // for the target's leave
}

// replays are buffers for what may have to be sent again.
var replays = sync.Pool{New: func() any { return new([replay]byte) }}

// free gives the buffer back; nothing is sent any more, and nothing is sent again.
func (s *sender) free() {
	if s != nil && s.kept != nil {
		replays.Put((*[replay]byte)(s.kept[:replay]))
		s.kept = nil
	}
}

// send starts sending.
func (r *reply) send(body *upload) {
	s := &sender{c: r.c, r: r, body: body, wanted: make(chan struct{}), quit: make(chan struct{}), done: make(chan struct{})}
	if s.waiting = r.c.req.Expect100; !s.waiting {
		close(s.wanted)
	}
	r.sender = s
	go s.run()
}

func (s *sender) run() {
	defer close(s.done)
	timer := time.NewTimer(reluctance)
	defer timer.Stop()
	select {
	case <-s.wanted:
	case <-timer.C:
	case <-s.quit:
		return
	}
	blk := blocks.Get().(*block)
	defer blocks.Put(blk)
	for {
		s.deadline(false)
		n, err := s.body.Read(blk[front : len(blk)-back])
		s.deadline(true)
		if n > 0 {
			s.keep(blk[front : front+n])
			if _, err := s.r.d.Conn.Write(s.frame(blk, n)); err != nil {
				return // whoever reads the answer finds out why
			}
		}
		switch {
		case err == io.EOF:
			s.whole = s.end() == nil
			return
		case err != nil:
			s.fail()
			return
		}
	}
}

// fail ends the exchange at the target, for the body broke off; unless it is only
// not wanted any more.
func (s *sender) fail() {
	select {
	case <-s.quit:
	default:
		s.failed.Store(true)
		s.c.target.fire()
	}
}

// frame puts a chunk's framing round the n bytes in the block.
func (s *sender) frame(blk *block, n int) []byte {
	if !s.c.req.Chunked() {
		return blk[front : front+n]
	}
	var size [front]byte
	b := append(strconv.AppendInt(size[:0], int64(n), 16), '\r', '\n')
	from := front - len(b)
	copy(blk[from:], b)
	blk[front+n], blk[front+n+1] = '\r', '\n'
	return blk[from : front+n+2]
}

// end sends the last chunk and the trailers.
func (s *sender) end() error {
	if !s.c.req.Chunked() {
		return nil
	}
	b := []byte("0\r\n")
	for _, f := range s.body.trailer() {
		b = door.AppendField(b, f.Name, f.Value)
	}
	_, err := s.r.d.Conn.Write(append(b, '\r', '\n'))
	return err
}

func (s *sender) keep(b []byte) {
	switch {
	case s.torn:
	case len(s.kept)+len(b) > replay:
		s.torn = true
		s.free()
	default:
		if s.kept == nil {
			s.kept = replays.Get().(*[replay]byte)[:0]
		}
		s.kept = append(s.kept, b...)
	}
}

// deadline starts and stops the target's time to answer: while the client is being
// waited for, the target owes nothing.
func (s *sender) deadline(runs bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.heard || s.r.d.Response <= 0 {
		return
	}
	if !runs {
		s.c.target.deadline.Store(0)
		return
	}
	s.c.target.deadline.Store(time.Now().Add(s.r.d.Response).UnixNano())
}

// proceed is called when the target says 100 (Continue); true = it was asked for it.
func (s *sender) proceed() bool {
	if s == nil || !s.waiting {
		return false
	}
	s.waiting = false
	close(s.wanted)
	return true
}

// answered is called when the target's final answer has begun.
func (s *sender) answered() {
	if s == nil {
		return
	}
	s.mu.Lock()
	s.heard = true
	s.mu.Unlock()
	if s.waiting { // it does not want the body at all
		close(s.quit)
		<-s.done
	}
}

// settle is called when the answer is complete; true = so is the body, and the
// connection to the target can be kept.
func (s *sender) settle() bool {
	if s == nil {
		return true
	}
	if s.body.whole.Load() { // the last of it is on its way
		timer := time.NewTimer(parting)
		defer timer.Stop()
		select {
		case <-s.done:
		case <-timer.C:
		}
	}
	select {
	case <-s.done:
		return s.whole
	default:
		s.halt()
		return false
	}
}

// halt ends the sending, wherever it stands, and the connection to the target with
// it. The body can be read on.
func (s *sender) halt() {
	if s == nil {
		return
	}
	select {
	case <-s.quit:
	default:
		close(s.quit)
	}
	_ = s.r.d.Conn.SetDeadline(past)
	s.body.pause(s.done)
}

// rewind gives back what was read of the body, to be sent again; false = there is
// more than was kept, or it has failed.
func (s *sender) rewind() bool {
	if s == nil {
		return true
	}
	if s.torn || s.failed.Load() {
		return false
	}
	s.body.pushBack(s.kept)
	return true
}
