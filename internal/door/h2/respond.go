package h2

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/internal/door/h2/frame"
	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/problem"
)

func credentialID(p *authn.Proof) string {
	if p == nil || p.Credential == nil {
		return ""
	}
	return p.Credential.ID
}

// begin starts a header block of the stream's. Where it answers true, mu is held
// until end; false = the stream has ended.
func (st *stream) begin(status int) (start int, ok bool) {
	c := st.c
	c.mu.Lock()
	if !c.makeRoom(st) {
		c.mu.Unlock()
		return 0, false
	}
	st.start, st.writing = len(c.room()), true
	return c.beginBlock(status), true
}

// beginBlock starts a header block; with mu held. Status 0 makes trailers.
func (c *conn) beginBlock(status int) (start int) {
	start = len(c.room())
	c.out = append(c.room(), make([]byte, frame.HeaderLen)...)
	c.out = c.enc.Begin(c.out)
	if status > 0 {
		c.out = c.enc.Status(c.out, status)
	}
	return start
}

// put adds a field to the block; with mu held.
func (c *conn) put(name, value string) {
	if len(name) == len("Set-Cookie") && model.EqualFold(name, "Set-Cookie") {
		c.out = c.enc.Secret(c.out, name, value)
		return
	}
	c.out = c.enc.Field(c.out, name, value)
}

// endBlock writes the frame, or frames, around the block; with mu held.
func (c *conn) endBlock(start int, id uint32, last bool) {
	flags := frame.Flags(0)
	if last {
		flags = frame.EndStream
	}
	n := len(c.out) - start - frame.HeaderLen
	if n <= frame.MinMax {
		frame.Append(c.out[:start], n, frame.Headers, flags|frame.EndHeaders, id)
		return
	}
	rest := bytes.Clone(c.out[start+frame.HeaderLen:])
	c.out = c.out[:start]
	for kind := frame.Headers; len(rest) > 0; kind, flags = frame.Continuation, 0 {
		n := min(len(rest), frame.MinMax)
		if n == len(rest) {
			flags |= frame.EndHeaders
		}
		c.out = append(frame.Append(c.out, n, kind, flags, id), rest[:n]...)
		rest = rest[n:]
	}
}

// end ends the head of the answer; last says that no body follows.
func (st *stream) end(start int, last bool) {
	c := st.c
	c.endBlock(start, st.id, last)
	st.localDone = st.localDone || last
	st.started, st.writing = true, false
	c.budget.useful(0)
	c.mu.Unlock()
}

// interim writes an interim answer; with mu held.
func (c *conn) interim(st *stream, status int, fields http.Header) {
	if st.dead || st.started {
		return
	}
	start := c.beginBlock(status)
	for name, values := range fields {
		if !st.passesBack(name) {
			continue
		}
		for _, v := range values {
			if model.ValidFieldValue(v) {
				c.put(name, v)
			}
		}
	}
	c.endBlock(start, st.id, false)
}

// refuse writes the gateway's own answer to a refusal. Where an answer has begun it
// writes nothing, and the stream will be reset.
func (st *stream) refuse(e *model.Error) {
	if st.started {
		return
	}
	ex, c := st.ex, st.c
	a := problem.Render(e, problem.Facts{RequestID: ex.ID, HTML: problem.WantsHTML(ex.Method, ex.Fields),
		Head: ex.Method == http.MethodHead, Challenges: c.s.deps.Gate.Challenges(ex),
		Login: problem.SignIn(ex.Method, ex.Fields, ex.Login)})
	st.status = a.Status
	start, ok := st.begin(a.Status)
	if !ok {
		return
	}
	c.putAll(a.Fields)
	c.putAll(ex.Response)
	st.finishOwn(start, a.Body, ex.Method)
}

// finishOwn ends the head of an answer of our own and writes its body.
func (st *stream) finishOwn(start int, body []byte, method string) {
	c := st.c
	c.put("date", c.s.date())
	if len(body) > 0 || method != http.MethodHead {
		c.put("content-length", strconv.Itoa(len(body)))
	}
	if method == http.MethodHead {
		body = nil
	}
	st.end(start, len(body) == 0)
	if len(body) > 0 {
		_ = c.send(st, body, true)
	}
}

func (c *conn) putAll(list []model.Field) {
	for i := range list {
		if f := &list[i]; f.Name == "X-Request-Id" {
			c.out = c.enc.Once(c.out, f.Name, f.Value)
		} else {
			c.put(f.Name, f.Value)
		}
	}
}

