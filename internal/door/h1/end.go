package h1

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// rest is whether a connection waits for a request. A drain may end such a one, but
// not one whose request has begun.
type rest struct {
	mu      sync.Mutex
	waits   bool
	young   bool // it began during a drain, and ends by a deadline of its own
	ended   bool
	doomed  bool // abort was called
	tired   bool // the wait was ended so that the connection may sleep
	wakeful bool // it cannot sleep
}

func (r *rest) begin(draining bool) {
	r.mu.Lock()
	r.waits, r.young = true, draining
	r.mu.Unlock()
}

// end says that a request has begun; true = the wait was ended all the same, and
// the deadline that did it is to be taken away.
func (r *rest) end() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	ended := r.ended || r.tired
	r.waits, r.ended, r.tired = false, false, false
	return ended
}

// endIfIdle ends a connection that waits for a request, but not one whose answer
// began before the drain and did not tell the client that it was the last: the next
// request may be on its way.
func (c *conn) endIfIdle() {
	c.rest.mu.Lock()
	defer c.rest.mu.Unlock()
	if c.rest.waits && !c.rest.young {
		c.rest.ended = true
		_ = c.nc.SetReadDeadline(past)
	}
}

// unblock takes away a deadline that has hit nothing, but not the one of abort.
func (c *conn) unblock() {
	_ = c.nc.SetDeadline(time.Time{})
	if c.ctx.Err() != nil {
		_ = c.nc.SetDeadline(past)
	}
}

// abort ends the connection at once, from any goroutine: a drain is over, or nobody
// is there any more. It waits for nothing.
func (c *conn) abort() {
	c.rest.mu.Lock()
	defer c.rest.mu.Unlock()
	c.rest.doomed = true
	c.stopAll()
}

// interrupt ends the exchange that is under way, and with it the connection, unless
// it comes when the answer is out: then the connection may go on (revive).
func (c *conn) interrupt() {
	c.rest.mu.Lock()
	defer c.rest.mu.Unlock()
	c.stopAll()
}

func (c *conn) stopAll() {
	c.cancel()
	_ = c.nc.SetDeadline(past)
	c.target.fire()
}

// revive lets the connection go on whose last exchange was interrupted too late:
// the next request may be another user's. No interrupt can come any more; false =
// the connection was aborted.
func (c *conn) revive() bool {
	c.rest.mu.Lock()
	defer c.rest.mu.Unlock()
	if c.rest.doomed {
		return false
	}
	c.ctx, c.cancel = context.WithCancel(c.s.ctx)
	c.expired.Store(false)
	_ = c.nc.SetDeadline(time.Time{})
	return true
}

// asks is since when the client waits for an answer that a target is to give.
type asks struct {
	since atomic.Int64 // unix nanoseconds; 0 = it does not
	half  int64        // the since under which it was seen to have ended its side; watch's alone
}

// check is called by the server's clock.
func (c *conn) check(now int64, look bool) {
	c.client.check(now)
	c.tire(now)
	c.feed.check(now)
	c.target.check(now)
	c.expire(now)
	since := c.asks.since.Load()
	if !look || since == 0 || now-since < int64(tick) || c.in.sock == nil {
		return
	}
	switch state := stateOf(c.in.sock); {
	case state == stateGone, state == stateHalf && c.asks.half == since:
		c.abort()
	case state == stateHalf: // a client that sends nothing more may still listen; not for ever
		c.asks.half = since
	}
}

// expire ends an exchange whose credential has expired under it.
func (c *conn) expire(now int64) {
	d := c.life.deadline.Load()
	if d == 0 || now < d {
		return
	}
	c.life.mu.Lock()
	defer c.life.mu.Unlock()
	if c.life.nc != nil && c.life.deadline.Load() == d {
		c.expired.Store(true)
		c.interrupt()
	}
}

// write sends b to the client, within the idle limit.
func (c *conn) write(b []byte) error {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	return c.put(b)
}

// flush sends what is in out: the final answer's head, or more of it.
func (c *conn) flush() error {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	c.started.Store(true)
	return c.put(c.out)
}

// interim sends an interim answer, but never behind the final one's head.
func (c *conn) interim(b []byte, is100 bool) error {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	if c.started.Load() {
		return nil
	}
	c.told = c.told || is100
	return c.put(b)
}

// put writes; wmu must be held.
func (c *conn) put(b []byte) error {
	if c.ctx.Err() == nil {
		var err error
		if b, err = c.in.writeNow(b); err != nil {
			c.broken.Store(true)
			return err
		}
		if len(b) == 0 {
			return nil
		}
	}
	c.client.set(c.nc, c.s.after(c.s.cfg.IdleTimeout))
	_, err := c.nc.Write(b)
	if fired := c.client.clear(); err != nil {
		c.broken.Store(true)
	} else if fired {
		c.unblock()
	}
	return err
}

const lingerFor = 2 * time.Second

// linger closes so that the client can read the last answer: what it still sends
// is read for a moment, for a reset would destroy the answer on its way. How much
// that is does not matter: a client that sends fast is one that hears late.
func (c *conn) linger() {
	if !c.started.Load() || c.severed || c.ctx.Err() != nil {
		return
	}
	cw, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || cw.CloseWrite() != nil {
		return
	}
	_ = c.nc.SetReadDeadline(time.Now().Add(lingerFor))
	scrap := blocks.Get().(*block)
	defer blocks.Put(scrap)
	for {
		if _, err := c.nc.Read(scrap[:]); err != nil {
			return
		}
	}
}

// reset ends the connection so that the client cannot take a cut answer for a
// whole one.
func (c *conn) reset() {
	c.broken.Store(true)
	c.severed = true
	nc := c.nc
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn() // no alert: it would say that all is well
	}
	if t, ok := nc.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = nc.Close()
}

func (c *conn) close() {
	c.rest.mu.Lock()
	c.cancel()
	c.rest.mu.Unlock()
	_ = c.nc.Close()
	c.leave()
	c.in.r, c.in.w = 0, 0
	c.in.release()
}
