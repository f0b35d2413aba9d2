package model

import (
	"net/url"
	"strings"
)

// ProviderType is the protocol by which an identity provider vouches.
type ProviderType string

// The types of provider.
const (
	ProviderJWT           ProviderType = "jwt"
	ProviderTrustedHeader ProviderType = "trustedHeader"
)

// Provision is how a user from outside is found here.
type Provision string

// The ways to provision.
const (
	ProvisionJIT   Provision = "jit"   // make a linked user on first sight
	ProvisionMatch Provision = "match" // link an existing user once
	ProvisionOff   Provision = "off"   // know only links
)

// IdentityProvider vouches for users from outside.
type IdentityProvider struct {
	Name    string       `json:"name"`
	Type    ProviderType `json:"type"`
	Enabled bool         `json:"enabled"`

	// jwt
	Issuer       string   `json:"issuer,omitempty"`
	Audiences    []string `json:"audiences,omitempty"`
	JWKSURL      string   `json:"jwksURL,omitempty"`
	KeyFile      string   `json:"keyFile,omitempty"`
	Algorithms   []string `json:"algorithms,omitempty"`   // empty = RS256, ES256 and the like: every asymmetric one
	AllowMissing []string `json:"allowMissing,omitempty"` // of exp, aud: claims that need not be there
	Scopes       string   `json:"scopes,omitempty"`       // "narrow": the token's scope narrows the user's rights

	// trustedHeader
	Header            string   `json:"header,omitempty"`
	From              []string `json:"from,omitempty"`
	ClientCertificate string   `json:"clientCertificate,omitempty"` // fingerprint, SAN or subject of the front end's certificate
	SecretHeader      string   `json:"secretHeader,omitempty"`
	Secret            string   `json:"secret,omitempty"`

	Mapping    Mapping   `json:"mapping"`
	Provision  Provision `json:"provision"`
	MatchBy    string    `json:"matchBy,omitempty"` // username (default) | email
	TrustEmail bool      `json:"trustEmail,omitempty"`
	Roles      []string  `json:"roles,omitempty"` // given to all it vouches for
}

// Mapping names the claims or attributes that become a user: dotted paths, or CEL after "=".
type Mapping struct {
	Username    string            `json:"username,omitempty"` // default: preferred_username, then sub
	Email       string            `json:"email,omitempty"`
	DisplayName string            `json:"displayName,omitempty"`
	Groups      string            `json:"groups,omitempty"`
	Roles       string            `json:"roles,omitempty"`
	Attributes  map[string]string `json:"attributes,omitempty"`
}

// Defaults sets what a left-out field means.
func (p *IdentityProvider) Defaults() { p.Enabled, p.Provision = true, ProvisionJIT }

// Algorithms that a jwt provider may accept: asymmetric ones only, so that a
// public key can never be taken for a shared secret.
var jwtAlgorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// JWTAlgorithms lists what a jwt provider may accept.
func JWTAlgorithms() []string { return append([]string(nil), jwtAlgorithms...) }

// Validate reports what is wrong with the provider by itself.
func (p *IdentityProvider) Validate(path string) (f Faults) {
	if !ValidName(p.Name) {
		f.Add(path+".name", NameFault)
	}
	oneOf(&f, path+".provision", p.Provision, ProvisionJIT, ProvisionMatch, ProvisionOff)
	switch p.MatchBy {
	case "", "username":
	case "email":
		if !p.TrustEmail {
			f.Add(path+".matchBy", "email needs trustEmail: true, for whoever sets the address there becomes the user here")
		}
	default:
		f.Add(path+".matchBy", "is one of username, email")
	}
	switch p.Type {
	case ProviderJWT:
		p.validateJWT(path, &f)
	case ProviderTrustedHeader:
		p.validateTrustedHeader(path, &f)
	default:
		f.Add(path+".type", "is one of jwt, trustedHeader")
	}
	return f
}

func (p *IdentityProvider) validateJWT(path string, f *Faults) {
	if p.Issuer == "" {
		f.Add(path+".issuer", "is missing; it is compared with the token's iss")
	}
	missing := map[string]bool{}
	for i, c := range p.AllowMissing {
		if c != "exp" && c != "aud" {
			f.Add(index(path+".allowMissing", i), "is one of exp, aud")
		}
		missing[c] = true
	}
	if len(p.Audiences) == 0 && !missing["aud"] {
		f.Add(path+".audiences", "is empty; name who the tokens are meant for, or say allowMissing: [aud]")
	}
	if p.JWKSURL != "" && p.KeyFile != "" {
		f.Add(path+".keyFile", "contradicts jwksURL; give one of them")
	}
	if p.JWKSURL != "" && !secureURLText(p.JWKSURL) {
		f.Add(path+".jwksURL", "is an https URL (http on loopback)")
	}
	if p.JWKSURL == "" && p.KeyFile == "" && !secureURLText(p.Issuer) {
		f.Add(path+".issuer", "is an https URL (http on loopback) where neither jwksURL nor keyFile is given, for the keys come from its discovery document")
	}
	for i, a := range p.Algorithms {
		if !contains(jwtAlgorithms, a) {
			f.Add(index(path+".algorithms", i), "is one of "+strings.Join(jwtAlgorithms, ", "))
		}
	}
	if p.Scopes != "" && p.Scopes != "narrow" {
		f.Add(path+".scopes", `is "narrow" or left out`)
	}
	if p.Header != "" || len(p.From) > 0 || p.Secret != "" || p.SecretHeader != "" || p.ClientCertificate != "" {
		f.Add(path, "has fields of a trustedHeader provider; take them away or change the type")
	}
}

func (p *IdentityProvider) validateTrustedHeader(path string, f *Faults) {
	if msg := OwnHeaderFault(p.Header); msg != "" {
		f.Add(path+".header", msg)
	}
	if _, faults := ParsePrefixes(p.From, path+".from"); faults != nil {
		*f = append(*f, faults...)
	}
	if p.ClientCertificate == "" && (len(p.From) == 0 || p.Secret == "" || p.SecretHeader == "") {
		f.Add(path, "needs clientCertificate, or from with secretHeader and secret: a header is believed only from a front end that proves itself")
	}
	if p.SecretHeader != "" {
		if msg := OwnHeaderFault(p.SecretHeader); msg != "" {
			f.Add(path+".secretHeader", msg)
		}
	}
	if p.Secret != "" && p.Secret != Mask && len(p.Secret) < 16 {
		f.Add(path+".secret", "is shorter than 16 characters")
	}
	if p.Header != "" && Fold(p.Header) == Fold(p.SecretHeader) {
		f.Add(path+".secretHeader", "is the same header as header")
	}
	if p.Issuer != "" || p.JWKSURL != "" || p.KeyFile != "" || len(p.Audiences) > 0 {
		f.Add(path, "has fields of a jwt provider; take them away or change the type")
	}
}

func secureURLText(s string) bool {
	u, err := url.Parse(s)
	return err == nil && SecureURL(u) && u.User == nil
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}
