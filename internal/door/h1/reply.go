package h1

import (
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/sallyport/sallyport/internal/door/upstream"
	"github.com/sallyport/sallyport/internal/door/wire"
	"github.com/sallyport/sallyport/internal/model"
)

const (
	mostInterim  = 100       // interim answers to one request
	maxReplyHead = 256 << 10 // of a target's head, and of its trailers
)

// reply reads a target's answer from a direct connection.
type reply struct {
	c      *conn
	d      *upstream.Direct
	res    wire.Response
	buf    []byte
	block  *block
	sender *sender // of the request's body; nil = it went with the head
	r, w   int     // unread bytes are buf[r:w]
	any    bool    // a byte of an answer was seen
	whole  bool    // the body was read to its end
	length string
}

// Room gives the reply its buffer, once there is something to read.
func (r *reply) Room() []byte {
	if r.block == nil {
		r.block = blocks.Get().(*block)
		r.buf, r.r, r.w = r.block[:], 0, 0
		r.res.Fields = r.c.desk.res
	}
	return r.buf
}

func (r *reply) free() {
	if r.block != nil {
		r.c.desk.res = r.res.Fields[:0]
		blocks.Put(r.block)
		r.block, r.buf = nil, nil
	}
}

// readHead reads up to the final answer's head; interim ones are passed on.
func (r *reply) readHead() error {
	interim := 0
	for seen := 0; ; { // of the unread bytes
		unread := r.buf[r.r:r.w]
		if n := min(len(unread), len(version)); string(unread[:n]) != version[:n] {
			return wire.Malformed("what came is not HTTP/1") // who speaks something else may wait for us
		}
		if ready(unread, seen) {
			n, err := wire.ParseResponse(unread, r.c.ex.Method, &r.res)
			if err != nil {
				return err
			}
			if n > 0 {
				r.r += n
				switch {
				case r.res.Status == http.StatusSwitchingProtocols:
					return wire.Malformed("the target switched protocols unasked")
				case r.res.Status >= 200:
					return nil
				}
				if interim++; interim > mostInterim {
					return wire.Malformed(upstream.ErrFlood.Error())
				}
				if r.res.Status != http.StatusContinue || !r.sender.proceed() {
					r.inform()
				}
				seen = 0
				continue
			}
		}
		seen = r.w - r.r
		if err := r.fill(); err != nil {
			return err
		}
	}
}

const version = "HTTP/1."

// fill reads more behind what is unread, which may be a head or trailers.
func (r *reply) fill() error {
	if r.r > 0 {
		r.w = copy(r.buf, r.buf[r.r:r.w])
		r.r = 0
	}
	r.Room()
	if r.w == len(r.buf) {
		if r.w >= maxReplyHead {
			return wire.Malformed("the head of the answer is too large")
		}
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
	chunked := res.Length < 0 && c.req.Minor == 1
	if res.Length < 0 && c.req.Minor == 0 {
		c.req.Close = true
	}
	c.statusLine(res.Status, res.Reason)
	dated := r.fields()
	c.answerFields()
	if !dated {
		c.field("Date", c.s.date())
	}
	switch {
	case chunked:
		c.out = append(c.out, "Transfer-Encoding: chunked\r\n"...)
	case r.length != "" && res.Status != http.StatusNoContent:
		c.field("Content-Length", r.length)
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

// fields adds the fields that go on, and tells whether Date was among them.
func (r *reply) fields() (dated bool) {
	c, list := r.c, r.res.Fields
	var buf [4]string
	names := buf[:0] // Connection values that may name other fields
	for i := range list {
		if f := &list[i]; len(f.Name) == len("Connection") && model.EqualFold(f.Name, "Connection") && !plainConnection(f.Value) {
			names = append(names, f.Value)
		}
	}
	for i := range list {
		f := &list[i]
		if len(f.Name) == len("Content-Length") && model.EqualFold(f.Name, "Content-Length") {
			r.length = f.Value
			continue
		}
		if c.keeps(f.Name, f.Value) || len(names) > 0 && nominated(names, f.Name) {
			continue
		}
		dated = dated || len(f.Name) == 4 && model.EqualFold(f.Name, "Date")
		c.field(f.Name, f.Value)
	}
	return dated
}

// counted relays a body of known length. What is there of it goes with the head,
// as far as the desk has room; the head never waits for the body.
func (r *reply) counted() error {
	c, left := r.c, r.res.Length
	piece := r.buf[r.r : r.r+int(min(int64(r.w-r.r), left))]
	r.r += len(piece)
	left -= int64(len(piece))
	c.sent += int64(len(piece))
	n := min(len(piece), cap(c.out)-len(c.out))
	c.out = append(c.out, piece[:n]...)
	if err := c.flush(); err != nil {
		return err
	}
	if n < len(piece) {
		if err := c.write(piece[n:]); err != nil {
			return err
		}
	}
	for left > 0 { // all that was read is used up
		n, err := r.d.Conn.Read(r.buf[:min(int64(len(r.buf)), left)])
		if n == 0 {
			return unexpected(err)
		}
		left -= int64(n)
		c.sent += int64(n)
		if err := c.write(r.buf[:n]); err != nil {
			return err
		}
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
		if len(data) > 0 {
			c.piece(data, framed)
			if r.r < r.w && len(c.out) < bufferSize {
				continue // more is there already: one write for all
			}
		}
		if end {
			return r.trailers(framed)
		}
		if len(c.out) > 0 {
			if err := c.flush(); err != nil {
				return err
			}
			c.out = c.out[:0]
		}
		if len(data) == 0 {
			if err := r.fill(); err != nil {
				return err
			}
		}
	}
}

// trailers ends a chunked body.
func (r *reply) trailers(framed bool) error {
	c := r.c
	for {
		fields, n, err := wire.ParseTrailers(r.buf[r.r:r.w], nil)
		if err != nil {
			return err
		}
		if n == 0 {
			if len(c.out) > 0 { // the data need not wait for them
				if err := c.flush(); err != nil {
					return err
				}
				c.out = c.out[:0]
			}
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
				if c.trails(fields[i].Name) {
					c.field(fields[i].Name, fields[i].Value)
				}
			}
			c.out = append(c.out, "\r\n"...)
		}
		if len(c.out) == 0 {
			return nil
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
