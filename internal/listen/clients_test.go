package listen

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"
	"time"
)

func TestClientCertificatesAreJudgedAndRefuseNoHandshake(t *testing.T) {
	dir := t.TempDir()
	ca, stranger := newAuthority(t, "clients"), newAuthority(t, "strangers")
	p := putPair(t, dir, "s", ca.server(1, "localhost"))
	caFile := put(t, dir, "ca.pem", ca.pem())
	tomorrow := time.Now().Add(24 * time.Hour)
	crl := put(t, dir, "crl.pem", ca.crl(tomorrow, 66))
	l := open(t, Config{TLS: &TLS{Certificates: []Pair{p}, ClientCA: caFile, ClientCRL: crl}}, Options{})

	for name, c := range map[string]struct {
		cert  *tls.Certificate
		has   bool
		fault string
	}{
		"none":           {nil, false, ""},
		"a good one":     {ptr(ca.client(7)), true, ""},
		"a revoked one":  {ptr(ca.client(66)), false, "revoked"},
		"an expired one": {ptr(ca.issue(spec{serial: 8, usage: clientUse, notAfter: time.Now().Add(-time.Hour)})), false, "expired"},
		"a stranger's":   {ptr(stranger.client(7)), false, "unknown authority"},
		"one for servers alone": {ptr(ca.issue(spec{serial: 9, usage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})), false,
			"incompatible key usage"},
		"one whose key is not for signing": {ptr(ca.issue(spec{serial: 10, usage: clientUse, keyUsage: x509.KeyUsageKeyEncipherment})), false, "not for signing"},
	} {
		conf := &tls.Config{ServerName: "localhost", RootCAs: ca.pool()}
		if c.cert != nil {
			conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c.cert, nil }
		}
		s, err := call(t, l, conf)
		if err != nil {
			t.Errorf("%s: the handshake failed: %v", name, err)
			continue
		}
		if s.Has != c.has || !strings.Contains(s.Fault, c.fault) || (c.fault == "") != (s.Fault == "") {
			t.Errorf("%s: has %v, fault %q", name, s.Has, s.Fault)
		}
	}
}

var clientUse = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}

func ptr[T any](v T) *T { return &v }

func TestAResumedSessionDoesNotBringBackARevokedCertificate(t *testing.T) {
	dir, ca := t.TempDir(), newAuthority(t, "clients")
	p := putPair(t, dir, "s", ca.server(1, "localhost"))
	next := time.Now().Add(time.Hour)
	crl := put(t, dir, "crl.pem", ca.crl(next))
	l := open(t, Config{TLS: &TLS{Certificates: []Pair{p}, ClientCA: put(t, dir, "ca.pem", ca.pem()), ClientCRL: crl}}, Options{})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		put(t, dir, "crl.pem", ca.crl(next))
		_ = l.Reload()
		conf := &tls.Config{ServerName: "localhost", RootCAs: ca.pool(), Certificates: []tls.Certificate{ca.client(40)},
			ClientSessionCache: tls.NewLRUClientSessionCache(8), MaxVersion: version}
		s, err := call(t, l, conf)
		if err != nil || !s.Has {
			t.Fatalf("before: %+v, %v", s, err)
		}
		put(t, dir, "crl.pem", ca.crl(next, 40))
		if err := l.Reload(); err != nil {
			t.Fatal(err)
		}
		s, err = call(t, l, conf)
		if err != nil {
			t.Fatal(err)
		}
		if !s.Resumed {
			t.Errorf("version %x: the session was not resumed, so that this test shows nothing", version)
		}
		if s.Has || !strings.Contains(s.Fault, "revoked") {
			t.Errorf("version %x: %+v", version, s)
		}
	}
}

func TestARevocationListThatCannotBeReliedOnRefuses(t *testing.T) {
	ca, other := newAuthority(t, "clients"), newAuthority(t, "clients") // same name, another key
	tomorrow, yesterday := time.Now().Add(24*time.Hour), time.Now().Add(-time.Minute)
	leaf := ca.client(7)
	for name, c := range map[string]struct {
		crl   []byte
		stale bool
		fault string
	}{
		"a good one":                        {ca.crl(tomorrow, 1), false, ""},
		"an old one":                        {ca.crl(yesterday, 1), false, "should have been replaced"},
		"an old one that is believed":       {ca.crl(yesterday, 1), true, ""},
		"an old one that revokes":           {ca.crl(yesterday, 7), true, "revoked"},
		"one that another signed":           {other.crl(tomorrow), false, "not signed by it"},
		"another's beside a good one":       {append(other.crl(tomorrow), ca.crl(tomorrow)...), false, ""},
		"another's beside one that revokes": {append(other.crl(tomorrow), ca.crl(tomorrow, 7)...), false, "revoked"},
		"one of somebody else":              {newAuthority(t, "else").crl(tomorrow), false, "nobody can say"},
	} {
		conf := &TLS{ClientCA: "ca", ClientCRL: "crl", StaleCRL: c.stale}
		cl, err := readClients(ca.pem(), c.crl, conf)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		err = cl.verify([]*x509.Certificate{leaf.Leaf}, time.Now())
		if (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Teleport CVE-2025-49825: what stands between leaf and root is checked as well.
func TestARevokedIntermediateRefusesWhatItSigned(t *testing.T) {
	root := newAuthority(t, "root")
	cross := root.issue(spec{serial: 5, names: []string{"mid"}, ca: true})
	signer := &signed{cross.Leaf, cross.PrivateKey}
	leaf := signer.issue(t, 9)
	tomorrow := time.Now().Add(time.Hour)
	chain := []*x509.Certificate{leaf, cross.Leaf}
	for name, c := range map[string]struct {
		crls  []byte
		fault string
	}{
		"both lists are clean":            {append(root.crl(tomorrow), signer.crl(t, tomorrow)...), ""},
		"the intermediate is revoked":     {append(root.crl(tomorrow, 5), signer.crl(t, tomorrow)...), "revoked"},
		"the leaf is revoked":             {append(root.crl(tomorrow), signer.crl(t, tomorrow, 9)...), "revoked"},
		"the intermediate's list is gone": {root.crl(tomorrow), "nobody can say"},
	} {
		cl, err := readClients(root.pem(), c.crls, &TLS{ClientCRL: "crl"})
		if err != nil {
			t.Fatal(err)
		}
		err = cl.verify(chain, time.Now())
		if (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
