package upstream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sallyport/sallyport/internal/door/targettest"
	"github.com/sallyport/sallyport/internal/model"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// service is a service of the given targets with its defaults.
func service(urls ...string) *model.Service {
	s := &model.Service{Name: "orders"}
	s.Defaults()
	for _, u := range urls {
		s.Targets = append(s.Targets, model.Target{URL: u, Weight: 1})
	}
	return s
}

func pools(t *testing.T, s *model.Service, opt Options) *Pools {
	t.Helper()
	p := New([]model.Service{*s}, opt)
	t.Cleanup(p.Close)
	return p
}

// ask sends one request and reads the answer whole.
func send(t *testing.T, p *Pools, s *model.Service, r *Request) (int, string, error) {
	t.Helper()
	res, err := p.Forward(context.Background(), s, r)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	return res.Status, string(b), err
}

func get(target string) *Request {
	return &Request{Method: "GET", Target: target, Host: "api.example.com"}
}

func post(body string) *Request {
	return &Request{Method: "POST", Target: "/orders", Host: "api.example.com", Body: strings.NewReader(body), Length: int64(len(body))}
}

func code(err error) model.Code {
	var e *model.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// raw is a backend that is not HTTP: what it does is in the test. It counts the
// request heads that it saw.
type raw struct {
	at    string
	heads atomic.Int64
}

func newRaw(t *testing.T, serve func(c net.Conn, r *bufio.Reader, head string)) *raw {
	t.Helper()
	b := &raw{}
	b.at = targettest.Raw(t, func(c net.Conn, r *bufio.Reader, head string) {
		b.heads.Add(1)
		serve(c, r, head)
	})
	return b
}

func (b *raw) url() string { return b.at }

func closed(c net.Conn) { _ = c.Close() }

func TestWhatIsSentIsWhatWasDecided(t *testing.T) {
	heads := make(chan string, 10)
	b := newRaw(t, func(c net.Conn, _ *bufio.Reader, head string) {
		heads <- head
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	})
	s := service(b.url())
	p := pools(t, s, Options{})
	for _, target := range []string{"/", "/a%2Fb?x=%20&y", "/a;b=1/c", "//double//slash", "/q?", "/%e2%82%ac", "/a|b", "/?a=b?c"} {
		r := get(target)
		r.Fields = []model.Field{{Name: "X-Kept", Value: "1"}, {Name: "X-Gone", Value: "1", Dropped: true}, {Name: "x_odd", Value: "2"},
			{Name: "Connection", Value: "X-Kept"}, {Name: "Content-Length", Value: "99"}, {Name: "Transfer-Encoding", Value: "chunked"},
			{Name: "Host", Value: "evil"}, {Name: "Upgrade", Value: "h2c"}, {Name: "TE", Value: "gzip"}}
		r.Add = []model.Field{{Name: "X-User", Value: "alice"}, {Name: "Via", Value: "1.1 here"}}
		if _, _, err := send(t, p, s, r); err != nil {
			t.Fatalf("%s: %v", target, err)
		}
		head := <-heads
		if want := "GET " + target + " HTTP/1.1\r\n"; !strings.HasPrefix(head, want) {
			t.Errorf("%s: sent %q", target, head)
		}
		for _, want := range []string{"Host: api.example.com\r\n", "X-Kept: 1\r\n", "X_odd: 2\r\n", "X-User: alice\r\n", "Via: 1.1 here\r\n"} {
			if !strings.Contains(head, want) {
				t.Errorf("%s: %q is missing in %q", target, want, head)
			}
		}
		for _, not := range []string{"X-Gone", "evil", "Connection", "Content-Length", "Transfer-Encoding", "h2c", "TE:", "Te:", "User-Agent", "Accept-Encoding"} {
			if strings.Contains(head, not) {
				t.Errorf("%s: %q is in %q", target, not, head)
			}
		}
	}
}

func TestTargetsThatCannotBeReachedAreSaidSo(t *testing.T) {
	hang, err := net.Listen("tcp", "127.0.0.1:0") // accepts by its backlog, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = hang.Close() }()
	silent := service("http://" + hang.Addr().String())
	silent.Timeouts.Response = model.Duration(200 * time.Millisecond)
	zero := service(targettest.Nobody(t))
	zero.Targets[0].Weight = 0
	unknown := service("http://nobody.invalid")
	opt := Options{Lookup: func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("no such host") }}
	for name, c := range map[string]struct {
		s    *model.Service
		want model.Code
	}{
		"a refused connection":  {service(targettest.Nobody(t)), model.UpstreamUnreachable},
		"a target that is mute": {silent, model.UpstreamTimeout},
		"a name without record": {unknown, model.UpstreamUnreachable},
		"no target with weight": {zero, model.UpstreamUnreachable},
	} {
		p := pools(t, c.s, opt)
		start := time.Now()
		_, _, err := send(t, p, c.s, post("x"))
		if code(err) != c.want || time.Since(start) > 2*time.Second {
			t.Errorf("%s: %v after %v", name, err, time.Since(start))
		}
	}
}

