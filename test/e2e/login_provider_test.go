//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
)

// signInProvider is a real OpenID provider at which people sign in by a browser.
type signInProvider struct {
	*program
	name, issuer, port string
	setup              map[string]any
	client             *http.Client
}

// someone are the claims of a person at the provider.
type someone = map[string]any

func alice() map[string]someone {
	return map[string]someone{"a1": {"preferred_username": "alice", "name": "Alice Ames", "email": "alice@example.com", "email_verified": true,
		"groups": []string{"staff", "unknown"}, "realm": someone{"roles": []string{"writer"}}, "department": "engineering", "level": 7}}
}

// newSignInProvider starts one whose client is the gateway at address; its name is
// that of its resource there. more adds to the setup (see login-provider.mjs).
func newSignInProvider(t testing.TB, name, address string, people map[string]someone, more map[string]any) *signInProvider {
	t.Helper()
	nodeModule(t, "oidc-provider/package.json")
	p := &signInProvider{name: name, port: fmt.Sprint(freePort(t)), client: newClient(t, false)}
	p.issuer = "http://127.0.0.1:" + p.port
	p.setup = map[string]any{"gateway": address, "base": appSite, "name": name, "people": people}
	for k, v := range more {
		p.setup[k] = v
	}
	p.begin(t)
	return p
}

func (p *signInProvider) begin(t testing.TB) {
	t.Helper()
	p.program = launch(t, "node", nil, need(t, "node"), "login-provider.mjs", p.port, jsonText(p.setup))
	p.listens("127.0.0.1:" + p.port)
}

// tell asks something of the provider that only a test can.
func (p *signInProvider) tell(t testing.TB, path string, body any) string {
	t.Helper()
	text := ""
	if body != nil {
		text = jsonText(body)
	}
	a, err := exchange(p.client, "POST", p.issuer+"/test/"+path, text)
	if err != nil || a.status != 200 {
		t.Fatalf("%s: %v %+v", path, err, a)
	}
	return a.body
}

// issued are the secrets that it gave out, the last logout token last.
func (p *signInProvider) issued(t testing.TB) (list []string, code, logoutToken string) {
	t.Helper()
	var last struct {
		Issued            []string
		Code, LogoutToken string
	}
	if err := json.Unmarshal([]byte(p.tell(t, "last", nil)), &last); err != nil {
		t.Fatal(err)
	}
	return last.Issued, last.Code, last.LogoutToken
}

// resource is the provider as a gateway's resource; more are further fields.
func (p *signInProvider) resource(more string) string {
	return fmt.Sprintf("  - {name: %s, type: oidc, issuer: %q, clientID: gw, clientSecret: gw-secret%s}\n", p.name, p.issuer, more)
}

// mappedFields is what the tests' providers say of a person, and where it goes.
const mappedFields = `, requestScopes: [profile, email, groups, offline_access], mapping: {email: email, displayName: name, groups: groups, roles: realm.roles}`

const front = `
settings:
  reverseProxyAuthentication: {enabled: true}
SETTINGS
services: [{name: api, targets: [{url: "BACKEND"}]}]
roles:
  - {name: reader, permissions: [{routes: ["*"], methods: [GET]}]}
  - {name: writer, permissions: [{routes: ["*"], methods: ["*"]}]}
  - {name: chief, permissions: [{routes: ["*"], methods: [GET]}]}
groups: [{name: staff, roles: [reader]}]
users:
  - {username: bob, emails: [bob@example.com], roles: [writer], credentials: [{type: password, password: bobs-password}]}
  - {username: linked, roles: [reader]}
routes:
  - {name: app, hosts: [app.example.com], paths: [/], service: api, authenticate: {anyOf: [session, basic]}}
  - {name: corp, hosts: [app.example.com], paths: [/corp], service: api, authenticate: {anyOf: ["session@corp"]}}
  - {name: shop, hosts: [shop.example.com], paths: [/], service: api, authenticate: {anyOf: [session]}}
  - {name: open, hosts: [app.example.com], paths: [/open], service: api, access: public}
identityProviders:
`

