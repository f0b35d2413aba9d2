package identity

import "strings"

const hex = "0123456789ABCDEF"

// encode makes a header value of any text. Comma, quote, percent, controls and
// bytes beyond ASCII are percent-encoded, as are spaces at either end, which
// HTTP would take away: a name can neither break out of a list nor end a line.
// Percent-decoding gives back the text, byte by byte.
func encode(s string) string {
	first := 0
	for first < len(s) && !special(s, first) {
		first++
	}
	if first == len(s) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 16)
	b.WriteString(s[:first])
	for i := first; i < len(s); i++ {
		if special(s, i) {
			b.WriteByte('%')
			b.WriteByte(hex[s[i]>>4])
			b.WriteByte(hex[s[i]&15])
		} else {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

func special(s string, i int) bool {
	switch c := s[i]; {
	case c == ',' || c == '"' || c == '%' || c < ' ' || c >= 0x7f:
		return true
	case c == ' ':
		return outer(s, i)
	}
	return false
}

// outer says whether the space at i touches an end of s through spaces alone.
func outer(s string, i int) bool {
	return strings.Trim(s[:i], " ") == "" || strings.Trim(s[i:], " ") == ""
}

// list encodes each value and joins them with commas; empty ones are left out.
func list(values []string) string {
	var b strings.Builder
	for _, v := range values {
		if v == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(encode(v))
	}
	return b.String()
}
