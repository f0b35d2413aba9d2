package h2test

import (
	"golang.org/x/net/http2"
)

func head(pairs ...string) func(*Client) { return func(c *Client) { c.Request(1, true, pairs...) } }

// exchanges are messages as wholes (8.1).
func exchanges() []rule {
	return []rule{
		{"GET", head(Get...), Echoes(1, "")},
		{"HEAD", head(With([]string{":method", "HEAD"}, Get[2:]...)...), Answers(1, 200)},
		{"POST", func(c *Client) { c.Open(1); c.Frame(http2.FrameData, EndStream, 1, []byte("form")...) }, Echoes(1, "form")},
		{"POST with trailers", func(c *Client) {
			c.Open(1)
			c.Frame(http2.FrameData, 0, 1, []byte("form")...)
			c.Request(1, true, "x-behind", "y")
		}, Echoes(1, "form")},
		{"trailers in place of a body", func(c *Client) { c.Open(1); c.Request(1, true, "x-behind", "y") }, Echoes(1, "")},
		{"a second head", func(c *Client) { c.Open(1); c.Request(1, false, Get...) }, Resets(1, http2.ErrCodeProtocol)},
		{"trailers that do not end the stream", func(c *Client) { c.Open(1); c.Request(1, false, "x", "y") }, Resets(1, http2.ErrCodeProtocol)},
		{"a pseudo-header field in trailers", func(c *Client) { c.Open(1); c.Request(1, true, ":method", "GET") }, Resets(1, http2.ErrCodeProtocol)},
		{"an upper-case name in trailers", func(c *Client) { c.Open(1); c.Request(1, true, "X", "y") }, Resets(1, http2.ErrCodeProtocol)},
		{"two Content-Lengths", head(With(Get, "content-length", "0", "content-length", "0")...), Malformed},
		{"a Content-Length that is none", head(With(Get, "content-length", "+1")...), Malformed},
		{"a Content-Length and no body", head(With(Get, "content-length", "1")...), Malformed},
		{"a body longer than Content-Length", func(c *Client) {
			c.Open(1, "content-length", "1")
			c.Frame(http2.FrameData, EndStream, 1, []byte("test")...)
		}, Resets(1, http2.ErrCodeProtocol)},
		{"a body longer than Content-Length, in frames", func(c *Client) {
			c.Open(1, "content-length", "1")
			c.Frame(http2.FrameData, 0, 1, 'a')
			c.Frame(http2.FrameData, EndStream, 1, 'b')
		}, Resets(1, http2.ErrCodeProtocol)},
		{"a body shorter than Content-Length", func(c *Client) {
			c.Open(1, "content-length", "5")
			c.Frame(http2.FrameData, EndStream, 1, 'a')
		}, Resets(1, http2.ErrCodeProtocol)},
		{"a body shorter than Content-Length, in frames", func(c *Client) {
			c.Open(1, "content-length", "5")
			c.Frame(http2.FrameData, 0, 1, 'a')
			c.Frame(http2.FrameData, EndStream, 1, 'b')
		}, Resets(1, http2.ErrCodeProtocol)},
		{"a body shorter than Content-Length, before trailers", func(c *Client) {
			c.Open(1, "content-length", "5")
			c.Frame(http2.FrameData, 0, 1, 'a')
			c.Request(1, true, "x", "y")
		}, Resets(1, http2.ErrCodeProtocol)},
	}
}

