package lane

import (
	"errors"
	"io"
	"syscall"

	"github.com/sallyport/sallyport/internal/door/socket"
)

// ErrStale is said of a connection that had been idle and that the target has closed
// meanwhile, or has sent something over that nobody asked for. Nothing was written.
var ErrStale = errors.New("the target gave up the kept connection")

// Roomer gives the buffer that an answer is read into. It is asked for once there is
// something to read, so that nobody who waits holds one.
type Roomer interface{ Room() []byte }

// turn is one request and the beginning of its answer.
type turn struct {
	out        []byte // what is still to be written
	room       Roomer
	n          int
	werr, rerr error
	asked      bool
	slow       bool // it did not fit into the kernel at once
}

// Ask writes a request and reads the first bytes of its answer into room's buffer. werr is why the request did not go out whole, rerr why no answer came; where
// n is 0 and both are nil, the request has gone out and the answer is to be read.
//
// It does within one wait for reading what would else be four calls: looking whether
// an idle connection is still good, writing, a read that finds nothing yet, and the
// read that does. From the moment the wait is made ready, before the look, no byte and
// no end can come unnoticed.
func (c *Conn) Ask(request []byte, room Roomer) (n int, werr, rerr error) {
	c.Begin()
	if c.raw == nil || !c.plain {
		if c.Reused && !c.Alive() {
			return 0, ErrStale, nil
		}
		_, werr = c.Write(request)
		return 0, werr, nil
	}
	c.turn = turn{out: request, room: room}
	t := &c.turn
	if err := c.raw.Read(c.step); err != nil {
		t.rerr = err
	}
	if t.slow {
		_, t.werr = c.Write(t.out)
	}
	n, werr, rerr = t.n, t.werr, t.rerr
	c.turn = turn{}
	return n, werr, rerr
}

// next is called when there may be something to do; false = wait until there is
// something to read.
func (c *Conn) next(fd uintptr) (done bool) {
	t := &c.turn
	if t.asked {
		return c.hear(fd)
	}
	t.asked = true
	if c.Reused && !quiet(fd) {
		t.werr = ErrStale
		return true
	}
	n, err := socket.Write(fd, t.out)
	c.written += uint64(n)
	t.out = t.out[n:]
	switch {
	case err == syscall.EAGAIN, err == nil && len(t.out) > 0:
		t.slow = true
		return true
	case err != nil:
		t.werr = err
		return true
	}
	return false
}

func (c *Conn) hear(fd uintptr) (done bool) {
	t := &c.turn
	n, err := socket.Read(fd, t.room.Room())
	switch {
	case err == syscall.EAGAIN:
		return false
	case err != nil:
		t.rerr = err
	case n == 0:
		t.rerr = io.EOF
	}
	t.n = n
	return true
}
