//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
)

// oidcProvider is the npm package oidc-provider, running.
type oidcProvider struct {
	*program
	issuer, port, claims string
	login                []string // its LOGIN, where people sign in
	client               *http.Client
}

func newOIDCProvider(t testing.TB, claims map[string]any) *oidcProvider {
	t.Helper()
	nodeModule(t, "oidc-provider/package.json")
	p := &oidcProvider{port: fmt.Sprint(freePort(t)), claims: jsonText(claims), client: newClient(t, false)}
	p.issuer = "http://127.0.0.1:" + p.port
	p.begin(t)
	return p
}

// newLoginProvider is one at which people sign in: login is the LOGIN of provider.mjs.
func newLoginProvider(t testing.TB, login map[string]any) *oidcProvider {
	t.Helper()
	nodeModule(t, "oidc-provider/package.json")
	p := &oidcProvider{port: fmt.Sprint(freePort(t)), claims: "{}", login: []string{jsonText(login)}, client: newClient(t, false)}
	p.issuer = "http://127.0.0.1:" + p.port
	p.begin(t)
	return p
}

// account gives an account other claims.
func (p *oidcProvider) account(t testing.TB, login string, claims map[string]any) {
	t.Helper()
	if a, err := exchange(p.client, "POST", p.issuer+"/test/account?login="+login, jsonText(claims)); err != nil || a.status != 200 {
		t.Fatalf("changing an account: %v %+v", err, a)
	}
}

// begin starts it, or starts it again with keys of its own.
func (p *oidcProvider) begin(t testing.TB) {
	t.Helper()
	p.program = launch(t, "node", nil, need(t, "node"), append([]string{"provider.mjs", p.port, p.claims}, p.login...)...)
	p.listens("127.0.0.1:" + p.port)
}

// token is an access token for a client and the resource urn:AUDIENCE.
func (p *oidcProvider) token(t testing.TB, client, audience string) string {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "resource": {"urn:" + audience}, "scope": {"read write"}}
	a, err := exchange(p.client, "POST", p.issuer+"/token", form.Encode(), basic(client, client+"-secret"), header("Content-Type", "application/x-www-form-urlencoded"))
	if err != nil || a.status != 200 {
		t.Fatalf("the provider issues no token: %v %+v", err, a)
	}
	var v struct {
		Token string `json:"access_token"`
	}
	a.into(t, &v)
	if strings.Count(v.Token, ".") != 2 {
		t.Fatalf("the provider's token is no JWT: %q", v.Token)
	}
	return v.Token
}

func (p *oidcProvider) tell(t testing.TB, path string) string {
	t.Helper()
	a, err := exchange(p.client, "POST", p.issuer+path, "")
	if err != nil || a.status != 200 {
		t.Fatalf("%s: %v %+v", path, err, a)
	}
	return a.body
}

