//go:build e2e

package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/verify"
)

// claimsOf reads a JWT's claims without believing them.
func claimsOf(t testing.TB, token string) (head, claims map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no JWT", token)
	}
	for i, into := range []*map[string]any{&head, &claims} {
		b, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil || json.Unmarshal(b, into) != nil {
			t.Fatalf("%q is no JWT: %v", token, err)
		}
	}
	return head, claims
}

func TestABackendVerifiesTheGatewaysAssertion(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		var verifier *verify.Verifier
		guarded := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
			verifier.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				id, _ := verify.FromContext(r.Context())
				fmt.Fprintf(w, "%s|%s|%s|%v", id.Name, strings.Join(id.Methods, ","), id.Issuer, id.Roles)
			})).ServeHTTP(w, r)
		})
		b := newBackend(t, nil)
		doc := withBackend(everyone, b.URL)
		doc = strings.Replace(doc, "services: [", `services: [{name: guarded, targets: [{url: "`+guarded.URL+`"}]}, {name: named, targets: [{url: "`+b.URL+`"}], assertion: {audience: "urn:orders", lifetime: 5m}}, `, 1)
		doc += "  - {name: guarded, paths: [/guarded], service: guarded}\n  - {name: named, paths: [/named], service: named}\n  - {name: guarded-open, paths: [/guarded/open], service: guarded, access: public}\n"
		g := start(t, options{engine: engine, resources: doc, plain: true, external: "http://127.0.0.1:1"})
		// The key set is served on the host of externalURL, which the gateway is told anew with its real port.
		g.stop(t)
		issuer := "http://" + g.proxy
		g.opt.external = issuer
		g.bootFile = write(t, filepath.Join(g.dir, "sallyport.yaml"), g.boot(t))
		g.run(t)
		var err error
		if verifier, err = verify.New(verify.Config{Issuer: issuer, Audience: "guarded",
			PolicyFile: write(t, filepath.Join(t.TempDir(), "policy.yaml"), "- {identity: alice, paths: [/guarded], methods: ['*']}\n- {identity: bob, paths: [/guarded/read], methods: [GET]}\n")}); err != nil {
			t.Fatal(err)
		}

		for _, c := range []struct {
			name, method, path string
			as                 string
			status             int
			body               string
		}{
			{"alice", "POST", "/guarded/write", "alice", 200, "alice|basic|" + issuer},
			{"bob, where the policy lets him", "GET", "/guarded/read", "bob", 200, "bob|basic|" + issuer},
			{"bob, elsewhere", "GET", "/guarded/write", "bob", 403, ""},
			{"nobody, by a route that the gateway leaves open", "GET", "/guarded/open", "", 401, ""},
		} {
			for proto, client := range map[string]*http.Client{"HTTP/1.1": g.client} {
				mods := []mod{}
				if c.as != "" {
					mods = append(mods, user(c.as))
				}
				a, err := exchange(client, c.method, g.url(c.path), "", mods...)
				if err != nil || a.status != c.status || !strings.HasPrefix(a.body, c.body) {
					t.Errorf("%s by %s: %v %+v", c.name, proto, err, a)
				}
			}
		}
		// Around the gateway there is no way in.
		token := g.get(t, "alice", "/api").asked(t).Header.Get("X-Sallyport-Assertion")
		for name, mods := range map[string][]mod{
			"nothing":                            nil,
			"a header that anybody can write":    {header("X-User", "alice")},
			"an assertion for another service":   {header("X-Sallyport-Assertion", token)},
			"a text":                             {header("X-Sallyport-Assertion", "alice")},
			"a password, which is not its to do": {user("alice")},
		} {
			if a, err := exchange(g.client, "GET", guarded.URL+"/guarded/read", "", mods...); err != nil || a.status != 401 {
				t.Errorf("around the gateway with %s: %v %+v", name, err, a)
			}
		}

		head, claims := claimsOf(t, token)
		now := float64(time.Now().Unix())
		iat, _ := claims["iat"].(float64)
		exp, _ := claims["exp"].(float64)
		if head["alg"] != "ES256" || head["kid"] == "" || claims["iss"] != issuer || claims["aud"] != "api" || claims["preferred_username"] != "alice" || fmt.Sprint(claims["amr"]) != "[basic]" ||
			claims["jti"] == nil || claims["sub"] == nil || fmt.Sprint(claims["groups"]) != "[staff]" || iat < now-5 || iat > now+5 || exp-iat > 61 || exp-iat < 30 {
			t.Errorf("assertion %v %v", head, claims)
		}
		s := g.get(t, "alice", "/api").asked(t)
		if claims["sub"] != s.Header.Get("X-User-Id") {
			t.Errorf("sub %v, X-User-Id %s", claims["sub"], s.Header.Get("X-User-Id"))
		}
		_, named := claimsOf(t, g.get(t, "alice", "/named").asked(t).Header.Get("X-Sallyport-Assertion"))
		if named["aud"] != "urn:orders" {
			t.Errorf("audience %v", named["aud"])
		}
		// The key set: public, and no private part in it.
		set := g.call(t, "GET", "/.well-known/jwks.json", "")
		if set.status != 200 || !strings.Contains(set.body, fmt.Sprint(head["kid"])) || strings.Contains(set.body, `"d"`) {
			t.Errorf("the key set: %d %s", set.status, set.body)
		}
		if other := g.call(t, "GET", "/.well-known/jwks.json", "", header("Host", "other.example")); other.status == 200 {
			t.Error("the key set is served on another host")
		}
		// Keys outlive a restart: an assertion from before it still verifies.
		fresh := g.get(t, "alice", "/api").asked(t).Header.Get("X-Sallyport-Assertion")
		g.stop(t)
		g.run(t)
		if set := g.call(t, "GET", "/.well-known/jwks.json", ""); !strings.Contains(set.body, fmt.Sprint(head["kid"])) {
			t.Errorf("after a restart the key %v is not served: %s", head["kid"], set.body)
		}
		v, err := verify.New(verify.Config{Issuer: issuer, Audience: "api"})
		if err != nil {
			t.Fatal(err)
		}
		r, _ := http.NewRequest("GET", "http://backend/", nil)
		r.Header.Set("X-Sallyport-Assertion", fresh)
		if id, err := v.Verify(r); err != nil || id.Name != "alice" {
			t.Errorf("%v %v", id, err)
		}
	})
}

