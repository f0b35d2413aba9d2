package verify

import (
	"bytes"
	"crypto"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

func TestPolicyAllows(t *testing.T) {
	p, err := ParsePolicy([]byte(`
- {identity: client1, paths: [/orders], methods: [GET, PUT]}
- {identity: "group:staff", paths: [/reports/], methods: ["*"]}
- {identity: "role:auditor", paths: ["=/audit"], methods: [GET]}
- {identity: "sub:u-7", paths: [/seven], methods: [POST]}
- {identity: "client:app", paths: [/app], methods: [GET]}
- {identity: "user:group:odd", paths: [/odd], methods: [GET]}
- {identity: "spiffe://example.org/x", paths: [/spiffe], methods: [GET]}
- {identity: partner, issuer: "https://partner.example", paths: [/partner], methods: [GET]}
- {identity: "*", paths: [/health], methods: [GET]}
`))
	if err != nil {
		t.Fatal(err)
	}
	client1 := Identity{Name: "client1", Subject: "u-1", Issuer: gatewayURL}
	for _, c := range []struct {
		name, method, path string
		id                 Identity
		want               bool
	}{
		{"the path itself", "GET", "/orders", client1, true},
		{"a path below", "PUT", "/orders/7/items", client1, true},
		{"GET includes HEAD", "HEAD", "/orders", client1, true},
		{"a longer segment is another path", "GET", "/orders-archive", client1, false},
		{"a shorter path", "GET", "/", client1, false},
		{"another case is another path", "GET", "/Orders", client1, false},
		{"another method", "DELETE", "/orders", client1, false},
		{"a method in another case", "get", "/orders", client1, false},
		{"another name", "GET", "/orders", Identity{Name: "client2", Issuer: gatewayURL}, false},
		{"a name in another case", "GET", "/orders", Identity{Name: "Client1", Issuer: gatewayURL}, false},
		{"a name is not a sub, nor a client", "GET", "/orders", Identity{Name: "x", Subject: "client1", Client: "client1", Issuer: gatewayURL}, false},
		{"the same name, given by another issuer", "GET", "/orders", Identity{Name: "client1", Issuer: "https://partner.example"}, false},
		{"an entry that names that issuer", "GET", "/partner", Identity{Name: "partner", Issuer: "https://partner.example"}, true},
		{"that entry, asked for by the gateway's user of that name", "GET", "/partner", Identity{Name: "partner", Issuer: gatewayURL}, false},
		{"a group, and a prefix with a slash", "PATCH", "/reports", Identity{Groups: []string{"x", "staff"}, Issuer: gatewayURL}, true},
		{"a group whose name contains it", "GET", "/reports", Identity{Groups: []string{"staff-guests"}, Issuer: gatewayURL}, false},
		{"a role and an exact path", "GET", "/audit", Identity{Roles: []string{"auditor"}, Issuer: gatewayURL}, true},
		{"below an exact path", "GET", "/audit/x", Identity{Roles: []string{"auditor"}, Issuer: gatewayURL}, false},
		{"a sub", "POST", "/seven", Identity{Subject: "u-7", Issuer: gatewayURL}, true},
		{"a client", "GET", "/app", Identity{Name: "alice", Client: "app", Issuer: gatewayURL}, true},
		{"a user named like a group is not the group", "GET", "/reports", Identity{Name: "group:staff", Issuer: gatewayURL}, false},
		{"a user named like a group can be named", "GET", "/odd", Identity{Name: "group:odd", Issuer: gatewayURL}, true},
		{"a name with a colon", "GET", "/spiffe", Identity{Name: "spiffe://example.org/x", Issuer: gatewayURL}, true},
		{"everybody", "GET", "/health", Identity{Name: "anyone", Issuer: gatewayURL}, true},
		{"everybody of the gateway's, not of another's", "GET", "/health", Identity{Name: "anyone", Issuer: "https://partner.example"}, false},
		{"a caller without a name is not the entry without one", "GET", "/orders", Identity{Issuer: gatewayURL}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := p.allows(&c.id, gatewayURL, c.method, c.path); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
	empty, err := ParsePolicy([]byte("[]"))
	if err != nil || empty.Allows(client1, "GET", "/") {
		t.Error("an empty list allows, or is refused", err)
	}
}

func TestParsePolicy(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string // parts of the fault; none = accepted
	}{
		{"YAML", "- identity: a\n  paths: [/]\n  methods: ['*']\n", nil},
		{"JSON", "[\n\t{\"identity\": \"a\", \"paths\": [\"/\"], \"methods\": [\"GET\"]}\n]\n", nil},
		{"an empty file", "", []string{"empty"}},
		{"a comment alone", "# nothing\n", []string{"empty"}},
		{"null", "null", []string{"not a list"}},
		{"an object", "identity: a", []string{"cannot unmarshal"}},
		{"an unknown field", "- {identity: a, paths: [/], methods: [GET], path: /x}", []string{"line 1", "field path not found"}},
		{"a field twice", "- {identity: a, identity: b, paths: [/], methods: [GET]}", []string{"already"}},
		{"a text for a list", "- {identity: a, paths: /, methods: [GET]}", []string{"cannot unmarshal"}},
		{"two documents", "[]\n---\n[]", []string{"more than one"}},
		{"everything missing, each with its line", "- {}\n- identity: b\n  paths: [orders, /a/../b, /a//b, '/%41']\n  methods: [get]\n",
			[]string{"line 1: identity", "line 1: paths is missing", "line 1: methods is missing", `line 2: path "orders"`, "/a/../b", "/a//b", "/%41", `method "get"`}},
		{"nobody by name", `- {identity: "group:", paths: [/], methods: [GET]}`, []string{"names nobody"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ParsePolicy([]byte(c.text))
			if (err == nil) != (c.want == nil) {
				t.Fatal(err)
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%v, want %s", err, w)
				}
			}
		})
	}
	if _, err := NewPolicy(Entry{Identity: "a"}); err == nil {
		t.Error("NewPolicy takes an entry without paths")
	}
}

func TestCanonicalPaths(t *testing.T) {
	for in, want := range map[string]string{ // "" = refused
		"/": "/", "/a/b": "/a/b", "/a/": "/a/", "/%61/%7Eb": "/a/~b", "//a///b": "/a/b", "/a%2fb": "/a%2Fb", "/%C3%a9": "/%C3%A9",
		"/a%25b": "/a%25b", "/a;v=1/b": "/a;v=1/b", "/a.b/..c/d..": "/a.b/..c/d..", "/100%25/x": "/100%25/x", "/%20": "/%20",
		"": "", "a": "", "*": "", "/..": "", "/a/./b": "", "/a/../b": "", "/%2e%2e/b": "", "/.%2E": "", "/a%2f..%2fb": "", "/..%2fb": "",
		"/..;x=1/b": "", "/..%3bx/b": "", "/a\\b": "", "/%5c": "", "/%00": "", "/%0a": "", "/%7f": "", "/%": "", "/%4": "", "/%zz": "",
		"/%252e%252e/": "", "/%252f": "", "/%255c": "", "/%2500": "", "/%25252e": "", "/%25%32%65": "", "/\x80": "", "/a b": "",
	} {
		got, ok := canonical(in)
		if ok != (want != "") || ok && got != want {
			t.Errorf("%q: %q %v, want %q", in, got, ok, want)
		}
	}
}

// FuzzCanonical: what is accepted is canonical already when asked again, and
// however often a handler decodes it, it never steps up.
func FuzzCanonical(f *testing.F) {
	for _, s := range []string{"/a/../b", "/%2e%2e%2f", "/a;b/..", "/%25%32%65", "/%250%61", "//", "/a%2Fb"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := canonical(s)
		if !ok {
			return
		}
		if again, ok := canonical(got); !ok || again != got {
			t.Fatalf("%q: %q, then %q %v", s, got, again, ok)
		}
		for _, form := range []string{s, got} {
			for range 2 {
				for _, segment := range strings.FieldsFunc(form, func(r rune) bool { return r == '/' || r == '\\' }) {
					segment, _, _ = strings.Cut(segment, ";")
					if segment == ".." || segment == "." {
						t.Fatalf("%q: %q steps up as %q", s, got, form)
					}
				}
				if strings.ContainsAny(form, "\\\x00\r\n") {
					t.Fatalf("%q: %q", s, form)
				}
				plain, err := url.PathUnescape(form)
				if err != nil {
					break
				}
				form = plain
			}
		}
	})
}

