package gate

import (
	"context"
	"net/netip"
	"net/url"
	"sort"
	"strings"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/model"
)

// Question is a hypothetical request to explain.
type Question struct {
	Method   string            `json:"method"`
	URL      string            `json:"url"` // absolute, or a path
	Headers  map[string]string `json:"headers,omitempty"`
	ClientIP string            `json:"clientIP,omitempty"`
	User     string            `json:"user,omitempty"` // taken to be authenticated as; "" = judge the headers
}

// Explain answers what would become of a request under plan, step by step,
// without any effect.
func (g *Gate) Explain(ctx context.Context, plan *Plan, q Question) (*model.Decision, error) {
	ex := &Exchange{Plan: plan, Explain: true, ID: "explain"}
	ex.Trial = true
	if err := ex.ask(q, g.deps.Now); err != nil {
		return nil, err
	}
	if q.User != "" {
		found, err := g.deps.Directory.Find(ctx, directory.Key{By: directory.ByUsername, A: model.FoldUsername(q.User)})
		if err != nil {
			return nil, authn.Refusal(model.IdentityUnavailable).WithCause(err)
		}
		if found.Principal == nil {
			f := model.Faults{{Path: "user", Message: "there is no user " + q.User}}
			return nil, f.Err()
		}
		ex.Assume = assume(found.Principal)
	}
	g.Walk(ctx, ex)
	return ex.decision(), nil
}

// assume is the proof of a user that is taken to be authenticated.
func assume(p *directory.Principal) *authn.Proof {
	return &authn.Proof{Method: "assumed", Principal: p}
}

func (ex *Exchange) ask(q Question, now nowFunc) error {
	var f model.Faults
	if q.Method == "" {
		q.Method = "GET"
	}
	if !model.ValidToken(q.Method) {
		f.Add("method", "is not an HTTP method")
	}
	ex.Method, ex.Scheme, ex.Time = q.Method, "https", now()
	if u, err := url.Parse(ex.Plan.env.ExternalURL); err == nil {
		ex.Host, ex.Scheme = u.Host, u.Scheme
	}
	ex.Request.Target = q.URL
	if scheme, rest, ok := strings.Cut(q.URL, "://"); ok {
		slash := strings.IndexByte(rest, '/')
		if slash < 0 {
			rest, slash = rest+"/", len(rest)
		}
		ex.Scheme, ex.Host, ex.Request.Target = strings.ToLower(scheme), rest[:slash], rest[slash:]
	} else if !strings.HasPrefix(q.URL, "/") {
		f.Add("url", "is an absolute URL or a path that starts with /")
	}
	ex.Peer = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if q.ClientIP != "" {
		a, err := netip.ParseAddr(q.ClientIP)
		if err != nil {
			f.Add("clientIP", "is not an IP address")
		}
		ex.Peer = a.Unmap()
	}
	names := make([]string, 0, len(q.Headers))
	for n := range q.Headers {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		switch {
		case !model.ValidToken(n) || !model.ValidFieldValue(q.Headers[n]):
			f.Add("headers."+n, "is not a header that a request could carry")
		case model.EqualFold(n, "Host"):
			ex.Host = q.Headers[n]
		default:
			ex.Fields = append(ex.Fields, model.Field{Name: n, Value: q.Headers[n]})
			if model.EqualFold(n, "Upgrade") {
				ex.Upgrade = strings.ToLower(q.Headers[n])
			}
		}
	}
	return f.Err()
}

// decision tells the exchange's outcome whole.
func (ex *Exchange) decision() *model.Decision {
	d := &model.Decision{Outcome: ex.Outcome(), Code: ex.Code(), Status: ex.Code().Status(),
		User: ex.Username(), Steps: ex.Trace}
	if ex.Plan != nil {
		d.Revision = ex.Plan.Revision
	}
	if ex.Route != nil {
		d.Route = ex.Route.Model.Name
	}
	if ex.Preflight {
		d.Status = 204
	}
	d.Remedy = ex.Remedy()
	return d
}

// Outcome is allowed, denied, or error where the gateway could not tell.
func (ex *Exchange) Outcome() string {
	switch {
	case ex.Err == nil:
		return "allowed"
	case ex.Err.Code.Status() >= 500:
		return "error"
	}
	return "denied"
}

func outcomeWord(o authn.Outcome) string {
	switch o {
	case authn.Proven:
		return "passed"
	case authn.Bad:
		return "refused"
	}
	return "skipped"
}

func methodDetail(name string, r authn.Result) string {
	switch {
	case r.Detail != "":
		return name + ": " + r.Detail
	case r.Outcome == authn.NotMine:
		return name + ": no such credential in the request"
	case r.Outcome == authn.Proven && r.Proof.Principal != nil:
		return name + ": proven, user " + r.Proof.Principal.User.Username
	case r.Outcome == authn.Proven:
		return name + ": proven, " + r.Proof.Provider + " subject " + r.Proof.Subject
	}
	return name
}
