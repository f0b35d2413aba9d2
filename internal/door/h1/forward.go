package h1

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/door/upstream"
	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/model"
)

// Ways are the ways out to the services.
type Ways interface {
	Direct(ctx context.Context, s *model.Service, key string) (upstream.Direct, bool)
	Forward(ctx context.Context, s *model.Service, r *upstream.Request) (*upstream.Response, error)
}

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
		return e, ""
	}
	c.body.limit = limit
	if p := ex.Proof; p != nil {
		c.stream.User, c.stream.Credential, c.stream.Since = p.Principal.User.ID, "", ex.Time
		if p.Credential != nil {
			c.stream.Credential = p.Credential.ID
		}
		c.s.deps.Streams.Add(&c.stream)
		defer c.s.deps.Streams.Remove(&c.stream)
	}
	if failed, detail, done := c.direct(); done {
		return failed, detail
	}
	return c.general()
}

// general forwards by way of upstream, whatever protocol the target speaks.
func (c *conn) general() (*model.Error, string) {
	ex := c.ex
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	up := upstream.Request{Method: ex.Method, Target: ex.Target, Fields: ex.Fields, Add: ex.Add,
		Length: c.req.Length, Expects: c.req.Expect100, Trailers: c.req.Trailers, Upgrade: ex.Upgrade,
		Key: ex.Username(), Inform: c.inform}
	if ex.Route.Service.Host == model.HostPreserve {
		up.Host = ex.Host
	}
	if up.Key == "" {
		up.Key = ex.IP()
	}
	upload := &upload{c: c}
	if c.req.Length != 0 {
		up.Body = upload
		if c.req.Chunked() {
			up.Declared, up.Trailer = c.declaredTrailers(), c.requestTrailers
		}
	}
	res, err := c.s.deps.Ways.Forward(ctx, ex.Route.Service, &up)
	c.wait = up.Trail.Wait
	if err != nil {
		return c.failed(err, upload)
	}
	defer func() { _ = res.Body.Close() }()
	if res.Tunnel != nil {
		return c.tunnel(res)
	}
	err = c.relay(res)
	if !upload.done() { // answered early: what is left of the body is nobody's
		c.broken = true
		cancel()
		c.hush(upload)
	}
	if err != nil {
		return c.cut(err)
	}
	return nil, ""
}

// failed answers for a target that gave none.
func (c *conn) failed(err error, u *upload) (*model.Error, string) {
	if !u.done() {
		c.broken = true
		c.hush(u)
	}
	var e *model.Error
	switch {
	case errors.Is(err, errTooLarge):
		e = tooLarge()
	case errors.As(err, &e):
	case c.ctx.Err() != nil, gone(err):
		c.reset()
		return &model.Error{Code: model.RequestMalformed, Message: "The client went away.", Err: err}, "the client went away, or was cut"
	default:
		e = &model.Error{Code: model.RequestMalformed, Message: "The request's body is not well-formed.", Err: err}
	}
	c.refuse(e)
	return e, ""
}

// cut ends an answer that cannot be finished, so that it does not look whole.
func (c *conn) cut(err error) (*model.Error, string) {
	if gone(err) && c.broken {
		return nil, "the client went away"
	}
	c.reset()
	return &model.Error{Code: model.UpstreamInvalid, Message: "The service's answer broke off.", Err: err}, "the answer broke off: " + err.Error()
}

// hush waits until nobody reads the client's connection any more.
func (c *conn) hush(u *upload) {
	_ = c.nc.SetReadDeadline(past)
	u.wait()
	_ = c.nc.SetReadDeadline(time.Time{})
}

func (c *conn) requestTrailers() []model.Field {
	var out []model.Field
	for _, f := range c.body.trailers {
		if c.ex.Plan.PassesTrailer(f.name) {
			out = append(out, model.Field{Name: f.name, Value: f.value})
		}
	}
	return out
}

// declaredTrailers are the names that the request announces: HTTP/2 targets are
// sent no others.
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

// inform passes an interim answer on (RFC 9110, 15.2).
func (c *conn) inform(status int, fields http.Header) {
	if c.req.Minor == 0 || c.started.Load() {
		return
	}
	b := append([]byte("HTTP/1.1 "), strconv.Itoa(status)+" "+http.StatusText(status)+"\r\n"...)
	for name, values := range fields {
		if model.HopByHop(name) || c.ex.Plan.OwnsHeader(name) {
			continue
		}
		for _, v := range values {
			b = append(b, name+": "+v+"\r\n"...)
		}
	}
	_ = c.write(append(b, "\r\n"...))
}

