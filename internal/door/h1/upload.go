package h1

import (
	"io"
	"sync"
	"time"
)

// upload gives a request's body to the way out, which may read it from a goroutine
// of its own.
type upload struct {
	c    *conn
	mu   sync.Mutex
	left []byte
	end  error
	told bool // 100 (Continue) has been said
}

// Read reads the next bytes of the body. The first read tells a client that waits
// for it to go on: the request has been decided, and the target wants the body.
func (u *upload) Read(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.left) == 0 {
		if u.end != nil {
			return 0, u.end
		}
		if u.c.req.Expect100 && !u.told && !u.c.started.Load() {
			u.told = true
			if err := u.c.write([]byte("HTTP/1.1 100 Continue\r\n\r\n")); err != nil {
				u.end = err
				return 0, err
			}
		}
		u.c.target.set(u.c.nc, time.Now().Add(u.c.s.cfg.IdleTimeout))
		u.left, u.end = u.c.body.next()
		u.c.target.clear()
	}
	n := copy(p, u.left)
	u.left = u.left[n:]
	if len(u.left) == 0 && u.c.body.ended && u.end == nil && !u.c.body.chunked {
		u.end = io.EOF
	}
	if n == 0 && u.end != nil {
		return 0, u.end
	}
	return n, nil
}

// done says whether the body has been read to its end, or there was none.
func (u *upload) done() bool {
	if u.c.req.Length == 0 {
		return true
	}
	if !u.mu.TryLock() {
		return false
	}
	defer u.mu.Unlock()
	return u.c.body.ended
}

// wait returns once no read is under way, and lets none begin.
func (u *upload) wait() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.end == nil {
		u.end = io.ErrClosedPipe
	}
}
