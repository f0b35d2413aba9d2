package trustedheader

import (
	"context"
	"crypto/x509"
	"net/netip"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/gate/authn/authntest"
	"github.com/sallyport/sallyport/internal/model"
)

const secret = "a secret of the front end"

func edge() model.IdentityProvider {
	return model.IdentityProvider{Name: "edge", Type: model.ProviderTrustedHeader, Enabled: true, Header: "X-SSO-User",
		From: []string{"10.0.0.0/8"}, SecretHeader: "X-SSO-Secret", Secret: secret}
}

func request(change func(*model.Request), fields ...string) func(testing.TB) *model.Request {
	return func(testing.TB) *model.Request {
		r := authntest.Request(append([]string{"X-SSO-Secret", secret}, fields...)...)
		r.Peer = netip.MustParseAddr("10.1.2.3")
		if change != nil {
			change(r)
		}
		return r
	}
}

func TestTrustedHeaderKeepsTheContract(t *testing.T) {
	peer := func(a string) func(*model.Request) { return func(r *model.Request) { r.Peer = netip.MustParseAddr(a) } }
	sent := func(v string) func(*model.Request) { return func(r *model.Request) { r.Fields[0].Value = v } }
	off := edge()
	off.Name, off.Header, off.Enabled = "off", "X-Off-User", false
	authntest.Run(t, authntest.Suite{
		Method: func(testing.TB) authn.Method {
			return New([]model.IdentityProvider{edge(), off}, authn.NewCache(100), authntest.Now)
		},
		Good: request(nil, "x-sso-user", "alice"),
		Absent: map[string]func(testing.TB) *model.Request{
			"the front end with nobody":        request(nil),
			"the front end with an empty name": request(nil, "X-SSO-User", ""),
			"another address":                  request(peer("192.0.2.1"), "X-SSO-User", "alice"),
			"an address that begins alike":     request(peer("11.1.2.3"), "X-SSO-User", "alice"),
			"no address":                       request(func(r *model.Request) { r.Peer = netip.Addr{} }, "X-SSO-User", "alice"),
			"another secret":                   request(sent("a secret of another end!!"), "X-SSO-User", "alice"),
			"the beginning of the secret":      request(sent(secret[:10]), "X-SSO-User", "alice"),
			"an empty secret":                  request(sent(""), "X-SSO-User", "alice"),
			"no secret":                        request(func(r *model.Request) { r.Fields = r.Fields[1:] }, "X-SSO-User", "alice"),
			"the secret beside a wrong one":    request(nil, "X-SSO-Secret", "x", "X-SSO-User", "alice"),
			"the secret under an alias":        request(func(r *model.Request) { r.Fields[0].Name = "X_SSO_Secret" }, "X-SSO-User", "alice"),
			"the name under an alias":          request(nil, "X_SSO_User", "alice", "X.SSO.User", "alice", "HTTP_X_SSO_USER", "alice"),
			"a claimed address":                request(peer("192.0.2.1"), "X-Forwarded-For", "10.1.2.3", "X-SSO-User", "alice"),
		},
		Bad: map[string]func(testing.TB) *model.Request{
			"two different names":      request(nil, "X-SSO-User", "alice", "X-SSO-User", "bob"),
			"a name and an empty one":  request(nil, "X-SSO-User", "alice", "X-SSO-User", ""),
			"a control character":      request(nil, "X-SSO-User", "al\x00ice"),
			"bytes that are not UTF-8": request(nil, "X-SSO-User", "al\xffice"),
			"a name of 255 characters": request(nil, "X-SSO-User", strings.Repeat("a", 255)),
			"a disabled provider":      request(nil, "X-Off-User", "alice"),
		},
		Secrets: []string{secret},
	})
}

