package signature

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"math/big"
)

// The algorithms (RFC 9421, 3.3), less the symmetric one.
const (
	ecdsaP256 = "ecdsa-p256-sha256"
	ecdsaP384 = "ecdsa-p384-sha384"
	edwards   = "ed25519"
	rsaPSS    = "rsa-pss-sha512"
	rsaV15    = "rsa-v1_5-sha256"
)

// algorithm is the one that a key is for. The key decides, and what the signature
// says of it (alg) must agree; an RSA key alone has two, of which the better one
// counts where nothing is said.
func algorithm(pub crypto.PublicKey, said string) (string, bool) {
	own := ""
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			own = ecdsaP256
		case elliptic.P384():
			own = ecdsaP384
		}
	case ed25519.PublicKey:
		own = edwards
	case *rsa.PublicKey:
		if own = rsaPSS; said == rsaV15 {
			own = rsaV15
		}
	}
	return own, own != "" && (said == "" || said == own)
}

// verify says whether sig is the key's signature of the base.
func verify(pub crypto.PublicKey, alg, base string, sig []byte) bool {
	msg := []byte(base)
	switch alg {
	case ecdsaP256:
		sum := sha256.Sum256(msg)
		return verifyECDSA(pub, sum[:], sig, 32)
	case ecdsaP384:
		sum := sha512.Sum384(msg)
		return verifyECDSA(pub, sum[:], sig, 48)
	case edwards:
		k, ok := pub.(ed25519.PublicKey)
		return ok && len(k) == ed25519.PublicKeySize && ed25519.Verify(k, msg, sig)
	case rsaPSS:
		k, ok := pub.(*rsa.PublicKey)
		sum := sha512.Sum512(msg)
		return ok && rsa.VerifyPSS(k, crypto.SHA512, sum[:], sig, &rsa.PSSOptions{SaltLength: 64}) == nil
	case rsaV15:
		k, ok := pub.(*rsa.PublicKey)
		sum := sha256.Sum256(msg)
		return ok && rsa.VerifyPKCS1v15(k, crypto.SHA256, sum[:], sig) == nil
	}
	return false
}

// verifyECDSA takes r and s beside each other, each of the curve's length (RFC
// 9421, 3.3.4).
func verifyECDSA(pub crypto.PublicKey, sum, sig []byte, n int) bool {
	k, ok := pub.(*ecdsa.PublicKey)
	if !ok || len(sig) != 2*n {
		return false
	}
	return ecdsa.Verify(k, sum, new(big.Int).SetBytes(sig[:n]), new(big.Int).SetBytes(sig[n:]))
}
