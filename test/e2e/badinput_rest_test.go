//go:build e2e

package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

// restCase is a call of the admin API that must be refused, and with what.
type restCase struct {
	name, method, path, body string
	mods                     []mod
	status                   int
	code                     string
	fault                    string // the path of one of the faults
}

func typed(kind string) mod {
	return func(r *http.Request) { r.Header.Set("Content-Type", kind) }
}

func restCases() []restCase {
	deep := func(open, shut string, n int) string { return strings.Repeat(open, n) + strings.Repeat(shut, n) }
	list := []restCase{
		{name: "no JSON", method: "POST", path: "/v2/users", body: "username: x", status: 400},
		{name: "half a JSON", method: "POST", path: "/v2/users", body: `{"username":"x"`, status: 400},
		{name: "two JSON texts", method: "POST", path: "/v2/users", body: `{"username":"x"}{"username":"y"}`, status: 400},
		{name: "a list", method: "POST", path: "/v2/users", body: `[]`, status: 422},
		{name: "null", method: "POST", path: "/v2/users", body: `null`, status: 422},
		{name: "a number", method: "PUT", path: "/v2/users/x", body: `7`, status: 422},
		{name: "nothing", method: "POST", path: "/v2/users", body: "", status: 400},
		{name: "a byte order mark", method: "POST", path: "/v2/users", body: "\ufeff{}", status: 400},
		{name: "bytes that are no UTF-8", method: "POST", path: "/v2/users", body: "{\"username\":\"\xff\xfe\"}", status: 400},
		{name: "half a surrogate pair", method: "POST", path: "/v2/users", body: `{"username":"x\ud800"}`, status: 400},
		{name: "a NUL in a name", method: "POST", path: "/v2/users", body: `{"username":"x\u0000"}`, status: 422, fault: "username"},
		{name: "a field twice", method: "POST", path: "/v2/users", body: `{"username":"x","username":"y"}`, status: 400},
		{name: "a field twice in other letters", method: "POST", path: "/v2/users", body: `{"username":"x","Username":"y"}`, status: 422, fault: "Username"},
		{name: "an unknown field", method: "POST", path: "/v2/users", body: `{"username":"x","admin":true}`, status: 422, fault: "admin"},
		{name: "an unknown field deep inside", method: "PUT", path: "/v2/services/x", body: `{"name":"x","targets":[{"url":"http://127.0.0.1:9","wieght":3}]}`, status: 422, fault: "targets[0].wieght"},
		{name: "a field of a later version", method: "PUT", path: "/v2/routes/api", body: `{"name":"api","paths":["/api"],"service":"api","limits":["x"]}`, status: 422, fault: "limits"},
		{name: "a text for a list", method: "POST", path: "/v2/users", body: `{"username":"x","roles":"writer"}`, status: 422, fault: "roles"},
		{name: "a text for a truth", method: "POST", path: "/v2/users", body: `{"username":"x","active":"yes"}`, status: 422, fault: "active"},
		{name: "a number that is too large", method: "PUT", path: "/v2/services/x", body: `{"name":"x","targets":[{"url":"http://127.0.0.1:9"}],"retries":1e99}`, status: 422, fault: "retries"},
		{name: "a deep list", method: "POST", path: "/v2/users", body: deep("[", "]", 100_000), status: 400},
		{name: "a deep object", method: "POST", path: "/v2/apply", body: deep(`{"users":`, "}", 50_000), status: 400},
		{name: "a long body", method: "POST", path: "/v2/users", body: `{"username":"` + strings.Repeat("x", 40<<20) + `"}`, status: 413},
		{name: "many faults, all of them", method: "PUT", path: "/v2/routes/x", body: `{"name":"x","paths":["nopath"],"service":"nobody","access":"perhaps","methods":["G ET"]}`, status: 422, fault: "access"},
		{name: "a route to an unknown service", method: "PUT", path: "/v2/routes/x", body: `{"name":"x","paths":["/x"],"service":"nobody"}`, status: 422, fault: "service"},
		{name: "a route that shadows another", method: "PUT", path: "/v2/routes/x", body: `{"name":"x","paths":["/api"],"service":"api"}`, status: 422},
		{name: "a regex that does not end", method: "PUT", path: "/v2/routes/x", body: `{"name":"x","paths":["~^/(x$"],"service":"api"}`, status: 422, fault: "paths[0]"},
		{name: "a regex without anchors", method: "PUT", path: "/v2/routes/x", body: `{"name":"x","paths":["~/x"],"service":"api"}`, status: 422, fault: "paths[0]"}, // CVE-2025-54576
		{name: "a condition that is no CEL", method: "PUT", path: "/v2/routes/x", body: `{"name":"x","paths":["/x"],"service":"api","rules":[{"name":"r","deny":"user.("}]}`, status: 422, fault: "rules[0].deny"},
		{name: "a name in other letters", method: "PUT", path: "/v2/routes/X", body: `{"name":"X","paths":["/x"],"service":"api"}`, status: 422, fault: "name"},
		{name: "a name that is not the path's", method: "PUT", path: "/v2/routes/x", body: `{"name":"y","paths":["/x"],"service":"api"}`, status: 422, fault: "name"},
		{name: "a target that is a file", method: "PUT", path: "/v2/services/x", body: `{"name":"x","targets":[{"url":"file:///etc/passwd"}]}`, status: 422, fault: "targets[0].url"},
		{name: "a service that routes need", method: "DELETE", path: "/v2/services/api", status: 409},
		{name: "a reference to a secret", method: "PUT", path: "/v2/services/x", body: `{"name":"x","targets":[{"url":"http://127.0.0.1:9"}],"present":{"header":"X-Key","value":"${env:HOME}"}}`, status: 422},
		{name: "a header that is no header", method: "PUT", path: "/v2/config/reverseProxyAuthentication", body: `{"enabled":true,"usernameHeader":"X User"}`, status: 422, fault: "usernameHeader"},
		{name: "a header that frames", method: "PUT", path: "/v2/config/reverseProxyAuthentication", body: `{"enabled":true,"usernameHeader":"Content_Length"}`, status: 422, fault: "usernameHeader"},
		{name: "a logout elsewhere", method: "PUT", path: "/v2/config/reverseProxyAuthentication", body: `{"enabled":true,"logoutUrl":"http://example.com"}`, status: 422, fault: "logoutUrl"},
		{name: "a logout that runs", method: "PUT", path: "/v2/config/reverseProxyAuthentication", body: `{"enabled":true,"logoutUrl":"javascript:alert(1)"}`, status: 422, fault: "logoutUrl"},
		{name: "a username that exists in other letters", method: "POST", path: "/v2/users", body: `{"username":"ALICE"}`, status: 409},
		{name: "a password and a hash", method: "POST", path: "/v2/users", body: `{"username":"x","credentials":[{"type":"password","password":"a long enough one","hash":"$argon2id$v=19$m=8,t=1,p=1$YWFhYWFhYWE$YWFhYWFhYWE"}]}`, status: 422, fault: "credentials[0]"},
		{name: "a hash that takes all memory", method: "POST", path: "/v2/users", body: `{"username":"x","credentials":[{"type":"password","hash":"$argon2id$v=19$m=4294967295,t=4294967295,p=255$YWFhYWFhYWE$YWFhYWFhYWE"}]}`, status: 422, fault: "credentials[0].hash"},
		{name: "a credential of a later version", method: "POST", path: "/v2/users/bob/credentials", body: `{"type":"clientSecret"}`, status: 422, fault: "type"},
		{name: "a credential of nobody", method: "POST", path: "/v2/users/nobody/credentials", body: `{"type":"apiKey"}`, status: 404},
		{name: "an expiry that is no time", method: "PATCH", path: "/v2/users/bob", body: `{"expiresAt":"tomorrow"}`, status: 422, fault: "expiresAt"},
		{name: "the last administrator", method: "DELETE", path: "/v2/administrators/admin", status: 409},
		{name: "the last administrator's role", method: "PATCH", path: "/v2/administrators/admin", body: `{"roles":["auditor"]}`, status: 409},
		{name: "no object", method: "GET", path: "/v2/users/nobody", status: 404, code: "not_found"},
		{name: "a name that is a path", method: "GET", path: "/v2/users/..%2fadministrators%2fadmin", status: 404},
		{name: "dots for a name", method: "GET", path: "/v2/users/%2e%2e", status: 404},
		{name: "a collection that does not exist", method: "GET", path: "/v2/secrets", status: 404},
		{name: "one of a later version", method: "GET", path: "/v2/directories", status: 404},
		{name: "another version", method: "GET", path: "/v3/users", status: 404},
		{name: "a method that is none here", method: "TRACE", path: "/v2/users", status: 405},
		{name: "a DELETE of a collection", method: "DELETE", path: "/v2/users", status: 405},
		{name: "a limit that is no number", method: "GET", path: "/v2/users?limit=many", status: 422},
		{name: "a limit below none", method: "GET", path: "/v2/users?limit=-1", status: 422},
		{name: "a cursor of one's own", method: "GET", path: "/v2/users?cursor=AAAA", status: 422},
		{name: "a filter that does not end", method: "GET", path: "/v2/users?filter=" + "username%20eq%20%22", status: 422},
		{name: "a filter that injects", method: "GET", path: "/v2/users?filter=username%20eq%20%27x%27%20OR%201%3D1%20--", status: 422},
		{name: "an order by nothing that is", method: "GET", path: "/v2/users?sort=password", status: 422},
		{name: "a revision that is no number", method: "GET", path: "/v2/revisions/x", status: 404},
		{name: "a revision of the future", method: "POST", path: "/v2/revisions/99999/rollback", status: 404},
		{name: "an If-Match that is another's", method: "PATCH", path: "/v2/users/bob", body: `{"displayName":"x"}`, mods: []mod{header("If-Match", `"1234"`)}, status: 412, code: "precondition_failed"},
		{name: "an If-Match that is none", method: "PATCH", path: "/v2/users/bob", body: `{"displayName":"x"}`, mods: []mod{header("If-Match", `W/`)}, status: 412},
		{name: "a form", method: "POST", path: "/v2/users", body: "username=x", mods: []mod{typed("application/x-www-form-urlencoded")}, status: 415, code: "unsupported_media_type"},
		{name: "a text that a browser may send", method: "POST", path: "/v2/users", body: `{"username":"x"}`, mods: []mod{typed("text/plain")}, status: 415},
		{name: "no type", method: "POST", path: "/v2/users", body: `{"username":"x"}`, mods: []mod{func(r *http.Request) { r.Header.Del("Content-Type") }}, status: 415},
		{name: "another site", method: "POST", path: "/v2/users", body: `{"username":"x"}`, mods: []mod{header("Origin", "https://evil.example"), header("Sec-Fetch-Site", "cross-site")}, status: 403},
		{name: "nobody", method: "GET", path: "/v2/users", mods: []mod{func(r *http.Request) { r.Header.Del("Authorization") }}, status: 401},
		{name: "a proxy user", method: "GET", path: "/v2/users", mods: []mod{user("alice")}, status: 401},
		{name: "an explanation of no URL", method: "POST", path: "/v2/explain", body: `{"method":"GET"}`, status: 422, fault: "url"},
		{name: "an explanation for nobody", method: "POST", path: "/v2/explain", body: `{"method":"GET","url":"/api","user":"nobody"}`, status: 422},
		{name: "a document of which one part is wrong", method: "POST", path: "/v2/apply", body: `{"users":[{"username":"one"},{"username":"two","roles":["emperor"]}]}`, status: 422, fault: "users[1].roles"},
		{name: "a document with a policy test that fails", method: "POST", path: "/v2/apply", body: `{"expect":[{"as":"bob","request":"POST /api","then":"allowed"}]}`, status: 422, fault: "expect[0]"},
		{name: "a patch that is a list", method: "PATCH", path: "/v2/routes/api", body: `[{"op":"remove"}]`, status: 422},
	}
	return list
}

