package saml

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"

	"github.com/beevik/etree"
	schema "github.com/crewjam/saml"

	"github.com/sallyport/sallyport/internal/login/saml/xmlsec"
	"github.com/sallyport/sallyport/internal/model"
)

// nameID is by what a provider calls somebody.
type nameID struct {
	Value           string `json:"value"`
	Format          string `json:"format,omitempty"`
	NameQualifier   string `json:"nameQualifier,omitempty"`
	SPNameQualifier string `json:"spNameQualifier,omitempty"`
}

// kept is what a logout needs of a login.
type kept struct {
	NameID       nameID `json:"nameID"`
	SessionIndex string `json:"sessionIndex,omitempty"`
}

func readNameID(el *etree.Element) (*nameID, error) {
	if len(xmlsec.Children(el, nsAssertion, "EncryptedID")) > 0 {
		return nil, errors.New("its NameID is encrypted; encrypt the whole assertion instead")
	}
	n, err := xmlsec.Required(el, nsAssertion, "NameID")
	if err != nil {
		return nil, err
	}
	value, err := xmlsec.Text(n)
	if err != nil {
		return nil, err
	}
	out := &nameID{Value: value, Format: xmlsec.Attr(n, "Format"), NameQualifier: xmlsec.Attr(n, "NameQualifier"), SPNameQualifier: xmlsec.Attr(n, "SPNameQualifier")}
	switch {
	case value == "":
		return nil, errors.New("its NameID is empty")
	case len(value) > 1024 || len(out.NameQualifier) > 1024 || len(out.SPNameQualifier) > 1024:
		return nil, errors.New("its NameID is longer than 1024 bytes")
	case strings.TrimSpace(value) != value || strings.ContainsFunc(value, unicode.IsControl):
		// Trimming would make one person of "anna" and "anna ".
		return nil, errors.New("its NameID begins or ends with a space, or has control characters")
	}
	return out, nil
}

// subject is who that is, at a provider, for good. Qualifiers that say what goes
// without saying, that the name is this provider's for this service (SAML core
// 8.3.7), are left out, for providers differ in writing them; others are part of it.
func (n *nameID) subject(issuer, entityID string) (string, error) {
	if n.Format == string(schema.TransientNameIDFormat) {
		return "", model.NewError(model.CredentialInvalid,
			"The identity provider gives people another name at each sign-in, so nobody can be recognised. Its administrator must give this service a persistent NameID, an e-mail address or a user name.").
			WithCause(fmt.Errorf("the NameID has the format %s; configure the provider to send persistent, emailAddress or unspecified", n.Format))
	}
	by, forSP := n.NameQualifier, n.SPNameQualifier
	if by == issuer {
		by = ""
	}
	if forSP == entityID {
		forSP = ""
	}
	if by == "" && forSP == "" && !strings.HasPrefix(n.Value, "!") {
		return n.Value, nil
	}
	return "!" + url.QueryEscape(by) + "!" + url.QueryEscape(forSP) + "!" + n.Value, nil
}

// session names the provider's session. An index is unique among the sessions of one
// person alone: providers are told to use small numbers (SAML core 2.7.2).
func (n *nameID) session(subject, index string) string {
	if index == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(fmt.Sprintf("%d %s %s", len(subject), subject, index)))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