func (st *stream) answerEmpty() {
	c := st.c
	st.status = http.StatusNoContent
	start, ok := st.begin(http.StatusNoContent)
	if !ok {
		return
	}
	c.out = c.enc.Once(c.out, "x-request-id", st.ex.ID)
	c.putAll(st.ex.Response)
	c.put("date", c.s.date())
	st.end(start, true)
}

// answerWith writes what a handler of the gateway's own has answered.
func (st *stream) answerWith(w *localWriter) {
	c := st.c
	st.status = w.status
	start, ok := st.begin(w.status)
	if !ok {
		return
	}
	for name, values := range w.header {
		if model.HopByHop(name) || name == "Content-Length" || name == "Date" || name == "X-Request-Id" {
			continue
		}
		for _, v := range values {
			c.put(name, v)
		}
	}
	c.out = c.enc.Once(c.out, "x-request-id", st.ex.ID)
	st.finishOwn(start, w.body.Bytes(), st.ex.Method)
}

// localBody is the most that a handler of the gateway's own reads.
const localBody = 1 << 20

// localWriter collects a local answer, which is always small.
type localWriter struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *localWriter) Header() http.Header         { return w.header }
func (w *localWriter) WriteHeader(status int)      { w.status = status }
func (w *localWriter) Write(b []byte) (int, error) { return w.body.Write(b) }

type readCloser struct{ io.Reader }

func (readCloser) Close() error { return nil }

// answerFields adds what every forwarded answer gets; with mu held.
func (st *stream) answerFields() {
	c, ex := st.c, st.ex
	c.out = c.enc.Once(c.out, "x-request-id", ex.ID)
	for name, value := range ex.Route.Model.Edit.Response.Set {
		c.put(name, value)
	}
	c.putAll(ex.Response)
}

// passesBack says whether a field of the service's answer goes on to the client:
// nothing that ends at this hop, frames, is the gateway's, or was edited.
func (st *stream) passesBack(name string) bool {
	if endsHere(name) {
		return false
	}
	m := st.ex.Route.Model
	if m.CORS != nil && corsField(name) {
		return false
	}
	e := &m.Edit.Response
	for _, n := range e.Remove {
		if model.EqualFold(n, name) {
			return false
		}
	}
	for n := range e.Set {
		if model.EqualFold(n, name) {
			return false
		}
	}
	for i := range st.ex.Response {
		if n := st.ex.Response[i].Name; model.EqualFold(n, name) && n != "Set-Cookie" && n != "Vary" {
			return false
		}
	}
	return true
}

// passesBehind says whether a service may send that field behind its body.
func (st *stream) passesBehind(name string) bool {
	return model.EditableHeaderFault(name) == "" && !model.EqualFold(name, "Set-Cookie") && !corsField(name) && st.passesBack(name)
}

// endsHere says whether a field of an answer is of this hop alone (RFC 9110,
// 7.6.1), frames it, or is the gateway's own.
func endsHere(name string) bool {
	var n string
	switch len(name) {
	case 2:
		n = "TE"
	case 7:
		return model.EqualFold(name, "Trailer") || model.EqualFold(name, "Upgrade")
	case 10:
		return model.EqualFold(name, "Connection") || model.EqualFold(name, "Keep-Alive")
	case 12:
		n = "X-Request-Id"
	case 14:
		return model.EqualFold(name, "HTTP2-Settings") || model.EqualFold(name, "Content-Length")
	case 16:
		n = "Proxy-Connection"
	case 17:
		n = "Transfer-Encoding"
	case 18:
		n = "Proxy-Authenticate"
	case 19:
		n = "Proxy-Authorization"
	default:
		return false
	}
	return model.EqualFold(name, n)
}

func corsField(name string) bool {
	const prefix = "Access-Control-"
	return len(name) > len(prefix) && model.EqualFold(name[:len(prefix)], prefix)
}

// ownCookie says whether a Set-Cookie value is in the gateway's name.
func ownCookie(name, value string) bool {
	const own = gate.GatewayCookie
	if len(name) != len("Set-Cookie") || !model.EqualFold(name, "Set-Cookie") {
		return false
	}
	value = strings.TrimLeft(value, " \t")
	return len(value) >= len(own) && model.EqualFold(value[:len(own)], own)
}
