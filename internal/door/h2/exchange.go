package h2

import (
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/door"
	"github.com/sallyport/sallyport/internal/door/h2/frame"
	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/record"
)

// gone is the status under which an exchange is recorded that got no answer, for
// its client went away or it was cut. It is never sent.
const gone = 499

// hand gives a stream to a worker: at once where no body follows, else when the
// reader has nothing else to read, for most bodies come right behind their heads
// and can then be sent on in one piece.
func (c *conn) hand(st *stream) {
	if st.remoteDone {
		c.dispatch(st)
		return
	}
	c.pending = append(c.pending, st)
}

func (c *conn) handPending() {
	for i, st := range c.pending {
		c.pending[i] = nil
		c.dispatch(st)
	}
	c.pending = c.pending[:0]
}

// dropPending lets go of what was kept back when the connection ended.
func (c *conn) dropPending() { c.handPending() }

func (c *conn) dispatch(st *stream) {
	c.mu.Lock()
	if st.dead {
		c.credit(st.body.drop())
		c.heads -= st.head.size
		c.mu.Unlock()
		st.free()
		return
	}
	c.busy++
	c.mu.Unlock()
	c.s.workers.run(job{st: st})
}

// serve carries one stream's exchange; it is a worker's work.
func (st *stream) serve() {
	st.carry()
	st.finish()
}

// carry brings the exchange to its end, and records it.
func (st *stream) carry() {
	d := &st.c.s.deps
	st.began = d.Now()
	ex := d.Gate.Acquire()
	st.ex = ex
	ex.NameIt(door.FillID)
	defer d.Gate.Release(ex)
	defer st.recover()
	st.parse()
	if h := d.Own(ex); h != nil {
		st.answerLocal(h)
		return
	}
	d.Gate.Decide(st.c.ctx, ex)
	switch {
	case ex.Err != nil:
		st.refuse(ex.Err)
		st.complete(nil, "")
	case ex.Preflight, door.LastStop(ex):
		st.answerEmpty()
		st.complete(nil, "")
	default:
		st.sayVersion()
		st.complete(st.forward())
	}
}

func (st *stream) complete(failed *model.Error, detail string) {
	ex, c := st.ex, st.c
	c.mu.Lock()
	received := st.body.received
	c.mu.Unlock()
	c.s.deps.Gate.Complete(ex, record.Completion{Status: st.status, BytesIn: received, BytesOut: st.sent,
		Duration: c.s.deps.Now().Sub(st.began), Target: st.wait, Err: failed, Detail: detail})
	st.ex = nil
}

// recover turns a fault in our code into a 500 that is counted, and into nothing
// that could pass for an answer where one has begun.
func (st *stream) recover() {
	v := recover()
	if v == nil {
		return
	}
	d := &st.c.s.deps
	d.Panicked()
	d.Log.Error("a request met a fault in the gateway", "fault", v, "stack", string(debug.Stack()))
	if st.writing {
		st.unwrite()
	}
	if st.ex == nil { // complete already
		return
	}
	e := model.NewError(model.Internal, "The gateway met an unexpected fault.")
	st.refuse(e)
	st.complete(e, "panic")
}

// unwrite takes back half a block. Its fields are in our table already and never
// will be in the client's: nothing more can be said on the connection.
func (st *stream) unwrite() {
	c := st.c
	defer c.mu.Unlock()
	st.writing = false
	c.out = c.out[:st.start]
	for _, other := range c.streams {
		c.kill(other, errFaulty)
	}
	c.end(&fault{frame.InternalError, ""})
}

