package mtls

import (
	"context"
	"crypto/x509"
	"time"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/model"
)

// Method is mtls.
type Method struct {
	Lookup authn.Lookup
	Cache  *authn.Cache
	Now    func() time.Time
	// Senders are the front ends that may send certificates on.
	Senders []*authn.Sender
	// Verify judges a forwarded certificate as the listener does one of its own:
	// by clientCA and clientCRL. Nil = forwarded certificates are not believed.
	Verify func(leaf *x509.Certificate, intermediates []*x509.Certificate) error
}

// Name is the method's name.
func (m *Method) Name() string { return model.MethodMTLS }

// Authenticate maps the certificate to its user.
func (m *Method) Authenticate(ctx context.Context, r *model.Request) authn.Result {
	now := authn.At(r, m.Now)
	if m.Verify != nil {
		if res, mine := m.forwarded(ctx, r, now); mine {
			return res
		}
	}
	switch {
	case r.TLS == nil:
		return authn.Result{}
	case r.TLS.CertificateFault != "":
		return authn.Refuse(model.CredentialInvalid, "the client certificate did not verify: "+r.TLS.CertificateFault)
	case r.TLS.Certificate == nil:
		return authn.Result{}
	}
	key := m.Cache.KeyBytes(authn.SpaceCertificate, 0, r.TLS.Certificate.Raw)
	if p := m.Cache.Get(key, now); p != nil && p.Principal.Fresh() {
		return p.Found(now)
	}
	return m.lookUp(ctx, r.TLS.Certificate, key, now, time.Time{})
}

// lookUp asks for every name of the certificate, the most exact first. Names that
// lead to different users make it nobody's: the CA would decide who is calling.
func (m *Method) lookUp(ctx context.Context, c *x509.Certificate, key authn.CacheKey, now, until time.Time) authn.Result {
	var found directory.Found
	sure := true
	for _, name := range names(c) {
		f, err := m.Lookup.Find(ctx, name)
		switch {
		case err != nil && found.Principal == nil:
			return authn.Unavailable("the certificate cannot be looked up", err)
		case err != nil:
			sure = false // found by a more exact name; a store that is down takes no known user with it
		case f.Principal == nil || f.Credential == nil || f.Credential.Type != model.Certificate:
		case found.Principal == nil:
			found = f
		case f.Principal.User.ID != found.Principal.User.ID:
			return authn.Refuse(model.CredentialInvalid, "the certificate's names lead to different users, "+
				found.Principal.User.Username+" and "+f.Principal.User.Username)
		}
	}
	if found.Principal == nil {
		return authn.Result{Detail: "no user has the certificate " + authn.Fingerprint(c) + " (" + authn.Subject(c) + "); it counts as absent"}
	}
	p := authn.Local(model.MethodMTLS, found, true)
	if p.Expires.IsZero() || c.NotAfter.Before(p.Expires) {
		p.Expires = c.NotAfter
	}
	if sure {
		m.Cache.Put(key, p, until)
	}
	return p.Found(now)
}

// mostNames bounds the lookups for one certificate.
const mostNames = 64

// names are the keys by which a certificate may be known, the most exact first.
func names(c *x509.Certificate) []directory.Key {
	list := make([]directory.Key, 0, 8)
	add := func(kind, value string) {
		if value != "" {
			list = append(list, directory.Key{By: directory.ByCertificate, A: kind, B: value})
		}
	}
	add(directory.CertFingerprint, authn.Fingerprint(c))
	for _, u := range c.URIs {
		add(directory.CertURI, u.String())
	}
	for _, d := range c.DNSNames {
		add(directory.CertDNS, d)
	}
	for _, e := range c.EmailAddresses {
		add(directory.CertEmail, e)
	}
	list = list[:min(len(list), mostNames-1)]
	add(directory.CertSubject, authn.Subject(c))
	return list
}
