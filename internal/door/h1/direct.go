package h1

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/door/upstream"
	"github.com/sallyport/sallyport/internal/door/wire"
	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/model"
)

// mostInterim bounds the interim answers to one request.
const mostInterim = 100

// direct carries a request over a plain HTTP/1.1 connection itself: one write out,
// fields relayed as views from buffer to buffer, one write back. It takes requests
// whose body is there already. done is false where general has to do it: nothing
// has been sent then, or nothing that may not be sent again.
func (c *conn) direct() (failed *model.Error, detail string, done bool) {
	ex := c.ex
	if ex.Upgrade != "" || c.req.Expect100 || c.req.Chunked() || c.req.Length > int64(c.in.w-c.in.r) {
		return nil, "", false
	}
	key := ""
	if ex.Route.Service.Balance == model.HashBalance {
		if key = ex.Username(); key == "" {
			key = ex.IP()
		}
	}
	d, ok := c.s.deps.Ways.Direct(c.ctx, ex.Route.Service, key)
	if !ok {
		return nil, "", false
	}
	start := time.Now()
	mark := c.in.r
	c.request(&d)
	limit := time.Time{}
	if d.Response > 0 {
		limit = start.Add(d.Response)
	}
	c.target.set(d.Conn, limit)
	blk := blocks.Get().(*block)
	r := reply{c: c, d: &d, buf: blk[:], block: blk}
	_, err := d.Conn.Write(c.out)
	if err == nil {
		err = r.readHead()
	}
	c.wait = time.Since(start)
	if err != nil {
		fired := c.target.clear()
		_ = d.Conn.SetDeadline(time.Time{})
		r.free()
		return c.directFailed(&d, err, fired, mark, r.any)
	}
	d.Answered()
	c.target.deadline.Store(0) // the head is there; how long the body takes is the service's affair
	err = r.relay()
	fired := c.target.clear()
	d.Done(err == nil && !fired && r.reusable(), time.Now())
	r.free()
	if err != nil {
		failed, detail = c.cut(err)
	}
	return failed, detail, true
}

// directFailed decides what a failure means: send again by way of general, or answer.
func (c *conn) directFailed(d *upstream.Direct, err error, fired bool, mark int, began bool) (*model.Error, string, bool) {
	reused := d.Conn.Reused
	switch {
	case c.ctx.Err() != nil:
		d.Done(false, time.Time{})
		c.reset()
		return &model.Error{Code: model.RequestMalformed, Message: "The client went away.", Err: err}, "cut", true
	case fired:
		d.Failed(err)
		d.Done(false, time.Time{})
		e := upstream.Late()
		c.refuse(e)
		return e, "", true
	}
	d.Done(false, time.Time{})
	var bad wire.Malformed
	if !began && !errors.As(err, &bad) && upstream.Idempotent(c.ex.Method) && (reused || c.ex.Route.Service.Retries > 0) {
		// A kept-alive connection that died under the request, or a target that
		// hung up: nothing of an answer was seen, and sending it again is safe.
		c.rewind(mark)
		return nil, "", false
	}
	d.Failed(err)
	if !errors.As(err, &bad) {
		err = errors.Join(upstream.ErrGone, err)
	}
	e := upstream.Invalid(err)
	c.refuse(e)
	return e, "", true
}

// rewind gives the body back to be sent again.
func (c *conn) rewind(mark int) {
	c.in.r = mark
	c.body.left, c.body.count = c.req.Length, 0
	c.body.ended = c.req.Length == 0
}

// request writes the request's head, and its body behind it, into c.out.
func (c *conn) request(d *upstream.Direct) {
	ex := c.ex
	b := append(c.out[:0], ex.Method...)
	b = append(b, ' ')
	b = append(b, ex.Target...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	if ex.Route.Service.Host == model.HostPreserve {
		b = append(b, ex.Host...)
	} else {
		b = append(b, d.Host...)
	}
	b = append(b, "\r\n"...)
	for i := range ex.Fields {
		if f := &ex.Fields[i]; !f.Dropped {
			b = appendField(b, f.Name, f.Value)
		}
	}
	for i := range ex.Add {
		b = appendField(b, ex.Add[i].Name, ex.Add[i].Value)
	}
	if c.req.Trailers {
		b = append(b, "TE: trailers\r\nConnection: TE\r\n"...)
	}
	if c.req.Length > 0 || bodied(ex.Method) {
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, c.req.Length, 10)
		b = append(b, "\r\n"...)
	}
	b = append(b, "\r\n"...)
	if c.req.Length > 0 {
		data, _ := c.body.buffered()
		b = append(b, data...)
	}
	c.out = b
}

// bodied methods say Content-Length: 0 where they have no body (RFC 9110, 8.6).
func bodied(method string) bool { return method == "POST" || method == "PUT" || method == "PATCH" }

