package h1

import (
	"bytes"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

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
	a := problem.Render(e, problem.Facts{RequestID: ex.ID, HTML: problem.WantsHTML(ex.Method, ex.Fields), GRPC: problem.IsGRPC(ex.Fields),
		Head: ex.Method == "HEAD", Challenges: c.s.deps.Gate.Challenges(ex)})
	if e.Code.Status() == 400 && e.Code != model.PathAmbiguous || e.Code == model.HeadersTooLarge || e.Code == model.URITooLong {
		c.req.Close = true // after bytes that nobody understood, nothing is sure
	}
	c.head(a.Status)
	c.fields(a.Fields)
	if ex.Route != nil {
		c.fields(ex.Response)
	}
	c.finishHead(int64(len(a.Body)))
	if ex.Method != "HEAD" {
		c.out = append(c.out, a.Body...)
		c.sent = int64(len(a.Body))
	}
	_ = c.flush()
}

func (c *conn) answerPreflight() {
	c.head(204)
	c.field("X-Request-Id", c.ex.ID)
	c.fields(c.ex.Response)
	c.finishHead(-3)
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

func (c *conn) field(name, value string) {
	c.out = append(c.out, name...)
	c.out = append(c.out, ": "...)
	c.out = append(c.out, value...)
	c.out = append(c.out, "\r\n"...)
}

func (c *conn) fields(list []model.Field) {
	for i := range list {
		if !list[i].Dropped {
			c.field(list[i].Name, list[i].Value)
		}
	}
}

// finishHead writes the framing of an answer of the gateway's own; length -3
// leaves it out, for a status that has no body.
func (c *conn) finishHead(length int64) {
	c.field("Date", c.s.date(time.Now()))
	if length >= 0 {
		c.out = append(c.out, "Content-Length: "...)
		c.out = strconv.AppendInt(c.out, length, 10)
		c.out = append(c.out, "\r\n"...)
	}
	c.connection()
	c.out = append(c.out, "\r\n"...)
}

// connection says what becomes of the connection.
func (c *conn) connection() {
	if c.req.Close || c.broken || c.s.draining.Load() {
		c.req.Close = true
		c.out = append(c.out, "Connection: close\r\n"...)
	} else if c.req.Minor == 0 {
		c.out = append(c.out, "Connection: keep-alive\r\n"...)
	}
}

func (c *conn) flush() error {
	c.started.Store(true)
	return c.write(c.out)
}

// stamp is one second's Date, so that it is formatted once a second.
type stamp struct {
	second int64
	text   string
}

func (s *Server) date(now time.Time) string {
	d := s.dated.Load()
	if d == nil || d.second != now.Unix() {
		d = &stamp{now.Unix(), now.UTC().Format(http.TimeFormat)}
		s.dated.Store(d)
	}
	return d.text
}

// local is the handler of the gateway's own path, nil for everybody else's.
func (c *conn) local() http.Handler {
	path, _, _ := strings.Cut(c.req.Target, "?")
	if !strings.HasPrefix(path, "/.") {
		return nil
	}
	return c.s.deps.Local(c.req.Host, path)
}

// answerLocal runs a net/http handler of the gateway's own.
func (c *conn) answerLocal(h http.Handler) bool {
	r := &http.Request{Method: c.req.Method, Host: strings.Clone(c.req.Host), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: http.NoBody, RemoteAddr: c.nc.RemoteAddr().String(), RequestURI: strings.Clone(c.req.Target)}
	r = r.WithContext(c.ctx)
	var err error
	if r.URL, err = url.ParseRequestURI(r.RequestURI); err != nil {
		r.URL = &url.URL{Path: "/"}
	}
	for i := range c.req.Fields {
		r.Header.Add(strings.Clone(c.req.Fields[i].Name), strings.Clone(c.req.Fields[i].Value))
	}
	w := &localWriter{header: http.Header{}, status: 200}
	h.ServeHTTP(w, r)
	c.head(w.status)
	for name, values := range w.header {
		for _, v := range values {
			if name != "Content-Length" {
				c.field(name, v)
			}
		}
	}
	c.field("X-Request-Id", c.ex.ID)
	c.finishHead(int64(w.body.Len()))
	if c.req.Method != "HEAD" {
		c.out = append(c.out, w.body.Bytes()...)
	}
	return c.flush() == nil
}

// localWriter collects a local answer, which is always small.
type localWriter struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *localWriter) Header() http.Header         { return w.header }
func (w *localWriter) WriteHeader(status int)      { w.status = status }
func (w *localWriter) Write(b []byte) (int, error) { return w.body.Write(b) }
