//go:build e2e

package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const sites = `
settings: {reverseProxyAuthentication: {enabled: true}}
services: [{name: api, targets: [{url: "BACKEND"}]}]
routes:
  - {name: one, hosts: [one.example.com], paths: [/], service: api, access: public}
  - {name: two, hosts: [two.example.com, "*.wild.example.com"], paths: [/], service: api, access: public}
`

// shownTo is the certificate that the gateway shows for a server name.
func (g *gateway) shownTo(t testing.TB, name string) *x509.Certificate {
	t.Helper()
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", g.proxy, &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err != nil {
		t.Fatalf("handshake for %q: %v", name, err)
	}
	defer func() { _ = c.Close() }()
	return c.ConnectionState().PeerCertificates[0]
}

func TestEachServerNameGetsItsCertificate(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		b := newBackend(t, nil)
		ca := newAuthority(t)
		one, oneKey := ca.server("one", "one.example.com")
		two, twoKey := ca.server("two", "two.example.com", "*.wild.example.com")
		g := start(t, options{engine: engine, resources: withBackend(sites, b.URL), redirect: true, external: "https://one.example.com",
			proxyTLS: fmt.Sprintf("{certificates: [{cert: %s, key: %s}, {cert: %s, key: %s}]}", one, oneKey, two, twoKey)})
		for name, want := range map[string]string{"one.example.com": "one.example.com", "two.example.com": "two.example.com", "TWO.Example.Com": "two.example.com",
			"a.wild.example.com": "two.example.com", "": "one.example.com", "unknown.example.com": "one.example.com", "b.a.wild.example.com": "one.example.com"} {
			if got := g.shownTo(t, name).DNSNames[0]; got != want {
				t.Errorf("%q is shown the certificate of %s, want %s", name, got, want)
			}
		}
		// By curl, which verifies.
		_, port, _ := net.SplitHostPort(g.proxy)
		for _, host := range []string{"one.example.com", "two.example.com", "shop.wild.example.com"} {
			out, code := runProgram(t, 30*time.Second, nil, need(t, "curl"), "-sS", "--noproxy", "*", "--cacert", ca.cert, "--resolve", host+":"+port+":127.0.0.1",
				"-o", os.DevNull, "-w", "%{http_code}", "https://"+host+":"+port+"/")
			if code != 0 || out != "200" {
				t.Errorf("curl to %s: exit %d, %s", host, code, out)
			}
		}
		for _, c := range []struct {
			sni, host string
			status    int
		}{
			{"one.example.com", "one.example.com", 200},
			{"one.example.com", "ONE.example.com.:" + port, 200},
			{"one.example.com", "two.example.com", 421},
			{"one.example.com", "x.wild.example.com", 421},
			{"two.example.com", "one.example.com", 421},
			{"two.example.com", "x.wild.example.com", 200}, // one certificate covers both
			{"a.wild.example.com", "b.wild.example.com", 200},
			{"", "two.example.com", 200}, // no server name was sent
			{"one.example.com", "elsewhere.example.com", 404},
		} {
			conf := &tls.Config{ServerName: c.sni, NextProtos: []string{"http/1.1"}}
			w := dialWire(t, g.proxy, true, conf)
			before := len(b.saw())
			w.send("GET / HTTP/1.1\r\nHost: " + c.host + "\r\n\r\n")
			a := w.answer(t, "GET")
			if a.status != c.status || c.status == 421 && a.code() != "misdirected" {
				t.Errorf("server name %q, Host %q: %d %s, want %d", c.sni, c.host, a.status, a.code(), c.status)
			}
			if c.status != 200 && len(b.saw()) != before {
				t.Errorf("server name %q, Host %q: refused, and forwarded", c.sni, c.host)
			}
			_ = w.Close()

			h2 := newClient(t, true)
			h2.Transport.(*http.Transport).TLSClientConfig.ServerName = c.sni
			if c.sni == "" {
				continue // Go's client sends the address then
			}
			a, err := exchange(h2, "GET", "https://"+g.proxy+"/", "", header("Host", c.host))
			if err != nil || a.status != c.status {
				t.Errorf("HTTP/2, server name %q, Host %q: %v %+v, want %d", c.sni, c.host, err, a, c.status)
			}
		}

		t.Run("plain HTTP is sent to https", func(t *testing.T) {
			for _, c := range []struct{ host, target, location string }{
				{"one.example.com", "/a/b?c=d", "https://one.example.com/a/b?c=d"},
				{"two.example.com", "/", "https://two.example.com/"},
				{"evil.example", "/", "https://one.example.com/"},
				{"evil.example\\@one.example.com", "/", ""},
				{"one.example.com", "//evil.example/", "https://one.example.com/"},
				{"one.example.com", "/\\evil.example", ""},
				{"one.example.com", "http://evil.example/x", ""},
			} {
				w := dialWire(t, g.redirect, false, nil)
				w.send("GET " + c.target + " HTTP/1.1\r\nHost: " + c.host + "\r\n\r\n")
				a := w.answer(t, "GET")
				loc := a.header.Get("Location")
				if a.status == 308 && !strings.HasPrefix(loc, "https://one.example.com/") && !strings.HasPrefix(loc, "https://two.example.com/") {
					t.Errorf("%s%s is sent to %q", c.host, c.target, loc)
				}
				if c.location != "" && (a.status != 308 || loc != c.location) {
					t.Errorf("%s%s: %d %q, want %q", c.host, c.target, a.status, loc, c.location)
				}
				_ = w.Close()
			}
			out, code := runProgram(t, 30*time.Second, nil, need(t, "curl"), "-sS", "--noproxy", "*", "-L", "--cacert", ca.cert, "--connect-to", "one.example.com:443:"+g.proxy, "--connect-to", "one.example.com:80:"+g.redirect,
				"-o", os.DevNull, "-w", "%{http_code} %{num_redirects}", "http://one.example.com/")
			if code != 0 || out != "200 1" {
				t.Errorf("curl -L: exit %d, %s", code, out)
			}
		})
		t.Run("plain HTTP on the port of https is told so", func(t *testing.T) {
			w := dialWire(t, g.proxy, false, nil)
			w.send("GET / HTTP/1.1\r\nHost: one.example.com\r\n\r\n")
			if a, err := w.tryAnswer("GET"); err != nil || a.status != 400 {
				t.Errorf("%v %+v", err, a)
			}
		})
	})
}

