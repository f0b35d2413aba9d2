//go:build e2e

package e2e

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// curl runs curl on a URL. Its exit code is that of the failure that curl saw.
func (g *gateway) curl(t testing.TB, url string, args ...string) (a *answer, exit int) {
	t.Helper()
	dir := t.TempDir()
	body, head := filepath.Join(dir, "body"), filepath.Join(dir, "head")
	args = append([]string{"-sS", "-k", "--max-time", "30", "--noproxy", "*", "-o", body, "-D", head, "-w", "%{http_code} %{http_version}\n"}, append(args, url)...)
	out, exit := runProgram(t, 40*time.Second, nil, need(t, "curl"), args...)
	a = &answer{header: http.Header{}}
	if exit != 0 {
		a.body = out
		return a, exit
	}
	var version string
	for _, line := range strings.Split(read(t, head), "\n") {
		line = strings.TrimRight(line, "\r")
		if strings.HasPrefix(line, "HTTP/") {
			a.header = http.Header{} // of the last head: interim answers come before it
		} else if name, value, ok := strings.Cut(line, ": "); ok {
			a.header.Add(name, value)
		}
	}
	f := strings.Fields(out)
	if len(f) < 2 {
		t.Fatalf("curl said %q", out)
	}
	for _, c := range f[len(f)-2] {
		a.status = a.status*10 + int(c-'0')
	}
	version = f[len(f)-1]
	a.proto = "HTTP/" + version
	if a.status != 0 {
		if b, err := filepath.Glob(body); err == nil && len(b) == 1 {
			a.body = read(t, body)
		}
	}
	return a, exit
}

// everyone is what most tests need: alice may do everything, bob may read, and a
// backend stands at /api.
const everyone = `
settings: {reverseProxyAuthentication: {enabled: true}}
services: [{name: api, targets: [{url: "BACKEND"}]}]
roles:
  - {name: read-only, permissions: [{routes: ["*"], methods: [GET, OPTIONS]}]}
  - {name: writer, permissions: [{routes: ["*"], methods: ["*"]}]}
groups: [{name: staff, roles: [read-only]}]
users:
  - {username: alice, displayName: Alice Ames, emails: [alice@example.com], groups: [staff], roles: [writer], credentials: [{type: password, password: alices-password}]}
  - {username: bob, roles: [read-only], credentials: [{type: password, password: bobs-password}]}
routes:
  - {name: api, paths: [/api], service: api}
  - {name: open, paths: [/open], service: api, access: public}
`

func withBackend(document, url string) string {
	return strings.ReplaceAll(document, "BACKEND", url)
}

