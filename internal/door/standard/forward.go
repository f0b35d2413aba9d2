package standard

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sallyport/sallyport/internal/door"
	"github.com/sallyport/sallyport/internal/door/upstream"
	"github.com/sallyport/sallyport/internal/model"
)

// gone is the status under which an exchange is recorded that got no answer, for
// its client went away or it was cut. It is never sent.
const gone = 499

// forward sends the request to its service and relays the answer.
func (x *exchange) forward() (failed *model.Error, detail string) {
	ctx, cancel := context.WithCancelCause(x.r.Context())
	defer cancel(nil)
	x.register(cancel)
	defer x.unregister()
	if e := x.takeBody(); e != nil {
		x.refuse(e)
		return e, "declared length over the route's limit"
	}
	req := x.request()
	stop := x.lapse(cancel, x.body != nil && x.r.ContentLength < 0)
	res, err := x.door.deps.Pools.Forward(ctx, x.ex.Route.Service, req)
	stop()
	x.wait = req.Trail.Wait
	if err != nil {
		return x.fail(ctx, err)
	}
	defer func() { _ = res.Body.Close() }()
	defer x.lapse(cancel, res.Tunnel != nil || res.Length < 0)()
	if res.Tunnel != nil {
		return x.tunnel(ctx, res)
	}
	return x.relay(ctx, res)
}

// sayVersion has Via say which version the request came by (RFC 9110, 7.6.3).
func (x *exchange) sayVersion() {
	version := strconv.Itoa(x.r.ProtoMajor) + "." + strconv.Itoa(x.r.ProtoMinor)
	for i := range x.ex.Add {
		if f := &x.ex.Add[i]; f.Name == "Via" {
			f.Value = strings.Replace(f.Value, "1.1", version, 1)
		}
	}
}

// lapse ends what could stay open without end once the caller's standing ends.
func (x *exchange) lapse(cancel context.CancelCauseFunc, open bool) (stop func()) {
	at := x.expires()
	if !open || at.IsZero() {
		return func() {}
	}
	t := time.AfterFunc(at.Sub(x.door.deps.Now()), func() { cancel(errExpired) })
	return func() { t.Stop() }
}

// takeBody readies the request's body with its limits.
func (x *exchange) takeBody() *model.Error {
	r := x.r
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return nil
	}
	limit, stall := x.ex.Route.BodyLimit, x.door.idle
	if grpc := strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc"); grpc {
		stall = 0 // a call may say nothing for as long as it likes
		if x.ex.Route.Service.Protocol == model.HTTP2 {
			limit = 0
		}
	}
	if limit > 0 && r.ContentLength > limit {
		return tooLarge
	}
	x.body = newBody(r.Body, x.rc, limit, stall)
	if r.ProtoMajor == 1 {
		_ = x.rc.EnableFullDuplex() // or net/http reads the body away before the first byte of an answer
	}
	return nil
}

// request writes what goes to the service.
func (x *exchange) request() *upstream.Request {
	r, ex := x.r, x.ex
	req := &upstream.Request{Method: ex.Method, Target: ex.Target, Host: ex.Host, Fields: ex.Fields, Add: ex.Add,
		Upgrade: ex.Upgrade, Trailers: listed(r.Header["Te"], "trailers")}
	if ex.Route.Service.Host == model.HostTarget {
		req.Host = ""
	}
	if x.body != nil {
		req.Body, req.Length = x.body, r.ContentLength
		req.Expects = r.ProtoMajor == 1 && listed(r.Header["Expect"], "100-continue")
		x.takeTrailers(req)
	}
	req.Key = door.HashKey(ex)
	if r.ProtoAtLeast(1, 1) {
		req.Inform = x.inform
	}
	return req
}

// takeTrailers passes trailer fields on, but for those that are not a client's to
// set.
func (x *exchange) takeTrailers(req *upstream.Request) {
	plan, r := x.ex.Plan, x.r
	for name := range r.Trailer {
		if plan.PassesTrailer(name) {
			req.Declared = append(req.Declared, name)
		}
	}
	if r.ContentLength >= 0 && len(req.Declared) == 0 {
		return
	}
	req.Trailer = func() (out []model.Field) {
		for name, values := range r.Trailer {
			if !plan.PassesTrailer(name) {
				continue
			}
			for _, v := range values {
				if model.ValidFieldValue(v) {
					out = append(out, model.Field{Name: name, Value: v})
				}
			}
		}
		return out
	}
}

