package xmlsec

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rsa"
	_ "crypto/sha1" // for OAEP
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/beevik/etree"
)

const (
	nsXEnc11 = "http://www.w3.org/2009/xmlenc11#"
	oaep     = NSXEnc + "rsa-oaep-mgf1p"
	oaep11   = nsXEnc11 + "rsa-oaep"
)

// Announced lists the methods of encryption that metadata names, in the order in
// which a provider should choose. CBC is there for the many that know nothing else;
// that all failures are answered alike is what keeps it from being an oracle.
func Announced() []string {
	return []string{nsXEnc11 + "aes256-gcm", nsXEnc11 + "aes128-gcm", NSXEnc + "aes256-cbc", NSXEnc + "aes128-cbc", oaep, oaep11}
}

// contentCiphers are the methods for contents: the length of the key, and whether it is GCM.
var contentCiphers = map[string]struct {
	size int
	gcm  bool
}{
	nsXEnc11 + "aes128-gcm": {16, true}, nsXEnc11 + "aes192-gcm": {24, true}, nsXEnc11 + "aes256-gcm": {32, true},
	NSXEnc + "aes128-cbc": {16, false}, NSXEnc + "aes192-cbc": {24, false}, NSXEnc + "aes256-cbc": {32, false},
}

// hashes are those of OAEP. SHA-1 is sound in that place, where nobody can gain by a
// collision, and the default of the standard (XML Encryption 5.5.2).
var hashes = map[string]crypto.Hash{
	NSDSig + "sha1":   crypto.SHA1,
	NSXEnc + "sha256": crypto.SHA256,
	"http://www.w3.org/2001/04/xmldsig-more#sha384": crypto.SHA384,
	NSXEnc + "sha512": crypto.SHA512,
}

var maskHashes = map[string]crypto.Hash{
	nsXEnc11 + "mgf1sha1": crypto.SHA1, nsXEnc11 + "mgf1sha256": crypto.SHA256,
	nsXEnc11 + "mgf1sha384": crypto.SHA384, nsXEnc11 + "mgf1sha512": crypto.SHA512,
}

// maxKeys bounds the private-key operations that one message can cost.
const maxKeys = 4

// Decrypt answers the assertion in an EncryptedAssertion, read as strictly as the
// message around it.
func Decrypt(el *etree.Element, key *rsa.PrivateKey) (*etree.Element, error) {
	data, err := Required(el, NSXEnc, "EncryptedData")
	if err != nil {
		return nil, err
	}
	method, err := encryptionMethod(data)
	if err != nil {
		return nil, err
	}
	content, ok := contentCiphers[Attr(method, "Algorithm")]
	if !ok {
		return nil, fmt.Errorf("encryption by %q is not allowed", Clip(Attr(method, "Algorithm")))
	}
	keys := Children(el, NSXEnc, "EncryptedKey")
	info, err := Optional(data, NSDSig, "KeyInfo")
	if err != nil {
		return nil, err
	}
	if info != nil {
		keys = append(keys, Children(info, NSXEnc, "EncryptedKey")...)
	}
	if len(keys) == 0 || len(keys) > maxKeys {
		return nil, fmt.Errorf("there are %d encrypted keys", len(keys))
	}
	sealed, err := cipherValue(data)
	if err != nil {
		return nil, err
	}
	cause := errors.New("none of the encrypted keys fits")
	for _, k := range keys {
		secret, err := unwrap(k, key)
		if err == nil && len(secret) != content.size {
			err = errors.New("the encrypted key has the wrong length")
		}
		if err != nil {
			cause = err
			continue
		}
		plain, err := open(secret, sealed, content.gcm)
		if err != nil {
			return nil, fmt.Errorf("decrypting the assertion: %w", err)
		}
		root, err := Parse(plain)
		if err != nil {
			return nil, fmt.Errorf("the decrypted assertion: %w", err)
		}
		return root, nil
	}
	return nil, fmt.Errorf("decrypting the key of the assertion: %w", cause)
}

func encryptionMethod(el *etree.Element) (*etree.Element, error) {
	return Required(el, NSXEnc, "EncryptionMethod")
}

// cipherValue reads CipherData/CipherValue; a reference to elsewhere is not followed.
func cipherValue(el *etree.Element) ([]byte, error) {
	data, err := Required(el, NSXEnc, "CipherData")
	if err != nil {
		return nil, err
	}
	value, err := Required(data, NSXEnc, "CipherValue")
	if err != nil {
		return nil, err
	}
	s, err := Text(value)
	if err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(strings.Join(strings.Fields(s), ""))
}

// unwrap decrypts a content key by RSA-OAEP. RSA 1.5 is refused whatever it holds,
// for its padding is an oracle by itself (Bleichenbacher).
func unwrap(el *etree.Element, key *rsa.PrivateKey) ([]byte, error) {
	method, err := encryptionMethod(el)
	if err != nil {
		return nil, err
	}
	o := rsa.OAEPOptions{Hash: crypto.SHA1, MGFHash: crypto.SHA1}
	name := Attr(method, "Algorithm")
	if name != oaep && name != oaep11 {
		return nil, fmt.Errorf("encryption of keys by %q is not allowed", Clip(name))
	}
	known := true
	for _, c := range method.ChildElements() {
		a, ok := Attr(c, "Algorithm"), false
		switch {
		case Is(c, NSDSig, "DigestMethod"):
			o.Hash, ok = hashes[a]
		case Is(c, nsXEnc11, "MGF") && name == oaep11:
			o.MGFHash, ok = maskHashes[a]
		case Is(c, NSXEnc, "OAEPparams"):
			var s string
			s, err = Text(c)
			ok = err == nil && strings.TrimSpace(s) == ""
		}
		known = known && ok
	}
	if !known {
		return nil, errors.New("the parameters of OAEP are not known")
	}
	wrapped, err := cipherValue(el)
	if err != nil {
		return nil, err
	}
	return key.Decrypt(nil, wrapped, &o)
}

func open(secret, sealed []byte, gcm bool) ([]byte, error) {
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	if gcm {
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil, err
		}
		if len(sealed) < aead.NonceSize() {
			return nil, errors.New("the ciphertext is too short")
		}
		return aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], nil)
	}
	if len(sealed) < 2*aes.BlockSize || len(sealed)%aes.BlockSize != 0 {
		return nil, errors.New("the ciphertext is no whole number of blocks")
	}
	plain := make([]byte, len(sealed)-aes.BlockSize)
	cipher.NewCBCDecrypter(block, sealed[:aes.BlockSize]).CryptBlocks(plain, sealed[aes.BlockSize:])
	pad := int(plain[len(plain)-1]) // XML Encryption 5.2: the other bytes of the padding are arbitrary
	if pad == 0 || pad > aes.BlockSize {
		return nil, errors.New("the padding is wrong")
	}
	return plain[:len(plain)-pad], nil
}
