package h2

import "github.com/sallyport/sallyport/internal/door/h2/frame"

// hearing is how long a client has to hear of an answer that came before its
// request's end, before it is told to stop sending (RFC 9113, 8.1). Clients there
// are, curl 7.88 among them, that forget an answer which they read together with
// the end of its stream.
const hearing = 500e6 // nanoseconds

// upload is a request whose answer went out before its body came to an end. Nobody
// carries it any more; what still comes is thrown away.
type upload struct {
	id    uint32
	since int64 // on the server's clock
}

// discourage has the client told to send no more of the stream, once it has heard
// the answer; with mu held.
func (c *conn) discourage(id uint32) closing {
	if len(c.uploads) >= c.s.cfg.Streams {
		c.out = frame.AppendRST(c.room(), id, frame.NoError)
		return byUs
	}
	c.uploads = append(c.uploads, upload{id, c.s.clock.Load()})
	return byUs
}

// stopped forgets an upload that the client has ended; with mu held.
func (c *conn) stopped(id uint32) (known bool) {
	for i, u := range c.uploads {
		if u.id == id {
			c.uploads = append(c.uploads[:i], c.uploads[i+1:]...)
			return true
		}
	}
	return false
}

// dismiss tells the client to end what has had its hearing by then; with mu held.
func (c *conn) dismiss(now int64) {
	n := 0
	for n < len(c.uploads) && now-c.uploads[n].since >= hearing {
		c.out = frame.AppendRST(c.room(), c.uploads[n].id, frame.NoError)
		n++
	}
	c.uploads = append(c.uploads[:0], c.uploads[n:]...)
}
