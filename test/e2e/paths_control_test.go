//go:build e2e

package e2e

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// echoed is a request as node's program shows it in its answer.
type echoed struct {
	Method, URL, Body       string
	RawHeaders, RawTrailers []string
	Headers                 map[string]any
	Trailers                map[string]string
	WSGI, PHP               map[string]string
}

// legitimate is a request that is odd, and right: refusing it is a fault.
type legitimate struct {
	name, request string
	target        string // as every backend must see it; "" = as it was sent
	answers       int    // how many; 0 = one
	check         func(e echoed) bool
	ownAlone      string // why net/http refuses it, if it does
}

func legitimates() []legitimate {
	get := func(target string) string { return "GET " + target + " HTTP/1.1\r\nHost: HOST\r\n\r\n" }
	post := func(fields, body string) string {
		return "POST /public/up HTTP/1.1\r\nHost: HOST\r\n" + fields + "\r\n" + body
	}
	body := func(b string) func(e echoed) bool { return func(e echoed) bool { return e.Body == b } }
	const inner = "GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n"
	out := []legitimate{
		{name: "an encoded slash where the service is verbatim", request: get("/raw/group%2Fproject/-/issues")},
		{name: "an encoded slash in small letters", request: get("/raw/a%2fb")},
		{name: "an encoded slash at the end", request: get("/raw/a%2F")},
		{name: "doubled slashes where the service is verbatim", request: get("/raw//a///b")},
		{name: "a URL in a verbatim path", request: get("/raw/https%3A%2F%2Fexample.com%2Fx%3Fy")},
		{name: "a URL in a verbatim path, bare", request: get("/raw/https://example.com/x")},
		{name: "parameters of segments where the service is verbatim", request: get("/raw/a;v=1/b;w=2,3")},
		{name: "unreserved letters encoded where the service is verbatim", request: get("/raw/%61%7e")},
		{name: "UTF-8 in a path", request: get("/public/%E6%97%A5%E6%9C%AC%E8%AA%9E")},
		{name: "UTF-8 in a path, in small letters", request: get("/public/caf%c3%a9"), target: "/public/caf%C3%A9"},
		{name: "an emoji", request: get("/public/%F0%9F%90%98")},
		{name: "combining marks", request: get("/public/e%CC%81")},
		{name: "a plus", request: get("/public/a+b")},
		{name: "a tilde", request: get("/public/~alice/")},
		{name: "an encoded tilde", request: get("/public/%7Ealice/"), target: "/public/~alice/"},
		{name: "an at sign", request: get("/public/@scope/pkg")},
		{name: "an encoded at sign", request: get("/public/%40scope/pkg")},
		{name: "a space", request: get("/public/a%20b")},
		{name: "an encoded plus", request: get("/public/a%2Bb")},
		{name: "an encoded percent", request: get("/public/100%25")},
		{name: "an encoded question mark", request: get("/public/what%3F")},
		{name: "an encoded hash", request: get("/public/c%23")},
		{name: "all that a segment may hold", request: get("/public/-._~!$&'()*+,=:@")},
		{name: "a semicolon", request: get("/public/a;b=c")},
		{name: "a colon", request: get("/public/2026-01-01T00:00:00Z")},
		{name: "dots that are no dot segments", request: get("/public/.../a..b/.hidden/x.")},
		{name: "dot segments that stay inside", request: get("/public/a/../b/./c"), target: "/public/b/c"},
		{name: "doubled slashes", request: get("/public//a"), target: "/public/a"},
		{name: "a slash at the end", request: get("/public/a/")},
		{name: "brackets, encoded", request: get("/public/%5Ba%5D")},
		{name: "a caret, a pipe and braces, encoded", request: get("/public/%5E%7C%7B%7D")},
		{name: "quotes, encoded", request: get("/public/%22a%22%3C%3E")},
		{name: "a URL as long as 8 KiB", request: get("/public/" + strings.Repeat("long/", 1600) + "x")},
		{name: "a query as long as 8 KiB", request: get("/public?q=" + strings.Repeat("x", 8192))},
		{name: "200 segments", request: get("/public" + strings.Repeat("/a", 200))},
		{name: "an empty query", request: get("/public?")},
		{name: "a query without names", request: get("/public?&&=&")},
		{name: "a query with what paths may not hold", request: get("/public?a=../..&b=%2F..%2F&c=//&d=%00&e=%5C&f=%2e%2e")},
		{name: "question marks in a query", request: get("/public?a?b??c")},
		{name: "plus and space in a query", request: get("/public?q=a+b%20c")},
		{name: "a query in Latin-1", request: get("/public?q=%E9%FF")},
		{name: "brackets in a query", request: get("/public?filter[name]=x&a[]=1")},
		{name: "a semicolon in a query", request: get("/public?a=1;b=2")},
		{name: "JSON in a query", request: get("/public?q={%22a%22:[1,2]}")},
		{name: "a URL in a query", request: get("/public?to=https://example.com/?x=1")},
		{name: "a percent that encodes nothing, in a query", request: get("/public?q=100%")},
		{name: "a query of a pipe, a caret and a backtick", request: get("/public?a|b^c`d")},
		{name: "absolute form", request: "GET http://HOST/public/a?b HTTP/1.1\r\nHost: HOST\r\n\r\n", target: "/public/a?b"},
		{name: "absolute form in other letters", request: "GET HTTP://HOST/public/a HTTP/1.1\r\nHost: HOST\r\n\r\n", target: "/public/a"},
		{name: "HTTP/1.0 with Host", request: "GET /public/a HTTP/1.0\r\nHost: HOST\r\n\r\n"},
		{name: "HTTP/1.0 with a body", request: "POST /public/a HTTP/1.0\r\nHost: HOST\r\nContent-Length: 2\r\n\r\nhi", check: body("hi")},
		{name: "an empty line before the request", request: "\r\n" + get("/public/a"), target: "/public/a", ownAlone: "net/http refuses empty lines, which RFC 9112, 2.2 would have ignored"},
		{name: "a cookie of 16 KiB", request: "GET /public/a HTTP/1.1\r\nHost: HOST\r\nCookie: big=" + strings.Repeat("c", 16<<10) + "\r\n\r\n", check: func(e echoed) bool { s, _ := e.Headers["cookie"].(string); return len(s) == 16<<10+4 }},
		{name: "four cookies of 4 KiB", request: "GET /public/a HTTP/1.1\r\nHost: HOST\r\nCookie: a=" + strings.Repeat("c", 4000) + "; b=" + strings.Repeat("c", 4000) + "\r\nCookie: c=" + strings.Repeat("c", 4000) + "; d=" + strings.Repeat("c", 4000) + "\r\n\r\n"},
		{name: "120 fields", request: "GET /public/a HTTP/1.1\r\nHost: HOST\r\n" + many(120) + "\r\n", check: func(e echoed) bool { return e.Headers["x-many-119"] == "119" }},
		{name: "a field of 8 KiB", request: "GET /public/a HTTP/1.1\r\nHost: HOST\r\nX-Long: " + strings.Repeat("v", 8<<10) + "\r\n\r\n"},
		{name: "an empty field", request: "GET /public/a HTTP/1.1\r\nHost: HOST\r\nX-Empty:\r\n\r\n", check: func(e echoed) bool { return e.Headers["x-empty"] == "" }},
		{name: "a field without space behind the colon", request: "GET /public/a HTTP/1.1\r\nHost:HOST\r\nX-Tight:v\r\n\r\n", check: func(e echoed) bool { return e.Headers["x-tight"] == "v" }},
		{name: "a field with tabs", request: "GET /public/a HTTP/1.1\r\nHost: HOST\r\nX-Tab:\t a\tb \t\r\n\r\n", check: func(e echoed) bool { return e.Headers["x-tab"] == "a\tb" }},
		{name: "a field in UTF-8", request: "GET /public/a HTTP/1.1\r\nHost: HOST\r\nX-Name: Zo\xc3\xab\r\n\r\n"},
		{name: "a field that may hold anything", request: "GET /public/a HTTP/1.1\r\nHost: HOST\r\nX-Any: !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~\r\n\r\n", check: func(e echoed) bool { return e.Headers["x-any"] == "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~" }},
		{name: "a name with an underscore", request: "GET /public/a HTTP/1.1\r\nHost: HOST\r\nx_trace_id: 7\r\n\r\n", check: func(e echoed) bool { return e.Headers["x_trace_id"] == "7" }},
		{name: "field names in odd letters", request: "GET /public/a HTTP/1.1\r\nhOST: HOST\r\naCCEPT: */*\r\n\r\n", check: func(e echoed) bool { return e.Headers["accept"] == "*/*" }},
		{name: "credentials that nobody asked for", request: "GET /public/a HTTP/1.1\r\nHost: HOST\r\nAuthorization: Negotiate YII=\r\n\r\n", check: func(e echoed) bool { return e.Headers["authorization"] == "Negotiate YII=" }},
		{name: "an Authorization header that is none", request: "GET /public/a HTTP/1.1\r\nHost: HOST\r\nAuthorization: Basic !!!\r\n\r\n"},
		{name: "a range", request: "GET /public/a HTTP/1.1\r\nHost: HOST\r\nRange: bytes=0-99999,-5\r\nIf-Range: \"x\"\r\n\r\n"},
		{name: "conditions", request: "GET /public/a HTTP/1.1\r\nHost: HOST\r\nIf-None-Match: W/\"a\", \"b,c\"\r\nIf-Modified-Since: Mon, 01 Jan 2024 00:00:00 GMT\r\n\r\n"},
		{name: "HEAD", request: "HEAD /public/a HTTP/1.1\r\nHost: HOST\r\n\r\n"},
		{name: "a body on GET", request: "GET /public/a HTTP/1.1\r\nHost: HOST\r\nContent-Length: 2\r\n\r\nhi", check: body("hi")},
		{name: "POST without a body", request: post("Content-Length: 0\r\n", ""), check: body("")},
		{name: "POST that says nothing of a body", request: post("", ""), check: body("")},
		{name: "a length with noughts before", request: post("Content-Length: 0000000005\r\n", "hello"), check: body("hello")},
		{name: "a body that looks like a request", request: post(fmt.Sprintf("Content-Length: %d\r\n", len(inner)), inner), check: body(inner)},
		{name: "a chunked upload", request: post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"), check: body("hello world")},
		{name: "chunks of one byte", request: post("Transfer-Encoding: chunked\r\n", strings.Repeat("1\r\nx\r\n", 500)+"0\r\n\r\n"), check: body(strings.Repeat("x", 500))},
		{name: "an empty chunked upload", request: post("Transfer-Encoding: chunked\r\n", "0\r\n\r\n"), check: body("")},
		{name: "chunk sizes in capitals and with noughts", request: post("Transfer-Encoding: chunked\r\n", "000A\r\n0123456789\r\n00\r\n\r\n"), check: body("0123456789")},
		{name: "chunk extensions", request: post("Transfer-Encoding: chunked\r\n", "5;a;b=c;d=\"e f\"\r\nhello\r\n0;last\r\n\r\n"), check: body("hello")},
		{name: "the coding in other letters", request: post("transfer-encoding: CHUNKED\r\n", "5\r\nhello\r\n0\r\n\r\n"), check: body("hello")},
		{name: "trailers", request: post("Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\nTE: trailers\r\nConnection: TE\r\n", "5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n"), check: func(e echoed) bool { return e.Body == "hello" && e.Trailers["x-sum"] == "42" }},
		{name: "trailers that were not announced", request: post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n"), check: body("hello")},
		{name: "Expect with the body at once", request: post("Expect: 100-continue\r\nContent-Length: 5\r\n", "hello"), check: body("hello")},
		{name: "Expect, chunked", request: post("Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"), check: body("hello")},
		{name: "Expect in other letters", request: post("expect: 100-Continue\r\nContent-Length: 5\r\n", "hello"), check: body("hello")},
		{name: "Connection with odd commas", request: "GET /public/a HTTP/1.1\r\nHost: HOST\r\nConnection: , keep-alive ,\r\n\r\n"},
		{name: "Connection that names a field of its own", request: "GET /public/a HTTP/1.1\r\nHost: HOST\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n", check: func(e echoed) bool { _, is := e.Headers["x-hop"]; return !is }},
		{name: "an Upgrade that is not served", request: "GET /public/a HTTP/1.1\r\nHost: HOST\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", check: func(e echoed) bool { return e.Headers["upgrade"] == nil && e.Headers["http2-settings"] == nil }},
		{name: "two requests in one packet", request: get("/public/a") + get("/public/a"), answers: 2, target: "/public/a"},
		{name: "an upload and a request in one packet", request: "POST /public/a HTTP/1.1\r\nHost: HOST\r\nContent-Length: 5\r\n\r\nhello" + get("/public/a"), answers: 2, target: "/public/a"},
		{name: "a chunked upload and a request in one packet", request: "POST /public/a HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" + get("/public/a"), answers: 2, target: "/public/a"},
		{name: "six requests in one packet", request: strings.Repeat(get("/public/a"), 6), answers: 6, target: "/public/a"},
		{name: "Host with a port", request: "GET /public/a HTTP/1.1\r\nHost: HOST:8443\r\n\r\n"},
		{name: "Host in capitals with a dot", request: "GET /public/a HTTP/1.1\r\nHost: NODE.EXAMPLE.\r\n\r\n"},
		{name: "a user agent of a browser", request: "GET /public/a HTTP/1.1\r\nHost: HOST\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\nAccept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nSec-Fetch-Mode: navigate\r\nDNT: 1\r\nUpgrade-Insecure-Requests: 1\r\n\r\n",
			check: func(e echoed) bool { return e.Headers["accept-encoding"] == "gzip, deflate, br, zstd" }},
		{name: "tracing", request: "GET /public/a HTTP/1.1\r\nHost: HOST\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nbaggage: a=b\r\n\r\n", check: func(e echoed) bool { return e.Headers["baggage"] == "a=b" }},
	}
	for _, m := range []string{"PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "REPORT", "MKCALENDAR", "SEARCH", "LINK", "M-SEARCH", "PURGE", "QUERY"} {
		out = append(out, legitimate{name: "method " + m, request: m + " /public/a HTTP/1.1\r\nHost: HOST\r\nContent-Length: 2\r\n\r\nhi"})
	}
	return out
}

const controlled = `
settings: {reverseProxyAuthentication: {enabled: true}}
`

// Refusing everything does not win. Each backend must see what was meant, as it was
// meant; its own refusal (Apache knows no QUERY, say) is its own affair.
func TestWhatIsOddAndRightPassesToRealServers(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		all := witnesses(t, "")
		doc := controlled + "services:\n"
		for _, w := range all {
			doc += fmt.Sprintf("  - {name: %s, targets: [{url: %q}]}\n", w.name, w.URL)
		}
		doc += "routes:\n"
		for _, w := range all {
			doc += fmt.Sprintf("  - {name: public-%[1]s, hosts: [%[1]s.example], paths: [/public], access: public, service: %[1]s}\n  - {name: raw-%[1]s, hosts: [%[1]s.example], paths: [/raw], access: public, path: verbatim, service: %[1]s}\n", w.name)
		}
		for _, plain := range []bool{true, false} {
			g := start(t, options{engine: engine, plain: plain, resources: doc})
			passed := 0
			for _, c := range legitimates() {
				if c.ownAlone != "" && engine != "own" {
					continue
				}
				for _, w := range all {
					if c.passes(t, g, w) {
						passed++
					}
				}
			}
			t.Logf("plain %v: %d passed, %d requests at %d backends", plain, passed, len(legitimates()), len(all))
		}
	})
}

