package saml

import (
	"context"
	"time"

	"github.com/sallyport/sallyport/internal/fetch"
	"github.com/sallyport/sallyport/internal/login/saml/xmlsec"
	"github.com/sallyport/sallyport/internal/model"
)

// Status is what is known of a provider's metadata, for people.
type Status struct {
	Source       string              `json:"source"` // the file or URL
	EntityID     string              `json:"entityID,omitempty"`
	SignOn       string              `json:"signOn,omitempty"` // where logins go
	Logout       string              `json:"logout,omitempty"` // where logouts go; "" = it has none
	Certificates []CertificateStatus `json:"certificates"`
	ValidUntil   *time.Time          `json:"validUntil,omitempty"` // of the metadata
	LastFetch    *time.Time          `json:"lastFetch"`            // null = never
	LastError    string              `json:"lastError,omitempty"`
	Cause        fetch.Cause         `json:"cause,omitempty"` // where to look for what is behind it
	NextRefresh  *time.Time          `json:"nextRefresh,omitempty"`
	// ClockSkew is how far the provider's clock was from ours in its last answer.
	ClockSkew string   `json:"clockSkew,omitempty"`
	Warnings  []string `json:"warnings,omitempty"`
	Healthy   bool     `json:"healthy"` // a login could begin and end now
}

// CertificateStatus is one certificate by which the provider signs.
type CertificateStatus struct {
	Subject     string    `json:"subject"`
	Fingerprint string    `json:"fingerprint"` // SHA-256, hexadecimal
	Type        string    `json:"type"`
	NotBefore   time.Time `json:"notBefore"`
	NotAfter    time.Time `json:"notAfter"`
	FirstSeen   time.Time `json:"firstSeen"`
	LastSeen    time.Time `json:"lastSeen"`
}

// Status tells how a provider's metadata stands, and asks nobody.
func (s *ServiceProvider) Status(p *model.IdentityProvider) Status {
	return s.source(p).status(s.o.Now())
}

// Check reads the provider's metadata now, and tells how it stands. The error is
// why there is none that could be used.
func (s *ServiceProvider) Check(ctx context.Context, p *model.IdentityProvider) (Status, error) {
	src := s.source(p)
	err := s.renew(ctx, src, 0)
	st := src.status(s.o.Now())
	if err == nil && !st.Healthy {
		_, err = src.usableIDP(s.o.Now())
	}
	return st, err
}

func (src *source) status(now time.Time) Status {
	st := Status{Source: src.String(), Certificates: []CertificateStatus{}}
	_, err := src.usableIDP(now)
	st.Healthy = err == nil
	src.mu.Lock()
	defer src.mu.Unlock()
	if !src.last.IsZero() {
		last, next := src.last, src.next
		st.LastFetch, st.NextRefresh = &last, &next
	}
	if src.lastErr != nil {
		st.LastError, st.Healthy, st.Cause = src.lastErr.Error(), false, fetch.CauseOf(src.lastErr)
	} else if err != nil && src.idp != nil {
		st.LastError = err.Error()
	}
	if src.skew != 0 {
		st.ClockSkew = src.skew.Round(100 * time.Millisecond).String()
	}
	idp := src.idp
	if idp == nil {
		return st
	}
	st.EntityID, st.SignOn, st.Logout = idp.entityID, idp.signOn.first(), idp.logout.first()
	st.Warnings = append(st.Warnings, idp.warnings...)
	if !idp.validUntil.IsZero() {
		until := idp.validUntil
		st.ValidUntil = &until
	}
	for _, c := range idp.certs {
		f := fingerprint(c)
		st.Certificates = append(st.Certificates, CertificateStatus{Subject: c.Subject.String(), Fingerprint: f, Type: xmlsec.KeyType(c),
			NotBefore: c.NotBefore, NotAfter: c.NotAfter, FirstSeen: src.seen[f].first, LastSeen: src.seen[f].last})
		switch {
		case now.After(c.NotAfter):
			st.Warnings = append(st.Warnings, "the certificate "+f[:16]+"… has expired, and answers signed by it are refused")
		case now.Add(14 * 24 * time.Hour).After(c.NotAfter):
			st.Warnings = append(st.Warnings, "the certificate "+f[:16]+"… expires within two weeks")
		}
	}
	return st
}
