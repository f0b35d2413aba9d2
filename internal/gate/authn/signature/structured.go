package signature

import (
	"encoding/base64"
	"errors"
	"strings"
)

// What is read of structured fields (RFC 8941) is what RFC 9421 needs, and nothing
// more: dictionaries of inner lists of strings with parameters, and of byte
// sequences. What RFC 8941 would overwrite (a key given twice) is refused, for two
// readers could take different ones.

// Bounds of what is read.
const (
	maxFieldLength = 8 << 10
	maxLabels      = 8
	maxComponents  = 64
	maxParameters  = 8
	maxText        = 1024
)

var errSyntax = errors.New("not well-formed (RFC 8941)")

// input is one label's member of Signature-Input.
type input struct {
	label      string
	components []string
	parameters []parameter
}

// parameter is one of a signature's parameters, in the order in which they came: it
// is the order in which they were signed.
type parameter struct {
	name    string
	text    string
	number  int64
	integer bool
}

func (in *input) get(name string) (parameter, bool) {
	for _, p := range in.parameters {
		if p.name == name {
			return p, true
		}
	}
	return parameter{}, false
}

// reader walks over a field's value.
type reader struct {
	s string
	i int
}

func (r *reader) end() bool { return r.i >= len(r.s) }

func (r *reader) at(c byte) bool { return r.i < len(r.s) && r.s[r.i] == c }

func (r *reader) take(c byte) bool {
	if !r.at(c) {
		return false
	}
	r.i++
	return true
}

func (r *reader) skip(set string) {
	for r.i < len(r.s) && strings.IndexByte(set, r.s[r.i]) >= 0 {
		r.i++
	}
}

// key is RFC 8941, 4.2.3.3.
func (r *reader) key() (string, error) {
	start := r.i
	for r.i < len(r.s) {
		c := r.s[r.i]
		lower := c >= 'a' && c <= 'z' || c == '*'
		if !lower && (r.i == start || !(c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.')) {
			break
		}
		r.i++
	}
	if r.i == start || r.i-start > 64 {
		return "", errSyntax
	}
	return r.s[start:r.i], nil
}

// text is RFC 8941, 4.2.5.
func (r *reader) text() (string, error) {
	if !r.take('"') {
		return "", errSyntax
	}
	var b []byte
	for r.i < len(r.s) {
		c := r.s[r.i]
		r.i++
		switch {
		case c == '"':
			if len(b) > maxText {
				return "", errSyntax
			}
			return string(b), nil
		case c == '\\':
			if !r.at('"') && !r.at('\\') {
				return "", errSyntax
			}
			c = r.s[r.i]
			r.i++
		case c < ' ' || c > '~':
			return "", errSyntax
		}
		b = append(b, c)
	}
	return "", errSyntax
}

// integer is RFC 8941, 4.2.4, without decimals.
func (r *reader) integer() (int64, error) {
	minus := r.take('-')
	n, start := int64(0), r.i
	for r.i < len(r.s) && r.s[r.i] >= '0' && r.s[r.i] <= '9' {
		n = n*10 + int64(r.s[r.i]-'0')
		if r.i++; r.i-start > 15 {
			return 0, errSyntax
		}
	}
	if r.i == start || r.at('.') {
		return 0, errSyntax
	}
	if minus {
		n = -n
	}
	return n, nil
}

// members walks over a dictionary (RFC 8941, 4.2.2); member reads what follows the
// equals sign of a key.
func members(value string, member func(r *reader, label string) error) error {
	if len(value) > maxFieldLength {
		return errors.New("longer than 8 KiB")
	}
	r := &reader{s: value}
	seen := map[string]bool{}
	for r.skip(" "); ; {
		label, err := r.key()
		if err != nil {
			return err
		}
		if seen[label] || len(seen) == maxLabels || !r.take('=') {
			return errSyntax
		}
		seen[label] = true
		if err := member(r, label); err != nil {
			return err
		}
		r.skip(" \t")
		if r.end() {
			return nil
		}
		if !r.take(',') {
			return errSyntax
		}
		r.skip(" \t")
	}
}

// readInputs reads Signature-Input.
func readInputs(value string) (list []input, err error) {
	err = members(value, func(r *reader, label string) error {
		in, err := r.input()
		in.label = label
		list = append(list, in)
		return err
	})
	return list, err
}

func (r *reader) input() (in input, err error) {
	if !r.take('(') {
		return in, errSyntax
	}
	for {
		before := r.i
		r.skip(" ")
		if r.take(')') {
			break
		}
		if len(in.components) > 0 && r.i == before || len(in.components) == maxComponents {
			return in, errSyntax
		}
		name, err := r.text()
		if err != nil {
			return in, err
		}
		if r.at(';') {
			return in, errors.New("a component has parameters, which are not supported")
		}
		in.components = append(in.components, name)
	}
	for r.take(';') {
		r.skip(" ")
		p := parameter{}
		if p.name, err = r.key(); err != nil || !r.take('=') {
			return in, errSyntax
		}
		if _, twice := in.get(p.name); twice || len(in.parameters) == maxParameters {
			return in, errSyntax
		}
		if r.at('"') {
			p.text, err = r.text()
		} else {
			p.integer = true
			p.number, err = r.integer()
		}
		if err != nil {
			return in, err
		}
		in.parameters = append(in.parameters, p)
	}
	return in, nil
}

// readSignatures reads Signature.
func readSignatures(value string) (map[string][]byte, error) {
	out := map[string][]byte{}
	err := members(value, func(r *reader, label string) error {
		if !r.take(':') {
			return errSyntax
		}
		n := strings.IndexByte(r.s[r.i:], ':')
		if n < 0 {
			return errSyntax
		}
		text := r.s[r.i : r.i+n]
		r.i += n + 1
		if strings.ContainsAny(text, "\r\n") || r.at(';') {
			return errSyntax
		}
		b, err := base64.StdEncoding.Strict().DecodeString(text)
		if err != nil {
			return errSyntax
		}
		out[label] = b
		return nil
	})
	return out, err
}
