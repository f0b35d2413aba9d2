package listen

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

// TLS is how a listener speaks TLS.
type TLS struct {
	Certificates []Pair
	SelfSigned   bool     // make a certificate, signed by a CA of our own
	Names        []string // that the self-signed one is for, beside localhost
	Dir          string   // where the CA of self-signed certificates is kept
	ClientCA     string   // file: ask for client certificates, and believe those of these CAs
	ClientCRL    string   // file: what the CAs have revoked
	StaleCRL     bool     // go on believing a list that should have been replaced by now
	MinVersion   uint16   // tls.VersionTLS12 where 0
}

// Pair names the files of a certificate, its chain behind it, and its key.
type Pair struct{ Cert, Key string }

func (t *TLS) version() uint16 {
	if t.MinVersion == 0 {
		return tls.VersionTLS12
	}
	return t.MinVersion
}

var protocols = []string{"h2", "http/1.1", "http/1.0"} // the last alone is what curl --http1.0 offers

// material is one state of the files, loaded whole. It is immutable.
type material struct {
	print   [32]byte // of the files' bytes
	certs   []tls.Certificate
	config  *tls.Config
	clients *clients  // nil = client certificates are not asked for
	renew   time.Time // when a self-signed certificate should be made anew; zero = never
}

// files reads everything that TLS is made from, and its fingerprint.
func (t *TLS) files() (map[string][]byte, [32]byte, error) {
	out, sum := map[string][]byte{}, sha256.New()
	var faults []error
	read := func(path, what string) {
		if path == "" {
			return
		}
		b, err := os.ReadFile(path)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", what, err))
			b = []byte(err.Error())
		}
		out[path] = b
		fmt.Fprintf(sum, "%s %d\n", path, len(b))
		_, _ = sum.Write(b)
	}
	for i, p := range t.Certificates {
		read(p.Cert, fmt.Sprintf("tls.certificates[%d].cert", i))
		read(p.Key, fmt.Sprintf("tls.certificates[%d].key", i))
	}
	read(t.ClientCA, "tls.clientCA")
	read(t.ClientCRL, "tls.clientCRL")
	return out, [32]byte(sum.Sum(nil)), errors.Join(faults...)
}

// load reads the files and builds what TLS works with, or says all that is wrong.
func (l *Listener) load() (*material, error) {
	t := l.conf.TLS
	files, print, err := t.files()
	m := &material{print: print}
	if err != nil {
		return m, err
	}
	var faults []error
	for i, p := range t.Certificates {
		c, err := pair(files[p.Cert], files[p.Key], p)
		if err != nil {
			faults = append(faults, fmt.Errorf("tls.certificates[%d]: %w", i, err))
			continue
		}
		m.certs = append(m.certs, c)
	}
	if t.SelfSigned {
		c, err := selfSigned(t.Dir, t.Names, l.opt.Now())
		if err != nil {
			faults = append(faults, fmt.Errorf("tls.selfSigned: %w", err))
		} else {
			m.certs = append(m.certs, c)
			m.renew = c.Leaf.NotAfter.Add(-c.Leaf.NotAfter.Sub(c.Leaf.NotBefore) / 3)
		}
	}
	if len(m.certs) == 0 && len(faults) == 0 {
		faults = append(faults, errors.New("tls has no certificate; give certificates, or selfSigned: true"))
	}
	if t.ClientCA != "" {
		m.clients, err = readClients(files[t.ClientCA], files[t.ClientCRL], t)
		if err != nil {
			faults = append(faults, err)
		}
	} else if t.ClientCRL != "" {
		faults = append(faults, errors.New("tls.clientCRL is given without a tls.clientCA whose list it could be"))
	}
	if len(faults) > 0 {
		return m, errors.Join(faults...)
	}
	m.config = &tls.Config{MinVersion: t.version(), NextProtos: protocols, Certificates: m.certs, GetCertificate: m.choose}
	if m.clients != nil {
		// The handshake asks and refuses nobody: a route that wants no certificate
		// must not fail for a bad one. We judge it ourselves, on every connection, so
		// that no resumed session brings back what was revoked.
		m.config.ClientAuth, m.config.ClientCAs = tls.RequestClientCert, m.clients.roots
	}
	return m, nil
}

