//go:build e2e

package e2e

import (
	"fmt"
	"strings"
)

// craft is a request under construction, byte by byte. In its lines {L} stands for
// the whole length of what follows the head, {S} for the length up to where a
// reader of chunks would stop, {N} for the case, {HIDDEN} for the hidden request.
type craft struct {
	lead, method, sep1, target, sep2, version, eol string
	lines                                          []string // each with its ending
	end                                            string   // of the head
	body                                           string
	short                                          int    // {S}
	hidden                                         string // the request that nobody may decide for us
}

func (c *craft) line(l string)  { c.lines = append(c.lines, l+"\r\n") }
func (c *craft) first(l string) { c.lines = append([]string{l + "\r\n"}, c.lines...) }

// drop takes a field away.
func (c *craft) drop(name string) {
	var kept []string
	for _, l := range c.lines {
		if !strings.HasPrefix(strings.ToLower(l), strings.ToLower(name)+":") {
			kept = append(kept, l)
		}
	}
	c.lines = kept
}

// chunks makes the body a chunked one, told so unless framing is somebody else's.
func (c *craft) chunks(body string) {
	c.body, c.short = body, strings.Index(body, "\r\n")+2
	c.drop("Content-Length")
	for _, l := range c.lines {
		if strings.Contains(strings.ToLower(l), "transfer-encoding") {
			return
		}
	}
	c.line("Transfer-Encoding: chunked")
	if c.method == "GET" {
		c.method = "POST"
	}
}

func (c *craft) render(number int) string {
	body := strings.ReplaceAll(c.body, "{HIDDEN}", c.hidden)
	body = strings.ReplaceAll(body, "{HEX}", fmt.Sprintf("%x", len(c.hidden)))
	var b strings.Builder
	b.WriteString(c.lead + c.method + c.sep1 + c.target + c.sep2 + c.version + c.eol)
	for _, l := range c.lines {
		b.WriteString(l)
	}
	b.WriteString(c.end)
	head := strings.NewReplacer("{L}", fmt.Sprint(len(body)), "{L+1}", fmt.Sprint(len(body)+1), "{L-1}", fmt.Sprint(max(len(body)-1, 0)),
		"{LX}", fmt.Sprintf("%x", len(body)), "{S}", fmt.Sprint(c.short), "{HIDDEN}", c.hidden).Replace(b.String())
	return strings.ReplaceAll(head+body, "{N}", fmt.Sprint(number))
}

// hiddenRequest asks for what no decision has ever allowed. It ends in an open
// field, so that it swallows whatever request comes behind it.
const hiddenRequest = "GET /hidden/{N} HTTP/1.1\r\nHost: x\r\nX-Swallow: "

// hiddenWhole is the same with an end.
const hiddenWhole = "GET /hidden/{N} HTTP/1.1\r\nHost: x\r\n\r\n"

// foundation is a well-formed request to begin with.
type foundation struct {
	name string
	make func(c *craft)
}

