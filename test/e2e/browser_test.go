//go:build e2e

package e2e

import (
	"net/http"
	"strings"
	"testing"
)

const pages = `
settings: {reverseProxyAuthentication: {enabled: true}}
services: [{name: api, targets: [{url: "BACKEND"}]}]
roles:
  - {name: read-only, permissions: [{routes: ["*"], methods: [GET]}]}
  - {name: writer, permissions: [{routes: ["*"], methods: ["*"]}]}
users:
  - {username: alice, roles: [writer], credentials: [{type: password, password: alices-password}]}
  - {username: bob, roles: [read-only], credentials: [{type: password, password: bobs-password}]}
routes:
  - {name: api, paths: [/api], service: api}
  - {name: shared, paths: [/shared], service: api, cors: {origins: ["https://app.example.com", "http://localhost:3000"], methods: [GET, PUT], headers: [Content-Type, X-CSRF-Token, Authorization], credentials: true, maxAge: 5m}}
  - {name: world, paths: [/world], service: api, methods: [GET, POST], access: public, cors: {origins: ["*"], methods: ["*"], headers: ["*"]}}
  - {name: open, paths: [/open], service: api, access: public}
`

func TestPreflightsAreAnsweredFromTheRoute(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Access-Control-Allow-Origin", "*") // the backend's own idea, which the gateway's replaces
			w.Header().Set("Access-Control-Allow-Credentials", "true")
		})
		g := start(t, options{engine: engine, resources: withBackend(pages, b.URL)})
		preflight := func(path, origin, method, headers string) *answer {
			t.Helper()
			mods := []mod{header("Origin", origin), header("Access-Control-Request-Method", method), header("Sec-Fetch-Mode", "cors")}
			if headers != "" {
				mods = append(mods, header("Access-Control-Request-Headers", headers))
			}
			return g.call(t, "OPTIONS", path, "", mods...)
		}
		for _, c := range []struct {
			name, path, origin, method, headers string
			allowed                             bool
		}{
			{"a listed origin", "/shared", "https://app.example.com", "PUT", "content-type, x-csrf-token", true},
			{"another listed origin", "/shared", "http://localhost:3000", "GET", "", true},
			{"an origin that is not listed", "/shared", "https://evil.example", "PUT", "", false},
			{"an origin that begins alike", "/shared", "https://app.example.com.evil.example", "PUT", "", false},
			{"an origin of another scheme", "/shared", "http://app.example.com", "PUT", "", false},
			{"no origin", "/shared", "null", "PUT", "", false},
			{"any origin where the world may", "/world", "https://evil.example", "POST", "x-anything", true},
		} {
			a := preflight(c.path, c.origin, c.method, c.headers)
			origin := a.header.Get("Access-Control-Allow-Origin")
			if c.allowed != (origin == c.origin || origin == "*") {
				t.Errorf("%s: %d %v", c.name, a.status, a.header)
			}
			if c.allowed && (a.status/100 != 2 || a.header.Get("Access-Control-Allow-Methods") == "") {
				t.Errorf("%s: %d %v", c.name, a.status, a.header)
			}
			if c.path == "/shared" && c.allowed && (a.header.Get("Access-Control-Allow-Credentials") != "true" || a.header.Get("Access-Control-Max-Age") != "300" || !strings.Contains(strings.Join(a.header.Values("Vary"), ","), "Origin")) {
				t.Errorf("%s: %v", c.name, a.header)
			}
			if c.path == "/world" && a.header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s: credentials for the world: %v", c.name, a.header)
			}
		}
		if a := preflight("/shared", "https://app.example.com", "DELETE", ""); strings.Contains(a.header.Get("Access-Control-Allow-Methods"), "DELETE") {
			t.Errorf("a method that is not listed: %v", a.header)
		}
		if n := len(b.saw()); n != 0 {
			t.Errorf("the backend saw %d preflights", n)
		}
		// The answer itself.
		a := g.get(t, "bob", "/shared", header("Origin", "https://app.example.com"))
		if a.status != 200 || strings.Join(a.header.Values("Access-Control-Allow-Origin"), "|") != "https://app.example.com" || a.header.Get("Access-Control-Allow-Credentials") != "true" {
			t.Errorf("a cross-origin answer: %d %v", a.status, a.header)
		}
		a = g.get(t, "bob", "/shared", header("Origin", "https://evil.example"))
		if o := a.header.Get("Access-Control-Allow-Origin"); o != "" {
			t.Errorf("an answer for a foreign origin allows %q", o)
		}
		// Refusals can be read by the page that asked, too.
		a = g.get(t, "", "/shared", header("Origin", "https://app.example.com"))
		if a.status != 401 || a.header.Get("Access-Control-Allow-Origin") != "https://app.example.com" {
			t.Errorf("a refusal: %d %v", a.status, a.header)
		}
		// Without that setting OPTIONS is an ordinary request.
		preflight("/api", "https://app.example.com", "PUT", "").expect(t, "a route without cors", 401, "credential_missing")
		a = g.call(t, "OPTIONS", "/open", "", header("Origin", "https://app.example.com"), header("Access-Control-Request-Method", "PUT"))
		if a.status != 200 || a.header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("the backend's own CORS: %d %v", a.status, a.header)
		}
	})
}

