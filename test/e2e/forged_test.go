//go:build e2e

package e2e

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// spellings are the names under which some backend reads an identity: SPEC 7.3,
// and each in the ways in which CGI, WSGI, Rack, PHP, Node and IIS fold names.
func spellings() (out []string) {
	names := []string{"X-User", "X-User-Id", "X-User-Email", "X-User-Groups", "X-User-Roles", "X-User-Anything", "X-Client-Id", "X-Auth-Method",
		"X-Auth-Username", "X-Token-Subject", "X-Sallyport-Assertion", "X-Sallyport-Anything",
		"X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Groups", "X-Forwarded-Preferred-Username", "X-Forwarded-Access-Token",
		"X-Authenticated-User", "X-Auth-Request-User", "X-Remote-User", "Remote-User", "Remote-Groups", "Remote-Name", "Remote-Email",
		"X-WebAuth-User", "X-Original-User", "X-Consumer-Username", "X-Credential-Identifier", "X-Anonymous-Consumer", "X-Authentik-Username",
		"X-Vouch-User", "X-Pomerium-Jwt-Assertion", "X-Goog-Authenticated-User-Email", "X-Goog-Iap-Jwt-Assertion", "Cf-Access-Jwt-Assertion",
		"X-Amzn-Oidc-Data", "X-Ms-Client-Principal", "X-Ms-Client-Principal-Name", "Client-Cert", "Client-Cert-Chain", "X-Client-Cert", "X-Client-Cert-Dn",
		"X-Forwarded-Client-Cert", "SSL-Client-S-Dn", "X-SSL-Client-Cert", "X-Staff-Number", "X-SSO-Login", "X-SSO-Proof"}
	for _, n := range names {
		out = append(out, n, strings.ToLower(n), strings.ToUpper(n), strings.ReplaceAll(n, "-", "_"), strings.ReplaceAll(n, "-", "."),
			"HTTP_"+strings.ToUpper(strings.ReplaceAll(n, "-", "_")), "Http-"+n, strings.ReplaceAll(n, "-", ""), strings.Replace(n, "-", "_", 1),
			n+"-", n+"_", "-"+n, strings.ReplaceAll(n, "-", "--"), strings.ReplaceAll(n, "-", "~"), strings.ReplaceAll(n, "-", "'"), strings.ReplaceAll(n, "-", "`"))
	}
	return out
}

const forging = `
settings:
  reverseProxyAuthentication: {enabled: true}
  identityHeaders: {alsoStrip: [X-Staff-Number]}
services: [{name: api, targets: [{url: "BACKEND"}]}, {name: h2, protocol: http2, targets: [{url: "BACKEND"}]}]
roles: [{name: writer, permissions: [{routes: ["*"], methods: ["*"]}]}]
users: [{username: alice, roles: [writer], credentials: [{type: password, password: alices-password}]}]
identityProviders:
  - {name: edge, type: trustedHeader, header: X-SSO-Login, from: [10.99.0.0/16], secretHeader: X-SSO-Proof, secret: "not from where you are"}
routes:
  - {name: api, paths: [/api], service: api, authenticate: {anyOf: [basic, trustedHeader]}}
  - {name: h2, paths: [/h2], service: h2}
  - {name: open, paths: [/open], service: api, access: public}
  - {name: maybe, paths: [/maybe], service: api, access: optional}
`

const mark = "mallory-was-here"

