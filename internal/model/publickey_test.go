package model

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
)

func TestThumbprintsAreThoseOfTheRFCs(t *testing.T) {
	for text, want := range map[string]string{
		// RFC 7638, 3.1
		`{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}`: "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
		// RFC 8037, A.3
		`{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`: "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
	} {
		pub, err := ParsePublicKey(text)
		if err != nil || Thumbprint(pub) != want {
			t.Errorf("%v %s, want %s", err, Thumbprint(pub), want)
		}
	}
	if Thumbprint(nil) != "" || Thumbprint("x") != "" {
		t.Error("what is no key has a thumbprint")
	}
}

func TestPublicKeysAreReadAndWrittenInOneSpelling(t *testing.T) {
	r, _ := rsa.GenerateKey(rand.Reader, 2048)
	e2, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	e3, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	ed, private, _ := ed25519.GenerateKey(rand.Reader)
	for _, pub := range []any{&r.PublicKey, &e2.PublicKey, &e3.PublicKey, ed} {
		der, err := x509.MarshalPKIXPublicKey(pub)
		if err != nil {
			t.Fatal(err)
		}
		text := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
		normal, id := NormalPublicKey("\n " + strings.ReplaceAll(text, "\n", "\r\n"))
		if normal != text || len(id) != 43 {
			t.Errorf("%T: %q %q", pub, normal, id)
		}
	}
	old := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&r.PublicKey)}))
	if normal, id := NormalPublicKey(old); !strings.HasPrefix(normal, "-----BEGIN PUBLIC KEY-----") || id != Thumbprint(&r.PublicKey) {
		t.Errorf("%q %q", normal, id)
	}
	if text, id := NormalPublicKey("x"); text != "x" || id != "" {
		t.Error("what cannot be read is changed")
	}

	e5, _ := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	small, _ := rsa.GenerateKey(rand.Reader, 1024)
	pkix := func(pub any) string {
		der, _ := x509.MarshalPKIXPublicKey(pub)
		return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	}
	pkcs8, _ := x509.MarshalPKCS8PrivateKey(private)
	for name, text := range map[string]string{
		"nothing": "", "a word": "x", "an open brace": "{", "P-521": pkix(&e5.PublicKey), "RSA of 1024 bits": pkix(&small.PublicKey),
		"a private key":             string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})),
		"a certificate":             string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})),
		"two keys":                  pkix(ed) + pkix(ed),
		"broken PEM":                string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")})),
		"too long":                  strings.Repeat(" ", 17<<10) + pkix(ed),
		"a symmetric JWK":           `{"kty":"oct","k":"AAAA"}`,
		"a private JWK":             `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","d":"AA"}`,
		"a JWK for encryption":      `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","use":"enc"}`,
		"a JWK of another curve":    `{"kty":"OKP","crv":"X25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
		"a JWK that is cut":         `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHUR"}`,
		"a point not on its curve":  `{"kty":"EC","crv":"P-256","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE","y":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE"}`,
		"RSA with the exponent one": `{"kty":"RSA","e":"AQ","n":"r4tmm3r20Wd_PbqvP1s2-QEtvpuRaV8Yq40gjUR8y2Rjxa6dpG2GXHbPfvMs8ct-Lh1GH45x28Rw3Ry53mm-oAXjyQ86OnDkZ5N8lYbggD4O3w6M6pAvLkhk95AndTrifbIFPNU8PPMO7OyrFAHqgDsznjPFmTOtCEcN2Z1FpWgchwuYLPL-Wokqltd11nqqzi-bJ9cvSKADYdUAAN5WUtzdpiy6LbTgSxP7ociU4Tn0g5I6aDZJ7A8Lzo0KSyZYoA485mqcO0GVAdVw9lq4aOT9v6d-nb4bnNkQVklLQ3fVAvJm-xdDOp9LCNCN48V2pnDOkFV6-U9nV5oyc6XI2w"}`,
	} {
		if pub, err := ParsePublicKey(text); err == nil {
			t.Errorf("%s: taken as %T", name, pub)
		}
		if f := (&Credential{Type: PublicKey, PublicKey: text}).Validate("c"); len(f) == 0 {
			t.Errorf("%s: no fault", name)
		}
	}
}
