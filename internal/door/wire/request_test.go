package wire

import (
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/model"
)

// parse reads a whole head and tells what is wrong with it.
func parse(s string) (Request, int, error) {
	var r Request
	n, err := ParseRequest([]byte(s), &r)
	return r, n, err
}

func TestWhatIsNotARequestHeadIsRefused(t *testing.T) {
	const get, host, end = "GET / HTTP/1.1\r\n", "Host: a\r\n", "\r\n"
	post := "POST / HTTP/1.1\r\n" + host
	for name, head := range map[string]string{
		"a bare LF ends the request line":                     "GET / HTTP/1.1\nHost: a\r\n\r\n",
		"a bare LF ends a field line":                         get + "Host: a\nX: y\r\n\r\n",
		"a bare LF ends the head":                             get + host + "\n",
		"a bare CR in a value":                                get + host + "X: a\rb\r\n\r\n",
		"a bare CR before a name":                             get + host + "\rX: a\r\n\r\n",
		"CR CR LF ends a line":                                get + host + "X: a\r\r\n\r\n",
		"a bare CR in the request line":                       "GET /\r HTTP/1.1\r\n" + host + end,
		"NUL in a value":                                      get + host + "X: a\x00b\r\n\r\n",
		"NUL in a name":                                       get + host + "X\x00: a\r\n\r\n",
		"NUL in the target":                                   "GET /\x00 HTTP/1.1\r\n" + host + end,
		"DEL in a value":                                      get + host + "X: a\x7f\r\n\r\n",
		"vertical tab in a value":                             get + host + "X: a\x0b\r\n\r\n",
		"a folded line (obs-fold)":                            get + host + "X: a\r\n b\r\n\r\n",
		"a folded line by tab":                                get + host + "X: a\r\n\tb\r\n\r\n",
		"the first field line is folded":                      get + " Host: a\r\n\r\n",
		"white space before a colon":                          get + "Host : a\r\n\r\n",
		"a tab before a colon":                                get + host + "X\t: a\r\n\r\n",
		"white space in a name":                               get + host + "X Y: a\r\n\r\n",
		"no colon":                                            get + host + "X\r\n\r\n",
		"an empty name":                                       get + host + ": a\r\n\r\n",
		"a name that is no token":                             get + host + "X(Y): a\r\n\r\n",
		"a name outside ASCII":                                get + host + "X\xc3\xa9: a\r\n\r\n",
		"no Host":                                             get + end,
		"no Host in HTTP/1.0":                                 "GET / HTTP/1.0\r\n\r\n",
		"two Hosts":                                           get + host + host + end,
		"two different Hosts":                                 get + host + "Host: b\r\n\r\n",
		"two Hosts in two spellings":                          get + host + "hOST: a\r\n\r\n",
		"an empty Host":                                       get + "Host: \r\n\r\n",
		"Host with a user":                                    get + "Host: a@b\r\n\r\n",
		"Host with a path":                                    get + "Host: a/b\r\n\r\n",
		"Host with a space":                                   get + "Host: a b\r\n\r\n",
		"Host as a list":                                      get + "Host: a, b\r\n\r\n",
		"Host with an encoding":                               get + "Host: a%2e\r\n\r\n",
		"Host outside ASCII":                                  get + "Host: \xc3\xa9\r\n\r\n",
		"Host of dots":                                        get + "Host: a..b\r\n\r\n",
		"Host that begins with a dot":                         get + "Host: .a\r\n\r\n",
		"Host with an empty port":                             get + "Host: a:\r\n\r\n",
		"Host with port 0":                                    get + "Host: a:0\r\n\r\n",
		"Host with port 65536":                                get + "Host: a:65536\r\n\r\n",
		"Host with a port of letters":                         get + "Host: a:http\r\n\r\n",
		"Host with two ports":                                 get + "Host: a:1:2\r\n\r\n",
		"Host that is a bare IPv6 address":                    get + "Host: ::1\r\n\r\n",
		"Host that is no IPv6 address":                        get + "Host: [dead]\r\n\r\n",
		"Host that is an unclosed address":                    get + "Host: [::1\r\n\r\n",
		"Host with a zone":                                    get + "Host: [fe80::1%25eth0]\r\n\r\n",
		"Host that is IPv4 in brackets":                       get + "Host: [127.0.0.1]\r\n\r\n",
		"two lengths":                                         post + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
		"two equal lengths":                                   post + "Content-Length: 1\r\nContent-Length: 1\r\n\r\n",
		"two lengths in two spellings":                        post + "Content-Length: 1\r\ncontent-length: 1\r\n\r\n",
		"a list of lengths":                                   post + "Content-Length: 1, 1\r\n\r\n",
		"an empty length":                                     post + "Content-Length: \r\n\r\n",
		"a negative length":                                   post + "Content-Length: -1\r\n\r\n",
		"a signed length":                                     post + "Content-Length: +1\r\n\r\n",
		"a hexadecimal length":                                post + "Content-Length: 0x1\r\n\r\n",
		"a length with a fraction":                            post + "Content-Length: 1.0\r\n\r\n",
		"a length with an exponent":                           post + "Content-Length: 1e1\r\n\r\n",
		"a length with an underscore":                         post + "Content-Length: 1_0\r\n\r\n",
		"a length with a space in it":                         post + "Content-Length: 1 0\r\n\r\n",
		"a length beyond every length":                        post + "Content-Length: 9999999999999999999\r\n\r\n",
		"a length that wraps 64 bits":                         post + "Content-Length: 18446744073709551617\r\n\r\n",
		"a length in other digits":                            post + "Content-Length: \xd9\xa1\r\n\r\n",
		"a quoted length":                                     post + "Content-Length: \"1\"\r\n\r\n",
		"Transfer-Encoding beside Content-Length":             post + "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
		"Content-Length beside Transfer-Encoding":             post + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		"Transfer-Encoding beside Content-Length 0":           post + "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n",
		"two Transfer-Encodings":                              post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
		"chunked, chunked":                                    post + "Transfer-Encoding: chunked, chunked\r\n\r\n",
		"identity":                                            post + "Transfer-Encoding: identity\r\n\r\n",
		"gzip, chunked":                                       post + "Transfer-Encoding: gzip, chunked\r\n\r\n",
		"chunked, gzip: chunked is not last":                  post + "Transfer-Encoding: chunked, gzip\r\n\r\n",
		"chunked in an empty list":                            post + "Transfer-Encoding: , chunked\r\n\r\n",
		"an empty Transfer-Encoding":                          post + "Transfer-Encoding: \r\n\r\n",
		"an unknown coding":                                   post + "Transfer-Encoding: xchunked\r\n\r\n",
		"chunked with a parameter":                            post + "Transfer-Encoding: chunked;q=1\r\n\r\n",
		"chunked in quotes":                                   post + "Transfer-Encoding: \"chunked\"\r\n\r\n",
		"chunked and a vertical tab":                          post + "Transfer-Encoding: \x0bchunked\r\n\r\n",
		"chunked by a homoglyph (Kelvin sign)":                post + "Transfer-Encoding: chun\xe2\x84\xaaed\r\n\r\n",
		"Transfer-Encoding in HTTP/1.0":                       "POST / HTTP/1.0\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n",
		"CONNECT in authority-form":                           "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
		"CONNECT in origin-form":                              "CONNECT / HTTP/1.1\r\n" + host + end,
		"a method that is no token":                           "G(T / HTTP/1.1\r\n" + host + end,
		"a method with a NUL":                                 "GE\x00T / HTTP/1.1\r\n" + host + end,
		"no method":                                           " / HTTP/1.1\r\n" + host + end,
		"no target":                                           "GET HTTP/1.1\r\n" + host + end,
		"an empty target":                                     "GET  HTTP/1.1\r\n" + host + end,
		"no version (HTTP/0.9)":                               "GET /\r\n" + host + end,
		"HTTP/2.0":                                            "GET / HTTP/2.0\r\n" + host + end,
		"HTTP/1.2":                                            "GET / HTTP/1.2\r\n" + host + end,
		"HTTP/0.9 by name":                                    "GET / HTTP/0.9\r\n" + host + end,
		"HTTP/1.10":                                           "GET / HTTP/1.10\r\n" + host + end,
		"HTTP/1.":                                             "GET / HTTP/1.\r\n" + host + end,
		"http/1.1 in small letters":                           "GET / http/1.1\r\n" + host + end,
		"a space behind the version":                          "GET / HTTP/1.1 \r\n" + host + end,
		"two spaces":                                          "GET  / HTTP/1.1\r\n" + host + end,
		"a tab between the parts":                             "GET\t/ HTTP/1.1\r\n" + host + end,
		"a space in the target":                               "GET /a b HTTP/1.1\r\n" + host + end,
		"a tab in the target":                                 "GET /a\tb HTTP/1.1\r\n" + host + end,
		"a fragment (GHSA-pxq7-h93f-9jrg)":                    "GET /admin#/public HTTP/1.1\r\n" + host + end,
		"a byte outside ASCII in the target":                  "GET /\xc3\xa9 HTTP/1.1\r\n" + host + end,
		"DEL in the target":                                   "GET /\x7f HTTP/1.1\r\n" + host + end,
		"a relative target":                                   "GET a HTTP/1.1\r\n" + host + end,
		"an asterisk without OPTIONS":                         "GET * HTTP/1.1\r\n" + host + end,
		"an authority-form target":                            "GET a:80 HTTP/1.1\r\n" + host + end,
		"an absolute-form target of another host":             "GET http://b/ HTTP/1.1\r\n" + host + end,
		"an absolute-form target with a user":                 "GET http://x@a/ HTTP/1.1\r\n" + host + end,
		"an absolute-form target of another port":             "GET http://a:81/ HTTP/1.1\r\n" + host + end,
		"an absolute-form target of another scheme":           "GET ftp://a/ HTTP/1.1\r\n" + host + end,
		"an absolute-form target without a host":              "GET http:/// HTTP/1.1\r\n" + host + end,
		"an absolute-form target that is a scheme":            "GET http:// HTTP/1.1\r\n" + host + end,
		"two empty lines before the request":                  "\r\n\r\nGET / HTTP/1.1\r\n" + host + end,
		"a bare LF before the request":                        "\nGET / HTTP/1.1\r\n" + host + end,
		"the preface of HTTP/2":                               "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"a TLS record":                                        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n",
		"an answer":                                           "HTTP/1.1 200 OK\r\n" + host + end,
		"a version among the fields":                          get + "HTTP/1.1 200 OK\r\n" + host + end,
		"more fields than there may be":                       get + host + strings.Repeat("X: y\r\n", MaxFields+1) + end,
		"Transfer-Encoding hidden behind a long value":        post + "X: " + strings.Repeat("a", 9000) + "\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
		"an empty line that is white space":                   get + host + " \r\n\r\n",
		"a request line in front of a request line":           "GET / HTTP/1.1GET / HTTP/1.1\r\n" + host + end,
		"a second request line among the fields":              get + host + "GET /admin HTTP/1.1\r\n\r\n",
		"a colon before the name (a pseudo-header of HTTP/2)": get + host + ":path: /\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			if r, n, err := parse(head); err == nil {
				t.Errorf("taken: %d bytes, %+v", n, r)
			}
		})
	}
}

