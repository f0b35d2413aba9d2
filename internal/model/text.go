package model

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Duration is a time.Duration that is written "90s", "15m", "8h" or "0".
type Duration time.Duration

// D is the value as the standard library's type.
func (d Duration) D() time.Duration { return time.Duration(d) }

func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// MarshalText writes the short form.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads Go's duration syntax; a bare number but 0 is refused, for
// its unit would be a guess.
func (d *Duration) UnmarshalText(b []byte) error {
	if string(b) == "0" {
		*d = 0
		return nil
	}
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("%q is not a duration; write a number and a unit, such as 500ms, 30s, 15m or 8h", b)
	}
	if v < 0 {
		return fmt.Errorf("%q is negative; write 0 or more", b)
	}
	*d = Duration(v)
	return nil
}

// Size is a number of bytes, written "32KiB", "10MiB", "1GiB" or a plain number.
type Size int64

var units = []struct {
	suffix string
	n      int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}}

// MarshalText writes the largest binary unit that divides the size.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func (s Size) String() string {
	for i := 3; i >= 0; i-- {
		if u := units[i]; s != 0 && int64(s)%u.n == 0 {
			return strconv.FormatInt(int64(s)/u.n, 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// UnmarshalText reads a number with an optional unit.
func (s *Size) UnmarshalText(b []byte) error {
	t, mul := strings.TrimSpace(string(b)), int64(1)
	for _, u := range units {
		if rest, ok := strings.CutSuffix(t, u.suffix); ok {
			t, mul = strings.TrimSpace(rest), u.n
			break
		}
	}
	v, err := strconv.ParseInt(t, 10, 64)
	if err != nil || v < 0 || v > (1<<62)/mul {
		return fmt.Errorf("%q is not a size; write a number of bytes with KiB, MiB or GiB, such as 10MiB", b)
	}
	*s = Size(v * mul)
	return nil
}

// ValidName says whether s may name a resource: [a-z0-9][a-z0-9._-]{0,62}.
func ValidName(s string) bool {
	if len(s) == 0 || len(s) > 63 {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		case i > 0 && (c == '.' || c == '_' || c == '-'):
		default:
			return false
		}
	}
	return true
}

// NameFault is the one message for a bad resource name.
const NameFault = "a name is 1 to 63 of a-z, 0-9, '.', '_' and '-', and starts with a letter or digit"

// ValidToken says whether s is an RFC 9110 token (section 5.6.2).
func ValidToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if !TokenByte(s[i]) {
			return false
		}
	}
	return len(s) > 0
}

// TokenByte says whether c may stand in an RFC 9110 token.
func TokenByte(c byte) bool { return tokenBytes[c] }

var tokenBytes = func() (t [256]bool) {
	for c := '0'; c <= '9'; c++ {
		t[c] = true
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c], t[c-32] = true, true
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		t[c] = true
	}
	return t
}()

// ValidFieldValue says whether s may be sent as a header value: no control bytes
// but tab, no leading or trailing white space (RFC 9110, 5.5).
func ValidFieldValue(s string) bool {
	return !HoldsControl(s) && strings.Trim(s, " \t") == s
}

// HoldsControl says whether s has a control byte other than tab. It reads eight
// bytes at once: credentials are long, and every one of them comes by here.
func HoldsControl[S string | []byte](s S) bool {
	const (
		ones  = 0x0101010101010101
		highs = 0x80 * ones
	)
	i := 0
	for ; i+8 <= len(s); i += 8 {
		w := uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24 |
			uint64(s[i+4])<<32 | uint64(s[i+5])<<40 | uint64(s[i+6])<<48 | uint64(s[i+7])<<56
		del := w ^ 0x7f*ones
		// The high bit of a byte is set where it may be below space, or is DEL.
		if (w-' '*ones)&^w&highs|(del-ones)&^del&highs == 0 {
			continue
		}
		for k := range 8 {
			if control(s[i+k]) {
				return true
			}
		}
	}
	for ; i < len(s); i++ {
		if control(s[i]) {
			return true
		}
	}
	return false
}

func control(c byte) bool { return c < ' ' && c != '\t' || c == 0x7f }

// Fold gives the form in which header names are compared against the identity
// namespace: letters in lower case and digits only, less a leading "http"
// (CGI's prefix). X-User, x_user, X.User and HTTP_X_USER fold alike.
func Fold(name string) string {
	b := make([]byte, 0, len(name))
	for i := 0; i < len(name); i++ {
		c := name[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			b = append(b, c)
		}
	}
	return strings.TrimPrefix(string(b), "http")
}
