package gate

import (
	"context"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/gate/authz"
	"github.com/sallyport/sallyport/internal/gate/csrf"
	"github.com/sallyport/sallyport/internal/gate/identity"
	"github.com/sallyport/sallyport/internal/model"
)

// Access is what a proof gives under one plan: who, with which rights, and what
// the backend is told. It is kept with the proof, so that a repeated credential
// finds it at once.
type Access struct {
	Principal *directory.Principal
	Client    *directory.Principal
	Subject   *authz.Subject
	values    *identity.Values
	addresses model.Prefixes
	token     string // against CSRF, where the credential is ambient
	plan      *Plan
	amr       string
	used      atomic.Int64 // when its last use was told, in Unix nanoseconds
}

// Used answers whose credential let the request pass, once in a while for each:
// the last use is worth knowing, and not worth a write for every request.
func (ex *Exchange) Used(every time.Duration) (userID, credentialID string) {
	if ex.Err != nil || ex.Access == nil || ex.Proof.Credential == nil || ex.Proof.Session != nil || ex.Explain {
		return "", ""
	}
	last, now := ex.Access.used.Load(), ex.Time.UnixNano()
	if now-last < int64(every) || !ex.Access.used.CompareAndSwap(last, now) {
		return "", ""
	}
	return ex.Proof.Principal.User.ID, ex.Proof.Credential.ID
}

// current says whether a still stands: same plan, nobody changed since.
func (a *Access) current(p *Plan, client *directory.Principal) bool {
	return a.plan == p && a.Principal.Fresh() && a.Client == client && (client == nil || client.Fresh())
}

// authenticate asks every method that the route accepts, in the table's order.
func (g *Gate) authenticate(ctx context.Context, ex *Exchange) error {
	access := ex.Route.Model.Access
	if access == model.AccessPublic {
		return ex.skip("the route is public")
	}
	if !ex.Plan.enabled {
		ex.Detail = "settings.reverseProxyAuthentication.enabled is false"
		return &model.Error{Code: model.AuthenticationDisabled, RetryAfter: 60,
			Message: "Authentication is switched off, and this route is not public."}
	}
	if ex.Assume != nil {
		ex.proofs[0] = ex.Assume
		ex.note("passed", "taken to be "+ex.Assume.Principal.User.Username)
		return nil
	}
	var results authn.Results
	for i, m := range ex.Plan.methods {
		if !ex.Route.requirement.Accepts(i) {
			continue
		}
		r := m.Authenticate(ctx, &ex.Request)
		if r.Outcome == authn.Proven && m.Name() == model.MethodSession && !ex.Route.requirement.Takes(i, r.Proof) {
			// Browsers send it unasked: it counts as none, so that the person is asked to
			// sign in where the route wants, instead of being refused for good.
			r = authn.Result{Outcome: authn.NotMine, Detail: "the session is of a provider that the route does not accept"}
		}
		results.Set(i, r)
		if ex.Found < len(ex.Methods) {
			ex.Methods[ex.Found] = MethodFinding{Method: m.Name(), Outcome: r.Outcome, Err: r.Err, Detail: r.Detail}
			ex.Found++
		}
		if ex.Explain {
			ex.note(outcomeWord(r.Outcome), methodDetail(m.Name(), r))
		}
		if r.Outcome == authn.Bad && ex.Detail == "" { // mine, and wrong: it never falls through to another method
			ex.Detail = m.Name() + ": " + r.Detail
		}
	}
	n, err := ex.Route.requirement.Evaluate(&results, ex.proofs[:])
	if err == nil {
		return nil
	}
	if n == 0 && err.Code == model.CredentialMissing && access == model.AccessOptional {
		return ex.skip("no credentials on an optional route")
	}
	if err.Code == model.CredentialMissing && ex.Route.login != "" && !ex.signedIn() {
		ex.Login = ex.Route.login + url.QueryEscape(ex.Request.Target)
	}
	return err
}

