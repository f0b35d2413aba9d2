package doortest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/door/targettest"
	"github.com/sallyport/sallyport/internal/model"
)

func cutAnswers(t *testing.T, d Door) {
	for name, answer := range map[string]string{
		"shorter than its length": "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
		"no last chunk":           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
		"a broken chunk":          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalfX\r\n",
		"broken trailers":         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\nbad line\r\n\r\n",
		"reset":                   "HTTP/1.1 200 OK\r\n\r\nhalf",
	} {
		for _, method := range []string{"GET", "POST"} {
			url := targettest.Raw(t, func(c net.Conn, _ *bufio.Reader, _ string) {
				_, _ = io.WriteString(c, answer)
				time.Sleep(20 * time.Millisecond) // it arrives
				_ = c.(*net.TCPConn).SetLinger(0)
				_ = c.Close()
			})
			g := d.start(t, url)
			req, _ := http.NewRequest(method, g.URL("/"), nil)
			if method == "POST" { // whose end comes long after the cut
				pr, pw := io.Pipe()
				time.AfterFunc(400*time.Millisecond, func() { _ = pw.Close() })
				req.Body = pr
			}
			res, err := g.Client().Do(req)
			if err == nil {
				_, err = io.ReadAll(res.Body)
				_ = res.Body.Close()
			}
			if err == nil || d.Cut != nil && !d.Cut(err) {
				t.Errorf("%s, %s: the client met %v", name, method, err)
			}
			if c := g.Completion(); c.Err == nil || c.Err.Code != model.UpstreamInvalid || c.Status != 200 {
				t.Errorf("%s, %s: %+v", name, method, c)
			}
		}
	}
}

func faults(t *testing.T, d Door) {
	mute := targettest.Raw(t, func(c net.Conn, _ *bufio.Reader, _ string) { _, _ = c.Read(make([]byte, 1)) })
	says := func(answer string) string {
		return targettest.Raw(t, func(c net.Conn, _ *bufio.Reader, _ string) { _, _ = io.WriteString(c, answer); _ = c.Close() })
	}
	for name, x := range map[string]struct{ url, want string }{
		"nobody there":              {targettest.Nobody(t), "502 upstream_unreachable"},
		"no answer":                 {mute, "504 upstream_timeout"},
		"no HTTP":                   {says("rubbish\r\n\r\n"), "502 upstream_invalid"},
		"nothing":                   {says(""), "502 upstream_invalid"},
		"half a head":               {says("HTTP/1.1 200 OK\r\nX: "), "502 upstream_invalid"},
		"two lengths":               {says("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), "502 upstream_invalid"},
		"a switch unasked":          {says("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"), "502 upstream_invalid"},
		"interim without end":       {says(strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 200)), "502 upstream_invalid"},
		"a head without end":        {says("HTTP/1.1 200 OK\r\n" + strings.Repeat("X: "+strings.Repeat("y", 1000)+"\r\n", 2000)), "502 upstream_invalid"},
		"a control byte in a field": {says("HTTP/1.1 200 OK\r\nX: a\x01b\r\n\r\n"), "502 upstream_invalid"},
	} {
		for _, method := range []string{"GET", "POST"} {
			g := d.start(t, x.url, Service(func(s *model.Service) { s.Timeouts.Response = model.Duration(250 * time.Millisecond) }))
			req, _ := http.NewRequest(method, g.URL("/"), nil)
			if method == "POST" {
				req.Body = io.NopCloser(strings.NewReader("x"))
			}
			res, err := g.Client().Do(req)
			status, body := Read(t, res, err)
			var doc struct{ Code string }
			_ = json.Unmarshal([]byte(body), &doc)
			if got := fmt.Sprint(status, " ", doc.Code); got != x.want {
				t.Errorf("%s, %s: %s, want %s: %s", name, method, got, x.want, body)
			}
			c := g.Completion()
			if c.Err == nil || string(c.Err.Code) != doc.Code || c.Target <= 0 || c.Status != status {
				t.Errorf("%s: %+v", name, c)
			}
			if n := g.Pools.Status()[0].InFlight; n != 0 {
				t.Errorf("%s: %d are in flight", name, n)
			}
		}
	}
}

func deadConnection(t *testing.T, d Door) {
	var served atomic.Int64
	url := targettest.Raw(t, func(c net.Conn, _ *bufio.Reader, _ string) {
		if served.Add(1)%2 == 0 { // every second request finds its connection closed
			_ = c.Close()
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	})
	g := d.start(t, url)
	client := g.Client()
	for i := range 20 {
		res, err := client.Get(g.URL("/"))
		if status, body := Read(t, res, err); status != 200 || body != "ok" {
			t.Errorf("%d: %d %s", i, status, body)
		}
	}
}

// A target that dies of a request is met by way of connections that the door keeps
// itself, and of others that upstream keeps, where earlier requests were sent again:
// it sees the request once, once more for each retry, and once more for the kept
// connection that was to blame, perhaps.
func deadly(t *testing.T, d Door) {
	put := int64(2)
	if d.Own {
		put = 3
	}
	for _, x := range []struct {
		method  string
		retries int
		want    int64
	}{{"GET", 0, 2}, {"GET", 1, 3}, {"HEAD", 2, 4}, {"PUT", 1, put}, {"POST", 2, 1}} {
		var deaths, seen atomic.Int64
		url := targettest.Raw(t, func(c net.Conn, _ *bufio.Reader, _ string) {
			seen.Add(1)
			if deaths.Add(-1) >= 0 {
				_ = c.Close()
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		})
		g := d.start(t, url, Service(func(s *model.Service) { s.Retries = x.retries }))
		client := g.Client()
		ask := func(method string, dies int64, want int) int64 {
			before := seen.Load()
			deaths.Store(dies)
			req, _ := http.NewRequest(method, g.URL("/"), nil)
			res, err := client.Do(req)
			if status, body := Read(t, res, err); status != want {
				t.Fatal(status, body)
			}
			return seen.Load() - before
		}
		ask("GET", 0, 200)
		if x.retries > 0 { // upstream keeps the connection that succeeds
			ask("GET", 2, 200)
			ask("GET", 0, 200)
		}
		if n := ask(x.method, 100, 502); n != x.want {
			t.Errorf("%s with retries %d was seen %d times, want %d", x.method, x.retries, n, x.want)
		}
	}
}