func TestAnswersThatAreGarbageAreRefused(t *testing.T) {
	big := strings.Repeat("a", 2<<20)
	many := strings.Repeat("X-Field: 0123456789\r\n", 100_000)
	flood := strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 1000)
	for name, answer := range map[string]string{
		"no HTTP":                      "hello\r\n\r\n",
		"nothing":                      "",
		"half a head":                  "HTTP/1.1 200 OK\r\nX: 1\r\n",
		"a field without colon":        "HTTP/1.1 200 OK\r\nrubbish\r\n\r\n",
		"two lengths":                  "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
		"a negative length":            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"an unknown coding":            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
		"a status that is none":        "HTTP/1.1 099 No\r\nContent-Length: 0\r\n\r\n",
		"a status without digits":      "HTTP/1.1 abc\r\n\r\n",
		"a switch that nobody asked":   "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
		"a head of two megabytes":      "HTTP/1.1 200 OK\r\nX: " + big + "\r\n\r\n",
		"a hundred thousand fields":    "HTTP/1.1 200 OK\r\n" + many + "\r\n",
		"a flood of interim answers":   flood + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"a field with a control in it": "HTTP/1.1 200 OK\r\nX: a\x01b\r\nContent-Length: 0\r\n\r\n",
		"a second version of the line": "HTTP/9.9 200 OK\r\nContent-Length: 0\r\n\r\n",
		"HTTP/2 in a status line":      "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
	} {
		b := newRaw(t, func(c net.Conn, _ *bufio.Reader, _ string) {
			_, _ = io.WriteString(c, answer)
			closed(c)
		})
		s := service(b.url())
		s.Retries = 0
		p := pools(t, s, Options{})
		informed := 0
		r := post("x")
		r.Inform = func(int, http.Header) { informed++ }
		status, _, err := send(t, p, s, r)
		if code(err) != model.UpstreamInvalid {
			t.Errorf("%s: %d, %v", name, status, err)
		}
		if b.heads.Load() != 1 {
			t.Errorf("%s: the target saw %d requests", name, b.heads.Load())
		}
		if informed > interim {
			t.Errorf("%s: %d interim answers were passed on", name, informed)
		}
	}
}

func TestACutBodyNeverEndsCleanly(t *testing.T) {
	for name, answer := range map[string]string{
		"shorter than its length":   "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
		"a chunk that breaks off":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhalf",
		"no last chunk":             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
		"a chunk size that is none": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n",
	} {
		b := newRaw(t, func(c net.Conn, _ *bufio.Reader, _ string) {
			_, _ = io.WriteString(c, answer)
			closed(c)
		})
		s := service(b.url())
		p := pools(t, s, Options{})
		_, body, err := send(t, p, s, get("/"))
		if err == nil || body != "half" {
			t.Errorf("%s: %q ended with %v", name, body, err)
		}
	}
}

func TestABodyThatDripsArrivesAsItComes(t *testing.T) {
	b := newRaw(t, func(c net.Conn, _ *bufio.Reader, _ string) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
		for range 5 {
			time.Sleep(60 * time.Millisecond)
			_, _ = io.WriteString(c, "x")
		}
	})
	s := service(b.url())
	s.Timeouts.Response = model.Duration(100 * time.Millisecond) // the head alone is bounded
	p := pools(t, s, Options{})
	if _, body, err := send(t, p, s, get("/")); err != nil || body != "xxxxx" {
		t.Errorf("%q, %v", body, err)
	}
}

