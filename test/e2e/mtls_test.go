//go:build e2e

package e2e

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

const badges = `
settings: {reverseProxyAuthentication: {enabled: true}}
services: [{name: api, targets: [{url: "BACKEND"}]}]
roles: [{name: writer, permissions: [{routes: ["*"], methods: ["*"]}]}]
users:
  - {username: alice, roles: [writer], credentials: [{type: password, password: alices-password}, {type: certificate, email: alice@example.com}]}
  - {username: orders, kind: service, roles: [writer], credentials: [{type: certificate, uri: "spiffe://example.com/orders"}]}
  - {username: printer, kind: application, roles: [writer], credentials: [{type: certificate, dns: printer.example.com}]}
  - {username: pinned, roles: [writer], credentials: [{type: certificate, fingerprint: "FINGERPRINT"}]}
  - {username: named, roles: [writer], credentials: [{type: certificate, subject: "CN=named,O=Example"}]}
routes:
  - {name: any, paths: [/any], service: api}
  - {name: card, paths: [/card], service: api, authenticate: {anyOf: [mtls]}}
  - {name: both, paths: [/both], service: api, authenticate: {allOf: [mtls, basic]}}
  - {name: maybe, paths: [/maybe], service: api, access: optional}
  - {name: open, paths: [/open], service: api, access: public}
`

