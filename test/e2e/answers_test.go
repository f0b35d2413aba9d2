//go:build e2e

package e2e

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

const refusing = `
settings: {reverseProxyAuthentication: {enabled: true}}
services:
  - {name: api, targets: [{url: "BACKEND"}]}
  - {name: dead, targets: [{url: "http://DEAD"}], timeouts: {connect: 500ms}}
  - {name: slow, targets: [{url: "BACKEND"}], timeouts: {response: 300ms}}
  - {name: garbage, targets: [{url: "GARBAGE"}]}
roles:
  - {name: read-only, permissions: [{routes: ["*"], methods: [GET]}]}
  - {name: writer, permissions: [{routes: ["*"], methods: ["*"]}]}
users:
  - {username: alice, roles: [writer], credentials: [{type: password, password: alices-password}]}
  - {username: bob, roles: [read-only], credentials: [{type: password, password: bobs-password}]}
  - {username: late, roles: [writer], expiresAt: "2020-01-01T00:00:00Z", credentials: [{type: password, password: lates-password}]}
  - {username: gone, roles: [writer], active: false, credentials: [{type: password, password: gones-password}]}
identityProviders: [{name: tokens, type: jwt, issuer: "https://idp.example.com", audiences: [api], jwksURL: "http://DEAD/jwks"}]
routes:
  - {name: api, paths: [/api], service: api, methods: [GET, POST], bodyBytes: 10}
  - {name: basic, paths: [/basic], service: api, authenticate: {anyOf: [basic]}}
  - {name: dead, paths: [/dead], service: dead, access: public}
  - {name: slow, paths: [/slow], service: slow, access: public}
  - {name: garbage, paths: [/garbage], service: garbage, access: public}
  - {name: rules, paths: [/rules], service: api, rules: [{name: office-hours, deny: "user.username == 'alice'"}]}
  - {name: open, paths: [/open], service: api, access: public}
`

