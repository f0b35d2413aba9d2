package xmlsec

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
)

// VerifyDetached verifies a signature that stands beside what it is over, as in the
// Redirect binding (SAML bindings 3.4.4.1). The method is named as in XML Signature.
func VerifyDetached(certs []*x509.Certificate, method, signed string, sig []byte) error {
	if len(sig) == 0 {
		return errors.New("the message is not signed")
	}
	a, ok := signatureMethods[method]
	if !ok {
		return fmt.Errorf("the signature's method %q is not allowed", Clip(method))
	}
	for _, cert := range certs {
		if verifies(cert, a, signed, sig) {
			return nil
		}
	}
	return ErrKey
}

func verifies(cert *x509.Certificate, method x509.SignatureAlgorithm, signed string, sig []byte) bool {
	hash := hashOf(method)
	h := hash.New()
	_, _ = io.WriteString(h, signed)
	digest := h.Sum(nil)
	switch pub := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		return algorithmOf(method) == x509.RSA && rsa.VerifyPKCS1v15(pub, hash, digest, sig) == nil
	case *ecdsa.PublicKey:
		// Some write r and s side by side, as XML Signature does, and some ASN.1.
		if der, err := ecdsaASN1(sig, pub); err == nil {
			sig = der
		}
		return algorithmOf(method) == x509.ECDSA && ecdsa.VerifyASN1(pub, digest, sig)
	}
	return false
}

func hashOf(method x509.SignatureAlgorithm) crypto.Hash {
	switch method {
	case x509.SHA384WithRSA, x509.ECDSAWithSHA384:
		return crypto.SHA384
	case x509.SHA512WithRSA, x509.ECDSAWithSHA512:
		return crypto.SHA512
	}
	return crypto.SHA256
}

// KeyType names the type of a certificate's key; "" where it is too weak to sign
// anything, or of a type that is not known.
func KeyType(cert *x509.Certificate) string {
	switch pub := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		if n := pub.N.BitLen(); n >= 2048 && n <= 8192 {
			return fmt.Sprintf("RSA %d", n)
		}
	case *ecdsa.PublicKey:
		if bits := pub.Curve.Params().BitSize; bits >= 256 {
			return pub.Curve.Params().Name
		}
	}
	return ""
}
