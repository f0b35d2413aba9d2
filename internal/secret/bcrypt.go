package secret

import (
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"

	"golang.org/x/crypto/bcrypt"
	//lint:ignore SA1019 bcrypt is made of it, and of nothing else
	"golang.org/x/crypto/blowfish"
)

// maxBcryptCost is about two seconds of one core; each step above doubles it.
const maxBcryptCost = 15

// bcryptLongest is all that bcrypt ever reads of a password.
const bcryptLongest = 72

// Bcrypt makes a bcrypt hash. Longer passwords than bcrypt reads are refused:
// ErrTooLong.
func Bcrypt(password string, cost int) (string, error) {
	if cost > maxBcryptCost {
		return "", ErrHash
	}
	b, err := bcrypt.GenerateFromPassword([]byte(password), cost)
	if errors.Is(err, bcrypt.ErrPasswordTooLong) {
		return "", ErrTooLong
	}
	return string(b), err
}

// bcryptHash is a parsed hash: $2y$, two digits of cost, $, and in an alphabet of
// its own 16 bytes of salt and 23 of sum.
type bcryptHash struct {
	cost      int
	salt, sum []byte
}

const bcryptAlphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

func bcryptEncoding() *base64.Encoding {
	return base64.NewEncoding(bcryptAlphabet).WithPadding(base64.NoPadding)
}

func readBcrypt(s string) (*bcryptHash, error) {
	const length, saltAt, sumAt = 60, 7, 29
	if len(s) != length || !strings.ContainsRune("aby", rune(s[2])) || s[3] != '$' || s[6] != '$' {
		return nil, ErrHash
	}
	cost, err := strconv.ParseUint(s[4:6], 10, 8)
	salt, saltErr := bcryptEncoding().DecodeString(s[saltAt:sumAt])
	sum, sumErr := bcryptEncoding().DecodeString(s[sumAt:])
	if err != nil || saltErr != nil || sumErr != nil || strings.ContainsAny(s, "\r\n") ||
		int(cost) < bcrypt.MinCost || cost > maxBcryptCost {
		return nil, ErrHash
	}
	return &bcryptHash{int(cost), salt, sum}, nil
}

// matches computes bcrypt as the library does, but in slices: see breath.
func (b *bcryptHash) matches(_ *arena, password string) bool {
	key := append([]byte(password), 0)
	c, err := blowfish.NewSaltedCipher(key, b.salt)
	if err != nil {
		return false
	}
	var rest breath
	rest.begin()
	defer rest.end()
	for range 1 << b.cost {
		blowfish.ExpandKey(key, c)
		blowfish.ExpandKey(b.salt, c)
		rest.take()
	}
	text := []byte("OrpheanBeholderScryDoubt")
	for i := 0; i < len(text); i += blowfish.BlockSize {
		for range 64 {
			c.Encrypt(text[i:i+blowfish.BlockSize], text[i:i+blowfish.BlockSize])
		}
	}
	return subtle.ConstantTimeCompare(text[:len(b.sum)], b.sum) == 1
}

func (b *bcryptHash) longest() int { return bcryptLongest }
func (b *bcryptHash) cheap() bool  { return b.cost < 8 }
func (b *bcryptHash) weak() bool   { return true }
func (b *bcryptHash) kind() string { return "bcrypt " + strconv.Itoa(b.cost) }
