package session

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"

	"github.com/sallyport/sallyport/internal/secret"
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
	keep *secret.Sealer
}

func newSeal(key []byte) (*seal, error) {
	tag, err := secret.Derive(key, "sallyport session cookie")
	if err != nil {
		return nil, err
	}
	keep, err := secret.NewSealer(key, "sallyport session keep")
	return &seal{tag, keep}, err
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
	return s.keep.Seal(plain, id)
}

func (s *seal) open(id string, sealed []byte) ([]byte, error) {
	if len(sealed) == 0 {
		return nil, nil
	}
	plain, err := s.keep.Open(sealed, id)
	if err != nil {
		return nil, fmt.Errorf("what is kept of session %s cannot be decrypted: %w", id, err)
	}
	return plain, nil
}
