//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestServerSentEventsArriveWhenTheyAreSent(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		nexts := map[string]chan string{"HTTP/1.1": make(chan string), "HTTP/2": make(chan string), "last": make(chan string)}
		gones := map[string]chan struct{}{"HTTP/1.1": make(chan struct{}, 1), "HTTP/2": make(chan struct{}, 1), "last": make(chan struct{}, 1)}
		b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.WriteHeader(200)
			_ = http.NewResponseController(w).Flush()
			next, gone := nexts[r.URL.Query().Get("to")], gones[r.URL.Query().Get("to")]
			for {
				select {
				case m := <-next:
					fmt.Fprintf(w, "data: %s\n\n", m)
					_ = http.NewResponseController(w).Flush()
				case <-r.Context().Done():
					gone <- struct{}{}
					return
				}
			}
		})
		g := start(t, options{engine: engine, resources: withBackend(everyone, b.URL)})
		for name, c := range g.clients() {
			ctx, cancel := context.WithCancel(context.Background())
			req, _ := http.NewRequestWithContext(ctx, "GET", g.url("/api/events?to="+name), nil)
			user("bob")(req)
			next, gone := nexts[name], gones[name]
			res, err := c.Do(req)
			if err != nil {
				t.Fatalf("%s: the head does not arrive before the first event: %v", name, err)
			}
			if ct := res.Header.Get("Content-Type"); ct != "text/event-stream" {
				t.Errorf("%s: Content-Type %q", name, ct)
			}
			r := bufio.NewReader(res.Body)
			for i := range 5 {
				m := fmt.Sprintf("event %d", i)
				sent := time.Now()
				next <- m
				line, err := r.ReadString('\n')
				if err != nil || line != "data: "+m+"\n" {
					t.Fatalf("%s: %q %v", name, line, err)
				}
				_, _ = r.ReadString('\n')
				if late := time.Since(sent); late > 500*time.Millisecond {
					t.Errorf("%s: event %d came after %v", name, i, late)
				}
			}
			cancel() // the client goes: the backend must hear of it
			_ = res.Body.Close()
			select {
			case <-gone:
			case <-time.After(3 * time.Second):
				t.Errorf("%s: the backend is not told that the client went", name)
			}
		}
		// A user's deactivation ends the stream.
		req, _ := http.NewRequest("GET", g.url("/api/events?to=last"), nil)
		user("bob")(req)
		res, err := g.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		g.must(t, 200, "PATCH", "/v2/users/bob", `{"active":false}`)
		begin := time.Now()
		if _, err := io.ReadAll(res.Body); err == nil {
			t.Error("the cut stream ended cleanly, as if it were whole")
		}
		if took := time.Since(begin); took > time.Second {
			t.Errorf("the stream was cut %v after the acknowledgement", took)
		}
	})
}

