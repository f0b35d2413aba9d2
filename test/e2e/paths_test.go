//go:build e2e

package e2e

import (
	"fmt"
	"net/url"
	"path"
	"strings"
	"testing"
	"time"
)

// Everything below /public is open, everything below /secret and /public/../secret
// is not; raw is forwarded as it came.
const fences = `
settings: {reverseProxyAuthentication: {enabled: true}}
services: [{name: api, targets: [{url: "BACKEND"}]}]
roles:
  - {name: writer, permissions: [{routes: ["*"], methods: ["*"]}]}
  - {name: reader-of-a, permissions: [{routes: ["*"], methods: ["*"], paths: [/secret/a]}]}
users:
  - {username: alice, roles: [writer], credentials: [{type: password, password: alices-password}]}
  - {username: bob, roles: [reader-of-a], credentials: [{type: password, password: bobs-password}]}
routes:
  - {name: public, paths: [/public], service: api, access: public}
  - {name: secret, paths: [/secret], service: api}
  - {name: inner, paths: [/public/inner-secret], service: api}
  - {name: raw, paths: [/raw], service: api, access: public, path: verbatim}
  - {name: exact, paths: ["=/exact"], service: api, access: public}
  - {name: numbers, paths: ["~^/n/[0-9]+$"], service: api, access: public}
`

// tricks are ways to write a path that starts at an open place and means a closed
// one, to some reader.
func tricks() (out []string) {
	dots := []string{"..", "%2e%2e", "%2E.", ".%2e", "..;", "..;x=1", "%2e%2e;", "..%00", "..%20", "..%09", "...", "%252e%252e", "..%c0%af", "%c0%ae%c0%ae",
		"%uff0e%uff0e", "..%5c", "..\\", "%2e%2e%5c", ".%00.", "..%3b", "%2e%2e%3b", "..%23", "..%3f", "%ff%2e%2e"}
	slashes := []string{"/", "//", "%2f", "%2F", "/./", "\\", "%5c", "%252f", "/%2f", ";/", "/;/", "%c0%af", "%e0%80%af", "/%00/", "%2f%2f"}
	for _, start := range []string{"/public", "/raw", "/public/x"} {
		for _, d := range dots {
			for _, s := range slashes {
				out = append(out, start+s+d+s+"secret", start+"/"+d+s+"secret/a", start+"/"+d+s+d+s+"secret")
			}
		}
	}
	for _, s := range slashes {
		out = append(out, s+"secret", "/"+s+"secret", "/public"+s+"inner-secret", "/public/"+s+"inner-secret", "/raw"+s+"secret", "/raw/"+s+"secret", "/exact"+s+"..%2fsecret", "/n/1"+s+"../secret")
	}
	return append(out, "/Secret", "/SECRET", "/%73ecret", "/secre%74", "/secret;x", "/secret%00", "/secret%20", "/secret.", "/secret/.", "/secret%2e", "/public/inner%2dsecret", "/public/inner-secret;a",
		"/public/%69nner-secret", "/public/inner-secret%2f", "/n/1%0a", "/n/1%0d%0a", "/n/1/../../secret", "/public?/../secret", "/public#/../secret", "/public/..%2f..%2fsecret", "/./secret", "/.//secret",
		"*", "http://x/secret", "http://evil/secret", "//evil/secret", "/%", "/%zz", "/%2", "/public/%", "secret", "?secret", "")
}

// meanings are the paths that some backend would read in what it saw; where an
// open door stands at /, those alone that mean nothing else to anybody.
func meanings(uri string, catchAll bool) (out []string) {
	p, _, _ := strings.Cut(uri, "?")
	p, _, _ = strings.Cut(p, "#")
	for range 3 {
		for _, v := range []string{p, strings.ReplaceAll(p, "\\", "/"), cutParameters(p, catchAll), cutParameters(strings.ReplaceAll(p, "\\", "/"), catchAll)} {
			out = append(out, path.Clean("/"+v))
			if !catchAll {
				out = append(out, strings.ToLower(path.Clean("/"+v)))
			}
			if i := strings.IndexByte(v, 0); i >= 0 {
				out = append(out, path.Clean("/"+v[:i]))
			}
		}
		next, err := url.PathUnescape(p)
		if err != nil || next == p {
			break
		}
		p = next
	}
	return out
}

// cutParameters drops what follows a ; in each segment, or each segment of dots,
// as Tomcat does.
func cutParameters(p string, dotsAlone bool) string {
	s := strings.Split(p, "/")
	for i := range s {
		if name, _, _ := strings.Cut(s[i], ";"); !dotsAlone || strings.Trim(name, ".") == "" {
			s[i] = name
		}
	}
	return strings.Join(s, "/")
}

