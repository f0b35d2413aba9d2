package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
)

// Derive is a key of 32 bytes for one purpose, made of one that outlives restarts:
// what is known of one purpose's tells nothing of another's (RFC 5869).
func Derive(key []byte, purpose string) ([]byte, error) {
	if len(key) < 32 {
		return nil, fmt.Errorf("the key for %s has %d bytes, and needs 32", purpose, len(key))
	}
	return hkdf.Key(sha256.New, key, nil, purpose, 32)
}

// Sealer encrypts for one purpose, by AES-256-GCM with a random nonce in front.
type Sealer struct{ aead cipher.AEAD }

// NewSealer makes the sealer of a purpose.
func NewSealer(key []byte, purpose string) (*Sealer, error) {
	derived, err := Derive(key, purpose)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	return &Sealer{aead}, err
}

// Seal encrypts plain for whatever about names: under another name nothing opens.
func (s *Sealer) Seal(plain []byte, about string) []byte {
	nonce := make([]byte, s.aead.NonceSize(), s.aead.NonceSize()+len(plain)+s.aead.Overhead())
	_, _ = rand.Read(nonce)
	return s.aead.Seal(nonce, nonce, plain, []byte(about))
}

var errShort = errors.New("it is cut short")

// Open answers what was sealed for about.
func (s *Sealer) Open(sealed []byte, about string) ([]byte, error) {
	n := s.aead.NonceSize()
	if len(sealed) < n {
		return nil, errShort
	}
	return s.aead.Open(nil, sealed[:n], sealed[n:], []byte(about))
}
