package h1

import (
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/sallyport/sallyport/internal/door/upstream"
	"github.com/sallyport/sallyport/internal/model"
)

var errMore = errors.New("the target sent more than it declared")

// relay writes an answer that came the general way to the client.
func (c *conn) relay(res *upstream.Response) error {
	ex := c.ex
	bodiless := ex.Method == http.MethodHead || res.Status == http.StatusNoContent || res.Status == http.StatusNotModified
	chunked := !bodiless && res.Length < 0 && c.req.Minor == 1
	if !bodiless && res.Length < 0 && c.req.Minor == 0 {
		c.req.Close = true // HTTP/1.0 learns the end by the close
	}
	c.head(res.Status)
	c.header(res.Header)
	c.answerFields()
	if res.Header.Get("Date") == "" {
		c.field("Date", c.s.date())
	}
	switch {
	case chunked:
		c.out = append(c.out, "Transfer-Encoding: chunked\r\n"...)
		for name := range res.Trailer() {
			if c.trails(name) {
				c.field("Trailer", name)
			}
		}
	case bodiless:
		if n, err := strconv.ParseUint(res.Header.Get("Content-Length"), 10, 63); err == nil && res.Status != http.StatusNoContent {
			c.number("Content-Length", int64(n))
		}
	case res.Length >= 0:
		c.number("Content-Length", res.Length)
	}
	c.connection()
	c.out = append(c.out, "\r\n"...)
	if bodiless || res.Length == 0 {
		return c.flush()
	}
	return c.relayBody(res, chunked)
}

// header adds the fields of an answer that go on.
func (c *conn) header(h http.Header) {
	for name, values := range h {
		if nominated(h["Connection"], name) {
			continue
		}
		for _, v := range values {
			if !c.keeps(name, v) {
				c.field(name, v)
			}
		}
	}
}

// relayBody streams the body: each piece as it comes, the first together with the head.
func (c *conn) relayBody(res *upstream.Response, chunked bool) error {
	blk := blocks.Get().(*block)
	defer blocks.Put(blk)
	for {
		n, err := res.Body.Read(blk[:])
		if n > 0 {
			if res.Length >= 0 && c.sent+int64(n) > res.Length {
				return errMore
			}
			c.piece(blk[:n], chunked)
		}
		switch {
		case err == io.EOF && res.Length >= 0 && c.sent < res.Length:
			err = io.ErrUnexpectedEOF
		case err == io.EOF && chunked:
			c.lastChunk(res)
		}
		if len(c.out) > 0 {
			if werr := c.flush(); werr != nil {
				return werr
			}
			c.out = c.out[:0]
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (c *conn) lastChunk(res *upstream.Response) {
	c.out = append(c.out, "0\r\n"...)
	for name, values := range res.Trailer() {
		if !c.trails(name) {
			continue
		}
		for _, v := range values {
			if model.ValidFieldValue(v) {
				c.field(name, v)
			}
		}
	}
	c.out = append(c.out, "\r\n"...)
}

// piece adds a piece of a body, as a chunk of its own or bare.
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
