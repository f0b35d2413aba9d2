package standard

import (
	"context"
	"errors"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/sallyport/sallyport/internal/door"
	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/problem"
	"github.com/sallyport/sallyport/internal/record"
)

// exchange is one request on its way through the door.
type exchange struct {
	door  *Door
	w     http.ResponseWriter
	r     *http.Request
	rc    *http.ResponseController
	conn  *conn
	ex    *gate.Exchange
	began time.Time

	body    *body          // of the request; nil = none, or not asked for
	streams [2]door.Stream // the user's and the client's
	sent    int64          // body bytes of the answer
	status  int
	started bool // the answer's head may be out
	wait    time.Duration
	done    bool // completed

	cutting sync.Mutex
	over    bool // guarded by cutting: no longer to be cut
	aborted bool // the connection must not end cleanly
}

// What ends an exchange from outside.
var (
	errCut     = errors.New("cut: the user or credential behind it was ended, or the gateway is stopping")
	errExpired = errors.New("cut: the credential behind it has expired")
)

// ServeHTTP brings one request to its end.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{door: d, w: w, r: r, rc: http.NewResponseController(w), conn: d.of(r), began: d.deps.Now()}
	x.ex = d.deps.Gate.Acquire()
	x.ex.ID = door.NewID()
	func() {
		defer d.deps.Gate.Release(x.ex)
		defer func() { x.body.end(x.aborted) }()
		defer x.recover()
		x.serve()
	}()
	if r.ProtoMajor == 2 && !x.aborted {
		// What is still buffered goes out after we return, as far as the client lets it.
		_ = x.rc.SetWriteDeadline(time.Now().Add(d.idle))
	}
	if x.aborted {
		if r.ProtoMajor == 1 && !r.ProtoAtLeast(1, 1) {
			x.conn.reset() // the end of the connection would pass for the end of the body
		}
		panic(http.ErrAbortHandler) // net/http's way to end a stream or connection uncleanly
	}
}

func (x *exchange) serve() {
	d := x.door
	if d.draining.Load() {
		x.w.Header().Set("Connection", "close") // HTTP/2 turns it into GOAWAY
	}
	x.parse()
	if h := d.deps.Own(x.ex); h != nil {
		x.w.Header().Set("X-Request-Id", x.ex.ID)
		h.ServeHTTP(x.w, x.r)
		x.done = true
		return
	}
	d.deps.Gate.Decide(x.r.Context(), x.ex)
	switch {
	case x.ex.Err != nil:
		x.refuse(x.ex.Err)
		x.complete(nil, "")
	case x.ex.Preflight, door.LastStop(x.ex):
		x.answerEmpty()
		x.complete(nil, "")
	default:
		x.sayVersion()
		x.complete(x.forward())
	}
}

// recover turns a fault in our code into a 500 that is counted, and into nothing
// that could pass for an answer where one has begun.
func (x *exchange) recover() {
	v := recover()
	if v == nil {
		return
	}
	if v == http.ErrAbortHandler {
		x.aborted = true
		return
	}
	x.door.deps.Panicked()
	x.door.deps.Log.Error("a request met a fault in the gateway", "requestId", x.ex.ID, "fault", v, "stack", string(debug.Stack()))
	e := model.NewError(model.Internal, "The gateway met an unexpected fault.")
	if x.started {
		x.aborted = true
	} else {
		x.refuse(e)
	}
	x.complete(e, "panic")
}

func (x *exchange) complete(failed *model.Error, detail string) {
	if x.done {
		return
	}
	x.done = true
	x.door.deps.Gate.Complete(x.ex, record.Completion{Status: x.status, BytesIn: x.body.received(), BytesOut: x.sent,
		Duration: x.door.deps.Now().Sub(x.began), Target: x.wait, Err: failed, Detail: detail})
}

// refuse writes the gateway's own answer.
func (x *exchange) refuse(e *model.Error) {
	a := problem.Render(e, problem.Facts{RequestID: x.ex.ID, HTML: problem.WantsHTML(x.ex.Method, x.ex.Fields),
		Head: x.r.Method == http.MethodHead, Challenges: x.door.deps.Gate.Challenges(x.ex),
		Login: problem.SignIn(x.ex.Method, x.ex.Fields, x.ex.Login)})
	h := x.w.Header()
	for _, f := range a.Fields {
		h.Add(f.Name, f.Value)
	}
	addTo(h, x.ex.Response)
	switch e.Code {
	case model.RequestMalformed, model.BodyTooLarge:
		if x.r.ProtoMajor == 1 { // after bytes that nobody will read, nothing is sure
			h.Set("Connection", "close")
		}
	}
	x.status, x.started = a.Status, true
	x.w.WriteHeader(a.Status)
	n, _ := x.w.Write(a.Body)
	x.sent = int64(n)
}

func (x *exchange) answerEmpty() {
	h := x.w.Header()
	h.Set("X-Request-Id", x.ex.ID)
	addTo(h, x.ex.Response)
	x.status, x.started = http.StatusNoContent, true
	x.w.WriteHeader(http.StatusNoContent)
}

func addTo(h http.Header, list []model.Field) {
	for _, f := range list {
		h.Add(f.Name, f.Value)
	}
}

// register makes the exchange known under its user, so that it ends with the user.
func (x *exchange) register(cancel context.CancelCauseFunc) {
	cut := func() {
		cancel(errCut)
		x.cutting.Lock()
		defer x.cutting.Unlock()
		if !x.over { // the connection may be another request's by now
			_ = x.rc.SetWriteDeadline(past) // a client that does not read must not hold it open
		}
	}
	a := x.ex.Access
	if a == nil {
		return
	}
	credential := ""
	if p := x.ex.Proof; p != nil && p.Credential != nil {
		credential = p.Credential.ID
	}
	if a.Principal != nil {
		x.enlist(0, a.Principal.User.ID, credential, cut)
	}
	credential = ""
	if p := x.ex.Client; p != nil && p.Credential != nil {
		credential = p.Credential.ID
	}
	if a.Client != nil {
		x.enlist(1, a.Client.User.ID, credential, cut)
	}
}

func (x *exchange) enlist(i int, user, credential string, cut func()) {
	s := &x.streams[i]
	s.User, s.Credential, s.Since, s.Cut = user, credential, x.began, cut
	x.door.deps.Streams.Add(s)
}

func (x *exchange) unregister() {
	x.cutting.Lock()
	x.over = true
	x.cutting.Unlock()
	for i := range x.streams {
		x.door.deps.Streams.Remove(&x.streams[i])
	}
}

// expires is when the caller's standing ends by itself; zero = never.
func (x *exchange) expires() (at time.Time) {
	sooner := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	if p := x.ex.Proof; p != nil {
		sooner(p.Expires)
	}
	if p := x.ex.Client; p != nil {
		sooner(p.Expires)
	}
	if a := x.ex.Access; a != nil {
		if a.Principal != nil && a.Principal.User.ExpiresAt != nil {
			sooner(*a.Principal.User.ExpiresAt)
		}
		if a.Client != nil && a.Client.User.ExpiresAt != nil {
			sooner(*a.Client.User.ExpiresAt)
		}
	}
	return at
}
