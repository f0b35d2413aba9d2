package h2

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/sallyport/sallyport/internal/door"
	"github.com/sallyport/sallyport/internal/door/upstream"
	"github.com/sallyport/sallyport/internal/door/wire"
	"github.com/sallyport/sallyport/internal/model"
)

// forward sends the request to its service and relays the answer. It answers why
// that failed, if it did; by then the client has its answer, or never will.
func (st *stream) forward() (failed *model.Error, detail string) {
	ex := st.ex
	st.register()
	defer st.unregister()
	if st.limited() { // cut as it registered: its decision was made before
		return st.lost()
	}
	limit := ex.Route.BodyLimit
	call := isCall(ex.Fields)
	if call && ex.Route.Service.Protocol == model.HTTP2 {
		limit = 0
	}
	if limit > 0 && st.declares() > limit {
		e := tooLarge()
		st.refuse(e)
		return e, "declared length over the route's limit"
	}
	if failed, detail, done := st.direct(); done {
		return failed, detail
	}
	return st.general(limit, call)
}

// declares is how long the body is at least, as far as that is known.
func (st *stream) declares() int64 {
	st.c.mu.Lock()
	defer st.c.mu.Unlock()
	return max(st.head.length, st.body.received)
}

// read makes a reader of the body; nil = there is none.
func (st *stream) read(limit int64, patient bool) *bodyReader {
	c := st.c
	c.mu.Lock()
	defer c.mu.Unlock()
	b := &st.body
	if b.whole && b.held == 0 && len(b.trailers) == 0 {
		return nil
	}
	b.reader = &bodyReader{c: c, st: st, length: st.head.length, limit: limit, patient: patient, wake: make(chan struct{}, 1)}
	if b.whole && len(b.trailers) == 0 {
		b.reader.length = b.received
	}
	return b.reader
}

// general forwards by way of upstream, whatever protocol the target speaks.
func (st *stream) general(limit int64, call bool) (*model.Error, string) {
	c, ex := st.c, st.ex
	ctx, cancel := context.WithCancelCause(c.ctx)
	defer cancel(nil)
	c.mu.Lock()
	st.cancel = cancel
	if st.dead {
		cancel(st.cause)
	}
	c.mu.Unlock()
	defer st.uncancel()
	body := st.read(limit, call)
	up := st.request(body)
	res, err := c.s.deps.Ways.Forward(ctx, ex.Route.Service, up)
	st.wait += up.Trail.Wait
	if err != nil {
		return st.failed(ctx, err, body)
	}
	defer func() { _ = res.Body.Close() }()
	if res.Tunnel != nil { // nobody asked for one
		e := upstream.Invalid(errors.New("the target switched protocols unasked"))
		st.refuse(e)
		return e, ""
	}
	if err = st.relay(res); err == nil {
		return nil, ""
	}
	if e := body.failed(); e != nil && !st.over() {
		return e, "the request's body failed while its answer was under way"
	}
	return st.broken(err)
}

func (st *stream) uncancel() {
	st.c.mu.Lock()
	st.cancel = nil
	st.c.mu.Unlock()
}

// request writes what goes to the service.
func (st *stream) request(body *bodyReader) *upstream.Request {
	ex := st.ex
	req := &upstream.Request{Method: ex.Method, Target: ex.Target, Host: ex.Host, Fields: ex.Fields, Add: ex.Add,
		Trailers: st.head.trailers, Key: door.HashKey(ex), Spent: st.spent, Sent: st.tried, Inform: st.inform}
	if ex.Route.Service.Host == model.HostTarget {
		req.Host = ""
	}
	if body == nil {
		return req
	}
	req.Body, req.Length = body, body.length
	for i := range ex.Fields {
		if f := &ex.Fields[i]; f.Name == "trailer" {
			for name := range strings.SplitSeq(f.Value, ",") {
				if name = strings.Trim(name, " \t"); model.ValidToken(name) && ex.Plan.PassesTrailer(name) {
					req.Declared = append(req.Declared, name)
				}
			}
		}
	}
	if req.Length < 0 || len(req.Declared) > 0 {
		plan := ex.Plan
		req.Trailer = func() []model.Field { return body.trailers(plan) }
	}
	return req
}