func TestAClientCertificateProvesWhoCalls(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		b := newBackend(t, nil)
		ca, other := newAuthority(t), newAuthority(t)
		client := "extendedKeyUsage=clientAuth"
		type card struct{ cert, key string }
		issue := func(a *authority, name, subject string, ext ...string) card {
			c, k := a.issue(name, subject, ext...)
			return card{c, k}
		}
		alice := issue(ca, "alice", "/CN=alice", "subjectAltName=email:alice@example.com", client)
		orders := issue(ca, "orders", "/CN=o", "subjectAltName=URI:spiffe://example.com/orders", client)
		printer := issue(ca, "printer", "/CN=p", "subjectAltName=DNS:printer.example.com", client)
		pinned := issue(ca, "pinned", "/CN=whoever", client)
		named := issue(ca, "named", "/O=Example/CN=named", client)
		stranger := issue(ca, "stranger", "/CN=stranger", client)
		serverOnly := issue(ca, "server-only", "/CN=alice", "subjectAltName=email:alice@example.com", "extendedKeyUsage=serverAuth")
		forged := issue(other, "forged", "/CN=alice", "subjectAltName=email:alice@example.com", client)
		revoked := issue(ca, "revoked", "/CN=printer", "subjectAltName=DNS:printer.example.com", client)
		ca.revoke(revoked.cert)
		cert, key := ca.server("gateway", "localhost")
		g := start(t, options{engine: engine,
			proxyTLS:  fmt.Sprintf("{certificates: [{cert: %s, key: %s}], clientCA: %s, clientCRL: %s}", cert, key, ca.cert, ca.crl),
			resources: strings.ReplaceAll(withBackend(badges, b.URL), "FINGERPRINT", ca.fingerprint(pinned.cert))})

		// By curl, with the authority verified, over every version.
		for _, version := range []string{"--http1.1", "--http2", "--tls-max 1.2", "--tlsv1.3"} {
			a, exit := g.curl(t, strings.Replace(g.url("/card"), "127.0.0.1", "localhost", 1), append(strings.Fields(version), "--cacert", ca.cert, "--cert", alice.cert, "--key", alice.key)...)
			if exit != 0 || a.status != 200 {
				t.Fatalf("curl %s: exit %d, %d %s", version, exit, a.status, a.body)
			}
			if s := a.asked(t); s.Header.Get("X-User") != "alice" || s.Header.Get("X-Auth-Method") != "mtls" {
				t.Errorf("curl %s: %v", version, s.Header)
			}
		}
		for _, c := range []struct {
			name   string
			card   card
			path   string
			args   []string
			status int
			code   string
			user   string
		}{
			{"by its address", alice, "/card", nil, 200, "", "alice"},
			{"by its URI", orders, "/card", nil, 200, "", "orders"},
			{"by its host name", printer, "/card", nil, 200, "", "printer"},
			{"by its fingerprint", pinned, "/card", nil, 200, "", "pinned"},
			{"by its subject", named, "/card", nil, 200, "", "named"},
			{"on a route that takes every method", alice, "/any", nil, 200, "", "alice"},
			{"none", card{}, "/card", nil, 401, "credential_missing", ""},
			{"one that no user has, which counts as absent", stranger, "/card", nil, 401, "credential_missing", ""},
			{"one that no user has, with a password", stranger, "/any", []string{"-u", "alice:alices-password"}, 200, "", "alice"},
			{"one that no user has, where nobody is let in, too", stranger, "/maybe", nil, 200, "", ""},
			{"one that was revoked", revoked, "/card", nil, 401, "credential_invalid", ""},
			{"one that was revoked, with a password", revoked, "/any", []string{"-u", "alice:alices-password"}, 401, "credential_invalid", ""},
			{"one of another authority", forged, "/card", nil, 401, "credential_invalid", ""},
			{"one for servers", serverOnly, "/card", nil, 401, "credential_invalid", ""},
			{"one that was revoked, on a public route", revoked, "/open", nil, 200, "", ""},
			{"card and password of one user", alice, "/both", []string{"-u", "alice:alices-password"}, 200, "", "alice"},
			{"an application's card with a person's password", printer, "/both", []string{"-u", "alice:alices-password"}, 200, "", "alice"},
			{"a person's card with another's password", named, "/both", []string{"-u", "alice:alices-password"}, 401, "credential_invalid", ""},
			{"a card without the password", alice, "/both", nil, 401, "credential_missing", ""},
			{"a card with a wrong password", alice, "/both", []string{"-u", "alice:wrong"}, 401, "credential_invalid", ""},
		} {
			before := len(b.saw())
			args := c.args
			if c.card.cert != "" {
				args = append(args, "--cert", c.card.cert, "--key", c.card.key)
			}
			a, exit := g.curl(t, g.url(c.path), args...)
			if exit != 0 {
				t.Errorf("%s: exit %d %s", c.name, exit, a.body)
				continue
			}
			a.expect(t, c.name, c.status, c.code)
			saw := b.saw()[before:]
			if c.status != 200 {
				if len(saw) > 0 {
					t.Errorf("%s: it was refused, and reached the backend", c.name)
				}
				continue
			}
			if a.status == 200 && saw[0].Header.Get("X-User") != c.user {
				t.Errorf("%s: X-User is %q, want %q", c.name, saw[0].Header.Get("X-User"), c.user)
			}
			if c.name == "an application's card with a person's password" && a.status == 200 && saw[0].Header.Get("X-Client-Id") != "printer" {
				t.Errorf("the application is not named as the client: %v", saw[0].Header)
			}
		}

		// A certificate is revoked while its connection is open.
		pair, err := tls.LoadX509KeyPair(orders.cert, orders.key)
		if err != nil {
			t.Fatal(err)
		}
		c := newClient(t, false)
		c.Transport.(*http.Transport).TLSClientConfig.Certificates = []tls.Certificate{pair}
		c.Transport.(*http.Transport).TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(10)
		if a, err := exchange(c, "GET", g.url("/card"), ""); err != nil || a.status != 200 {
			t.Fatalf("%v %v", a, err)
		}
		ca.revoke(orders.cert)
		until(t, 5*time.Second, "a revoked certificate is refused", func() bool {
			c.CloseIdleConnections() // the session may be resumed
			a, err := exchange(c, "GET", g.url("/card"), "")
			return err == nil && a.status == 401
		})
		// A certificate in a header is nobody's: only the handshake counts.
		block, _ := pem.Decode([]byte(read(t, alice.cert)))
		for _, h := range []string{"Client-Cert", "X-Client-Cert", "X-Forwarded-Client-Cert", "X-SSL-Client-Cert"} {
			g.get(t, "", "/card", header(h, ":"+base64.StdEncoding.EncodeToString(block.Bytes)+":")).expect(t, h, 401, "credential_missing")
		}
	})
}

func TestAnAdministratorLogsInByCertificate(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	cert, key := ca.server("gateway", "localhost")
	ops, opsKey := ca.issue("ops", "/CN=ops", "subjectAltName=URI:urn:example:ops", "extendedKeyUsage=clientAuth")
	thief, thiefKey := ca.issue("thief", "/CN=ops", "subjectAltName=URI:urn:example:ops2", "extendedKeyUsage=clientAuth")
	b := newBackend(t, nil)
	g := start(t, options{resources: withBackend(everyone, b.URL),
		adminTLS: fmt.Sprintf("{certificates: [{cert: %s, key: %s}], clientCA: %s}", cert, key, ca.cert)})
	g.must(t, 201, "PUT", "/v2/administrators/ops", `{"name":"ops","roles":["auditor"],"credentials":[{"type":"certificate","uri":"urn:example:ops"}]}`)
	for _, c := range []struct {
		name   string
		args   []string
		path   string
		status int
	}{
		{"reads", []string{"--cert", ops, "--key", opsKey}, "/v2/routes", 200},
		{"may not write", []string{"--cert", ops, "--key", opsKey, "-X", "DELETE"}, "/v2/routes/api", 403},
		{"another's certificate", []string{"--cert", thief, "--key", thiefKey}, "/v2/routes", 401},
		{"none", nil, "/v2/routes", 401},
		{"healthz is open", nil, "/healthz", 200},
		{"readyz is open", nil, "/readyz", 200},
	} {
		a, exit := g.curl(t, "https://"+g.admin+c.path, c.args...)
		if exit != 0 || a.status != c.status {
			t.Errorf("%s: exit %d, %d %s", c.name, exit, a.status, a.body)
		}
	}
}