func TestTrailersPassBothWays(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		var b *backend
		b = newBackend(t, func(w http.ResponseWriter, r *http.Request) {
			s := b.note(r)
			w.Header().Set("Trailer", "X-Checksum")
			fmt.Fprintf(w, "%d bytes", len(s.Body))
			_ = http.NewResponseController(w).Flush() // no length: an answer with one has no room for trailers in HTTP/1.1
			w.Header().Set("X-Checksum", fmt.Sprintf("%x", sha256.Sum256([]byte(s.Body))))
			w.Header().Set(http.TrailerPrefix+"X-Unannounced", "yes")
		})
		g := start(t, options{engine: engine, resources: withBackend(everyone, b.URL)})
		g.must(t, 201, "PUT", "/v2/services/h2", `{"name":"h2","protocol":"http2","targets":[{"url":"`+b.URL+`"}]}`)
		g.must(t, 201, "PUT", "/v2/routes/h2", `{"name":"h2","paths":["/h2"],"service":"h2"}`)
		body := strings.Repeat("0123456789", 10_000)
		for name, c := range g.clients() {
			for _, path := range []string{"/api", "/h2"} {
				what := name + " to " + path
				req, _ := http.NewRequest("POST", g.url(path), io.NopCloser(strings.NewReader(body)))
				user("alice")(req)
				req.Header.Set("TE", "trailers")
				req.Trailer = http.Header{"X-Digest": nil, "X-User": nil, "X_user": nil, "X-User-Roles": nil}
				req.Body = &atEnd{req.Body, func() {
					req.Trailer["X-Digest"] = []string{"abc"}
					req.Trailer["X-User"] = []string{"mallory"}
					req.Trailer["X_user"] = []string{"mallory"}
					req.Trailer["X-User-Roles"] = []string{"mallory-admin"}
				}}
				req.ContentLength = -1
				res, err := c.Do(req)
				if err != nil {
					t.Errorf("%s: %v", what, err)
					continue
				}
				text := readAll(t, res.Body)
				if res.StatusCode != 200 || text != fmt.Sprintf("%d bytes", len(body)) {
					t.Errorf("%s: %d %s", what, res.StatusCode, text)
					continue
				}
				if got := res.Trailer.Get("X-Checksum"); got != fmt.Sprintf("%x", sha256.Sum256([]byte(body))) {
					t.Errorf("%s: the answer's trailers are %v", what, res.Trailer)
				}
				if res.Trailer.Get("X-Unannounced") != "yes" {
					t.Errorf("%s: a trailer that was not announced is lost: %v", what, res.Trailer)
				}
				s := b.last(t)
				if s.Trailer.Get("X-Digest") != "abc" {
					t.Errorf("%s: the request's trailers are %v", what, s.Trailer)
				}
				for k, v := range s.Trailer {
					if strings.Contains(strings.Join(v, ""), "mallory") {
						t.Errorf("%s: trailer %s: %s reached the backend", what, k, v)
					}
				}
			}
		}
		// What no library sends: credentials, framing and routing in trailers, announced or not.
		for _, name := range []string{"Authorization", "Cookie", "X-API-Key", "Host", "Content-Length", "Transfer-Encoding", "Connection",
			"X_USER", "HTTP_X_USER", "x.user", "X-Forwarded-For", "Forwarded", "X-Request-Id", "Via", "Te", "Upgrade", "Expect", "X-User-Id"} {
			for _, announced := range []string{"", "Trailer: " + name + "\r\n"} {
				w := g.wire(t)
				w.send("POST /api HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n" + announced + "Authorization: " + basicHeader("alice").Get("Authorization") +
					"\r\n\r\n5\r\nhello\r\n0\r\n" + name + ": mallory-trailer\r\nX-Digest: abc\r\n\r\n")
				a, err := w.tryAnswer("POST")
				if err == nil && a.status != 200 && a.status != 400 {
					t.Errorf("trailer %s: %d %s", name, a.status, a.body)
				}
				_ = w.Close()
			}
		}
		for _, line := range bytes.Split(b.bytes(), []byte("\r\n")) {
			if bytes.Contains(line, []byte("mallory")) {
				t.Errorf("the backend received %q", line)
			}
		}
		if b.received("mallory") {
			t.Error("a forged trailer reached the backend in some form")
		}
	})
}

// atEnd calls a function when a body has been read to its end.
type atEnd struct {
	io.ReadCloser
	end func()
}

func (a *atEnd) Read(p []byte) (int, error) {
	n, err := a.ReadCloser.Read(p)
	if err == io.EOF && a.end != nil {
		a.end()
		a.end = nil
	}
	return n, err
}

func TestEarlyHintsPassBeforeTheAnswer(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		hold := make(chan struct{})
		b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", "</style.css>; rel=preload; as=style")
			w.Header().Set("X-User", "not for clients")
			w.WriteHeader(103)
			<-hold
			w.Header().Set("Link", "</other.css>; rel=preload")
			w.WriteHeader(200)
			_, _ = io.WriteString(w, "page")
		})
		g := start(t, options{engine: engine, resources: withBackend(everyone, b.URL)})
		for name, c := range g.clients() {
			hinted := make(chan textproto.MIMEHeader, 5)
			trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				if code == 103 {
					hinted <- h
				}
				return nil
			}}
			req, _ := http.NewRequestWithContext(httptrace.WithClientTrace(context.Background(), trace), "GET", g.url("/api"), nil)
			user("bob")(req)
			done := make(chan struct{})
			go func() {
				defer close(done)
				res, err := c.Do(req)
				if err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				defer func() { _ = res.Body.Close() }()
				b, _ := io.ReadAll(res.Body)
				if res.StatusCode != 200 || string(b) != "page" || res.Header.Get("Link") != "</other.css>; rel=preload" {
					t.Errorf("%s: %d %q %v", name, res.StatusCode, b, res.Header)
				}
			}()
			select {
			case h := <-hinted:
				if h.Get("Link") != "</style.css>; rel=preload; as=style" {
					t.Errorf("%s: hints %v", name, h)
				}
			case <-time.After(3 * time.Second):
				t.Errorf("%s: no 103 while the backend thinks", name)
			}
			hold <- struct{}{}
			<-done
		}
	})
}

