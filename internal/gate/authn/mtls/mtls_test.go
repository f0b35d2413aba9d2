package mtls

import (
	"bytes"
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/gate/authn/authntest"
	"github.com/sallyport/sallyport/internal/model"
)

func user(id string, c model.Credential) model.User {
	c.ID, c.Type = "c-"+id, model.Certificate
	return model.User{ID: id, Username: id, Kind: model.Application, Active: true, Credentials: []model.Credential{c}}
}

func link(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil {
		panic(err)
	}
	return u
}

func connection(c *x509.Certificate) func(testing.TB) *model.Request {
	return func(testing.TB) *model.Request {
		r := authntest.Request("Accept", "*/*")
		r.TLS = &model.TLSFacts{Certificate: c}
		return r
	}
}

func TestMTLSKeepsTheContract(t *testing.T) {
	ca, d := authntest.NewCA(t), &authntest.Directory{}
	cert := ca.Issue(t, x509.Certificate{URIs: []*url.URL{link("spiffe://example.com/app")}})
	app := user("app", model.Credential{Fingerprint: strings.ToUpper(authn.Fingerprint(cert))})
	d.Put(app)
	authntest.Run(t, authntest.Suite{
		Method: func(testing.TB) authn.Method {
			return &Method{Lookup: d, Cache: authn.NewCache(100), Now: authntest.Now}
		},
		Good: connection(cert),
		Absent: map[string]func(testing.TB) *model.Request{
			"TLS without a certificate":      connection(nil),
			"a certificate that is nobody's": connection(ca.Issue(t, x509.Certificate{})),
			"Client-Cert from just anybody":  func(testing.TB) *model.Request { return authntest.Request("Client-Cert", sequence(cert)) },
			"Basic":                          func(testing.TB) *model.Request { return authntest.Request("Authorization", "Basic YTpi") },
			"a fingerprint in a header field": func(testing.TB) *model.Request {
				return authntest.Request("X-SSL-Client-Fingerprint", authn.Fingerprint(cert))
			},
		},
		Bad: map[string]func(testing.TB) *model.Request{
			"a certificate that did not verify": func(testing.TB) *model.Request {
				r := authntest.Request()
				r.TLS = &model.TLSFacts{CertificateFault: "certificate has expired"}
				return r
			},
		},
		Fail: d.Fail,
		Deactivate: func() {
			app.Active = false
			d.Put(app)
		},
	})
}

func ask(d *authntest.Directory, c *x509.Certificate) authn.Result {
	m := &Method{Lookup: d, Cache: authn.NewCache(100), Now: authntest.Now}
	return m.Authenticate(context.Background(), connection(c)(nil))
}

func TestCertificatesAreMappedByEveryName(t *testing.T) {
	ca := authntest.NewCA(t)
	cert := ca.Issue(t, x509.Certificate{Subject: pkix.Name{CommonName: "app, one", Organization: []string{"Example"}, Country: []string{"DE"}},
		URIs: []*url.URL{link("spiffe://example.com/app")}, DNSNames: []string{"app.example.com"}, EmailAddresses: []string{"app@example.com"}})
	for _, tc := range []struct {
		name  string
		c     model.Credential
		found bool
	}{
		{"fingerprint", model.Credential{Fingerprint: authn.Fingerprint(cert)}, true},
		{"URI", model.Credential{URI: "spiffe://example.com/app"}, true},
		{"DNS name", model.Credential{DNS: "app.example.com"}, true},
		{"DNS name in another case", model.Credential{DNS: "APP.example.com"}, true},
		{"e-mail address", model.Credential{Email: "app@example.com"}, true},
		{"subject", model.Credential{Subject: `CN=app\, one,O=Example,C=DE`}, true},
		{"the subject in another order", model.Credential{Subject: `C=DE,O=Example,CN=app\, one`}, false},
		{"the common name as a DNS name", model.Credential{DNS: "app, one"}, false},
		{"a DNS name as a URI", model.Credential{URI: "app.example.com"}, false},
		{"a parent of the DNS name", model.Credential{DNS: "example.com"}, false},
		{"a wildcard over the DNS name", model.Credential{DNS: "*.example.com"}, false},
		{"a longer URI", model.Credential{URI: "spiffe://example.com/app/x"}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := &authntest.Directory{}
			d.Put(user("app", tc.c))
			if r := ask(d, cert); (r.Outcome == authn.Proven) != tc.found || r.Outcome == authn.Bad {
				t.Errorf("outcome %d: %s", r.Outcome, r.Detail)
			} else if tc.found && !r.Proof.Ambient {
				t.Error("a certificate is not ambient")
			}
		})
	}
}

