package wire

import (
	"bytes"

	"github.com/sallyport/sallyport/internal/model"
)

// Chunks reads a chunked body (RFC 9112, 7.1) piece by piece out of buffers that
// the caller fills. The zero value stands before the first chunk.
type Chunks struct {
	left   int64 // of the chunk that is under way
	excess int64 // bytes of framing beyond what honest chunks need
	state  chunkState
}

type chunkState uint8

const (
	atSize chunkState = iota
	inData
	atDataEnd
	atTrailer
)

// maxSizeLine bounds a chunk's size line: extensions are read and dropped, and a
// long one is an attack on whoever counts only data.
const maxSizeLine = 256

// maxExcess bounds what extensions may add to a whole body: each chunk is granted
// 16 bytes and twice its data, so that one byte a chunk passes and a body that is
// all extensions does not.
const maxExcess = 16 << 10

// Next looks at b and answers one of three things. Data: data is a piece of the
// body, taken bytes of b are used up. End: the last chunk has been read, and
// trailers follow behind the taken bytes (ParseTrailers). Neither: more bytes are
// needed behind those that were not taken.
func (c *Chunks) Next(b []byte) (data []byte, taken int, end bool, err error) {
	start := len(b)
	for {
		switch c.state {
		case atSize:
			l, rest, ok, err := line(b)
			if err != nil {
				return nil, 0, false, err
			}
			if !ok {
				if len(b) > maxSizeLine {
					return nil, 0, false, Malformed("a chunk's size line is too long")
				}
				return nil, start - len(b), false, nil
			}
			if c.left, err = chunkSize(l); err != nil {
				return nil, 0, false, err
			}
			if c.excess = max(c.excess+int64(len(l))+4-16-2*c.left, 0); c.excess > maxExcess {
				return nil, 0, false, Malformed("the chunks are framing more than data")
			}
			b = rest
			c.state = inData
			if c.left == 0 {
				c.state = atTrailer
			}
		case inData:
			if len(b) == 0 {
				return nil, start - len(b), false, nil
			}
			n := int(min(int64(len(b)), c.left))
			c.left -= int64(n)
			if c.left == 0 {
				c.state = atDataEnd
			}
			return b[:n], start - len(b) + n, false, nil
		case atDataEnd:
			if len(b) > 0 && b[0] != '\r' || len(b) > 1 && b[1] != '\n' {
				return nil, 0, false, Malformed("a chunk is longer than its size")
			}
			if len(b) < 2 {
				return nil, start - len(b), false, nil
			}
			b = b[2:]
			c.state = atSize
		default:
			return nil, start - len(b), true, nil
		}
	}
}

// chunkSize reads 1*HEXDIG and checks the extensions behind it.
func chunkSize(l []byte) (int64, error) {
	if len(l) > maxSizeLine {
		return 0, Malformed("a chunk's size line is too long")
	}
	n, i := int64(0), 0
	for ; i < len(l) && isHex(l[i]); i++ {
		if i >= 15 {
			return 0, Malformed("a chunk's size is too large")
		}
		d := l[i]
		switch {
		case d <= '9':
			d -= '0'
		default:
			d = d | 0x20 - 'a' + 10
		}
		n = n<<4 | int64(d)
	}
	if i == 0 {
		return 0, Malformed("a chunk has no size")
	}
	return n, extensions(l[i:])
}

// extensions checks what stands behind a chunk's size: nothing, or
// *( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] ). They are
// dropped; but where two readers disagree about the end of one, they disagree
// about the body.
func extensions(l []byte) error {
	const bad = Malformed("what stands behind a chunk's size is no extension")
	for len(l) > 0 {
		if l = bytes.TrimLeft(l, " \t"); len(l) == 0 || l[0] != ';' {
			return bad
		}
		n := token(bytes.TrimLeft(l[1:], " \t"))
		if n == nil {
			return bad
		}
		l = n
		v := bytes.TrimLeft(l, " \t")
		if len(v) == 0 || v[0] != '=' {
			continue
		}
		v = bytes.TrimLeft(v[1:], " \t")
		if len(v) > 0 && v[0] == '"' {
			l = quoted(v[1:])
		} else {
			l = token(v)
		}
		if l == nil {
			return bad
		}
	}
	return nil
}

// token gives what follows a token; nil where there is none.
func token(b []byte) []byte {
	n := 0
	for n < len(b) && model.TokenByte(b[n]) {
		n++
	}
	if n == 0 {
		return nil
	}
	return b[n:]
}

// quoted gives what follows a quoted-string whose opening quote has been read; nil
// where it has no end, or holds a control byte.
func quoted(b []byte) []byte {
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return b[i+1:]
		case c == '\\':
			if i++; i == len(b) || b[i] < ' ' && b[i] != '\t' || b[i] == 0x7f {
				return nil
			}
		case c < ' ' && c != '\t', c == 0x7f:
			return nil
		}
	}
	return nil
}

// forbidden in trailers: what frames, routes or authenticates (RFC 9110, 6.5.1).
var forbiddenTrailers = [...]string{"Content-Length", "Transfer-Encoding", "Host", "Trailer", "Connection",
	"Authorization", "Cookie", "Set-Cookie", "Content-Type", "Content-Encoding", "Content-Range", "TE", "Upgrade", "Expect"}

// ParseTrailers reads the trailer section behind the last chunk, its empty line
// included. Fields that may not be trailers are left out of dst. 0 = incomplete.
func ParseTrailers(b []byte, dst []model.Field) ([]model.Field, int, error) {
	total, seen := len(b), 0
	for {
		l, rest, ok, err := line(b)
		if err != nil || !ok {
			return dst, 0, err
		}
		b = rest
		if len(l) == 0 {
			return dst, total - len(b), nil
		}
		name, value, err := field(l)
		if err != nil {
			return dst, 0, err
		}
		if seen++; seen > MaxFields {
			return dst, 0, TooLarge
		}
		if !forbidden(name) {
			dst = append(dst, model.Field{Name: name, Value: value})
		}
	}
}

func forbidden(name string) bool {
	for _, f := range forbiddenTrailers {
		if model.EqualFold(name, f) {
			return true
		}
	}
	return false
}