// resolve turns proofs into one active user, with an application at its side
// where the route asks for both.
func (g *Gate) resolve(ctx context.Context, ex *Exchange) error {
	n := 0
	for n < len(ex.proofs) && ex.proofs[n] != nil {
		n++
	}
	if n == 0 {
		return ex.skip("nobody to resolve")
	}
	for i := range n {
		p, err := g.principal(ctx, ex, ex.proofs[i])
		if err != nil {
			return err
		}
		ex.proofs[i] = p
	}
	user, client, e := ex.Route.requirement.SameUser(ex.proofs[:n])
	if e != nil {
		ex.Detail = "the credentials belong to different users"
		return e
	}
	ex.Proof, ex.Client = user, client
	g.access(ex)
	for i := range n {
		if c := ex.proofs[i].Credential; c != nil && len(c.Addresses) > 0 && !g.addressAllowed(ex, ex.proofs[i]) {
			ex.Detail = "the credential is limited to other addresses than " + ex.ClientIP.String()
			return authn.Refusal(model.AddressRefused)
		}
	}
	if ex.Explain {
		ex.Detail = "user " + ex.Username()
	}
	return nil
}

// principal finds the user of a proof and asks whether it may still act. The
// answer to the caller is the same for unknown, inactive and expired users.
func (g *Gate) principal(ctx context.Context, ex *Exchange, p *authn.Proof) (*authn.Proof, error) {
	who := p.Principal
	if who == nil {
		known := p.Resolved()
		if known != nil && known.Principal.Fresh() {
			p, who = known, known.Principal
		} else {
			var err error
			if who, err = g.outside(ctx, ex, p, known != nil); err != nil {
				return nil, err
			}
			switch {
			case who == nil:
			case ex.Explain: // remembered, it would spare the first real request the look at its claims
				p = p.As(who)
			default:
				p = p.WithPrincipal(who)
			}
		}
	}
	if who == nil {
		if ex.Detail == "" {
			ex.Detail = "nobody here is behind " + p.Provider + " subject " + p.Subject
		}
		return nil, authn.Refusal(model.CredentialInvalid)
	}
	u := &who.User
	if !u.Active {
		ex.Detail = "user " + u.Username + " is not active"
		return nil, authn.Refusal(model.CredentialInvalid)
	}
	if u.ExpiresAt != nil && !ex.Time.Before(*u.ExpiresAt) {
		ex.Detail = "user " + u.Username + " has expired"
		return nil, authn.Refusal(model.CredentialInvalid)
	}
	if p.Expired(ex.Time) {
		ex.Detail = "the credential expired at " + p.Expires.UTC().Format("2006-01-02T15:04:05Z")
		return nil, authn.Refusal(model.CredentialExpired)
	}
	return p, nil
}

func memo(p *authn.Proof) *Access {
	if m := p.Memo.Load(); m != nil {
		a, _ := (*m).(*Access)
		return a
	}
	return nil
}

// access finds or makes what the proof gives under this plan.
func (g *Gate) access(ex *Exchange) {
	p := ex.Proof
	var client *directory.Principal
	if ex.Client != nil {
		client = ex.Client.Principal
	}
	if a := memo(p); a != nil && a.current(ex.Plan, client) && a.Principal == p.Principal {
		ex.Access = a
		return
	}
	u := &p.Principal.User
	var extra []string
	if pr := ex.Plan.providers[p.Provider]; pr != nil {
		extra = pr.Roles
	}
	a := &Access{plan: ex.Plan, Principal: p.Principal, Client: client, amr: p.Method}
	a.Subject = ex.Plan.policy.Subject(u, extra, p.Scopes, p.Narrow)
	var cu *model.User
	if client != nil {
		cu = &client.User
		a.amr += " " + ex.Client.Method
	}
	a.values = ex.Plan.headers.Values(u, a.Subject.Groups(), a.Subject.Roles(), p.Method, cu)
	bound := binding(u.ID, p.Method, "")
	if p.Credential != nil {
		a.addresses, _ = model.ParsePrefixes(p.Credential.Addresses, "")
		bound = binding(u.ID, p.Method, p.Credential.ID)
	}
	if p.Ambient || ex.Client != nil && ex.Client.Ambient {
		a.token = g.deps.CSRF.Token(bound)
	}
	if !ex.Explain {
		var m any = a
		p.Memo.Store(&m)
	}
	ex.Access = a
}

