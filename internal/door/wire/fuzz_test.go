package wire

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/model"
)

// The second reading is net/http's. This package may refuse what that one takes,
// never the reverse, and where both take a message they must agree on all of it
// and on where the next one begins. The reverse is right in these cases alone:
//
//   - An empty line before a request (RFC 9112, 2.2): http.ReadRequest leaves it to
//     its caller.
//   - A target whose percent-encoding is broken: what a path means is decided
//     behind us, once, by gate/match, which refuses it.
//   - A Trailer field that announces Content-Length and the like: it ends at this
//     hop, and such trailers are dropped when they come.
//   - An empty name in the target's authority or such that net/url knows more of
//     than is asked here: absolute-form must equal Host, which is checked.
//   - A chunked answer to HEAD, or with 304: no body follows, whatever it says.

// rest is what a reader of net/http has not used up.
func rest(br *bufio.Reader) string {
	b, _ := io.ReadAll(br)
	return string(b)
}

func reader(b []byte) *bufio.Reader { return bufio.NewReaderSize(bytes.NewReader(b), len(b)+4096) }

// body reads a body as this package says that it is. whole is false where it is cut.
func body(b []byte, length int64) (data string, trailers []model.Field, taken int, whole bool, err error) {
	if length >= 0 {
		n := int(min(length, int64(len(b))))
		return string(b[:n]), nil, n, int64(n) == length, nil
	}
	data, trailers, taken, err = unchunk(b, 1<<20)
	if err == io.ErrUnexpectedEOF {
		return "", nil, 0, false, nil
	}
	return data, trailers, taken, err == nil, err
}

// sameFields compares fields with a header of net/http's. framing says which names
// the latter has taken out or added.
func sameFields(t *testing.T, fields []model.Field, h http.Header, but ...string) {
	t.Helper()
	mine := http.Header{}
	for _, f := range fields {
		mine.Add(f.Name, f.Value)
	}
	h = h.Clone()
	for _, n := range but {
		mine.Del(n)
		h.Del(n)
	}
	for name, values := range mine {
		if strings.Join(values, "\x00") != strings.Join(h[name], "\x00") {
			t.Fatalf("%s: %q, net/http has %q", name, values, h[name])
		}
	}
	for name := range h {
		if _, ok := mine[name]; !ok {
			t.Fatalf("net/http has %s: %q", name, h[name])
		}
	}
}

func FuzzRequest(f *testing.F) {
	for _, s := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"\r\nGET /a?b HTTP/1.0\r\nHost: a:80\r\nConnection: keep-alive\r\nPragma: no-cache\r\n\r\nGET",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nX: \xc3\xa9\r\n\r\nabcGET / HTTP/1.1\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\nGET /",
		"POST http://a/ HTTP/1.1\r\nHost: A\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: [::1]:1\r\n\r\n", "OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", "GET / HTTP/1.1\nHost: a\n\n",
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x00",
		"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", "GET //a/%zz HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Request
		n, err := ParseRequest(b, &r)
		if err != nil || n == 0 {
			return
		}
		br := reader(bytes.TrimPrefix(b, []byte("\r\n")))
		hr, err := http.ReadRequest(br)
		if err != nil {
			var escape url.EscapeError
			if e, ok := err.(*url.Error); ok && e.Op == "parse" {
				return
			}
			if strings.Contains(err.Error(), "bad trailer key") || errorsAs(err, &escape) {
				return
			}
			t.Fatalf("taken here, but net/http says %v", err)
		}
		if r.Method != hr.Method || r.Minor != hr.ProtoMinor || !model.EqualFold(r.Host, hr.Host) || r.Length != hr.ContentLength {
			t.Fatalf("%+v, net/http has %s %s %d %d", r, hr.Method, hr.Host, hr.ProtoMinor, hr.ContentLength)
		}
		if r.Target != hr.RequestURI && r.Target != hr.URL.RequestURI() && !(r.Target == "*" && hr.Method == "OPTIONS" && hr.URL.Path == "") &&
			!strings.HasSuffix(hr.RequestURI, r.Target) {
			t.Fatalf("target %q, net/http has %q", r.Target, hr.RequestURI)
		}
		// net/http takes framing out and puts Cache-Control beside Pragma.
		sameFields(t, r.Fields, hr.Header, "Transfer-Encoding", "Trailer", "Cache-Control", "Content-Length")
		data, trailers, taken, whole, err := body(b[n:], r.Length)
		if err != nil {
			return
		}
		theirs, herr := io.ReadAll(hr.Body)
		if !whole {
			return
		}
		if herr != nil || string(theirs) != data {
			t.Fatalf("body %q, net/http has %q, %v", data, theirs, herr)
		}
		sameTrailers(t, trailers, hr.Trailer)
		if got := rest(br); got != string(b[n+taken:]) {
			t.Fatalf("the next request begins with %q, for net/http with %q", b[n+taken:], got)
		}
	})
}