// relay writes the target's answer to the client.
func (c *conn) relay(res *upstream.Response) error {
	ex := c.ex
	bodiless := ex.Method == "HEAD" || res.Status == 204 || res.Status == 304
	length := res.Length
	chunked := !bodiless && length < 0 && c.req.Minor == 1
	if !bodiless && length < 0 && c.req.Minor == 0 {
		c.req.Close = true // HTTP/1.0 learns the end by the close
	}
	c.head(res.Status)
	dated := false
	for name, values := range res.Header {
		if skipResponse(name, ex) {
			continue
		}
		dated = dated || model.EqualFold(name, "Date")
		for _, v := range values {
			if len(name) == len("Set-Cookie") && model.EqualFold(name, "Set-Cookie") && strings.HasPrefix(strings.TrimLeft(v, " "), gate.GatewayCookie) {
				continue
			}
			c.field(name, v)
		}
	}
	c.answerFields(ex)
	if !dated {
		c.field("Date", c.s.date(time.Now()))
	}
	switch {
	case chunked:
		c.out = append(c.out, "Transfer-Encoding: chunked\r\n"...)
		c.announce(res)
	case bodiless && ex.Method == "HEAD" && res.Header.Get("Content-Length") != "":
		c.field("Content-Length", res.Header.Get("Content-Length"))
	case !bodiless && length >= 0:
		c.field("Content-Length", strconv.FormatInt(length, 10))
	}
	c.connection()
	c.out = append(c.out, "\r\n"...)
	if bodiless || length == 0 {
		return c.flush()
	}
	return c.relayBody(res, chunked, length)
}

// answerFields adds what every forwarded answer gets.
func (c *conn) answerFields(ex *gate.Exchange) {
	c.field("X-Request-Id", ex.ID)
	for name, v := range ex.Route.Model.Edit.Response.Set {
		c.field(name, v)
	}
	c.fields(ex.Response)
}

// skipResponse says whether a field of the target's answer ends here: hop-by-hop,
// framing, what the route's edit takes away or sets, and CORS where the gateway
// answers for it.
func skipResponse(name string, ex *gate.Exchange) bool {
	if model.HopByHop(name) || model.EqualFold(name, "Content-Length") || model.EqualFold(name, "X-Request-Id") {
		return true
	}
	e := &ex.Route.Model.Edit.Response
	for _, r := range e.Remove {
		if model.EqualFold(r, name) {
			return true
		}
	}
	for s := range e.Set {
		if model.EqualFold(s, name) {
			return true
		}
	}
	return ex.Route.Model.CORS != nil && len(name) > len("Access-Control-") && model.EqualFold(name[:len("Access-Control-")], "Access-Control-")
}

func (c *conn) announce(res *upstream.Response) {
	for name := range res.Trailer() {
		c.field("Trailer", name)
	}
}

// relayBody streams the body: each piece as it comes, the first together with the head.
func (c *conn) relayBody(res *upstream.Response, chunked bool, length int64) error {
	blk := blocks.Get().(*block)
	defer blocks.Put(blk)
	for {
		n, err := res.Body.Read(blk[:])
		if n > 0 {
			c.sent += int64(n)
			if length >= 0 && c.sent > length {
				return errors.New("the target sent more than it declared")
			}
			if chunked {
				c.out = strconv.AppendInt(c.out, int64(n), 16)
				c.out = append(c.out, "\r\n"...)
			}
			c.out = append(c.out, blk[:n]...)
			if chunked {
				c.out = append(c.out, "\r\n"...)
			}
		}
		if err == io.EOF && chunked {
			c.out = append(c.out, "0\r\n"...)
			for name, values := range res.Trailer() {
				for _, v := range values {
					if !model.HopByHop(name) {
						c.field(name, v)
					}
				}
			}
			c.out = append(c.out, "\r\n"...)
		}
		if len(c.out) > 0 {
			if werr := c.flush(); werr != nil {
				return werr
			}
			c.out = c.out[:0]
		}
		if err == io.EOF {
			if length >= 0 && c.sent < length {
				return io.ErrUnexpectedEOF
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// tunnel joins the two connections after 101 until one side ends.
func (c *conn) tunnel(res *upstream.Response) (*model.Error, string) {
	c.head(101)
	for name, values := range res.Header {
		if model.HopByHop(name) || model.EqualFold(name, "Content-Length") {
			continue
		}
		for _, v := range values {
			c.field(name, v)
		}
	}
	c.field("X-Request-Id", c.ex.ID)
	c.out = append(c.out, "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"...)
	c.broken = true
	if err := c.flush(); err != nil {
		return nil, "the client went away"
	}
	early := append([]byte(nil), c.in.buf[c.in.r:c.in.w]...)
	c.in.r = c.in.w
	var down int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = res.Tunnel.Write(early)
		n, _ := io.Copy(res.Tunnel, c.nc)
		c.body.count = n + int64(len(early))
		_ = res.Tunnel.CloseWrite()
	}()
	down, _ = io.Copy(c.nc, res.Tunnel)
	c.sent = down
	if cw, ok := c.nc.(interface{ CloseWrite() error }); ok {
		_ = cw.CloseWrite()
	}
	_ = c.nc.SetReadDeadline(time.Now().Add(5 * time.Second))
	<-done
	_ = res.Tunnel.Close()
	return nil, ""
}