func appendField(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, ": "...)
	b = append(b, value...)
	return append(b, "\r\n"...)
}

// reply reads a target's answer.
type reply struct {
	c     *conn
	d     *upstream.Direct
	res   wire.Response
	buf   []byte
	block *block
	r, w  int
	any   bool // a byte of an answer was seen
	whole bool // the body was read to its end
}

func (r *reply) free() {
	if r.block != nil {
		r.c.resFields = r.res.Fields[:0]
		blocks.Put(r.block)
		r.block = nil
	}
}

// maxReplyHead bounds a target's head.
const maxReplyHead = 256 << 10

// readHead reads up to the final answer's head; interim ones are passed on.
func (r *reply) readHead() error {
	r.res.Fields = r.c.resFields
	interim := 0
	for seen := 0; ; {
		if r.w > r.r && ready(r.buf[r.r:r.w], max(seen-r.r, 0)) {
			n, err := wire.ParseResponse(r.buf[r.r:r.w], r.c.ex.Method, &r.res)
			if err != nil {
				return err
			}
			if n > 0 {
				r.r += n
				switch {
				case r.res.Status == 101:
					return wire.Malformed("the target switched protocols unasked")
				case r.res.Status >= 200:
					return nil
				}
				if interim++; interim > mostInterim {
					return wire.Malformed(upstream.ErrFlood.Error())
				}
				r.inform()
				seen = r.r
				continue
			}
		}
		if r.w-r.r >= maxReplyHead {
			return wire.Malformed("the head of the answer is too large")
		}
		seen = r.w
		if err := r.fill(); err != nil {
			return err
		}
	}
}

// fill reads more behind what is unread.
func (r *reply) fill() error {
	if r.r > 0 {
		r.w = copy(r.buf, r.buf[r.r:r.w])
		r.r = 0
	}
	if r.w == len(r.buf) {
		bigger := make([]byte, 4*len(r.buf))
		copy(bigger, r.buf)
		r.buf = bigger
	}
	n, err := r.d.Conn.Read(r.buf[r.w:])
	r.w += n
	r.any = r.any || n > 0
	if n == 0 {
		return unexpected(err)
	}
	return nil
}

func (r *reply) inform() {
	if r.res.Status == 100 {
		return
	}
	h := http.Header{}
	for i := range r.res.Fields {
		h.Add(strings.Clone(r.res.Fields[i].Name), strings.Clone(r.res.Fields[i].Value))
	}
	r.c.inform(r.res.Status, h)
}

// reusable says whether the connection stands exactly behind the answer.
func (r *reply) reusable() bool { return r.whole && !r.res.Close && r.r == r.w }

// relay writes the answer to the client: its head and what is there of the body in
// one write, the rest as it comes.
func (r *reply) relay() error {
	c, res := r.c, &r.res
	head := c.ex.Method == "HEAD"
	chunked := res.Length < 0 && c.req.Minor == 1
	if res.Length < 0 && c.req.Minor == 0 {
		c.req.Close = true
	}
	c.statusLine(res.Status, res.Reason)
	dated, length, nominates := false, "", false
	for i := range res.Fields {
		nominates = nominates || len(res.Fields[i].Name) == 10 && model.EqualFold(res.Fields[i].Name, "Connection") && !plainConnection(res.Fields[i].Value)
	}
	for i := range res.Fields {
		f := &res.Fields[i]
		if len(f.Name) == len("Content-Length") && model.EqualFold(f.Name, "Content-Length") {
			length = f.Value
			continue
		}
		if endsHere(f.Name) || c.edited(f) || nominates && r.nominated(f.Name) {
			continue
		}
		dated = dated || len(f.Name) == 4 && model.EqualFold(f.Name, "Date")
		c.field(f.Name, f.Value)
	}
	c.answerFields(c.ex)
	if !dated {
		c.field("Date", c.s.date(time.Now()))
	}
	switch {
	case chunked:
		c.out = append(c.out, "Transfer-Encoding: chunked\r\n"...)
	case length != "" && (res.Length > 0 || head || res.Status == 304 || res.Status >= 200 && res.Status != 204):
		c.field("Content-Length", length)
	}
	c.connection()
	c.out = append(c.out, "\r\n"...)
	switch {
	case res.Length == 0:
		r.whole = true
		return c.flush()
	case res.Length > 0:
		return r.counted()
	case res.Length == wire.LengthChunked:
		return r.chunks(chunked)
	}
	return r.untilClose(chunked)
}

