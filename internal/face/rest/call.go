package rest

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strings"
	"unicode/utf8"

	"github.com/sallyport/sallyport/internal/face/rest/login"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/problem"
	"github.com/sallyport/sallyport/internal/provision"
	"github.com/sallyport/sallyport/internal/strict"
)

// call is one request on its way through the API.
type call struct {
	w      http.ResponseWriter
	r      *http.Request
	id     string // of the request
	ip     netip.Addr
	params map[string]string // the path's, unescaped
	query  map[string]string
	body   []byte
	node   *strict.Node // the body, parsed
	caller login.Caller
	reason string
	sent   bool
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{w: w, r: r, id: h.RequestID(), ip: h.ClientIP(r)}
	w.Header().Set("X-Request-Id", c.id)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	defer h.survive(c)
	if err := h.handle(c); err != nil {
		h.refuse(c, model.AsError(err))
	}
}

// handle is the order of things: nothing is looked at for somebody who has not
// logged in, not even whether the path exists.
func (h *Handler) handle(c *call) error {
	segments, err := split(c.r.URL)
	if err != nil {
		return err
	}
	op, params, allow := find(h.operations, c.r.Method, segments)
	c.params = params
	if op != nil && op.Open {
		return op.serve(c)
	}
	if err := sameOrigin(c.r); err != nil {
		return err
	}
	if c.caller, err = h.logins.Authenticate(&login.Attempt{Request: c.r, RequestID: c.id, ClientIP: c.ip}); err != nil {
		return err
	}
	switch {
	case op == nil && allow != nil:
		return &model.Error{Code: model.MethodNotAllowed, Message: "This path does not serve the method.", Allow: allow}
	case op == nil:
		return model.NewError(model.NotFound, "There is nothing at this path. GET /v2/openapi.json lists what there is.")
	}
	if err := permit(op.Roles, c.caller.Roles); err != nil {
		return err
	}
	if err := c.readQuery(op.Query); err != nil {
		return err
	}
	if err := c.readReason(); err != nil {
		return err
	}
	if err := c.readBody(op); err != nil {
		return err
	}
	return op.serve(c)
}

// split cuts the path as it was sent at its slashes and then unescapes each
// segment, so that a name may hold a slash, written %2F.
func split(u *url.URL) ([]string, error) {
	segments := strings.Split(strings.TrimPrefix(u.EscapedPath(), "/"), "/")
	for i, s := range segments {
		p, err := url.PathUnescape(s)
		if err != nil || !utf8.ValidString(p) {
			return nil, model.NewError(model.RequestMalformed, "The path is not percent-encoded UTF-8.")
		}
		segments[i] = p
	}
	return segments, nil
}

// survive turns a panic into an answer: one bad request must not end the others
// of its connection, and the client must not be left guessing.
func (h *Handler) survive(c *call) {
	p := recover()
	if p == nil {
		return
	}
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(p)
	}
	h.Log.Error("admin API panicked", "requestId", c.id, "panic", p, "stack", string(debug.Stack()))
	if !c.sent {
		h.refuse(c, model.AsError(errors.New("panic")))
	}
}

func (h *Handler) refuse(c *call, e *model.Error) {
	if c.sent { // a stream that broke off; the status is gone already
		h.Log.Warn("admin API answer broke off", "requestId", c.id, "error", e)
		return
	}
	if e.Code.Status() >= 500 {
		h.Log.Error("admin API failed", "requestId", c.id, "method", c.r.Method, "path", c.r.URL.Path, "error", e)
	}
	c.sent = true
	problem.Write(c.w, e, problem.Facts{RequestID: c.id, HTML: problem.WantsHTML(c.r.Method, fields(c.r)),
		Head: c.r.Method == http.MethodHead, Challenges: challenges})
}

// challenges are the ways in that HTTP has names for; a client certificate has none.
var challenges = []string{`Basic realm="sallyport admin", charset="UTF-8"`, `Bearer realm="sallyport admin"`}

func fields(r *http.Request) (list []model.Field) {
	for _, n := range []string{"Accept", "Sec-Fetch-Mode", "Sec-Fetch-Dest", "Upgrade", "X-Requested-With"} {
		for _, v := range r.Header.Values(n) {
			list = append(list, model.Field{Name: n, Value: v})
		}
	}
	return list
}

// send answers with v as JSON.
func (c *call) send(status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.sent = true
	c.w.WriteHeader(status)
	if c.r.Method != http.MethodHead {
		_, _ = c.w.Write(append(b, '\n')) // a client that is gone needs no answer
	}
	return nil
}

func (c *call) noContent() error {
	c.sent = true
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

func (c *call) actor() provision.Actor {
	ip := ""
	if c.ip.IsValid() {
		ip = c.ip.String()
	}
	return provision.Actor{Name: c.caller.Name, Roles: c.caller.Roles, Reason: c.reason, RequestID: c.id, ClientIP: ip}
}

func invalid(path, message string) *model.Error {
	return &model.Error{Code: model.Invalid, Message: "The request is not valid.", Faults: model.Faults{{Path: path, Message: message}}}
}