func TestCurlCallsThroughTheGateway(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		b := newBackend(t, nil)
		g := start(t, options{engine: engine, resources: withBackend(everyone, b.URL)})
		for _, c := range []struct {
			name  string
			args  []string
			path  string
			proto string
			want  int
		}{
			{"over HTTP/1.1", []string{"--http1.1", "-u", "alice:alices-password"}, "/api/1?a=b&c=%20", "HTTP/1.1", 200},
			{"over HTTP/1.0", []string{"--http1.0", "-u", "alice:alices-password"}, "/api", "HTTP/1", 200},
			{"over HTTP/2", []string{"--http2", "-u", "alice:alices-password"}, "/api/1?a=b&c=%20", "HTTP/2", 200},
			{"over TLS 1.2", []string{"--tlsv1.2", "--tls-max", "1.2", "-u", "alice:alices-password"}, "/api", "HTTP/2", 200},
			{"over TLS 1.3", []string{"--tlsv1.3", "-u", "alice:alices-password"}, "/api", "HTTP/2", 200},
			{"with a HEAD", []string{"-I", "-u", "bob:bobs-password"}, "/api", "HTTP/2", 200},
			{"with a form over HTTP/1.1", []string{"--http1.1", "-u", "alice:alices-password", "-d", "a=1&b=2"}, "/api", "HTTP/1.1", 200},
			{"with a multipart upload", []string{"-u", "alice:alices-password", "-F", "file=@" + write(t, filepath.Join(t.TempDir(), "f"), strings.Repeat("x", 300_000))}, "/api", "HTTP/2", 200},
			{"without a credential", nil, "/api", "HTTP/2", 401},
			{"with a wrong password over HTTP/1.1", []string{"--http1.1", "-u", "alice:wrong"}, "/api", "HTTP/1.1", 401},
			{"as one who may not", []string{"-u", "bob:bobs-password", "-X", "DELETE"}, "/api", "HTTP/2", 403},
			{"on a public route", []string{"--http1.1"}, "/open", "HTTP/1.1", 200},
			{"with curl negotiating any method", []string{"--anyauth", "-u", "alice:alices-password"}, "/api", "HTTP/2", 200},
		} {
			b.forget()
			a, exit := g.curl(t, g.url(c.path), c.args...)
			if exit != 0 || a.status != c.want || !strings.HasPrefix(a.proto, c.proto) {
				t.Errorf("%s: exit %d, %d by %s: %s", c.name, exit, a.status, a.proto, tail(a.body, 300))
				continue
			}
			if n := len(b.saw()); (c.want == 200) != (n == 1) {
				t.Errorf("%s: the backend saw %d requests", c.name, n)
			}
			if a.header.Get("X-Request-Id") == "" {
				t.Errorf("%s: no X-Request-Id in %v", c.name, a.header)
			}
			if c.want == 200 {
				s := b.last(t)
				if s.URI != c.path || s.Proto != "HTTP/1.1" {
					t.Errorf("%s: the backend saw %s by %s", c.name, s.URI, s.Proto)
				}
				if s.Header.Get("Authorization") != "" {
					t.Errorf("%s: the caller's credential reached the backend", c.name)
				}
				if id := s.Header.Get("X-Request-Id"); id == "" || id != a.header.Get("X-Request-Id") {
					t.Errorf("%s: request id %q at the backend, %q at the client", c.name, id, a.header.Get("X-Request-Id"))
				}
			}
		}
	})
}

func TestTheBackendLearnsWhoCalled(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		b := newBackend(t, nil)
		g := start(t, options{engine: engine, resources: withBackend(everyone, b.URL)})
		for _, version := range []string{"--http1.1", "--http2"} {
			a, _ := g.curl(t, g.url("/api/x"), version, "-u", "alice:alices-password")
			a.expect(t, version, 200, "")
			s := a.asked(t)
			for name, want := range map[string]string{"X-User": "alice", "X-User-Email": "alice@example.com", "X-User-Groups": "staff",
				"X-User-Roles": "read-only,writer", "X-Auth-Method": "basic", "X-Forwarded-Proto": "https"} {
				if got := s.Header.Values(name); len(got) != 1 || sorted(got[0]) != sorted(want) {
					t.Errorf("%s: %s is %q, want %q", version, name, got, want)
				}
			}
			for _, name := range []string{"X-User-Id", "X-Sallyport-Assertion"} {
				if s.Header.Get(name) == "" {
					t.Errorf("%s: no %s", version, name)
				}
			}
			if _, is := s.Header["X-Client-Id"]; is {
				t.Errorf("%s: there is a client, and none was named: %v", version, s.Header)
			}
			if s.Host != g.proxy {
				t.Errorf("%s: the backend sees Host %q, the client sent %q", version, s.Host, g.proxy)
			}
		}
		a, _ := g.curl(t, g.url("/open"), "-u", "alice:alices-password")
		s := a.asked(t)
		for name := range s.Header {
			if strings.HasPrefix(name, "X-User") || name == "X-Sallyport-Assertion" || name == "X-Auth-Method" {
				t.Errorf("a public route sends %s", name)
			}
		}
		if s.Header.Get("Authorization") == "" {
			t.Error("a public route lets Authorization through")
		}
	})
}

// sorted sorts a comma-separated list.
func sorted(list string) string {
	p := strings.Split(list, ",")
	for i := range p {
		for j := i + 1; j < len(p); j++ {
			if p[j] < p[i] {
				p[i], p[j] = p[j], p[i]
			}
		}
	}
	return strings.Join(p, ",")
}

func jsonText(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}