func TestNamesOfDifferentUsersMakeACertificateBad(t *testing.T) {
	ca, d := authntest.NewCA(t), &authntest.Directory{}
	cert := ca.Issue(t, x509.Certificate{DNSNames: []string{"a.example.com", "b.example.com"}})
	d.Put(user("a", model.Credential{DNS: "a.example.com"}))
	if r := ask(d, cert); r.Outcome != authn.Proven {
		t.Fatal(r.Detail)
	}
	d.Put(user("b", model.Credential{DNS: "b.example.com"}))
	if r := ask(d, cert); r.Outcome != authn.Bad || r.Err.Code != model.CredentialInvalid {
		t.Errorf("outcome %d", r.Outcome)
	}
	same := user("a", model.Credential{DNS: "a.example.com"})
	same.Credentials = append(same.Credentials, model.Credential{ID: "c2", Type: model.Certificate, Fingerprint: authn.Fingerprint(cert)})
	d.Remove("b")
	d.Put(same)
	if r := ask(d, cert); r.Outcome != authn.Proven || r.Proof.Credential.ID != "c2" {
		t.Errorf("two names of one user; the more exact one counts: %+v", r)
	}
}

func TestTheProofEndsWithTheCertificate(t *testing.T) {
	ca, d := authntest.NewCA(t), &authntest.Directory{}
	cert := ca.Issue(t, x509.Certificate{})
	d.Put(user("app", model.Credential{Fingerprint: authn.Fingerprint(cert)}))
	m := &Method{Lookup: d, Cache: authn.NewCache(100), Now: authntest.Now}
	r := connection(cert)(t)
	if res := m.Authenticate(context.Background(), r); res.Outcome != authn.Proven || !res.Proof.Expires.Equal(cert.NotAfter) {
		t.Fatalf("%+v", res)
	}
	r.Time = cert.NotAfter // on a connection that outlives it
	if res := m.Authenticate(context.Background(), r); res.Outcome != authn.Bad || res.Err.Code != model.CredentialExpired {
		t.Errorf("%+v", res)
	}
}

func TestAKnownCertificateDoesNotNeedTheStoreForItsOtherNames(t *testing.T) {
	ca, d := authntest.NewCA(t), &authntest.Directory{}
	cert := ca.Issue(t, x509.Certificate{DNSNames: []string{"x.example.com"}})
	d.Put(user("app", model.Credential{Fingerprint: authn.Fingerprint(cert)}))
	m := &Method{Lookup: half{d}, Cache: authn.NewCache(100), Now: authntest.Now}
	for range 2 {
		if r := m.Authenticate(context.Background(), connection(cert)(t)); r.Outcome != authn.Proven {
			t.Fatal(r.Detail)
		}
	}
}

func sequence(c *x509.Certificate) string {
	return ":" + base64.StdEncoding.EncodeToString(c.Raw) + ":"
}

// frontEnd makes requests as a front end with a shared secret sends them.
func frontEnd(fields ...string) *model.Request {
	r := authntest.Request(append([]string{"X-SSO-Secret", "a secret of the front end"}, fields...)...)
	r.Peer = netip.MustParseAddr("10.1.2.3")
	for i := range r.Fields {
		r.Fields[i].Dropped = true
	}
	return r
}

