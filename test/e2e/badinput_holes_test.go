//go:build e2e

package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const holes = `
settings: {reverseProxyAuthentication: {enabled: true}}
services: [{name: api, targets: [{url: "BACKEND"}]}]
roles:
  - {name: admins, permissions: [{routes: ["*"], methods: ["*"]}]}
  - {name: readers, permissions: [{routes: [area], methods: [GET], paths: [/area/apps]}]}
groups: [{name: admin, roles: [admins]}, {name: non-admin-readers, roles: [readers]}]
users:
  - {username: alice, roles: [admins], credentials: [{type: password, password: alices-password}]}
  - {username: bob, groups: [non-admin-readers], credentials: [{type: password, password: bobs-password}]}
routes:
  - {name: public, paths: [/public], service: api, access: public}
  - {name: closed, paths: [/closed], service: api}
  - {name: area, paths: [/area], service: api}
  - {name: maybe, paths: [/maybe], service: api, access: optional}
  - {name: first, paths: [/first], service: api, authenticate: {anyOf: [bearer@one]}}
  - {name: second, paths: [/second], service: api, authenticate: {anyOf: [bearer@two]}}
  - {name: people, paths: [/people], service: api, access: authenticated, rules: [{name: ours, require: "user.username.endsWith('@good.com')"}]}
identityProviders:
  - {name: one, type: jwt, issuer: "https://one.example.com", audiences: [api], keyFile: one.pem, roles: [admins]}
  - {name: two, type: jwt, issuer: "https://two.example.com", audiences: [api], keyFile: two.pem, roles: [admins]}
`