// What the gateway itself says is told apart from what a backend says, and can be
// read by programs and by people.
func TestARefusalSaysWhatItIs(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/slow") {
				select {
				case <-time.After(3 * time.Second):
				case <-r.Context().Done():
				}
			}
			w.WriteHeader(404)
			_, _ = io.WriteString(w, "the backend's own")
		})
		garbage := rawBackend(t, func(c net.Conn, r *bufio.Reader) {
			_, _ = head(r)
			_, _ = io.WriteString(c, "SSH-2.0-OpenSSH_9.9\r\n\r\n")
		})
		dead := freeAddress(t)
		doc := strings.NewReplacer("DEAD", dead, "GARBAGE", garbage).Replace(withBackend(refusing, b.URL))
		g := start(t, options{engine: engine, resources: doc})
		forged := jwtPart(map[string]any{"alg": "RS256", "kid": "x"}) + "." + jwtPart(map[string]any{"iss": "https://idp.example.com", "aud": "api", "sub": "x", "exp": time.Now().Unix() + 600}) + ".AAAA"
		for _, c := range []struct {
			name, method, path, body string
			mods                     []mod
			status                   int
			code                     string
			challenges               []string
		}{
			{"no credential", "GET", "/api", "", nil, 401, "credential_missing", []string{"Basic", "ApiKey", "Bearer"}},
			{"no credential, one method", "GET", "/basic", "", nil, 401, "credential_missing", []string{"Basic"}},
			{"a wrong password", "GET", "/api", "", []mod{basic("alice", "wrong")}, 401, "credential_invalid", []string{"Basic", "ApiKey", "Bearer"}},
			{"an unknown user", "GET", "/api", "", []mod{basic("nobody", "wrong")}, 401, "credential_invalid", []string{"Basic", "ApiKey", "Bearer"}},
			{"an inactive user", "GET", "/api", "", []mod{user("gone")}, 401, "credential_invalid", nil},
			{"an expired user", "GET", "/api", "", []mod{user("late")}, 401, "credential_invalid", nil},
			{"Basic that is none", "GET", "/api", "", []mod{header("Authorization", "Basic ***")}, 401, "credential_invalid", nil},
			{"an API key that is none", "GET", "/api", "", []mod{header("X-API-Key", "sp_x")}, 401, "credential_invalid", nil},
			{"two keys", "GET", "/api", "", []mod{header("X-API-Key", "sp_x"), header("X-API-Key", "sp_y")}, 401, "credential_invalid", nil},
			{"a token while its provider is down", "GET", "/api", "", []mod{bearer(forged)}, 503, "identity_unavailable", nil},
			{"not permitted", "POST", "/api", "x", []mod{user("bob")}, 403, "permission_denied", nil},
			{"a rule", "GET", "/rules", "", []mod{user("alice")}, 403, "permission_denied", nil},
			{"no route", "GET", "/nowhere", "", []mod{user("alice")}, 404, "route_not_found", nil},
			{"another method", "DELETE", "/api", "", []mod{user("alice")}, 405, "method_not_allowed", nil},
			{"a body too large", "POST", "/api", "more than ten", []mod{user("alice")}, 413, "body_too_large", nil},
			{"an ambiguous path", "GET", "/api/a%2Fb", "", []mod{user("alice")}, 400, "path_ambiguous", nil},
			{"a dead target", "GET", "/dead", "", nil, 502, "upstream_unreachable", nil},
			{"a target that is none", "GET", "/garbage", "", nil, 502, "upstream_invalid", nil},
			{"a slow target", "GET", "/slow", "", nil, 504, "upstream_timeout", nil},
			{"a loop", "GET", "/open", "", []mod{header("Via", "1.1 LOOP")}, 508, "loop_detected", nil},
		} {
			if c.name == "a loop" {
				g.get(t, "", "/open")
				_, id, _ := strings.Cut(b.viaSeen(t), " ") // the version is that of whichever client came first
				c.mods = []mod{header("Via", "1.1 "+id)}
			}
			for proto, client := range g.clients() {
				what := c.name + " by " + proto
				a, err := exchange(client, c.method, g.url(c.path), c.body, c.mods...)
				if err != nil {
					t.Errorf("%s: %v", what, err)
					continue
				}
				if a.status != c.status || a.code() != c.code {
					t.Errorf("%s: %d %q %s, want %d %s", what, a.status, a.code(), a.body, c.status, c.code)
					continue
				}
				var p struct {
					Type, Title, Detail, Code, RequestID string
					Status                               int
				}
				a.into(t, &p)
				id := a.header.Get("X-Request-Id")
				if p.Type == "" || p.Title == "" || p.Detail == "" || p.Status != c.status || p.RequestID != id || id == "" {
					t.Errorf("%s: %s with X-Request-Id %q", what, a.body, id)
				}
				if ps := a.header.Get("Proxy-Status"); !strings.HasPrefix(ps, "sallyport; error=") || !strings.Contains(ps, `details="`+c.code+`"`) {
					t.Errorf("%s: Proxy-Status %q", what, ps)
				}
				if c.status == 401 {
					got := a.header.Values("Www-Authenticate")
					for _, want := range c.challenges {
						if !slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, want) }) {
							t.Errorf("%s: no %s challenge in %q", what, want, got)
						}
					}
					if len(got) == 0 || c.challenges != nil && len(got) != len(c.challenges) {
						t.Errorf("%s: challenges %q", what, got)
					}
				}
				if c.status == 405 && a.header.Get("Allow") != "GET, HEAD, POST" && a.header.Get("Allow") != "GET, POST" && a.header.Get("Allow") != "GET, POST, HEAD" {
					t.Errorf("%s: Allow %q", what, a.header.Get("Allow"))
				}
				if c.status == 503 && a.header.Get("Retry-After") == "" {
					t.Errorf("%s: no Retry-After", what)
				}
				if strings.Contains(a.body, b.Address) || strings.Contains(a.body, dead) || strings.Contains(a.body, "alice") {
					t.Errorf("%s: the answer tells of the inside: %s", what, a.body)
				}
				decision, completion := g.eventsOf(t, id)
				if decision.Code != c.code && completion.Code != c.code || completion.Status != c.status {
					t.Errorf("%s: events %+v and %+v", what, decision, completion)
				}
			}
		}
		// Wrong passwords and unknown names cannot be told apart by the answer.
		wrong, unknown := g.call(t, "GET", "/api", "", basic("alice", "wrong")), g.call(t, "GET", "/api", "", basic("nobody", "wrong"))
		strip := func(a *answer) string { return strings.ReplaceAll(a.body, a.header.Get("X-Request-Id"), "") }
		if strip(wrong) != strip(unknown) {
			t.Errorf("%s and %s", wrong.body, unknown.body)
		}
		// A backend's own refusal is the backend's.
		a := g.get(t, "", "/open")
		if a.status != 404 || a.body != "the backend's own" || a.header.Get("Proxy-Status") != "" || a.code() != "" {
			t.Errorf("the backend's own 404: %d %q %v", a.status, a.body, a.header)
		}

		t.Run("browsers that navigate get a page", func(t *testing.T) {
			accept := header("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
			page := g.get(t, "", "/api", accept, header("Sec-Fetch-Mode", "navigate"), header("Sec-Fetch-Dest", "document"))
			if page.status != 401 || !strings.HasPrefix(page.header.Get("Content-Type"), "text/html") || !strings.Contains(page.body, "credential_missing") || !strings.Contains(page.body, page.header.Get("X-Request-Id")) || page.header.Get("Www-Authenticate") == "" {
				t.Errorf("%d %v %s", page.status, page.header, page.body)
			}
			for name, mods := range map[string][]mod{
				"fetch":            {accept, header("Sec-Fetch-Mode", "cors")},
				"XMLHttpRequest":   {accept, header("X-Requested-With", "XMLHttpRequest")},
				"an image":         {accept, header("Sec-Fetch-Mode", "no-cors"), header("Sec-Fetch-Dest", "image")},
				"curl":             {header("Accept", "*/*")},
				"a client of JSON": {header("Accept", "application/json")},
			} {
				if a := g.get(t, "", "/api", mods...); a.code() != "credential_missing" {
					t.Errorf("%s gets %s", name, a.header.Get("Content-Type"))
				}
			}
			// Nothing of the request is markup in the page.
			evil := g.get(t, "", "/nowhere/%3Cscript%3Ealert(1)%3C/script%3E?<script>alert(1)</script>", accept)
			if strings.Contains(evil.body, "<script>alert") {
				t.Errorf("markup of the request is in the page: %s", evil.body)
			}
		})
	})
}

// viaSeen is how the gateway names itself to the backend.
func (b *backend) viaSeen(t testing.TB) string {
	t.Helper()
	for _, line := range strings.Split(string(b.bytes()), "\r\n") {
		if v, ok := strings.CutPrefix(line, "Via: "); ok {
			return v
		}
	}
	t.Fatal("the gateway does not name itself in Via")
	return ""
}