// counted relays a body of known length.
func (r *reply) counted() error {
	c, left := r.c, r.res.Length
	n := int(min(int64(r.w-r.r), left))
	c.out = append(c.out, r.buf[r.r:r.r+n]...)
	r.r += n
	left -= int64(n)
	c.sent += int64(n)
	if err := c.flush(); err != nil {
		return err
	}
	for left > 0 {
		n, err := r.d.Conn.Read(r.buf[:min(int64(len(r.buf)), left)])
		if n > 0 {
			left -= int64(n)
			c.sent += int64(n)
			if werr := c.write(r.buf[:n]); werr != nil {
				return werr
			}
		}
		if err != nil && left > 0 {
			return unexpected(err)
		}
	}
	if r.r >= r.w {
		r.r, r.w = 0, 0
	}
	r.whole = true
	return nil
}

// chunks relays a chunked body: as chunks of our own, or bare to HTTP/1.0.
func (r *reply) chunks(framed bool) error {
	c := r.c
	var ch wire.Chunks
	for {
		data, taken, end, err := ch.Next(r.buf[r.r:r.w])
		if err != nil {
			return err
		}
		r.r += taken
		if end {
			return r.trailers(framed)
		}
		if len(data) > 0 {
			c.piece(data, framed)
			if len(c.out) < bufferSize && r.r < r.w {
				continue // more is there already: one write for all
			}
		}
		if len(data) == 0 || r.r == r.w {
			if len(c.out) > 0 {
				if err := c.flush(); err != nil {
					return err
				}
				c.out = c.out[:0]
			}
			if err := r.fill(); err != nil {
				return err
			}
		}
	}
}

func (c *conn) piece(data []byte, framed bool) {
	c.sent += int64(len(data))
	if framed {
		c.out = strconv.AppendInt(c.out, int64(len(data)), 16)
		c.out = append(c.out, "\r\n"...)
	}
	c.out = append(c.out, data...)
	if framed {
		c.out = append(c.out, "\r\n"...)
	}
}

func (r *reply) trailers(framed bool) error {
	c := r.c
	for {
		fields, n, err := wire.ParseTrailers(r.buf[r.r:r.w], nil)
		if err != nil {
			return err
		}
		if n == 0 {
			if err := r.fill(); err != nil {
				return err
			}
			continue
		}
		r.r += n
		r.whole = true
		if framed {
			c.out = append(c.out, "0\r\n"...)
			for i := range fields {
				if !endsHere(fields[i].Name) && !c.ex.Plan.OwnsHeader(fields[i].Name) {
					c.field(fields[i].Name, fields[i].Value)
				}
			}
			c.out = append(c.out, "\r\n"...)
		}
		return c.flush()
	}
}

// untilClose relays a body that ends with the connection (HTTP/1.0 targets).
func (r *reply) untilClose(framed bool) error {
	c := r.c
	for {
		if r.r < r.w {
			c.piece(r.buf[r.r:r.w], framed)
			r.r = r.w
		}
		if err := c.flush(); err != nil {
			return err
		}
		c.out = c.out[:0]
		if err := r.fill(); err != nil {
			if errors.Is(err, io.ErrUnexpectedEOF) {
				if framed {
					c.out = append(c.out, "0\r\n\r\n"...)
					return c.flush()
				}
				return nil
			}
			return err
		}
	}
}

// endsHere says whether a field of an answer is of this hop alone (RFC 9110,
// 7.6.1), or the gateway's own.
func endsHere(name string) bool {
	switch len(name) {
	case 2:
		return model.EqualFold(name, "TE")
	case 7:
		return model.EqualFold(name, "Trailer") || model.EqualFold(name, "Upgrade")
	case 10:
		return model.EqualFold(name, "Connection") || model.EqualFold(name, "Keep-Alive")
	case 12:
		return model.EqualFold(name, "X-Request-Id")
	case 16:
		return model.EqualFold(name, "Proxy-Connection")
	case 17:
		return model.EqualFold(name, "Transfer-Encoding")
	case 18:
		return model.EqualFold(name, "Proxy-Authenticate")
	}
	return false
}

// nominated says whether a Connection field of the answer names f.
func (r *reply) nominated(name string) bool {
	for i := range r.res.Fields {
		f := &r.res.Fields[i]
		if len(f.Name) == len("Connection") && model.EqualFold(f.Name, "Connection") && wire.HasToken(f.Value, name) {
			return true
		}
	}
	return false
}

// edited says whether the route, or the gateway, keeps the field from the client.
func (c *conn) edited(f *model.Field) bool {
	if len(f.Name) == len("Set-Cookie") && model.EqualFold(f.Name, "Set-Cookie") && strings.HasPrefix(strings.TrimLeft(f.Value, " \t"), gate.GatewayCookie) {
		return true
	}
	m := c.ex.Route.Model
	if m.CORS == nil && len(m.Edit.Response.Remove) == 0 && len(m.Edit.Response.Set) == 0 {
		return false
	}
	return skipResponse(f.Name, c.ex)
}

// plainConnection says that a Connection value names no other field.
func plainConnection(v string) bool {
	return model.EqualFold(v, "close") || model.EqualFold(v, "keep-alive")
}