func closed(p string) bool {
	for _, c := range []string{"/secret", "/public/inner-secret"} {
		if p == c || strings.HasPrefix(p, c+"/") {
			return true
		}
	}
	return false
}

func TestNoWayOfWritingAPathOpensAClosedDoor(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		b := newBackend(t, nil)
		g := start(t, options{engine: engine, plain: true, resources: withBackend(fences, b.URL)})
		all := tricks()
		intrude(t, g, b, all, "", false, closed)
		// One who may see /secret/a sees nothing else of it either.
		for i := range all {
			all[i] = strings.Replace(all[i], "/public", "/secret/a", 1)
		}
		intrude(t, g, b, all, basicHeader("bob").Get("Authorization"), false, func(p string) bool {
			return closed(p) && p != "/secret/a" && !strings.HasPrefix(p, "/secret/a/")
		})
		// The same where everything else is open, as it is where a site is.
		g.must(t, 201, "PUT", "/v2/routes/everything", `{"name":"everything","paths":["/"],"service":"api","access":"public"}`)
		intrude(t, g, b, tricks(), "", true, closed)
		g.must(t, 200, "PUT", "/v2/routes/everything", `{"name":"everything","paths":["/"],"service":"api","access":"public","path":"verbatim"}`)
		var plain []string // where the open door is verbatim, %2F and ; are its service's own affair
		for _, trick := range tricks() {
			if !strings.Contains(strings.ToLower(trick), "%2f") && !strings.Contains(trick, ";") {
				plain = append(plain, trick)
			}
		}
		intrude(t, g, b, plain, "", true, closed)
	})
}

// intrude tries each trick, and looks at what the backend saw of it.
func intrude(t *testing.T, g *gateway, b *backend, all []string, authorization string, catchAll bool, closed func(path string) bool) {
	t.Helper()
	statuses := map[int]int{}
	if authorization != "" {
		authorization = "Authorization: " + authorization + "\r\n"
	}
	var w *wire
	for _, trick := range all {
		b.forget()
		if w == nil {
			w = g.wire(t)
		}
		w.send("GET " + trick + " HTTP/1.1\r\nHost: x\r\n" + authorization + "\r\n")
		a, err := w.tryAnswer("GET")
		if err != nil {
			statuses[0]++
		} else {
			statuses[a.status]++
			if a.status/100 == 5 {
				t.Errorf("%q: %d %s", trick, a.status, a.body)
			}
		}
		if err != nil || strings.EqualFold(a.header.Get("Connection"), "close") || a.status == 400 {
			_ = w.Close()
			w = nil
		}
		for _, s := range b.saw() {
			for _, m := range meanings(s.URI, catchAll) {
				if closed(m) {
					t.Errorf("%q reached the backend as %q, which can be read as %s", trick, s.URI, m)
					break
				}
			}
		}
	}
	t.Logf("%d tricks, by status: %v", len(all), statuses)
	if statuses[200] == 0 || statuses[400] == 0 || statuses[0] > 0 {
		t.Errorf("statuses %v", statuses)
	}
}