// fields are what names and values may be (8.2).
func fields() []rule {
	return []rule{
		{"an upper-case name", head(With(Get, "X-Test", "ok")...), Malformed},
		{"a name that is no token", head(With(Get, "x test", "ok")...), Malformed},
		{"a name with a colon", head(With(Get, "x:test", "ok")...), Malformed},
		{"a name with NUL", head(With(Get, "x\x00", "ok")...), Malformed},
		{"a name outside ASCII", head(With(Get, "x\xe9", "ok")...), Malformed},
		{"no name", head(With(Get, "", "ok")...), Malformed},
		{"a value with CR", head(With(Get, "x", "a\rb")...), Malformed},
		{"a value with LF (CVE-2019-10160's kind)", head(With(Get, "x", "a\nb")...), Malformed},
		{"a value with NUL", head(With(Get, "x", "a\x00b")...), Malformed},
		{"a value that begins with a space", head(With(Get, "x", " a")...), Malformed},
		{"a value that ends with a tab", head(With(Get, "x", "a\t")...), Malformed},
		{"connection", head(With(Get, "connection", "keep-alive")...), Malformed},
		{"keep-alive", head(With(Get, "keep-alive", "300")...), Malformed},
		{"proxy-connection", head(With(Get, "proxy-connection", "keep-alive")...), Malformed},
		{"transfer-encoding", head(With(Get, "transfer-encoding", "chunked")...), Malformed},
		{"upgrade", head(With(Get, "upgrade", "h2c")...), Malformed},
		{"te: trailers", head(With(Get, "te", "trailers")...), Echoes(1, "")},
		{"te of another kind", head(With(Get, "te", "trailers, deflate;q=0.5")...), Malformed},
	}
}

// pseudoFields are those that say what is asked for (8.3).
func pseudoFields() []rule {
	target := func(path string) func(*Client) {
		return head(":method", "GET", ":scheme", "http", ":path", path, ":authority", "x")
	}
	return []rule{
		{"an unknown one", head(With(Get, ":test", "ok")...), Malformed},
		{"a response's", head(With(Get, ":status", "200")...), Malformed},
		{"extended CONNECT's", head(":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":path", "/", ":authority", "x"), Malformed},
		{"CONNECT", head(":method", "CONNECT", ":authority", "x:80"), Malformed},
		{"all behind a field", head(With([]string{"x", "y"}, Get...)...), Malformed},
		{"one behind a field", head(With(Get[:6:6], "x", "y", ":authority", "x")...), Malformed},
		{"in another order", head(":authority", "x", ":path", "/", ":scheme", "http", ":method", "GET"), Echoes(1, "")},
		{"Host in place of :authority", head(With(Get[:6:6], "host", "x")...), Echoes(1, "")},
		{"an empty :path", target(""), Malformed},
		{"no :method", head(Get[2:]...), Malformed},
		{"no :scheme", head(":method", "GET", ":path", "/", ":authority", "x"), Malformed},
		{"no :path", head(":method", "GET", ":scheme", "http", ":authority", "x"), Malformed},
		{"no host at all", head(Get[:6]...), Malformed},
		{":method twice", head(With(Get, ":method", "GET")...), Malformed},
		{":scheme twice", head(With(Get, ":scheme", "http")...), Malformed},
		{":path twice", head(With(Get, ":path", "/")...), Malformed},
		{":authority twice", head(With(Get, ":authority", "x")...), Malformed},
		{"Host and :authority differ", head(With(Get, "host", "y")...), Malformed},
		{"two Hosts", head(With(Get, "host", "x", "host", "x")...), Malformed},
		{"a user in :authority", head(":method", "GET", ":scheme", "http", ":path", "/", ":authority", "u@x"), Malformed},
		{"a method that is no token", head(":method", "GE T", ":scheme", "http", ":path", "/", ":authority", "x"), Malformed},
		{"a scheme that is not HTTP's", head(":method", "GET", ":scheme", "ftp", ":path", "/", ":authority", "x"), Malformed},
		{"a :path that is no path", target("admin"), Malformed},
		{"an absolute :path", target("http://x/"), Malformed},
		{"a :path with a space (request splitting)", target("/ HTTP/1.1"), Malformed},
		{"a :path with a fragment", target("/#x"), Malformed},
		{"a :path with a byte outside ASCII", target("/\xe9"), Malformed},
	}
}
