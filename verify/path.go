package verify

import "strings"

// canonical gives the one reading of an escaped path that policies are compared
// with: encoded unreserved characters decoded, repeated slashes merged. It
// refuses what a handler could read differently: dot segments in any dress,
// backslashes, controls, NUL, and any of these encoded twice. The gateway sends
// no such path; whoever does has come around it.
//
// An encoded slash stays encoded and separates nothing here, yet the segments it
// would make must not be dots either.
func canonical(escaped string) (string, bool) {
	if escaped == "" || escaped[0] != '/' {
		return "", false
	}
	b := make([]byte, 0, len(escaped))
	for i := 0; i < len(escaped); i++ {
		c := escaped[i]
		if c == '%' {
			if i+2 >= len(escaped) {
				return "", false
			}
			v, ok := unhex(escaped[i+1], escaped[i+2])
			if !ok || v < ' ' || v == 0x7f || v == '\\' {
				return "", false
			}
			i += 2
			if unreserved(v) {
				b = append(b, v)
			} else {
				b = append(b, '%', upper(escaped[i-1]), upper(escaped[i]))
			}
			continue
		}
		if c <= ' ' || c >= 0x7f || c == '\\' {
			return "", false
		}
		if c == '/' && len(b) > 0 && b[len(b)-1] == '/' {
			continue
		}
		b = append(b, c)
	}
	path := string(b)
	for rest := path; ; {
		// Looked for in the result: what was decoded may complete what a second
		// decoding makes of it, as in %250%61.
		_, behind, found := strings.Cut(rest, "%25")
		if !found {
			return path, !dotted(path)
		}
		if hidesTwice(behind) {
			return "", false
		}
		rest = behind
	}
}

// dotted says whether a segment, split at slashes both plain and encoded and cut
// at a semicolon, is . or .. — path parameters are invisible to some handlers.
func dotted(path string) bool {
	for _, segment := range strings.Split(strings.ReplaceAll(path, "%2F", "/"), "/") {
		segment, _, _ = strings.Cut(strings.ReplaceAll(segment, "%3B", ";"), ";")
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

// hidesTwice says whether what follows an encoded percent sign is a character
// that would matter to a handler that decodes twice.
func hidesTwice(rest string) bool {
	if len(rest) >= 2 {
		if v, ok := unhex(rest[0], rest[1]); ok {
			return v < ' ' || v == '.' || v == '/' || v == '\\' || v == '%' || v == 0x7f
		}
	}
	return strings.HasPrefix(rest, "%") // %25%32%65: the digits are encoded too
}

func unhex(a, b byte) (byte, bool) {
	x, ok1 := nibble(a)
	y, ok2 := nibble(b)
	return x<<4 | y, ok1 && ok2
}

func nibble(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

func upper(c byte) byte {
	if c >= 'a' && c <= 'z' {
		return c - 'a' + 'A'
	}
	return c
}

// unreserved is RFC 3986, 2.3.
func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}