// state is all that the gateway would give away, for comparison.
func (g *gateway) state(t testing.TB) string {
	t.Helper()
	return g.must(t, 200, "GET", "/v2/export", "").body
}

func TestWhatTheAdminAPICannotTakeIsRefusedAndChangesNothing(t *testing.T) {
	b := newLedger(t, nil)
	g := start(t, options{resources: withBackend(everyone, b.URL)})
	before := g.state(t)
	for _, c := range restCases() {
		begin := time.Now()
		a, err := exchange(g.client, c.method, "https://"+g.admin+c.path, c.body,
			append([]mod{basic("admin", adminPassword), header("Content-Type", "application/json")}, c.mods...)...)
		if err != nil {
			if c.status != 413 { // the gateway may close while the body is still coming
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if a.status != c.status && !(c.status == 400 && a.status == 422) && !(c.status == 422 && a.status == 400) || c.code != "" && a.code() != c.code {
			t.Errorf("%s: %d %s, want %d %s: %s", c.name, a.status, a.code(), c.status, c.code, tail(a.body, 400))
			continue
		}
		if a.code() == "" {
			t.Errorf("%s: %d is no problem document: %s", c.name, a.status, tail(a.body, 200))
		}
		if c.fault != "" {
			var p struct {
				Errors []struct{ Path, Message string }
			}
			a.into(t, &p)
			found := false
			for _, e := range p.Errors {
				found = found || strings.HasSuffix(e.Path, c.fault) || strings.HasPrefix(e.Path, c.fault)
			}
			if !found {
				t.Errorf("%s: no fault at %s: %s", c.name, c.fault, tail(a.body, 600))
			}
		}
		within(t, c.name, time.Since(begin), 3*time.Second)
	}
	if after := g.state(t); after != before {
		t.Errorf("something was changed:\n%s\n%s", before, after)
	}
	g.get(t, "alice", "/api").expect(t, "the next request", 200, "")
}

// TestFieldsOfTheDocumentsAreReadStrictlyInYAMLToo applies the same by the command line.
func TestFieldsOfTheDocumentsAreReadStrictlyInYAMLToo(t *testing.T) {
	g := start(t, options{resources: withBackend(everyone, newLedger(t, nil).URL)})
	before := g.state(t)
	for name, c := range map[string][2]string{
		"an unknown field":              {"users:\n  - username: x\n    admin: true\n", ":3: "},
		"a tab":                         {"users:\n\t- username: x\n", ":2: "},
		"a field twice":                 {"users:\n  - username: x\n    username: y\n", ":3: "},
		"a route to an unknown service": {"routes:\n  - name: x\n    paths: [/x]\n    service: nobody\n", "nobody"},
		"another kind of document":      {"apiVersion: v1\nkind: Pod\n", ":1: "},
	} {
		file := write(t, t.TempDir()+"/x.yaml", c[0])
		out, code := runProgram(t, 20*time.Second, []string{"SALLYPORT_SERVER=https://" + g.admin, "SALLYPORT_USER=admin", "SALLYPORT_PASSWORD=" + adminPassword}, binary(t),
			"apply", "--ca", g.dir+"/data/tls/ca.crt", file)
		if code != 1 || !strings.Contains(out, c[1]) {
			t.Errorf("%s: exit %d: %s", name, code, out)
		}
	}
	if after := g.state(t); after != before {
		t.Error("something was changed")
	}
}

// mutate changes one thing in a JSON value at random.
func mutate(v any, d *dice) any {
	odd := []any{nil, true, -1, 1e300, "", "x", "\u0000", strings.Repeat("x", 300), "${env:HOME}", "../..", []any{}, []any{nil}, map[string]any{}, map[string]any{"x": 1}, "http://127.0.0.1:9", "~^/(", "*", "/"}
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 || d.n(4) == 0 {
			v[[]string{"x", "", "name", "Name", "__proto__", "enabled"}[d.n(6)]] = odd[d.n(len(odd))]
			return v
		}
		n := d.n(len(v))
		for k := range v {
			if n--; n < 0 {
				switch d.n(4) {
				case 0:
					delete(v, k)
				case 1:
					v[k] = odd[d.n(len(odd))]
				default:
					v[k] = mutate(v[k], d)
				}
				return v
			}
		}
	case []any:
		if len(v) == 0 || d.n(4) == 0 {
			return append(v, odd[d.n(len(odd))])
		}
		i := d.n(len(v))
		v[i] = mutate(v[i], d)
		return v
	}
	return odd[d.n(len(odd))]
}

// TestNoDocumentBringsTheAdminAPIDown sends documents that are nearly right.
func TestNoDocumentBringsTheAdminAPIDown(t *testing.T) {
	d := seeded(t)
	b := newLedger(t, nil)
	g := start(t, options{resources: withBackend(everyone, b.URL)})
	good := map[string]string{
		"/v2/services/s":                        `{"name":"s","targets":[{"url":"http://127.0.0.1:9","weight":2}],"balance":"hash","protocol":"http1","health":{"path":"/h"},"timeouts":{"connect":"1s","response":"2s"},"retries":2,"present":{"header":"X-Key","value":"v"},"assertion":{"audience":"a","lifetime":"30s"}}`,
		"/v2/routes/r":                          `{"name":"r","hosts":["r.example.com"],"paths":["/r","=/x","~^/y/[0-9]+$"],"methods":["GET"],"headers":{"X-A":"b"},"service":"api","rewrite":{"stripPrefix":"/r","addPrefix":"/q"},"edit":{"request":{"set":{"X-B":"c"},"remove":["X-C"]}},"authenticate":{"anyOf":["basic",{"allOf":["apiKey","basic"]}]},"access":"permitted","rules":[{"name":"n","require":"user.username != ''"}],"cors":{"origins":["https://a.example.com"],"maxAge":"1m"},"bodyBytes":"1MiB","mode":"report"}`,
		"/v2/roles/o":                           `{"name":"o","permissions":[{"routes":["*"],"methods":["GET"],"paths":["/x"],"when":"request.method == 'GET'"}]}`,
		"/v2/groups/g":                          `{"name":"g","roles":["writer"]}`,
		"/v2/users/u":                           `{"username":"u","kind":"service","displayName":"U","emails":["u@example.com"],"active":true,"expiresAt":"2099-01-01T00:00:00Z","groups":["staff"],"roles":["writer"],"credentials":[{"type":"password","password":"a good long password"}]}`,
		"/v2/identityProviders/i":               `{"name":"i","type":"jwt","issuer":"https://i.example.com","audiences":["a"],"jwksURL":"http://127.0.0.1:9/k","algorithms":["RS256"],"mapping":{"username":"sub","groups":"= claims.groups"},"provision":"jit","roles":["writer"]}`,
		"/v2/administrators/a":                  `{"name":"a","roles":["auditor"],"active":true,"credentials":[{"type":"password","password":"a good long password"}]}`,
		"/v2/config/identityHeaders":            `{"email":"X-Mail","alsoStrip":["X-Foo"]}`,
		"/v2/config/reverseProxyAuthentication": `{"enabled":true,"usernameHeader":"X-User","logoutUrl":"/bye"}`,
		"/v2/apply":                             `{"services":[{"name":"p","targets":[{"url":"http://127.0.0.1:9"}]}],"routes":[{"name":"p","paths":["/p"],"service":"p"}],"users":[{"username":"p"}],"expect":[{"as":"bob","request":"POST /api","then":"permission_denied"}]}`,
		"/v2/explain":                           `{"method":"POST","url":"/api?x=1","headers":{"X-A":"b"},"clientIP":"192.0.2.1","user":"bob"}`,
	}
	paths := make([]string, 0, len(good))
	for p := range good {
		paths = append(paths, p)
	}
	taken, refused := 0, 0
	for i := range counts(400, 6000) {
		path := paths[i%len(paths)]
		var v any
		if err := json.Unmarshal([]byte(good[path]), &v); err != nil {
			t.Fatal(err)
		}
		for range 1 + d.n(3) {
			v = mutate(v, d)
		}
		method := "PUT"
		if path == "/v2/apply" || path == "/v2/explain" {
			method = "POST"
		} else if d.n(3) == 0 {
			method = "PATCH"
		}
		body := jsonText(v)
		if d.n(10) == 0 && len(body) > 2 {
			cut := d.n(len(body))
			body = body[:cut] + string(rune(d.n(256))) + body[cut+1:]
		}
		begin := time.Now()
		a := g.api(t, method, path, body)
		switch a.status / 100 {
		case 2:
			taken++
		case 4:
			refused++
			if a.code() == "" {
				t.Errorf("%s %s %s: %d is no problem document", method, path, body, a.status)
			}
		default:
			t.Errorf("%s %s %s: %d %s", method, path, body, a.status, a.body)
		}
		within(t, method+" "+path+" "+body, time.Since(begin), 2*time.Second)
		if i%20 == 0 {
			for _, p := range []string{"/v2/routes/r", "/v2/identityProviders/i", "/v2/config/identityHeaders", "/v2/routes/p"} {
				g.api(t, "DELETE", p, "") // so that what was taken does not stand in the way
			}
			g.must(t, 200, "PUT", "/v2/config/reverseProxyAuthentication", `{"enabled":true}`)
			g.get(t, "alice", "/api/x").expect(t, "the next request", 200, "")
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d documents were taken and %d refused", taken, refused)
	if taken == 0 || refused == 0 {
		t.Error("the documents are all right or all wrong")
	}
	g.kill()
	g.again(t) // what was taken holds together
}
