package secret

import (
	"bytes"
	"testing"
)

// mod_auth_openidc CVE-2021-32791: seals had one nonce, and nothing said what they were
// for. CVE-2023-28625: one that was cut or changed crashed who opened it.
func TestTheSameIsNeverSealedTheSame(t *testing.T) {
	key := bytes.Repeat([]byte("k"), 32)
	s, err := NewSealer(key, "one purpose")
	if err != nil {
		t.Fatal(err)
	}
	a, b := s.Seal([]byte("the same"), "cookie"), s.Seal([]byte("the same"), "cookie")
	if bytes.Equal(a, b) || bytes.Equal(a[:12], b[:12]) || bytes.Equal(a[12:], b[12:]) {
		t.Error("two seals are alike")
	}
	if plain, err := s.Open(a, "cookie"); err != nil || string(plain) != "the same" {
		t.Errorf("%q %v", plain, err)
	}
	other, _ := NewSealer(key, "another purpose")
	strange, _ := NewSealer(bytes.Repeat([]byte("x"), 32), "one purpose")
	for what, open := range map[string]func() ([]byte, error){
		"under another name":       func() ([]byte, error) { return s.Open(a, "state") },
		"for another purpose":      func() ([]byte, error) { return other.Open(a, "cookie") },
		"with another key":         func() ([]byte, error) { return strange.Open(a, "cookie") },
		"with the other's nonce":   func() ([]byte, error) { return s.Open(append(bytes.Clone(b[:12]), a[12:]...), "cookie") },
		"with something behind it": func() ([]byte, error) { return s.Open(append(bytes.Clone(a), 0), "cookie") },
	} {
		if plain, err := open(); err == nil {
			t.Errorf("it opens %s: %q", what, plain)
		}
	}
	for i := range a {
		changed := bytes.Clone(a)
		changed[i] ^= 1
		if _, err := s.Open(changed, "cookie"); err == nil {
			t.Errorf("it opens with byte %d changed", i)
		}
		if _, err := s.Open(a[:i], "cookie"); err == nil {
			t.Errorf("it opens with %d bytes", i)
		}
	}
	if _, err := NewSealer(key[:31], "one purpose"); err == nil {
		t.Error("a key that is too short")
	}
}
