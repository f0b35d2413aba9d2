package directory

import (
	"strings"
	"unicode/utf8"

	"github.com/sallyport/sallyport/internal/model"
)

// The kinds of certificate name: A of a ByCertificate key.
const (
	CertFingerprint = "fingerprint"
	CertURI         = "uri"
	CertDNS         = "dns"
	CertEmail       = "email"
	CertSubject     = "subject"
)

// keyPrefix stands before the id in an API key's public beginning.
const keyPrefix = "sp_"

// Normal is the one spelling of a key, by which it is stored, cached and looked
// up: usernames and host names folded, fingerprints as bare lower-case hex. It
// does not allocate where the key is in that spelling already.
func (k Key) Normal() Key {
	switch k.By {
	case ByUsername:
		k.A = model.FoldUsername(k.A)
	case ByCertificate:
		switch k.A {
		case CertFingerprint:
			k.B = model.NormalFingerprint(k.B)
		case CertDNS:
			k.B = strings.ToLower(k.B)
		case CertEmail: // RFC 5280, 7.5: the host part's case does not count, the mailbox's does
			if at := strings.LastIndexByte(k.B, '@'); at >= 0 && strings.ToLower(k.B[at:]) != k.B[at:] {
				k.B = k.B[:at] + strings.ToLower(k.B[at:])
			}
		}
	}
	return k
}

// plausible is false for a key that cannot name anybody. Bytes that are not
// UTF-8 would fold to the replacement character, and so to another's name.
func (k Key) plausible() bool {
	switch k.By {
	case ByUsername, ByKeyID, ByPublicKey, byID:
		return k.A != "" && utf8.ValidString(k.A)
	case ByCertificate, ByLink:
		return k.A != "" && k.B != ""
	}
	return false
}

// clone copies what may be a view into a request's buffer.
func (k Key) clone() Key {
	return Key{By: k.By, A: strings.Clone(k.A), B: strings.Clone(k.B)}
}

// CredentialKey is the public name by which a credential is looked up, in its
// normal spelling. It is false for those that name nobody: passwords.
func CredentialKey(c *model.Credential) (Key, bool) {
	k := Key{}
	switch c.Type {
	case model.APIKey:
		k = Key{By: ByKeyID, A: strings.TrimPrefix(c.Prefix, keyPrefix)}
		if k.A == "" {
			k.A = c.ID
		}
	case model.Link:
		k = Key{By: ByLink, A: c.Provider, B: c.Subject}
	case model.Certificate:
		k = certificateKey(c)
	case model.PublicKey:
		k = Key{By: ByPublicKey, A: c.KeyID}
	}
	return k.Normal(), k.plausible()
}

func certificateKey(c *model.Credential) Key {
	k := Key{By: ByCertificate}
	switch {
	case c.Fingerprint != "":
		k.A, k.B = CertFingerprint, c.Fingerprint
	case c.URI != "":
		k.A, k.B = CertURI, c.URI
	case c.DNS != "":
		k.A, k.B = CertDNS, c.DNS
	case c.Email != "":
		k.A, k.B = CertEmail, c.Email
	case c.Subject != "":
		k.A, k.B = CertSubject, c.Subject
	}
	return k
}

// CredentialFor finds the credential of u that key names: for a username its
// password. Nil where it has none.
func CredentialFor(u *model.User, key Key) *model.Credential {
	key = key.Normal()
	for i := range u.Credentials {
		c := &u.Credentials[i]
		if key.By == ByUsername {
			if c.Type == model.Password {
				return c
			}
			continue
		}
		if k, ok := CredentialKey(c); ok && k == key {
			return c
		}
	}
	return nil
}