func TestTheServiceSaysWhatBecomesOfCredentials(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		b := newBackend(t, nil)
		doc := withBackend(everyone, b.URL)
		doc = strings.Replace(doc, "services: [", strings.ReplaceAll(`services: [
  {name: forwarding, targets: [{url: "BACKEND"}], callerCredential: forward},
  {name: presenting, targets: [{url: "BACKEND"}], present: {header: X-Backend-Key, value: "the gateway's own secret"}},
  `, "BACKEND", b.URL), 1)
		doc += `  - {name: forwarding, paths: [/forwarding], service: forwarding}
  - {name: presenting, paths: [/presenting], service: presenting}
  - {name: presenting-open, paths: [/presenting/open], service: presenting, access: public}
  - {name: edited, paths: [/edited], service: api, access: public, edit: {request: {set: {X-Added: "one"}, remove: [X-Removed]}, response: {set: {X-Answer: "two"}, remove: [X-Backend]}}, rewrite: {stripPrefix: /edited, addPrefix: /v1}}
`
		g := start(t, options{engine: engine, resources: doc})
		var key struct{ Secret string }
		g.must(t, 201, "POST", "/v2/users/alice/credentials", `{"type":"apiKey"}`).into(t, &key)
		for name, c := range g.clients() {
			at := func(path string, mods ...mod) seen {
				t.Helper()
				a, err := exchange(c, "GET", g.url(path), "", mods...)
				if err != nil || a.status != 200 {
					t.Fatalf("%s %s: %v %+v", name, path, err, a)
				}
				return a.asked(t)
			}
			if s := at("/api", user("alice")); s.Header.Get("Authorization") != "" {
				t.Errorf("%s: strip: %v", name, s.Header)
			}
			if s := at("/api", header("X-API-Key", key.Secret)); strings.Contains(jsonText(s), key.Secret) {
				t.Errorf("%s: strip: %v", name, s.Header)
			}
			if s := at("/api", header("X-API-Key", key.Secret), header("Cookie", "mine=1; __Host-sallyport=x; __Host-sallyport-csrf=y; other=2")); strings.Contains(s.Header.Get("Cookie"), "sallyport") || !strings.Contains(s.Header.Get("Cookie"), "mine=1") || !strings.Contains(s.Header.Get("Cookie"), "other=2") {
				t.Errorf("%s: cookies: %q", name, s.Header.Get("Cookie"))
			}
			if s := at("/forwarding", user("alice")); s.Header.Get("Authorization") != basicHeader("alice").Get("Authorization") || s.Header.Get("X-User") != "alice" {
				t.Errorf("%s: forward: %v", name, s.Header)
			}
			if s := at("/forwarding", header("X-API-Key", key.Secret)); s.Header.Get("X-API-Key") != key.Secret {
				t.Errorf("%s: forward: %v", name, s.Header)
			}
			for _, path := range []string{"/presenting", "/presenting/open"} {
				s := at(path, user("alice"), header("X-Backend-Key", "mallory"), header("x_backend_key", "mallory"))
				if got := s.Header.Values("X-Backend-Key"); len(got) != 1 || got[0] != "the gateway's own secret" || strings.Contains(jsonText(s), "mallory") {
					t.Errorf("%s: present on %s: %v", name, path, s.Header)
				}
			}
			s := at("/edited/x?q", header("X-Removed", "1"), header("X-Added", "mallory"))
			if s.Header.Get("X-Added") != "one" || len(s.Header.Values("X-Added")) != 1 || s.Header.Get("X-Removed") != "" || s.URI != "/v1/x?q" {
				t.Errorf("%s: edit and rewrite: %s %v", name, s.URI, s.Header)
			}
		}
		if out := g.must(t, 200, "GET", "/v2/export", "").body; strings.Contains(out, "the gateway's own secret") || strings.Contains(out, key.Secret) || strings.Contains(out, "alices-password") {
			t.Error("the export holds secrets")
		}
		all := ""
		for _, e := range g.events(t) {
			all += jsonText(e)
		}
		if strings.Contains(all, key.Secret) || strings.Contains(all, "alices-password") || strings.Contains(all, "own secret") {
			t.Error("the audit segments hold secrets")
		}
	})
}

