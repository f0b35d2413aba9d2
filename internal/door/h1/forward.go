package h1

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/door"
	"github.com/sallyport/sallyport/internal/door/upstream"
	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/model"
)

// Ways are the ways out to the services.
type Ways interface {
	Claim(ctx context.Context, s *model.Service, key string, now time.Time) (upstream.Direct, bool)
	Forward(ctx context.Context, s *model.Service, r *upstream.Request) (*upstream.Response, error)
}

// statusGone is the status under which an exchange is recorded that got no answer,
// for its client went away or it was cut. It is never sent.
const statusGone = 499

// tooLarge is the answer to a body over its limit.
func tooLarge() *model.Error {
	return &model.Error{Code: model.BodyTooLarge, Message: "The request's body is larger than this route takes."}
}

// forward passes the request on and relays the answer. It answers why forwarding
// failed, if it did; by then the client has its answer.
func (c *conn) forward() (failed *model.Error, detail string) {
	ex := c.ex
	limit := ex.Route.BodyLimit
	if ex.Upgrade != "" {
		limit = 0
	}
	if limit > 0 && c.req.Length > limit {
		e := tooLarge()
		c.refuse(e)
		return e, "declared length over the route's limit"
	}
	c.body.limit = limit
	if ex.Access != nil {
		c.enlist(ex)
		defer c.withdraw()
	}
	if c.ctx.Err() != nil { // cut between its decision and here
		return c.left("cut")
	}
	if door.LastStop(ex) {
		c.answerEmpty()
		return nil, ""
	}
	if c.req.Minor == 0 {
		c.received10()
	}
	c.asks.since.Store(c.s.clock.Load())
	defer c.asks.since.Store(0)
	if failed, detail, done := c.direct(); done {
		return failed, detail
	}
	return c.general()
}

// received10 has Via say which protocol the request came by.
func (c *conn) received10() {
	for i := range c.ex.Add {
		if f := &c.ex.Add[i]; f.Name == "Via" {
			f.Value = strings.Replace(f.Value, "1.1", "1.0", 1)
		}
	}
}

// enlist makes the exchange known under its user and its client, so that it ends
// with them, and with what they proved themselves by.
func (c *conn) enlist(ex *gate.Exchange) {
	var end time.Time
	if p := ex.Access.Principal; p != nil {
		c.enroll(&c.streams[0], p.User.ID, ex.Proof.Credential, &end, ex.Proof.Expires, p.User.ExpiresAt)
	}
	if p := ex.Access.Client; p != nil && ex.Client != nil {
		c.enroll(&c.streams[1], p.User.ID, ex.Client.Credential, &end, ex.Client.Expires, p.User.ExpiresAt)
	}
	if !end.IsZero() {
		c.life.set(c.nc, time.Now().Add(end.Sub(c.s.deps.Now())).UnixNano())
	}
}

func (c *conn) enroll(s *door.Stream, user string, credential *model.Credential, end *time.Time, proof time.Time, account *time.Time) {
	s.User, s.Credential, s.Since = user, "", c.began
	if credential != nil {
		s.Credential = credential.ID
	}
	c.s.deps.Streams.Add(s)
	sooner(end, proof)
	if account != nil {
		sooner(end, *account)
	}
}

func sooner(end *time.Time, t time.Time) {
	if !t.IsZero() && (end.IsZero() || t.Before(*end)) {
		*end = t
	}
}

func (c *conn) withdraw() {
	c.life.clear()
	for i := range c.streams {
		c.s.deps.Streams.Remove(&c.streams[i])
	}
}

// left ends an exchange whose client is not there to be answered, or was cut.
func (c *conn) left(detail string) (*model.Error, string) {
	if !c.started.Load() {
		c.status = statusGone
	}
	c.reset()
	return nil, detail
}

// leaver says who ended an exchange that got no whole answer, for the record.
func (c *conn) leaver() string {
	if c.expired.Load() {
		return "cut: the credential behind it has expired"
	}
	return "the client went away, or was cut"
}

// declaredTrailers are the trailer names that the request announces: HTTP/2 targets
// are sent no others.
func (c *conn) declaredTrailers() (names []string) {
	for i := range c.ex.Fields {
		if f := &c.ex.Fields[i]; model.EqualFold(f.Name, "Trailer") {
			for name := range strings.SplitSeq(f.Value, ",") {
				if name = strings.Trim(name, " \t"); model.ValidToken(name) && c.ex.Plan.PassesTrailer(name) {
					names = append(names, name)
				}
			}
		}
	}
	return names
}

// general forwards by way of upstream, whatever protocol the target speaks.
func (c *conn) general() (*model.Error, string) {
	ex := c.ex
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	up := upstream.Request{Method: ex.Method, Target: ex.Target, Fields: ex.Fields, Add: ex.Add,
		Length: c.req.Length, Expects: c.req.Expect100, Trailers: c.req.Trailers, Upgrade: ex.Upgrade,
		Key: door.HashKey(c.ex), Spent: c.spent, Sent: c.tried, Inform: c.inform}
	if ex.Route.Service.Host == model.HostPreserve {
		up.Host = ex.Host
	}
	if c.up == nil {
		c.up = newUpload(c)
	}
	if c.up != nil {
		up.Body = c.up
		if c.req.Chunked() {
			up.Declared, up.Trailer = c.declaredTrailers(), c.up.trailer
		}
	}
	res, err := c.s.deps.Ways.Forward(ctx, ex.Route.Service, &up)
	c.wait = up.Trail.Wait
	if err != nil {
		cancel()
		return c.failed(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.Tunnel != nil {
		return c.tunnel(res)
	}
	err = c.relay(res)
	if c.up != nil && !c.up.whole.Load() { // answered early
		cancel()
	}
	return c.ended(err)
}

// failed answers for a target that gave no answer.
func (c *conn) failed(err error) (*model.Error, string) {
	if !c.up.stop() {
		c.broken.Store(true)
	}
	var e *model.Error
	switch bad := c.up.failed(); {
	case c.ctx.Err() != nil:
		return c.left(c.leaver())
	case bad != nil:
		e = bad
	case errors.As(err, &e):
	default:
		return c.left("the client went away")
	}
	c.refuse(e)
	return e, ""
}

// cut ends an answer that cannot be finished, so that it does not look whole.
func (c *conn) cut(err error) (*model.Error, string) {
	away := c.broken.Load() || c.ctx.Err() != nil
	c.reset()
	if away {
		return nil, c.leaver()
	}
	return &model.Error{Code: model.UpstreamInvalid, Message: "The service's answer broke off.", Err: err}, "the answer broke off: " + err.Error()
}

// inform passes an interim answer on (RFC 9110, 15.2).
func (c *conn) inform(status int, fields http.Header) {
	if c.req.Minor == 0 {
		return
	}
	b := append([]byte("HTTP/1.1 "), strconv.Itoa(status)+" "+http.StatusText(status)+"\r\n"...)
	for name, values := range fields {
		if nominated(fields["Connection"], name) {
			continue
		}
		for _, v := range values {
			if !c.keeps(name, v) && model.ValidToken(name) && model.ValidFieldValue(v) {
				b = door.AppendField(b, name, v)
			}
		}
	}
	_ = c.interim(append(b, "\r\n"...), false)
}
