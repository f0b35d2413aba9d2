package h1

import (
	"strings"

	"github.com/sallyport/sallyport/internal/door/wire"
	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/model"
)

// What of a target's answer goes on to the client, whichever way it came.

// answerFields adds what every forwarded answer gets.
func (c *conn) answerFields() {
	ex := c.ex
	c.field("X-Request-Id", ex.ID)
	for name, v := range ex.Route.Model.Edit.Response.Set {
		c.field(name, v)
	}
	c.fields(ex.Response)
}

// keeps says whether a field of the target's answer ends here: what is of this hop,
// frames the message, is the gateway's own, or was edited away.
func (c *conn) keeps(name, value string) bool {
	if endsHere(name) || len(name) == len("Content-Length") && model.EqualFold(name, "Content-Length") {
		return true
	}
	if len(name) == len("Set-Cookie") && model.EqualFold(name, "Set-Cookie") {
		return gatewayCookie(value)
	}
	m := c.ex.Route.Model
	if m.CORS == nil && len(m.Edit.Response.Remove) == 0 && len(m.Edit.Response.Set) == 0 && len(c.ex.Response) == 0 {
		return false
	}
	return c.edited(name)
}

// edited says whether the route's edit takes the field away or sets it, or the
// gateway answers in it itself: CORS, and whatever the gate adds.
func (c *conn) edited(name string) bool {
	m := c.ex.Route.Model
	for _, r := range m.Edit.Response.Remove {
		if model.EqualFold(r, name) {
			return true
		}
	}
	for s := range m.Edit.Response.Set {
		if model.EqualFold(s, name) {
			return true
		}
	}
	if m.CORS != nil && len(name) > len("Access-Control-") && model.EqualFold(name[:len("Access-Control-")], "Access-Control-") {
		return true
	}
	for i := range c.ex.Response {
		if n := c.ex.Response[i].Name; model.EqualFold(n, name) && !model.EqualFold(n, "Vary") {
			return true
		}
	}
	return false
}

// gatewayCookie says whether a Set-Cookie is for a name of the gateway's. Browsers
// compare the prefix without regard to case.
func gatewayCookie(v string) bool {
	v = strings.TrimLeft(v, " \t")
	return len(v) >= len(gate.GatewayCookie) && model.EqualFold(v[:len(gate.GatewayCookie)], gate.GatewayCookie)
}

// endsHere says whether a field of an answer is of this hop alone (RFC 9110,
// 7.6.1), or the gateway's own.
func endsHere(name string) bool {
	switch len(name) {
	case 2:
		return model.EqualFold(name, "TE")
	case 7:
		return model.EqualFold(name, "Trailer") || model.EqualFold(name, "Upgrade")
	case 10:
		return model.EqualFold(name, "Connection") || model.EqualFold(name, "Keep-Alive")
	case 12:
		return model.EqualFold(name, "X-Request-Id")
	case 14:
		return model.EqualFold(name, "HTTP2-Settings")
	case 16:
		return model.EqualFold(name, "Proxy-Connection")
	case 17:
		return model.EqualFold(name, "Transfer-Encoding")
	case 18:
		return model.EqualFold(name, "Proxy-Authenticate")
	case 19:
		return model.EqualFold(name, "Proxy-Authorization")
	}
	return false
}

// trails says whether a target may send that field behind its body: nothing that
// frames, ends here, is the gateway's, or was edited in front.
func (c *conn) trails(name string) bool {
	return model.EditableHeaderFault(name) == "" && !model.EqualFold(name, "Set-Cookie") && !endsHere(name) &&
		!c.ex.Plan.OwnsHeader(name) && !c.edited(name)
}

// nominated says whether a Connection value among values names the field.
func nominated(values []string, name string) bool {
	for _, v := range values {
		if wire.HasToken(v, name) {
			return true
		}
	}
	return false
}

// plainConnection says that a Connection value names no other field.
func plainConnection(v string) bool {
	return model.EqualFold(v, "close") || model.EqualFold(v, "keep-alive")
}
