package keys

import (
	"crypto"
	"encoding/base64"
	"fmt"

	"github.com/go-jose/go-jose/v4"
)

// ParseJWK reads one public key of a caller's own, by the same demands as those of
// an issuer: no symmetric one, no private one, none that is too weak.
func ParseJWK(raw []byte) (Key, error) { return parseJWK(raw) }

// Thumbprint is the key's name by RFC 7638: SHA-256, base64url.
func (k *Key) Thumbprint() (string, error) {
	j := jose.JSONWebKey{Key: k.Public}
	sum, err := j.Thumbprint(crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("a key without a thumbprint: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}