// parse fills the exchange with the request's facts, and refuses what HTTP does not
// allow (SPEC 7.1).
func (st *stream) parse() {
	ex, h, c := st.ex, &st.head, st.c
	ex.Method, ex.Request.Target, ex.Host, ex.HTTP2 = h.method(), h.path(), h.host, true
	ex.Fields, h.fields = h.fields, ex.Fields[:0]
	ex.Body = !h.ended
	ex.Peer, ex.Port, ex.Time = c.peer, c.port, st.began
	ex.Scheme, ex.TLS = "http", c.handshake()
	if ex.TLS != nil {
		ex.Scheme = "https"
	}
	switch {
	case h.fault != "":
		ex.Err = model.NewError(model.RequestMalformed, "The request is not well-formed: "+h.fault+".")
		ex.Detail = h.fault
	case h.uriTooLong:
		ex.Err = model.NewError(model.URITooLong, "The request's target is longer than this gateway takes.")
	case h.tooLarge:
		ex.Err = model.NewError(model.HeadersTooLarge, "The request's head is larger than this gateway takes.")
	default:
		c.s.deps.Screen(ex)
		return
	}
	ex.Step = gate.StepParse
}

// sayVersion has Via say by which version the request came (RFC 9110, 7.6.3).
func (st *stream) sayVersion() {
	const other = "1.1"
	for i := range st.ex.Add {
		f := &st.ex.Add[i]
		if f.Name != "Via" || !strings.HasPrefix(f.Value, other) {
			continue
		}
		if st.via[0] != f.Value { // it is the plan's, and so nearly always the same
			st.via = [2]string{f.Value, "2.0" + f.Value[len(other):]}
		}
		f.Value = st.via[1]
	}
}

// answerLocal runs a net/http handler of the gateway's own.
func (st *stream) answerLocal(h http.Handler) {
	ex := st.ex
	st.ex = nil // recorded nowhere, like all of the gateway's own
	r := &http.Request{Method: ex.Method, Host: ex.Host, Proto: "HTTP/2.0", ProtoMajor: 2, Header: http.Header{},
		Body: http.NoBody, ContentLength: st.head.length, RemoteAddr: st.c.nc.RemoteAddr().String(), RequestURI: ex.Request.Target}
	r = r.WithContext(st.c.ctx)
	var err error
	if r.URL, err = url.ParseRequestURI(r.RequestURI); err != nil {
		r.URL = &url.URL{Path: "/"}
	}
	for _, f := range ex.Fields {
		r.Header.Add(f.Name, f.Value)
	}
	if b := st.read(localBody, false); b != nil {
		r.Body = readCloser{b}
	}
	w := &localWriter{header: http.Header{"X-Request-Id": {strings.Clone(ex.ID)}}, status: http.StatusOK}
	h.ServeHTTP(w, r)
	st.ex = ex
	st.answerWith(w)
	st.ex = nil
}

// expires is when the caller's standing ends by itself; zero = never.
func (st *stream) expires() (at time.Time) {
	sooner := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	ex := st.ex
	if p := ex.Proof; p != nil {
		sooner(p.Expires)
	}
	if p := ex.Client; p != nil {
		sooner(p.Expires)
	}
	if a := ex.Access; a != nil {
		if a.Principal != nil && a.Principal.User.ExpiresAt != nil {
			sooner(*a.Principal.User.ExpiresAt)
		}
		if a.Client != nil && a.Client.User.ExpiresAt != nil {
			sooner(*a.Client.User.ExpiresAt)
		}
	}
	return at
}

// limited has the stream end with the caller's standing, and says whether it has
// ended already.
func (st *stream) limited() (over bool) {
	var until int64
	if at := st.expires(); !at.IsZero() {
		until = time.Now().Add(at.Sub(st.c.s.deps.Now())).UnixNano()
	}
	st.c.mu.Lock()
	defer st.c.mu.Unlock()
	st.until = until
	return st.dead
}

// register makes the exchange known under its user and its client, so that it ends
// with them.
func (st *stream) register() {
	ex := st.ex
	if a := ex.Access; a != nil {
		if a.Principal != nil {
			st.enlist(0, a.Principal.User.ID, credentialID(ex.Proof))
		}
		if a.Client != nil {
			st.enlist(1, a.Client.User.ID, credentialID(ex.Client))
		}
	}
}

func (st *stream) enlist(i int, user, credential string) {
	s := &st.streams[i]
	s.User, s.Credential, s.Since = user, credential, st.began
	st.c.s.deps.Streams.Add(s)
}

func (st *stream) unregister() {
	for i := range st.streams {
		st.c.s.deps.Streams.Remove(&st.streams[i])
	}
}