// inform passes an interim answer on (RFC 9110, 15.2).
func (st *stream) inform(status int, fields http.Header) {
	c := st.c
	c.mu.Lock()
	defer c.mu.Unlock()
	c.interim(st, status, fields)
	c.kick()
}

// failed answers a request that got no answer from its service.
func (st *stream) failed(ctx context.Context, err error, body *bodyReader) (*model.Error, string) {
	var known *model.Error
	switch e := body.failed(); {
	case st.over():
		return st.lost()
	case e != nil:
		st.refuse(e)
		return e, "the request's body failed"
	case ctx.Err() != nil: // the connection has ended under it
		st.status = gone
		return nil, "the client went away"
	case errors.As(err, &known):
		st.refuse(known)
		return known, ""
	}
	e := model.NewError(model.Internal, "The gateway met an unexpected fault.").WithCause(err)
	st.refuse(e)
	return e, ""
}

// lost is the end of an exchange whose stream has been ended.
func (st *stream) lost() (*model.Error, string) {
	if !st.started {
		st.status = gone
	}
	return nil, st.causeOf().Error()
}

func (st *stream) causeOf() error {
	st.c.mu.Lock()
	defer st.c.mu.Unlock()
	if st.cause == nil {
		return errGone
	}
	return st.cause
}

// broken is the end of an answer that cannot be finished. The stream is reset, so
// that it does not look whole.
func (st *stream) broken(err error) (*model.Error, string) {
	if st.over() {
		return st.lost()
	}
	return &model.Error{Code: model.UpstreamInvalid, Message: "The service cut its answer short.", Err: err}, "the answer was cut short by the target"
}

var relayBuffers = sync.Pool{New: func() any { return new([2 * dataSize]byte) }}

// relay sends a service's answer to the client as it comes.
func (st *stream) relay(res *upstream.Response) error {
	c := st.c
	st.status = res.Status
	none := st.ex.Method == http.MethodHead || res.Status == http.StatusNoContent || res.Status == http.StatusNotModified
	start, ok := st.begin(res.Status)
	if !ok {
		return st.causeOf()
	}
	connection := strings.Join(res.Header["Connection"], ",")
	for name, values := range res.Header {
		if !st.passesBack(name) || connection != "" && wire.HasToken(connection, name) {
			continue
		}
		for _, v := range values {
			if !ownCookie(name, v) {
				c.put(name, v)
			}
		}
	}
	st.answerFields()
	if _, ok := res.Header["Date"]; !ok {
		c.put("date", c.s.date())
	}
	if v := res.Header.Get("Content-Length"); v != "" && (res.Length >= 0 || none) && res.Status != http.StatusNoContent {
		c.put("content-length", v)
	}
	if !none && res.Length != 0 {
		for name := range res.Trailer() {
			if st.passesBehind(name) {
				c.put("trailer", name)
			}
		}
	}
	none = none || res.Length == 0 && len(res.Trailer()) == 0
	st.end(start, none)
	if none {
		return nil
	}
	if res.Length < 0 {
		c.flush()
	}
	return st.copyBody(res)
}

// copyBody streams the body: each piece as it comes.
func (st *stream) copyBody(res *upstream.Response) error {
	c := st.c
	buf := relayBuffers.Get().(*[2 * dataSize]byte)
	defer relayBuffers.Put(buf)
	for {
		n, err := res.Body.Read(buf[:])
		if n > 0 {
			last := res.Length >= 0 && st.sent+int64(n) == res.Length && len(res.Trailer()) == 0
			if serr := c.send(st, buf[:n], last); serr != nil || last {
				return serr
			}
		}
		switch {
		case err == io.EOF && res.Length >= 0 && st.sent < res.Length:
			return io.ErrUnexpectedEOF
		case err == io.EOF:
			var trailers []model.Field
			for name, values := range res.Trailer() {
				for _, v := range values {
					trailers = append(trailers, model.Field{Name: name, Value: v})
				}
			}
			return st.endAnswer(nil, trailers)
		case err != nil:
			return err
		}
		c.flush()
	}
}
