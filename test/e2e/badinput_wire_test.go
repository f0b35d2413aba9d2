//go:build e2e

package e2e

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// guarded is what stands behind the generated requests: one public path, and one
// that nobody of them may reach.
const guardedRoutes = `
settings: {reverseProxyAuthentication: {enabled: true}}
services: [{name: api, targets: [{url: "BACKEND"}]}]
routes:
  - {name: open, paths: [/open], service: api, access: public}
  - {name: closed, paths: [/closed, /], service: api}
`

// raw is a request in its parts, so that each can be spoilt by itself.
type rawRequest struct {
	method, target, version string
	fields                  []string // whole lines without their end
	end                     string   // of lines
	body                    string
	what                    []string
}

func (r *rawRequest) String() string {
	var b strings.Builder
	b.WriteString(r.method + " " + r.target + " " + r.version + r.end)
	for _, f := range r.fields {
		b.WriteString(f + r.end)
	}
	b.WriteString(r.end + r.body)
	return b.String()
}

func pick[T any](d *dice, list ...T) T { return list[d.n(len(list))] }

// smuggled is what a body or a field may try to become.
const smuggled = "GET /closed/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"

// spoilers are the classes of bad input, each with many variants.
var spoilers = []struct {
	name  string
	spoil func(r *rawRequest, d *dice)
}{
	{"method", func(r *rawRequest, d *dice) {
		r.method = pick(d, "", "get", "G ET", "G\tET", "GET\x00", "G(T", strings.Repeat("A", 5000), "\x16\x03\x01", "GÉT", "CONNECT", "PRI", "TRACE", "GET\r\nX:", "/", "\"GET\"", "M-SEARCH")
	}},
	{"target", func(r *rawRequest, d *dice) {
		r.target = pick(d, "", " ", "open", "*", "//closed", "/open/../closed", "/open/%2e%2e/closed", "/open/..%2fclosed", "/open/..;/closed", "/open/%00", "/open\x00", "/open#f", "/open\\..\\closed",
			"/open/%5c..%5cclosed", "/open/%c0%ae%c0%ae/closed", "/open/%252e%252e/closed", "/open/%zz", "/open/%", "/open?\x7f", "/op\xc3\xa9n", "/"+strings.Repeat("a", 40_000), "http://x/open", "http://y/open",
			"http://x@y/open", "https:///open", "x:443", "/open HTTP/1.1", "/open\t", "/open/%u002e", "/;/closed", "/./closed", "/open//..//closed", "?x", "http://x", "/open/\xff", "/%2e/closed")
	}},
	{"version", func(r *rawRequest, d *dice) {
		r.version = pick(d, "", "HTTP/1.2", "HTTP/2.0", "HTTP/0.9", "HTTP/1.", "HTTP/1.1 ", "http/1.1", "HTTP/11", "HTTP/1.1.1", "HTTP/+1.1", "HTTPS/1.1", "HTTP/1.1\x00", "HTTP/01.1", "HTTP/1.1 x", "ICY", "HTTP/9999999999.1")
	}},
	{"lines", func(r *rawRequest, d *dice) {
		r.end = pick(d, "\n", "\r", "\r\r\n", "\n\r", "\r\n ", "\x00\r\n", "\x0b\r\n", "\u0085")
	}},
	{"host", func(r *rawRequest, d *dice) {
		r.fields[0] = pick(d, "Host:", "Host: x y", "Host: x/y", "Host: x@y", "Host: x:port", "Host: x:99999", "Host: [::1", "Host: ::1", "Host: x,y", "Host: \x00", "Host: x\r\nHost: y", "Host : x", " Host: x", "Host\x00: x", "Hoſt: x", "X-A: b", "Host: "+strings.Repeat("x", 70_000),
			"Host: x\xc3\xa9", "Host: %78", "Host: x#", "Host: x?", "Host: x\tx", "Host: \"x\"")
	}},
	{"field name", func(r *rawRequest, d *dice) {
		r.fields = append(r.fields, pick(d, ": x", " : x", "X A: b", "X-A : b", "X-A\t: b", "X\x00A: b", "X\x01: b", "Xé: b", "X(: b", "X-A", "X-A b", "=: x", "\x7f: x", "X-A\x0b: b", strings.Repeat("N", 40_000)+": x", "X/A: b", "[X]: b", ":path: /closed", ":authority: y"))
	}},
	{"field value", func(r *rawRequest, d *dice) {
		r.fields = append(r.fields, "X-A: "+pick(d, "\x00", "a\x00b", "a\rb", "a\nb", "a\r\n b", "a\r\n\tb", "\x01\x02", "\x7f", "a\rX-User: mallory", "a\nX-User: mallory", strings.Repeat("v", 40_000), "\x08", "\x1b[31m", "a\r\n\r\n"+smuggled))
	}},
	{"many fields", func(r *rawRequest, d *dice) {
		n := pick(d, 101, 500, 3000)
		for i := range n {
			r.fields = append(r.fields, fmt.Sprintf("X-%d: y", i))
		}
	}},
	{"length", func(r *rawRequest, d *dice) {
		r.method, r.body = "POST", "hello"+pick(d, "", smuggled)
		r.fields = append(r.fields, "Content-Length"+pick(d, ": +5", ": -5", ": 5, 5", ": 5,6", ": 0x5", ": 5 5", ": 5.0", ": 5e0", ": ", ": 05\x00", ": ５", ": 18446744073709551621", ": 9223372036854775808", ": 99999999999999999999999", ": 5\r\nContent-Length: 6", ": 5\r\nContent-Length: 5",
			" : 5", ":5\x0b", ": \"5\"", ": five", ": 5;", "\x00: 5", ": 0\r\nContent-Length: 5", ": 20000000000"))
	}},
	{"transfer coding", func(r *rawRequest, d *dice) {
		r.method, r.body = "POST", "5\r\nhello\r\n0\r\n\r\n"+pick(d, "", smuggled)
		r.fields = append(r.fields, "Transfer-Encoding"+pick(d, ": xchunked", ": chunked, chunked", ": chunked, identity", ": identity", ": gzip, chunked", ": gzip", ": chunked;q=1", ": \"chunked\"", ": chunked\x00", " : chunked", ": \x0bchunked", ": ", ": ,chunked", ": chunked,", ": chunKed\r\nTransfer-Encoding: identity",
			": identity\r\nTransfer-Encoding: chunked", ": c hunked", ": chunked\r\n x", ": chunked\r\nContent-Length: 5", "\x00: chunked", ": deflate, chunked", ": trailers, chunked", "_: chunked"))
	}},
	{"both", func(r *rawRequest, d *dice) {
		r.method, r.body = "POST", pick(d, "0\r\n\r\n"+smuggled, "5\r\nhello\r\n0\r\n\r\n", "hello"+smuggled)
		r.fields = append(r.fields, pick(d, "Content-Length: 5", "Content-Length: 0", "Content-Length: 200"), pick(d, "Transfer-Encoding: chunked", "Transfer-Encoding: Chunked", "Transfer-Encoding:chunked", "Transfer-Encoding:\tchunked"))
	}},
	{"chunks", func(r *rawRequest, d *dice) {
		r.method = "POST"
		r.fields = append(r.fields, "Transfer-Encoding: chunked")
		r.body = pick(d, "x\r\nhello\r\n0\r\n\r\n", "-5\r\nhello\r\n0\r\n\r\n", "+5\r\nhello\r\n0\r\n\r\n", "0x5\r\nhello\r\n0\r\n\r\n", "5 \r\nhello\r\n0\r\n\r\n", "5\nhello\n0\n\n", "5\r\nhelloX\r\n0\r\n\r\n", "5\r\nhello0\r\n\r\n", "ffffffffffffffff\r\nhello", "fffffffffffffffff5\r\nhello\r\n0\r\n\r\n",
			"5;\x00=x\r\nhello\r\n0\r\n\r\n", "5;a=\"b\r\nhello\r\n0\r\n\r\n", "5;"+strings.Repeat("a", 70_000)+"\r\nhello\r\n0\r\n\r\n", "\r\nhello\r\n0\r\n\r\n", "5\r\nhel", "5\r\nhello\r\n", "5\r\nhello\r\n0\r\n", "00000000000000000000000005\r\nhello\r\n0\r\n\r\n", "5\rhello\r0\r\r",
			"5\r\nhello\r\n0\r\nX-User: mallory\r\n\r\n", "5\r\nhello\r\n0\r\nX A: b\r\n\r\n", "5\r\nhello\r\n0\r\n: b\r\n\r\n", "5\r\nhello\r\n0\r\nX: a\r\n b\r\n\r\n", "5\r\nhello\r\n0\r\n"+strings.Repeat("X: y\r\n", 10_000)+"\r\n", "5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n"+smuggled,
			"5;\nx\r\nhello\r\n0\r\n\r\n", "5\r\nhello\n0\r\n\r\n"+smuggled)
	}},
	{"connection", func(r *rawRequest, d *dice) {
		r.fields = append(r.fields, pick(d, "Connection: \x00", "Connection: upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__", "Connection: Host", "Connection: close, X-User, Content-Length", "Upgrade: websocket", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 1", "Connection: upgrade\r\nUpgrade: tls/1.0",
			"Connection: "+strings.Repeat("a,", 10_000), "Keep-Alive: x", "Proxy-Connection: keep-alive", "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x"))
	}},
	{"expectation", func(r *rawRequest, d *dice) {
		r.method, r.body = "POST", "hello"
		r.fields = append(r.fields, "Content-Length: 5", "Expect: "+pick(d, "200-ok", "100-continue, 100-continue", "", "\x00", "100-continuee", strings.Repeat("x", 9000)))
	}},
	{"credential", func(r *rawRequest, d *dice) {
		r.target = "/closed"
		r.fields = append(r.fields, pick(d, "Authorization: Basic", "Authorization: Basic !!!!", "Authorization: Basic YWxpY2U=", "Authorization: Basic "+strings.Repeat("YWxp", 5000), "Authorization: Bearer", "Authorization: Bearer a.b.c", "Authorization: Bearer ...", "Authorization: \x00", "X-API-Key: sp_", "X-API-Key: sp_a_b", "Authorization: Basic Og==",
			"Authorization: Negotiate x", "Authorization: Digest username=\"x\"", "Authorization: Basic YTpi\r\nAuthorization: Basic Yzpk", "X-API-Key: "+strings.Repeat("k", 9000), "Cookie: __Host-sallyport=\x00", "Cookie: "+strings.Repeat("a=b; ", 4000), "Authorization: ApiKey ", "Client-Cert: :AAAA:"))
	}},
	{"noise", func(r *rawRequest, d *dice) {
		b := make([]byte, 1+d.n(3000))
		for i := range b {
			b[i] = byte(d.n(256))
		}
		r.method, r.target, r.version, r.fields, r.body = "", "", "", nil, string(b)
	}},
	{"a bit", func(r *rawRequest, d *dice) {
		for i := range r.fields {
			r.fields[i] = flip(r.fields[i], d)
		}
		r.target = flip(r.target, d)
	}},
	{"another protocol", func(r *rawRequest, d *dice) {
		r.method, r.target, r.version, r.fields, r.end = "", "", "", nil, ""
		r.body = pick(d, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "SSH-2.0-x\r\n", "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", "EHLO x\r\n", "\x05\x01\x00", "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n"+smuggled, "\r\n\r\n\r\n\r\n", "*1\r\n$4\r\nPING\r\n", "\x00\x00\x00\x00", "GET / HTTP/1.0\r\n\r\n", "GET /\r\n", "GET", "G")
	}},
	{"the head's end", func(r *rawRequest, d *dice) {
		s := r.String()
		*r = rawRequest{end: "", body: s[:d.n(len(s))], what: r.what}
	}},
}

