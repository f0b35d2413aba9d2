package verify

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"fmt"

	"github.com/go-jose/go-jose/v4"
)

// publicKey is one key that signatures may be verified with.
type publicKey struct {
	id  string
	alg string // the only algorithm it is for; "" = whatever its type allows
	key crypto.PublicKey
}

// fits says whether the key may verify that algorithm: a key chooses its
// algorithms, so that no token can talk an RSA key into being a secret.
func (k *publicKey) fits(alg jose.SignatureAlgorithm) bool {
	if k.alg != "" && k.alg != string(alg) {
		return false
	}
	switch key := k.key.(type) {
	case *rsa.PublicKey:
		switch alg {
		case jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512:
			return true
		}
	case *ecdsa.PublicKey:
		switch alg {
		case jose.ES256:
			return key.Curve == elliptic.P256()
		case jose.ES384:
			return key.Curve == elliptic.P384()
		case jose.ES512:
			return key.Curve == elliptic.P521()
		}
	case ed25519.PublicKey:
		return alg == jose.EdDSA
	}
	return false
}

// usable says whether the key is one that proves anything.
func usable(key crypto.PublicKey) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return k.N.BitLen() >= 2048
	case *ecdsa.PublicKey:
		return k.Curve == elliptic.P256() || k.Curve == elliptic.P384() || k.Curve == elliptic.P521()
	case ed25519.PublicKey:
		return len(k) == ed25519.PublicKeySize
	}
	return false
}

// parseKeySet reads a JWK set (RFC 7517). Keys of kinds that are not known or
// not for signatures are passed over (section 5); secrets never count.
func parseKeySet(text []byte) ([]publicKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, fmt.Errorf("it is not a JWK set: %w", err)
	}
	var keys []publicKey
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		if k.UnmarshalJSON(raw) != nil || k.Use != "" && k.Use != "sig" || !usable(k.Key) {
			continue
		}
		keys = append(keys, publicKey{id: k.KeyID, alg: k.Algorithm, key: k.Key})
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("none of its %d keys can verify signatures", len(set.Keys))
	}
	return keys, nil
}

// keyList is a source that never changes.
type keyList []publicKey

func fixedKeys(keys map[string]crypto.PublicKey) (keyList, error) {
	var list keyList
	for id, k := range keys {
		if !usable(k) {
			return nil, fmt.Errorf("key %q is a %T, which cannot verify signatures", id, k)
		}
		list = append(list, publicKey{id: id, key: k})
	}
	return list, nil
}

func (l keyList) find(_ context.Context, kid string) ([]publicKey, error) {
	var found []publicKey
	for _, k := range l {
		// A token need not have a kid; one key alone is then meant.
		if k.id == kid && kid != "" || kid == "" && len(l) == 1 {
			found = append(found, k)
		}
	}
	return found, nil
}