func TestOnePathIsMatchedAndForwarded(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		b := newBackend(t, nil)
		g := start(t, options{engine: engine, resources: withBackend(fences, b.URL)})
		for _, c := range []struct {
			target, forwarded string // "" = refused
			status            int
		}{
			{"/public/a/b", "/public/a/b", 200},
			{"/public", "/public", 200},
			{"/public/", "/public/", 200},
			{"/publicity", "", 404},
			{"/public//a///b", "/public/a/b", 200},
			{"/public/./a/../b", "/public/b", 200},
			{"/public/%61%62", "/public/ab", 200},
			{"/public/a%20b", "/public/a%20b", 200},
			{"/public/%C3%A9t%C3%A9", "/public/%C3%A9t%C3%A9", 200},
			{"/public/%7Euser", "/public/~user", 200},
			{"/public/a%3Ab", "/public/a%3Ab", 200},
			{"/public/a:b@c,d;e=f", "/public/a:b@c,d;e=f", 200},
			{"/public?q=%2F..%2F&r=a/../b", "/public?q=%2F..%2F&r=a/../b", 200},
			{"/public?", "/public?", 200},
			{"/public?a?b", "/public?a?b", 200},
			{"/public/..", "", 404},
			{"/public/../secret", "", 401},
			{"/public/a%2Fb", "", 400},
			{"/public/a;x/../b", "", 0},
			{"/public/%2e%2e/x", "", 0},
			{"/public/%5C", "", 400},
			{"/public/%00", "", 400},
			{"/public/%252e", "", 400},
			{"/exact", "/exact", 200},
			{"/exact/", "", 404},
			{"/n/12", "/n/12", 200},
			{"/n/12x", "", 404},
			{"/raw/a%2Fb", "/raw/a%2Fb", 200},
			{"/raw/a%2fb%2Fc?x", "/raw/a%2fb%2Fc?x", 200},
			{"/raw/%61", "/raw/%61", 200},
			{"/raw/a;v=1/b", "/raw/a;v=1/b", 200},
			{"/raw/..%2Fsecret", "", 400},
			{"/raw/a%2F..%2Fsecret", "", 400},
			{"/raw/..;/x", "", 400},
			{"/raw//a", "/raw//a", 200},
		} {
			before := len(b.saw())
			w := g.wire(t)
			w.send("GET " + c.target + " HTTP/1.1\r\nHost: x\r\n\r\n")
			a := w.answer(t, "GET")
			_ = w.Close()
			saw := b.saw()[before:]
			if c.status != 0 && a.status != c.status {
				t.Errorf("%s: %d %s, want %d", c.target, a.status, a.code(), c.status)
			}
			if c.forwarded != "" && (len(saw) != 1 || saw[0].URI != c.forwarded) {
				t.Errorf("%s was forwarded as %v, want %s", c.target, uris(saw), c.forwarded)
			}
			if c.status == 400 && a.code() != "path_ambiguous" {
				t.Errorf("%s: code %s", c.target, a.code())
			}
			if c.status != 200 && c.status != 0 && len(saw) > 0 {
				t.Errorf("%s was refused, and forwarded as %v", c.target, uris(saw))
			}
		}
	})
}

func uris(list []seen) (out []string) {
	for _, s := range list {
		out = append(out, s.URI)
	}
	return out
}