func TestATrustedFrontEndNamesTheUser(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		b := newBackend(t, nil)
		g := start(t, options{engine: engine, resources: withBackend(everyone, b.URL) + `
identityProviders:
  - {name: edge, type: trustedHeader, header: X-SSO-User, from: [127.0.0.0/8], secretHeader: X-SSO-Secret, secret: "sixteen or more characters", provision: match}
  - {name: far, type: trustedHeader, header: X-Far-User, from: [10.1.2.0/24], secretHeader: X-Far-Secret, secret: "sixteen or more characters", provision: match}
`})
		secret := header("X-SSO-Secret", "sixteen or more characters")
		for name, c := range g.clients() {
			for _, x := range []struct {
				what   string
				mods   []mod
				status int
				code   string
				user   string
			}{
				{"the front end vouches for alice", []mod{secret, header("X-SSO-User", "alice")}, 200, "", "alice"},
				{"the front end vouches for bob", []mod{secret, header("X-SSO-User", "bob")}, 200, "", "bob"},
				{"the front end vouches for somebody unknown", []mod{secret, header("X-SSO-User", "carol")}, 401, "credential_invalid", ""},
				{"the front end says nobody", []mod{secret}, 401, "credential_missing", ""},
				{"without the secret", []mod{header("X-SSO-User", "alice")}, 401, "credential_missing", ""},
				{"with a wrong secret", []mod{header("X-SSO-Secret", "sixteen or more characterz"), header("X-SSO-User", "alice")}, 401, "credential_missing", ""},
				{"with the secret twice", []mod{secret, header("X-SSO-Secret", "x"), header("X-SSO-User", "alice")}, 401, "", ""},
				{"with the name twice", []mod{secret, header("X-SSO-User", "alice"), header("X-SSO-User", "bob")}, 401, "credential_invalid", ""},
				{"under an alias", []mod{header("X_SSO_Secret", "sixteen or more characters"), header("X_SSO_User", "alice")}, 401, "credential_missing", ""},
				{"with the secret of another front end", []mod{header("X-Far-Secret", "sixteen or more characters"), header("X-Far-User", "alice")}, 401, "credential_missing", ""},
				{"without the secret, with a password", []mod{header("X-SSO-User", "alice"), user("bob")}, 200, "", "bob"},
				{"two users", []mod{secret, header("X-SSO-User", "alice"), user("bob")}, 401, "credential_invalid", ""},
			} {
				before := len(b.saw())
				a, err := exchange(c, "GET", g.url("/api"), "", x.mods...)
				if err != nil {
					t.Fatal(err)
				}
				a.expect(t, name+": "+x.what, x.status, x.code)
				saw := b.saw()[before:]
				if x.status != 200 && len(saw) > 0 {
					t.Errorf("%s: %s: refused, and forwarded", name, x.what)
				}
				if x.status == 200 && len(saw) == 1 && (saw[0].Header.Get("X-User") != x.user || saw[0].Header.Get("X-Sso-User") != "" || saw[0].Header.Get("X-Sso-Secret") != "") {
					t.Errorf("%s: %s: the backend saw %v", name, x.what, saw[0].Header)
				}
			}
		}
		if b.received("sixteen or more") {
			t.Error("the front end's secret reached the backend")
		}
		g.must(t, 200, "PATCH", "/v2/identityProviders/edge", `{"enabled":false}`)
		g.get(t, "", "/api", secret, header("X-SSO-User", "alice")).expect(t, "a disabled provider", 401, "")
		g.must(t, 200, "PATCH", "/v2/identityProviders/edge", `{"enabled":true,"from":["10.0.0.0/8"]}`)
		g.get(t, "", "/api", secret, header("X-SSO-User", "alice")).expect(t, "from another address", 401, "credential_missing")
	})
}
