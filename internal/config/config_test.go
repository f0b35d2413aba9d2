package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// pki writes two certificates with their keys and a revocation list into dir.
func pki(t testing.TB, dir string) {
	t.Helper()
	for _, name := range []string{"a", "b"} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCRLSign | x509.KeyUsageCertSign, SubjectKeyId: []byte{1}}
		der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		p8, _ := x509.MarshalPKCS8PrivateKey(key)
		crl, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour)}, c, key)
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, name+".crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
		write(t, dir, name+".key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: p8})))
		write(t, dir, name+".crl", string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: crl})))
		write(t, dir, name+".crl.der", string(crl))
	}
	write(t, dir, "junk", "not a certificate")
	write(t, dir, "locked.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
}

func write(t testing.TB, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAWholeBootFileIsRead(t *testing.T) {
	dir := t.TempDir()
	pki(t, dir)
	write(t, dir, "routes.yaml", "routes: []")
	write(t, dir, "host", "api.example.com\n")
	t.Setenv("LEVEL", "debug")
	c, faults := Load(write(t, dir, "sallyport.yaml", `
externalURL: "https://${file:host}/"
dataDir: ./state
listeners:
  - address: 0.0.0.0:8443
    serve: [proxy]
    tls:
      certificates: [{cert: a.crt, key: a.key}, {cert: b.crt, key: b.key}]
      clientCA: a.crt
      clientCRL: a.crl
      minVersion: "1.3"
  - {address: "0.0.0.0:8080", serve: [redirect]}
  - {address: "127.0.0.1:8444", serve: [admin, metrics], tls: {selfSigned: true}}
  - {address: "localhost:0", serve: [proxy]}
  - {address: ":8081", serve: [proxy], allowPlaintext: true}
trustedProxies: [10.0.0.0/8, 192.0.2.7]
store: sqlite:db/gateway.db
maxStale: 0
resources: [routes.yaml]
limits: {headerBytes: 16KiB, bodyBytes: 0, headerTimeout: 5s, idleTimeout: 1m, connections: 10}
log: {level: "${env:LEVEL}", format: text}
`))
	if faults != nil {
		t.Fatal(faults)
	}
	if c.ExternalURL != "https://api.example.com" || c.External.Host != "api.example.com" || c.StorePath != filepath.Join(dir, "db/gateway.db") ||
		c.DataDir != filepath.Join(dir, "state") || c.MaxStale != 0 || c.Resources[0] != filepath.Join(dir, "routes.yaml") ||
		c.Limits.HeaderBytes != 16<<10 || c.Limits.BodyBytes != 0 || c.Log.Level != "debug" || len(c.Trusted) != 2 {
		t.Errorf("%+v", c)
	}
	if l := c.Listeners[0]; l.TLS.Certificates[1].Key != filepath.Join(dir, "b.key") || l.TLS.ClientCRL != filepath.Join(dir, "a.crl") || l.TLS.MinVersion != "1.3" || l.Loopback() {
		t.Errorf("%+v", l.TLS)
	}
	if l := c.Listeners[2]; l.TLS.MinVersion != "1.2" || !l.Loopback() || !l.Serves(ServeMetrics) || l.Serves(ServeProxy) {
		t.Errorf("%+v", l)
	}
}

func TestWhatIsLeftOutHasADefault(t *testing.T) {
	dir := t.TempDir()
	c, faults := Load(write(t, dir, "s.yaml", "listeners: [{address: '127.0.0.1:8080', serve: [proxy]}]"))
	if faults != nil {
		t.Fatal(faults)
	}
	got := fmt.Sprintln(c.ExternalURL, c.MaxStale, c.Limits.HeaderBytes, c.Limits.BodyBytes, c.Limits.HeaderTimeout, c.Limits.IdleTimeout, c.Limits.Connections, c.Log)
	if want := fmt.Sprintln("http://localhost:8080", "1h", "32KiB", "10MiB", "10s", "1m30s", 100000, Log{"info", "json"}); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if c.StorePath != filepath.Join(dir, "data", "sallyport.db") {
		t.Errorf("the database is %s", c.StorePath)
	}
}

func TestFaultsOfTheBootFile(t *testing.T) {
	dir := t.TempDir()
	pki(t, dir)
	write(t, dir, "big", strings.Repeat("x", maxSecret+1))
	proxy := func(tls string) string { return "listeners:\n- address: 0.0.0.0:1\n  serve: [proxy]\n  tls: " + tls }
	const good = "listeners: [{address: '127.0.0.1:1', serve: [proxy]}]\n"
	for name, c := range map[string]struct{ text, want string }{
		"a field that does not exist":          {good + "teh: 1", "line 2: teh"},
		"acme is not built yet":                {proxy("{selfSigned: true, acme: {email: a@b.c}}"), "acme"},
		"PROXY protocol is not built yet":      {good + "proxyProtocolFrom: []", "proxyProtocolFrom"},
		"shared is not built yet":              {good + "shared: redis://x", "line 2: shared"},
		"telemetry is not built yet":           {good + "telemetry: {otlp: x}", "line 2: telemetry"},
		"no listeners":                         {"dataDir: x", "line 1: listeners: is empty"},
		"an address without port":              {"listeners: [{address: localhost, serve: [admin]}]", "listeners[0].address: is not host:port"},
		"a port out of range":                  {"listeners: [{address: ':65536', serve: [admin], allowPlaintext: true}]", `has "65536" for a port`},
		"a port by name":                       {"listeners: [{address: ':https', serve: [admin], allowPlaintext: true}]", `has "https" for a port`},
		"a host that is not an address":        {"listeners: [{address: 'api.example.com:1', serve: [proxy]}]", `has "api.example.com" for a host`},
		"nothing served":                       {"listeners: [{address: '127.0.0.1:1'}]", "serve: is missing"},
		"scim is not built yet":                {"listeners: [{address: '127.0.0.1:1', serve: [scim]}]", `serve[0]: "scim" is not served`},
		"served twice":                         {"listeners: [{address: '127.0.0.1:1', serve: [admin, admin]}]", "serve[1]: admin is there twice"},
		"proxy beside admin":                   {"listeners: [{address: '127.0.0.1:1', serve: [proxy, admin]}]", "a listener of their own"},
		"plain HTTP outside loopback":          {"listeners:\n- address: 0.0.0.0:1\n  serve: [proxy]", "line 2: listeners[0]: serves plain HTTP outside loopback"},
		"the admin API likewise":               {"listeners: [{address: '10.0.0.1:1', serve: [admin]}]", "plain HTTP outside loopback"},
		"allowPlaintext beside tls":            {"listeners: [{address: ':1', serve: [proxy], allowPlaintext: true, tls: {selfSigned: true}}]", "allowPlaintext: contradicts tls"},
		"redirect with tls":                    {"listeners: [{address: ':1', serve: [redirect], tls: {selfSigned: true}}]", "tls: contradicts serve: [redirect]"},
		"an address twice":                     {"listeners: [{address: '127.0.0.1:1', serve: [proxy]}, {address: 'localhost:1', serve: [admin]}]", "listeners[1].address: localhost:1 is taken by listeners[0]"},
		"an address that is within another":    {"listeners: [{address: ':1', serve: [redirect]}, {address: '127.0.0.1:1', serve: [admin]}]", "is taken by listeners[0]"},
		"tls without certificate":              {proxy("{}"), "tls: has no certificate"},
		"self-signed beside certificates":      {proxy("{selfSigned: true, certificates: [{cert: a.crt, key: a.key}]}"), "selfSigned: contradicts certificates"},
		"a certificate file that is not there": {proxy("{certificates: [{cert: no.crt, key: a.key}]}"), "certificates[0].cert: " + dir + "/no.crt: there is no such file"},
		"a key file that is not there":         {proxy("{certificates: [{cert: a.crt, key: no.key}]}"), "line 4: listeners[0].tls.certificates[0].key: " + dir + "/no.key: there is no such file"},
		"a key of another certificate":         {proxy("{certificates: [{cert: a.crt, key: b.key}]}"), "certificates[0].key: does not fit the certificate"},
		"a key that is encrypted":              {proxy("{certificates: [{cert: a.crt, key: locked.key}]}"), "key: is encrypted"},
		"a certificate that is none":           {proxy("{certificates: [{cert: junk, key: a.key}]}"), "cert: holds no PEM certificate"},
		"a key that is none":                   {proxy("{certificates: [{cert: a.crt, key: junk}]}"), "key: holds no PEM private key"},
		"a pair of which half is missing":      {proxy("{certificates: [{cert: a.crt}]}"), "key: is missing"},
		"a client CA that is none":             {proxy("{selfSigned: true, clientCA: junk}"), "clientCA: holds no PEM certificate"},
		"a CRL without CA":                     {proxy("{selfSigned: true, clientCRL: a.crl}"), "clientCRL: needs clientCA"},
		"a CRL that is none":                   {proxy("{selfSigned: true, clientCA: a.crt, clientCRL: a.crt}"), "clientCRL: holds no PEM block"},
		"TLS 1.1":                              {proxy(`{selfSigned: true, minVersion: "1.1"}`), "minVersion: is one of 1.2, 1.3"},
		"an external URL by plain HTTP":        {good + "externalURL: http://api.example.com", "line 2: externalURL: is an https URL"},
		"an external URL with a path":          {good + "externalURL: https://api.example.com/x", "without path"},
		"a trusted proxy that is no network":   {good + "trustedProxies: [front.example.com]", "trustedProxies[0]"},
		"everybody a trusted proxy":            {good + "trustedProxies: [0.0.0.0/0]", "believes the whole world"},
		"PostgreSQL is not built yet":          {good + "store: postgres://db/x", "line 2: store: names PostgreSQL, which is not built yet"},
		"a store of another kind":              {good + "store: mysql", "store: is sqlite"},
		"sqlite without path":                  {good + "store: 'sqlite:'", "store: is sqlite"},
		"a negative duration":                  {good + "maxStale: -1h", "maxStale"},
		"a number without unit":                {good + "limits: {idleTimeout: 90}", "limits.idleTimeout"},
		"no header timeout":                    {good + "limits: {headerTimeout: 0}", "limits.headerTimeout: is 100ms to 1h"},
		"headers of a gigabyte":                {good + "limits: {headerBytes: 1GiB}", "limits.headerBytes: is 4KiB to 1MiB"},
		"no connections":                       {good + "limits: {connections: 0}", "limits.connections"},
		"a level of another tool":              {good + "log: {level: trace}", "log.level: is one of debug"},
		"a resource file that is not there":    {good + "resources: [no.yaml]", `resources[0]: "no.yaml": there is no such file`},
		"a variable that is not set":           {good + "dataDir: ${env:SALLYPORT_NO_SUCH}", "dataDir: names ${env:SALLYPORT_NO_SUCH}, which cannot be had"},
		"a secret file that is not there":      {good + "dataDir: ${file:no}", "there is no such file"},
		"a secret file that is too large":      {good + "dataDir: ${file:big}", "not a file of at most 1MiB"},
		"a data folder that is a file":         {good + "dataDir: junk", "dataDir: is not a folder"},
		"text that is not YAML":                {"a: [", "is not YAML"},
		"a list":                               {"- a", "line 1"},
	} {
		t.Run(name, func(t *testing.T) {
			_, faults := Parse([]byte(c.text), filepath.Join(dir, "s.yaml"))
			var all []string
			for _, f := range faults {
				all = append(all, f.String())
				if f.File == "" || f.Line == 0 {
					t.Errorf("no file and line: %+v", f)
				}
			}
			if !strings.Contains(strings.Join(all, "\n"), c.want) {
				t.Errorf("%q is not in %q", c.want, all)
			}
		})
	}
}

func TestAllFaultsComeAtOnce(t *testing.T) {
	_, faults := Parse([]byte(`
externalURL: ftp://x
unknown: 1
listeners:
  - address: nonsense
    serve: [proxy, nothing]
  - address: 0.0.0.0:1
    serve: [admin]
    tls: {certificates: [{cert: no, key: no}], minVersion: 2}
store: oracle
limits: {connections: many}
log: {level: loud}
`), "s.yaml")
	lines := map[int]bool{}
	for _, f := range faults {
		lines[f.Line] = true
	}
	for _, want := range []int{2, 3, 5, 6, 9, 10, 11, 12} {
		if !lines[want] {
			t.Errorf("no fault of line %d", want)
		}
	}
	for i, f := range faults {
		for _, g := range faults[:i] {
			if f == g {
				t.Errorf("reported twice: %v", f)
			}
		}
	}
}

func TestAMissingBootFileIsOneFault(t *testing.T) {
	_, faults := Load(filepath.Join(t.TempDir(), "none.yaml"))
	if len(faults) != 1 || !strings.Contains(faults[0].Message, "no such file") {
		t.Error(faults)
	}
}

func TestARevocationListMayBeDER(t *testing.T) {
	dir := t.TempDir()
	pki(t, dir)
	b, _ := os.ReadFile(filepath.Join(dir, "a.crl.der"))
	if l, err := ParseCRLs(b); err != nil || len(l) != 1 {
		t.Error(l, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("listeners: [{address: ':1', serve: [proxy], tls: {certificates: [{cert: a, key: b}]}}]")
	f.Add("store: sqlite:\nlimits: {bodyBytes: 1}\ntrustedProxies: [::/0]")
	f.Fuzz(func(t *testing.T, text string) {
		c, faults := Parse([]byte(text), "/nonexistent/s.yaml")
		if len(faults) == 0 && (c == nil || c.External == nil || c.StorePath == "" || len(c.Listeners) == 0) {
			t.Fatalf("accepted and not whole: %+v", c)
		}
		for _, l := range c.listenersOrNone() {
			if len(faults) == 0 && l.TLS == nil && !l.AllowPlaintext && !l.Loopback() && (l.Serves(ServeProxy) || l.Serves(ServeAdmin)) {
				t.Fatal("plain HTTP outside loopback was accepted")
			}
		}
	})
}

func (c *Config) listenersOrNone() []Listener {
	if c == nil {
		return nil
	}
	return c.Listeners
}
