//go:build e2e

package e2e

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
)

// opaqueToken is an opaque access token of a client's own.
func (p *oidcProvider) opaqueToken(t testing.TB, client, audience string, mods ...mod) string {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "resource": {"urn:opaque:" + audience}, "scope": {"read write"}}
	mods = append(mods, basic(client, client+"-secret"), header("Content-Type", "application/x-www-form-urlencoded"))
	a, err := exchange(p.client, "POST", p.issuer+"/token", form.Encode(), mods...)
	if err != nil || a.status != 200 {
		t.Fatalf("the provider issues no token: %v %+v", err, a)
	}
	var v struct {
		Token string `json:"access_token"`
	}
	a.into(t, &v)
	if v.Token == "" || strings.Contains(v.Token, ".") {
		t.Fatalf("the provider's token is not opaque: %q", v.Token)
	}
	return v.Token
}

func (p *oidcProvider) revoke(t testing.TB, client, token string) {
	t.Helper()
	a, err := exchange(p.client, "POST", p.issuer+"/token/revocation", url.Values{"token": {token}}.Encode(),
		basic(client, client+"-secret"), header("Content-Type", "application/x-www-form-urlencoded"))
	if err != nil || a.status != 200 {
		t.Fatalf("the provider revokes nothing: %v %+v", err, a)
	}
}

func (p *oidcProvider) introspections(t testing.TB) int {
	t.Helper()
	n, err := strconv.Atoi(p.tell(t, "/test/introspections"))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (p *oidcProvider) opaque(more string) string {
	return fmt.Sprintf("{name: opaque, type: introspection, endpoint: %q, issuer: %q, clientID: gw, clientSecret: gw-secret, audiences: [api], roles: [reader]%s}",
		p.issuer+"/token/introspection", p.issuer, more)
}

func TestOpaqueTokensOfARealProviderAreIntrospected(t *testing.T) {
	t.Parallel() // it waits more than it works
	eachEngine(t, func(t *testing.T, engine string) {
		p := newOIDCProvider(t, map[string]any{"gw": map[string]any{}, "reporter": map[string]any{}, "second": map[string]any{}})
		b := newBackend(t, nil)
		g := start(t, options{engine: engine, resources: withBackend(tokens, b.URL) + "\nidentityProviders: [" + p.opaque("") + "]\n"})
		token := p.opaqueToken(t, "reporter", "api")
		a := g.call(t, "GET", "/api", "", bearer(token))
		a.expect(t, "an opaque token", 200, "")
		if h := a.asked(t).Header; h.Get("X-User") != "reporter" || h.Get("X-Auth-Method") != "bearer" || h.Get("X-User-Roles") != "reader" || h.Get("Authorization") != "" {
			t.Errorf("the backend saw %v", h)
		}
		d, _ := g.eventsOf(t, a.header.Get("X-Request-Id"))
		if d.Provider != "opaque" || d.User != "reporter" {
			t.Errorf("event %+v", d)
		}
		for range 99 {
			g.call(t, "GET", "/api", "", bearer(token)).expect(t, "again", 200, "")
		}
		if n := p.introspections(t); n != 1 {
			t.Errorf("100 requests made %d questions", n)
		}
		g.call(t, "POST", "/api", "", bearer(token)).expect(t, "beyond its role", 403, "permission_denied")
		g.call(t, "GET", "/api", "", bearer(p.opaqueToken(t, "reporter", "elsewhere"))).expect(t, "a token for somebody else", 401, "credential_invalid")
		for range 100 {
			g.call(t, "GET", "/api", "", bearer("made-up-token")).expect(t, "a token that nobody issued", 401, "credential_invalid")
		}
		if n := p.introspections(t); n > 4 {
			t.Errorf("a refused token that is repeated made the provider answer %d questions in all", n)
		}
		before := p.introspections(t)
		g.call(t, "GET", "/api", "", bearer(p.token(t, "reporter", "api"))).expect(t, "a JWT, with no provider for it", 401, "credential_invalid")
		if n := p.introspections(t); n != before {
			t.Error("a JWT was sent to the introspection endpoint")
		}

		// CVE-2025-64521: a deactivated user comes in by no credential, a known answer or not.
		g.must(t, 200, "PATCH", "/v2/users/reporter", `{"active":false}`)
		g.call(t, "GET", "/api", "", bearer(token)).expect(t, "a deactivated user", 401, "credential_invalid")
		g.call(t, "GET", "/api", "", bearer(p.opaqueToken(t, "reporter", "api"))).expect(t, "a deactivated user, with a new token", 401, "credential_invalid")
		g.must(t, 200, "PATCH", "/v2/users/reporter", `{"active":true}`)

		// Revoked there, it ends here: within the thirty seconds for which an answer counts.
		short := p.opaqueToken(t, "second", "api")
		p.revoke(t, "second", short)
		g.call(t, "GET", "/api", "", bearer(short)).expect(t, "revoked before its first use", 401, "credential_invalid")
		p.revoke(t, "reporter", token)
		until(t, 32*time.Second, "a revoked token is refused", func() bool {
			a := g.call(t, "GET", "/api", "", bearer(token))
			return a.status == 401 && strings.Contains(a.body, "credential_invalid")
		})

		// Down is 503, and never a wrong credential; what needs no provider goes on.
		fresh := p.opaqueToken(t, "second", "api")
		known := p.opaqueToken(t, "second", "api")
		g.call(t, "GET", "/api", "", bearer(known)).expect(t, "known before", 200, "")
		p.tell(t, "/test/fail?status=500")
		g.call(t, "GET", "/api", "", bearer(fresh)).expect(t, "the provider answers 500", 503, "identity_unavailable")
		p.kill()
		for range 5 {
			begin := time.Now()
			a := g.call(t, "GET", "/api", "", bearer(fresh))
			a.expect(t, "the provider is gone", 503, "identity_unavailable")
			if a.header.Get("Retry-After") == "" || time.Since(begin) > 2*time.Second {
				t.Errorf("after %v with %v", time.Since(begin), a.header)
			}
		}
		g.call(t, "GET", "/api", "", bearer(known)).expect(t, "a token whose answer is known", 200, "")
		g.get(t, "bob", "/api").expect(t, "who needs no provider", 200, "")
		if st := g.must(t, 200, "GET", "/v2/status", "").body; !strings.Contains(st, `"paused":true`) || strings.Contains(st, "gw-secret") {
			t.Errorf("status: %s", st)
		}
		if x := g.must(t, 200, "GET", "/v2/export", "").body; strings.Contains(x, "gw-secret") {
			t.Error("the export shows the client secret")
		}
		p.begin(t)
		fresh = p.opaqueToken(t, "second", "api")
		until(t, 10*time.Second, "the provider is asked again", func() bool { return g.call(t, "GET", "/api", "", bearer(fresh)).status == 200 })
	})
}