func (c legitimate) passes(t *testing.T, g *gateway, w *witness) bool {
	t.Helper()
	request := strings.ReplaceAll(strings.ReplaceAll(c.request, "HOST", w.name+".example"), "NODE", strings.ToUpper(w.name))
	before := len(w.saw(t))
	conn := g.wireTo(t)
	defer func() { _ = conn.Close() }()
	conn.send(request)
	method, rest, _ := strings.Cut(strings.TrimLeft(request, "\r\n"), " ")
	target, _, _ := strings.Cut(rest, " ")
	if c.target != "" {
		target = c.target
	}
	ok := true
	fail := func(format string, args ...any) {
		t.Helper()
		ok = false
		t.Errorf(w.name+": "+c.name+": "+format, args...)
	}
	for range max(c.answers, 1) {
		a, err := conn.tryAnswer(method)
		if err != nil {
			fail("%v", err)
			return false
		}
		if a.header.Get("Proxy-Status") != "" {
			fail("the gateway refuses it: %d %s", a.status, a.body)
			return false
		}
		if c.answers < 2 && (w.name == "node" || w.name == "lenient") && a.status == 200 && method != "HEAD" {
			var e echoed
			if err := json.Unmarshal([]byte(a.body), &e); err != nil {
				fail("%v: %s", err, tail(a.body, 300))
			} else if e.URL != target || e.Method != method || c.check != nil && !c.check(e) {
				fail("node saw %+v", e)
			}
		}
	}
	var list []testimony
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		if list = w.saw(t)[before:]; len(list) >= max(c.answers, 1) || time.Now().After(end) {
			break
		}
	}
	if len(list) != max(c.answers, 1) {
		fail("it saw %+v", list)
	}
	for _, s := range list {
		if s.target() != target && s.id != "-" {
			fail("it saw %q, want the target %q", tail(s.line, 200), tail(target, 200))
		}
	}
	return ok
}

// wireTo is a wire that is not kept until the test ends.
func (g *gateway) wireTo(t testing.TB) *wire {
	return dialWire(t, g.proxy, !g.opt.plain, &tls.Config{})
}
