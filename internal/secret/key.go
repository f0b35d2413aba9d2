package secret

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"hash/crc32"
	"strings"
)

// The form of an API key: prefix, id, secret, checksum, without separators but the
// prefix's. Scanners for leaked secrets know it by prefix and checksum, and a
// mistyped key is refused before anything is looked up.
const (
	keyPrefix   = "sp_"
	tokenPrefix = "spa_"

	idLen       = 12
	secretLen   = 32 // 190 bits
	checksumLen = 6
)

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// NewAPIKey makes an API key: full is shown once and never kept; id finds it,
// prefix (sp_ + id) may be shown always, hash is what is stored.
func NewAPIKey() (full, id, prefix, hash string) { return newKey(keyPrefix) }

// NewAdminToken makes an administrator's token, as NewAPIKey does a key.
func NewAdminToken() (full, id, prefix, hash string) { return newKey(tokenPrefix) }

// ParseAPIKey checks the form and checksum of a key and answers its id and the
// hash to compare with the stored one. ok is false for anything else.
func ParseAPIKey(s string) (id, hash string, ok bool) { return parseKey(s, keyPrefix) }

// ParseAdminToken does the same for an administrator's token.
func ParseAdminToken(s string) (id, hash string, ok bool) { return parseKey(s, tokenPrefix) }

// EqualHash compares two hashes of keys in constant time. Empty ones equal nothing.
func EqualHash(a, b string) bool {
	return a != "" && subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}

func newKey(prefix string) (full, id, shown, hash string) {
	id = random62(idLen)
	full = prefix + id + random62(secretLen)
	full += checksum(full)
	return full, id, prefix + id, hashKey(full)
}

func parseKey(s, prefix string) (id, hash string, ok bool) {
	if len(s) != len(prefix)+idLen+secretLen+checksumLen || !strings.HasPrefix(s, prefix) {
		return "", "", false
	}
	for i := len(prefix); i < len(s); i++ {
		if strings.IndexByte(base62, s[i]) < 0 {
			return "", "", false
		}
	}
	body := s[:len(s)-checksumLen]
	if checksum(body) != s[len(body):] {
		return "", "", false
	}
	return s[len(prefix) : len(prefix)+idLen], hashKey(s), true
}

func hashKey(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// checksum is the CRC-32 (IEEE) of what stands before it, in base 62.
func checksum(s string) string {
	n := crc32.ChecksumIEEE([]byte(s))
	var b [checksumLen]byte
	for i := checksumLen - 1; i >= 0; i-- {
		b[i] = base62[n%62]
		n /= 62
	}
	return string(b[:])
}

// random62 draws n characters without bias: bytes beyond the last multiple of 62
// are thrown away.
func random62(n int) string {
	out := make([]byte, 0, n)
	var buf [64]byte
	for len(out) < n {
		rand.Read(buf[:])
		for _, b := range buf {
			if b < 4*62 && len(out) < n {
				out = append(out, base62[b%62])
			}
		}
	}
	return string(out)
}