func pair(cert, key []byte, p Pair) (tls.Certificate, error) {
	c, err := tls.X509KeyPair(cert, key)
	if err != nil {
		switch text := err.Error(); {
		case strings.Contains(text, "does not match"):
			return c, fmt.Errorf("the key %s does not belong to the certificate %s; give the key that its request was made with", p.Key, p.Cert)
		case bytes.Contains(key, []byte("ENCRYPTED")):
			return c, fmt.Errorf("the key %s is encrypted; give it without a passphrase and guard the file", p.Key)
		case strings.Contains(text, "certificate input"):
			return c, fmt.Errorf("%s holds no PEM certificate", p.Cert)
		case strings.Contains(text, "key input"):
			return c, fmt.Errorf("%s holds no PEM private key", p.Key)
		}
		return c, fmt.Errorf("%s and %s: %w", p.Cert, p.Key, err)
	}
	if c.Leaf == nil {
		c.Leaf, err = x509.ParseCertificate(c.Certificate[0])
	}
	return c, err
}

// choose picks the certificate for a server name: one that covers it and that the
// client can use, else one that the client can use, else the first.
func (m *material) choose(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	var usable *tls.Certificate
	for i := range m.certs {
		c := &m.certs[i]
		if len(m.certs) == 1 {
			return c, nil
		}
		named := hello.ServerName != "" && covers(c.Leaf, hello.ServerName)
		if !named && usable != nil {
			continue
		}
		// SupportsCertificate would hold an unknown name against the certificate.
		ask := *hello
		ask.ServerName = ""
		if ask.SupportsCertificate(c) != nil {
			continue
		}
		if named {
			return c, nil
		}
		usable = c
	}
	if usable == nil {
		usable = &m.certs[0]
	}
	return usable, nil
}

func covers(c *x509.Certificate, host string) bool { return c.VerifyHostname(host) == nil }

// Misdirected says whether a request for host does not belong on a connection that
// was opened for serverName: host is another certificate's (RFC 9110, 15.5.20).
// Else the client's certificate, asked for under one name, would count for another.
func (l *Listener) Misdirected(serverName, host string) bool {
	m := l.live.Load()
	if m == nil || len(m.certs) < 2 || serverName == "" {
		return false
	}
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host, serverName = strings.TrimSuffix(host, "."), strings.TrimSuffix(serverName, ".")
	if strings.EqualFold(host, serverName) {
		return false
	}
	other, found := false, false
	for i := range m.certs {
		c := m.certs[i].Leaf
		forName := covers(c, serverName)
		found = found || forName
		if !covers(c, host) {
			continue
		}
		if forName {
			return false
		}
		other = true
	}
	// A name that no certificate covers was given the first one.
	return other && (found || !covers(m.certs[0].Leaf, host))
}

// Facts are what a door needs to know of a handshake, with our verdict on the
// client's certificate as of now.
func (l *Listener) Facts(s *tls.ConnectionState) *model.TLSFacts {
	f := &model.TLSFacts{ServerName: s.ServerName, Version: s.Version, Cipher: s.CipherSuite}
	if len(s.PeerCertificates) == 0 {
		return f
	}
	m := l.live.Load()
	if m == nil || m.clients == nil {
		f.CertificateFault = "client certificates are not asked for here"
		return f
	}
	if err := m.clients.verify(s.PeerCertificates, l.opt.Now()); err != nil {
		f.CertificateFault = err.Error()
		return f
	}
	f.Certificate = s.PeerCertificates[0]
	return f
}

// Expiry is when each certificate that is being served ends, by its first name.
func (l *Listener) Expiry() map[string]time.Time {
	m := l.live.Load()
	if m == nil {
		return nil
	}
	out := map[string]time.Time{}
	for i := range m.certs {
		c := m.certs[i].Leaf
		name := c.Subject.CommonName
		if len(c.DNSNames) > 0 {
			name = c.DNSNames[0]
		}
		out[name] = c.NotAfter
	}
	return out
}

// VerifyClient judges a client certificate that came another way than by this
// listener's handshake, by the same CAs and revocation lists.
func (l *Listener) VerifyClient(leaf *x509.Certificate, between []*x509.Certificate) error {
	m := l.live.Load()
	if m == nil || m.clients == nil {
		return errors.New("client certificates are not asked for here")
	}
	return m.clients.verify(append([]*x509.Certificate{leaf}, between...), l.opt.Now())
}