// Refusing everything does not win: odd requests that are legitimate pass.
func TestOddButLegitimateRequestsPass(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		b := newBackend(t, nil)
		g := start(t, options{engine: engine, resources: withBackend(fences, b.URL) + "  - {name: hosts, hosts: [api.example.com, \"*.example.org\", xn--bcher-kva.example], paths: [/hosted], service: api, access: public}\n"})
		for _, c := range []struct {
			name, request string
			check         func(s seen) bool
		}{
			{"an encoded slash where the service is verbatim", "GET /raw/group%2Fproject HTTP/1.1\r\nHost: x\r\n\r\n", func(s seen) bool { return s.URI == "/raw/group%2Fproject" }},
			{"UTF-8 names", "GET /public/%E6%97%A5%E6%9C%AC HTTP/1.1\r\nHost: x\r\n\r\n", func(s seen) bool { return s.URI == "/public/%E6%97%A5%E6%9C%AC" }},
			{"a chunked upload with extensions", "POST /public HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;name=value\r\nhello\r\n0\r\n\r\n", func(s seen) bool { return s.Body == "hello" }},
			{"a coding in other letters", "POST /public HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n00005\r\nhello\r\n000\r\n\r\n", func(s seen) bool { return s.Body == "hello" }},
			{"a large cookie", "GET /public HTTP/1.1\r\nHost: x\r\nCookie: big=" + strings.Repeat("x", 12000) + "\r\n\r\n", func(s seen) bool { return len(s.Header.Get("Cookie")) == 12004 }},
			{"two Cookie fields", "GET /public HTTP/1.1\r\nHost: x\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n", func(s seen) bool { return strings.Join(s.Header.Values("Cookie"), "; ") == "a=1; b=2" }},
			{"a hundred fields", "GET /public HTTP/1.1\r\nHost: x\r\n" + many(100) + "\r\n", func(s seen) bool { return s.Header.Get("X-Many-99") == "99" }},
			{"an empty value", "GET /public HTTP/1.1\r\nHost: x\r\nX-Empty:\r\n\r\n", func(s seen) bool { _, is := s.Header["X-Empty"]; return is }},
			{"white space around a value", "GET /public HTTP/1.1\r\nHost: x\r\nX-Odd: \t value with \t spaces \t \r\n\r\n", func(s seen) bool { return s.Header.Get("X-Odd") == "value with \t spaces" }},
			{"bytes above ASCII in a value", "GET /public HTTP/1.1\r\nHost: x\r\nX-Odd: Gr\xfc\xdfe, \xe4\xbd\xa0\r\n\r\n", func(s seen) bool { return strings.HasPrefix(s.Header.Get("X-Odd"), "Gr") }},
			{"odd tokens as names", "GET /public HTTP/1.1\r\nHost: x\r\n!#$%&'*+-.^_`|~0: 1\r\n\r\n", func(s seen) bool { return true }},
			{"repeated fields keep their order", "GET /public HTTP/1.1\r\nHost: x\r\nX-R: 1\r\nX-R: 2\r\nX-R: 3\r\n\r\n", func(s seen) bool { return strings.Join(s.Header.Values("X-R"), "") == "123" }},
			{"HTTP/1.0 with Host", "GET /public HTTP/1.0\r\nHost: x\r\n\r\n", func(s seen) bool { return s.Proto == "HTTP/1.1" }},
			{"absolute form that agrees with Host", "GET https://x/public?a HTTP/1.1\r\nHost: x\r\n\r\n", func(s seen) bool { return s.URI == "/public?a" }},
			{"a body on GET", "GET /public HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", func(s seen) bool { return s.Method == "GET" && s.Body == "hello" }},
			{"DELETE with a body", "DELETE /public HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", func(s seen) bool { return s.Body == "{}" }},
			{"a method of WebDAV", "PROPFIND /public HTTP/1.1\r\nHost: x\r\nDepth: 1\r\nContent-Length: 0\r\n\r\n", func(s seen) bool { return s.Method == "PROPFIND" && s.Header.Get("Depth") == "1" }},
			{"a method nobody knows", "M-SEARCH /public HTTP/1.1\r\nHost: x\r\n\r\n", func(s seen) bool { return s.Method == "M-SEARCH" }},
			{"OPTIONS", "OPTIONS /public HTTP/1.1\r\nHost: x\r\n\r\n", func(s seen) bool { return s.Method == "OPTIONS" }},
			{"POST without a body", "POST /public HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", func(s seen) bool { return s.Method == "POST" && s.Length == 0 }},
			{"POST that says nothing of a body", "POST /public HTTP/1.1\r\nHost: x\r\n\r\n", func(s seen) bool { return s.Method == "POST" && s.Body == "" }},
			{"an empty line before the request", "\r\nGET /public HTTP/1.1\r\nHost: x\r\n\r\n", func(s seen) bool { return true }},
			{"a long query", "GET /public?" + strings.Repeat("q", 8000) + " HTTP/1.1\r\nHost: x\r\n\r\n", func(s seen) bool { return len(s.URI) == 8008 }},
			{"a query with anything that is legal", "GET /public?a=b&c[]=d&e=%00%ff&f='(*)!$,;:@/? HTTP/1.1\r\nHost: x\r\n\r\n", func(s seen) bool { return strings.HasSuffix(s.URI, "e=%00%ff&f='(*)!$,;:@/?") }},
			{"a Host in other letters, with port and dot", "GET /hosted HTTP/1.1\r\nHost: API.Example.COM.:8443\r\n\r\n", func(s seen) bool {
				return strings.EqualFold(s.Host, "api.example.com.:8443") || strings.EqualFold(s.Host, "api.example.com:8443")
			}},
			{"a Host that a wildcard covers", "GET /hosted HTTP/1.1\r\nHost: shop.example.org\r\n\r\n", func(s seen) bool { return s.Host == "shop.example.org" }},
			{"an internationalised Host", "GET /hosted HTTP/1.1\r\nHost: xn--bcher-kva.example\r\n\r\n", func(s seen) bool { return true }},
			{"a Host that is an IPv6 address", "GET /public HTTP/1.1\r\nHost: [::1]:8443\r\n\r\n", func(s seen) bool { return s.Host == "[::1]:8443" }},
			{"Expect: 100-continue in other letters", "POST /public HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n\r\nhello", func(s seen) bool { return s.Body == "hello" }},
			{"TE: trailers", "GET /public HTTP/1.1\r\nHost: x\r\nTE: trailers\r\nConnection: TE\r\n\r\n", func(s seen) bool { return true }},
			{"credentials that nobody asked for", "GET /public HTTP/1.1\r\nHost: x\r\nAuthorization: Digest username=\"x\"\r\n\r\n", func(s seen) bool { return strings.HasPrefix(s.Header.Get("Authorization"), "Digest") }},
		} {
			before := len(b.saw())
			if c.name == "an empty line before the request" && engine != "own" {
				continue // a courtesy of RFC 9112, 2.2 that net/http does not have
			}
			w := g.wire(t)
			w.send(c.request)
			method, _, _ := strings.Cut(strings.TrimLeft(c.request, "\r\n"), " ")
			a, err := w.tryAnswer(method)
			_ = w.Close()
			saw := b.saw()[before:]
			switch {
			case err != nil:
				t.Errorf("%s: %v", c.name, err)
			case a.status != 200:
				t.Errorf("%s: %d %s", c.name, a.status, a.body)
			case len(saw) != 1 || !c.check(saw[0]):
				t.Errorf("%s: the backend saw %+v", c.name, saw)
			}
		}
		// Several requests on one connection, sent at once.
		w := g.wire(t)
		var many strings.Builder
		for i := range 20 {
			fmt.Fprintf(&many, "POST /public/%d HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n%03d", i, i)
		}
		w.send(many.String())
		for i := range 20 {
			if s := w.answer(t, "POST").asked(t); s.URI != fmt.Sprintf("/public/%d", i) || s.Body != fmt.Sprintf("%03d", i) {
				t.Fatalf("pipelined request %d was answered as %s %s", i, s.URI, s.Body)
			}
		}
		// HEAD has the fields of GET and no body, and the connection goes on.
		w.send("HEAD /public HTTP/1.1\r\nHost: x\r\n\r\nGET /public HTTP/1.1\r\nHost: x\r\n\r\n")
		if a := w.answer(t, "HEAD"); a.status != 200 || a.body != "" {
			t.Errorf("HEAD: %d %q", a.status, a.body)
		}
		if a := w.answer(t, "GET"); a.status != 200 || a.asked(t).Method != "GET" {
			t.Errorf("behind HEAD: %d", a.status)
		}
	})
}