func TestCertificatesAreTakenUpWithoutARestart(t *testing.T) {
	t.Parallel()
	b := newBackend(t, nil)
	ca := newAuthority(t)
	dir := t.TempDir()
	// As Kubernetes and certbot lay it out: the file is a link into a folder that is swapped.
	place := func(generation, cert, key string) {
		t.Helper()
		write(t, filepath.Join(dir, generation, "tls.crt"), cert)
		write(t, filepath.Join(dir, generation, "tls.key"), key)
		next := filepath.Join(dir, "..next")
		_ = os.Remove(next)
		if err := os.Symlink(generation, next); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	pair := func(name string) (cert, key string) {
		c, k := ca.server(name, "api.example.com")
		return read(t, c), read(t, k)
	}
	cert1, key1 := pair("first")
	place("g1", cert1, key1)
	for _, f := range []string{"tls.crt", "tls.key"} {
		if err := os.Symlink(filepath.Join("..data", f), filepath.Join(dir, f)); err != nil {
			t.Fatal(err)
		}
	}
	g := start(t, options{resources: withBackend(everyone, b.URL),
		proxyTLS: fmt.Sprintf("{certificates: [{cert: %s, key: %s}]}", filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))})
	first := g.shownTo(t, "api.example.com").SerialNumber
	long := g.wire(t) // a connection that was there before
	cert2, key2 := pair("second")
	place("g2", cert2, key2)
	until(t, 5*time.Second, "the second certificate is shown", func() bool { return g.shownTo(t, "api.example.com").SerialNumber.Cmp(first) != 0 })
	second := g.shownTo(t, "api.example.com").SerialNumber
	long.send("GET /open HTTP/1.1\r\nHost: x\r\n\r\n")
	if a := long.answer(t, "GET"); a.status != 200 {
		t.Errorf("the old connection: %d", a.status)
	}

	// A broken pair is refused, and the old one goes on.
	cert3, key3 := pair("third")
	for what, files := range map[string][2]string{"a key of another certificate": {cert3, key2}, "half a certificate": {cert3[:len(cert3)/2], key3}, "no certificate": {"", key3}, "a key that is none": {cert3, "secret"}} {
		place("bad-"+strings.ReplaceAll(what, " ", "-"), files[0], files[1])
		g.signal(syscall.SIGHUP)
		time.Sleep(1500 * time.Millisecond)
		if got := g.shownTo(t, "api.example.com").SerialNumber; got.Cmp(second) != 0 {
			t.Errorf("%s was taken up", what)
		}
		if !strings.Contains(g.log.String(), "refused") && !strings.Contains(g.log.String(), "the old ones stay") {
			t.Errorf("%s: nothing is said in the log", what)
		}
	}
	place("g4", cert3, key3)
	g.signal(syscall.SIGHUP) // at once
	until(t, 3*time.Second, "the whole pair is taken up", func() bool {
		n := g.shownTo(t, "api.example.com").SerialNumber
		return n.Cmp(second) != 0
	})
}

func TestAGatewayMakesACertificateForTrials(t *testing.T) {
	t.Parallel()
	b := newBackend(t, nil)
	g := start(t, options{resources: withBackend(everyone, b.URL), external: "https://api.example.com"})
	_, port, _ := net.SplitHostPort(g.proxy)
	trusts := func(ca string) {
		t.Helper()
		for _, host := range []string{"api.example.com", "localhost", "127.0.0.1"} {
			out, code := runProgram(t, 30*time.Second, nil, need(t, "curl"), "-sS", "--noproxy", "*", "--cacert", ca, "--resolve", "api.example.com:"+port+":127.0.0.1",
				"-o", os.DevNull, "-w", "%{http_code}", "https://"+host+":"+port+"/open")
			if code != 0 || out != "200" {
				t.Errorf("curl to %s, which trusts the gateway's own CA: exit %d, %s", host, code, out)
			}
		}
	}
	ca := filepath.Join(g.dir, "data", "tls", "ca.crt")
	before := read(t, ca)
	trusts(ca)
	g.stop(t)
	g.run(t)
	trusts(write(t, filepath.Join(t.TempDir(), "ca.crt"), before)) // the CA outlives a restart, as clients trust it
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11} {
		if conn, err := tls.Dial("tcp", g.proxy, &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version}); err == nil {
			_ = conn.Close()
			t.Errorf("TLS version %x is spoken", version)
		}
	}
}
