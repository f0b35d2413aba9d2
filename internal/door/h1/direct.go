package h1

import (
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/door"
	"github.com/sallyport/sallyport/internal/door/upstream"
	"github.com/sallyport/sallyport/internal/door/upstream/lane"
	"github.com/sallyport/sallyport/internal/door/wire"
	"github.com/sallyport/sallyport/internal/model"
)

// mostAttempts is how often a request is sent that nobody takes.
const mostAttempts = 3

// direct carries a request over a plain HTTP/1.1 connection itself: one write out,
// fields relayed as views from buffer to buffer, one write back. A body that is not
// there yet is sent by a goroutine of its own. done is false where general has to
// do it: nothing has been sent then, or nothing that may not be sent again.
func (c *conn) direct() (failed *model.Error, detail string, done bool) {
	ex := c.ex
	if ex.Upgrade != "" {
		return nil, "", false
	}
	switch {
	case c.req.Expect100 || c.req.Chunked() || c.req.Length > int64(len(c.in.buf)-c.in.r):
		c.up = newUpload(c)
	case c.req.Length > int64(c.in.w-c.in.r):
		var ok bool
		if failed, detail, ok = c.gather(); !ok {
			return failed, detail, true
		}
	}
	var ok bool
	start := time.Now()
	if c.held, ok = c.s.deps.Ways.Claim(c.ctx, ex.Route.Service, door.HashKey(ex), start); !ok {
		return nil, "", false
	}
	if e := c.held.Fault; e != nil {
		c.wait = time.Since(start)
		c.refuse(e)
		return e, "", true
	}
	c.holds = true
	if !c.held.Conn.Reused { // connecting has a limit of its own
		start = time.Now()
	}
	mark := c.in.r
	c.request()
	return c.attempt(mark, start)
}

// attempt asks the claimed target, and again where the request was not taken. The
// body starts at mark. done is false as for direct.
func (c *conn) attempt(mark int, start time.Time) (failed *model.Error, detail string, done bool) {
	idempotent, retries := upstream.Idempotent(c.ex.Method), c.ex.Route.Service.Retries
	r := &c.desk.reply
	*r = reply{c: c, d: &c.held}
	for n := 1; ; n++ {
		fired, err := r.ask(start)
		c.tried = true
		c.wait = time.Since(start)
		switch {
		case err == nil:
			failed, detail = c.directAnswer(r, start)
			r.sender.free()
			return failed, detail, true
		case fired || r.any || c.ctx.Err() != nil || wire.IsMalformed(err) || !r.sender.rewind():
		case n < mostAttempts && (c.held.Conn.Reused && idempotent || c.held.Conn.Untaken(err)):
			// It had been kept, and the target has closed it.
			if c.held.Again(c.ctx) == nil {
				continue
			}
			c.holds = false // Again has ended the claim
			c.rewind(mark)
			return nil, "", false
		case !c.held.Conn.Reused && idempotent && retries > 0:
			c.held.Failed(err)
			c.yield()
			c.rewind(mark)
			c.spent = 1
			return nil, "", false
		}
		failed, detail = c.directFailed(r, err, fired)
		r.sender.free()
		return failed, detail, true
	}
}

// yield ends the claim on the target, and the connection with it.
func (c *conn) yield() {
	if c.holds {
		c.holds = false
		c.held.Done(false, time.Time{})
	}
}

// gather reads a short body to its end, behind its head: a target that is asked then
// need not wait for the client, and can be asked again.
func (c *conn) gather() (failed *model.Error, detail string, ok bool) {
	end := c.in.r + int(c.req.Length)
	for c.in.w < end {
		c.feed.setRead(c.nc, c.s.after(c.s.cfg.IdleTimeout))
		n, err := c.nc.Read(c.in.buf[c.in.w:end])
		c.in.w += n
		stalled := c.feed.clear()
		if n > 0 {
			continue
		}
		c.body.count = int64(c.in.w - c.in.r)
		if stalled && c.ctx.Err() == nil {
			c.unblock()
			e := stopped(err)
			c.refuse(e)
			return e, "", false
		}
		failed, detail = c.left(c.leaver())
		return failed, detail, false
	}
	return nil, "", true
}

// stopped is the answer to a body that the client stopped sending.
func stopped(err error) *model.Error {
	return &model.Error{Code: model.RequestMalformed, Message: "The request's body stopped coming.", Err: err}
}