func flip(s string, d *dice) string {
	if s == "" {
		return s
	}
	b := []byte(s)
	b[d.n(len(b))] ^= 1 << d.n(8)
	return string(b)
}

// spoilt makes one bad request, of one class or two.
func spoilt(d *dice, n int) *rawRequest {
	r := &rawRequest{method: "GET", target: fmt.Sprintf("/open/%d", n), version: "HTTP/1.1", fields: []string{"Host: x", "User-Agent: test"}, end: "\r\n"}
	s := spoilers[n%len(spoilers)]
	s.spoil(r, d)
	r.what = append(r.what, s.name)
	if len(r.fields) > 0 && d.n(3) == 0 {
		s = spoilers[d.n(len(spoilers))]
		s.spoil(r, d)
		r.what = append(r.what, s.name)
	}
	return r
}

// TestNoBadRequestOverHTTP1IsMoreThanRefused generates requests of every class of
// bad input. It is answered with 4xx, or served as the harmless request that it is,
// or hung up on; what the backend sees is only ever the open path.
func TestNoBadRequestOverHTTP1IsMoreThanRefused(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		d := seeded(t)
		b := newBackend(t, nil)
		g := start(t, options{engine: engine, resources: withBackend(guardedRoutes, b.URL), plain: true, boot: short})
		answers, cases := map[int]int{}, counts(400, 5000)
		for n := range cases {
			r := spoilt(d, n)
			text := r.String()
			before := len(b.saw())
			status, all, err := g.shout(text)
			what := fmt.Sprintf("case %d (%s) %q", n, strings.Join(r.what, ", "), tail(text, 300))
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
			answers[status]++
			if status >= 500 && !(engine == "standard" && (status == 501 || status == 505)) {
				t.Errorf("%s: %d", what, status)
			}
			for _, s := range b.saw()[before:] {
				path, _, _ := strings.Cut(s.URI, "?")
				if path != "/open" && !strings.HasPrefix(path, "/open/") || strings.Contains(s.URI, "..") || s.Header.Get("X-User") != "" {
					t.Errorf("%s: the backend saw %s %s %v", what, s.Method, s.URI, s.Header)
				}
			}
			if strings.Count(all, "HTTP/1.1 200") > 1 && strings.Contains(text, "/closed/smuggled") {
				t.Errorf("%s: more than one answer: %q", what, tail(all, 500))
			}
			if n%25 == 24 {
				g.get(t, "", "/open/next").expect(t, "the next request", 200, "")
			}
			if t.Failed() {
				return
			}
		}
		t.Logf("%d cases: %v (0 = hung up on)", cases, answers)
		if strings.Contains(g.log.String(), "met a fault") {
			t.Errorf("a request met a fault in the gateway")
		}
	})
}

