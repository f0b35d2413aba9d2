package match

import (
	"unicode/utf8"
	"unsafe"

	"github.com/sallyport/sallyport/internal/model"
)

// Path is a request target, read once. Matching, permissions and forwarding use
// Canonical, or Raw on a verbatim route, and nothing else.
type Path struct {
	Raw       string // as received, without the query
	Canonical string // unreserved characters decoded, dot segments removed, slashes merged; "" when Ambiguous
	Query     string // with its leading '?', or ""
	// Ambiguous says that two readers may take the path for two different ones:
	// it has %2F, or ';' in a segment with dots. Only a verbatim route may serve it.
	Ambiguous bool

	// form is what Canonical would be if the path were not ambiguous. It finds the
	// canonical routes that an ambiguous path must be refused on.
	form string
	// dots says that a segment is "." or "..", once split at %2F and cut at ';'.
	// Such a path is never forwarded as received.
	dots bool
	// parameters says that a segment has a ';'.
	parameters bool
}

// The classes of bytes in a path that need a second look.
const (
	plain = iota
	slash
	percent
	semicolon
	question
	backslash
	refused // controls, space, '#', non-ASCII: RFC 9112, 3.2, allows none of them
)

var classes = func() (t [256]uint8) {
	for i := range t {
		if i <= ' ' || i >= 0x7f {
			t[i] = refused
		}
	}
	t['/'], t['%'], t[';'], t['?'], t['\\'], t['#'] = slash, percent, semicolon, question, backslash, refused
	return t
}()

// ParseTarget reads an origin-form target, or "*". The error is request_malformed
// for what no target may hold, and path_ambiguous for what some reader of the path
// would take for another one.
//
// Nothing is allocated for a path that is canonical already, nor for another one
// if scratch can hold it; Canonical is then a view of scratch, and lives as long
// as its bytes do. The other strings are views of target.
func ParseTarget(target string, scratch []byte) (Path, *model.Error) {
	if target == "*" {
		return Path{Raw: target, Canonical: target}, nil
	}
	if target == "" || target[0] != '/' {
		return Path{}, malformed("The request target must be a path that starts with /.")
	}
	end, simple, e := scan(target)
	if e != nil {
		return Path{}, e
	}
	p := Path{Raw: target[:end], Query: target[end:]}
	for i := 1; i < len(p.Query); i++ {
		if classes[p.Query[i]] == refused {
			return Path{}, malformed("The query holds a control character, a space, a fragment or a byte that is not ASCII; percent-encode it.")
		}
	}
	if simple {
		p.Canonical = p.Raw
		return p, nil
	}
	if e := p.inspect(); e != nil {
		return Path{}, e
	}
	if form := settle(p.Raw, scratch); p.Ambiguous {
		p.form = form
	} else {
		p.Canonical = form
	}
	return p, nil
}

// settle gives the canonical form: raw itself, a view of scratch, or a new string.
func settle(raw string, scratch []byte) string {
	if cap(scratch) >= len(raw) {
		b := appendCanonical(scratch[:0], raw)
		if string(b) == raw {
			return raw
		}
		return unsafe.String(unsafe.SliceData(b), len(b))
	}
	var local [512]byte
	b := appendCanonical(local[:0], raw)
	if string(b) == raw {
		return raw
	}
	return string(b)
}

// scan finds the end of the path and says whether it is canonical as it stands.
// What it is not sure of is left to inspect.
func scan(s string) (end int, simple bool, e *model.Error) {
	simple = true
	for i := 0; i < len(s); i++ {
		switch classes[s[i]] {
		case plain:
		case slash:
			if i+1 < len(s) && (s[i+1] == '/' || s[i+1] == '.') {
				simple = false
			}
		case percent:
			v, ok := escape(s, i)
			if !ok {
				return 0, false, malformed("The path holds a percent sign that two hexadecimal digits do not follow.")
			}
			if n := runeEscape(s, i, v); n > 0 {
				i += n - 1
				continue
			}
			simple = simple && settled[v] && upperHex(s[i+1]) && upperHex(s[i+2])
			i += 2
		case semicolon:
			simple = false
		case question:
			return i, simple, nil
		case backslash:
			return 0, false, ambiguous("The path holds a backslash.")
		default:
			return 0, false, malformed("The path holds a control character, a space, a fragment or a byte that is not ASCII; percent-encode it.")
		}
	}
	return len(s), simple, nil
}