// FuzzPolicy: no text makes the parser panic, and what it accepts has no entry
// that is empty in any part.
func FuzzPolicy(f *testing.F) {
	f.Add("- {identity: a, paths: [/], methods: [GET]}", "/orders")
	f.Add("[]", "/")
	f.Add("- &a {identity: a, paths: [/], methods: [GET]}\n- *a", "/")
	f.Fuzz(func(t *testing.T, text, path string) {
		p, err := ParsePolicy([]byte(text))
		if err != nil {
			return
		}
		for _, e := range p.entries {
			if e.Identity == "" || len(e.Paths) == 0 || len(e.Methods) == 0 {
				t.Fatalf("%q is accepted with %+v", text, e)
			}
		}
		if p.Allows(Identity{}, "GET", path) {
			t.Fatalf("%q allows nobody", text)
		}
	})
}

func TestMiddlewareHoldsToThePolicy(t *testing.T) {
	key := p256(t)
	p, err := NewPolicy(Entry{Identity: "client1", Paths: []string{"/orders"}, Methods: []string{"GET", "PUT"}})
	if err != nil {
		t.Fatal(err)
	}
	v := newVerifier(t, Config{Issuer: gatewayURL, Audience: "orders", Keys: map[string]crypto.PublicKey{"k1": key.Public()}, Policy: p})
	h := func(change map[string]any) http.Header {
		return http.Header{DefaultHeader: {signed(t, jose.ES256, key, map[string]any{"kid": "k1", "typ": "JWT"}, assertionClaims(change))}}
	}
	for _, c := range []struct {
		name, method, target, user, want string
	}{
		{"allowed", "PUT", "/orders/7?x=1", "client1", "ok client1"},
		{"another method", "POST", "/orders", "client1", "permission_denied"},
		{"another path", "GET", "/billing", "client1", "permission_denied"},
		{"another caller", "GET", "/orders", "client2", "permission_denied"},
		{"a way around by dots", "GET", "/orders/../billing", "client1", "path_ambiguous"},
		{"a way around by encoded dots", "GET", "/orders/%2e%2e/billing", "client1", "path_ambiguous"},
		{"a way around by encoded slashes", "GET", "/orders%2F..%2Fbilling", "client1", "path_ambiguous"},
		{"an encoded slash separates nothing", "GET", "/orders%2F7", "client1", "permission_denied"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := code(t, ask(v, c.method, c.target, h(map[string]any{"preferred_username": c.user}))); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
	t.Run("without a proof the policy is not asked", func(t *testing.T) {
		if got := code(t, ask(v, "GET", "/billing/../..", http.Header{})); got != "credential_missing" {
			t.Error(got)
		}
	})
}

func TestAPolicyThatMustNameItsIssuers(t *testing.T) {
	key := p256(t)
	keys := map[string]crypto.PublicKey{"k": key.Public()}
	two := []Issuer{{Issuer: "https://a", Audiences: []string{"x"}, Keys: keys}, {Issuer: "https://b", Audiences: []string{"x"}, Keys: keys}}
	p, _ := NewPolicy(Entry{Identity: "a", Paths: []string{"/"}, Methods: []string{"GET"}})
	if _, err := New(Config{Issuers: two, Policy: p}); err == nil || !strings.Contains(err.Error(), "no issuer") {
		t.Error(err)
	}
	if _, err := New(Config{Issuers: two[:1], Policy: p}); err != nil {
		t.Error("one issuer alone needs no name:", err)
	}
	named, _ := NewPolicy(Entry{Identity: "a", Issuer: "https://b", Paths: []string{"/"}, Methods: []string{"GET"}})
	if _, err := New(Config{Issuers: two, Policy: named}); err != nil {
		t.Error(err)
	}
}

func TestAPolicyFileIsReadAgainWhenItChanges(t *testing.T) {
	dir, clock, key := t.TempDir(), &fakeClock{at: now}, p256(t)
	file := filepath.Join(dir, "policy.yaml")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	write("policy.yaml", "- {identity: client1, paths: [/a], methods: [GET]}")
	v := newVerifier(t, Config{Issuer: gatewayURL, Audience: "orders", Keys: map[string]crypto.PublicKey{"k1": key.Public()},
		PolicyFile: file, Now: clock.now, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	want := func(path, want string) {
		t.Helper()
		clock.advance(lookEvery)
		h := http.Header{DefaultHeader: {signed(t, jose.ES256, key, map[string]any{"kid": "k1", "typ": "JWT"}, assertionClaims(map[string]any{"exp": now.Add(time.Hour).Unix()}))}}
		if got := code(t, ask(v, "GET", path, h)); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
	want("/a", "ok client1")
	want("/b", "permission_denied")
	write("policy.yaml", "- {identity: client1, paths: [/b], methods: [GET]} # changed")
	want("/b", "ok client1")
	want("/a", "permission_denied")

	for _, broken := range []string{"", "- {identity: client1, paths: [/c]", "- {identity: client1, pathes: [/c], methods: [GET]}"} {
		write("policy.yaml", broken)
		want("/b", "ok client1")
		want("/c", "permission_denied")
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	want("/b", "ok client1")
	want("/b", "ok client1")
	if n := strings.Count(log.String(), "policy cannot be read"); n != 4 {
		t.Errorf("reported %d times:\n%s", n, &log)
	}
	write("other.yaml", "- {identity: client1, paths: [/d], methods: [GET]}")
	if err := os.Symlink("other.yaml", file); err != nil {
		t.Fatal(err)
	}
	want("/d", "ok client1")
	write("third.yaml", "- {identity: client1, paths: [/e], methods: [GET]}")
	if err := os.Symlink("third.yaml", file+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
	want("/e", "ok client1")
	want("/d", "permission_denied")
}
