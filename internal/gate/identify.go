package gate

import (
	"context"
	"strings"
	"unsafe"

	"github.com/sallyport/sallyport/internal/gate/match"
	"github.com/sallyport/sallyport/internal/model"
)

// identify settles what the backend receives: whose request it is, under which
// path, with whose credential.
func (g *Gate) identify(_ context.Context, ex *Exchange) error {
	p, r := ex.Plan, ex.Route
	ex.caller()
	for _, folded := range r.removes {
		for i := range ex.Fields {
			if f := &ex.Fields[i]; !f.Dropped && model.Fold(f.Name) == folded {
				f.Dropped = true
			}
		}
	}
	ex.Add = append(ex.Add,
		model.Field{Name: "X-Request-Id", Value: ex.ID},
		model.Field{Name: "Via", Value: p.via},
		model.Field{Name: "CDN-Loop", Value: p.loop})
	ex.Add = append(ex.Add, r.setFields...)
	if ex.Proof != nil {
		ex.Add = p.headers.Append(ex.Add, ex.Access.values)
		if name := p.Set.Settings.IdentityHeaders.Assertion; name != "" && g.deps.Signer != nil && !ex.Explain {
			token, err := g.deps.Signer.Assertion(ex.Access.values, r.Service, ex.sid(), ex.Access.amr)
			if err != nil {
				return (&model.Error{Code: model.IdentityUnavailable, RetryAfter: 5,
					Message: "The caller's identity cannot be signed at the moment."}).WithCause(err)
			}
			ex.Add = append(ex.Add, model.Field{Name: name, Value: token})
		}
	}
	ex.target()
	if ex.Explain {
		names := make([]string, len(ex.Add))
		for i := range ex.Add {
			names[i] = ex.Add[i].Name
		}
		ex.Detail = "service " + r.Service.Name + " receives " + strings.Join(names, ", ")
	}
	return nil
}

// sid is the session's name, "" where there is none.
func (ex *Exchange) sid() string {
	if ex.Proof.Session == nil {
		return ""
	}
	return ex.Proof.Session.ID
}

// target is the path and query to send: the received bytes where nothing changes
// them, so that the bytes decided on are the bytes forwarded.
func (ex *Exchange) target() {
	path := ex.MatchedPath()
	if ex.Route.rewrites {
		rw := &ex.Route.Model.Rewrite
		path = match.RewritePath(path, rw.StripPrefix, rw.AddPrefix)
	} else if len(path)+len(ex.Path.Query) == len(ex.Request.Target) && strings.HasPrefix(ex.Request.Target, path) {
		ex.Target = ex.Request.Target
		return
	}
	ex.scratch = append(append(ex.scratch[:0], path...), ex.Path.Query...)
	ex.Target = unsafe.String(unsafe.SliceData(ex.scratch), len(ex.scratch))
}

// caller drops the caller's own credentials, or keeps those that were proven
// where the service says forward. The gateway's cookies never go on.
func (ex *Exchange) caller() {
	public := ex.Route.Model.Access == model.AccessPublic
	forward := ex.Route.Service.CallerCredential == model.CallerForward
	for i := range ex.Fields {
		f := &ex.Fields[i]
		if f.Dropped {
			continue
		}
		switch len(f.Name) {
		case len("Authorization"):
			if model.EqualFold(f.Name, "Authorization") && !public {
				f.Dropped = !forward || !ex.proven(scheme(f.Value))
			}
		case len("DPoP"):
			if model.EqualFold(f.Name, "DPoP") && !public {
				f.Dropped = !forward || !ex.proven(model.MethodBearer)
			}
		case len("Signature"): // and as long: X-API-Key
			if model.EqualFold(f.Name, "Signature") && !public {
				f.Dropped = !forward || !ex.proven(model.MethodSignature)
			} else if model.EqualFold(f.Name, "X-API-Key") && !public {
				f.Dropped = !forward || !ex.proven(model.MethodAPIKey)
			}
		case len("Signature-Input"):
			if model.EqualFold(f.Name, "Signature-Input") && !public {
				f.Dropped = !forward || !ex.proven(model.MethodSignature)
			}
		case len("X-CSRF-Token"):
			if model.EqualFold(f.Name, "X-CSRF-Token") && !public {
				f.Dropped = true
			}
		case len("Cookie"):
			if model.EqualFold(f.Name, "Cookie") && strings.Contains(f.Value, GatewayCookie) {
				f.Value = ex.withoutGatewayCookies(f.Value)
				f.Dropped = f.Value == ""
			}
		}
	}
}

// GatewayCookie is the beginning of the name of every cookie of the gateway's.
const GatewayCookie = "__Host-sallyport"

// withoutGatewayCookies leaves out the gateway's own. What is left lives as long as
// the exchange.
func (ex *Exchange) withoutGatewayCookies(v string) string {
	from := len(ex.cookies)
	for v != "" {
		var c string
		c, v, _ = strings.Cut(v, ";")
		c = strings.Trim(c, " \t")
		if c == "" || strings.HasPrefix(c, GatewayCookie) {
			continue
		}
		if len(ex.cookies) > from {
			ex.cookies = append(ex.cookies, "; "...)
		}
		ex.cookies = append(ex.cookies, c...)
	}
	kept := ex.cookies[from:]
	return unsafe.String(unsafe.SliceData(kept), len(kept))
}

func scheme(v string) string {
	s, _, _ := strings.Cut(v, " ")
	switch {
	case model.EqualFold(s, "Basic"):
		return model.MethodBasic
	case model.EqualFold(s, "Bearer"), model.EqualFold(s, "DPoP"):
		return model.MethodBearer
	case model.EqualFold(s, "ApiKey"):
		return model.MethodAPIKey
	}
	return ""
}

func (ex *Exchange) proven(method string) bool {
	return method != "" && (ex.Proof != nil && ex.Proof.Method == method || ex.Client != nil && ex.Client.Method == method)
}
