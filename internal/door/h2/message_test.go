package h2

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"github.com/sallyport/sallyport/internal/model"
)

// malformed expects 400 that says so, and the stream's end.
func malformed(c *raw) {
	c.t.Helper()
	e := c.until("400", func(e event) bool { return e.kind == "headers" })
	if !strings.HasPrefix(e.fields, ":status: 400\n") || !strings.Contains(e.fields, `details="request_malformed"`) {
		c.t.Errorf("%v", e)
	}
	resets(e.stream, http2.ErrCodeProtocol)(c)
}

func TestMalformedMessagesAreRefusedAsRFC9113Section8Says(t *testing.T) {
	head := func(pairs ...string) func(*raw) { return func(c *raw) { c.request(1, true, pairs...) } }
	check(t, []rule{
		{"a second head", func(c *raw) { c.open(1); c.request(1, false, get...) }, resets(1, http2.ErrCodeProtocol)},
		{"an upper-case name", head(with(get, "X-Test", "ok")...), malformed},
		{"a name that is no token", head(with(get, "x test", "ok")...), malformed},
		{"a name with a colon", head(with(get, "x:test", "ok")...), malformed},
		{"no name", head(with(get, "", "ok")...), malformed},
		{"a value with CR", head(with(get, "x", "a\rb")...), malformed},
		{"a value with LF (CVE-2019-10160's kind)", head(with(get, "x", "a\nb")...), malformed},
		{"a value with NUL", head(with(get, "x", "a\x00b")...), malformed},
		{"a value that begins with a space", head(with(get, "x", " a")...), malformed},
		{"a value that ends with a tab", head(with(get, "x", "a\t")...), malformed},
		{"an unknown pseudo-header field", head(with(get[:8:8], ":test", "ok")...), malformed},
		{"a response's pseudo-header field", head(with(get[:8:8], ":status", "200")...), malformed},
		{"extended CONNECT's pseudo-header field", head(":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":path", "/", ":authority", "x"), malformed},
		{"CONNECT", head(":method", "CONNECT", ":authority", "x:80"), malformed},
		{"a pseudo-header field behind a field", head("x", "y", ":method", "GET", ":scheme", "http", ":path", "/", ":authority", "x"), malformed},
		{"connection", head(with(get, "connection", "keep-alive")...), malformed},
		{"keep-alive", head(with(get, "keep-alive", "300")...), malformed},
		{"proxy-connection", head(with(get, "proxy-connection", "keep-alive")...), malformed},
		{"transfer-encoding", head(with(get, "transfer-encoding", "chunked")...), malformed},
		{"upgrade", head(with(get, "upgrade", "h2c")...), malformed},
		{"te of another kind", head(with(get, "te", "trailers, deflate;q=0.5")...), malformed},
		{"an empty :path", head(":method", "GET", ":scheme", "http", ":path", "", ":authority", "x"), malformed},
		{"no :method", head(get[2:]...), malformed},
		{"no :scheme", head(":method", "GET", ":path", "/", ":authority", "x"), malformed},
		{"no :path", head(":method", "GET", ":scheme", "http", ":authority", "x"), malformed},
		{"no host at all", head(get[:6]...), malformed},
		{":method twice", head(with(get[:8:8], ":method", "GET")...), malformed},
		{":scheme twice", head(with(get[:8:8], ":scheme", "http")...), malformed},
		{":path twice", head(with(get[:8:8], ":path", "/")...), malformed},
		{":authority twice", head(with(get[:8:8], ":authority", "x")...), malformed},
		{"Host and :authority differ", head(with(get, "host", "y")...), malformed},
		{"two Hosts", head(with(get, "host", "x", "host", "x")...), malformed},
		{"a user in :authority", head(":method", "GET", ":scheme", "http", ":path", "/", ":authority", "u@x"), malformed},
		{"a method that is no token", head(":method", "GE T", ":scheme", "http", ":path", "/", ":authority", "x"), malformed},
		{"a scheme that is not HTTP's", head(":method", "GET", ":scheme", "ftp", ":path", "/", ":authority", "x"), malformed},
		{"a :path that is no path", head(":method", "GET", ":scheme", "http", ":path", "admin", ":authority", "x"), malformed},
		{"an absolute :path", head(":method", "GET", ":scheme", "http", ":path", "http://x/", ":authority", "x"), malformed},
		{"a :path with a space (request splitting)", head(":method", "GET", ":scheme", "http", ":path", "/ HTTP/1.1", ":authority", "x"), malformed},
		{"a :path with a fragment", head(":method", "GET", ":scheme", "http", ":path", "/#x", ":authority", "x"), malformed},
		{"a :path with a byte outside ASCII", head(":method", "GET", ":scheme", "http", ":path", "/\xe9", ":authority", "x"), malformed},
		{"two Content-Lengths", head(with(get, "content-length", "0", "content-length", "0")...), malformed},
		{"a Content-Length that is none", head(with(get, "content-length", "+1")...), malformed},
		{"a Content-Length and no body", head(with(get, "content-length", "1")...), malformed},
		{"a body longer than Content-Length", func(c *raw) {
			c.open(1, "content-length", "1")
			c.frame(http2.FrameData, endStream, 1, []byte("test")...)
		}, resets(1, http2.ErrCodeProtocol)},
		{"a body shorter than Content-Length, in frames", func(c *raw) {
			c.open(1, "content-length", "5")
			c.frame(http2.FrameData, 0, 1, 'a')
			c.frame(http2.FrameData, endStream, 1, 'b')
		}, resets(1, http2.ErrCodeProtocol)},
		{"a body shorter than Content-Length, before trailers", func(c *raw) {
			c.open(1, "content-length", "5")
			c.frame(http2.FrameData, 0, 1, 'a')
			c.request(1, true, "x", "y")
		}, resets(1, http2.ErrCodeProtocol)},
		{"a pseudo-header field in trailers", func(c *raw) { c.open(1); c.request(1, true, ":method", "GET") }, resets(1, http2.ErrCodeProtocol)},
		{"an upper-case name in trailers", func(c *raw) { c.open(1); c.request(1, true, "X", "y") }, resets(1, http2.ErrCodeProtocol)},
		{"trailers that do not end the stream", func(c *raw) { c.open(1); c.request(1, false, "x", "y") }, resets(1, http2.ErrCodeProtocol)},
	})
}

func TestOddButLegitimateRequestsPass(t *testing.T) {
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Method, " ", r.Host, r.RequestURI) })
	g := start(t, b.URL, false, route(func(r *model.Route) { r.Path = model.PathVerbatim }))
	c := g.dial()
	for i, x := range []struct {
		pairs []string
		want  string
	}{
		{[]string{":method", "GET", ":scheme", "http", ":path", "/a%2Fb?c=d&e", "host", "x:81"}, "GET x:81/a%2Fb?c=d&e"},
		{[]string{":path", "/z", ":authority", "X", ":scheme", "https", ":method", "PROPFIND", "host", "x"}, "PROPFIND X/z"},
		{[]string{":method", "OPTIONS", ":scheme", "http", ":path", "/z", ":authority", "[::1]:80"}, "OPTIONS [::1]:80/z"},
		{with(get, "te", "trailers", "x-utf8", "grüße", "x-empty", ""), "GET x/"},
		{with(get, "cookie", strings.Repeat("c", 8000), "priority", "u=1"), "GET x/"},
	} {
		id := uint32(2*i + 1)
		c.request(id, true, x.pairs...)
		if fields, body, _ := c.answer(id); body != x.want {
			t.Errorf("%v: %s%q", x.pairs, fields, body)
		}
	}
	if h := b.last().Header; h.Get("Priority") != "u=1" {
		t.Errorf("%v", h)
	}
}

func TestAMalformedRequestIsRecordedAndNeverForwarded(t *testing.T) {
	b := newBackend(t, echo)
	g := start(t, b.URL, false)
	c := g.dial()
	c.request(1, true, with(get, "X", "y")...)
	if fields, body, _ := c.answer(1); !strings.Contains(fields, "x-request-id: ") || !strings.Contains(body, "request_malformed") {
		t.Errorf("%s%s", fields, body)
	}
	if r := g.completion(); r.Status != 400 {
		t.Errorf("%+v", r)
	}
	if d := g.decisions(); len(d) != 1 || d[0] != "GET request_malformed" || b.count() != 0 {
		t.Errorf("%v, %d forwarded", d, b.count())
	}
}

func TestCookieCrumbsAreJoinedBeforeAnythingIsDecided(t *testing.T) {
	b := newBackend(t, echo)
	g := start(t, b.URL, false)
	c := g.dial()
	c.request(1, true, with(get, "cookie", "a=1", "x", "y", "cookie", "b=2", "cookie", "__Host-sallyport=stolen")...)
	c.answer(1)
	if got := b.last().Header["Cookie"]; len(got) != 1 || got[0] != "a=1; b=2" {
		t.Errorf("%q", got)
	}
}
