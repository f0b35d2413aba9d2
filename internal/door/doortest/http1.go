package doortest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/door/targettest"
	"github.com/sallyport/sallyport/internal/model"
)

func malformed(t *testing.T, d Door) {
	b := targettest.New(t, targettest.Nothing)
	g := d.start(t, b.URL)
	asterisk := 400
	if d.Own {
		asterisk = 404
	}
	for name, c := range map[string]struct {
		raw  string
		want int
	}{
		"a fragment (GHSA-pxq7-h93f-9jrg)":     {"GET /admin#/public HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		"a raw non-ASCII byte":                 {"GET /\xe9 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		"the asterisk form":                    {"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", asterisk},
		"CONNECT":                              {"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n", 400},
		"CONNECT to a path":                    {"CONNECT /a HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		"a foreign scheme":                     {"GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		"a user in the target":                 {"GET http://u@x/ HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		"a port that is none":                  {"GET / HTTP/1.1\r\nHost: x:99999\r\n\r\n", 400},
		"an empty Host":                        {"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400},
		"HTTP/1.0 without Host":                {"GET / HTTP/1.0\r\n\r\n", 400},
		"TRACE":                                {"TRACE / HTTP/1.1\r\nHost: x\r\n\r\n", 405},
		"dot segments hidden (CVE-2026-33494)": {"GET /a/%2e%2e%2fadmin HTTP/1.1\r\nHost: x\r\n\r\n", 400},
	} {
		before := len(g.Decisions())
		res, body, err := g.talk(c.raw)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var doc struct{ Code, RequestID string }
		_ = json.Unmarshal([]byte(body), &doc)
		if res.StatusCode != c.want || doc.Code == "" || doc.RequestID == "" || res.Header.Get("Proxy-Status") == "" {
			t.Errorf("%s: %d %s", name, res.StatusCode, body)
		}
		if len(g.Decisions()) != before+1 {
			t.Errorf("%s: not recorded", name)
		}
		g.Completion()
	}
	if n := b.Count(); n != 0 {
		t.Errorf("the backend saw %d requests", n)
	}
}

func odd(t *testing.T, d Door) {
	b := targettest.New(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host, r.RequestURI) })
	g := d.start(t, b.URL, Route(func(r *model.Route) { r.Path = model.PathVerbatim }))
	for raw, want := range map[string]string{
		"GET http://x:81/a?b HTTP/1.1\r\nHost: x:81\r\n\r\n": "x:81/a?b",
		"GET http://x HTTP/1.1\r\nHost: x\r\n\r\n":           "x/",
		"GET http://x?q HTTP/1.1\r\nHost: x\r\n\r\n":         "x/?q",
		"GET /a%2Fb HTTP/1.1\r\nHost: [::1]:80\r\n\r\n":      "[::1]:80/a%2Fb",
		"GET /z HTTP/1.0\r\nHost: x\r\n\r\n":                 "x/z",
		"GET /z HTTP/1.1\r\nHost: x_y.example.\r\n\r\n":      "x_y.example./z",
		"OPTIONS /z HTTP/1.1\r\nHost: x\r\n\r\n":             "x/z",
		"PROPFIND /z HTTP/1.1\r\nHost: x\r\n\r\n":            "x/z",
		"GET /z HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n": "x/z",
	} {
		res, body, err := g.talk(raw)
		if err != nil || res.StatusCode != 200 || body != want {
			t.Errorf("%q: %v %q", raw, err, body)
		}
		for _, n := range []string{"Upgrade", "Http2-Settings", "Connection"} {
			if v := b.Last().Header.Get(n); v != "" {
				t.Errorf("%q: the backend saw %s: %s", raw, n, v)
			}
		}
	}
}

func hop(t *testing.T, d Door) {
	b := targettest.New(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header.Get("Max-Forwards"), " ", r.Header.Get("Via"))
	})
	g := d.start(t, b.URL)
	for raw, want := range map[string]string{
		"GET /a HTTP/1.1\r\nHost: x\r\n\r\n":                           " 1.1 ",
		"GET /a HTTP/1.0\r\nHost: x\r\n\r\n":                           " 1.0 ",
		"OPTIONS /a HTTP/1.1\r\nHost: x\r\nMax-Forwards: 10\r\n\r\n":   "9 1.1 ",
		"GET /a HTTP/1.1\r\nHost: x\r\nMax-Forwards: 0\r\n\r\n":        "0 1.1 ",
		"OPTIONS /a HTTP/1.1\r\nHost: x\r\nMax-Forwards: some\r\n\r\n": "some 1.1 ",
	} {
		res, body, err := g.talk(raw)
		if err != nil || res.StatusCode != 200 || !strings.HasPrefix(body, want) {
			t.Errorf("%q: %v %q", raw, err, body)
		}
		g.Completion()
	}
	before := b.Count()
	res, _, err := g.talk("OPTIONS /a HTTP/1.1\r\nHost: x\r\nMax-Forwards: 0\r\n\r\n")
	if err != nil || res.StatusCode != 204 || res.Header.Get("X-Request-Id") == "" || b.Count() != before {
		t.Errorf("Max-Forwards: 0 went on: %v %v, the backend saw %d", res, err, b.Count()-before)
	}
	g.Completion()
}

