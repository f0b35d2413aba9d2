package model

import "net/url"

// ProviderType is the protocol by which an identity provider vouches.
type ProviderType string

// The types of provider.
const (
	ProviderOIDC          ProviderType = "oidc"
	ProviderJWT           ProviderType = "jwt"
	ProviderIntrospection ProviderType = "introspection"
	ProviderSAML          ProviderType = "saml"
	ProviderLDAP          ProviderType = "ldap"
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

	// oidc and jwt; introspection, where the answer must name it
	Issuer string `json:"issuer,omitempty"`

	// oidc and introspection: as whom the gateway asks
	ClientID     string `json:"clientID,omitempty"`
	ClientSecret string `json:"clientSecret,omitempty"`
	// ClientKeyFile is a PEM private key for private_key_jwt (RFC 7523) in the
	// secret's place.
	ClientKeyFile string `json:"clientKeyFile,omitempty"`

	// oidc
	RequestScopes []string `json:"requestScopes,omitempty"` // beside openid; empty = profile, email
	UserInfo      bool     `json:"userInfo,omitempty"`      // ask the UserInfo endpoint for further claims

	// jwt and introspection
	Audiences []string `json:"audiences,omitempty"`
	Scopes    string   `json:"scopes,omitempty"` // "narrow": the token's scope narrows the user's rights

	// jwt
	JWKSURL      string   `json:"jwksURL,omitempty"`
	KeyFile      string   `json:"keyFile,omitempty"`
	Algorithms   []string `json:"algorithms,omitempty"`   // empty = RS256, ES256 and the like: every asymmetric one
	AllowMissing []string `json:"allowMissing,omitempty"` // of exp, aud: claims that need not be there

	// introspection
	Endpoint string `json:"endpoint,omitempty"`

	// saml
	MetadataURL       string `json:"metadataURL,omitempty"`
	MetadataFile      string `json:"metadataFile,omitempty"`
	EntityID          string `json:"entityID,omitempty"` // the gateway's own; empty = the URL of its metadata
	AllowIDPInitiated bool   `json:"allowIDPInitiated,omitempty"`

	// ldap
	URL          string `json:"url,omitempty"`      // ldaps://host, or ldap://host with startTLS
	StartTLS     bool   `json:"startTLS,omitempty"` // refuse to go on without it
	CA           string `json:"ca,omitempty"`       // PEM text; empty = the system's roots
	BindDN       string `json:"bindDN,omitempty"`
	BindPassword string `json:"bindPassword,omitempty"`
	UserBase     string `json:"userBase,omitempty"`
	UserFilter   string `json:"userFilter,omitempty"` // with {username}; empty = (uid={username})
	GroupBase    string `json:"groupBase,omitempty"`  // empty = groups are not looked up
	GroupFilter  string `json:"groupFilter,omitempty"`
	NestedGroups bool   `json:"nestedGroups,omitempty"` // also groups of groups

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
	kind, ok := providerKinds[p.Type]
	if !ok {
		f.Add(path+".type", "is one of oidc, jwt, introspection, saml, ldap, trustedHeader")
		return f
	}
	p.foreign(path, kind.fields, &f)
	kind.validate(p, path, &f)
	return f
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
