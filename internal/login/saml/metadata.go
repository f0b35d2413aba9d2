package saml

import (
	"encoding/base64"
	"net/url"

	"github.com/beevik/etree"
	schema "github.com/crewjam/saml"

	"github.com/sallyport/sallyport/internal/login/saml/xmlsec"
	"github.com/sallyport/sallyport/internal/model"
)

const (
	nsMetadata  = "urn:oasis:names:tc:SAML:2.0:metadata"
	nsProtocol  = "urn:oasis:names:tc:SAML:2.0:protocol"
	nsAssertion = "urn:oasis:names:tc:SAML:2.0:assertion"
)

// Metadata is the entity descriptor by which a provider knows the gateway, whose
// outside address is base. It does not say how long it holds: operators hand it to
// providers that never look again.
func (s *ServiceProvider) Metadata(p *model.IdentityProvider, base *url.URL) ([]byte, error) {
	if err := usable(p, base); err != nil {
		return nil, err
	}
	own, err := s.ownPair()
	if err != nil {
		return nil, err
	}
	n := namesOf(p, base)
	root := etree.NewElement("md:EntityDescriptor")
	root.CreateAttr("xmlns:md", nsMetadata)
	root.CreateAttr("xmlns:ds", xmlsec.NSDSig)
	root.CreateAttr("entityID", n.entityID)
	sp := add(root, "md:SPSSODescriptor", "AuthnRequestsSigned", "true", "WantAssertionsSigned", "true", "protocolSupportEnumeration", nsProtocol)
	for _, use := range []string{"signing", "encryption"} {
		k := add(sp, "md:KeyDescriptor", "use", use)
		add(add(add(k, "ds:KeyInfo"), "ds:X509Data"), "ds:X509Certificate").SetText(base64.StdEncoding.EncodeToString(own.cert.Raw))
		if use == "encryption" {
			for _, a := range xmlsec.Announced() {
				add(k, "md:EncryptionMethod", "Algorithm", a)
			}
		}
	}
	add(sp, "md:SingleLogoutService", "Binding", schema.HTTPRedirectBinding, "Location", n.slo)
	add(sp, "md:SingleLogoutService", "Binding", schema.HTTPPostBinding, "Location", n.slo)
	for _, f := range []schema.NameIDFormat{schema.PersistentNameIDFormat, schema.EmailAddressNameIDFormat, schema.UnspecifiedNameIDFormat} {
		add(sp, "md:NameIDFormat").SetText(string(f))
	}
	add(sp, "md:AssertionConsumerService", "Binding", schema.HTTPPostBinding, "Location", n.acs, "index", "0", "isDefault", "true")
	doc := etree.NewDocument()
	doc.CreateProcInst("xml", `version="1.0" encoding="UTF-8"`)
	doc.SetRoot(root)
	doc.Indent(2)
	b, err := doc.WriteToBytes()
	if err != nil {
		return nil, model.AsError(err)
	}
	return b, nil
}

// add makes a child with attributes, given as names and values.
func add(el *etree.Element, tag string, attrs ...string) *etree.Element {
	c := el.CreateElement(tag)
	for i := 0; i+1 < len(attrs); i += 2 {
		c.CreateAttr(attrs[i], attrs[i+1])
	}
	return c
}
