package wire

import (
	"strings"
	"testing"
)

func TestWhatIsNotAResponseHeadIsRefused(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for name, head := range map[string]string{
		"a bare LF ends the status line":          "HTTP/1.1 200 OK\nX: y\r\n\r\n",
		"a bare LF ends a field line":             ok + "X: y\nZ: z\r\n\r\n",
		"a bare LF ends the head":                 ok + "X: y\r\n\n",
		"a bare CR in a value":                    ok + "X: a\rb\r\n\r\n",
		"a bare CR in the reason":                 "HTTP/1.1 200 O\rK\r\n\r\n",
		"NUL in a value":                          ok + "X: a\x00\r\n\r\n",
		"a folded line (obs-fold)":                ok + "X: a\r\n b\r\n\r\n",
		"white space before a colon":              ok + "Content-Length : 5\r\n\r\n",
		"two lengths":                             ok + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
		"two equal lengths":                       ok + "Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
		"a list of lengths":                       ok + "Content-Length: 5, 5\r\n\r\n",
		"a negative length":                       ok + "Content-Length: -5\r\n\r\n",
		"Transfer-Encoding beside Content-Length": ok + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
		"an unknown coding":                       ok + "Transfer-Encoding: gzip, chunked\r\n\r\n",
		"chunked twice":                           ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
		"Transfer-Encoding in HTTP/1.0":           "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
		"a chunked 204":                           "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
		"a 204 with a length":                     "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
		"a 100 with a length":                     "HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n",
		"a chunked 103":                           "HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n",
		"101 without Connection":                  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
		"101 without Upgrade":                     "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\r\n",
		"101 with two Upgrades":                   "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n\r\n",
		"HTTP/2":                                  "HTTP/2 200 OK\r\n\r\n",
		"HTTP/1.2":                                "HTTP/1.2 200 OK\r\n\r\n",
		"a status of two digits":                  "HTTP/1.1 20 OK\r\n\r\n",
		"a status of four digits":                 "HTTP/1.1 2000 OK\r\n\r\n",
		"a status below 100":                      "HTTP/1.1 099 OK\r\n\r\n",
		"a status above 599":                      "HTTP/1.1 600 OK\r\n\r\n",
		"a status of letters":                     "HTTP/1.1 2OO OK\r\n\r\n",
		"no status":                               "HTTP/1.1\r\n\r\n",
		"a request":                               "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"an empty line first":                     "\r\nHTTP/1.1 200 OK\r\n\r\n",
		"a body where the head should be":         "hello\r\n",
		"100,000 fields":                          ok + strings.Repeat("X: y\r\n", 100_000) + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			var r Response
			if n, err := ParseResponse([]byte(head), "GET", &r); err == nil {
				t.Errorf("taken: %d bytes, %+v", n, r)
			}
		})
	}
}

func TestHowLongTheBodyOfAResponseIs(t *testing.T) {
	for name, c := range map[string]struct {
		method, head string
		length       int64
		close        bool
	}{
		"a length":                              {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 5, false},
		"chunked":                               {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", LengthChunked, false},
		"until the close":                       {"GET", "HTTP/1.1 200 OK\r\n\r\n", LengthClose, true},
		"no reason, and no space before it":     {"GET", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 0, false},
		"an empty reason":                       {"GET", "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", 0, false},
		"Connection: close":                     {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: Close\r\n\r\n", 0, true},
		"HTTP/1.0 closes":                       {"GET", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", 1, true},
		"HTTP/1.0 kept alive":                   {"GET", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n", 1, false},
		"the answer to HEAD has no body":        {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 0, false},
		"the answer to HEAD may say chunked":    {"HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 0, false},
		"the answer to HEAD may say nothing":    {"HEAD", "HTTP/1.1 200 OK\r\n\r\n", 0, false},
		"304 has no body":                       {"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 0, false},
		"304 may say chunked":                   {"GET", "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", 0, false},
		"204 has no body":                       {"GET", "HTTP/1.1 204 No Content\r\n\r\n", 0, false},
		"204 may say that its length is 0":      {"GET", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", 0, false},
		"an interim answer has no body":         {"GET", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 0, false},
		"101 has no body":                       {"GET", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", 0, false},
		"an offer to upgrade is no upgrade":     {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: upgrade\r\nUpgrade: h2\r\nUpgrade: h2c\r\n\r\n", 0, false},
		"a reason with UTF-8":                   {"GET", "HTTP/1.1 200 \xc3\xa9\r\nContent-Length: 0\r\n\r\n", 0, false},
		"as many fields as there may be, of us": {"GET", "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 4*MaxFields-1) + "Content-Length: 2\r\n\r\n", 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			var r Response
			n, err := ParseResponse([]byte(c.head+"rest"), c.method, &r)
			if err != nil || n != len(c.head) || r.Length != c.length || r.Close != c.close {
				t.Errorf("%d of %d bytes, length %d, close %v, %v", n, len(c.head), r.Length, r.Close, err)
			}
			for i := range c.head {
				if n, err := ParseResponse([]byte(c.head[:i]), c.method, &r); n != 0 || err != nil {
					t.Fatalf("%q: %d, %v", c.head[:i], n, err)
				}
			}
		})
	}
}