func TestOddButLegitimateHeadsAreTaken(t *testing.T) {
	for name, c := range map[string]struct {
		head string
		want Request
	}{
		"one empty line before the request (RFC 9112, 2.2)": {"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Request{Method: "GET", Target: "/", Host: "a", Minor: 1}},
		"an empty value":                                {"GET / HTTP/1.1\r\nHost: a\r\nX:\r\n\r\n", Request{Method: "GET", Target: "/", Host: "a", Minor: 1}},
		"no space behind the colon":                     {"GET / HTTP/1.1\r\nHost:a\r\n\r\n", Request{Method: "GET", Target: "/", Host: "a", Minor: 1}},
		"white space round a value":                     {"GET / HTTP/1.1\r\nHost: \t a \t\r\n\r\n", Request{Method: "GET", Target: "/", Host: "a", Minor: 1}},
		"UTF-8 in a value":                              {"GET / HTTP/1.1\r\nHost: a\r\nX: \xc3\xa9\r\n\r\n", Request{Method: "GET", Target: "/", Host: "a", Minor: 1}},
		"a method of one's own":                         {"M-SEARCH / HTTP/1.1\r\nHost: a\r\n\r\n", Request{Method: "M-SEARCH", Target: "/", Host: "a", Minor: 1}},
		"Host with a port":                              {"GET / HTTP/1.1\r\nHost: a.b-c_d:8080\r\n\r\n", Request{Method: "GET", Target: "/", Host: "a.b-c_d:8080", Minor: 1}},
		"Host with a final dot":                         {"GET / HTTP/1.1\r\nHost: a.\r\n\r\n", Request{Method: "GET", Target: "/", Host: "a.", Minor: 1}},
		"Host that is an IPv6 address":                  {"GET / HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n\r\n", Request{Method: "GET", Target: "/", Host: "[2001:db8::1]:443", Minor: 1}},
		"HTTP/1.0 with Host closes":                     {"GET / HTTP/1.0\r\nHost: a\r\n\r\n", Request{Method: "GET", Target: "/", Host: "a", Close: true}},
		"HTTP/1.0 kept alive":                           {"GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n", Request{Method: "GET", Target: "/", Host: "a"}},
		"close among other options":                     {"GET / HTTP/1.1\r\nHost: a\r\nConnection: x , CLOSE\r\n\r\n", Request{Method: "GET", Target: "/", Host: "a", Minor: 1, Close: true}},
		"close wins over keep-alive":                    {"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n", Request{Method: "GET", Target: "/", Host: "a", Close: true}},
		"a length":                                      {"POST / HTTP/1.1\r\nHost: a\r\ncontent-LENGTH: 007\r\n\r\n", Request{Method: "POST", Target: "/", Host: "a", Minor: 1, Length: 7}},
		"chunked":                                       {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n", Request{Method: "POST", Target: "/", Host: "a", Minor: 1, Length: -1}},
		"Expect":                                        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-Continue\r\n\r\n", Request{Method: "POST", Target: "/", Host: "a", Minor: 1, Length: 1, Expect100: true}},
		"Expect without a body says nothing":            {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n", Request{Method: "POST", Target: "/", Host: "a", Minor: 1}},
		"Expect of HTTP/1.0 is ignored":                 {"POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n", Request{Method: "POST", Target: "/", Host: "a", Length: 1, Close: true}},
		"TE: trailers":                                  {"GET / HTTP/1.1\r\nHost: a\r\nTE: gzip, trailers\r\n\r\n", Request{Method: "GET", Target: "/", Host: "a", Minor: 1, Trailers: true}},
		"OPTIONS *":                                     {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", Request{Method: "OPTIONS", Target: "*", Host: "a", Minor: 1}},
		"OPTIONS of a bare authority (RFC 9112, 3.2.4)": {"OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n", Request{Method: "OPTIONS", Target: "*", Host: "a", Minor: 1}},
		"absolute-form":                                 {"GET HTTP://A:80/b?c HTTP/1.1\r\nHost: a:80\r\n\r\n", Request{Method: "GET", Target: "/b?c", Host: "a:80", Minor: 1}},
		"absolute-form over TLS":                        {"GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n", Request{Method: "GET", Target: "/", Host: "a", Minor: 1}},
		"absolute-form without a path":                  {"GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", Request{Method: "GET", Target: "/", Host: "a", Minor: 1}},
		"absolute-form with a query alone":              {"GET http://a?b HTTP/1.1\r\nHost: a\r\n\r\n", Request{Method: "GET", Target: "/?b", Host: "a", Minor: 1}},
		"a target of two slashes":                       {"GET //b/ HTTP/1.1\r\nHost: a\r\n\r\n", Request{Method: "GET", Target: "//b/", Host: "a", Minor: 1}},
		"a URL in a query":                              {"GET /?u=http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", Request{Method: "GET", Target: "/?u=http://b/", Host: "a", Minor: 1}},
		"WebSocket":                                     {"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n", Request{Method: "GET", Target: "/", Host: "a", Minor: 1, Upgrade: "websocket"}},
		"h2c is no upgrade (h2csmuggler)":               {"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n", Request{Method: "GET", Target: "/", Host: "a", Minor: 1}},
		"websocket beside h2c is no upgrade":            {"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n\r\n", Request{Method: "GET", Target: "/", Host: "a", Minor: 1}},
		"websocket in a list is no upgrade":             {"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c, websocket\r\n\r\n", Request{Method: "GET", Target: "/", Host: "a", Minor: 1}},
		"an upgrade by POST is none":                    {"POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", Request{Method: "POST", Target: "/", Host: "a", Minor: 1}},
		"an upgrade with a body is none":                {"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n\r\n", Request{Method: "GET", Target: "/", Host: "a", Minor: 1, Length: 3}},
		"an upgrade without Connection is none":         {"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n", Request{Method: "GET", Target: "/", Host: "a", Minor: 1}},
		"an upgrade in HTTP/1.0 is none":                {"GET / HTTP/1.0\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", Request{Method: "GET", Target: "/", Host: "a", Close: true}},
		"as many fields as there may be":                {"GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: y\r\n", MaxFields) + "\r\n", Request{Method: "GET", Target: "/", Host: "a", Minor: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			r, n, err := parse(c.head + "rest")
			if err != nil || n != len(c.head) {
				t.Fatalf("%d of %d bytes, %v", n, len(c.head), err)
			}
			r.Fields = nil
			if r.Method != c.want.Method || r.Target != c.want.Target || r.Host != c.want.Host || r.Minor != c.want.Minor || r.Length != c.want.Length ||
				r.Close != c.want.Close || r.Expect100 != c.want.Expect100 || r.Upgrade != c.want.Upgrade || r.Trailers != c.want.Trailers {
				t.Errorf("%+v, want %+v", r, c.want)
			}
		})
	}
}

func TestFieldsKeepTheirOrderAndHostIsNotAmongThem(t *testing.T) {
	r, _, err := parse("GET / HTTP/1.1\r\nB: 1\r\nHost: a\r\na: 2\r\nB: \r\n\r\n")
	want := []model.Field{{Name: "B", Value: "1"}, {Name: "a", Value: "2"}, {Name: "B"}}
	if err != nil || len(r.Fields) != len(want) {
		t.Fatal(r.Fields, err)
	}
	for i := range want {
		if r.Fields[i] != want[i] {
			t.Errorf("%d: %+v", i, r.Fields[i])
		}
	}
}

func TestAHeadThatIsCutAnywhereWaitsForMore(t *testing.T) {
	head := "\r\nPOST /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nX: y\r\n\r\n"
	for i := range head {
		if _, n, err := parse(head[:i]); n != 0 || err != nil {
			t.Errorf("%q: %d, %v", head[:i], n, err)
		}
	}
}

func TestARequestIsReadWithoutAllocating(t *testing.T) {
	b := []byte("GET /orders/1 HTTP/1.1\r\nHost: api.example.com\r\nAccept: */*\r\nUser-Agent: x\r\nAuthorization: Bearer abc\r\n\r\n")
	var r Request
	if n := testing.AllocsPerRun(100, func() { _, _ = ParseRequest(b, &r) }); n > 0 {
		t.Error(n)
	}
}

func BenchmarkParseRequest(b *testing.B) {
	for _, c := range []struct {
		name  string
		token int
	}{{"short", 3}, {"with a token of 700 bytes", 700}} {
		head := []byte("GET /orders/1 HTTP/1.1\r\nHost: api.example.com\r\nAccept: */*\r\nUser-Agent: x\r\nAuthorization: Bearer " + strings.Repeat("a", c.token) + "\r\n\r\n")
		b.Run(c.name, func(b *testing.B) {
			var r Request
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseRequest(head, &r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