func TestANameIsWrittenSoThatItCannotBreakItsHeader(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		b := newBackend(t, nil)
		g := start(t, options{engine: engine, resources: withBackend(everyone, b.URL)})
		for name, want := range map[string]string{`Zoë`: "Zo%C3%AB", `a,b`: "a%2Cb", `q"q`: "q%22q", `50%`: "50%25", `plain name`: "plain name", `日本`: "%E6%97%A5%E6%9C%AC"} {
			body := jsonText(map[string]any{"username": name, "roles": []string{"writer"}, "credentials": []any{map[string]any{"type": "password", "password": "long enough 1"}}})
			if a := g.api(t, "POST", "/v2/users", body); a.status != 201 {
				t.Errorf("creating %q: %d %s", name, a.status, a.body)
				continue
			}
			for proto, c := range g.clients() {
				a, err := exchange(c, "GET", g.url("/api"), "", basic(name, "long enough 1"))
				if err != nil || a.status != 200 {
					t.Errorf("%s by %s: %v %+v", name, proto, err, a)
					continue
				}
				if got := a.asked(t).Header.Get("X-User"); got != want {
					t.Errorf("%s by %s: X-User is %q, want %q", name, proto, got, want)
				}
			}
		}
		for _, bad := range []string{"a\nb", "a\x00b", "", "a\rX-User: alice", strings.Repeat("x", 255)} {
			if a := g.api(t, "POST", "/v2/users", jsonText(map[string]any{"username": bad})); a.status != 422 {
				t.Errorf("creating %q: %d", bad, a.status)
			}
		}
		g.api(t, "POST", "/v2/users", `{"username":"ALICE"}`).expect(t, "a name that is taken, in other letters", 409, "conflict")
	})
}
