package saml

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	schema "github.com/crewjam/saml"

	"github.com/sallyport/sallyport/internal/login/saml/xmlsec"
	"github.com/sallyport/sallyport/internal/model"
)

// maxMetadata bounds a metadata document.
const maxMetadata = 4 << 20

// identityProvider is what a provider's metadata says of it. It is immutable.
type identityProvider struct {
	entityID   string
	signOn     endpoints
	logout     endpoints
	answers    endpoints // where answers to its logout requests go
	certs      []*x509.Certificate
	validUntil time.Time // zero = no end
	cache      time.Duration
	warnings   []string
}

// endpoints are the locations of one service by binding; "" = it has none.
type endpoints struct{ redirect, post string }

func (e endpoints) first() string {
	if e.redirect != "" {
		return e.redirect
	}
	return e.post
}

// parseMetadata reads an entity descriptor, or an aggregate of which one entity is
// an identity provider. Its own signature is not asked: there is no key that could
// vouch for it more than the URL, or the file, where the operator found it.
func parseMetadata(b []byte) (*identityProvider, error) {
	if len(b) > maxMetadata {
		return nil, errors.New("is larger than 4 MiB")
	}
	// Comments are common here, and harmless where no signature is at stake;
	// declarations of entities are neither.
	if bytes.Contains(b, []byte("<!DOCTYPE")) || bytes.Contains(b, []byte("<!ENTITY")) {
		return nil, errors.New("has a document type declaration")
	}
	var entities []schema.EntityDescriptor
	switch root := rootName(b); root {
	case "EntityDescriptor":
		var one schema.EntityDescriptor
		if err := xml.Unmarshal(b, &one); err != nil {
			return nil, fmt.Errorf("is no SAML metadata: %w", err)
		}
		entities = append(entities, one)
	case "EntitiesDescriptor":
		var all schema.EntitiesDescriptor
		if err := xml.Unmarshal(b, &all); err != nil {
			return nil, fmt.Errorf("is no SAML metadata: %w", err)
		}
		entities = flatten(all, nil)
	default:
		return nil, fmt.Errorf("is no SAML metadata: its root is %q", root)
	}
	var found *identityProvider
	for i := range entities {
		d := speaker(&entities[i])
		if d == nil {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("describes several identity providers (%s, %s, …); give the metadata of one", found.entityID, entities[i].EntityID)
		}
		idp, err := describe(&entities[i], d)
		if err != nil {
			return nil, err
		}
		found = idp
	}
	if found == nil {
		return nil, errors.New("has no identity provider that speaks SAML 2.0")
	}
	return found, nil
}

func rootName(b []byte) string {
	d := xml.NewDecoder(bytes.NewReader(b))
	for {
		t, err := d.Token()
		if err != nil {
			return ""
		}
		if e, ok := t.(xml.StartElement); ok {
			return e.Name.Local
		}
	}
}

// flatten lists the entities of an aggregate. An inner one does not outlive the
// aggregate that holds it.
func flatten(all schema.EntitiesDescriptor, into []schema.EntityDescriptor) []schema.EntityDescriptor {
	for _, e := range all.EntityDescriptors {
		if u := all.ValidUntil; u != nil && (e.ValidUntil.IsZero() || u.Before(e.ValidUntil)) {
			e.ValidUntil = *u
		}
		into = append(into, e)
	}
	for _, inner := range all.EntitiesDescriptors {
		if u := all.ValidUntil; u != nil && (inner.ValidUntil == nil || u.Before(*inner.ValidUntil)) {
			inner.ValidUntil = u
		}
		into = flatten(inner, into)
	}
	return into
}

// speaker is the entity's role as an identity provider of SAML 2.0.
func speaker(e *schema.EntityDescriptor) *schema.IDPSSODescriptor {
	for i := range e.IDPSSODescriptors {
		d := &e.IDPSSODescriptors[i]
		for _, protocol := range strings.Fields(d.ProtocolSupportEnumeration) {
			if protocol == nsProtocol {
				return d
			}
		}
	}
	return nil
}

func describe(e *schema.EntityDescriptor, d *schema.IDPSSODescriptor) (*identityProvider, error) {
	idp := &identityProvider{entityID: e.EntityID, validUntil: e.ValidUntil, cache: e.CacheDuration}
	if idp.entityID == "" {
		return nil, errors.New("has no entityID")
	}
	if d.ValidUntil != nil && (idp.validUntil.IsZero() || d.ValidUntil.Before(idp.validUntil)) {
		idp.validUntil = *d.ValidUntil
	}
	idp.signOn = idp.choose("sign-on", d.SingleSignOnServices, false)
	idp.logout = idp.choose("logout", d.SingleLogoutServices, false)
	idp.answers = idp.choose("logout answer", d.SingleLogoutServices, true)
	if idp.signOn == (endpoints{}) {
		return nil, errors.New(idp.why("has no sign-on service by Redirect or POST"))
	}
	for _, k := range d.KeyDescriptors {
		if k.Use == "" || k.Use == "signing" {
			idp.addCertificates(k.KeyInfo.X509Data.X509Certificates)
		}
	}
	if len(idp.certs) == 0 {
		return nil, errors.New(idp.why("has no certificate that answers could be verified by"))
	}
	return idp, nil
}

func (idp *identityProvider) why(s string) string {
	if len(idp.warnings) > 0 {
		s += " (" + strings.Join(idp.warnings, "; ") + ")"
	}
	return s
}

// choose takes the first location of each binding to which a browser may be sent.
func (idp *identityProvider) choose(what string, list []schema.Endpoint, response bool) (e endpoints) {
	for _, at := range list {
		location := at.Location
		if response && at.ResponseLocation != "" {
			location = at.ResponseLocation
		}
		var to *string
		switch at.Binding {
		case schema.HTTPRedirectBinding:
			to = &e.redirect
		case schema.HTTPPostBinding:
			to = &e.post
		default:
			continue
		}
		u, err := url.Parse(location)
		if err != nil || !model.SecureURL(u) || u.User != nil || u.Fragment != "" {
			idp.warnings = append(idp.warnings, fmt.Sprintf("the %s address %q is not https", what, location))
			continue
		}
		if *to == "" {
			*to = location
		}
	}
	return e
}

// addCertificates takes the certificates of one KeyInfo: they are of one key, or a
// chain, whose authorities sign certificates and no answers.
func (idp *identityProvider) addCertificates(list []schema.X509Certificate) {
	for i, c := range list {
		der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(c.Data), ""))
		var cert *x509.Certificate
		if err == nil {
			cert, err = x509.ParseCertificate(der)
		}
		if err != nil {
			idp.warnings = append(idp.warnings, "a certificate cannot be read: "+err.Error())
			continue
		}
		if i > 0 && cert.IsCA {
			continue
		}
		if xmlsec.KeyType(cert) == "" {
			idp.warnings = append(idp.warnings, "the certificate of "+cert.Subject.String()+" has a key that is too weak, or of a type that is not known")
			continue
		}
		known := false
		for _, have := range idp.certs {
			known = known || have.Equal(cert)
		}
		if !known {
			idp.certs = append(idp.certs, cert)
		}
	}
}

func fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:])
}

// live are the certificates that hold at a time.
func (idp *identityProvider) live(now time.Time) (list []*x509.Certificate) {
	for _, c := range idp.certs {
		if !now.Before(c.NotBefore.Add(-skew)) && !now.After(c.NotAfter) {
			list = append(list, c)
		}
	}
	return list
}