func (p *oidcProvider) fetches(t testing.TB) int {
	t.Helper()
	n, err := strconv.Atoi(p.tell(t, "/test/fetches"))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

const tokens = `
settings: {reverseProxyAuthentication: {enabled: true}}
services: [{name: api, targets: [{url: "BACKEND"}]}]
roles:
  - {name: reader, permissions: [{routes: ["*"], methods: [GET]}]}
  - {name: writer, permissions: [{routes: ["*"], methods: ["*"]}]}
groups: [{name: staff, roles: [writer]}]
routes: [{name: api, paths: [/api], service: api}]
users:
  - {username: bob, emails: [bob@example.com], roles: [reader], credentials: [{type: password, password: bobs-password}]}
  - {username: linked, roles: [reader]}
`

func TestTokensOfARealProviderServeWhileItsKeysRotate(t *testing.T) {
	t.Parallel() // it waits more than it works
	eachEngine(t, func(t *testing.T, engine string) {
		p := newOIDCProvider(t, map[string]any{"reporter": map[string]any{}, "second": map[string]any{}, "third": map[string]any{}, "fourth": map[string]any{}, "fifth": map[string]any{}, "sixth": map[string]any{}})
		b := newBackend(t, nil)
		g := start(t, options{engine: engine, resources: withBackend(tokens, b.URL) + fmt.Sprintf(`
identityProviders: [{name: tokens, type: jwt, issuer: %q, audiences: [api], roles: [reader]}]
`, p.issuer)})
		first := p.token(t, "reporter", "api")
		a := g.call(t, "GET", "/api", "", bearer(first))
		a.expect(t, "a real token", 200, "")
		s := a.asked(t)
		if s.Header.Get("X-User") != "reporter" || s.Header.Get("X-Auth-Method") != "bearer" || s.Header.Get("X-User-Roles") != "reader" || s.Header.Get("Authorization") != "" {
			t.Errorf("the backend saw %v", s.Header)
		}
		g.call(t, "POST", "/api", "", bearer(first)).expect(t, "beyond its role", 403, "permission_denied")
		g.call(t, "GET", "/api", "", bearer(p.token(t, "reporter", "elsewhere"))).expect(t, "a token for somebody else", 401, "credential_invalid")
		for i := range 10 {
			broken := []byte(first)
			broken[len(broken)-20-i] ^= 1
			g.call(t, "GET", "/api", "", bearer(string(broken))).expect(t, "a changed signature", 401, "credential_invalid")
		}

		// Four keys, of four algorithms. A new one is found within the cool-down of 10 s.
		held := map[string]string{"reporter": first}
		for _, client := range []string{"second", "third", "fourth"} {
			p.tell(t, "/test/rotate")
			fresh := p.token(t, client, "api")
			until(t, 12*time.Second, "a token of the new key serves", func() bool {
				g.call(t, "GET", "/api", "", bearer(first)).expect(t, "a token of an old key, meanwhile", 200, "")
				return g.call(t, "GET", "/api", "", bearer(fresh)).status == 200
			})
			held[client] = fresh
			for c, tok := range held {
				a := g.call(t, "GET", "/api", "", bearer(tok))
				if a.status != 200 || a.asked(t).Header.Get("X-User") != c {
					t.Errorf("the token of %s: %d %s", c, a.status, a.body)
				}
			}
			if engine != "own" {
				break // each waits for the cool-down
			}
		}

		// Unknown keys do not make the gateway knock at the provider's door.
		before := p.fetches(t)
		head, rest, _ := strings.Cut(first, ".")
		_ = head
		for i := range 200 {
			forged := jwtPart(map[string]any{"alg": "RS256", "kid": fmt.Sprintf("unknown-%d", i), "typ": "at+jwt"}) + "." + rest
			if a := g.call(t, "GET", "/api", "", bearer(forged)); a.status != 401 {
				t.Fatalf("a token of an unknown key: %d %s", a.status, a.body)
			}
		}
		if n := p.fetches(t) - before; n > 1 {
			t.Errorf("200 unknown keys made %d fetches", n)
		}

		// The provider goes: known keys go on serving, for tokens never seen before too.
		unused := p.token(t, "fifth", "api")
		until(t, 12*time.Second, "the newest key is known", func() bool { return g.call(t, "GET", "/api", "", bearer(p.token(t, "sixth", "api"))).status == 200 })
		p.kill()
		g.call(t, "GET", "/api", "", bearer(unused)).expect(t, "a new token of a known key, the provider being down", 200, "")
		g.call(t, "GET", "/api", "", bearer(first)).expect(t, "a known token, the provider being down", 200, "")

		// It comes back with other keys, and without the old ones.
		p.begin(t)
		returned := p.token(t, "reporter", "api")
		until(t, 15*time.Second, "a token of the returned provider serves", func() bool {
			return g.call(t, "GET", "/api", "", bearer(returned)).status == 200
		})
		st := g.must(t, 200, "GET", "/v2/status", "").body
		if !strings.Contains(st, `"tokens"`) {
			t.Errorf("status says nothing of the provider: %s", st)
		}
	})
}

func TestANewLoginIsRefusedWith503WhileItsProviderIsDown(t *testing.T) {
	t.Parallel() // it waits more than it works
	eachEngine(t, func(t *testing.T, engine string) {
		p := newOIDCProvider(t, map[string]any{"reporter": map[string]any{}})
		token := p.token(t, "reporter", "api")
		b := newBackend(t, nil)
		p.tell(t, "/test/fail?status=500")
		g := start(t, options{engine: engine, resources: withBackend(tokens, b.URL) + fmt.Sprintf(`
identityProviders: [{name: tokens, type: jwt, issuer: %q, audiences: [api], roles: [reader]}]
`, p.issuer)})
		for what, prepare := range map[string]func(){"answers 500": func() {}, "is gone": func() { p.kill() }} {
			prepare()
			begin := time.Now()
			a := g.call(t, "GET", "/api", "", bearer(token))
			a.expect(t, "the provider "+what, 503, "identity_unavailable")
			if a.header.Get("Retry-After") == "" {
				t.Errorf("%s: no Retry-After in %v", what, a.header)
			}
			if took := time.Since(begin); took > 2*time.Second {
				t.Errorf("%s: the answer took %v", what, took)
			}
			g.get(t, "bob", "/api").expect(t, what+": who needs no provider", 200, "")
		}
		if len(b.saw()) != 2 {
			t.Errorf("the backend saw %d requests", len(b.saw()))
		}
		p.begin(t)
		token = p.token(t, "reporter", "api")
		until(t, 15*time.Second, "a token of the returned provider serves", func() bool { return g.call(t, "GET", "/api", "", bearer(token)).status == 200 })
	})
}

func TestUsersFromOutsideAreMadeMatchedOrRefused(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		p := newOIDCProvider(t, map[string]any{
			"maker":  map[string]any{"preferred_username": "carol", "email": "carol@example.com", "name": "Carol Cole", "groups": []string{"staff", "unknown"}, "realm": map[string]any{"roles": []string{"reader", "admin"}}},
			"twin":   map[string]any{"preferred_username": "BOB"},
			"bob":    map[string]any{"preferred_username": "bob"},
			"mail":   map[string]any{"preferred_username": "robert", "email": "bob@example.com"},
			"linked": map[string]any{"preferred_username": "somebody-else"},
			"other":  map[string]any{"preferred_username": "dora"},
		})
		b := newBackend(t, nil)
		provider := func(name, more string) string {
			return fmt.Sprintf("  - {name: %s, type: jwt, issuer: %q, audiences: [%s]%s}\n", name, p.issuer, name, more)
		}
		g := start(t, options{engine: engine, resources: withBackend(tokens, b.URL) + "identityProviders:\n" +
			provider("jit", ", mapping: {email: email, displayName: name, groups: groups, roles: realm.roles}") + provider("match", ", provision: match") + provider("mail", ", provision: match, matchBy: email, trustEmail: true, mapping: {email: email}") + provider("off", ", provision: off") + provider("plain", ", roles: [reader]")})
		as := func(client, provider string) *answer {
			t.Helper()
			return g.call(t, "GET", "/api", "", bearer(p.token(t, client, provider)))
		}
		list := func(username string) (u struct {
			ID, Username, DisplayName string
			Emails, Groups, Roles     []string
			Active                    bool
		}) {
			t.Helper()
			g.must(t, 200, "GET", "/v2/users/"+username, "").into(t, &u)
			return u
		}

		t.Run("jit makes a user on first sight", func(t *testing.T) {
			a := as("maker", "jit")
			a.expect(t, "carol", 200, "")
			h := a.asked(t).Header
			if h.Get("X-User") != "carol" || h.Get("X-User-Email") != "carol@example.com" || h.Get("X-User-Groups") != "staff" || sorted(h.Get("X-User-Roles")) != "reader,writer" {
				t.Errorf("the backend saw %v", h)
			}
			u := list("carol")
			if u.DisplayName != "Carol Cole" || !u.Active {
				t.Errorf("made %+v", u)
			}
			g.call(t, "POST", "/api", "", bearer(p.token(t, "maker", "jit"))).expect(t, "by the group's role", 200, "")
			if got := as("maker", "jit").asked(t).Header.Get("X-User-Id"); got != u.ID {
				t.Errorf("the second token is user %q, the first was %q", got, u.ID)
			}
			decision, _ := g.eventsOf(t, a.header.Get("X-Request-Id"))
			if decision.Provider != "jit" || decision.User != "carol" {
				t.Errorf("event %+v", decision)
			}
			g.must(t, 200, "PATCH", "/v2/users/carol", `{"active":false}`)
			as("maker", "jit").expect(t, "deactivated here", 401, "credential_invalid")
			g.must(t, 204, "DELETE", "/v2/users/carol", "")
		})
		t.Run("jit takes nobody's name", func(t *testing.T) {
			as("twin", "jit").expect(t, "BOB", 401, "credential_invalid")
			as("bob", "jit").expect(t, "bob", 401, "credential_invalid")
		})
		t.Run("match links once", func(t *testing.T) {
			a := as("bob", "match")
			a.expect(t, "bob", 200, "")
			if h := a.asked(t).Header; h.Get("X-User") != "bob" {
				t.Errorf("the backend saw %v", h)
			}
			as("twin", "match").expect(t, "another subject that says it is bob", 401, "credential_invalid")
			as("other", "match").expect(t, "one whom nobody knows", 401, "credential_invalid")
		})
		t.Run("match by a trusted address", func(t *testing.T) {
			a := as("mail", "mail")
			a.expect(t, "robert", 200, "")
			if h := a.asked(t).Header; h.Get("X-User") != "bob" {
				t.Errorf("the backend saw %v", h)
			}
		})
		t.Run("off knows links alone", func(t *testing.T) {
			as("linked", "off").expect(t, "before", 401, "credential_invalid")
			g.must(t, 201, "POST", "/v2/users/linked/credentials", `{"type":"link","provider":"off","subject":"linked"}`)
			a := as("linked", "off")
			a.expect(t, "after", 200, "")
			if h := a.asked(t).Header; h.Get("X-User") != "linked" {
				t.Errorf("the backend saw %v", h)
			}
			as("bob", "off").expect(t, "one without a link", 401, "credential_invalid")
		})
		t.Run("a provider's roles are given to all", func(t *testing.T) {
			a := as("other", "plain")
			a.expect(t, "dora", 200, "")
			if h := a.asked(t).Header; h.Get("X-User") != "dora" || h.Get("X-User-Roles") != "reader" {
				t.Errorf("the backend saw %v", h)
			}
			g.must(t, 200, "PATCH", "/v2/identityProviders/plain", `{"enabled":false}`)
			as("other", "plain").expect(t, "disabled", 401, "credential_invalid")
		})
	})
}
