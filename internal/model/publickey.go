package model

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// maxPublicKey is the longest text that is read as a public key.
const maxPublicKey = 16 << 10

// ParsePublicKey reads a user's public key: PEM ("PUBLIC KEY", "RSA PUBLIC KEY") or
// a JWK (RFC 7517). It takes what a message signature can be verified with: ECDSA
// on P-256 or P-384, Ed25519, RSA of 2048 to 8192 bits; never a private key, which
// whoever sent it has given away.
func ParsePublicKey(text string) (crypto.PublicKey, error) {
	if len(text) > maxPublicKey {
		return nil, errors.New("is longer than 16 KiB")
	}
	pub, err := readPublicKey(strings.TrimSpace(text))
	if err != nil {
		return nil, err
	}
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() && k.Curve != elliptic.P384() {
			return nil, errors.New("is an elliptic-curve key, and not on P-256 or P-384")
		}
	case ed25519.PublicKey:
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < 2048 || n > 8192 {
			return nil, fmt.Errorf("is an RSA key of %d bits; 2048 to 8192 are accepted", n)
		}
		if k.E < 3 || k.E%2 == 0 {
			return nil, errors.New("is an RSA key with an unsafe exponent")
		}
	default:
		return nil, errors.New("is a key that is not ECDSA, Ed25519 or RSA")
	}
	return pub, nil
}

func readPublicKey(text string) (crypto.PublicKey, error) {
	if strings.HasPrefix(text, "{") {
		return readJWK([]byte(text))
	}
	block, rest := pem.Decode([]byte(text))
	switch {
	case block == nil:
		return nil, errors.New("is neither PEM nor a JWK")
	case len(strings.TrimSpace(string(rest))) > 0:
		return nil, errors.New("holds more than one PEM block")
	case strings.Contains(block.Type, "PRIVATE KEY"):
		return nil, errors.New("is a private key; give the public one, and make a new pair, for this one has been sent")
	case block.Type == "PUBLIC KEY":
		pub, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, errors.New("is not a public key in PEM")
		}
		return pub, nil
	case block.Type == "RSA PUBLIC KEY":
		pub, err := x509.ParsePKCS1PublicKey(block.Bytes)
		if err != nil {
			return nil, errors.New("is not a public key in PEM")
		}
		return pub, nil
	}
	return nil, errors.New("is PEM of another type than PUBLIC KEY")
}

func readJWK(b []byte) (crypto.PublicKey, error) {
	var j struct {
		Kty, Crv, X, Y, N, E, Use string
		D, K, P, Q, DP, DQ, QI    any
	}
	if err := json.Unmarshal(b, &j); err != nil {
		return nil, errors.New("is not a JWK (RFC 7517)")
	}
	if j.D != nil || j.K != nil || j.P != nil || j.Q != nil || j.DP != nil || j.DQ != nil || j.QI != nil {
		return nil, errors.New("is a private or symmetric key; give the public one, and make a new pair, for this one has been sent")
	}
	if j.Use != "" && j.Use != "sig" {
		return nil, errors.New("is a JWK for another use than signatures")
	}
	broken := errors.New("is a broken JWK")
	raw := func(s string) []byte {
		b, err := base64.RawURLEncoding.Strict().DecodeString(s)
		if err != nil {
			return nil
		}
		return b
	}
	switch j.Kty + " " + j.Crv {
	case "EC P-256", "EC P-384":
		curve := elliptic.P256()
		if j.Crv == "P-384" {
			curve = elliptic.P384()
		}
		n := (curve.Params().BitSize + 7) / 8
		x, y := raw(j.X), raw(j.Y)
		if len(x) != n || len(y) != n {
			return nil, broken
		}
		k, err := ecdsa.ParseUncompressedPublicKey(curve, append(append([]byte{4}, x...), y...))
		if err != nil { // not on the curve
			return nil, broken
		}
		return k, nil
	case "OKP Ed25519":
		x := raw(j.X)
		if len(x) != ed25519.PublicKeySize {
			return nil, broken
		}
		return ed25519.PublicKey(x), nil
	case "RSA ":
		n, e := raw(j.N), raw(j.E)
		if len(n) == 0 || n[0] == 0 || len(e) == 0 || len(e) > 4 {
			return nil, broken
		}
		return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}, nil
	}
	return nil, errors.New("is a JWK of another type than EC (P-256, P-384), OKP (Ed25519) or RSA")
}

// Thumbprint is a public key's name by RFC 7638: SHA-256, base64url; "" for a key
// that ParsePublicKey would not take.
func Thumbprint(pub crypto.PublicKey) string {
	e := base64.RawURLEncoding.EncodeToString
	var text string
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		b, err := k.Bytes() // 4, x, y
		if err != nil {
			return ""
		}
		half := (len(b) - 1) / 2
		text = `{"crv":"` + k.Curve.Params().Name + `","kty":"EC","x":"` + e(b[1:1+half]) + `","y":"` + e(b[1+half:]) + `"}`
	case ed25519.PublicKey:
		text = `{"crv":"Ed25519","kty":"OKP","x":"` + e(k) + `"}`
	case *rsa.PublicKey:
		text = `{"e":"` + e(big.NewInt(int64(k.E)).Bytes()) + `","kty":"RSA","n":"` + e(k.N.Bytes()) + `"}`
	default:
		return ""
	}
	sum := sha256.Sum256([]byte(text))
	return e(sum[:])
}

// NormalPublicKey is a public key in its one spelling, PEM, and its name. What
// cannot be read is left as it is, for Validate to tell of.
func NormalPublicKey(text string) (normal, keyID string) {
	pub, err := ParsePublicKey(text)
	if err != nil {
		return text, ""
	}
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return text, ""
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), Thumbprint(pub)
}