func errorsAs(err error, target *url.EscapeError) bool {
	e, ok := err.(url.EscapeError)
	*target = e
	return ok
}

// sameTrailers compares what is left of trailers: those that are dropped here are
// dropped in both.
func sameTrailers(t *testing.T, trailers []model.Field, h http.Header) {
	t.Helper()
	theirs := http.Header{}
	for name, values := range h {
		if values != nil && !forbidden(name) {
			theirs[name] = values
		}
	}
	sameFields(t, trailers, theirs)
}

func FuzzResponse(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1", "HTTP/1.1 200 OK\r\n\r\nall the rest", "HTTP/1.0 200\r\nConnection: keep-alive\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n1\r\nx\r\n0\r\nX: y\r\n\r\nmore", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
		"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
	} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, b []byte, head bool) {
		method := "GET"
		if head {
			method = "HEAD"
		}
		var r Response
		n, err := ParseResponse(b, method, &r)
		if err != nil || n == 0 {
			return
		}
		br := reader(b)
		hr, err := http.ReadResponse(br, &http.Request{Method: method})
		if err != nil {
			if strings.Contains(err.Error(), "bad trailer key") {
				return
			}
			t.Fatalf("taken here, but net/http says %v", err)
		}
		if r.Status != hr.StatusCode || r.Minor != hr.ProtoMinor {
			t.Fatalf("%+v, net/http has %s", r, hr.Status)
		}
		sameFields(t, r.Fields, hr.Header, "Transfer-Encoding", "Trailer", "Content-Length", "Cache-Control", "Connection")
		bodiless := head || r.Status < 200 || r.Status == 204 || r.Status == 304
		if !bodiless && r.Length != hr.ContentLength && !(r.Length == LengthClose && hr.ContentLength == -1) {
			t.Fatalf("length %d, net/http has %d", r.Length, hr.ContentLength)
		}
		if r.Length == LengthClose {
			r.Length = int64(len(b) - n)
		}
		data, trailers, taken, whole, err := body(b[n:], r.Length)
		if err != nil || !whole {
			return
		}
		theirs, herr := io.ReadAll(hr.Body)
		if herr != nil || string(theirs) != data {
			t.Fatalf("body %q, net/http has %q, %v", data, theirs, herr)
		}
		if !bodiless {
			sameTrailers(t, trailers, hr.Trailer)
		}
		if got := rest(br); got != string(b[n+taken:]) {
			t.Fatalf("the next answer begins with %q, for net/http with %q", b[n+taken:], got)
		}
	})
}

func FuzzChunked(f *testing.F) {
	for _, s := range []string{
		"0\r\n\r\n", "5\r\nhello\r\n0\r\nX: y\r\n\r\nGET", "1;a=\"b;\\\"\"\r\nx\r\n00\r\n\r\n", "5\nhello\n0\n\n", "0x5\r\nhello\r\n0\r\n\r\n",
		"ffffffffffffffff\r\n", "1\r\nx\r\n1\r\ny\r\n0\r\nHost: a\r\n\r\n", "1 \r\nx\r\n0\r\n\r\n", "0\r\n X: a\r\n\r\n",
	} {
		f.Add([]byte(s), 1)
		f.Add([]byte(s), 100)
	}
	f.Fuzz(func(t *testing.T, b []byte, step int) {
		step = max(step, 1)
		if len(b)/step > 2000 {
			step = len(b)
		}
		data, trailers, n, err := unchunk(b, step)
		// However it arrives, it is the same body.
		d2, t2, n2, err2 := unchunk(b, 1<<20)
		if (err == nil) != (err2 == nil) || err == nil && (data != d2 || names(trailers) != names(t2) || n != n2) {
			t.Fatalf("in pieces of %d: %q %v; at once: %q %v", step, data, err, d2, err2)
		}
		if err != nil {
			return
		}
		br := reader(append([]byte("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"), b...))
		hr, herr := http.ReadRequest(br)
		if herr != nil {
			t.Fatal(herr)
		}
		theirs, herr := io.ReadAll(hr.Body)
		if herr != nil || string(theirs) != data {
			t.Fatalf("%q, net/http has %q, %v", data, theirs, herr)
		}
		sameTrailers(t, trailers, hr.Trailer)
		if got := rest(br); got != string(b[n:]) {
			t.Fatalf("%q follows, for net/http %q", b[n:], got)
		}
	})
}

// FuzzHost holds hosts against net/url's reading.
func FuzzHost(f *testing.F) {
	for _, s := range []string{"a", "a.b:80", "[::1]:443", "[::ffff:1.2.3.4]", "a:", "a_b", "127.0.0.1", "[fe80::1%25a]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !ValidHost(s) {
			return
		}
		u, err := url.Parse("http://" + s + "/p")
		if err != nil || u.Host != s || u.User != nil || u.Path != "/p" || textproto.TrimString(s) != s {
			t.Fatalf("%q: %+v %v", s, u, err)
		}
	})
}
