package session

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
)

// A cookie is 32 random bytes and a tag, by which one that was made up is refused
// without asking the store: a flood of them costs nobody else a look-up.
const (
	randomBytes = 32
	tagBytes    = 8
)

// seal makes cookies, and encrypts what providers need.
type seal struct {
	tag  []byte
	aead cipher.AEAD
}

func newSeal(key []byte) (*seal, error) {
	if len(key) < 32 {
		return nil, fmt.Errorf("the key of sessions has %d bytes, and needs 32", len(key))
	}
	tag, err := hkdf.Key(sha256.New, key, nil, "sallyport session cookie", 32)
	if err != nil {
		return nil, err
	}
	secret, err := hkdf.Key(sha256.New, key, nil, "sallyport session keep", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	return &seal{tag, aead}, err
}

func (s *seal) mark(random []byte) []byte {
	m := hmac.New(sha256.New, s.tag)
	m.Write(random)
	return m.Sum(nil)[:tagBytes]
}

func (s *seal) newCookie() (cookie string, hash [32]byte) {
	raw := make([]byte, randomBytes, randomBytes+tagBytes)
	_, _ = rand.Read(raw)
	cookie = base64.RawURLEncoding.EncodeToString(append(raw, s.mark(raw)...))
	return cookie, sum(cookie)
}

// hash is what a cookie is kept as; ok is false for what no gateway of this key made.
func (s *seal) hash(cookie string) (hash [32]byte, ok bool) {
	if len(cookie) != base64.RawURLEncoding.EncodedLen(randomBytes+tagBytes) {
		return hash, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cookie)
	if err != nil || subtle.ConstantTimeCompare(raw[randomBytes:], s.mark(raw[:randomBytes])) != 1 {
		return hash, false
	}
	return sum(cookie), true
}

// close encrypts for one session: under another's id nothing opens.
func (s *seal) close(id string, plain []byte) []byte {
	if len(plain) == 0 {
		return nil
	}
	nonce := make([]byte, s.aead.NonceSize(), s.aead.NonceSize()+len(plain)+s.aead.Overhead())
	_, _ = rand.Read(nonce)
	return s.aead.Seal(nonce, nonce, plain, []byte(id))
}

func (s *seal) open(id string, sealed []byte) ([]byte, error) {
	if len(sealed) == 0 {
		return nil, nil
	}
	n := s.aead.NonceSize()
	if len(sealed) < n {
		return nil, fmt.Errorf("what is kept of session %s is cut short", id)
	}
	plain, err := s.aead.Open(nil, sealed[:n], sealed[n:], []byte(id))
	if err != nil {
		return nil, fmt.Errorf("what is kept of session %s cannot be decrypted: %w", id, err)
	}
	return plain, nil
}