func continues(t *testing.T, d Door) {
	b := targettest.New(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	g := d.start(t, b.URL, Route(func(r *model.Route) { r.Paths = []string{"/open"} }))
	for path, want := range map[string]string{"/open": "HTTP/1.1 100 Continue\r\n", "/closed": "HTTP/1.1 404 Not Found\r\n"} {
		c := g.Dial("http/1.1")
		fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n", path)
		r := bufio.NewReader(c)
		line, err := r.ReadString('\n')
		if line != want || err != nil {
			t.Errorf("%s: %q, %v", path, line, err)
		}
		if path == "/open" {
			_, _ = r.ReadString('\n')
			_, _ = io.WriteString(c, "body")
			res, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, body := Read(t, res, err); body != "body" {
				t.Error(body)
			}
		}
	}
}

// An HTTP/1.0 client learns the end of a body by the end of the connection alone.
func cutForHTTP10(t *testing.T, d Door) {
	url := targettest.Raw(t, func(c net.Conn, _ *bufio.Reader, _ string) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
		time.Sleep(20 * time.Millisecond)
		_ = c.Close()
	})
	g := d.start(t, url)
	c := g.Dial("http/1.1")
	_, _ = io.WriteString(c, "GET / HTTP/1.0\r\nHost: x\r\n\r\n")
	if b, err := io.ReadAll(c); err == nil {
		t.Errorf("a clean end after %q", b)
	}
}

func earlyAnswer(t *testing.T, d Door) {
	b := targettest.New(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(403)
		fmt.Fprint(w, "no")
	})
	g := d.start(t, b.URL, Unlimited)
	c := g.Dial("http/1.1")
	_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\nfirst bytes")
	start := time.Now()
	res, err := http.ReadResponse(bufio.NewReader(c), nil) // and the client sends nothing more
	if err != nil {
		t.Fatal(err)
	}
	if status, body := Read(t, res, err); status != 403 || body != "no" || time.Since(start) > 2*time.Second {
		t.Errorf("%d %q after %v", status, body, time.Since(start))
	}
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection was not closed: %v", err)
	}
	g.Completion()
}

func stalls(t *testing.T, d Door) {
	ended := make(chan error, 1)
	b := targettest.New(t, func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		ended <- err
	})
	g := d.start(t, b.URL, Brief)
	c := g.Dial("http/1.1")
	_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nsome")
	begun := time.Now()
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err == nil && res.StatusCode != 400 || time.Since(begun) > 3*time.Second {
		t.Errorf("%v, %v after %v", res, err, time.Since(begun))
	}
	if b.Count() > 0 { // a door may wait for the whole of a small body first
		if err := <-ended; err == nil {
			t.Error("the backend took it for whole")
		}
	}
	g.Completion()
}
