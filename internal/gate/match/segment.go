package match

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/sallyport/sallyport/internal/model"
)

// inspect looks at each segment for what a decoder further on would make of it:
// it sets Ambiguous and dots, or refuses.
func (p *Path) inspect() *model.Error {
	for start := 1; start <= len(p.Raw); {
		end := strings.IndexByte(p.Raw[start:], '/')
		if end < 0 {
			end = len(p.Raw)
		} else {
			end += start
		}
		if e := p.segment(p.Raw[start:end]); e != nil {
			return e
		}
		start = end + 1
	}
	return nil
}

func (p *Path) segment(s string) *model.Error {
	if s == "." || s == ".." {
		p.dots = true
		return nil
	}
	coded := strings.IndexByte(s, '%') >= 0
	cut := strings.IndexByte(s, ';') >= 0
	p.parameters = p.parameters || cut
	if !coded {
		if cut && strings.IndexByte(s, '.') >= 0 {
			p.Ambiguous = true
			p.dots = p.dots || dotted(s)
		}
		return nil
	}
	return p.coded(s, cut)
}

// coded inspects a segment with percent-encodings: once decoded, and decoded
// until nothing is left to decode, since some reader down the line may do either.
func (p *Path) coded(s string, cut bool) *model.Error {
	var store [256]byte
	once := decodeOnce(store[:0], s)
	slashes := bytes.Count(once, []byte("/"))
	literal := literalDots(s)
	switch {
	case bytes.IndexByte(once, '\\') >= 0:
		return ambiguous("The path holds an encoded backslash.")
	case bytes.IndexByte(once, 0) >= 0:
		return ambiguous("The path holds an encoded zero byte.")
	case !utf8.Valid(once):
		return ambiguous("The path holds encoded bytes that are not UTF-8.")
	}
	if slashes > 0 || cut && bytes.IndexByte(once, '.') >= 0 {
		p.Ambiguous = true
	}
	full := decodeAll(once)
	switch {
	case bytes.IndexByte(full, '\\') >= 0, bytes.IndexByte(full, 0) >= 0,
		bytes.Count(full, []byte("/")) != slashes, overlong(full):
		return ambiguous("The path hides a slash, backslash, zero byte or overlong form under two encodings.")
	case dotted(full) && !literal:
		return ambiguous("The path hides a dot segment under an encoding.")
	case literal:
		p.Ambiguous, p.dots = true, true
	}
	return nil
}

// literalDots says whether a segment, split at %2F and cut at a literal ';', has a
// "." or ".." that is not encoded otherwise.
func literalDots(s string) bool {
	for {
		i := strings.Index(s, "%2")
		for i >= 0 && (i+2 >= len(s) || s[i+2]|0x20 != 'f') {
			j := strings.Index(s[i+2:], "%2")
			if j < 0 {
				i = -1
				break
			}
			i += 2 + j
		}
		piece := s
		if i >= 0 {
			piece = s[:i]
		}
		if dotted(piece) {
			return true
		}
		if i < 0 {
			return false
		}
		s = s[i+3:]
	}
}

// dotted says whether a piece between slashes, cut at its ';', is "." or "..".
func dotted[S string | []byte](s S) bool {
	start := 0
	for i := 0; i <= len(s); i++ {
		if i < len(s) && s[i] != '/' {
			continue
		}
		end := start
		for end < i && s[end] != ';' {
			end++
		}
		switch string(s[start:end]) {
		case ".", "..":
			return true
		}
		start = i + 1
	}
	return false
}

// decodeOnce appends s with every escape decoded; those of s are valid.
func decodeOnce(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] == '%' {
			v, _ := escape(s, i)
			b = append(b, v)
			i += 2
			continue
		}
		b = append(b, s[i])
	}
	return b
}

// decodeAll decodes in place until no escape is left. What it writes is looked at
// as it is written, so that %25252e costs one pass however deep it is nested.
func decodeAll(b []byte) []byte {
	w := 0
	for _, c := range b {
		b[w] = c
		w++
		for w >= 3 && b[w-3] == '%' {
			v, ok := escape(b[:w], w-3)
			if !ok {
				break
			}
			w -= 2
			b[w-1] = v
		}
	}
	return b[:w]
}

// overlong says whether b has a byte sequence that a careless UTF-8 decoder reads
// as an ASCII character: %C0%AE and %E0%80%AE for a dot.
func overlong(b []byte) bool {
	for i, c := range b {
		var value uint32
		var more int
		switch {
		case c >= 0xc0 && c < 0xe0:
			value, more = uint32(c&0x1f), 1
		case c >= 0xe0 && c < 0xf0:
			value, more = uint32(c&0x0f), 2
		case c >= 0xf0 && c < 0xf8:
			value, more = uint32(c&0x07), 3
		default:
			continue
		}
		if i+more >= len(b) {
			continue
		}
		for _, d := range b[i+1 : i+1+more] {
			value = value<<6 | uint32(d&0x3f)
		}
		if value < utf8.RuneSelf {
			return true
		}
	}
	return false
}

// withoutParameters cuts each segment of a canonical path at its ';'.
func withoutParameters(path string) string {
	b := make([]byte, 0, len(path))
	inside := false
	for i := 0; i < len(path); i++ {
		inside = path[i] == ';' || inside && path[i] != '/'
		if !inside {
			b = append(b, path[i])
		}
	}
	return string(mergeSlashes(b))
}
