package h2

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/sallyport/sallyport/internal/door/upstream"
	"github.com/sallyport/sallyport/internal/door/wire"
	"github.com/sallyport/sallyport/internal/model"
)

// mostDirect is the largest body that is sent in one piece with its head.
const mostDirect = 64 << 10

// direct carries a request over a plain HTTP/1.1 connection itself: one write out,
// fields relayed as views into the buffer that they were read into. It takes
// requests whose body is there already. done is false where general has to do it:
// nothing has been sent then, or nothing that may not be sent again; the body is
// still all there.
func (st *stream) direct() (failed *model.Error, detail string, done bool) {
	c, ex := st.c, st.ex
	if !st.ready() {
		return nil, "", false
	}
	d, ok := c.s.deps.Ways.Direct(c.ctx, ex.Route.Service, st.key())
	if !ok {
		return nil, "", false
	}
	start := time.Now()
	st.compose(&d)
	st.target.set(d.Conn, start, d.Response)
	if st.over() { // killed before there was a target to cut
		st.target.fire()
	}
	a := &st.answer
	a.start(d.Conn)
	defer a.free()
	d.Conn.Begin()
	_, err := d.Conn.Write(st.out)
	if err == nil {
		err = a.head(ex.Method, st.informFields)
	}
	st.wait = time.Since(start)
	if err != nil {
		return st.directFailed(&d, err)
	}
	d.Answered()
	st.target.relax() // how long the body takes is the service's affair
	stop := st.untilExpired(a.whole || a.left > 0 && a.left <= int64(a.w-a.r))
	err = st.relayAnswer()
	stop()
	fired := st.target.clear()
	d.Done(err == nil && !fired && a.reusable(), time.Now())
	if err != nil {
		failed, detail = st.broken(err)
	}
	return failed, detail, true
}

// ready says whether the body is there, and small enough.
func (st *stream) ready() bool {
	c := st.c
	c.mu.Lock()
	defer c.mu.Unlock()
	return st.body.whole && st.body.held <= mostDirect && len(st.body.trailers) == 0
}

// over says whether the stream has been ended.
func (st *stream) over() bool {
	st.c.mu.Lock()
	defer st.c.mu.Unlock()
	return st.dead
}

// key is what balance: hash goes by.
func (st *stream) key() string {
	ex := st.ex
	if ex.Route.Service.Balance != model.HashBalance {
		return ""
	}
	if ex.Access != nil && ex.Access.Principal != nil {
		return ex.Access.Principal.User.ID
	}
	return ex.ClientIP.String()
}

// directFailed decides what a failure means: send again by way of general, or answer.
func (st *stream) directFailed(d *upstream.Direct, err error) (*model.Error, string, bool) {
	a, ex := &st.answer, st.ex
	fired := st.target.clear()
	if st.over() {
		d.Done(false, time.Time{})
		failed, detail := st.lost()
		return failed, detail, true
	}
	if fired {
		d.Failed(err)
		d.Done(false, time.Time{})
		e := upstream.Late()
		st.refuse(e)
		return e, "", true
	}
	var bad wire.Malformed
	again := false
	if !a.any && !errors.As(err, &bad) {
		// A kept-alive connection that died under the request, or a target that
		// hung up: nothing of an answer was seen. It is sent again where that is
		// safe, or where the target cannot have taken it.
		again = upstream.Idempotent(ex.Method) && (d.Conn.Reused || ex.Route.Service.Retries > 0) ||
			d.Conn.Reused && d.Conn.Untaken(err)
	}
	if again {
		d.Done(false, time.Time{})
		return nil, "", false
	}
	d.Failed(err)
	d.Done(false, time.Time{})
	if !errors.As(err, &bad) {
		err = errors.Join(upstream.ErrGone, err)
	}
	e := upstream.Invalid(err)
	st.refuse(e)
	return e, "", true
}

// compose writes the request, its body behind it, into st.out.
func (st *stream) compose(d *upstream.Direct) {
	ex := st.ex
	b := append(st.out[:0], ex.Method...)
	b = append(b, ' ')
	b = append(b, ex.Target...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	if ex.Route.Service.Host == model.HostPreserve {
		b = append(b, ex.Host...)
	} else {
		b = append(b, d.Host...)
	}
	b = append(b, "\r\n"...)
	for _, list := range [...][]model.Field{ex.Fields, ex.Add} {
		for i := range list {
			if f := &list[i]; !f.Dropped {
				b = append(b, f.Name...)
				b = append(b, ": "...)
				b = append(b, f.Value...)
				b = append(b, "\r\n"...)
			}
		}
	}
	if st.head.trailers {
		b = append(b, "TE: trailers\r\nConnection: TE\r\n"...)
	}
	held := st.body.held // nobody but us touches a body that is whole
	if held > 0 || ex.Method == http.MethodPost || ex.Method == http.MethodPut || ex.Method == http.MethodPatch {
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, int64(held), 10)
		b = append(b, "\r\n"...)
	}
	b = append(b, "\r\n"...)
	from := st.body.r
	for p := st.body.first; held > 0; p, from = p.next, 0 {
		n := min(held, pieceSize-from)
		b = append(b, p.data[from:from+n]...)
		held -= n
	}
	st.out = b
}