func TestIPv4InIPv6IsTheSameNetwork(t *testing.T) {
	m := New([]model.IdentityProvider{edge()}, authn.NewCache(100), authntest.Now)
	r := request(func(r *model.Request) { r.Peer = netip.MustParseAddr("::ffff:10.1.2.3") }, "X-SSO-User", "alice")(t)
	if res := m.Authenticate(context.Background(), r); authntest.Who(res) != "edge/alice" || !res.Proof.Ambient {
		t.Errorf("%+v", res)
	}
}

func TestAForgeryIsToldToTheAudit(t *testing.T) {
	m := New([]model.IdentityProvider{edge()}, authn.NewCache(100), authntest.Now)
	if res := m.Authenticate(context.Background(), authntest.Request("X-SSO-User", "alice")); res.Outcome != authn.NotMine || !strings.Contains(res.Detail, "edge") {
		t.Errorf("%+v", res)
	}
}

func TestNoProviderBelievesNobody(t *testing.T) {
	bare := edge()
	bare.From, bare.Secret, bare.SecretHeader = nil, "", ""
	masked := edge()
	masked.Secret = model.Mask
	open := edge()
	open.From = nil
	for name, p := range map[string]model.IdentityProvider{"without a proof": bare, "with the mask as its secret": masked, "without addresses": open} {
		m := New([]model.IdentityProvider{p}, authn.NewCache(100), authntest.Now)
		for _, s := range []string{secret, "", model.Mask} {
			r := request(func(r *model.Request) { r.Fields[0].Value = s }, "X-SSO-User", "alice")(t)
			if res := m.Authenticate(context.Background(), r); res.Outcome != authn.NotMine {
				t.Errorf("a provider %s believed %q", name, s)
			}
		}
	}
}

func TestFrontEndsProveThemselvesByCertificate(t *testing.T) {
	ca := authntest.NewCA(t)
	front, other := ca.Issue(t, x509.Certificate{DNSNames: []string{"front.example.com"}}), ca.Issue(t, x509.Certificate{DNSNames: []string{"other.example.com"}})
	for _, named := range []string{authn.Fingerprint(front), strings.ToUpper(authn.Fingerprint(front)), "Front.Example.com"} {
		p := edge()
		p.From, p.Secret, p.SecretHeader, p.ClientCertificate = nil, "", "", named
		m := New([]model.IdentityProvider{p}, authn.NewCache(100), authntest.Now)
		for range 2 {
			for _, tc := range []struct {
				tls  *model.TLSFacts
				want authn.Outcome
			}{
				{&model.TLSFacts{Certificate: front}, authn.Proven}, {&model.TLSFacts{Certificate: other}, authn.NotMine},
				{&model.TLSFacts{Certificate: front, CertificateFault: "revoked"}, authn.NotMine}, {&model.TLSFacts{}, authn.NotMine}, {nil, authn.NotMine},
			} {
				r := authntest.Request("X-SSO-User", "alice")
				r.TLS = tc.tls
				if res := m.Authenticate(context.Background(), r); res.Outcome != tc.want {
					t.Errorf("named %q, %+v: outcome %d", named, tc.tls, res.Outcome)
				}
			}
		}
	}
}

func TestTwoProvidersHeadersInOneRequestAreRefused(t *testing.T) {
	second := edge()
	second.Name, second.Header = "second", "X-Other-User"
	m := New([]model.IdentityProvider{edge(), second}, authn.NewCache(100), authntest.Now)
	r := request(nil, "X-SSO-User", "alice", "X-Other-User", "alice")(t)
	if res := m.Authenticate(context.Background(), r); res.Outcome != authn.Bad {
		t.Errorf("outcome %d", res.Outcome)
	}
}

func BenchmarkRepeated(b *testing.B) {
	m := New([]model.IdentityProvider{edge()}, authn.NewCache(100), authntest.Now)
	r := request(nil, "Accept", "*/*", "X-SSO-User", "alice")(b)
	b.ReportAllocs()
	for b.Loop() {
		if m.Authenticate(context.Background(), r).Outcome != authn.Proven {
			b.Fatal("not proven")
		}
	}
}