func TestNoRequestThatMayHaveBeenProcessedIsSentTwice(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		reset  bool
	}{"closes": {"", false}, "resets": {"", true}, "breaks off in the head": {"HTTP/1.1 200", false}} {
		b := newRaw(t, func(c2 net.Conn, r *bufio.Reader, head string) {
			if strings.Contains(head, "Content-Length: 1") {
				_, _ = io.CopyN(io.Discard, r, 1)
			}
			_, _ = io.WriteString(c2, c.answer)
			if c.reset {
				_ = c2.(*net.TCPConn).SetLinger(0)
			}
			closed(c2)
		})
		s := service(b.url())
		s.Retries = 2
		p := pools(t, s, Options{})
		for _, keyed := range []bool{false, true} {
			for _, body := range []string{"x", ""} {
				r := post(body)
				if body == "" {
					r.Body = nil
				}
				if keyed { // the library takes this header for leave to repeat
					r.Fields = []model.Field{{Name: "Idempotency-Key", Value: "1"}}
				}
				before := b.heads.Load()
				_, _, err := send(t, p, s, r)
				if err == nil || b.heads.Load()-before != 1 {
					t.Errorf("%s, key %v, body %q: %d requests seen, %v", name, keyed, body, b.heads.Load()-before, err)
				}
			}
		}
		before := b.heads.Load()
		_, _, err := send(t, p, s, get("/"))
		want := int64(3)
		if c.answer != "" { // a byte of the answer came: nothing is sent again
			want = 1
		}
		if seen := int64(b.heads.Load() - before); err == nil || seen != want {
			t.Errorf("%s: GET was seen %d times, retries 2, want %d: %v", name, seen, want, err)
		}
	}
}

func TestAPostOnAConnectionThatTheTargetHasClosedSucceeds(t *testing.T) {
	// Each connection serves one request and is then closed, unannounced.
	b := newRaw(t, func(c net.Conn, r *bufio.Reader, head string) {
		_, _ = io.CopyN(io.Discard, r, 5)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		closed(c)
	})
	s := service(b.url())
	p := pools(t, s, Options{})
	for i := range 20 {
		if _, body, err := send(t, p, s, post("hello")); err != nil || body != "ok" {
			t.Fatalf("%d: %q, %v", i, body, err)
		}
		time.Sleep(5 * time.Millisecond) // the close arrives
	}
	if b.heads.Load() != 20 {
		t.Errorf("%d were seen", b.heads.Load())
	}
}

func TestADeadTargetFailsNoRequestWhileAnotherLives(t *testing.T) {
	var n atomic.Int64
	live := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.Add(1)
		_, _ = io.Copy(w, r.Body)
	}))
	defer live.Close()
	s := service(targettest.Nobody(t), live.URL)
	s.Retries = 0 // a connection that was refused has cost nobody anything
	p := pools(t, s, Options{})
	for i := range 50 {
		body := fmt.Sprint("order ", i)
		if _, got, err := send(t, p, s, post(body)); err != nil || got != body {
			t.Fatalf("%d: %q, %v", i, got, err)
		}
	}
	if n.Load() != 50 {
		t.Errorf("%d arrived", n.Load())
	}
	for _, c := range p.Status() {
		if want := c.Target == live.URL; c.Healthy != want {
			t.Errorf("%+v", c)
		}
	}
}

func TestATargetThatComesBackIsUsedAgain(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	_ = ln.Close()
	s := service("http://" + addr)
	p := pools(t, s, Options{})
	if _, _, err := send(t, p, s, get("/")); code(err) != model.UpstreamUnreachable {
		t.Fatal(err)
	}
	if p.Status()[0].Healthy {
		t.Error("it is said to be healthy")
	}
	ln, err = net.Listen("tcp", addr)
	if err != nil {
		t.Skip("the port was taken meanwhile")
	}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	_ = srv.Listener.Close()
	srv.Listener = ln
	srv.Start()
	defer srv.Close()
	for end := time.Now().Add(5 * time.Second); !p.Status()[0].Healthy; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nobody noticed")
		}
	}
	if p.Status()[0].Requests != 1 {
		t.Error("a request was spent on finding out")
	}
}
