package keys

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sallyport/sallyport/internal/strict"
)

// Bounds of what is taken for a key set.
const (
	mostKeys   = 100
	minRSABits = 2048
	maxRSABits = 8192 // each check of a larger one is work for nothing
)

// Key is a public key of an issuer, bound to the algorithms that it is for.
type Key struct {
	ID        string // kid; "" where it has none
	Algorithm string // the one it says it is for; "" = any that its type allows
	Public    any    // *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
	FirstSeen time.Time
	LastSeen  time.Time
	sum       [32]byte
}

// Fits says whether the key may verify a signature of that algorithm. The key
// decides, never the token: each type and curve has its own algorithms, and none
// of them is symmetric (CVE-2026-22817, CVE-2026-44699).
func (k *Key) Fits(algorithm string) bool {
	if k.Algorithm != "" && k.Algorithm != algorithm {
		return false
	}
	switch pub := k.Public.(type) {
	case *rsa.PublicKey:
		switch algorithm {
		case "RS256", "RS384", "RS512", "PS256", "PS384", "PS512":
			return true
		}
	case *ecdsa.PublicKey:
		switch pub.Curve.Params().BitSize {
		case 256:
			return algorithm == "ES256"
		case 384:
			return algorithm == "ES384"
		case 521:
			return algorithm == "ES512"
		}
	case ed25519.PublicKey:
		return algorithm == "EdDSA"
	}
	return false
}

func (k *Key) same(o *Key) bool {
	return k.ID == o.ID && k.Algorithm == o.Algorithm && k.sum == o.sum
}

// usable says whether the key is one that tokens may be signed with.
func usable(pub any) error {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < minRSABits || n > maxRSABits {
			return fmt.Errorf("an RSA key of %d bits; %d to %d are accepted", n, minRSABits, maxRSABits)
		}
		if k.E < 3 || k.E%2 == 0 {
			return errors.New("an RSA key with an unsafe exponent")
		}
	case *ecdsa.PublicKey:
		if n := k.Curve.Params().BitSize; n != 256 && n != 384 && n != 521 {
			return fmt.Errorf("an elliptic-curve key of %d bits", n)
		}
	case ed25519.PublicKey:
	default:
		return errors.New("a key that is not RSA, EC or Ed25519")
	}
	return nil
}

func newKey(id, algorithm string, pub any) (Key, error) {
	if err := usable(pub); err != nil {
		return Key{}, err
	}
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return Key{}, fmt.Errorf("a public key that cannot be written: %w", err)
	}
	return Key{ID: id, Algorithm: algorithm, Public: pub, sum: sha256.Sum256(der)}, nil
}

// parseFile reads PEM public keys and certificates, a JWK set, or a single JWK.
func parseFile(b []byte) ([]Key, error) {
	if bytes.Contains(b, []byte("-----BEGIN ")) {
		return parsePEM(b)
	}
	return parseJWKS(b)
}

func parsePEM(b []byte) (list []Key, err error) {
	for len(list) <= mostKeys {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			break
		}
		pub, err := publicOf(block)
		if err != nil {
			return nil, err
		}
		k, err := newKey("", "", pub)
		if err != nil {
			return nil, err
		}
		list = append(list, k)
	}
	return checkList(list, nil)
}

func publicOf(block *pem.Block) (any, error) {
	var pub any
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		pub, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		pub, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		var c *x509.Certificate
		if c, err = x509.ParseCertificate(block.Bytes); err == nil {
			pub = c.PublicKey
		}
	default:
		if strings.Contains(block.Type, "PRIVATE KEY") {
			return nil, errors.New("holds a private key; verifying needs the public key alone, and the private one belongs to the issuer")
		}
		return nil, fmt.Errorf("holds a PEM block of type %q, which is not a public key or certificate", block.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("reading a PEM block of type %q: %w", block.Type, err)
	}
	return pub, nil
}

// jwk is what tells whether a member of a set is a key for signatures at all.
type jwk struct {
	Kty    string   `json:"kty"`
	Use    string   `json:"use"`
	KeyOps []string `json:"key_ops"`
	Alg    string   `json:"alg"`
	Kid    string   `json:"kid"`
	D      any      `json:"d"`
	K      any      `json:"k"`
}

// parseJWKS reads a JWK set. Members that are not for us (encryption, symmetric,
// unknown, broken, too weak) are passed over, as RFC 7517, section 5 advises; a set
// that holds no usable key is an error.
func parseJWKS(b []byte) ([]Key, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
		Kty  string            `json:"kty"`
	}
	if err := json.Unmarshal(b, &set); err != nil {
		return nil, fmt.Errorf("not a JWK set but %s", strict.Instead(b))
	}
	if set.Kty != "" && set.Keys == nil {
		set.Keys = []json.RawMessage{b}
	}
	if len(set.Keys) > mostKeys {
		return nil, fmt.Errorf("a JWK set of %d keys; at most %d are accepted", len(set.Keys), mostKeys)
	}
	var list []Key
	var why error
	for _, raw := range set.Keys {
		k, err := parseJWK(raw)
		if err != nil {
			why = err
			continue
		}
		list = append(list, k)
	}
	return checkList(list, why)
}

func parseJWK(raw json.RawMessage) (Key, error) {
	var m jwk
	if err := json.Unmarshal(raw, &m); err != nil {
		return Key{}, errors.New("a member that is not a JWK")
	}
	switch {
	case m.Kty == "oct" || m.K != nil:
		return Key{}, errors.New("a symmetric key, which nobody may publish")
	case m.D != nil:
		return Key{}, errors.New("a private key, which can no longer be believed")
	case m.Use != "" && m.Use != "sig":
		return Key{}, fmt.Errorf("a key whose use is %q", m.Use)
	case m.KeyOps != nil && !slices.Contains(m.KeyOps, "verify"):
		return Key{}, errors.New("a key whose key_ops lack verify")
	}
	var k jose.JSONWebKey
	if err := k.UnmarshalJSON(raw); err != nil {
		return Key{}, fmt.Errorf("a broken JWK: %w", err)
	}
	key, err := newKey(m.Kid, m.Alg, k.Key)
	if err == nil && m.Alg != "" && !key.Fits(m.Alg) {
		err = fmt.Errorf("a key for the algorithm %q, which is none for signatures with such a key", m.Alg)
	}
	return key, err
}

func checkList(list []Key, why error) ([]Key, error) {
	switch {
	case len(list) > mostKeys:
		return nil, fmt.Errorf("more than %d keys", mostKeys)
	case len(list) == 0 && why != nil:
		return nil, fmt.Errorf("no usable key; the last one is %w", why)
	case len(list) == 0:
		return nil, errors.New("no key at all")
	}
	return list, nil
}

// name is how a key without a kid is shown: the beginning of its thumbprint.
func (k *Key) name() string {
	if k.ID != "" {
		return k.ID
	}
	return "SHA256:" + base64.RawURLEncoding.EncodeToString(k.sum[:12])
}
