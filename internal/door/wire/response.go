package wire

import (
	"bytes"

	"github.com/sallyport/sallyport/internal/model"
)

// Response is the head of a response. Strings are views into the buffer.
type Response struct {
	Status int
	Reason string
	Minor  int
	Fields []model.Field
	// Length is the body's: -1 = chunked, -2 = until the connection closes.
	Length  int64
	Close   bool
	Upgrade string
}

// The lengths that are not numbers.
const (
	LengthChunked = -1
	LengthClose   = -2
)

// ParseResponse reads one response head to a request of that method. It answers how
// many bytes the head took; 0 with no error means that b does not hold a whole
// head yet.
func ParseResponse(b []byte, method string, r *Response) (int, error) {
	fields := r.Fields[:0]
	*r = Response{Fields: fields}
	l, rest, ok, err := line(b)
	if err != nil || !ok {
		return 0, err
	}
	if err := r.statusLine(l); err != nil {
		return 0, err
	}
	var f framing
	var n int
	r.Fields, n, err = parseFields(rest, fields, MaxFields*4, &f)
	if err != nil || n == 0 {
		return 0, err
	}
	if err := r.settle(method, &f); err != nil {
		return 0, err
	}
	return len(l) + 2 + n, nil
}

func (r *Response) statusLine(l []byte) error {
	if len(l) < 12 || !bytes.HasPrefix(l, []byte("HTTP/1.")) || l[8] != ' ' {
		return Malformed("the status line is not a version and a status")
	}
	switch l[7] {
	case '1':
		r.Minor = 1
	case '0':
	default:
		return Malformed("the version is not HTTP/1.1 or HTTP/1.0")
	}
	for _, c := range l[9:12] {
		if c < '0' || c > '9' {
			return Malformed("the status is not three digits")
		}
		r.Status = r.Status*10 + int(c-'0')
	}
	if r.Status < 100 || r.Status > 599 {
		return Malformed("the status is out of range")
	}
	if len(l) > 12 {
		if l[12] != ' ' {
			return Malformed("the status is not three digits")
		}
		for _, c := range l[13:] {
			if c < ' ' && c != '\t' || c == 0x7f {
				return Malformed("the reason has a control byte")
			}
		}
		r.Reason = view(l[13:])
	}
	return nil
}

// settle decides how long the body is (RFC 9112, 6.3), refusing every doubt.
func (r *Response) settle(method string, f *framing) error {
	switch {
	case f.te && f.lengths > 0:
		return Malformed("Transfer-Encoding stands beside Content-Length")
	case f.te && r.Minor == 0:
		return Malformed("Transfer-Encoding in HTTP/1.0")
	}
	bodiless := r.Status < 200 || r.Status == 204 || r.Status == 304 || method == "HEAD"
	switch {
	case (r.Status < 200 || r.Status == 204) && (f.te || f.length > 0):
		return Malformed("a body where none may be") // RFC 9112, 6.3: whose bytes would follow?
	case bodiless:
		r.Length = 0
	case f.chunked:
		r.Length = LengthChunked
	case f.lengths > 0:
		r.Length = f.length
	default:
		r.Length = LengthClose
	}
	r.Close = f.close || r.Minor == 0 && !f.keepAlive || r.Length == LengthClose
	if r.Status == 101 {
		if r.Upgrade = f.protocol(); r.Upgrade == "" {
			return Malformed("101 without Connection: upgrade and one Upgrade")
		}
	}
	return nil
}