func forwarding(t testing.TB, d *authntest.Directory, ca *authntest.CA) *Method {
	t.Helper()
	cache := authn.NewCache(100)
	edge := &model.IdentityProvider{Name: "edge", Type: model.ProviderTrustedHeader, Enabled: true, Header: "X-SSO-User",
		From: []string{"10.0.0.0/8"}, SecretHeader: "X-SSO-Secret", Secret: "a secret of the front end"}
	roots := x509.NewCertPool()
	roots.AddCert(ca.Certificate)
	return &Method{Lookup: d, Cache: cache, Now: authntest.Now, Senders: []*authn.Sender{authn.NewSender(edge, cache)},
		Verify: func(leaf *x509.Certificate, chain []*x509.Certificate) error {
			pool := x509.NewCertPool()
			for _, c := range chain {
				pool.AddCert(c)
			}
			_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: pool, CurrentTime: authntest.Time,
				KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
			return err
		}}
}

func TestForwardedCertificatesKeepTheContract(t *testing.T) {
	ca, stranger, d := authntest.NewCA(t), authntest.NewCA(t), &authntest.Directory{}
	cert := ca.Issue(t, x509.Certificate{})
	past := ca.Issue(t, x509.Certificate{NotBefore: authntest.Time.Add(-2 * time.Hour), NotAfter: authntest.Time.Add(-time.Hour)})
	foreign := stranger.Issue(t, x509.Certificate{})
	app := user("app", model.Credential{Fingerprint: authn.Fingerprint(cert)})
	d.Put(app, user("past", model.Credential{Fingerprint: authn.Fingerprint(past)}), user("foreign", model.Credential{Fingerprint: authn.Fingerprint(foreign)}))
	from := func(change func(*model.Request), fields ...string) func(testing.TB) *model.Request {
		return func(testing.TB) *model.Request {
			r := frontEnd(fields...)
			if change != nil {
				change(r)
			}
			return r
		}
	}
	good := sequence(cert)
	authntest.Run(t, authntest.Suite{
		Method: func(testing.TB) authn.Method { return forwarding(t, d, ca) },
		Good:   from(nil, "Client-Cert", good),
		Absent: map[string]func(testing.TB) *model.Request{
			"a front end that sends none":    from(nil),
			"another address":                from(func(r *model.Request) { r.Peer = netip.MustParseAddr("192.0.2.1") }, "Client-Cert", good),
			"another secret":                 from(func(r *model.Request) { r.Fields[0].Value = "a secret of somebody else" }, "Client-Cert", good),
			"no secret":                      from(func(r *model.Request) { r.Fields = r.Fields[1:] }, "Client-Cert", good),
			"a secret beside another":        from(nil, "X-SSO-Secret", "x", "Client-Cert", good),
			"an alias of the field":          from(nil, "Client_Cert", good, "X-Client-Cert", good),
			"a certificate that is nobody's": from(nil, "Client-Cert", sequence(ca.Issue(t, x509.Certificate{}))),
		},
		Bad: map[string]func(testing.TB) *model.Request{
			"an expired certificate":             from(nil, "Client-Cert", sequence(past)),
			"a certificate of another authority": from(nil, "Client-Cert", sequence(foreign)),
			"two certificates":                   from(nil, "Client-Cert", good, "Client-Cert", sequence(past)),
			"two in one field":                   from(nil, "Client-Cert", good+", "+good),
			"PEM, as nginx sends it":             from(nil, "Client-Cert", "-----BEGIN%20CERTIFICATE-----"),
			"no colons":                          from(nil, "Client-Cert", strings.Trim(good, ":")),
			"an empty sequence":                  from(nil, "Client-Cert", "::"),
			"an empty field":                     from(nil, "Client-Cert", ""),
			"not a certificate":                  from(nil, "Client-Cert", ":AAAA:"),
			"more than a certificate":            from(nil, "Client-Cert", ":"+base64.StdEncoding.EncodeToString(append(bytes.Clone(cert.Raw), 0))+":"),
			"a broken chain":                     from(nil, "Client-Cert", good, "Client-Cert-Chain", "x"),
			"a chain without end":                from(nil, "Client-Cert", good, "Client-Cert-Chain", strings.Repeat(sequence(ca.Certificate)+", ", 9)+sequence(ca.Certificate)),
		},
		Secrets: []string{"a secret of the front end"},
		Fail:    d.Fail,
		Deactivate: func() {
			app.Active = false
			d.Put(app)
		},
	})
}