func (g *Gate) addressAllowed(ex *Exchange, p *authn.Proof) bool {
	if p == ex.Proof {
		return ex.Access.addresses.Contains(ex.ClientIP)
	}
	ps, _ := model.ParsePrefixes(p.Credential.Addresses, "")
	return ps.Contains(ex.ClientIP)
}

// csrf refuses what another site made a browser send with an ambient credential.
func (g *Gate) csrf(_ context.Context, ex *Exchange) error {
	if ex.Proof == nil {
		return ex.skip("nobody is acting")
	}
	ambient := ex.Proof.Ambient || ex.Client != nil && ex.Client.Ambient
	if !ambient {
		return ex.skip("the credential is not one that browsers send unasked")
	}
	f := csrf.Facts{Method: ex.Method, Host: ex.Host, Scheme: ex.Scheme, Fields: ex.Fields,
		WebSocket: ex.Upgrade == "websocket", Origins: ex.Route.origins,
		Session: ex.Proof.Session != nil || ex.Client != nil && ex.Client.Session != nil, Token: ex.Access.token, Disabled: ex.Plan.Set.Settings.ReverseProxyAuthentication.CSRFProtectionDisabled}
	if e := g.deps.CSRF.Verify(&f); e != nil {
		return e
	}
	if c := g.deps.CSRF.SetCookie(&f); c != "" {
		ex.Response = append(ex.Response, model.Field{Name: "Set-Cookie", Value: c})
	}
	return nil
}

// authorise asks the user's roles, then the route's rules, which only take away.
func (g *Gate) authorise(_ context.Context, ex *Exchange) error {
	access := ex.Route.Model.Access
	if access == model.AccessPublic {
		return ex.skip("the route is public")
	}
	if ex.Proof == nil && len(ex.Route.Model.Rules) == 0 {
		return ex.skip("nobody is acting on an optional route")
	}
	f := ex.facts()
	var subject *authz.Subject
	if ex.Access != nil {
		subject = ex.Access.Subject
	}
	// Asked whatever the access: a narrowed credential is held to its scopes on
	// routes that need no permission, too.
	var err *model.Error
	ex.Rule, err, ex.Detail = ex.Plan.policy.Permit(subject, ex.Route.Index, f)
	if err == nil && len(ex.Route.Model.Rules) > 0 {
		rule, e, detail := ex.Plan.policy.Rules(ex.Route.Index, f)
		if e != nil {
			ex.Rule, err, ex.Detail = rule, e, detail
		}
	}
	if err == nil {
		if ex.Explain && ex.Rule != "" {
			ex.Detail = ex.Rule
		}
		return nil
	}
	if ex.Route.Model.Mode == model.Report {
		ex.Reported = append(ex.Reported, err)
		if ex.Explain {
			ex.note("reported", "would refuse with "+string(err.Code)+": "+ex.Detail)
		}
		return nil
	}
	return err
}

func (ex *Exchange) facts() *authz.Facts {
	f := &ex.authz
	*f = authz.Facts{Request: &ex.Request, Path: ex.MatchedPath(), ClientIP: ex.ClientIP, Host: hostname(ex.Host)}
	if p := ex.Proof; p != nil {
		f.User, f.Claims = &p.Principal.User, p.Claims
		f.Groups, f.Roles = ex.Access.Subject.Groups(), ex.Access.Subject.Roles()
		f.Attributes = p.Principal.User.Attributes
		f.Credential.Type, f.Credential.Scopes, f.Credential.Issued = p.Method, p.Scopes, p.Issued
	}
	if ex.Client != nil {
		f.Client = &ex.Client.Principal.User
	}
	return f
}

// hostname is a Host in lower case, without port and trailing dot.
func hostname(h string) string {
	if i := strings.LastIndexByte(h, ':'); i >= 0 && !strings.Contains(h[i:], "]") {
		h = h[:i]
	}
	return strings.ToLower(strings.TrimSuffix(h, "."))
}
