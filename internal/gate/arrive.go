package gate

import (
	"context"
	"net/netip"
	"strings"

	"github.com/sallyport/sallyport/internal/gate/match"
	"github.com/sallyport/sallyport/internal/gate/strip"
	"github.com/sallyport/sallyport/internal/model"
)

// strip takes the identity namespace and everything that ends at this hop out of
// the request, before anything is believed of it.
func (g *Gate) strip(_ context.Context, ex *Exchange) error {
	p := ex.Plan
	trusted := len(p.env.TrustedProxies) > 0 && p.env.TrustedProxies.Contains(ex.Peer)
	ex.ClientIP = ex.Peer
	if trusted {
		var host string
		ex.ClientIP, ex.Scheme, host = strip.ClientIP(&ex.Request, p.env.TrustedProxies)
		if host != "" {
			ex.Host = host
		}
	}
	ex.Forged = p.names.Apply(&ex.Request, trusted, ex.Forged)
	ex.Add = strip.Rebuild(&ex.Request, trusted, ex.peerText(), ex.Add)
	if ex.Explain {
		dropped := []string{}
		for i := range ex.Fields {
			if ex.Fields[i].Dropped {
				dropped = append(dropped, ex.Fields[i].Name)
			}
		}
		if len(dropped) > 0 {
			ex.Detail = "removed " + strings.Join(dropped, ", ")
		}
	}
	return nil
}

// Caller is where a request to the gateway's own pages comes from, and the host that
// it is for: by the rules of strip, so that both tell the same of one browser.
func (p *Plan) Caller(r *model.Request) (from netip.Addr, host string) {
	from, _, host = strip.ClientIP(r, p.env.TrustedProxies)
	if host == "" {
		host = r.Host
	}
	return from, host
}

// loop refuses a request that has been here before (RFC 8586, RFC 9110 7.6.3).
func (g *Gate) loop(_ context.Context, ex *Exchange) error {
	if strip.LoopSeen(&ex.Request, ex.Plan.env.ID) {
		return &model.Error{Code: model.LoopDetected, Message: "This request has passed this gateway before: one of its services leads back to it."}
	}
	return nil
}

// match finds the one path and the route.
func (g *Gate) match(_ context.Context, ex *Exchange) error {
	var e *model.Error
	if ex.Path, e = match.ParseTarget(ex.Request.Target, nil); e != nil {
		return e
	}
	method := ex.Method
	asked, preflight := "", false
	if method == "OPTIONS" {
		if _, ok := ex.Get("Origin"); ok {
			asked, preflight = ex.Get("Access-Control-Request-Method")
		}
	}
	if preflight {
		i, _, e := ex.Plan.table.Find(ex.Host, &ex.Path, asked, ex.Fields)
		if e == nil && ex.Plan.Routes[i].cors != nil {
			ex.take(i)
			ex.Preflight = true
			return nil
		}
	}
	i, allow, e := ex.Plan.table.Find(ex.Host, &ex.Path, method, ex.Fields)
	if e != nil {
		if allow != nil {
			e.Allow = allow
		}
		return e
	}
	ex.take(i)
	return nil
}

func (ex *Exchange) take(i int) {
	ex.Route = &ex.Plan.Routes[i]
	if ex.Explain {
		ex.Detail = "route " + ex.Route.Model.Name
	}
}

// MatchedPath is the path that was matched and is forwarded, before rewriting:
// the received bytes on a verbatim route, else the canonical form.
func (ex *Exchange) MatchedPath() string {
	if ex.Route != nil && ex.Route.verbatim {
		return ex.Path.Raw
	}
	return ex.Path.Canonical
}

// preflight answers a CORS preflight from the route's setting, and dresses the
// answer of every cross-origin request, refusals included, so that scripts can
// read why they were refused.
func (g *Gate) preflight(_ context.Context, ex *Exchange) error {
	c := ex.Route.cors
	if c == nil {
		return ex.skip("the route has no cors setting")
	}
	origin, ok := ex.Get("Origin")
	if !ok {
		ex.Response = append(ex.Response, model.Field{Name: "Vary", Value: "Origin"})
		return ex.skip("no Origin")
	}
	if !ex.Preflight {
		ex.Response = c.Answer(ex.Response, strings.Clone(origin))
		return nil
	}
	if !c.Allows(origin) {
		ex.Preflight = false
		ex.Detail = "origin " + origin + " is not in the route's cors.origins"
		return &model.Error{Code: model.OriginRefused, Message: "Scripts of this origin may not call this route."}
	}
	method, _ := ex.Get("Access-Control-Request-Method")
	requested, _ := ex.Get("Access-Control-Request-Headers")
	ex.Response = c.Preflight(ex.Response, strings.Clone(origin), strings.Clone(method), strings.Clone(requested))
	return nil
}
