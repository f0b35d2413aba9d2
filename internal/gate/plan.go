package gate

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/gate/authz"
	"github.com/sallyport/sallyport/internal/gate/cors"
	"github.com/sallyport/sallyport/internal/gate/identity"
	"github.com/sallyport/sallyport/internal/gate/match"
	"github.com/sallyport/sallyport/internal/gate/strip"
	"github.com/sallyport/sallyport/internal/model"
)

// Env is what a plan is compiled in: the parts of the boot file and of the running
// gateway that decisions depend on.
type Env struct {
	ID             string // of this gateway, in Via and CDN-Loop
	ExternalURL    string
	BodyBytes      int64 // default limit of request bodies
	TrustedProxies model.Prefixes
	// Own are the addresses of the gateway's listeners; a target among them is a loop.
	Own []netip.AddrPort
	// ClientCA says that a listener asks for client certificates.
	ClientCA bool
	// Methods builds the methods of authentication for a set's providers.
	Methods func(set *model.Set) ([]authn.Method, model.Faults)
}

// Plan is one configuration, compiled and immutable. A request is decided under
// one plan from its first step to its last.
type Plan struct {
	Revision int64
	Set      *model.Set
	Routes   []Route

	env       Env
	enabled   bool
	table     *match.Table
	names     *strip.Names
	policy    *authz.Policy
	headers   *identity.Headers
	methods   []authn.Method
	providers map[string]*model.IdentityProvider
	mappings  map[string]*authn.Mapping
	via, loop string
}

// Route is a route with all that its requests need, found once at compile time.
type Route struct {
	Index        int
	Model        *model.Route
	Service      *model.Service
	ServiceIndex int
	BodyLimit    int64 // bytes; 0 = none

	requirement *authn.Requirement
	login       string // the address of the login, up to where the return path goes; "" = no browser login
	cors        *cors.Policy
	origins     []string
	verbatim    bool
	rewrites    bool
	setFields   []model.Field // edit.request.set and present, in order of name
	removes     []string      // folded names of edit.request.remove and of setFields
}

// ID names the gateway that the plan was compiled for, as Via and CDN-Loop do.
func (p *Plan) ID() string { return p.env.ID }

// OwnsHeader says whether name belongs to the identity namespace: such a field is
// taken out of trailers too.
func (p *Plan) OwnsHeader(name string) bool { return p.names.Owned(name) }

// PassesTrailer says whether a client may send a field of that name behind its
// body: identity, credentials, routing and framing go no further there either.
// HAProxy let identity headers through in trailers.
func (p *Plan) PassesTrailer(name string) bool {
	return p.names.Plain(name) && model.OwnHeaderFault(name) == ""
}

// Compile builds the plan of a set, or reports every fault that keeps it from
// holding together. It publishes nothing.
func Compile(set *model.Set, env Env) (*Plan, model.Faults) {
	faults := set.Validate()
	if len(faults) > 0 {
		return nil, faults
	}
	p := &Plan{Revision: set.Revision, Set: set, env: env,
		enabled:   set.Settings.ReverseProxyAuthentication.Enabled,
		providers: map[string]*model.IdentityProvider{}, mappings: map[string]*authn.Mapping{},
		via: "1.1 " + env.ID, loop: env.ID}
	var f model.Faults
	for i := range set.IdentityProviders {
		pr := &set.IdentityProviders[i]
		p.providers[pr.Name] = pr
		p.mappings[pr.Name], f = authn.CompileMapping(pr, fmt.Sprintf("identityProviders[%d]", i))
		faults = append(faults, f...)
	}
	p.table, f = match.Compile(set.Routes)
	faults = append(faults, f...)
	p.policy, f = authz.Compile(set, pattern)
	faults = append(faults, f...)
	p.methods, f = env.Methods(set)
	faults = append(faults, f...)
	p.names = strip.Compile(&set.Settings, set.IdentityProviders)
	p.headers = identity.Compile(&set.Settings, set.Services)
	services := make(map[string]int, len(set.Services))
	for i := range set.Services {
		services[set.Services[i].Name] = i
		p.checkService(i, &faults)
	}
	p.Routes = make([]Route, len(set.Routes))
	for i := range set.Routes {
		p.Routes[i] = p.route(i, services[set.Routes[i].Service], &faults)
	}
	p.checkProviders(&faults)
	if len(faults) > 0 {
		return nil, faults
	}
	return p, nil
}

