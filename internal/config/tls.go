package config

import (
	"bytes"
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
	block, _ := pem.Decode(key)
	switch {
	case !bytes.Contains(cert, []byte("-----BEGIN CERTIFICATE-----")):
		return ".cert", "holds no PEM certificate"
	case block == nil || !strings.HasSuffix(block.Type, "PRIVATE KEY") && !bytes.Contains(key, []byte("PRIVATE KEY-----")):
		return ".key", "holds no PEM private key"
	case strings.Contains(string(key), "ENCRYPTED"):
		return ".key", "is encrypted with a passphrase; decrypt it (openssl pkey -in KEY -out PLAIN)"
	case strings.Contains(err.Error(), "does not match"):
		return ".key", "does not fit the certificate: it is the key of another one"
	}
	return "", "cannot be used: " + strings.TrimPrefix(err.Error(), "tls: ")
}