// informFields passes an interim answer on.
func (st *stream) informFields(r *wire.Response) {
	h := http.Header{}
	for i := range r.Fields {
		h.Add(r.Fields[i].Name, r.Fields[i].Value)
	}
	st.inform(r.Status, h)
}

// untilExpired ends the stream when the caller's standing ends, unless the answer
// is there already. The caller calls what it answers when the answer has ended.
func (st *stream) untilExpired(there bool) (stop func()) {
	if at := st.expires(); !there && !at.IsZero() {
		return stopper(time.AfterFunc(at.Sub(st.c.s.deps.Now()), st.expire(st.id)))
	}
	return nothing
}

func nothing() {}

func stopper(t *time.Timer) func() { return func() { t.Stop() } }

// relayAnswer writes the answer to the client: its head and what is there of the
// body at once, the rest as it comes.
func (st *stream) relayAnswer() error {
	c, a := st.c, &st.answer
	res := &a.res
	st.status = res.Status
	start, ok := st.begin(res.Status)
	if !ok {
		return st.causeOf()
	}
	nominates := nominating(res.Fields)
	length, dated := "", false
	for i := range res.Fields {
		f := &res.Fields[i]
		if len(f.Name) == len("Content-Length") && model.EqualFold(f.Name, "Content-Length") {
			length = f.Value
			continue
		}
		if !st.passesBack(f.Name) || ownCookie(f.Name, f.Value) || nominates && nominated(res.Fields, f.Name) {
			continue
		}
		dated = dated || len(f.Name) == len("Date") && model.EqualFold(f.Name, "Date")
		c.put(f.Name, f.Value)
	}
	st.answerFields()
	if !dated {
		c.put("date", c.s.date())
	}
	if length != "" && res.Status != http.StatusNoContent {
		c.put("content-length", length)
	}
	st.end(start, a.whole)
	if a.whole {
		return nil
	}
	return st.relayBody()
}

// nominating says whether a Connection field names others (RFC 9110, 7.6.1).
func nominating(fields []model.Field) bool {
	for i := range fields {
		f := &fields[i]
		if len(f.Name) == len("Connection") && model.EqualFold(f.Name, "Connection") &&
			!model.EqualFold(f.Value, "close") && !model.EqualFold(f.Value, "keep-alive") {
			return true
		}
	}
	return false
}

func nominated(fields []model.Field, name string) bool {
	for i := range fields {
		f := &fields[i]
		if len(f.Name) == len("Connection") && model.EqualFold(f.Name, "Connection") && wire.HasToken(f.Value, name) {
			return true
		}
	}
	return false
}

// relayBody writes the body: what is there in one go, and the rest as it comes.
func (st *stream) relayBody() error {
	a := &st.answer
	var held []byte // not sent yet: it may turn out to be the last
	for {
		piece, end, err := a.take()
		switch {
		case err != nil:
			return err
		case len(piece) > 0:
			if len(held) > 0 {
				if err := st.c.send(st, held, false); err != nil {
					return err
				}
			}
			held = piece
		}
		if end {
			return st.endAnswer(held, a.trailers)
		}
		if len(piece) > 0 && a.res.Length == wire.LengthChunked {
			continue
		}
		if len(held) > 0 {
			if err := st.c.send(st, held, false); err != nil {
				return err
			}
			held = nil
		}
		st.c.flush()
		over, err := a.more()
		if err != nil {
			return err
		}
		if over {
			return st.endAnswer(nil, nil)
		}
	}
}

// endAnswer writes the last of the body, and the trailers.
func (st *stream) endAnswer(last []byte, trailers []model.Field) error {
	c := st.c
	passed := trailers[:0]
	for _, f := range trailers {
		if st.passesBehind(f.Name) && model.ValidFieldValue(f.Value) {
			passed = append(passed, f)
		}
	}
	if len(passed) == 0 {
		return c.send(st, last, true)
	}
	if len(last) > 0 {
		if err := c.send(st, last, false); err != nil {
			return err
		}
	}
	start, ok := st.begin(0)
	if !ok {
		return st.causeOf()
	}
	for _, f := range passed {
		c.out = c.enc.Once(c.out, f.Name, f.Value)
	}
	st.end(start, true)
	return nil
}