// shout sends a text, says that this is all, and reads whatever comes. The status
// is that of the first answer; 0 = there was none.
func (g *gateway) shout(text string) (status int, all string, err error) {
	c, err := net.DialTimeout("tcp", g.proxy, 5*time.Second)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(stretched(10 * time.Second)))
	go func() {
		_, _ = io.WriteString(c, text)
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	out, err := io.ReadAll(io.LimitReader(c, 1<<20))
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		return 0, string(out), errors.New("the gateway neither answers nor hangs up")
	}
	if _, err := fmt.Sscanf(string(out), "HTTP/1.1 %d", &status); err != nil {
		_, _ = fmt.Sscanf(string(out), "HTTP/1.0 %d", &status)
	}
	return status, string(out), nil
}

// header lists of HTTP/2 that no client should send, in pairs.
func spoiltHead(d *dice, n int) []string {
	head := []string{":method", "GET", ":scheme", "https", ":authority", "x", ":path", fmt.Sprintf("/open/%d", n)}
	put := func(name, value string) { head = append(head, name, value) }
	switch n % 16 {
	case 0:
		put(pick(d, "X-Upper", "x a", "x\x00", "", ":", ":unknown", "x\ny", "é", "x:y", "x\r\n"), "v")
	case 1:
		put("x-a", pick(d, "\x00", "a\nb", "a\rb", "a\r\nx-user: mallory", " lead", "trail ", "\x7f", "\x01", strings.Repeat("v", 40_000)))
	case 2:
		put(pick(d, "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "te"), pick(d, "close", "chunked", "websocket", "gzip", "x-user"))
	case 3:
		put("content-length", pick(d, "5", "-1", "+1", "x", "1,1", "99999999999999999999", ""))
	case 4:
		head[7] = pick(d, "", "open", "*", "/open/../closed", "/open/%2e%2e/closed", "/open\x00", "/open\\..\\closed", "/open#x", "/open /closed", "//closed", "/open/%", "/open/%5c..%5cclosed", "http://x/closed", "/"+strings.Repeat("a", 40_000), "/op\xe9n")
	case 5:
		head[1] = pick(d, "", "G ET", "get", "GET\x00", "CONNECT", "TRACE", "PRI", strings.Repeat("A", 5000), "GET /closed HTTP/1.1\r\nx:")
	case 6:
		head[3] = pick(d, "", "http", "ftp", "https\x00", "HTTPS", "javascript")
	case 7:
		head[5] = pick(d, "", "x y", "x/y", "x@y", "x\x00", "x:99999", "[::1", "x, y", "x#", "é")
	case 8:
		head = append(head, head[2*d.n(4)], "again")
	case 9:
		i := 2 * d.n(4)
		head = append(head[:i:i], head[i+2:]...)
	case 10:
		put("host", pick(d, "y", "x", "", "x y"))
	case 11:
		head = append([]string{"x-first", "v"}, head...)
	case 12:
		for i := range pick(d, 200, 2000) {
			put(fmt.Sprintf("x-%d", i), "v")
		}
	case 13:
		put("cookie", pick(d, strings.Repeat("a=b; ", 4000), "\x00", "__Host-sallyport=x"))
		put("authorization", pick(d, "Basic", "Bearer a.b.c", "\x00", "Basic !!"))
	case 14:
		put("expect", pick(d, "100-continue", "x"))
	case 15:
		put(":path", "/closed")
	}
	return head
}

// TestNoBadRequestOverHTTP2IsMoreThanRefused does the same over HTTP/2, with bad
// heads and with frames of noise.
func TestNoBadRequestOverHTTP2IsMoreThanRefused(t *testing.T) {
	d := seeded(t)
	b := newBackend(t, nil)
	g := start(t, options{resources: withBackend(guardedRoutes, b.URL), boot: short})
	outcomes := map[string]int{}
	for n := range counts(200, 2000) {
		before := len(b.saw())
		head := spoiltHead(d, n)
		outcome, err := g.shout2(d, head, n%5 == 4)
		if err != nil {
			t.Errorf("case %d %q: %v", n, head, err)
		}
		outcomes[outcome]++
		if strings.HasPrefix(outcome, "5") {
			t.Errorf("case %d %q: %s", n, head, outcome)
		}
		for _, s := range b.saw()[before:] {
			path, _, _ := strings.Cut(s.URI, "?")
			if path != "/open" && !strings.HasPrefix(path, "/open/") || strings.Contains(s.URI, "..") || s.Header.Get("X-User") != "" {
				t.Errorf("case %d %q: the backend saw %s %s %v", n, head, s.Method, s.URI, s.Header)
			}
		}
		if n%25 == 24 {
			a, err := exchange(g.h2, "GET", g.url("/open/next"), "")
			if err != nil || a.status != 200 {
				t.Fatalf("the next request: %v %v", a, err)
			}
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%v", outcomes)
}

// shout2 sends one head over HTTP/2, and perhaps noise behind it.
func (g *gateway) shout2(d *dice, head []string, noise bool) (string, error) {
	f, err := dialFramed(g)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	_ = f.SetDeadline(time.Now().Add(stretched(10 * time.Second)))
	f.AllowIllegalWrites = true
	f.buf.Reset()
	for i := 0; i+1 < len(head); i += 2 {
		_ = f.enc.WriteField(hpack.HeaderField{Name: head[i], Value: head[i+1]})
	}
	block, first := f.buf.Bytes(), true
	for len(block) > 0 || first {
		part := block[:min(len(block), 16_000)]
		block = block[len(part):]
		if first {
			err = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: part, EndStream: true, EndHeaders: len(block) == 0})
		} else {
			err = f.WriteContinuation(1, len(block) == 0, part)
		}
		first = false
		if err != nil {
			break // it may have been refused already
		}
	}
	if noise {
		b := make([]byte, 9+d.n(200))
		for i := range b {
			b[i] = byte(d.n(256))
		}
		b[0], b[1] = 0, 0
		_, _ = f.Conn.Write(b)
	}
	dec := hpack.NewDecoder(4096, nil)
	var hdr bytes.Buffer
	for {
		fr, err := f.ReadFrame()
		if err != nil {
			var ne net.Error
			if errors.As(err, &ne) && ne.Timeout() {
				return "", errors.New("the gateway neither answers nor hangs up")
			}
			return "closed", nil
		}
		switch fr := fr.(type) {
		case *http2.HeadersFrame:
			hdr.Write(fr.HeaderBlockFragment())
			fields, err := dec.DecodeFull(hdr.Bytes())
			if err != nil || len(fields) == 0 {
				return "", fmt.Errorf("an answer that cannot be read: %v", err)
			}
			return fields[0].Value, nil
		case *http2.RSTStreamFrame:
			return "reset " + fr.ErrCode.String(), nil
		case *http2.GoAwayFrame:
			return "away " + fr.ErrCode.String(), nil
		}
	}
}

// TestNoiseInsteadOfTLSIsHungUpOn sends whatever a scanner may send to a TLS port.
func TestNoiseInsteadOfTLSIsHungUpOn(t *testing.T) {
	d := seeded(t)
	g := start(t, options{resources: withBackend(guardedRoutes, newLedger(t, nil).URL), boot: short})
	before := g.metric(t, "go_goroutines")
	for n := range counts(60, 1000) {
		text := pick(d, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "SSH-2.0-x\r\n", "\x00", "", "\x16\x03\x01\xff\xff", "\x15\x03\x01\x00\x02\x02\x28", "\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10")
		for range d.n(100) {
			text += string([]byte{byte(d.n(256))})
		}
		status, _, err := g.shout(text)
		if err != nil || status != 0 && status != 400 {
			t.Errorf("case %d %q: %d %v", n, text, status, err)
		}
	}
	for name, conf := range map[string]*tls.Config{
		"TLS 1.0": {MaxVersion: tls.VersionTLS10, MinVersion: tls.VersionTLS10}, "TLS 1.1": {MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10},
		"no protocol in common": {NextProtos: []string{"gopher"}}, "RC4 alone": {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_RC4_128_SHA}},
	} {
		conf.InsecureSkipVerify = true
		if c, err := tls.Dial("tcp", g.proxy, conf); err == nil {
			_ = c.Close()
			t.Errorf("%s: the handshake succeeded", name)
		}
	}
	g.get(t, "", "/open").expect(t, "the next request", 200, "")
	g.calm(t, before)
}

// TestABodyOverTheLimitIsNotForwarded sends bodies that are too large, declared and
// not, over both protocols.
func TestABodyOverTheLimitIsNotForwarded(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		b := newBackend(t, nil)
		g := start(t, options{engine: engine, resources: withBackend(everyone, b.URL)})
		g.must(t, 200, "PATCH", "/v2/routes/open", `{"bodyBytes":"1KiB"}`)
		for name := range g.clients() {
			for _, size := range []int{1024, 1025, 5 << 20} {
				for _, declared := range []bool{true, false} {
					what := fmt.Sprintf("%d bytes by %s, declared: %v", size, name, declared)
					a, err := g.oversized(t, name, size, declared, what)
					if err != nil {
						t.Errorf("%s: %v", what, err)
						continue
					}
					if size <= 1024 {
						a.expect(t, what, 200, "")
						continue
					}
					a.expect(t, what, 413, "body_too_large")
				}
			}
		}
		for _, s := range b.saw() {
			what := s.Header.Get("X-Probe")
			if len(s.Body) > 1024 || strings.Contains(what, "declared: true") && !strings.HasPrefix(what, "1024 ") {
				t.Errorf("%s: the backend saw %d bytes", what, len(s.Body))
			}
		}
		g.get(t, "alice", "/api").expect(t, "the next request", 200, "")
	})
}

