//go:build e2e

package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority is a certificate authority made by openssl, with the commands that an
// operator would type.
type authority struct {
	t    testing.TB
	dir  string
	cert string // PEM file
	key  string
	crl  string
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key, a.crl = a.file("ca.pem"), a.file("ca.key"), a.file("ca.crl")
	write(t, a.file("index.txt"), "")
	write(t, a.file("crlnumber"), "01\n")
	write(t, a.file("ca.cnf"), fmt.Sprintf(`
[ca]
default_ca = main
[main]
database = %[1]s/index.txt
crlnumber = %[1]s/crlnumber
default_md = sha256
default_crl_days = 30
[req]
distinguished_name = dn
[dn]
`, a.dir))
	a.openssl("req", "-x509", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-config", a.file("ca.cnf"), "-keyout", a.key, "-out", a.cert, "-days", "30",
		"-subj", "/CN=Test Authority", "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
	a.revoke()
	return a
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

func (a *authority) openssl(args ...string) string {
	a.t.Helper()
	out, code := runProgram(a.t, 30*time.Second, nil, need(a.t, "openssl"), args...)
	if code != 0 {
		a.t.Fatalf("openssl %s: %s", strings.Join(args, " "), out)
	}
	return out
}

// issue makes a certificate and its key. Extensions are as openssl writes them,
// such as subjectAltName=DNS:x and extendedKeyUsage=clientAuth.
func (a *authority) issue(name, subject string, extensions ...string) (cert, key string) {
	a.t.Helper()
	cert, key = a.file(name+".pem"), a.file(name+".key")
	request, ext := a.file(name+".csr"), write(a.t, a.file(name+".ext"), strings.Join(extensions, "\n")+"\n")
	a.openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-config", a.file("ca.cnf"), "-keyout", key, "-out", request, "-subj", subject)
	a.openssl("x509", "-req", "-in", request, "-CA", a.cert, "-CAkey", a.key, "-CAcreateserial", "-days", "10", "-extfile", ext, "-out", cert)
	return cert, key
}

// revoke takes certificates back and writes the list anew.
func (a *authority) revoke(certs ...string) {
	a.t.Helper()
	for _, c := range certs {
		a.openssl("ca", "-config", a.file("ca.cnf"), "-cert", a.cert, "-keyfile", a.key, "-revoke", c)
	}
	a.openssl("ca", "-config", a.file("ca.cnf"), "-cert", a.cert, "-keyfile", a.key, "-gencrl", "-out", a.crl)
}

// fingerprint is the SHA-256 of a certificate, as openssl prints it.
func (a *authority) fingerprint(cert string) string {
	a.t.Helper()
	_, f, _ := strings.Cut(strings.TrimSpace(a.openssl("x509", "-in", cert, "-noout", "-fingerprint", "-sha256")), "=")
	return f
}

// server makes a certificate for host names.
func (a *authority) server(name string, hosts ...string) (cert, key string) {
	return a.issue(name, "/CN="+hosts[0], "subjectAltName=DNS:"+strings.Join(hosts, ",DNS:"), "extendedKeyUsage=serverAuth")
}