func TestABodyIsAskedForOnlyWhenTheRequestIsAllowed(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		b := newBackend(t, nil)
		g := start(t, options{engine: engine, resources: withBackend(everyone, b.URL)})
		auth := func(name string) string {
			return "Authorization: " + basicHeader(name).Get("Authorization") + "\r\n"
		}
		w := g.wire(t)
		w.send("POST /api HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n" + auth("alice") + "\r\n")
		first, err := w.r.ReadString('\n')
		if err != nil || !strings.HasPrefix(first, "HTTP/1.1 100") {
			t.Fatalf("allowed: %q %v", first, err)
		}
		if rest, err := w.r.ReadString('\n'); err != nil || rest != "\r\n" {
			t.Fatalf("behind 100: %q %v", rest, err)
		}
		w.send("hello")
		if s := w.answer(t, "POST").asked(t); s.Body != "hello" {
			t.Errorf("the backend saw %q", s.Body)
		}
		for _, c := range []struct {
			name, head string
			status     int
		}{
			{"nobody", "", 401},
			{"one who may not", auth("bob"), 403},
			{"a body over the limit", auth("alice") + "X: y\r\n", 413},
		} {
			before := len(b.saw())
			w := g.wire(t)
			length := "Content-Length: 5\r\n"
			if c.status == 413 {
				length = "Content-Length: 10485761\r\n"
			}
			w.send("POST /api HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n" + length + c.head + "\r\n")
			line, err := w.r.ReadString('\n')
			if err != nil || !strings.HasPrefix(line, fmt.Sprintf("HTTP/1.1 %d", c.status)) {
				t.Errorf("%s: %q %v", c.name, line, err)
			}
			if len(b.saw()) != before {
				t.Errorf("%s: the backend saw the request", c.name)
			}
		}
		// curl sends Expect by itself for a large body, and must not wait a second for the answer.
		file := write(t, filepath.Join(t.TempDir(), "large"), strings.Repeat("x", 3<<20))
		for _, version := range []string{"--http1.1", "--http2"} {
			begin := time.Now()
			a, exit := g.curl(t, g.url("/api"), version, "-u", "alice:alices-password", "-H", "Expect: 100-continue", "--expect100-timeout", "10", "--data-binary", "@"+file)
			if exit != 0 || a.status != 200 || len(a.asked(t).Body) != 3<<20 {
				t.Errorf("curl %s: exit %d, %d", version, exit, a.status)
			}
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("curl %s waited %v", version, took)
			}
			a, exit = g.curl(t, g.url("/api"), version, "-u", "bob:bobs-password", "-H", "Expect: 100-continue", "--expect100-timeout", "10", "--data-binary", "@"+file)
			if exit != 0 || a.status != 403 {
				t.Errorf("curl %s, refused: exit %d, %d", version, exit, a.status)
			}
		}
	})
}