// oversized sends a body of some size; over HTTP/1.1 by hand, reading all the while.
func (g *gateway) oversized(t testing.TB, protocol string, size int, declared bool, probe string) (*answer, error) {
	if protocol == "HTTP/2" {
		length := int64(-1)
		if declared {
			length = int64(size)
		}
		return g.uploads(g.h2, size, length, probe)
	}
	w := g.wire(t)
	head := fmt.Sprintf("POST /open HTTP/1.1\r\nHost: x\r\nX-Probe: %s\r\n", probe)
	if declared {
		w.send(head + fmt.Sprintf("Content-Length: %d\r\n\r\n", size))
		go func() { _, _ = io.CopyN(w, nothing{}, int64(size)) }()
		return w.tryAnswer("POST")
	}
	w.send(head + "Transfer-Encoding: chunked\r\n\r\n")
	go func() {
		piece := fmt.Sprintf("%x\r\n%s\r\n", 512, strings.Repeat("x", 512))
		for sent := 0; sent+512 <= size; sent += 512 {
			if _, err := io.WriteString(w, piece); err != nil {
				return
			}
		}
		if size%512 > 0 {
			_, _ = fmt.Fprintf(w, "%x\r\n%s\r\n", size%512, strings.Repeat("x", size%512))
		}
		_, _ = io.WriteString(w, "0\r\n\r\n")
	}()
	return w.tryAnswer("POST")
}