func TestAnotherSiteCannotUseABrowsersCredential(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		b := newBackend(t, nil)
		g := start(t, options{engine: engine, resources: withBackend(pages, b.URL)})
		own := "https://" + g.proxy
		// A browser is given its token on the first authenticated answer.
		a := g.get(t, "alice", "/api", header("Sec-Fetch-Site", "none"), header("Sec-Fetch-Mode", "navigate"))
		set := a.header.Get("Set-Cookie")
		cookie, attributes, _ := strings.Cut(set, ";")
		name, token, _ := strings.Cut(cookie, "=")
		if name != "__Host-sallyport-csrf" || len(token) < 32 || !strings.Contains(attributes, "Secure") || !strings.Contains(attributes, "SameSite") || strings.Contains(attributes, "HttpOnly") || strings.Contains(attributes, "Domain") {
			t.Fatalf("Set-Cookie: %q", set)
		}
		if again := g.get(t, "alice", "/api", header("Sec-Fetch-Site", "none"), header("Cookie", cookie)); again.header.Get("Set-Cookie") != "" {
			t.Errorf("a browser that has the token is given another: %q", again.header.Get("Set-Cookie"))
		}
		if curl := g.get(t, "alice", "/api"); curl.header.Get("Set-Cookie") != "" {
			t.Error("curl is given a cookie")
		}
		bobs, _, _ := strings.Cut(g.get(t, "bob", "/api", header("Sec-Fetch-Site", "none")).header.Get("Set-Cookie"), ";")
		if bobs == cookie || bobs == "" {
			t.Errorf("bob's token is %q, alice's %q", bobs, cookie)
		}
		browser := func(origin string, more ...mod) []mod {
			m := []mod{user("alice")}
			if origin != "" {
				m = append(m, header("Origin", origin))
			}
			return append(m, more...)
		}
		for _, c := range []struct {
			name   string
			mods   []mod
			path   string
			status int
			code   string
		}{
			{"curl", browser(""), "/api", 200, ""},
			{"the own page, with the token in header and cookie", browser(own, header("Cookie", cookie), header("X-CSRF-Token", token)), "/api", 200, ""},
			{"the own page, without the token", browser(own), "/api", 403, "csrf_failed"},
			{"the own page, with the cookie alone", browser(own, header("Cookie", cookie)), "/api", 403, "csrf_failed"},
			{"the own page, with the header alone", browser(own, header("X-CSRF-Token", token)), "/api", 403, "csrf_failed"},
			{"the own page, with a pair of its own making", browser(own, header("Cookie", "__Host-sallyport-csrf=x"), header("X-CSRF-Token", "x")), "/api", 403, "csrf_failed"},
			{"the own page, with bob's pair", browser(own, header("Cookie", bobs), header("X-CSRF-Token", strings.SplitN(bobs, "=", 2)[1])), "/api", 403, "csrf_failed"},
			{"another site, with the token", browser("https://evil.example", header("Cookie", cookie), header("X-CSRF-Token", token)), "/api", 403, "origin_refused"},
			{"another site, without Origin", browser("", header("Sec-Fetch-Site", "cross-site")), "/api", 403, "origin_refused"},
			{"a neighbour", browser("", header("Sec-Fetch-Site", "same-site")), "/api", 403, "origin_refused"},
			{"another site by Referer", browser("", header("Referer", "https://evil.example/x")), "/api", 403, "origin_refused"},
			{"a form without Origin, with a cookie", browser("", header("Cookie", "a=b")), "/api", 403, "csrf_failed"},
			{"a listed origin, with the token", browser("https://app.example.com", header("Cookie", cookie), header("X-CSRF-Token", token)), "/shared", 200, ""},
			{"a listed origin, without the token", browser("https://app.example.com"), "/shared", 403, "csrf_failed"},
			{"a public route", []mod{header("Origin", "https://evil.example")}, "/open", 200, ""},
		} {
			b.forget()
			a := g.call(t, "POST", c.path, "x=1", c.mods...)
			a.expect(t, c.name, c.status, c.code)
			if saw := b.saw(); (c.status == 200) != (len(saw) == 1) {
				t.Errorf("%s: the backend saw %d requests", c.name, len(saw))
			} else if len(saw) == 1 && strings.Contains(jsonText(saw[0].Header), "sallyport-csrf") {
				t.Errorf("%s: the gateway's cookie reached the backend: %v", c.name, saw[0].Header)
			}
		}
		// What a browser never sends by itself needs no token.
		var key struct{ Secret string }
		g.must(t, 201, "POST", "/v2/users/alice/credentials", `{"type":"apiKey"}`).into(t, &key)
		g.call(t, "POST", "/api", "x", header("X-API-Key", key.Secret), header("Origin", "https://evil.example")).expect(t, "an API key", 200, "")
		g.must(t, 200, "PUT", "/v2/config/reverseProxyAuthentication", `{"enabled":true,"csrfProtectionDisabled":true}`)
		g.call(t, "POST", "/api", "x", browser("https://evil.example")...).expect(t, "switched off", 200, "")
	})
}

func TestABackendCannotSetTheGatewaysCookies(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Add("Set-Cookie", "__Host-sallyport-csrf=mallory; Path=/; Secure")
			w.Header().Add("Set-Cookie", "__Host-sallyport=mallory; Path=/; Secure")
			w.Header().Add("Set-Cookie", "  __Host-sallyport=mallory")
			w.Header().Add("Set-Cookie", "mine=1; Path=/")
			w.Header().Add("Set-Cookie", "second=2")
		})
		g := start(t, options{engine: engine, resources: withBackend(pages, b.URL)})
		for name, c := range g.clients() {
			for _, path := range []string{"/api", "/open"} {
				a, err := exchange(c, "GET", g.url(path), "", user("alice"))
				if err != nil {
					t.Fatal(err)
				}
				got := a.header.Values("Set-Cookie")
				if strings.Contains(strings.Join(got, " "), "mallory") || len(got) != 2 {
					t.Errorf("%s %s: %q", name, path, got)
				}
			}
		}
	})
}