func TestAForgedIdentityNeverReachesTheBackend(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		b := newBackend(t, nil)
		g := start(t, options{engine: engine, resources: withBackend(forging, b.URL)})
		names := spellings()
		if len(names) < 60 {
			t.Fatal("too few")
		}
		auth := basicHeader("alice").Get("Authorization")
		t.Logf("%d spellings", len(names))
		raw := func(what, request string) {
			t.Helper()
			w := g.wire(t)
			w.send(request)
			a, err := w.tryAnswer("POST")
			if err == nil && a.status != 200 && a.status != 400 && a.status != 401 {
				t.Errorf("%s: %d %s", what, a.status, tail(a.body, 200))
			}
			_ = w.Close()
		}
		// All at once: as one head and as several of at most 20 names.
		for _, path := range []string{"/api", "/open", "/maybe", "/h2"} {
			credential := "Authorization: " + auth + "\r\n"
			if path == "/open" {
				credential = ""
			}
			for i := 0; i < len(names); i += 20 {
				var h, trailer strings.Builder
				for _, n := range names[i:min(i+20, len(names))] {
					fmt.Fprintf(&h, "%s: %s\r\n", n, mark)
					fmt.Fprintf(&trailer, "%s: %s\r\n", n, mark)
				}
				raw(path, "POST "+path+" HTTP/1.1\r\nHost: x\r\n"+credential+h.String()+"Content-Length: 0\r\n\r\n")
				raw(path+", trailers", "POST "+path+" HTTP/1.1\r\nHost: x\r\n"+credential+"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"+trailer.String()+"\r\n")
				raw(path+", named in Connection", "POST "+path+" HTTP/1.1\r\nHost: x\r\n"+credential+"Connection: X-User, X-User-Id, X-Sallyport-Assertion, X-Request-Id, close\r\n"+h.String()+"Content-Length: 0\r\n\r\n")
			}
		}
		// One at a time, by HTTP/1.1 and HTTP/2, beside the true one.
		for name, c := range g.clients() {
			for _, n := range names {
				if name == "HTTP/2" && strings.ToLower(n) != n && strings.EqualFold(n, names[0]) {
					continue
				}
				for _, path := range []string{"/api", "/h2"} {
					a, err := exchange(c, "GET", g.url(path), "", user("alice"), header(n, mark))
					if err != nil {
						t.Errorf("%s %s: %v", name, n, err)
						continue
					}
					if a.status != 200 {
						t.Errorf("%s %s: %d %s", name, n, a.status, tail(a.body, 200))
						continue
					}
					s := a.asked(t)
					if got := s.Header.Values("X-User"); len(got) != 1 || got[0] != "alice" {
						t.Errorf("%s %s: X-User is %q", name, n, got)
					}
					if strings.Contains(jsonText(s), mark) {
						t.Errorf("%s %s: the backend saw %v", name, n, s.Header)
					}
				}
			}
		}
		// Names that only look alike are nobody's identity, and pass.
		for _, n := range []string{"X-Usage", "User", "X-Userx", "My-X-User", "Remote-Username", "X-Consume", "Client-Certificate"} {
			if s := g.get(t, "alice", "/api", header(n, "innocent")).asked(t); s.Header.Get(n) != "innocent" && n != "X-Userx" {
				t.Errorf("%s was taken for an identity header", n)
			}
		}
		for _, line := range bytes.Split(b.bytes(), []byte("\r\n")) {
			if bytes.Contains(line, []byte(mark)) {
				t.Errorf("the backend received %q", line)
			}
		}
		for _, s := range b.saw() {
			if strings.Contains(jsonText(s), mark) {
				t.Errorf("the backend saw %v", s)
				break
			}
		}
		var n int
		for _, e := range g.events(t) {
			if e.Type == "security" {
				n++
			}
		}
		if n == 0 {
			t.Error("no security event says that somebody tried")
		}
		if m := g.must(t, 200, "GET", "/metrics", "").body; !strings.Contains(m, "sallyport_security_events_total") {
			t.Error("no metric counts the attempts")
		}
	})
}

func TestAForgedIdentityDoesNotComeThroughAWebSocketHandshake(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		b := echoSocket(t)
		g := start(t, options{engine: engine, resources: withBackend(sockets, b.URL)})
		names := spellings()
		for i := 0; i < len(names); i += 20 {
			h := basicHeader("alice")
			for _, n := range names[i:min(i+20, len(names))] {
				if strings.HasPrefix(strings.ToLower(n), "x-staff") || strings.Contains(strings.ToLower(n), "staff") || strings.Contains(strings.ToLower(n), "sso") {
					continue // names of another configuration
				}
				h[n] = []string{mark}
			}
			c, _, err := g.dial(t, "/socket", h, websocket.DialOptions{})
			if err != nil {
				t.Fatal(err)
			}
			_ = c.CloseNow()
		}
		for _, s := range b.saw() {
			if u := s.Header.Values("X-User"); len(u) != 1 || u[0] != "alice" {
				t.Errorf("X-User is %q", u)
			}
		}
		for _, line := range bytes.Split(b.bytes(), []byte("\r\n")) {
			if bytes.Contains(line, []byte(mark)) {
				t.Errorf("the backend received %q", line)
			}
		}
	})
}

func TestWhatTheGatewayAddsCannotBeTakenAway(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		b := newBackend(t, nil)
		g := start(t, options{engine: engine, resources: withBackend(everyone, b.URL)})
		auth := "Basic " + base64.StdEncoding.EncodeToString([]byte("alice:alices-password"))
		for _, connection := range []string{"X-User", "close, x-user, X-User-Id, X-Sallyport-Assertion", "keep-alive, X-User\r\nConnection: X-User-Roles, X-Request-Id", "x-user , , x-user"} {
			w := g.wire(t)
			w.send("GET /api HTTP/1.1\r\nHost: x\r\nAuthorization: " + auth + "\r\nConnection: " + connection + "\r\n\r\n")
			s := w.answer(t, "GET").asked(t)
			for _, n := range []string{"X-User", "X-User-Id", "X-User-Roles", "X-Sallyport-Assertion", "X-Request-Id", "X-Forwarded-For"} {
				if s.Header.Get(n) == "" {
					t.Errorf("Connection: %q takes away %s", connection, n)
				}
			}
			_ = w.Close()
		}
		// Where a request came from is told by the socket, not by the client.
		for _, n := range []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Server",
			"X-Forwarded-Uri", "X-Forwarded-Method", "Forwarded", "X-Original-URL", "X-Rewrite-URL", "X-Real-IP", "True-Client-IP", "X_Forwarded_For", "x_real_ip", "X-Request-Id"} {
			for name, c := range g.clients() {
				a, err := exchange(c, "GET", g.url("/open"), "", header(n, "203.0.113.66"))
				if err != nil {
					t.Fatal(err)
				}
				if s := jsonText(a.asked(t).Header); strings.Contains(s, "203.0.113.66") {
					t.Errorf("%s: %s reached the backend: %s", name, n, s)
				}
			}
		}
		if s := g.get(t, "", "/open").asked(t); s.Header.Get("X-Forwarded-For") != "127.0.0.1" || s.Header.Get("X-Forwarded-Proto") != "https" || s.Header.Get("X-Forwarded-Host") == "" {
			t.Errorf("rebuilt: %v", s.Header)
		}
	})
}