func many(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "X-Many-%d: %d\r\n", i, i)
	}
	return b.String()
}

// net/http, the other engine, is lenient in some of these (folded lines, a length
// beside a coding) by itself.
func TestMalformedRequestsAreRefusedAndNotForwarded(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		if engine != "own" {
			return
		}
		b := newBackend(t, nil)
		g := start(t, options{engine: engine, resources: withBackend(fences, b.URL)})
		for _, request := range []string{
			"GET /public HTTP/1.1\r\n\r\n",
			"GET /public HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
			"GET /public HTTP/1.1\r\nHost : x\r\n\r\n",
			"GET /public HTTP/1.1\r\nHost: x\r\nX-A: 1\r\n folded\r\n\r\n",
			"GET /public HTTP/1.1\r\nHost: x\r\nX A: 1\r\n\r\n",
			"GET /public HTTP/1.1\r\nHost: x\r\nX-A: 1\x00\r\n\r\n",
			"GET /public HTTP/1.1\r\nHost: x\r\nX-A: 1\rX-User: mallory\r\n\r\n",
			"GET /public HTTP/1.1\r\nHost: x\r\n: 1\r\n\r\n",
			"GET  /public HTTP/1.1\r\nHost: x\r\n\r\n",
			"GET /pub lic HTTP/1.1\r\nHost: x\r\n\r\n",
			"GET /public HTTP/2.0\r\nHost: x\r\n\r\n",
			"GET /public\r\nHost: x\r\n\r\n",
			"GET /public#f HTTP/1.1\r\nHost: x\r\n\r\n",
			"GET /publi\xe9 HTTP/1.1\r\nHost: x\r\n\r\n",
			"GET https://other/public HTTP/1.1\r\nHost: x\r\n\r\n",
			"G(T /public HTTP/1.1\r\nHost: x\r\n\r\n",
			"POST /public HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
			"POST /public HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
			"POST /public HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello",
			"POST /public HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\nhello",
			"POST /public HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
			"POST /public HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
			"POST /public HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
			"POST /public HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
			"GET /public HTTP/1.1\r\nHost: x/y\r\n\r\n",
			"GET /public HTTP/1.1\r\nHost: a b\r\n\r\n",
			"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
			"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n",
			"\x00\x01\x02\x03\r\n\r\n",
			"POST /public HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
		} {
			before := len(b.saw())
			w := g.wire(t)
			w.send(request)
			a, err := w.tryAnswer("GET")
			if err == nil && (a.status < 400 || a.status >= 500) {
				t.Errorf("%q: %d", request, a.status)
			}
			if err == nil && a.code() == "" {
				t.Errorf("%q: a 400 without a problem document: %s", request, a.body)
			}
			if err == nil && !w.closed(3*time.Second) {
				t.Errorf("%q: the connection goes on", request)
			}
			_ = w.Close()
			for _, s := range b.saw()[before:] {
				if !strings.Contains(request, "\r\n\r\nxyz") { // its head was good
					t.Errorf("%q was forwarded: %+v", request, s)
				}
			}
		}
		g.get(t, "", "/public").expect(t, "the next request", 200, "")
	})
}
