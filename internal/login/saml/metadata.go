package saml

import (
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"net/url"

	schema "github.com/crewjam/saml"

	"github.com/sallyport/sallyport/internal/login/saml/xmlsec"
	"github.com/sallyport/sallyport/internal/model"
)

const (
	nsProtocol  = "urn:oasis:names:tc:SAML:2.0:protocol"
	nsAssertion = "urn:oasis:names:tc:SAML:2.0:assertion"
)

// Metadata is the entity descriptor by which a provider knows the gateway, whose
// outside address is base.
func (s *ServiceProvider) Metadata(p *model.IdentityProvider, base *url.URL) ([]byte, error) {
	if err := usable(p, base); err != nil {
		return nil, err
	}
	own, err := s.ownPair()
	if err != nil {
		return nil, err
	}
	n, yes := namesOf(p, base), true
	cert := schema.KeyInfo{X509Data: schema.X509Data{X509Certificates: []schema.X509Certificate{
		{Data: base64.StdEncoding.EncodeToString(own.cert.Raw)}}}}
	encryption := schema.KeyDescriptor{Use: "encryption", KeyInfo: cert}
	for _, a := range xmlsec.Announced {
		encryption.EncryptionMethods = append(encryption.EncryptionMethods, schema.EncryptionMethod{Algorithm: a})
	}
	descriptor := schema.EntityDescriptor{EntityID: n.entityID, SPSSODescriptors: []schema.SPSSODescriptor{{
		SSODescriptor: schema.SSODescriptor{
			RoleDescriptor: schema.RoleDescriptor{
				ProtocolSupportEnumeration: nsProtocol,
				KeyDescriptors:             []schema.KeyDescriptor{{Use: "signing", KeyInfo: cert}, encryption},
			},
			SingleLogoutServices: []schema.Endpoint{
				{Binding: schema.HTTPRedirectBinding, Location: n.slo},
				{Binding: schema.HTTPPostBinding, Location: n.slo},
			},
			NameIDFormats: []schema.NameIDFormat{
				schema.PersistentNameIDFormat, schema.EmailAddressNameIDFormat, schema.UnspecifiedNameIDFormat},
		},
		AuthnRequestsSigned:       &yes,
		WantAssertionsSigned:      &yes,
		AssertionConsumerServices: []schema.IndexedEndpoint{{Binding: schema.HTTPPostBinding, Location: n.acs, Index: 0, IsDefault: &yes}},
	}}}
	b, err := xml.MarshalIndent(&descriptor, "", "  ")
	if err != nil {
		return nil, model.AsError(fmt.Errorf("writing the metadata: %w", err))
	}
	return append([]byte(xml.Header), append(b, '\n')...), nil
}

var errNoIDP = errors.New("has no identity provider that speaks SAML 2.0")