func TestAChunkedUploadStreamsToTheBackend(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		got := make(chan string)
		b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
			p := make([]byte, 64)
			for {
				n, err := r.Body.Read(p)
				if n > 0 {
					got <- string(p[:n])
				}
				if err != nil {
					fmt.Fprintf(w, "%v %v", r.TransferEncoding, err)
					return
				}
			}
		})
		g := start(t, options{engine: engine, resources: withBackend(everyone, b.URL)})
		for name, c := range g.clients() {
			pr, pw := io.Pipe()
			req, _ := http.NewRequest("POST", g.url("/api"), pr)
			user("alice")(req)
			done := make(chan string, 1)
			go func() {
				res, err := c.Do(req)
				if err != nil {
					done <- err.Error()
					return
				}
				defer func() { _ = res.Body.Close() }()
				b, _ := io.ReadAll(res.Body)
				done <- string(b)
			}()
			for i := range 3 { // each part arrives before the next is sent
				part := fmt.Sprintf("part %d", i)
				if _, err := io.WriteString(pw, part); err != nil {
					t.Fatal(err)
				}
				select {
				case m := <-got:
					if m != part {
						t.Errorf("%s: %q", name, m)
					}
				case m := <-done:
					t.Fatalf("%s: answered %q before the body was sent", name, m)
				case <-time.After(3 * time.Second):
					t.Fatalf("%s: %s does not arrive while the body is open", name, part)
				}
			}
			_ = pw.Close()
			if m := <-done; m != "[chunked] EOF" {
				t.Errorf("%s: %q", name, m)
			}
		}
		// A client that goes in the middle of its body: the backend never sees a clean end.
		w := g.wire(t)
		w.send("POST /api HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nAuthorization: " + basicHeader("alice").Get("Authorization") + "\r\n\r\n5\r\nhello\r\n")
		if m := <-got; m != "hello" {
			t.Errorf("%q", m)
		}
		_ = w.Close()
		select {
		case m := <-got:
			t.Errorf("%q", m)
		case <-time.After(300 * time.Millisecond):
		}
		if strings.Contains(string(b.bytes()), "hello\r\n0\r\n\r\n") {
			t.Error("the cut upload was ended cleanly towards the backend")
		}
	})
}

func TestACutAnswerIsNeverEndedCleanly(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		var how atomic.Value
		url := rawBackend(t, func(c net.Conn, r *bufio.Reader) {
			if _, err := head(r); err != nil {
				return
			}
			_, _ = io.WriteString(c, how.Load().(string))
			if tcp, ok := c.(*net.TCPConn); ok && strings.HasSuffix(how.Load().(string), "RESET") {
				_ = tcp.SetLinger(0)
			}
		})
		g := start(t, options{engine: engine, resources: withBackend(everyone, url)})
		for _, answer := range []string{
			"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\nonly this",
			"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\nonly this RESET",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
		} {
			how.Store(answer)
			for name, c := range g.clients() {
				a, err := exchange(c, "GET", g.url("/api"), "", user("bob"))
				if err == nil && a.status == 200 {
					t.Errorf("%s: %q came as a whole answer: %q", name, answer, a.body)
				}
			}
		}
		// One that ends with the connection, as its backend means it, does end.
		how.Store("HTTP/1.0 200 OK\r\n\r\nuntil I hang up")
		for name, c := range g.clients() {
			a, err := exchange(c, "GET", g.url("/api"), "", user("bob"))
			if err != nil || a.body != "until I hang up" {
				t.Errorf("%s: %v %v", name, a, err)
			}
		}
	})
}

func TestManyRequestsShareTheirConnections(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		b := newBackend(t, nil)
		g := start(t, options{engine: engine, resources: withBackend(everyone, b.URL)})
		for name, c := range g.clients() {
			var wg sync.WaitGroup
			for worker := range 8 {
				wg.Go(func() {
					for i := range 40 {
						body := fmt.Sprintf("%d/%d", worker, i)
						a, err := exchange(c, "POST", g.url("/api/"+body), body, user("alice"))
						if err != nil || a.status != 200 {
							t.Errorf("%s: %v %v", name, a, err)
							return
						}
						if s := a.asked(t); s.Body != body || s.URI != "/api/"+body {
							t.Errorf("%s: asked %s, was answered %s %s", name, body, s.URI, s.Body)
						}
					}
				})
			}
			wg.Wait()
		}
		b.mu.Lock()
		n := len(b.raw)
		b.mu.Unlock()
		if n > 40 {
			t.Errorf("640 requests took %d connections to the backend", n)
		}
		if !bytes.Contains(b.bytes(), []byte("POST /api/0/0 ")) {
			t.Error("the backend's own log lacks the first request")
		}
	})
}