// entrance is a gateway, the providers at which one signs in to it, and a backend.
type entrance struct {
	*gateway
	backend *backend
	corp    *signInProvider
	others  []*signInProvider
}

// entranceOptions say what is special about an entrance. Zero values will do.
type entranceOptions struct {
	people   map[string]someone
	provider map[string]any // the setup of corp
	fields   string         // further fields of its resource; "" = mappedFields
	settings string         // further lines of settings
	others   []string       // further providers
	boot     string
	backend  *backend
}

func openEntrance(t *testing.T, engine string, o entranceOptions) *entrance {
	t.Helper()
	if o.people == nil {
		o.people = alice()
	}
	if o.fields == "" {
		o.fields = mappedFields
	}
	if o.backend == nil {
		o.backend = newBackend(t, nil)
	}
	e := &entrance{backend: o.backend}
	address := freeAddress(t)
	e.corp = newSignInProvider(t, "corp", address, o.people, o.provider)
	resources := strings.ReplaceAll(withBackend(front, o.backend.URL), "SETTINGS", o.settings) + e.corp.resource(o.fields)
	for _, name := range o.others {
		p := newSignInProvider(t, name, address, map[string]someone{"p1": {"preferred_username": "paula", "groups": []string{"staff"}}}, nil)
		e.others = append(e.others, p)
		resources += p.resource(mappedFields)
	}
	e.gateway = start(t, options{engine: engine, external: appSite, resources: resources, boot: o.boot, proxy: address})
	return e
}

// surf is a browser that nobody has used yet.
func (e *entrance) surf(t testing.TB) *surfer {
	return newSurfer(t, e.gateway, "app.example.com", "shop.example.com")
}

// leave is where the browser goes for a path, up to the provider's own page.
func (s *surfer) leave(address string) *page {
	s.t.Helper()
	p := s.get(address)
	if !strings.HasPrefix(p.at.Path, "/interaction/") {
		s.t.Fatalf("%s leads to no provider, but to %s by way of %q: %d %v %s", address, p.at, p.way, p.status, p.header, tail(p.body, 500))
	}
	return p
}

// signIn goes to an address and signs in at the provider on the way.
func (s *surfer) signIn(address, account string) *page {
	s.t.Helper()
	return s.submit(s.leave(address), 0, map[string]string{"account": account})
}

// arrived fails the test unless the page is the one that was wanted.
func (p *page) arrived(t testing.TB, what, address string) {
	t.Helper()
	if p.status != 200 || p.at.String() != address {
		t.Fatalf("%s: %d at %s by way of %q: %s", what, p.status, p.at, p.way, tail(p.body, 800))
	}
}

// asked is the request that the backend's echo shows on the page.
func (p *page) asked(t testing.TB) (s seen) {
	t.Helper()
	if err := json.Unmarshal([]byte(p.body), &s); err != nil {
		t.Fatalf("%v: %d %s %s", err, p.status, p.at, tail(p.body, 300))
	}
	return s
}

// step is one answer, with no redirect followed.
func (s *surfer) step(address string, mods ...mod) *page {
	s.t.Helper()
	client, first := *s.client, true // of its own: others may step at the same time
	client.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		if !first {
			return emptyAnswer(r), nil
		}
		first = false
		return s.client.Transport.RoundTrip(r)
	})
	return (&surfer{t: s.t, client: &client, jar: s.jar}).get(address, mods...)
}

// emptyAnswer stands in for whoever must not be asked.
func emptyAnswer(r *http.Request) *http.Response {
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody, Request: r}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// callback is the address by which the browser came back from its provider.
func (p *page) callback(t testing.TB) string {
	t.Helper()
	for _, w := range p.way {
		if u, err := url.Parse(w); err == nil && u.Path == "/.sallyport/callback" {
			return w
		}
	}
	t.Fatalf("no callback on the way %q", p.way)
	return ""
}

// pause stops a process, so that its connections hang.
func (p *signInProvider) pause(t testing.TB) {
	t.Helper()
	p.signal(syscall.SIGSTOP)
	t.Cleanup(func() { p.signal(syscall.SIGCONT) })
}
