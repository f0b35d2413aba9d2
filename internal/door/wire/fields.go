package wire

import (
	"bytes"
	"errors"
	"unsafe"

	"github.com/sallyport/sallyport/internal/model"
)

// Malformed says what is wrong with a message. It is a constant text, so that
// refusing costs nothing.
type Malformed string

func (m Malformed) Error() string { return string(m) }

// IsMalformed tells what is wrong with a message from what is wrong with a connection.
func IsMalformed(err error) bool {
	var bad Malformed
	return errors.As(err, &bad)
}

// TooLarge is said of a head that does not end within its limit.
const TooLarge = Malformed("the head is larger than the limit")

// line cuts one CRLF-terminated line off b, without its ending. ok is false where
// b holds no whole line yet.
func line(b []byte) (l, rest []byte, ok bool, err error) {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		return nil, b, false, nil
	}
	if i == 0 || b[i-1] != '\r' {
		return nil, nil, false, Malformed("a line ends in a bare LF")
	}
	return b[:i-1], b[i+1:], true, nil
}

// framing is what a message's fields say of its body and its connection.
type framing struct {
	length     int64 // Content-Length; -1 = none
	chunked    bool
	close      bool
	keepAlive  bool
	upgrade    string // value of Upgrade
	connUpg    bool   // Connection lists upgrade
	te         bool   // any Transfer-Encoding
	upgrades   int
	hosts      int
	host       string
	expect100  bool
	lengths    int
	teTrailers bool
}

// protocol is what the message would switch to; "" where several are named, for
// then nobody can say which.
func (f *framing) protocol() string {
	if f.upgrades != 1 || !f.connUpg {
		return ""
	}
	return f.upgrade
}

// parseFields reads field lines up to and including the empty line. It appends all
// fields but Host to dst, and answers how many bytes it took; 0 = incomplete.
func parseFields(b []byte, dst []model.Field, maxFields int, f *framing) ([]model.Field, int, error) {
	total := len(b)
	f.length = -1
	for {
		l, rest, ok, err := line(b)
		if err != nil {
			return dst, 0, err
		}
		if !ok {
			return dst, 0, nil
		}
		b = rest
		if len(l) == 0 {
			return dst, total - len(b), nil
		}
		name, value, err := field(l)
		if err != nil {
			return dst, 0, err
		}
		if len(dst) >= maxFields {
			return dst, 0, TooLarge
		}
		host, err := f.note(name, value)
		if err != nil {
			return dst, 0, err
		}
		if !host {
			dst = append(dst, model.Field{Name: name, Value: value})
		}
	}
}

// field splits and checks one field line (RFC 9112, 5).
func field(l []byte) (name, value string, err error) {
	n := 0
	for n < len(l) && model.TokenByte(l[n]) {
		n++
	}
	if n == len(l) || l[n] != ':' {
		switch {
		case n == 0 && len(l) > 0 && (l[0] == ' ' || l[0] == '\t'):
			return "", "", Malformed("a field line is folded (obs-fold)")
		case n < len(l) && (l[n] == ' ' || l[n] == '\t'):
			return "", "", Malformed("white space stands before a field's colon")
		}
		return "", "", Malformed("a field name is not a token")
	}
	if n == 0 {
		return "", "", Malformed("a field has no name")
	}
	v := l[n+1:]
	for len(v) > 0 && (v[0] == ' ' || v[0] == '\t') {
		v = v[1:]
	}
	for len(v) > 0 && (v[len(v)-1] == ' ' || v[len(v)-1] == '\t') {
		v = v[:len(v)-1]
	}
	if model.HoldsControl(v) {
		return "", "", Malformed("a field value has a control byte")
	}
	return view(l[:n]), view(v), nil
}

// note takes in what a field says of framing; host tells that it was Host.
func (f *framing) note(name, value string) (host bool, err error) {
	switch len(name) {
	case 2:
		if model.EqualFold(name, "TE") && HasToken(value, "trailers") {
			f.teTrailers = true
		}
	case 4:
		if model.EqualFold(name, "Host") {
			f.hosts++
			f.host = value
			return true, nil
		}
	case 6:
		if model.EqualFold(name, "Expect") && model.EqualFold(value, "100-continue") {
			f.expect100 = true
		}
	case 7:
		if model.EqualFold(name, "Upgrade") {
			f.upgrades++
			f.upgrade = value
		}
	case 10:
		if model.EqualFold(name, "Connection") {
			f.close = f.close || HasToken(value, "close")
			f.keepAlive = f.keepAlive || HasToken(value, "keep-alive")
			f.connUpg = f.connUpg || HasToken(value, "upgrade")
		}
	case 14:
		if model.EqualFold(name, "Content-Length") {
			f.lengths++
			if f.lengths > 1 {
				return false, Malformed("there is more than one Content-Length")
			}
			f.length, err = decimal(value)
			return false, err
		}
	case 17:
		if model.EqualFold(name, "Transfer-Encoding") {
			if f.te {
				return false, Malformed("there is more than one Transfer-Encoding")
			}
			f.te = true
			if !model.EqualFold(value, "chunked") {
				return false, Malformed("Transfer-Encoding is not chunked alone")
			}
			f.chunked = true
		}
	}
	return false, nil
}

// decimal reads 1*DIGIT, at most 18 of them: nothing longer is a length.
func decimal(s string) (int64, error) {
	if s == "" || len(s) > 18 {
		return 0, Malformed("Content-Length is not a length")
	}
	n := int64(0)
	for i := 0; i < len(s); i++ {
		c := s[i] - '0'
		if c > 9 {
			return 0, Malformed("Content-Length is not a length")
		}
		n = n*10 + int64(c)
	}
	return n, nil
}

// HasToken looks for an element of a comma-separated list, ignoring case.
func HasToken(list, token string) bool {
	for len(list) > 0 {
		i := 0
		for i < len(list) && list[i] != ',' {
			i++
		}
		e := list[:i]
		for len(e) > 0 && (e[0] == ' ' || e[0] == '\t') {
			e = e[1:]
		}
		for len(e) > 0 && (e[len(e)-1] == ' ' || e[len(e)-1] == '\t') {
			e = e[:len(e)-1]
		}
		if model.EqualFold(e, token) {
			return true
		}
		if i == len(list) {
			return false
		}
		list = list[i+1:]
	}
	return false
}

// view is b as a string that lives as long as b's buffer.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