// CVE-2025-49825: certificates nested in requests need the checks of a handshake,
// each time anew after a while.
func TestForwardedCertificatesAreVerifiedAgain(t *testing.T) {
	ca, d := authntest.NewCA(t), &authntest.Directory{}
	cert := ca.Issue(t, x509.Certificate{})
	d.Put(user("app", model.Credential{Fingerprint: authn.Fingerprint(cert)}))
	m := forwarding(t, d, ca)
	r := frontEnd("Client-Cert", sequence(cert), "Client-Cert-Chain", sequence(ca.Certificate))
	if res := m.Authenticate(context.Background(), r); res.Outcome != authn.Proven {
		t.Fatal(res.Detail)
	}
	m.Verify = func(*x509.Certificate, []*x509.Certificate) error { return errors.New("it was revoked") }
	r.Time = r.Time.Add(recheck)
	if res := m.Authenticate(context.Background(), r); res.Outcome != authn.Bad || res.Err.Code != model.CredentialInvalid {
		t.Errorf("a minute after it was revoked: %+v", res)
	}
	r.Fields[2].Value = ""
	r.Time = authntest.Time
	if res := m.Authenticate(context.Background(), r); res.Outcome != authn.Bad {
		t.Error("what one chain proved was believed of another")
	}
}

func TestTheForwardedCertificateCountsAndNotTheFrontEnds(t *testing.T) {
	ca, d := authntest.NewCA(t), &authntest.Directory{}
	edge, client := ca.Issue(t, x509.Certificate{}), ca.Issue(t, x509.Certificate{})
	d.Put(user("edge", model.Credential{Fingerprint: authn.Fingerprint(edge)}), user("client", model.Credential{Fingerprint: authn.Fingerprint(client)}))
	r := frontEnd("Client-Cert", sequence(client))
	r.TLS = &model.TLSFacts{Certificate: edge}
	if res := forwarding(t, d, ca).Authenticate(context.Background(), r); authntest.Who(res) != "client" {
		t.Errorf("%q %s", authntest.Who(res), res.Detail)
	}
	without := forwarding(t, d, ca)
	without.Verify = nil
	if res := without.Authenticate(context.Background(), r); authntest.Who(res) != "edge" {
		t.Errorf("without a way to verify: %q", authntest.Who(res))
	}
}

// FuzzClientCert compares the reader with a plain one.
func FuzzClientCert(f *testing.F) {
	ca := authntest.NewCA(f)
	cert := ca.Issue(f, x509.Certificate{})
	f.Add(sequence(cert), "")
	f.Add(sequence(cert), sequence(ca.Certificate))
	f.Add("::", ",")
	f.Add(":AAAA:", ":AAAA:, :AAAA:")
	f.Fuzz(func(t *testing.T, value, chain string) {
		leaf, list, err := readClientCert(value, chain)
		if err != nil {
			return
		}
		if leaf == nil || value != sequence(leaf) || len(list) > mostInChain {
			t.Fatalf("took %q", value)
		}
		var items []string
		for _, c := range list {
			items = append(items, sequence(c))
		}
		if strings.NewReplacer(" ", "", "\t", "").Replace(chain) != strings.Join(items, ",") {
			t.Fatalf("took the chain %q", chain)
		}
	})
}

func BenchmarkRepeated(b *testing.B) {
	ca, d := authntest.NewCA(b), &authntest.Directory{}
	cert := ca.Issue(b, x509.Certificate{})
	d.Put(user("app", model.Credential{Fingerprint: authn.Fingerprint(cert)}))
	m := &Method{Lookup: d, Cache: authn.NewCache(100), Now: authntest.Now}
	r := connection(cert)(b)
	b.ReportAllocs()
	for b.Loop() {
		if m.Authenticate(context.Background(), r).Outcome != authn.Proven {
			b.Fatal("not proven")
		}
	}
}
