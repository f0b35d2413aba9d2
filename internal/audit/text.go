package audit

import "unicode/utf8"

const hexDigits = "0123456789abcdef"

// plainByte are the ASCII bytes that stand for themselves within a JSON string.
var plainByte = func() (t [256]bool) {
	for c := ' '; c < 0x7f; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// appendText appends s as a JSON string of at most max bytes of s. Whatever could
// end a line, forge an event or steer a terminal is escaped: control characters
// of both sets, line and paragraph separators, bidirectional controls. Invalid
// UTF-8 becomes U+FFFD. What is cut off is marked by an ellipsis.
func appendText(dst []byte, s string, max int) []byte {
	cut := len(s) > max
	if cut {
		s = wholeRunes(s[:max])
	}
	dst = append(dst, '"')
	from := 0
	if !cut && plain(s) {
		dst = append(dst, s...)
		return append(dst, '"')
	}
	for i := 0; i < len(s); {
		if len(s)-i >= 8 && plainEight(s[i:]) {
			i += 8
			continue
		}
		c := s[i]
		if plainByte[c] {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			dst = append(dst, s[from:i]...)
			dst = appendEscape(dst, c)
			i++
			from = i
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			dst = append(dst, s[from:i]...)
			dst = append(dst, "\ufffd"...)
			i += n
			from = i
			continue
		}
		if hidden(r) {
			dst = append(dst, s[from:i]...)
			dst = append(dst, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
			i += n
			from = i
			continue
		}
		i += n
	}
	dst = append(dst, s[from:]...)
	if cut {
		dst = append(dst, "…"...)
	}
	return append(dst, '"')
}

// plain says whether every byte of s stands for itself. The last eight are looked at
// together, some of them for the second time.
func plain(s string) bool {
	if len(s) < 8 {
		for i := range len(s) {
			if !plainByte[s[i]] {
				return false
			}
		}
		return true
	}
	for i := 0; i+8 <= len(s); i += 8 {
		if !plainEight(s[i:]) {
			return false
		}
	}
	return plainEight(s[len(s)-8:])
}

// plainEight is plainByte for the first eight bytes at once: a word has a byte
// that needs care if one is less than a space, more than '~', '"' or '\\'.
func plainEight(s string) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	w := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
	quote, slash := w^ones*'"', w^ones*'\\'
	low := (w - ones*' ') &^ w // a byte less than a space borrows
	high := w | (w + ones)     // 0x7f carries into the top bit
	return (low|high|(quote-ones)&^quote|(slash-ones)&^slash)&tops == 0
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}

// hidden says whether r, of the basic plane, changes how the text around it is
// read without being seen itself.
func hidden(r rune) bool {
	return r <= 0x9f || // C1: U+009B starts a terminal's control sequence
		r == 0x061c || r >= 0x200e && r <= 0x200f || r >= 0x2028 && r <= 0x202e ||
		r >= 0x2066 && r <= 0x2069 || r == 0xfeff
}

// wholeRunes takes an encoding that was cut in two off the end of s.
func wholeRunes(s string) string {
	for i := 1; i <= utf8.UTFMax && i <= len(s); i++ {
		c := s[len(s)-i]
		if c < utf8.RuneSelf {
			return s
		}
		if utf8.RuneStart(c) {
			if utf8.FullRuneInString(s[len(s)-i:]) {
				return s
			}
			return s[:len(s)-i]
		}
	}
	return s
}