func pattern(s string) (authz.Matcher, error) {
	m, err := match.Pattern(s)
	if err != nil {
		return nil, err
	}
	return m, nil
}

func (p *Plan) route(i, service int, faults *model.Faults) Route {
	m, at := &p.Set.Routes[i], fmt.Sprintf("routes[%d]", i)
	r := Route{Index: i, Model: m, Service: &p.Set.Services[service], ServiceIndex: service,
		BodyLimit: p.env.BodyBytes, verbatim: m.Path == model.PathVerbatim,
		rewrites: m.Rewrite.StripPrefix != "" || m.Rewrite.AddPrefix != "",
		cors:     cors.Compile(m.CORS, m.Methods)}
	if m.BodyBytes != nil {
		r.BodyLimit = int64(*m.BodyBytes)
	}
	if m.CORS != nil {
		r.origins = m.CORS.Origins
	}
	if m.Access != model.AccessPublic {
		want := m.Authenticate
		if want == nil {
			want = p.defaultRequirement()
		}
		req, f := authn.Compile(want, p.methods)
		for _, x := range f {
			faults.Add(at+".authenticate", x.Message)
		}
		r.requirement = req
		p.checkWays(want, at, faults)
		r.login = p.login(want)
	}
	for h, v := range m.Edit.Request.Set {
		p.edit(&r, h, at+".edit.request.set."+h, faults)
		r.setFields = append(r.setFields, model.Field{Name: h, Value: v})
	}
	for j, h := range m.Edit.Request.Remove {
		p.edit(&r, h, at+".edit.request.remove["+strconv.Itoa(j)+"]", faults)
	}
	for h := range m.Edit.Response.Set {
		if p.names.Owned(h) {
			faults.Add(at+".edit.response.set."+h, "is an identity header, which belongs to the gateway")
		}
	}
	if h := r.Service.Present.Header; h != "" {
		r.removes = append(r.removes, model.Fold(h))
		r.setFields = append(r.setFields, model.Field{Name: h, Value: r.Service.Present.Value})
	}
	return r
}

func (p *Plan) edit(r *Route, name, at string, faults *model.Faults) {
	if p.names.Owned(name) {
		faults.Add(at, "is an identity header, which belongs to the gateway")
	}
	r.removes = append(r.removes, model.Fold(name))
}

// defaultRequirement accepts every method that is configured (SPEC 4).
func (p *Plan) defaultRequirement() *model.Requirement {
	// signature says for itself whether any user has a public key: users are data,
	// and a plan knows nothing of them.
	any := []model.Requirement{{Method: model.MethodBasic}, {Method: model.MethodAPIKey}, {Method: model.MethodSignature}}
	if p.hasProvider(vouchers[model.MethodBearer]...) {
		any = append(any, model.Requirement{Method: model.MethodBearer})
	}
	if p.hasProvider(model.ProviderTrustedHeader) {
		any = append(any, model.Requirement{Method: model.MethodTrustedHeader})
	}
	if p.env.ClientCA {
		any = append(any, model.Requirement{Method: model.MethodMTLS})
	}
	if p.browserLogin() {
		any = append(any, model.Requirement{Method: model.MethodSession})
	}
	return &model.Requirement{AnyOf: any}
}

func (p *Plan) hasProvider(types ...model.ProviderType) bool {
	for i := range p.Set.IdentityProviders {
		if slices.Contains(types, p.Set.IdentityProviders[i].Type) {
			return true
		}
	}
	return false
}

