package wire

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/model"
)

// unchunk reads a whole chunked body, given in pieces of size step, and answers
// its data, its trailers and how many bytes it took. io.ErrUnexpectedEOF says that
// more is needed.
func unchunk(b []byte, step int) (data string, trailers []model.Field, taken int, err error) {
	var c Chunks
	var buf []byte // unread
	var out strings.Builder
	end := false
	for given := 0; ; {
		if !end {
			for {
				piece, n, e, err := c.Next(buf)
				if err != nil {
					return "", nil, 0, err
				}
				out.Write(piece)
				buf = buf[n:]
				taken += n
				if end = e; e || len(piece) == 0 {
					break
				}
			}
		}
		if end {
			fields, n, err := ParseTrailers(buf, nil)
			if err != nil {
				return "", nil, 0, err
			}
			if n > 0 {
				return out.String(), fields, taken + n, nil
			}
		}
		if given == len(b) {
			return out.String(), nil, taken, io.ErrUnexpectedEOF
		}
		n := min(step, len(b)-given)
		buf = append(buf[:len(buf):len(buf)], b[given:given+n]...)
		given += n
	}
}

func TestChunkedBodies(t *testing.T) {
	long := strings.Repeat("x", 70000)
	for name, c := range map[string]struct{ in, data, trailers string }{
		"nothing":                                     {"0\r\n\r\n", "", ""},
		"one chunk":                                   {"5\r\nhello\r\n0\r\n\r\n", "hello", ""},
		"two chunks":                                  {"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world", ""},
		"sizes in either case, with zeros":            {"00a\r\n0123456789\r\nB\r\n0123456789a\r\n000\r\n\r\n", "01234567890123456789a", ""},
		"data that looks like chunks":                 {"7\r\n0\r\n\r\nGE\r\n0\r\n\r\n", "0\r\n\r\nGE", ""},
		"a long chunk":                                {fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(long), long), long, ""},
		"extensions of every shape":                   {"1;a\r\nx\r\n1;a=b;c\r\ny\r\n1 ; a = \"q\\\";\x09 \" ;b\r\nz\r\n0;e=1\r\n\r\n", "xyz", ""},
		"the signature of a cloud's upload":           {"1;chunk-signature=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\r\nx\r\n0\r\n\r\n", "x", ""},
		"trailers":                                    {"1\r\nx\r\n0\r\nX-Sum: 1\r\nY:\r\n\r\n", "x", "X-Sum=1 Y="},
		"a trailer that frames, routes or proves":     {"0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nHost: b\r\ncookie: x\r\nAuthorization: x\r\nX: y\r\n\r\n", "", "X=y"},
		"one byte a chunk, a thousand times, passes":  {strings.Repeat("1\r\nx\r\n", 1000) + "0\r\n\r\n", strings.Repeat("x", 1000), ""},
		"extensions as long as their data, are taken": {strings.Repeat("20;a=0123456789012345678901234567890\r\n01234567890123456789012345678901\r\n", 1000) + "0\r\n\r\n", strings.Repeat("01234567890123456789012345678901", 1000), ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, step := range []int{1, 2, 3, 7, 4096, 1 << 20} {
				if step < 7 && len(c.in) > 10000 {
					continue
				}
				data, trailers, n, err := unchunk([]byte(c.in+"GET"), step)
				if err != nil || data != c.data || n != len(c.in) || names(trailers) != c.trailers {
					t.Fatalf("step %d: %d of %d bytes, %d bytes of data, trailers %q, %v", step, n, len(c.in), len(data), names(trailers), err)
				}
			}
			for i := range min(len(c.in), 200) {
				if _, _, _, err := unchunk([]byte(c.in[:i]), 1<<20); err != io.ErrUnexpectedEOF {
					t.Fatalf("%q: %v", c.in[:i], err)
				}
			}
		})
	}
}

func names(fields []model.Field) string {
	var out []string
	for _, f := range fields {
		out = append(out, f.Name+"="+f.Value)
	}
	return strings.Join(out, " ")
}

func TestWhatIsNotAChunkedBodyIsRefused(t *testing.T) {
	for name, in := range map[string]string{
		"no size":                                  "\r\nx\r\n",
		"a size that is not hexadecimal":           "g\r\nx\r\n",
		"a prefixed size":                          "0x1\r\nx\r\n",
		"a negative size":                          "-1\r\nx\r\n",
		"a signed size":                            "+1\r\nx\r\n",
		"a size with an underscore":                "1_0\r\nx\r\n",
		"white space before the size":              " 1\r\nx\r\n",
		"white space behind the size":              "1 \r\nx\r\n",
		"a tab behind the size":                    "1\t\r\nx\r\n",
		"white space within the size":              "1 0\r\nx\r\n",
		"a size in two parts":                      "1,2\r\nx\r\n",
		"a quoted size":                            "\"1\"\r\nx\r\n",
		"a size that wraps 64 bits":                "10000000000000001\r\nx\r\n",
		"a size beyond every length":               "ffffffffffffffff\r\nx\r\n",
		"a size of very many zeros":                strings.Repeat("0", 300) + "1\r\nx\r\n",
		"a bare LF behind the size":                "1\nx\r\n",
		"a bare CR behind the size":                "1\rx\r\n",
		"a bare LF behind the data":                "1\r\nx\n0\r\n\r\n",
		"a bare CR behind the data":                "1\r\nx\r0\r\n\r\n",
		"nothing behind the data":                  "1\r\nx0\r\n\r\n",
		"more data than the size":                  "1\r\nxy\r\n0\r\n\r\n",
		"an extension without a name":              "1;\r\nx\r\n",
		"an extension without a value":             "1;a=\r\nx\r\n",
		"an extension with an open quote":          "1;a=\"\r\nx\r\n",
		"an extension that ends in a bare LF":      "1;a\nx\r\n",
		"an extension with a bare CR":              "1;a\rb\r\nx\r\n",
		"an extension with NUL":                    "1;a\x00\r\nx\r\n",
		"an extension with white space at its end": "1;a \r\nx\r\n",
		"an extension that is too long":            "1;a=" + strings.Repeat("b", 300) + "\r\nx\r\n",
		"a size line without an end":               "1;a=" + strings.Repeat("b", 300),
		"a body that is all extensions":            strings.Repeat("1;a="+strings.Repeat("b", 200)+"\r\nx\r\n", 200),
		"a bare LF ends the last chunk":            "0\n\r\n",
		"a bare LF ends the trailers":              "0\r\n\n",
		"a trailer that is folded":                 "0\r\nX: a\r\n b\r\n\r\n",
		"a trailer with a space before its colon":  "0\r\nX : a\r\n\r\n",
		"a trailer that is a request":              "0\r\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n",
		"a trailer that ends in a bare LF":         "0\r\nX: a\n\r\n",
		"trailers without end":                     "0\r\n" + strings.Repeat("Host: a\r\n", MaxFields+1),
		"data behind the last chunk":               "0\r\nx\r\n\r\n",
		"the size of an HTTP/1.1 version":          "HTTP/1.1 200 OK\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			for _, step := range []int{1, 5, 1 << 20} {
				if _, _, _, err := unchunk([]byte(in), step); err == nil || errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("step %d: %v", step, err)
				}
			}
		})
	}
}
