package upstream

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/sallyport/sallyport/internal/door/upstream/lane"
	"github.com/sallyport/sallyport/internal/door/wire"
	"github.com/sallyport/sallyport/internal/model"
)

// Direct is a claim on a target for one exchange, with a plain HTTP/1.1 connection
// that the door speaks over itself. It ends with Done.
type Direct struct {
	Conn     *lane.Conn
	Response time.Duration // how long to wait for the answer to begin; 0 = for ever
	Host     string        // the target's own
	// Fault says that the one target there is cannot be connected to: that is the
	// answer, and there is no claim to end.
	Fault *model.Error
	e     *endpoint
	l     *lane.Lane
}

// Direct chooses a target of s and connects to it. ok is false where a door cannot
// speak to it itself, or where no connection was to be had at once: Forward then
// does all that can be done.
func (p *Pools) Direct(ctx context.Context, s *model.Service, key string) (d Direct, ok bool) {
	return p.direct(ctx, s, key, time.Time{})
}

// Claim is Direct at the moment now, but a connection that had been idle was not
// looked at yet: Ask does, or else Alive has to be asked before it is written to.
func (p *Pools) Claim(ctx context.Context, s *model.Service, key string, now time.Time) (d Direct, ok bool) {
	return p.direct(ctx, s, key, now)
}

// direct looks at idle connections where now is zero.
func (p *Pools) direct(ctx context.Context, s *model.Service, key string, now time.Time) (d Direct, ok bool) {
	pl := p.find(s)
	v := pl.view.Load()
	if pl.fault != nil || v == nil || len(v.endpoints) == 0 {
		return d, false
	}
	var e *endpoint
	if len(v.endpoints) == 1 && v.weights[0] > 0 {
		e = v.endpoints[0]
	} else if e = v.choose(pl.service.Balance, key, nil); e == nil {
		return d, false
	}
	t, is := e.carrier.(*transport)
	if !is || t.lane == nil { // one that is down is chosen only where all are
		return d, false
	}
	e.acquire()
	var c *lane.Conn
	var err error
	if now.IsZero() {
		c, err = t.lane.Get(ctx, false)
	} else {
		c, err = t.lane.Take(ctx, now)
	}
	if err != nil {
		e.release()
		if ctx.Err() != nil {
			return d, false
		}
		e.refused(err)
		if len(v.endpoints) > 1 {
			return d, false
		}
		return Direct{Fault: unconnected(err)}, true
	}
	return Direct{Conn: c, Response: pl.service.Timeouts.Response.D(), Host: t.base.Host, e: e, l: t.lane}, true
}

// unconnected is the answer where no connection was to be had.
func unconnected(err error) *model.Error {
	var n net.Error
	if errors.As(err, &n) && n.Timeout() {
		return late(err)
	}
	return unreachable(err)
}

// Again gives the claim a fresh connection to the same target, in the place of one
// that the target had closed. Where it fails, the claim has ended.
func (d *Direct) Again(ctx context.Context) error {
	_ = d.Conn.Close()
	c, err := d.l.Get(ctx, true)
	if err != nil {
		d.e.release()
		if ctx.Err() == nil {
			d.e.refused(err)
		}
		return err
	}
	d.Conn = c
	return nil
}

// Answered notes that the target has begun a valid answer.
func (d *Direct) Answered() { d.e.answered() }

// Failed notes that the target gave no valid answer.
func (d *Direct) Failed(err error) { d.e.failed(err) }

// Done ends the claim. keep says that the exchange ended cleanly and that the
// connection can carry another.
func (d *Direct) Done(keep bool, now time.Time) {
	if keep && !d.e.closed.Load() {
		d.l.Put(d.Conn, now)
	} else {
		_ = d.Conn.Close()
	}
	d.e.release()
}

// Unanswered is the answer to a target that gave none: slow says that its time was up,
// else err is what came in an answer's place.
func Unanswered(err error, slow bool) *model.Error {
	switch {
	case slow:
		return late(errSlow)
	case !wire.IsMalformed(err):
		err = errors.Join(errGone, err)
	}
	return invalid(err)
}

// Invalid is the answer to a target that answered garbage, or nothing.
func Invalid(cause error) *model.Error { return invalid(cause) }

// ErrFlood is said of a target that sends interim answers without end.
var ErrFlood = errFlood

// Idempotent says whether a request of that method may be sent twice (RFC 9110, 9.2.2).
func Idempotent(method string) bool { return idempotent(method) }

var errGone = errors.New("the target closed the connection without an answer")