// runeEscape gives the length of the escapes of one UTF-8 character beyond ASCII at
// s[i], the first of which is v; 0 where there is none, or not in upper case.
func runeEscape(s string, i int, v byte) int {
	if v < utf8.RuneSelf {
		return 0
	}
	var b [utf8.UTFMax]byte
	n, end := 0, i
	for n < len(b) && end < len(s) && s[end] == '%' {
		c, ok := escape(s, end)
		if !ok || !upperHex(s[end+1]) || !upperHex(s[end+2]) {
			break
		}
		b[n] = c
		n++
		end += 3
	}
	r, size := utf8.DecodeRune(b[:n])
	if r == utf8.RuneError {
		return 0
	}
	return 3 * size
}

// settled are the values whose escape can stand in a canonical path without
// another look at what surrounds it.
var settled = func() (t [256]bool) {
	for c := ' '; c < 0x7f; c++ {
		t[c] = !unreserved[c]
	}
	t['/'], t['\\'], t['%'], t[';'] = false, false, false, false
	return t
}()

// unreserved are the characters whose escapes mean the same as they do (RFC 3986, 2.3).
var unreserved = func() (t [256]bool) {
	for c := '0'; c <= '9'; c++ {
		t[c] = true
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = true, true
	}
	t['-'], t['.'], t['_'], t['~'] = true, true, true, true
	return t
}()

func upperHex(c byte) bool { return c < 'a' }

// escape reads the %XX at s[i].
func escape[S string | []byte](s S, i int) (v byte, ok bool) {
	if i+2 >= len(s) {
		return 0, false
	}
	h, ok1 := hex(s[i+1])
	l, ok2 := hex(s[i+2])
	return h<<4 | l, ok1 && ok2
}

func hex(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}

// appendCanonical appends the canonical form of a path whose escapes are valid
// and hide no dot segment.
func appendCanonical(b []byte, raw string) []byte {
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c != '%' {
			b = append(b, c)
			continue
		}
		if v, _ := escape(raw, i); unreserved[v] {
			b = append(b, v)
		} else {
			const digits = "0123456789ABCDEF"
			b = append(b, '%', digits[v>>4], digits[v&15])
		}
		i += 2
	}
	return mergeSlashes(removeDots(b))
}

// removeDots removes the dot segments in place (RFC 3986, 5.2.4). A ".." at the
// root stays at the root.
func removeDots(b []byte) []byte {
	w := 0
	for r := 0; r < len(b); { // b[r] is a slash
		end := r + 1
		for end < len(b) && b[end] != '/' {
			end++
		}
		last := end == len(b)
		switch string(b[r+1 : end]) {
		case ".":
		case "..":
			for w > 0 {
				if w--; b[w] == '/' {
					break
				}
			}
		default:
			w += copy(b[w:], b[r:end])
			last = false
		}
		if r = end; last {
			b[w] = '/'
			w++
		}
	}
	return b[:w]
}

func mergeSlashes(b []byte) []byte {
	w := 0
	for _, c := range b {
		if c == '/' && w > 0 && b[w-1] == '/' {
			continue
		}
		b[w] = c
		w++
	}
	return b[:w]
}

// matched is the form that canonical routes are matched by.
func (p *Path) matched() string {
	if p.Ambiguous && p.form != "" {
		return p.form
	}
	return p.Canonical
}

func malformed(message string) *model.Error { return model.NewError(model.RequestMalformed, message) }

func ambiguous(message string) *model.Error {
	return model.NewError(model.PathAmbiguous, message+" Readers of this path may disagree on where it leads.")
}
