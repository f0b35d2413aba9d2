package h1

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"github.com/sallyport/sallyport/internal/door/wire"
	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/model"
)

// upload gives a request's body to the way out, which may read it from a goroutine
// of its own, and may go on reading after the answer has come. Behind stop nothing
// of the exchange is touched any more.
type upload struct {
	c      *conn
	plan   *gate.Plan
	whole  atomic.Bool // read to its end
	over   atomic.Bool // the exchange wants no more of it
	paused atomic.Bool

	mu       sync.Mutex // held while the client is being waited for
	back     []byte     // to be read once more
	left     []byte
	end      error
	stalled  bool // the client sent nothing for too long
	trailers []model.Field
}

var (
	errOver   = errors.New("the exchange is over")
	errPaused = errors.New("nothing of the body is wanted now")
)

// newUpload is the body of c's request; nil = it has none.
func newUpload(c *conn) *upload {
	if c.body.ended {
		return nil
	}
	return &upload{c: c, plan: c.ex.Plan}
}

// Read reads the next bytes of the body. The first read tells a client that waits
// for it to go on: the request has been decided, and the target wants the body.
func (u *upload) Read(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.over.Load() {
		return 0, errOver
	}
	if u.paused.Load() {
		return 0, errPaused
	}
	if len(u.back) > 0 {
		n := copy(p, u.back)
		u.back = u.back[n:]
		return n, nil
	}
	if len(u.left) == 0 && u.end == nil {
		u.next()
	}
	n := copy(p, u.left)
	u.left = u.left[n:]
	if n > 0 {
		return n, nil
	}
	return 0, u.end
}

func (u *upload) next() {
	c := u.c
	if c.req.Expect100 && !c.said() {
		if u.end = c.interim([]byte("HTTP/1.1 100 Continue\r\n\r\n"), true); u.end != nil {
			return
		}
	}
	c.feed.setRead(c.nc, c.s.after(c.s.cfg.IdleTimeout))
	u.left, u.end = c.body.next()
	u.stalled = c.feed.clear()
	if u.end == io.EOF {
		for _, f := range c.body.trailers {
			if u.plan.PassesTrailer(f.Name) {
				u.trailers = append(u.trailers, f)
			}
		}
	}
	u.whole.Store(c.body.ended)
}

// trailer gives what followed the body; it is asked for at its end.
func (u *upload) trailer() []model.Field {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.trailers
}

// pause wakes a reader that waits for the client, until it is done. What it has not
// been given can be read on.
func (u *upload) pause(done <-chan struct{}) {
	u.paused.Store(true)
	_ = u.c.nc.SetReadDeadline(past)
	<-done
	u.c.unblock()
	u.mu.Lock()
	defer u.mu.Unlock()
	u.paused.Store(false)
	if errors.Is(u.end, os.ErrDeadlineExceeded) && !u.stalled {
		u.end = nil
	}
}

// pushBack has b read once more, before the rest.
func (u *upload) pushBack(b []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.back = append(append([]byte(nil), b...), u.back...)
}

// stop returns once nobody reads the body any more, and tells whether the client's
// connection still stands where the exchange knows: then the rest of the body can
// be read away, and the connection kept. A nil upload has nothing to stop.
func (u *upload) stop() bool {
	if u == nil {
		return true
	}
	u.over.Store(true)
	if !u.whole.Load() {
		_ = u.c.nc.SetReadDeadline(past) // wakes a read that waits for the client
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.whole.Load() {
		u.c.unblock()
	}
	u.left = nil
	return u.end == nil || u.end == io.EOF || errors.Is(u.end, os.ErrDeadlineExceeded) && !u.stalled
}

// failed says what was wrong with the body, if anything; ask behind stop.
func (u *upload) failed() *model.Error {
	if u == nil || u.end == nil || u.end == io.EOF {
		return nil
	}
	switch {
	case u.end == errTooLarge:
		return tooLarge()
	case u.stalled:
		return stopped(u.end)
	case wire.IsMalformed(u.end):
		return &model.Error{Code: model.RequestMalformed, Message: "The request's body is not well-formed.", Err: u.end}
	}
	return nil // the client is gone, or was not read on
}

// said says whether 100 (Continue) has gone out.
func (c *conn) said() bool {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	return c.told
}
