package wire

import (
	"bytes"

	"github.com/sallyport/sallyport/internal/model"
)

// Chunks reads a chunked body (RFC 9112, 7.1) piece by piece out of buffers that
// the caller fills. The zero value stands before the first chunk.
type Chunks struct {
	left  int64 // of the chunk that is under way
	state chunkState
}

type chunkState uint8

const (
	atSize chunkState = iota
	inData
	atDataEnd
	atTrailer
	done
)

// maxSizeLine bounds a chunk's size line: extensions are read and dropped, and a
// long one is an attack on whoever counts only data.
const maxSizeLine = 256

// Next looks at b and answers one of three things. Data: data is a piece of the
// body, taken bytes of b are used up. End: done is true, the last chunk has been
// read and trailers follow (ParseTrailers). Neither: more bytes are needed.
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
			if len(b) == 0 || len(b) == 1 && b[0] == '\r' {
				return nil, start - len(b), false, nil
			}
			if b[0] != '\r' || b[1] != '\n' {
				return nil, 0, false, Malformed("a chunk is longer than its size")
			}
			b = b[2:]
			c.state = atSize
		case atTrailer:
			return nil, start - len(b), true, nil
		default:
			return nil, 0, false, Malformed("the body has ended")
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
	ext := bytes.TrimLeft(l[i:], " \t")
	if len(ext) == 0 {
		if i < len(l) {
			return 0, Malformed("white space stands behind a chunk's size")
		}
		return n, nil
	}
	if ext[0] != ';' {
		return 0, Malformed("a chunk's size is not hexadecimal")
	}
	for _, c := range ext {
		if c < ' ' && c != '\t' || c == 0x7f {
			return 0, Malformed("a chunk extension has a control byte")
		}
	}
	return n, nil
}

// forbidden in trailers: what frames, routes or authenticates (RFC 9110, 6.5.1).
var forbiddenTrailers = [...]string{"Content-Length", "Transfer-Encoding", "Host", "Trailer", "Connection",
	"Authorization", "Cookie", "Set-Cookie", "Content-Type", "Content-Encoding", "Content-Range", "TE", "Upgrade", "Expect"}

// ParseTrailers reads the trailer section behind the last chunk, its empty line
// included. Fields that may not be trailers are left out of dst. 0 = incomplete.
func ParseTrailers(b []byte, dst []model.Field) ([]model.Field, int, error) {
	total := len(b)
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
		if len(dst) >= MaxFields {
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