// inform passes an interim answer on.
func (x *exchange) inform(status int, fields http.Header) {
	h := x.w.Header()
	kept := h.Clone()
	x.copyFields(h, fields)
	h.Del("Connection")
	x.w.WriteHeader(status)
	clear(h)
	for k, v := range kept {
		h[k] = v
	}
}

// fail answers a request that got no answer from its service.
func (x *exchange) fail(ctx context.Context, err error) (*model.Error, string) {
	var known *model.Error
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errCut), errors.Is(cause, errExpired):
		x.status, x.aborted = gone, true
		return nil, cause.Error()
	case x.body.stalled():
		// net/http ends the request's context with the first read that fails; this
		// client is there all the same.
		x.w.Header().Set("Connection", "close")
		x.refuse(x.body.failed())
		return x.body.failed(), "no byte of the body for too long"
	case x.r.Context().Err() != nil:
		x.status, x.aborted = gone, true
		return nil, "the client went away"
	case errors.As(err, &known):
		if known.Code == model.RequestMalformed && x.r.ProtoMajor == 1 {
			x.w.Header().Set("Connection", "close")
		}
		x.refuse(known)
		return known, ""
	}
	e := model.NewError(model.Internal, "The gateway met an unexpected fault.").WithCause(err)
	x.refuse(e)
	return e, ""
}

var buffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// relay sends a service's answer to the client as it comes.
func (x *exchange) relay(ctx context.Context, res *upstream.Response) (*model.Error, string) {
	h := x.w.Header()
	x.copyFields(h, res.Header)
	if res.Length < 0 {
		h.Del("Content-Length")
	}
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = nil // keeps net/http from guessing
	}
	takes := x.r.ProtoMajor == 2 || res.Length < 0 && x.r.ProtoAtLeast(1, 1)
	declared := x.announce(h, res, takes)
	x.status, x.started = res.Status, true
	x.w.WriteHeader(res.Status)
	if res.Length < 0 {
		if err := x.rc.Flush(); err != nil {
			return x.lost(ctx)
		}
	}
	if failed, detail, ok := x.copyBody(ctx, res); !ok {
		return failed, detail
	}
	if takes {
		x.sendTrailers(h, res.Trailer(), declared)
	}
	return nil, ""
}

func (x *exchange) copyBody(ctx context.Context, res *upstream.Response) (*model.Error, string, bool) {
	buf := buffers.Get().(*[32 << 10]byte)
	defer buffers.Put(buf)
	var slow guard
	if x.r.ProtoMajor == 2 { // listen guards the connections of HTTP/1.1; a stream can stall by itself
		slow.limit, slow.act = x.door.idle, func() { _ = x.rc.SetWriteDeadline(past) }
		defer slow.stop()
	}
	for {
		n, err := res.Body.Read(buf[:])
		if n > 0 {
			slow.begin()
			m, werr := x.w.Write(buf[:n])
			x.sent += int64(m)
			// What is known to follow at once need not be flushed now.
			if werr == nil && err == nil && (res.Length < 0 || x.sent < res.Length) {
				werr = x.rc.Flush()
			}
			slow.end()
			if werr != nil {
				failed, detail := x.lost(ctx)
				return failed, detail, false
			}
		}
		switch {
		case err == io.EOF:
			return nil, "", true
		case err != nil && ctx.Err() != nil:
			failed, detail := x.lost(ctx)
			return failed, detail, false
		case err != nil: // a cut body never ends cleanly towards the client
			_ = x.rc.Flush()
			x.aborted = true
			if e := x.body.failed(); e != nil {
				return e, "the request's body failed while its answer was under way", false
			}
			return &model.Error{Code: model.UpstreamInvalid, Message: "The service cut its answer short.", Err: err}, "the answer was cut short by the target", false
		}
	}
}

// lost ends an answer that can no longer be given whole.
func (x *exchange) lost(ctx context.Context) (*model.Error, string) {
	x.aborted = true
	if cause := context.Cause(ctx); errors.Is(cause, errCut) || errors.Is(cause, errExpired) {
		return nil, cause.Error()
	}
	return nil, "the client went away"
}
