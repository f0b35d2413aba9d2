package standard

import (
	"net/http"
	"strings"

	"github.com/sallyport/sallyport/internal/door/upstream"
	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/model"
)

// copyFields brings a service's header fields to the client: without those that
// end at this hop and cookies in the gateway's name, edited as the route says, and
// with the gateway's own, which replace the service's.
func (x *exchange) copyFields(h, from http.Header) {
	route := x.ex.Route.Model
	connection := from["Connection"]
	for name, values := range from {
		if model.HopByHop(name) || route.CORS != nil && corsField(name) || listed(connection, name) {
			continue
		}
		if name == "Set-Cookie" {
			values = foreignCookies(values)
			if len(values) == 0 {
				continue
			}
		}
		h[name] = values
	}
	for _, name := range route.Edit.Response.Remove {
		h.Del(name)
	}
	for name, value := range route.Edit.Response.Set {
		h.Set(name, value)
	}
	for i, f := range x.ex.Response {
		switch name := http.CanonicalHeaderKey(f.Name); {
		case name == "Set-Cookie" || name == "Vary" || i > 0 && x.ex.Response[i-1].Name == f.Name:
			h.Add(name, f.Value)
		default:
			h.Set(name, f.Value)
		}
	}
	h.Set("X-Request-Id", x.ex.ID)
	if x.door.draining.Load() {
		h.Set("Connection", "close")
	}
}

func corsField(name string) bool { return strings.HasPrefix(name, "Access-Control-") }

// foreignCookies leaves out what a service sets in the gateway's name.
func foreignCookies(values []string) []string {
	var kept []string
	for i, v := range values {
		name, _, _ := strings.Cut(v, "=")
		if own := ownCookie(strings.TrimSpace(name)); own && kept == nil {
			kept = append(make([]string, 0, len(values)), values[:i]...)
		} else if !own && kept != nil {
			kept = append(kept, v)
		}
	}
	if kept == nil {
		return values
	}
	return kept
}

func ownCookie(name string) bool {
	const own = gate.GatewayCookie
	return len(name) >= len(own) && strings.EqualFold(name[:len(own)], own)
}

// announce declares the trailer fields that will follow, where they can, and
// tells which.
func (x *exchange) announce(h http.Header, res *upstream.Response, takes bool) map[string]bool {
	declared := map[string]bool{}
	if !takes {
		return declared
	}
	for name := range res.Trailer() {
		if x.passes(name) {
			declared[name] = true
			h.Add("Trailer", name)
		}
	}
	return declared
}

func (x *exchange) sendTrailers(h, from http.Header, declared map[string]bool) {
	for name, values := range from {
		if !x.passes(name) {
			continue
		}
		key := name
		if !declared[name] {
			key = http.TrailerPrefix + name
		}
		for _, v := range values {
			if model.ValidFieldValue(v) {
				h.Add(key, v)
			}
		}
	}
}

// passes says whether a service may send that field behind its body: nothing that
// frames, ends here, is the gateway's, or was edited in front.
func (x *exchange) passes(name string) bool {
	if model.EditableHeaderFault(name) != "" || model.EqualFold(name, "Set-Cookie") || corsField(http.CanonicalHeaderKey(name)) {
		return false
	}
	e := &x.ex.Route.Model.Edit.Response
	for _, n := range e.Remove {
		if model.EqualFold(n, name) {
			return false
		}
	}
	for n := range e.Set {
		if model.EqualFold(n, name) {
			return false
		}
	}
	return true
}
