package secret

import (
	"strconv"
	"strings"

	"github.com/tg123/go-htpasswd"
)

// stored is a hash that was read: of whichever kind.
type stored interface {
	matches(m *arena, password string) bool
	longest() int // bytes of a password that it takes in
	cheap() bool  // so fast that its speed would tell it from nobody's
	weak() bool   // to be replaced on the next login
	kind() string // hashes of one kind cost the same
}

// CheckHash says whether a hash that somebody brings along could be verified
// here: argon2id (PHC), bcrypt, or what htpasswd writes, $apr1$, $1$, {SHA},
// {SSHA}, $5$ and $6$, within the bounds of cost. Its error is ErrHash.
func CheckHash(hash string) error {
	_, err := readHash(hash)
	return err
}

func readHash(s string) (stored, error) {
	switch {
	case len(s) > 512:
		return nil, ErrHash
	case strings.HasPrefix(s, "$argon2id$"):
		return readArgon2id(s)
	case strings.HasPrefix(s, "$2"):
		return readBcrypt(s)
	}
	return readHtpasswd(s)
}

// htpasswdHash is one of the forms that only htpasswd files use.
type htpasswdHash struct {
	parsed htpasswd.EncodedPasswd
	name   string
}

const cryptAlphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// readHtpasswd checks the whole form before the parsing library sees it: some of
// its formats panic on what they do not expect, and its errors quote the input,
// so that none of them is ever passed on.
func readHtpasswd(s string) (stored, error) {
	var parse htpasswd.PasswdParser
	name := ""
	switch {
	case strings.HasPrefix(s, "{SHA}"):
		parse, name = htpasswd.AcceptSha, "sha"
	case strings.HasPrefix(s, "{SSHA}"):
		parse, name = htpasswd.AcceptSsha, "ssha"
	case strings.HasPrefix(s, "$apr1$") && crypted(s[6:], 8, 22), strings.HasPrefix(s, "$1$") && crypted(s[3:], 8, 22):
		parse, name = htpasswd.AcceptMd5, "md5"
	case strings.HasPrefix(s, "$5$") && shaCrypted(s[3:], 43):
		parse, name = htpasswd.AcceptCryptSha, "sha256-crypt"
	case strings.HasPrefix(s, "$6$") && shaCrypted(s[3:], 86):
		parse, name = htpasswd.AcceptCryptSha, "sha512-crypt"
	default:
		return nil, ErrHash
	}
	p, err := parse(s)
	if err != nil || p == nil {
		return nil, ErrHash
	}
	return &htpasswdHash{p, name}, nil
}

// crypted says whether s is SALT$SUM.
func crypted(s string, salt, sum int) bool {
	a, b, ok := strings.Cut(s, "$")
	return ok && a != "" && len(a) <= salt && len(b) == sum && within(a, cryptAlphabet) && within(b, cryptAlphabet)
}

// shaCrypted allows rounds=N$ in front. Below 1,000 and above some hundred
// thousands N is another's mistake or an attack.
func shaCrypted(s string, sum int) bool {
	if rest, ok := strings.CutPrefix(s, "rounds="); ok {
		digits, tail, _ := strings.Cut(rest, "$")
		n, err := strconv.Atoi(digits)
		if err != nil || n < 1000 || n > 200_000 || strconv.Itoa(n) != digits {
			return false
		}
		s = tail
	}
	return crypted(s, 16, sum)
}

func within(s, alphabet string) bool { return strings.Trim(s, alphabet) == "" }

func (h *htpasswdHash) matches(_ *arena, password string) bool {
	return h.parsed.MatchesPassword(password)
}
func (h *htpasswdHash) longest() int { return MaxPassword }
func (h *htpasswdHash) cheap() bool  { return true }
func (h *htpasswdHash) weak() bool   { return true }
func (h *htpasswdHash) kind() string { return h.name }
