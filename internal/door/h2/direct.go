package h2

import (
	"net/http"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/door"
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
	start := time.Now()
	d, ok := c.s.deps.Ways.Direct(c.ctx, ex.Route.Service, door.HashKey(ex))
	if !ok {
		return nil, "", false
	}
	if d.Fault != nil {
		st.wait = time.Since(start)
		st.refuse(d.Fault)
		return d.Fault, "", true
	}
	defer st.answer.free()
	idempotent := upstream.Idempotent(ex.Method)
	st.compose(&d)
	for {
		fired, err := st.ask(&d, start)
		st.tried = true
		st.wait = time.Since(start)
		switch {
		case err == nil:
			failed, detail = st.directAnswer(&d)
			return failed, detail, true
		case fired || st.answer.any || wire.IsMalformed(err) || st.over():
		case d.Conn.Reused && (idempotent || d.Conn.Untaken(err)):
			// It had been kept, and the target has closed it.
			if d.Again(c.ctx) == nil {
				continue
			}
			return nil, "", false
		case d.Conn.Untaken(err), idempotent && ex.Route.Service.Retries > 0:
			d.Failed(err)
			d.Done(false, time.Time{})
			st.spent = 1
			return nil, "", false
		}
		failed, detail = st.directFailed(&d, err, fired)
		return failed, detail, true
	}
}

// ask sends the request and reads the head of the answer, within the service's time
// for it. fired = that time is up, or the stream was ended.
func (st *stream) ask(d *upstream.Direct, start time.Time) (fired bool, err error) {
	st.target.set(d.Conn, start, d.Response)
	if st.over() { // ended before there was anything to fire at
		return st.target.clear(), errOver
	}
	a := &st.answer
	a.start(d.Conn)
	d.Conn.Begin()
	_, err = d.Conn.Write(st.out)
	if err == nil || !d.Conn.Reused {
		// A target that answers before it has read the request, and closes, is heard
		// even so.
		if herr := a.head(st.ex.Method, st.informFields); err == nil || herr == nil {
			a.res.Close = a.res.Close || err != nil
			err = herr
		}
	}
	if err != nil {
		return st.target.clear(), err
	}
	st.target.relax() // how long the body takes is the service's affair
	return false, nil
}

// directAnswer relays the answer whose head is there.
func (st *stream) directAnswer(d *upstream.Direct) (*model.Error, string) {
	a := &st.answer
	d.Answered()
	err := st.relayAnswer()
	fired := st.target.clear()
	d.Done(err == nil && !fired && a.reusable(), time.Now())
	if err != nil {
		return st.broken(err)
	}
	return nil, ""
}

// directFailed answers for a target that gave no answer.
func (st *stream) directFailed(d *upstream.Direct, err error, fired bool) (*model.Error, string) {
	if st.over() {
		d.Done(false, time.Time{})
		return st.lost()
	}
	d.Failed(err)
	d.Done(false, time.Time{})
	e := upstream.Unanswered(err, fired)
	st.refuse(e)
	return e, ""
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

// compose writes the request, its body behind it, into st.out.
func (st *stream) compose(d *upstream.Direct) {
	ex := st.ex
	b := door.AppendHead(st.out[:0], ex, d.Host, st.head.trailers)
	held := st.body.held // nobody but us touches a body that is whole
	b = door.AppendLength(b, ex.Method, int64(held))
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
		if len(f.Name) == len("Trailer") && model.EqualFold(f.Name, "Trailer") && a.res.Length == wire.LengthChunked {
			st.announce(f.Value)
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

// announce names the trailer fields that will follow; with mu held.
func (st *stream) announce(names string) {
	for name := range strings.SplitSeq(names, ",") {
		if name = strings.Trim(name, " \t"); model.ValidToken(name) && st.passesBehind(name) {
			st.c.put("trailer", name)
		}
	}
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
