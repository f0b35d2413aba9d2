package h1

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/sallyport/sallyport/internal/door/upstream"
	"github.com/sallyport/sallyport/internal/model"
)

// halfOpen is how long a tunnel may stay open to one side once the other has
// ended; each side needs a moment to say its last.
const halfOpen = 10 * time.Second

// tunnel joins the two connections after 101 until both sides have ended, or the
// user behind it has.
func (c *conn) tunnel(res *upstream.Response) (*model.Error, string) {
	c.asks.since.Store(0) // its own reading tells when the client goes
	c.head(http.StatusSwitchingProtocols)
	c.header(res.Header)
	c.answerFields()
	c.out = append(c.out, "Connection: Upgrade\r\nUpgrade: "...)
	c.out = append(c.out, c.ex.Upgrade...)
	c.out = append(c.out, "\r\n\r\n"...)
	c.broken.Store(true)
	defer context.AfterFunc(c.ctx, func() { _ = res.Tunnel.Close() })()
	err := c.flush()
	if err == nil {
		c.splice(res.Tunnel)
	}
	_ = res.Tunnel.Close()
	c.severed = true // each side has had its end; there is nothing to linger for
	if c.ctx.Err() != nil {
		c.reset()
		return nil, "cut"
	}
	if err != nil {
		return nil, "the client went away"
	}
	return nil, ""
}

// splice copies both ways. What the client sent behind its handshake is in the
// head's buffer and goes first.
func (c *conn) splice(target upstream.Tunnel) {
	early := append([]byte(nil), c.in.buf[c.in.r:c.in.w]...)
	c.in.r = c.in.w
	up, down := make(chan int64, 1), make(chan int64, 1)
	end := func(err error, half func() error) {
		if err == nil {
			err = half()
		}
		if err != nil {
			_ = target.Close()
			_ = c.nc.SetDeadline(past)
		}
	}
	go func() {
		n, err := target.Write(early)
		count := int64(n)
		if err == nil {
			var more int64
			more, err = io.Copy(target, c.nc)
			count += more
		}
		end(err, target.CloseWrite)
		up <- count
	}()
	go func() {
		n, err := io.Copy(c.nc, target)
		end(err, c.closeWrite)
		down <- n
	}()
	var timer <-chan time.Time
	for range 2 {
		select {
		case c.body.count = <-up:
			up = nil
		case c.sent = <-down:
			down = nil
		case <-timer:
			_ = target.Close()
			_ = c.nc.SetDeadline(past)
			if up != nil {
				c.body.count = <-up
			} else {
				c.sent = <-down
			}
			return
		}
		timer = time.After(halfOpen)
	}
}

func (c *conn) closeWrite() error {
	cw, ok := c.nc.(interface{ CloseWrite() error })
	if !ok {
		return io.ErrClosedPipe
	}
	return cw.CloseWrite()
}
