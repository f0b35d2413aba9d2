package h1

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/sallyport/sallyport/internal/door/wire"
	"github.com/sallyport/sallyport/internal/model"
)

// localBody is the most that a request to the gateway's own paths may hold: forms,
// of which a SAML response is the largest.
const localBody = 512 << 10

// answerLocal runs a net/http handler of the gateway's own.
func (c *conn) answerLocal(h http.Handler) {
	body, err := c.localBody()
	switch {
	case err == nil:
	case err == errTooLarge:
		c.refuse(tooLarge())
		return
	case wire.IsMalformed(err):
		c.refuse(&model.Error{Code: model.RequestMalformed, Message: "The request's body is not well-formed.", Err: err})
		return
	default:
		c.reset()
		return
	}
	w := &localWriter{header: http.Header{"X-Request-Id": {strings.Clone(c.ex.ID)}}}
	h.ServeHTTP(w, c.localRequest(body))
	c.head(w.code())
	for name, values := range w.header {
		if name == "Content-Length" || name == "Date" || name == "X-Request-Id" || endsHere(name) {
			continue
		}
		for _, v := range values {
			c.field(name, v)
		}
	}
	c.field("X-Request-Id", c.ex.ID)
	if c.status == http.StatusNoContent || c.status == http.StatusNotModified {
		c.finishHead(noLength)
	} else {
		c.finishHead(int64(w.body.Len()))
		if c.req.Method != http.MethodHead {
			c.out = append(c.out, w.body.Bytes()...)
		}
	}
	_ = c.flush()
}

// localBody reads the request's body whole.
func (c *conn) localBody() ([]byte, error) {
	if c.req.Length > localBody {
		return nil, errTooLarge
	}
	var out []byte
	if c.req.Length != 0 && c.req.Expect100 {
		if err := c.interim([]byte("HTTP/1.1 100 Continue\r\n\r\n"), true); err != nil {
			return nil, err
		}
	}
	c.body.limit = localBody
	c.feed.setRead(c.nc, c.s.after(c.s.cfg.HeaderTimeout))
	defer c.feed.clear()
	for {
		b, err := c.body.next()
		out = append(out, b...)
		switch {
		case errors.Is(err, io.EOF) && c.body.ended:
			return out, nil
		case err != nil:
			return nil, err
		}
	}
}

func (c *conn) localRequest(body []byte) *http.Request {
	r := &http.Request{Method: strings.Clone(c.req.Method), Host: strings.Clone(c.req.Host), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: c.req.Minor,
		Header: http.Header{}, Body: http.NoBody, RemoteAddr: c.nc.RemoteAddr().String(), RequestURI: strings.Clone(c.req.Target)}
	if len(body) > 0 {
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	if t, ok := c.nc.(*tls.Conn); ok {
		state := t.ConnectionState()
		r.TLS = &state
	}
	var err error
	if r.URL, err = url.ParseRequestURI(r.RequestURI); err != nil {
		r.URL = &url.URL{Path: "/"}
	}
	for i := range c.req.Fields {
		r.Header.Add(strings.Clone(c.req.Fields[i].Name), strings.Clone(c.req.Fields[i].Value))
	}
	return r.WithContext(c.ctx)
}

// localWriter collects a local answer, which is always small.
type localWriter struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *localWriter) Header() http.Header { return w.header }

func (w *localWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *localWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}

func (w *localWriter) code() int {
	w.WriteHeader(http.StatusOK)
	return w.status
}
