package config

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"strings"

	"github.com/sallyport/sallyport/internal/model"
)

func (t *TLS) validate(c *Config, path string, f *model.Faults) {
	switch {
	case t.SelfSigned && len(t.Certificates) > 0:
		f.Add(path+".selfSigned", "contradicts certificates; take one of them away")
	case !t.SelfSigned && len(t.Certificates) == 0:
		f.Add(path, "has no certificate; name certificates, or write selfSigned: true for trials")
	}
	for i := range t.Certificates {
		t.Certificates[i].validate(c, at(path+".certificates", i), f)
	}
	oneOf(f, path+".minVersion", t.MinVersion, "1.2", "1.3")
	if t.ClientCA != "" {
		t.ClientCA = c.Resolve(t.ClientCA)
		if b, ok := read(t.ClientCA, path+".clientCA", f); ok && !x509.NewCertPool().AppendCertsFromPEM(b) {
			f.Add(path+".clientCA", "holds no PEM certificate")
		}
	}
	if t.ClientCRL != "" {
		t.ClientCRL = c.Resolve(t.ClientCRL)
		if t.ClientCA == "" {
			f.Add(path+".clientCRL", "needs clientCA, whose certificates it takes back")
		}
		if b, ok := read(t.ClientCRL, path+".clientCRL", f); ok {
			if _, err := ParseCRLs(b); err != nil {
				f.Add(path+".clientCRL", err.Error())
			}
		}
	}
}

func read(file, path string, f *model.Faults) ([]byte, bool) {
	b, err := os.ReadFile(file)
	if err != nil {
		f.Add(path, file+": "+unreadable(err))
	}
	return b, err == nil
}

func (p *Pair) validate(c *Config, path string, f *model.Faults) {
	for _, x := range []struct {
		name string
		file *string
	}{{"cert", &p.Cert}, {"key", &p.Key}} {
		if *x.file == "" {
			f.Add(path+"."+x.name, "is missing; name a PEM file")
			continue
		}
		*x.file = c.Resolve(*x.file)
	}
	if p.Cert == "" || p.Key == "" {
		return
	}
	cert, certOK := read(p.Cert, path+".cert", f)
	key, keyOK := read(p.Key, path+".key", f)
	if certOK && keyOK {
		_, err := tls.X509KeyPair(cert, key)
		if field, message := pairFault(cert, key, err); message != "" {
			f.Add(path+field, message)
		}
	}
}

// pairFault says which of a pair's files is at fault, and why.
func pairFault(cert, key []byte, err error) (field, message string) {
	if err == nil {
		return "", ""
	}
	leaf := block(cert, func(kind string) bool { return kind == "CERTIFICATE" })
	if leaf == nil {
		return ".cert", "holds no PEM certificate"
	}
	if _, err := x509.ParseCertificate(leaf.Bytes); err != nil {
		return ".cert", "holds a certificate that cannot be read: " + err.Error()
	}
	private := block(key, func(kind string) bool { return strings.HasSuffix(kind, "PRIVATE KEY") })
	switch {
	case private == nil:
		return ".key", "holds no PEM private key"
	case private.Type == "ENCRYPTED PRIVATE KEY" || private.Headers["DEK-Info"] != "":
		return ".key", "is encrypted with a passphrase; decrypt it (openssl pkey -in KEY -out PLAIN)"
	case !readable(private.Bytes):
		return ".key", "holds a private key that cannot be read; write PKCS #8, PKCS #1 or SEC 1"
	}
	return ".key", "does not fit the certificate: it is the key of another one"
}

func block(b []byte, fits func(kind string) bool) *pem.Block {
	for p, rest := pem.Decode(b); p != nil; p, rest = pem.Decode(rest) {
		if fits(p.Type) {
			return p
		}
	}
	return nil
}

func readable(der []byte) bool {
	_, err8 := x509.ParsePKCS8PrivateKey(der)
	_, err1 := x509.ParsePKCS1PrivateKey(der)
	_, errEC := x509.ParseECPrivateKey(der)
	return err8 == nil || err1 == nil || errEC == nil
}
