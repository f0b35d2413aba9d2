package listen

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// clients judges client certificates. It is immutable.
type clients struct {
	roots    *x509.CertPool
	lists    []list
	required bool // a revocation list is configured: what none covers is refused
	stale    bool
}

// list is one issuer's revocation list.
type list struct {
	crl     *x509.RevocationList
	revoked map[string]struct{} // serial numbers, as bytes
}

func readClients(ca, crl []byte, t *TLS) (*clients, error) {
	c := &clients{roots: x509.NewCertPool(), required: t.ClientCRL != "", stale: t.StaleCRL}
	n := 0
	var faults []error
	for rest := ca; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		if b.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			faults = append(faults, fmt.Errorf("tls.clientCA: certificate %d of %s: %w", n+1, t.ClientCA, err))
			continue
		}
		c.roots.AddCert(cert)
		n++
	}
	if n == 0 && len(faults) == 0 {
		faults = append(faults, fmt.Errorf("tls.clientCA: %s holds no PEM certificate", t.ClientCA))
	}
	if c.required {
		lists, err := readLists(crl)
		if err != nil {
			faults = append(faults, fmt.Errorf("tls.clientCRL: %s: %w", t.ClientCRL, err))
		}
		c.lists = lists
	}
	return c, errors.Join(faults...)
}

// readLists reads one list in DER, or any number in PEM.
func readLists(data []byte) (out []list, err error) {
	ders := [][]byte{}
	if !bytes.Contains(data, []byte("-----BEGIN")) {
		ders = append(ders, data)
	}
	for rest := data; len(ders) == 0 || len(rest) > 0; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		if b.Type == "X509 CRL" {
			ders = append(ders, b.Bytes)
		}
	}
	if len(ders) == 0 {
		return nil, errors.New("holds no revocation list")
	}
	for _, der := range ders {
		crl, err := x509.ParseRevocationList(der)
		if err != nil {
			return nil, err
		}
		for _, e := range crl.Extensions {
			// A critical one may say that the list is partial, or speaks for others.
			if e.Critical {
				return nil, fmt.Errorf("has the critical extension %v, which is not understood here", e.Id)
			}
		}
		l := list{crl: crl, revoked: make(map[string]struct{}, len(crl.RevokedCertificateEntries))}
		for _, r := range crl.RevokedCertificateEntries {
			l.revoked[string(r.SerialNumber.Bytes())] = struct{}{}
		}
		out = append(out, l)
	}
	return out, nil
}

// verify checks chain, time, usage and revocation. The error's text goes to the
// audit log.
func (c *clients) verify(certs []*x509.Certificate, now time.Time) error {
	leaf, between := certs[0], x509.NewCertPool()
	for _, i := range certs[1:] {
		between.AddCert(i)
	}
	if leaf.KeyUsage != 0 && leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return errors.New("the certificate's key is not for signing")
	}
	chains, err := leaf.Verify(x509.VerifyOptions{Roots: c.roots, Intermediates: between, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		return err
	}
	var fault error
	for _, chain := range chains {
		if fault = c.unrevoked(chain, now); fault == nil {
			return nil
		}
	}
	return fault
}

// unrevoked asks every issuer of the chain for its list.
func (c *clients) unrevoked(chain []*x509.Certificate, now time.Time) error {
	if !c.required {
		return nil
	}
	for i := range len(chain) - 1 {
		if err := c.ask(chain[i], chain[i+1], now); err != nil {
			return err
		}
	}
	return nil
}

// ask looks for cert on its issuer's lists. What cannot be checked is refused.
func (c *clients) ask(cert, issuer *x509.Certificate, now time.Time) error {
	fault := fmt.Errorf("no revocation list of %q was found, so that nobody can say whether the certificate stands", issuer.Subject)
	for i := range c.lists {
		l := &c.lists[i]
		if !bytes.Equal(l.crl.RawIssuer, issuer.RawSubject) {
			continue
		}
		if err := l.crl.CheckSignatureFrom(issuer); err != nil {
			fault = fmt.Errorf("the revocation list of %q is not signed by it: %w", issuer.Subject, err)
			continue
		}
		if _, ok := l.revoked[string(cert.SerialNumber.Bytes())]; ok {
			return fmt.Errorf("the certificate with serial number %x was revoked", cert.SerialNumber)
		}
		if !c.stale && !l.crl.NextUpdate.IsZero() && now.After(l.crl.NextUpdate) {
			fault = fmt.Errorf("the revocation list of %q should have been replaced on %s", issuer.Subject, l.crl.NextUpdate.Format(time.RFC3339))
			continue
		}
		return nil
	}
	return fault
}