// TestHolesThatOthersHadAreNone repeats attacks that have worked on products of this
// kind, by the numbers of their advisories, and judges by what the backend saw.
func TestHolesThatOthersHadAreNone(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		one, two, dir := newIssuer(t, "https://one.example.com", "k"), newIssuer(t, "https://two.example.com", "k"), t.TempDir()
		write(t, filepath.Join(dir, "one.pem"), one.pem(t))
		write(t, filepath.Join(dir, "two.pem"), two.pem(t))
		b := newBackend(t, nil)
		g := start(t, options{engine: engine, dir: dir, resources: withBackend(holes, b.URL)})
		var key struct{ Secret string }
		g.must(t, 201, "POST", "/v2/users/bob/credentials", `{"type":"apiKey","scopes":[]}`).into(t, &key)
		type attack struct {
			name, method, path string
			mods               []mod
			status             int
		}
		list := []attack{
			{"CVE-2026-40575: the URI of a header is matched", "GET", "/closed", []mod{header("X-Forwarded-Uri", "/public"), header("X-Original-Url", "/public"), header("X-Rewrite-Url", "/public")}, 401},
			{"CVE-2026-76835: the method of a header is matched", "POST", "/area/apps", []mod{user("bob"), header("X-Forwarded-Method", "GET"), header("X-Http-Method-Override", "GET")}, 403},
			{"Oathkeeper e9acca14: the scheme of a header picks a rule", "GET", "/closed", []mod{header("X-Forwarded-Proto", "http"), header("X-Forwarded-Host", "public.example.com")}, 401},
			{"CVE-2025-54576: the query counts as path", "GET", "/closed?x=/public", nil, 401},
			{"CVE-2026-25748: a cookie that is garbage", "GET", "/closed", []mod{header("Cookie", "__Host-sallyport=%%%; authentik_proxy=x")}, 401},
			{"CVE-2026-33494: dots behind a public prefix", "GET", "/public/%2e%2e/closed", nil, 400},
			{"CVE-2026-73551: a semicolon hides dots", "GET", "/public/..;/closed", nil, 400},
			{"Caddy 2d3327148: a prefix without its segment", "GET", "/area/appsecrets", []mod{user("bob")}, 403},
			{"hoop 128: a group whose name contains admin", "DELETE", "/area/apps", []mod{user("bob")}, 403},
			{"CVE-2026-33496: a token of another provider, cached", "GET", "/second", []mod{bearer(one.token("ann", nil))}, 401},
			{"CVE-2024-47616: an administrator at the proxy", "GET", "/closed", []mod{basic("admin", adminPassword)}, 401},
			{"GHSA-9g5w: bytes that are no UTF-8", "GET", "/closed", []mod{header("X-Note", "\xff\xfe")}, 401},
			{"CVE-2026-40574: two at signs", "GET", "/people", []mod{bearer(one.token(`a@good.com@evil.com`, nil))}, 403},
		}
		for _, agent := range []string{"GoogleHC/1.0", "kube-probe/1.30", "ELB-HealthChecker/2.0", "Consul Health Check"} {
			for _, path := range []string{"/closed", "/closed/ping", "/closed/healthz"} {
				list = append(list, attack{"CVE-2026-34457: a health check's name", "GET", path, []mod{header("User-Agent", agent)}, 401})
			}
		}
		for _, path := range []string{"/debug/pprof/", "/metrics", "/v2/users", "/v2/openapi.json", "/.sallyport/debug", "/.sallyport/config", "/%2esallyport/healthz"} {
			list = append(list, attack{"CVE-2022-24797: an inner door on the outside", "GET", path, nil, 404})
		}
		for _, h := range []string{"X-Forwarded-For", "X-Real-Ip", "True-Client-Ip", "Forwarded", "X-Client-Ip", "Cf-Connecting-Ip"} {
			list = append(list, attack{"GHSA-6384: an address of one's own", "GET", "/closed", []mod{header(h, "127.0.0.1")}, 401})
		}
		g.call(t, "GET", "/first", "", bearer(one.token("ann", nil))).expect(t, "the token where it belongs", 200, "")
		for name, client := range g.clients() {
			for _, a := range list {
				before := len(b.saw())
				got, err := exchange(client, a.method, g.url(a.path), "", a.mods...)
				if err != nil {
					t.Errorf("%s, %s: %v", name, a.name, err)
					continue
				}
				if got.status != a.status && !(a.status == 401 && got.status == 400) {
					t.Errorf("%s, %s (%s): %d %s, want %d", name, a.name, a.path, got.status, got.code(), a.status)
				}
				if n := len(b.saw()); n != before {
					t.Errorf("%s, %s: the backend saw %s", name, a.name, b.saw()[n-1].URI)
				}
			}
			// CVE-2026-30851: bob has no e-mail address, and can give himself none.
			a, err := exchange(client, "GET", g.url("/area/apps"), "", user("bob"), header("X-User-Email", "root@example.com"), header("Connection-X", "x"))
			if err != nil || a.status != 200 {
				t.Fatalf("%v %v", a, err)
			}
			if s := a.asked(t); s.Header.Get("X-User-Email") != "" || s.Header.Get("X-User") != "bob" {
				t.Errorf("%s: the backend was told %v", name, s.Header)
			}
			// CVE-2025-64521 and its like on an optional route: nobody is nobody.
			a, err = exchange(client, "GET", g.url("/maybe"), "", header("X-User", "alice"), header("X_User", "alice"))
			if err != nil || a.status != 200 || strings.Contains(jsonText(a.asked(t).Header), "alice") {
				t.Errorf("%s: nobody on an optional route is told to be %v %v", name, a, err)
			}
		}
		// Pomerium CVE-2024-39315: no answer shows a credential.
		for _, path := range []string{"/v2/users/bob", "/v2/export", "/v2/users/bob/credentials", "/v2/auditEvents?limit=1000", "/v2/status"} {
			body := g.must(t, 200, "GET", path, "").body
			for _, secret := range []string{"bobs-password", "alices-password", key.Secret, "$argon2id$", adminPassword} {
				if strings.Contains(body, secret) {
					t.Errorf("%s shows %q", path, secret)
				}
			}
		}
		for _, e := range g.events(t) {
			if text := jsonText(e); strings.Contains(text, key.Secret) || strings.Contains(text, "-password") {
				t.Errorf("the audit shows a credential: %s", text)
			}
		}
		// A user of the APIs at the admin API.
		for _, m := range []mod{user("alice"), header("X-API-Key", key.Secret), bearer(one.token("ann", nil))} {
			a, err := exchange(g.client, "GET", "https://"+g.admin+"/v2/users", "", m)
			if err != nil || a.status != 401 {
				t.Errorf("a user at the admin API: %v %v", a, err)
			}
		}
		// mod_auth_openidc 2026: claims that are numbers beyond all bounds.
		for _, claim := range []string{"exp", "nbf", "iat"} {
			for _, n := range []string{"1e300", "-1e300", "9223372036854775808", "1e-300"} {
				text := fmt.Sprintf(`{"iss":"https://one.example.com","aud":"api","sub":"ann","exp":%d,%q:%s}`, time.Now().Unix()+60, claim, n)
				if claim == "exp" {
					text = fmt.Sprintf(`{"iss":"https://one.example.com","aud":"api","sub":"ann","exp":%s}`, n)
				}
				a := g.call(t, "GET", "/first", "", bearer(sign("RS256", one.key, map[string]any{"kid": "k"}, text)))
				late := claim != "exp" && (n == "-1e300" || n == "1e-300") // long ago is no fault of a token
				if a.status != 401 && !late || a.status >= 500 {
					t.Errorf("%s of %s: %d %s", claim, n, a.status, a.body)
				}
			}
		}
	})
}