// ask sends the request and reads the head of the answer, within the service's
// time for it. fired = that time is up, the body failed, or the exchange was cut.
func (r *reply) ask(start time.Time) (fired bool, err error) {
	c, limit := r.c, int64(0)
	if r.d.Response > 0 {
		limit = start.Add(r.d.Response).UnixNano()
	}
	r.sender.free()
	r.sender = nil
	c.target.set(r.d.Conn, limit)
	if c.ctx.Err() != nil { // cut before there was anything to fire at
		c.target.clear()
		return true, c.ctx.Err()
	}
	err, herr := r.put()
	if err == nil || !r.d.Conn.Reused {
		// A target that answers before it has read the request, and closes, is heard
		// even so.
		if herr == nil {
			herr = r.readHead()
		}
		if err == nil || herr == nil {
			r.res.Close = r.res.Close || err != nil
			err = herr
		}
	}
	if err != nil {
		fired = c.target.clear()
		r.sender.halt()
		c.target.deadline.Store(0)
		r.free()
		return fired, err
	}
	r.sender.answered()
	c.target.deadline.Store(0) // the head is there; how long the body takes is the service's affair
	return false, nil
}

// put sends the request, and waits for the answer where there is nothing more to
// send. err is of sending, herr of waiting.
func (r *reply) put() (err, herr error) {
	c, to := r.c, r.d.Conn
	if c.up == nil {
		n, err, herr := to.Ask(c.out, r)
		r.w += n
		r.any = r.any || n > 0
		if herr != nil {
			herr = unexpected(herr)
		}
		return err, herr
	}
	to.Begin()
	if to.Reused && !to.Alive() {
		return lane.ErrStale, nil
	}
	if _, err = to.Write(c.out); err == nil {
		r.send(c.up)
	}
	return err, nil
}

// directAnswer relays the answer whose head is there.
func (c *conn) directAnswer(r *reply, start time.Time) (failed *model.Error, detail string) {
	c.held.Answered()
	err := r.relay()
	whole := err == nil && r.sender.settle()
	if err != nil {
		r.sender.halt()
	}
	fired := c.target.clear()
	c.holds = false
	c.held.Done(whole && !fired && r.reusable(), start.Add(c.wait))
	r.free()
	return c.ended(err)
}

// ended says what became of an answer that was relayed, with err or to its end. What
// is left of the request's body is nobody's by now.
func (c *conn) ended(err error) (failed *model.Error, detail string) {
	if !c.up.stop() {
		c.broken.Store(true)
	}
	if err == nil {
		return nil, ""
	}
	if e := c.up.failed(); e != nil {
		c.reset()
		return e, "the request's body failed while its answer was under way"
	}
	return c.cut(err)
}

// directFailed answers for a target that gave no answer.
func (c *conn) directFailed(r *reply, err error, fired bool) (*model.Error, string) {
	if !c.up.stop() {
		c.broken.Store(true)
	}
	bad := c.up.failed()
	switch {
	case c.ctx.Err() != nil:
		c.yield()
		return c.left(c.leaver())
	case bad != nil:
		c.yield()
		c.refuse(bad)
		return bad, ""
	case r.sender != nil && r.sender.failed.Load():
		c.yield()
		return c.left("the client went away")
	}
	c.held.Failed(err)
	c.yield()
	e := upstream.Unanswered(err, fired)
	c.refuse(e)
	return e, ""
}

// rewind gives a body that went with its head back, to be sent again.
func (c *conn) rewind(mark int) {
	if c.up != nil {
		return // the sender has given back what it took
	}
	c.in.r = mark
	c.body.left, c.body.count = c.req.Length, 0
	c.body.ended = c.req.Length == 0
}

// request writes the request's head, and a body that is there behind it, into c.out.
func (c *conn) request() {
	ex := c.ex
	b := door.AppendHead(c.out[:0], ex, c.held.Host, c.req.Trailers)
	if c.req.Expect100 {
		b = append(b, "Expect: 100-continue\r\n"...)
	}
	if c.req.Chunked() {
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
		if names := c.declaredTrailers(); len(names) > 0 {
			b = door.AppendField(b, "Trailer", strings.Join(names, ", "))
		}
	} else {
		b = door.AppendLength(b, ex.Method, c.req.Length)
	}
	b = append(b, "\r\n"...)
	if c.up == nil && c.req.Length > 0 {
		data, _ := c.body.buffered()
		b = append(b, data...)
	}
	c.out = b
}