// checkWays refuses a route that nobody could ever pass: a method without what it
// needs must not wait to be found out by a caller.
func (p *Plan) checkWays(req *model.Requirement, at string, faults *model.Faults) {
	req.Leaves(func(l *model.Requirement) {
		msg := ""
		switch {
		case l.Method == model.MethodBearer && !p.hasProvider(vouchers[model.MethodBearer]...):
			msg = "bearer needs an identity provider of type jwt or introspection"
		case l.Method == model.MethodSession && !p.browserLogin():
			msg = "session needs a browser login: an identity provider of type oidc or saml, or settings.sessions.passwordLogin"
		case l.Method == model.MethodTrustedHeader && !p.hasProvider(model.ProviderTrustedHeader):
			msg = "trustedHeader needs an identity provider of that type"
		case l.Method == model.MethodMTLS && !p.env.ClientCA && !p.hasProvider(model.ProviderTrustedHeader):
			msg = "mtls needs a listener with tls.clientCA in the boot file"
		case l.Provider != "" && vouchers[l.Method] == nil:
			msg = l.Method + " has no providers; leave out the @" + l.Provider
		case l.Provider != "":
			if pr := p.providers[l.Provider]; pr != nil && !slices.Contains(vouchers[l.Method], pr.Type) {
				msg = l.Provider + " is a provider of type " + string(pr.Type) + ", which " + l.Method + " has nothing to do with"
			}
		}
		if msg != "" {
			faults.Add(at+".authenticate", msg)
		}
	})
}

// vouchers are the types of provider that may stand behind a method's @.
var vouchers = map[string][]model.ProviderType{
	model.MethodBearer:        {model.ProviderJWT, model.ProviderIntrospection},
	model.MethodTrustedHeader: {model.ProviderTrustedHeader},
	model.MethodSession:       {model.ProviderOIDC, model.ProviderSAML, model.ProviderLDAP},
	model.MethodBasic:         {model.ProviderLDAP},
}

// checkService refuses what needs more than the service alone to see: a target
// that is the gateway itself, and a present header that collides.
func (p *Plan) checkService(i int, faults *model.Faults) {
	s, at := &p.Set.Services[i], fmt.Sprintf("services[%d]", i)
	for j, t := range s.Targets {
		u, err := url.Parse(t.URL)
		if err == nil && p.ownAddress(u) {
			faults.Add(fmt.Sprintf("%s.targets[%d].url", at, j), "is one of the gateway's own listeners: requests would go round in a loop")
		}
	}
	if h := s.Present.Header; h != "" {
		if msg := model.OwnHeaderFault(h); msg != "" {
			faults.Add(at+".present.header", msg)
		} else if p.names.Owned(h) {
			faults.Add(at+".present.header", "belongs to the identity namespace")
		}
	}
}

func (p *Plan) ownAddress(u *url.URL) bool {
	port, _ := strconv.Atoi(u.Port())
	if port == 0 {
		port = map[string]int{"http": 80, "https": 443}[u.Scheme]
	}
	host := strings.ToLower(u.Hostname())
	addr, err := netip.ParseAddr(host)
	addr = addr.Unmap()
	for _, own := range p.env.Own {
		if int(own.Port()) != port {
			continue
		}
		local := own.Addr().Unmap()
		switch {
		case err == nil && addr == local, host == "localhost" && (local.IsLoopback() || local.IsUnspecified()):
			return true
		case err == nil && local.IsUnspecified() && (addr.IsLoopback() || addr.IsUnspecified()):
			return true
		}
	}
	if ext, err := url.Parse(p.env.ExternalURL); err == nil && ext.Host != "" {
		return strings.EqualFold(ext.Host, u.Host) && ext.Scheme == u.Scheme
	}
	return false
}

// checkProviders refuses header names of providers that are also names the
// gateway sets: the front end's word would be taken for ours.
func (p *Plan) checkProviders(faults *model.Faults) {
	set := map[string]string{}
	for _, n := range p.Set.Settings.Named() {
		set[model.Fold(n.Header)] = n.Setting
	}
	for i := range p.Set.IdentityProviders {
		pr := &p.Set.IdentityProviders[i]
		if s := set[model.Fold(pr.SecretHeader)]; pr.SecretHeader != "" && s != "" {
			faults.Add(fmt.Sprintf("identityProviders[%d].secretHeader", i), "is the header that settings."+s+" names")
		}
	}
}
