package model

import (
	"strings"
	"time"
	"unicode/utf8"
)

// Kind says what a proxy user stands for.
type Kind string

// The kinds of user.
const (
	Person      Kind = "person"
	Application Kind = "application"
	ServiceUser Kind = "service"
)

// User is a proxy user: whoever may call through the gateway. Administrators are
// a separate collection and never users.
type User struct {
	ID          string         `json:"id,omitempty"` // stable, opaque, made by the gateway; the assertion's sub
	Username    string         `json:"username"`
	Kind        Kind           `json:"kind"`
	DisplayName string         `json:"displayName,omitempty"`
	Emails      []string       `json:"emails"`
	Active      bool           `json:"active"`
	ExpiresAt   *time.Time     `json:"expiresAt"`
	Groups      []string       `json:"groups"`
	Roles       []string       `json:"roles"`
	Attributes  map[string]any `json:"attributes,omitempty"`
	// Credentials is nil where the caller said nothing of them, which leaves
	// them untouched; an empty list takes the declared ones away.
	Credentials []Credential `json:"credentials,omitempty"`
	// Origin says who made the user: "" for an administrator, "jit:PROVIDER" for
	// a provider's first sight. Read only.
	Origin    string    `json:"origin,omitempty"`
	CreatedAt time.Time `json:"createdAt,omitzero"`
	UpdatedAt time.Time `json:"updatedAt,omitzero"`
}

// Defaults sets what a left-out field means.
func (u *User) Defaults() { u.Kind, u.Active = Person, true }

// FoldUsername is the form in which usernames are compared and kept unique.
func FoldUsername(s string) string { return strings.ToLower(s) }

// ValidUsername says whether s may be a username: 1 to 254 characters, no controls.
func ValidUsername(s string) bool {
	n := utf8.RuneCountInString(s)
	if n < 1 || n > 254 || !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return false
		}
	}
	return true
}

// Validate reports what is wrong with the user by itself.
func (u *User) Validate(path string) (f Faults) {
	if !ValidUsername(u.Username) {
		f.Add(path+".username", "a username is 1 to 254 characters without control characters")
	}
	switch u.Kind {
	case Person, Application, ServiceUser:
	default:
		f.Add(path+".kind", "is one of person, application, service")
	}
	for i, e := range u.Emails {
		if !ValidEmail(e) {
			f.Add(index(path+".emails", i), "is not an e-mail address")
		}
	}
	for i := range u.Credentials {
		f = append(f, u.Credentials[i].Validate(index(path+".credentials", i))...)
	}
	return f
}

// ValidEmail accepts exactly one @ with something on both sides and no white
// space or control characters: an address with several @ has passed domain
// checks elsewhere (CVE-2026-40574).
func ValidEmail(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	return ok && local != "" && domain != "" && !strings.Contains(domain, "@") && len(s) <= 254 &&
		!strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '"' || r == ',' })
}

// Group is a named set of users with roles.
type Group struct {
	Name        string   `json:"name"`
	Description string   `json:"description,omitempty"`
	Roles       []string `json:"roles"`
}

// Validate reports what is wrong with the group by itself.
func (g *Group) Validate(path string) (f Faults) {
	if !ValidName(g.Name) {
		f.Add(path+".name", NameFault)
	}
	return f
}

// CredentialType says how a credential proves its user.
type CredentialType string

// The types of credential.
const (
	Password    CredentialType = "password"
	APIKey      CredentialType = "apiKey"
	Certificate CredentialType = "certificate"
	PublicKey   CredentialType = "publicKey" // for message signatures (RFC 9421)
	Link        CredentialType = "link"      // a subject of an identity provider
	AdminToken  CredentialType = "token"     // administrators only
)

// Mask stands for a secret in exports and answers; applying it keeps the stored value.
const Mask = "********"