func foundations() []foundation {
	return []foundation{
		{"a body of a length", func(c *craft) { c.line("Content-Length: {L}"); c.body = "{HIDDEN}" }},
		{"a chunked body", func(c *craft) { c.chunks("{HEX}\r\n{HIDDEN}\r\n0\r\n\r\n") }},
		{"no framing, chunks that end before the hidden request", func(c *craft) { c.body, c.short = "0\r\n\r\n{HIDDEN}", 5 }},
		{"no framing, a hidden request in a chunk", func(c *craft) { c.body = "{HEX}\r\n{HIDDEN}\r\n0\r\n\r\n"; c.short = len("xx\r\n") }},
		{"a request behind a request", func(c *craft) { c.method, c.body = "GET", "{HIDDEN}" }},
		{"an upgrade to WebSocket", func(c *craft) {
			c.method, c.body = "GET", "{HIDDEN}"
			c.line("Connection: Upgrade")
			c.line("Upgrade: websocket")
			c.line("Sec-WebSocket-Version: 13")
			c.line("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
		}},
	}
}

// oddity is one way in which two readers of a request come to disagree.
type oddity struct {
	name  string
	apply func(c *craft)
}

func oddities() (out []oddity) {
	add := func(name string, apply func(c *craft)) { out = append(out, oddity{name, apply}) }
	line := func(l string) {
		add(fmt.Sprintf("%q", l), func(c *craft) { c.line(l) })
	}
	// Lengths.
	for _, v := range []string{"{L}", "{S}", "0", "{L+1}", "{L-1}", "+{L}", "-{L}", "-1", "0x{LX}", "{LX}h", "000{L}", "0000000000000000000000{L}", "18446744073709551616", "18446744073709551621",
		"9223372036854775808", "99999999999999999999999999", "4294967296", "{L},{L}", "{L}, 0", "0, {L}", "{L} {L}", "{L};x", "", " ", "{L}\t", "\v{L}", "{L}\v", "{L}\x00", "\x00{L}", "{L}e0", "{L}.0",
		"\"{L}\"", "{L}_0", "{L},", ",{L}", "\xa0{L}", "{L}\x85", "１"} {
		line("Content-Length: " + v)
	}
	for _, two := range [][2]string{{"{L}", "{L}"}, {"0", "{L}"}, {"{L}", "0"}, {"{S}", "{L}"}, {"{L}", "x"}} {
		add("two lengths, "+two[0]+" and "+two[1], func(c *craft) {
			c.drop("Content-Length")
			c.line("Content-Length: " + two[0])
			c.line("Content-Length: " + two[1])
		})
	}
	add("the length first of all", func(c *craft) { c.first("Content-Length: {S}") })
	// Codings.
	for _, v := range []string{"chunked", "Chunked", "CHUNKED", "\tchunked", "chunked\t", "  chunked  ", "\vchunked", "chunked\v", "\fchunked", "chunked\x00", "\x00chunked", "chu\x00nked", "xchunked", "chunkedx", "x",
		"identity", "chunked, identity", "identity, chunked", "chunked, chunked", "gzip, chunked", "chunked, gzip", "chunked;q=1", "chunked;", "chunked; a=b", "\"chunked\"", "'chunked'", ", chunked", "chunked,", ",,chunked",
		"chunked chunked", "cow, chunked", "\r\n chunked", "\r\n\tchunked", "chunked\r\n ", "identity\r\n , chunked", "\xa0chunked", "chunked\xa0", "chunke\xc4\x8f", "chun\r\n ked", "", "trailers", "chunk", "deflate", "chunked\x1f", "\x01chunked"} {
		line("Transfer-Encoding: " + v)
	}
	for _, two := range [][2]string{{"chunked", "identity"}, {"identity", "chunked"}, {"chunked", "chunked"}, {"x", "chunked"}, {"chunked", "x"}, {"", "chunked"}} {
		add("two codings, "+two[0]+" and "+two[1], func(c *craft) {
			c.drop("Transfer-Encoding")
			c.line("Transfer-Encoding: " + two[0])
			c.line("Transfer-Encoding: " + two[1])
		})
	}
	add("the coding first of all", func(c *craft) { c.first("Transfer-Encoding: chunked") })
	// Spellings of the names, of both.
	for _, f := range [][2]string{{"Content-Length", "{L}"}, {"Content-Length", "{S}"}, {"Transfer-Encoding", "chunked"}} {
		name, value := f[0], f[1]
		for _, s := range []string{name + " : ", name + "\t: ", " " + name + ": ", "\t" + name + ": ", strings.ReplaceAll(name, "-", "_") + ": ", strings.ReplaceAll(name, "-", "") + ": ", strings.ReplaceAll(name, "-", " ") + ": ",
			strings.ToLower(name) + ":", strings.ToUpper(name) + ":", name + "\x00: ", "\x00" + name + ": ", strings.ReplaceAll(name, "-", "\x00-") + ": ", "\"" + name + "\": ", name + "\v: ", name + "\r: ", name + "\xa0: ",
			"X-A: b\n" + name + ": ", "X-A: b\r" + name + ": ", "X-A: b\r\r\n" + name + ": ", "X-A: b\n\r" + name + ": ", "X-A: b\x00\r\n" + name + ": ", "X-A:\r\n " + name + ": ", name + "\r\n : ", name + ":\r\n ", name + ":\n ", name + "::", ":" + name + ": ", name + ";", name + "=",
			"X-A: b\x85" + name + ": ", "X-A: b\xe2\x80\xa8" + name + ": ", "X-A: b\xe5\x98\x8d\xe5\x98\x8a" + name + ": ", "Http-" + name + ": ", "X-" + name + ": "} {
			line(s + value)
		}
	}
	// The request line.
	part := func(name string, change func(c *craft)) { add("request line: "+name, change) }
	for _, eol := range []string{"\n", "\r", "\r\r\n", "\n\r\n", " \r\n", "\t\r\n", "\x00\r\n", "\r\n\r\n", "\r\n ", "\r\n\t", "\v\r\n"} {
		part(fmt.Sprintf("ends in %q", eol), func(c *craft) { c.eol = eol })
	}
	for _, lead := range []string{"\r\n", "\r\n\r\n", "\n", "\r", " ", "\t", "\x00", "\xef\xbb\xbf", "\r\n\n", "0\r\n\r\n"} {
		part(fmt.Sprintf("%q before", lead), func(c *craft) { c.lead = lead })
	}
	for _, sep := range []string{"  ", "\t", "\v", "\f", "\xa0", "\r", "\n", "\x00", " \t"} {
		part(fmt.Sprintf("%q behind the method", sep), func(c *craft) { c.sep1 = sep })
		part(fmt.Sprintf("%q before the version", sep), func(c *craft) { c.sep2 = sep })
	}
	for _, v := range []string{"HTTP/1.0", "HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "HTTP/2", "http/1.1", "HTTP/01.1", "HTTP/1.01", "HTTP/1.1x", "HTTP/ 1.1", "HTTP/1,1", "HTTPS/1.1", "HTTP/11", "", "HTTP/1.1 HTTP/1.1", "ICY/1.0", "HTTP/1.\xb9", "HTTP/1.1\r\nContent-Length: {S}"} {
		part(fmt.Sprintf("version %q", v), func(c *craft) { c.version = v })
	}
	for _, m := range []string{"get", "GE\x00T", "G\tET", "GET\x0b", "PRI", "HEAD", "OPTIONS", "DELETE", "CONNECT", "TRACE", "PUT", "PATCH", "POST\r\nX:", "\"GET\"", "GET/", "DEBUG", "TRACK"} {
		part(fmt.Sprintf("method %q", m), func(c *craft) { c.method = m })
	}
	for _, f := range []func(string) string{
		func(t string) string { return "http://x" + t }, func(t string) string { return "https://x" + t }, func(t string) string { return "http://evil" + t }, func(t string) string { return "HTTP://X" + t },
		func(t string) string { return "http://x@evil" + t }, func(t string) string { return "http://evil@x" + t }, func(t string) string { return "http://x:80" + t }, func(t string) string { return "//x" + t },
		func(t string) string { return "http:/" + t }, func(t string) string { return "ftp://x" + t }, func(t string) string { return "http://x?" + t }, func(t string) string { return "http://x#" + t }, func(t string) string { return "http:///" + t },
		func(string) string { return "*" }, func(string) string { return "x:80" }, func(t string) string { return t + " HTTP/1.1 x" }, func(t string) string { return t + "\r/x" }, func(t string) string { return t + "\x00" },
		func(t string) string { return t + "#x" }, func(t string) string { return t + "\xe9" }, func(t string) string { return t + "?\x01" }, func(t string) string { return t[1:] }, func(string) string { return "?x" },
		func(t string) string {
			return t + "\r\nHost: x\r\n\r\nGET /hidden/{N}"
		},
		func(t string) string { return t + "%0d%0aContent-Length:%200" }, func(t string) string { return t + "%20HTTP/1.1%0d%0aHost:%20x%0d%0a%0d%0aGET%20/hidden/{N}" }, func(t string) string { return t + "?%20HTTP/1.1%0d%0a%0d%0aGET%20/hidden/{N}" },
		func(t string) string { return t + "?" + strings.Repeat("x", 40<<10) }} {
		example := f("/T")
		part("target "+tail(fmt.Sprintf("%q", example), 60), func(c *craft) { c.target = f(c.target) })
	}
	// Hosts.
	host := func(name string, lines ...string) {
		add("host: "+name, func(c *craft) {
			c.drop("Host")
			for _, l := range lines {
				c.line(l)
			}
		})
	}
	host("none")
	host("twice", "Host: x", "Host: x")
	host("two", "Host: x", "Host: y")
	host("empty", "Host:")
	host("with a path", "Host: x/open")
	host("with a space before the colon", "Host : x")
	host("folded", "Host: x\r\n y")
	host("a list", "Host: x, y")
	host("with NUL", "Host: x\x00y")
	host("with a user", "Host: a@x")
	host("with a port of many digits", "Host: x:0000000000000080")
	host("with a hidden line", "Host: x\rContent-Length: 0")
	// The lines of fields.
	for _, l := range []string{"X-A: b\rX-B: c", "X-A: b\r\r", "X-A: \x00", "X-A: \x01", "X-A: \x7f", "X-\x00A: b", "X-\xe9: b", ": b", "junk", "junk with spaces", " ", "\t", "X-A: b\r\n folded", "X-A: b\r\n\tfolded", "X-A:\r\n\r", "X A: b", "X(A): b", "X-A : b",
		"GET /hidden/{N} HTTP/1.1", "X-A: b\n", "X-A: b\r\n\n", "\r", "X-A", "=: x", "X-A: " + strings.Repeat("a", 40<<10), "X-A: b\r\n\r\v"} {
		add("line "+tail(fmt.Sprintf("%q", l), 60), func(c *craft) { c.first(l) })
	}
	add("lines end in LF", func(c *craft) {
		for i := range c.lines {
			c.lines[i] = strings.TrimSuffix(c.lines[i], "\r\n") + "\n"
		}
	})
	add("the last line ends in LF", func(c *craft) { c.lines = append(c.lines, "X-A: b\n") })
	add("a folded first line", func(c *craft) { c.first(" X-A: b") })
	add("300 fields", func(c *craft) {
		for i := range 300 {
			c.line(fmt.Sprintf("X-Many-%d: %d", i, i))
		}
	})
	for _, end := range []string{"\n", "\n\n", "\r", "\r\r\n", "\n\r\n", " \r\n", "\r\n\r\n", "\x00\r\n", "\r\n\n", ""} {
		add(fmt.Sprintf("the head ends in %q", end), func(c *craft) { c.end = end })
	}
	// Chunks.
	for _, b := range []string{
		"5\nhello\r\n0\r\n\r\n{HIDDEN}", "5\r\nhello\n0\r\n\r\n{HIDDEN}", "5\rhello\r\n0\r\n\r\n{HIDDEN}", "5\r\nhello\r0\r\n\r\n{HIDDEN}", "5\n\rhello\r\n0\r\n\r\n{HIDDEN}", "5\n\nhello\n0\n\n{HIDDEN}",
		"0x5\r\nhello\r\n0\r\n\r\n{HIDDEN}", "+5\r\nhello\r\n0\r\n\r\n{HIDDEN}", "-5\r\nhello\r\n0\r\n\r\n{HIDDEN}", " 5\r\nhello\r\n0\r\n\r\n{HIDDEN}", "5 \r\nhello\r\n0\r\n\r\n{HIDDEN}", "5\t\r\nhello\r\n0\r\n\r\n{HIDDEN}", "5\v\r\nhello\r\n0\r\n\r\n{HIDDEN}",
		"5\x00\r\nhello\r\n0\r\n\r\n{HIDDEN}", "5_0\r\nhello\r\n0\r\n\r\n{HIDDEN}", "5g\r\nhello\r\n0\r\n\r\n{HIDDEN}", "5.\r\nhello\r\n0\r\n\r\n{HIDDEN}", "\"5\"\r\nhello\r\n0\r\n\r\n{HIDDEN}", "5,5\r\nhello\r\n0\r\n\r\n{HIDDEN}",
		"5;\r\nhello\r\n0\r\n\r\n{HIDDEN}", "5;a\r\nhello\r\n0\r\n\r\n{HIDDEN}", "5;a=b\r\nhello\r\n0\r\n\r\n{HIDDEN}", "5;a=\"b\"\r\nhello\r\n0\r\n\r\n{HIDDEN}", "5 ; a = b\r\nhello\r\n0\r\n\r\n{HIDDEN}", "5;a=\"b;c\"\r\nhello\r\n0\r\n\r\n{HIDDEN}",
		"5;a=\"\r\nhello\r\n0\r\n\r\n{HIDDEN}", "5;a=\"\r\n0\r\n\r\n{HIDDEN}\"\r\nhello\r\n0\r\n\r\n", "5;a=\"\\\"\r\nhello\r\n0\r\n\r\n{HIDDEN}", "5;\n\r\nhello\r\n0\r\n\r\n{HIDDEN}", "5;x\ny\r\nhello\r\n0\r\n\r\n{HIDDEN}", "5;x\ry\r\nhello\r\n0\r\n\r\n{HIDDEN}", "5\n;x\r\nhello\r\n0\r\n\r\n{HIDDEN}", "5;x\x00\r\nhello\r\n0\r\n\r\n{HIDDEN}",
		"2;\nxx\r\n4c\r\n0\r\n\r\n{HIDDEN}", "5;" + strings.Repeat("x", 300) + "\r\nhello\r\n0\r\n\r\n{HIDDEN}", "5;" + strings.Repeat("x", 20000) + "\r\nhello\r\n0\r\n\r\n{HIDDEN}",
		"00000000000000000005\r\nhello\r\n0\r\n\r\n{HIDDEN}", "0005\r\nhello\r\n000\r\n\r\n{HIDDEN}", "10000000000000005\r\nhello\r\n0\r\n\r\n{HIDDEN}", "100000005\r\nhello\r\n0\r\n\r\n{HIDDEN}", "fffffffffffffffb\r\nhello\r\n0\r\n\r\n{HIDDEN}", "8000000000000000\r\nhello\r\n0\r\n\r\n{HIDDEN}", "ffffffffffffffff\r\n{HIDDEN}", "7fffffffffffffff\r\nhello\r\n0\r\n\r\n{HIDDEN}",
		"\r\nhello\r\n0\r\n\r\n{HIDDEN}", ";a\r\nhello\r\n0\r\n\r\n{HIDDEN}", "x\r\n{HIDDEN}", "5\r\nhelloXX0\r\n\r\n{HIDDEN}", "5\r\nhello0\r\n\r\n{HIDDEN}", "5\r\nhel\r\n0\r\n\r\n{HIDDEN}", "5\r\nhello\r\n\r\n0\r\n\r\n{HIDDEN}", "6\r\nhello\r\n0\r\n\r\n{HIDDEN}", "5\r\nhelloX\n0\r\n\r\n{HIDDEN}", "5\r\nhello \r\n0\r\n\r\n{HIDDEN}",
		"0\r\n{HIDDEN}", "0\r\n\r{HIDDEN}", "0\r\n\n{HIDDEN}", "0\n\r\n{HIDDEN}", "0\n\n{HIDDEN}", "0\r\r\n{HIDDEN}", "00\r\n\r\n{HIDDEN}", "0;a\r\n\r\n{HIDDEN}", "0 \r\n\r\n{HIDDEN}", "-0\r\n\r\n{HIDDEN}", "0x0\r\n\r\n{HIDDEN}", "0\r\n\x00\r\n{HIDDEN}", "0\r\n \r\n{HIDDEN}", "0\r\n\r\n\r\n{HIDDEN}", "0{HIDDEN}", "0\r\n0\r\n\r\n{HIDDEN}",
		"0\r\nContent-Length: 50\r\n\r\n{HIDDEN}", "0\r\nTransfer-Encoding: chunked\r\n\r\n{HIDDEN}", "0\r\nHost: evil\r\n\r\n{HIDDEN}", "0\r\nX-User: admin\r\n\r\n{HIDDEN}", "0\r\nX-A: b\r\n folded\r\n\r\n{HIDDEN}", "0\r\nX-A: b\n\r\n{HIDDEN}", "0\r\nX-A: b\n\n{HIDDEN}", "0\r\njunk\r\n\r\n{HIDDEN}", "0\r\nX-A: \x00\r\n\r\n{HIDDEN}", "0\r\nX-A : b\r\n\r\n{HIDDEN}",
		"0\r\n: b\r\n\r\n{HIDDEN}", "0\r\nConnection: close\r\n\r\n{HIDDEN}", "0\r\nExpect: 100-continue\r\n\r\n{HIDDEN}", "0\r\nX-A: b\rContent-Length: 3\r\n\r\n{HIDDEN}", "0\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n{HIDDEN}", "0\r\nX-Request-Id: mine\r\n\r\n{HIDDEN}",
		"{HEX}\r\n{HIDDEN}", "{HEX}\r\n{HIDDEN}\r\n", "5\r\nhello\r\n0\r\n", "5\r\nhello\r\n0\r\n\r", "5\r\nhello", ""} {
		add("chunks "+tail(fmt.Sprintf("%q", b), 90), func(c *craft) { c.chunks(b) })
	}
	// Connection, Expect, Upgrade.
	for _, l := range []string{"Connection: Content-Length", "Connection: Transfer-Encoding", "Connection: close, Content-Length, Transfer-Encoding", "Connection: Host", "Connection: X-Request-Id", "Connection: close", "Connection: keep-alive", "Connection: close\r\nConnection: keep-alive",
		"Connection: \x00", "Connection: close\r\n , keep-alive", "Proxy-Connection: keep-alive", "Keep-Alive: timeout=1, max=1", "TE: chunked", "TE: trailers\r\nConnection: TE", "Trailer: Content-Length", "Trailer: Transfer-Encoding, Host",
		"Expect: 100-continue", "Expect: 100-Continue", "Expect: 100-continue, 100-continue", "Expect: 100-continue\r\nExpect: 100-continue", "Expect: x", "Expect: 100-continue\v", "Expect:\r\n 100-continue", "Expect: 100-continue; a=b", "Expect:", "Expect: y 100-continue", "Expect: 200-ok",
		"Upgrade: websocket\r\nConnection: upgrade", "Upgrade: h2c\r\nConnection: upgrade, http2-settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__", "Upgrade: h2c", "Upgrade: websocket, h2c\r\nConnection: upgrade", "Upgrade: TLS/1.0\r\nConnection: upgrade", "Upgrade: foo\r\nConnection: upgrade", "Connection: upgrade", "Upgrade: websocket",
		"Upgrade: WebSocket\r\nConnection: keep-alive, UPGRADE", "Upgrade: websocket\r\nUpgrade: h2c\r\nConnection: upgrade", "Upgrade:\r\n websocket\r\nConnection: upgrade", "Sec-WebSocket-Version: 777", "HTTP2-Settings: AAMAAABkAAQAAP__", "X-Forwarded-For: 1.2.3.4\r\nX-Request-Id: forged",
		"X-Http-Method-Override: DELETE", "Content-Encoding: chunked", "Content-Type: message/http", "Range: bytes=0-0", "Authorization: Basic !!!!", "Max-Forwards: 0", "Upgrade-Insecure-Requests: 1", "Via: 1.1 chunked"} {
		line(l)
	}
	add("a preface of HTTP/2 behind", func(c *craft) { c.body += "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00" })
	add("a preface of HTTP/2 before", func(c *craft) { c.lead = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" })
	add("the hidden request has an end", func(c *craft) { c.hidden = hiddenWhole })
	add("the hidden request begins with an empty line", func(c *craft) { c.hidden = "\r\n" + hiddenWhole })
	add("the hidden request is absolute", func(c *craft) { c.hidden = "GET http://x/hidden/{N} HTTP/1.1\r\nHost: x\r\n\r\n" })
	add("the hidden request is of HTTP/1.0", func(c *craft) { c.hidden = "GET /hidden/{N} HTTP/1.0\r\n\r\n" })
	add("the hidden request is of HTTP/0.9", func(c *craft) { c.hidden = "GET /hidden/{N}\r\n" })
	add("two hidden requests", func(c *craft) { c.hidden = hiddenWhole + hiddenWhole })
	return out
}