// uploads sends zeros by an ordinary client; a length of -1 is not declared.
func (g *gateway) uploads(client *http.Client, size int, length int64, probe string) (*answer, error) {
	req, err := http.NewRequest("POST", g.url("/open"), io.LimitReader(nothing{}, int64(size)))
	if err != nil {
		return nil, err
	}
	req.ContentLength = length
	req.Header.Set("X-Probe", probe)
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	b, _ := io.ReadAll(res.Body)
	return &answer{status: res.StatusCode, header: res.Header, body: string(b)}, nil
}

// TestTheRefusalOfALargeUploadReachesAnOrdinaryClient has Go's own client, which is
// busy sending when it is refused, hear the answer (RFC 9112, 9.6).
func TestTheRefusalOfALargeUploadReachesAnOrdinaryClient(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		b := newBackend(t, nil)
		g := start(t, options{engine: engine, resources: withBackend(everyone, b.URL)})
		g.must(t, 200, "PATCH", "/v2/routes/open", `{"bodyBytes":"1KiB"}`)
		for name, client := range g.clients() {
			for range 5 {
				a, err := g.uploads(client, 8<<20, -1, "")
				if err != nil {
					t.Errorf("%s: %v", name, err)
					continue
				}
				a.expect(t, name, 413, "body_too_large")
			}
		}
	})
}