// Credential is what a user proves itself with. Only hashes and public names are
// kept; Secret is filled once, in the answer that creates a generated secret.
type Credential struct {
	ID        string         `json:"id,omitempty"`
	Type      CredentialType `json:"type"`
	CreatedAt time.Time      `json:"createdAt,omitzero"`
	ExpiresAt *time.Time     `json:"expiresAt,omitempty"`
	LastUsed  *time.Time     `json:"lastUsedAt,omitempty"`
	Scopes    []string       `json:"scopes,omitempty"`    // narrow the user's rights: role names or route:METHOD
	Addresses []string       `json:"addresses,omitempty"` // CIDRs it may be used from; empty = any

	Password string `json:"password,omitempty"` // on arrival only; hashed at once, never stored or exported
	Hash     string `json:"hash,omitempty"`     // argon2id, bcrypt or htpasswd form; SHA-256 of an API key's secret
	Prefix   string `json:"prefix,omitempty"`   // apiKey: its public beginning, sp_ + id
	Secret   string `json:"secret,omitempty"`   // answer to creation only

	Fingerprint string `json:"fingerprint,omitempty"` // certificate: SHA-256 of the DER, hex
	URI         string `json:"uri,omitempty"`         // certificate: SAN URI
	DNS         string `json:"dns,omitempty"`         // certificate: SAN DNS name
	Email       string `json:"email,omitempty"`       // certificate: SAN e-mail
	Subject     string `json:"subject,omitempty"`     // certificate: RFC 4514 subject; link: the provider's subject
	Provider    string `json:"provider,omitempty"`    // link: which provider
	PublicKey   string `json:"publicKey,omitempty"`   // publicKey: PEM or JWK on arrival, kept as PEM
	KeyID       string `json:"keyID,omitempty"`       // publicKey: its thumbprint (RFC 7638), by which signatures name it; read only
	// Given is, of a link, what its provider gave a user that it did not make. Such
	// names are among the user's own too; remembered here, they are taken away when
	// the provider no longer says so, and nothing else is. Read only.
	Given *Given `json:"given,omitempty"`

	// Declared is true for one that came with its user in a file or a PUT; a
	// later apply may replace it, and never one made at run time. Read only.
	Declared bool `json:"declared,omitempty"`
}

// Given are the groups and roles that a user has by a provider's word alone.
type Given struct {
	Groups []string `json:"groups,omitempty"`
	Roles  []string `json:"roles,omitempty"`
}

// Validate reports what is wrong with the credential by itself.
func (c *Credential) Validate(path string) (f Faults) {
	switch c.Type {
	case Password:
		if c.Password != "" && c.Hash != "" && c.Hash != Mask {
			f.Add(path, "has both password and hash; give one")
		}
		if c.Password == "" && c.Hash == "" {
			f.Add(path+".password", "is missing; give password, or hash (sallyport hash-password makes one)")
		}
		if len(c.Password) > 1024 {
			f.Add(path+".password", "is longer than 1024 bytes")
		}
	case APIKey, AdminToken:
	case Certificate:
		n := 0
		for _, v := range []string{c.Fingerprint, c.URI, c.DNS, c.Email, c.Subject} {
			if v != "" {
				n++
			}
		}
		if n != 1 {
			f.Add(path, "a certificate is named by exactly one of fingerprint, uri, dns, email, subject")
		}
		if c.Fingerprint != "" && !validFingerprint(c.Fingerprint) {
			f.Add(path+".fingerprint", "is the SHA-256 of the certificate in hex: 64 digits, colons allowed")
		}
	case PublicKey:
		if c.PublicKey == "" {
			f.Add(path+".publicKey", "is missing; give the key as PEM or JWK")
		} else if _, err := ParsePublicKey(c.PublicKey); err != nil {
			f.Add(path+".publicKey", err.Error())
		}
	case Link:
		if c.Provider == "" {
			f.Add(path+".provider", "is missing")
		}
		if c.Subject == "" {
			f.Add(path+".subject", "is missing")
		}
	default:
		f.Add(path+".type", "is one of password, apiKey, certificate, publicKey, link")
	}
	for i, a := range c.Addresses {
		if _, err := ParsePrefix(a); err != nil {
			f.Add(index(path+".addresses", i), err.Error())
		}
	}
	return f
}

// NormalFingerprint is the fingerprint in lower case hex without colons.
func NormalFingerprint(s string) string { return strings.ToLower(strings.ReplaceAll(s, ":", "")) }

func validFingerprint(s string) bool {
	s = NormalFingerprint(s)
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}

// AdminRole is what an administrator may do.
type AdminRole string

// The roles of administrators.
const (
	AdminAll         AdminRole = "admin"       // everything
	AdminOperator    AdminRole = "operator"    // services, routes, limits, providers
	AdminProvisioner AdminRole = "provisioner" // users, groups, their credentials, SCIM
	AdminAuditor     AdminRole = "auditor"     // read only
)

// Administrator may use the admin API, and never passes the proxy.
type Administrator struct {
	Name        string       `json:"name"`
	Roles       []AdminRole  `json:"roles"`
	Active      bool         `json:"active"`
	Credentials []Credential `json:"credentials,omitempty"`
	CreatedAt   time.Time    `json:"createdAt,omitzero"`
	UpdatedAt   time.Time    `json:"updatedAt,omitzero"`
}

// Defaults sets what a left-out field means.
func (a *Administrator) Defaults() { a.Active = true }

// Validate reports what is wrong with the administrator by itself.
func (a *Administrator) Validate(path string) (f Faults) {
	if !ValidName(a.Name) {
		f.Add(path+".name", NameFault)
	}
	for i, r := range a.Roles {
		switch r {
		case AdminAll, AdminOperator, AdminProvisioner, AdminAuditor:
		default:
			f.Add(index(path+".roles", i), "is one of admin, operator, provisioner, auditor")
		}
	}
	for i := range a.Credentials {
		f = append(f, a.Credentials[i].Validate(index(path+".credentials", i))...)
	}
	return f
}
