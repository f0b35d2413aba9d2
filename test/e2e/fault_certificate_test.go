//go:build e2e

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// mint makes a certificate that anybody can tell by its serial number.
func mint(t testing.TB, serial int64, names ...string) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: fmt.Sprint("number ", serial)}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	pk, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pk}))
}

// serial is the number of the certificate that the gateway shows.
func (g *gateway) serial(t testing.TB) int64 {
	t.Helper()
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", g.proxy, &tls.Config{InsecureSkipVerify: true, ServerName: "api.example.com"})
	if err != nil {
		t.Fatalf("a handshake failed: %v", err)
	}
	defer func() { _ = c.Close() }()
	return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

// linked makes live a link to a folder with the pair, in one step, as deployments do.
func linked(t testing.TB, dir, name, cert, key string) {
	t.Helper()
	write(t, filepath.Join(dir, name, "tls.crt"), cert)
	write(t, filepath.Join(dir, name, "tls.key"), key)
	aside := filepath.Join(dir, "live.new")
	if err := os.Symlink(name, aside); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(aside, filepath.Join(dir, "live")); err != nil {
		t.Fatal(err)
	}
}

func TestNoHandshakeFailsWhileCertificatesRotate(t *testing.T) {
	rotations, random := counts(10, 100), seeded(t)
	b, dir := newLedger(t, nil), t.TempDir()
	cert, key := mint(t, 1, "api.example.com")
	linked(t, dir, "v1", cert, key)
	g := start(t, options{dir: dir, resources: withBackend(everyone, b.URL),
		proxyTLS: `{certificates: [{cert: live/tls.crt, key: live/tls.key}]}`})
	g.api(t, "GET", "/v2/status", "") // so that no slow first login falls into the load
	var least, most atomic.Int64
	least.Store(1)
	most.Store(1)
	var total tally
	var c crew
	resumed := tls.NewLRUClientSessionCache(8)
	c.work(4, func(w, i int) {
		if w == 0 { // a kept connection must not notice
			begin := time.Now()
			a, err := exchange(g.client, "POST", g.url("/open"), "x")
			total.note(a, err, time.Since(begin))
			time.Sleep(5 * time.Millisecond)
			return
		}
		conf := &tls.Config{InsecureSkipVerify: true, ServerName: "api.example.com"}
		if w == 1 {
			conf.ClientSessionCache = resumed
		}
		if w == 2 {
			conf.MaxVersion = tls.VersionTLS12
		}
		low, begin := least.Load(), time.Now()
		one := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: conf, DisableKeepAlives: true}}
		res, err := one.Get(g.url("/open"))
		if err != nil {
			total.note(nil, err, time.Since(begin))
			return
		}
		_ = res.Body.Close()
		total.note(&answer{status: res.StatusCode}, nil, time.Since(begin))
		n := res.TLS.PeerCertificates[0].SerialNumber.Int64()
		if high := most.Load(); n > high || n < low && !res.TLS.DidResume {
			t.Errorf("certificate %d was shown, when %d to %d could be", n, low, high)
		}
	})
	var took []time.Duration
	for n := int64(2); n < int64(rotations+2) && !t.Failed(); n++ {
		cert, key := mint(t, n, "api.example.com")
		if random.n(3) == 0 {
			offered := g.broken(t, dir, cert, random)
			time.Sleep(time.Duration(random.n(2)) * 1200 * time.Millisecond) // with and without being looked at
			if s := g.serial(t); s != n-1 {
				t.Errorf("%s was offered, and certificate %d is shown instead of the old %d", offered, s, n-1)
			}
		}
		most.Store(n)
		begin := time.Now()
		switch random.n(3) {
		case 0: // in place, first one file and then the other
			write(t, filepath.Join(dir, "live", "tls.crt"), cert)
			time.Sleep(random.upTo(30 * time.Millisecond))
			write(t, filepath.Join(dir, "live", "tls.key"), key)
		default:
			linked(t, dir, fmt.Sprint("v", n), cert, key)
		}
		if random.n(2) == 0 {
			g.signal(syscall.SIGHUP)
		}
		until(t, 10*time.Second, "the new certificate is shown", func() bool { return g.serial(t) == n })
		took = append(took, time.Since(begin))
		least.Store(n)
	}
	c.end()
	total.only(t, "while certificates rotated", 200)
	t.Logf("%d rotations, taken up after %s; %v", rotations, spread(took), &total)
	within(t, "taking up a certificate", percentile(took, 1), 1500*time.Millisecond)
}

// broken offers a pair that cannot be used.
func (g *gateway) broken(t testing.TB, dir, cert string, random *dice) string {
	t.Helper()
	other, otherKey := mint(t, 999, "api.example.com")
	name := fmt.Sprint("broken", random.n(1<<30))
	switch random.n(5) {
	case 0:
		linked(t, dir, name, cert, otherKey)
		return "a key of another certificate"
	case 1:
		linked(t, dir, name, other, "")
		return "an empty key"
	case 2:
		linked(t, dir, name, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", otherKey)
		return "a certificate that is none"
	case 3:
		linked(t, dir, name, other[:len(other)/2], otherKey)
		return "half a certificate"
	}
	linked(t, dir, name, other, "")
	_ = os.Remove(filepath.Join(dir, name, "tls.key"))
	return "a missing key"
}
