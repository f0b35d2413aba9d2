package h1

import (
	"net/http"
	"strconv"

	"github.com/sallyport/sallyport/internal/door"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/problem"
)

// refuse writes the gateway's own answer to a refusal.
func (c *conn) refuse(e *model.Error) {
	if c.started.Load() { // too late for an answer: cut, so that nobody takes it for whole
		c.reset()
		return
	}
	ex := c.ex
	a := problem.Render(e, problem.Facts{RequestID: ex.ID, HTML: problem.WantsHTML(ex.Method, ex.Fields),
		Challenges: c.s.deps.Gate.Challenges(ex), Login: problem.SignIn(ex.Method, ex.Fields, ex.Login)})
	if c.unsure(e) {
		c.req.Close = true
	}
	c.head(a.Status)
	c.fields(a.Fields)
	if ex.Route != nil {
		c.fields(ex.Response)
	}
	c.finishHead(int64(len(a.Body)))
	if ex.Method != http.MethodHead {
		c.out = append(c.out, a.Body...)
		c.sent = int64(len(a.Body))
	}
	_ = c.flush()
}

// unsure says that nobody knows what the client sends next, or that it would take
// too long to find out: bytes that were not understood; a body that is larger than
// is worth reading away, or that waits for leave.
func (c *conn) unsure(e *model.Error) bool {
	switch e.Code {
	case model.RequestMalformed, model.HeadersTooLarge, model.URITooLong, model.BodyTooLarge:
		return true
	}
	return !c.body.ended && c.body.left > drainMost || c.unasked()
}

// unasked says that a body waits for a leave that was not given: nobody knows
// whether it comes all the same (RFC 9110, 10.1.1).
func (c *conn) unasked() bool {
	if !c.req.Expect100 || c.up != nil && c.up.whole.Load() || c.up == nil && c.body.ended {
		return false
	}
	return !c.said()
}

// answerEmpty answers in the target's place where there is nothing to say: a CORS
// preflight, and OPTIONS that is to go no further.
func (c *conn) answerEmpty() {
	c.head(http.StatusNoContent)
	c.field("X-Request-Id", c.ex.ID)
	c.fields(c.ex.Response)
	c.finishHead(noLength)
	_ = c.flush()
}

// head begins an answer.
func (c *conn) head(status int) { c.statusLine(status, http.StatusText(status)) }

func (c *conn) statusLine(status int, reason string) {
	c.status = status
	c.out = append(c.out[:0], "HTTP/1.1 "...)
	c.out = strconv.AppendInt(c.out, int64(status), 10)
	c.out = append(c.out, ' ')
	c.out = append(c.out, reason...)
	c.out = append(c.out, "\r\n"...)
}

func (c *conn) field(name, value string) { c.out = door.AppendField(c.out, name, value) }

func (c *conn) number(name string, n int64) {
	c.out = append(c.out, name...)
	c.out = append(c.out, ": "...)
	c.out = strconv.AppendInt(c.out, n, 10)
	c.out = append(c.out, "\r\n"...)
}

func (c *conn) fields(list []model.Field) {
	for i := range list {
		if !list[i].Dropped {
			c.field(list[i].Name, list[i].Value)
		}
	}
}

// noLength leaves Content-Length out, for a status that has no body.
const noLength = -1

// finishHead writes the framing of an answer of the gateway's own.
func (c *conn) finishHead(length int64) {
	c.field("Date", c.s.date())
	if length >= 0 {
		c.number("Content-Length", length)
	}
	c.connection()
	c.out = append(c.out, "\r\n"...)
}

// connection says what becomes of the connection.
func (c *conn) connection() {
	if c.req.Close || c.broken.Load() || c.s.draining.Load() || c.unasked() {
		c.req.Close = true
		c.out = append(c.out, "Connection: close\r\n"...)
	} else if c.req.Minor == 0 {
		c.out = append(c.out, "Connection: keep-alive\r\n"...)
	}
}

func (s *Server) date() string { return s.dates.At(s.clock.Load()) }
