package h2

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/model"
)

func TestARequestPassesAndIsRecorded(t *testing.T) {
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-From", "backend")
		w.Header().Set("X-Request-Id", "forged by the backend")
		w.WriteHeader(201)
		fmt.Fprint(w, r.Method, " ", r.RequestURI, " ", r.Host, " ", string(body))
	})
	g := start(t, b.URL, true)
	req, _ := http.NewRequest("POST", g.url("/orders/7%20x?a=b&c"), strings.NewReader("hello"))
	req.Host = "api.example.com:8443"
	req.Header.Set("X-User", "mallory")
	res, err := g.client().Do(req)
	status, body := read(t, res, err)
	if status != 201 || body != "POST /orders/7%20x?a=b&c api.example.com:8443 hello" {
		t.Errorf("%d %s", status, body)
	}
	id := res.Header.Get("X-Request-Id")
	seen := b.last().Header
	if res.ProtoMajor != 2 || len(id) != 32 || seen.Get("X-Request-Id") != id || len(res.Header["X-Request-Id"]) != 1 || res.Header.Get("X-From") != "backend" {
		t.Errorf("%s, %v, id %q at the backend", res.Proto, res.Header, seen.Get("X-Request-Id"))
	}
	if seen.Get("X-User") != "" || seen.Get("Via") == "" || seen.Get("User-Agent") != "Go-http-client/2.0" {
		t.Errorf("the backend saw %v", seen)
	}
	c := g.completion()
	if c.Status != 201 || c.BytesIn != 5 || c.BytesOut != int64(len(body)) || c.Target <= 0 || c.Duration < c.Target || c.Err != nil {
		t.Errorf("%+v", c)
	}
	if d := g.decisions(); d[0] != "POST allowed" {
		t.Errorf("%v", d)
	}
}

func TestTheGatewaysOwnPathsAreAnsweredBeforeRouting(t *testing.T) {
	b := newBackend(t, func(http.ResponseWriter, *http.Request) {})
	g := start(t, b.URL, false, func(w *world) {
		w.deps.Local = func(host, path string) http.Handler {
			if path == "/.sallyport/healthz" || path == "/.well-known/jwks.json" && host == "api.example.com" {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					body, _ := io.ReadAll(r.Body)
					w.Header().Set("X-Local", r.Method+" "+r.URL.RequestURI())
					fmt.Fprint(w, "own ", string(body))
				})
			}
			return nil
		}
	})
	c := g.dial()
	for i, x := range []struct{ method, host, path, want string }{
		{"GET", "any", "/.sallyport/healthz?x", "200 own "},
		{"HEAD", "any", "/.sallyport/healthz", "200 "},
		{"POST", "any", "/.sallyport/healthz", "200 own form"},
		{"GET", "api.example.com", "/.well-known/jwks.json", "200 own "},
		{"GET", "other", "/.well-known/jwks.json", "200 "},
		{"GET", "any", "/.sallyport/other", "404 "},
		{"GET", "any", "/./%2Esallyport/other", "404 "},
		{"TRACE", "any", "/", "405 "},
	} {
		id := uint32(2*i + 1)
		c.Request(id, x.method != "POST", ":method", x.method, ":scheme", "http", ":path", x.path, ":authority", x.host)
		if x.method == "POST" {
			c.Frame(http2.FrameData, endStream, id, []byte("form")...)
		}
		fields, body, _ := c.Answer(id)
		status := strings.TrimPrefix(strings.SplitN(fields, "\n", 2)[0], ":status: ")
		if got := status + " " + body; !strings.HasPrefix(got, x.want) || strings.HasPrefix(x.want, "200 own") && got != x.want || !strings.Contains(fields, "x-request-id: ") {
			t.Errorf("%v: %s%s", x, fields, body)
		}
	}
	if n := b.count(); n != 1 {
		t.Errorf("the backend saw %d requests", n)
	}
}

func TestABodyOverTheLimitNeverArrivesWhole(t *testing.T) {
	ended := make(chan error, 10)
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		ended <- err
	})
	limit := model.Size(1000)
	g := start(t, b.URL, true, route(func(r *model.Route) { r.BodyBytes = &limit }))
	client := g.client()
	res, err := client.Post(g.url("/"), "text/plain", strings.NewReader(strings.Repeat("x", 1001)))
	if status, body := read(t, res, err); status != 413 || !strings.Contains(body, "body_too_large") {
		t.Errorf("declared: %d %s", status, body)
	}
	if c := g.completion(); c.Err == nil || c.Err.Code != model.BodyTooLarge || c.Status != 413 {
		t.Errorf("%+v", c)
	}
	if b.count() != 0 {
		t.Error("a body that declared too much was forwarded")
	}
	pr, pw := io.Pipe() // more than the limit, but not at once
	go func() {
		_, _ = pw.Write(make([]byte, 900))
		time.Sleep(100 * time.Millisecond)
		_, _ = pw.Write(make([]byte, 101))
		_ = pw.Close()
	}()
	res, err = client.Post(g.url("/"), "text/plain", pr)
	if status, body := read(t, res, err); status != 413 || !strings.Contains(body, "body_too_large") {
		t.Errorf("streamed: %d %s", status, body)
	}
	if c := g.completion(); c.Err == nil || c.Err.Code != model.BodyTooLarge || c.Status != 413 {
		t.Errorf("%+v", c)
	}
	if b.count() == 1 {
		if err := <-ended; err == nil {
			t.Error("the backend took the cut body for a whole one")
		}
	}
	res, err = client.Post(g.url("/"), "text/plain", strings.NewReader(strings.Repeat("x", 1000)))
	if status, _ := read(t, res, err); status != 200 {
		t.Errorf("at the limit: %d", status)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestBodiesOfAnySizeStreamInBoundedMemory(t *testing.T) {
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		_, _ = io.Copy(w, r.Body)
	})
	none := model.Size(0)
	g := start(t, b.URL, true, route(func(r *model.Route) { r.BodyBytes = &none }), patient)
	const size = 64 << 20
	var peak atomic.Uint64
	stop := make(chan struct{})
	go func() {
		var m runtime.MemStats
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				runtime.ReadMemStats(&m)
				peak.Store(max(peak.Load(), m.HeapInuse))
			}
		}
	}()
	req, _ := http.NewRequest("POST", g.url("/"), io.LimitReader(zeros{}, size))
	res, err := g.client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	close(stop)
	if n != size || err != nil {
		t.Errorf("%d bytes came back, %v", n, err)
	}
	if p := peak.Load(); p > 56<<20 {
		t.Errorf("%d MiB of heap for a body that streams", p>>20)
	}
	if c := g.completion(); c.BytesIn != size || c.BytesOut != size {
		t.Errorf("%+v", c)
	}
}

// Many bodies at once share the connection's window: none may be left without.
func TestManyBodiesAtOnceAllPass(t *testing.T) {
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprint(w, n, " ", err)
		_, _ = io.CopyN(w, zeros{}, 300<<10)
	})
	none := model.Size(0)
	g := start(t, b.URL, true, route(func(r *model.Route) { r.BodyBytes = &none }), limits(func(c *Config) { c.IdleTimeout = 20 * time.Second }))
	client := g.client()
	errs := make(chan error, 40)
	for i := range 40 {
		go func() {
			size := int64(i * 20 << 10)
			req, _ := http.NewRequest("PUT", g.url("/"), io.LimitReader(zeros{}, size))
			res, err := client.Do(req)
			if err != nil {
				errs <- err
				return
			}
			body, err := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if want := fmt.Sprint(size, " <nil>"); err == nil && (!strings.HasPrefix(string(body), want) || len(body) != len(want)+300<<10) {
				err = fmt.Errorf("%d: %q and %d bytes", i, body[:min(len(body), 300)], len(body))
			}
			errs <- err
		}()
	}
	for range 40 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestEventsArriveAsTheyAreSent(t *testing.T) {
	next := make(chan struct{})
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		for i := range 3 {
			<-next
			fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
		}
	})
	g := start(t, b.URL, true)
	res, err := g.client().Get(g.url("/")) // the head alone comes first
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	r := bufio.NewReader(res.Body)
	for i := range 3 {
		next <- struct{}{}
		line, err := r.ReadString('\n')
		if want := fmt.Sprintf("data: %d\n", i); line != want || err != nil {
			t.Fatalf("%q, %v", line, err)
		}
		_, _ = r.ReadString('\n')
	}
}

func TestBothWaysStreamAtOnce(t *testing.T) {
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		w.WriteHeader(200)
		_ = http.NewResponseController(w).Flush()
		s := bufio.NewScanner(r.Body)
		for s.Scan() {
			fmt.Fprintln(w, "echo", s.Text())
			_ = http.NewResponseController(w).Flush()
		}
	})
	g := start(t, b.URL, true)
	pr, pw := io.Pipe()
	req, _ := http.NewRequest("POST", g.url("/"), pr)
	res, err := g.client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	r := bufio.NewReader(res.Body)
	for i := range 5 {
		fmt.Fprintln(pw, i)
		if line, err := r.ReadString('\n'); line != fmt.Sprintf("echo %d\n", i) || err != nil {
			t.Fatalf("%q, %v", line, err)
		}
	}
	_ = pw.Close()
	if _, err := r.ReadString('\n'); err != io.EOF {
		t.Errorf("%v", err)
	}
}

func TestTrailersPassBothWaysButNoIdentity(t *testing.T) {
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Trailer", "X-Sum")
		fmt.Fprint(w, "body")
		w.Header().Set("X-Sum", r.Trailer.Get("X-Sum"))
		w.Header().Set(http.TrailerPrefix+"X-Undeclared", "yes")
		w.Header().Set(http.TrailerPrefix+"Set-Cookie", "a=b")
	})
	for _, declared := range []bool{true, false} {
		g := start(t, b.URL, true)
		req, _ := http.NewRequest("POST", g.url("/"), io.MultiReader(strings.NewReader("x")))
		req.Trailer = http.Header{"X-Sum": {"42"}, "X-User": {"mallory"}, "X_user_id": {"1"}, "X-Forwarded-For": {"1.2.3.4"}}
		if !declared {
			req.Header.Set("Te", "trailers")
			req.Trailer = nil
		}
		res, err := g.client().Do(req)
		if _, body := read(t, res, err); body != "body" {
			t.Error(body)
		}
		want := map[bool]string{true: "42"}[declared]
		if tr := res.Trailer; tr.Get("X-Sum") != want || tr.Get("X-Undeclared") != "yes" || tr.Get("Set-Cookie") != "" {
			t.Errorf("declared %v: trailers at the client: %v", declared, tr)
		}
		if tr := b.last().Trailer; tr.Get("X-Sum") != want || len(tr) > 1 {
			t.Errorf("trailers at the backend: %v", tr)
		}
		if te := b.last().Header.Get("Te"); !declared && te != "trailers" {
			t.Errorf("TE at the backend: %q", te)
		}
	}
}

func TestInterimAnswersPass(t *testing.T) {
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(103)
		w.Header().Del("Link")
		w.WriteHeader(200)
	})
	for _, method := range []string{"GET", "POST"} { // directly, and by the library
		g := start(t, b.URL, true)
		var got []string
		ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				got = append(got, fmt.Sprint(code, " ", h.Get("Link")))
				return nil
			}})
		pr, pw := io.Pipe()
		go func() { time.Sleep(100 * time.Millisecond); _ = pw.Close() }()
		req, _ := http.NewRequestWithContext(ctx, method, g.url("/"), nil)
		if method == "POST" {
			req.Body = pr
		}
		res, err := g.client().Do(req)
		if status, _ := read(t, res, err); status != 200 || res.Header.Get("Link") != "" {
			t.Errorf("%d %v", status, res.Header)
		}
		if len(got) != 1 || got[0] != "103 </style.css>; rel=preload" {
			t.Errorf("%s: %v", method, got)
		}
	}
}

func TestContinueIsSaidOnlyOnceTheRequestMayPass(t *testing.T) {
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	g := start(t, b.URL, false, route(func(r *model.Route) { r.Paths = []string{"/open"} }))
	for path, want := range map[string]string{"/open": "100", "/closed": "404"} {
		c := g.dial()
		c.Request(1, false, ":method", "POST", ":scheme", "http", ":path", path, ":authority", "x", "content-length", "4", "expect", "100-continue")
		e := c.Until("an answer", func(e event) bool { return e.Kind == "headers" })
		if !strings.HasPrefix(e.Fields, ":status: "+want) {
			t.Errorf("%s: %v", path, e)
		}
		if path == "/open" {
			c.Frame(http2.FrameData, endStream, 1, []byte("body")...)
			if _, body, _ := c.Answer(1); body != "body" {
				t.Error(body)
			}
		}
	}
}

func TestAnswersWithoutBodyHaveNone(t *testing.T) {
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/204":
			w.WriteHeader(204)
		case "/304":
			w.Header().Set("ETag", `"x"`)
			w.WriteHeader(304)
		case "/0":
		default:
			w.Header().Set("Content-Length", "1234")
			w.Header()["Content-Type"] = nil
		}
	})
	g := start(t, b.URL, true)
	client := g.client()
	for _, streams := range []bool{false, true} {
		for _, c := range []struct {
			method, path string
			status       int
			length       int64
		}{{"GET", "/204", 204, 0}, {"GET", "/304", 304, 0}, {"GET", "/0", 200, 0}, {"HEAD", "/", 200, 1234}} {
			req, _ := http.NewRequest(c.method, g.url(c.path), nil)
			if streams && c.method != "HEAD" {
				req.Method = "PUT"
				pr, pw := io.Pipe()
				req.Body = pr
				go func() { time.Sleep(20 * time.Millisecond); _ = pw.Close() }()
			}
			res, err := client.Do(req)
			status, body := read(t, res, err)
			if status != c.status || body != "" || c.method == "HEAD" && res.ContentLength != c.length {
				t.Errorf("%s %s: %d %q, length %d", c.method, c.path, status, body, res.ContentLength)
			}
			if c.method == "HEAD" && res.Header.Get("Content-Type") != "" {
				t.Error("a content type was guessed")
			}
		}
	}
}

func TestACutAnswerNeverEndsCleanly(t *testing.T) {
	for name, answer := range map[string]string{
		"shorter than its length": "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
		"no last chunk":           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
		"a broken chunk":          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalfX\r\n",
		"broken trailers":         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\nbad line\r\n\r\n",
		"reset":                   "HTTP/1.1 200 OK\r\n\r\nhalf",
	} {
		for _, streams := range []bool{false, true} {
			url := hostile(t, func(c net.Conn, _ *bufio.Reader, _ string) {
				_, _ = io.WriteString(c, answer)
				time.Sleep(20 * time.Millisecond) // it arrives
				_ = c.(*net.TCPConn).SetLinger(0)
				_ = c.Close()
			})
			g := start(t, url, false)
			c := g.dial()
			if streams {
				c.Open(1)
			} else {
				c.Request(1, true, get...)
			}
			e := c.Until(name, func(e event) bool { return e.Kind == "rst" || e.End })
			if e.Kind != "rst" || e.Code != http2.ErrCodeInternal {
				t.Errorf("%s: the client took it for whole: %v", name, e)
			}
			if c := g.completion(); c.Err == nil || c.Err.Code != model.UpstreamInvalid || c.Status != 200 {
				t.Errorf("%s: %+v", name, c)
			}
		}
	}
}

func TestFaultsOfTheServiceAreProblems(t *testing.T) {
	ln, _ := net.Listen("tcp", "127.0.0.1:0")
	nobody := "http://" + ln.Addr().String()
	_ = ln.Close()
	mute := hostile(t, func(c net.Conn, _ *bufio.Reader, _ string) { _, _ = c.Read(make([]byte, 1)) })
	says := func(answer string) string {
		return hostile(t, func(c net.Conn, _ *bufio.Reader, _ string) { _, _ = io.WriteString(c, answer); _ = c.Close() })
	}
	for name, x := range map[string]struct{ url, want string }{
		"nobody there":              {nobody, "502 upstream_unreachable"},
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
			g := start(t, x.url, true, serviceOf(func(s *model.Service) { s.Timeouts.Response = model.Duration(250 * time.Millisecond) }))
			req, _ := http.NewRequest(method, g.url("/"), nil)
			if method == "POST" {
				req.Body = io.NopCloser(strings.NewReader("x"))
			}
			res, err := g.client().Do(req)
			status, body := read(t, res, err)
			var doc struct{ Code string }
			_ = json.Unmarshal([]byte(body), &doc)
			if got := fmt.Sprint(status, " ", doc.Code); got != x.want {
				t.Errorf("%s, %s: %s, want %s: %s", name, method, got, x.want, body)
			}
			c := g.completion()
			if c.Err == nil || string(c.Err.Code) != doc.Code || c.Target <= 0 || c.Status != status {
				t.Errorf("%s: %+v", name, c)
			}
			if n := g.pools.Status()[0].InFlight; n != 0 {
				t.Errorf("%s: %d are in flight", name, n)
			}
		}
	}
}

func TestADeadConnectionFailsNoRequestThatIsSafeToSendAgain(t *testing.T) {
	var served atomic.Int64
	url := hostile(t, func(c net.Conn, _ *bufio.Reader, head string) {
		if served.Add(1)%2 == 0 { // every second request finds its connection closed
			_ = c.Close()
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	})
	g := start(t, url, false)
	c := g.dial()
	for i := range uint32(20) {
		c.Good(2*i + 1)
	}
}

func TestAnEarlyAnswerEndsTheUpload(t *testing.T) {
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(403)
		fmt.Fprint(w, "no")
	})
	none := model.Size(0)
	g := start(t, b.URL, false, route(func(r *model.Route) { r.BodyBytes = &none }))
	c := g.dial()
	c.Open(1, "content-length", "1000000000")
	c.Frame(http2.FrameData, 0, 1, []byte("first bytes")...)
	fields, body, _ := c.Answer(1)
	if !strings.HasPrefix(fields, ":status: 403\n") || body != "no" {
		t.Errorf("%s%s", fields, body)
	}
	e := c.Until("the end of the upload", func(e event) bool { return e.Kind == "rst" })
	if e.Code != http2.ErrCodeNo {
		t.Error(e)
	}
	for range 200 { // what was on its way does no harm, and its bytes are given back
		c.Frame(http2.FrameData, 0, 1, make([]byte, 16000)...)
	}
	if e := c.Until("new bytes", func(e event) bool { return e.Kind == "window" && e.Stream == 0 }); e.N == 0 {
		t.Error(e)
	}
	c.Request(3, true, get...)
	if fields, _, _ := c.Answer(3); !strings.HasPrefix(fields, ":status: 403\n") {
		t.Error(fields)
	}
}

func TestABodyThatStallsIsCut(t *testing.T) {
	ended := make(chan error, 1)
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		ended <- err
	})
	g := start(t, b.URL, false)
	c := g.dial()
	c.Open(1, "content-length", "100")
	c.Frame(http2.FrameData, 0, 1, []byte("some")...)
	begun := time.Now()
	if fields, body, _ := c.Answer(1); !strings.HasPrefix(fields, ":status: 400\n") || time.Since(begun) > 3*time.Second {
		t.Errorf("%s%s after %v", fields, body, time.Since(begun))
	}
	if err := <-ended; err == nil {
		t.Error("the backend took it for whole")
	}
	if c := g.completion(); c.Status != 400 || c.Err == nil {
		t.Errorf("%+v", c)
	}
}

func TestSilenceIsNoFault(t *testing.T) {
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		time.Sleep(1200 * time.Millisecond) // much more than what an idle connection has
		fmt.Fprint(w, "first ")
		w.(http.Flusher).Flush()
		time.Sleep(1200 * time.Millisecond)
		fmt.Fprint(w, "last")
	})
	g := start(t, b.URL, true)
	res, err := g.client().Post(g.url("/"), "text/plain", strings.NewReader("body"))
	if status, body := read(t, res, err); status != 200 || body != "first last" {
		t.Errorf("%d %q", status, body)
	}
}

func TestAnUploadThatTheServiceIsSlowToTakeIsNotTheClientsFault(t *testing.T) {
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(1200 * time.Millisecond)
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, err)
	})
	none := model.Size(0)
	g := start(t, b.URL, true, route(func(r *model.Route) { r.BodyBytes = &none }))
	req, _ := http.NewRequest("PUT", g.url("/"), io.LimitReader(zeros{}, 16<<20))
	res, err := g.client().Do(req)
	if _, body := read(t, res, err); body != fmt.Sprint(16<<20, " <nil>") {
		t.Errorf("%q", body)
	}
}

func TestAnswersAreEditedAndCleaned(t *testing.T) {
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Server", "secret/1.0")
		h.Set("X-Old", "1")
		h.Set("Keep-Alive", "timeout=5")
		h.Set("X-Hop", "1")
		h.Set("Connection", "X-Hop")
		h.Set("Access-Control-Allow-Origin", "https://anybody.example")
		h.Set("Access-Control-Expose-Headers", "X-Secret")
		h.Set("Vary", "Accept")
		for _, c := range []string{"a=1", "__Host-sallyport=forged; Path=/", "__host-sallyport-csrf=x", "b=2", " __Host-sallyport2=y"} {
			h.Add("Set-Cookie", c)
		}
	})
	g := start(t, b.URL, true, route(func(r *model.Route) {
		r.Edit.Response.Set = map[string]string{"X-Old": "new"}
		r.Edit.Response.Remove = []string{"Server"}
		r.CORS = &model.CORS{Origins: []string{"https://app.example"}}
		r.CORS.Defaults()
	}))
	for _, streams := range []bool{false, true} {
		req, _ := http.NewRequest("POST", g.url("/"), nil)
		if streams {
			pr, pw := io.Pipe()
			req.Body = pr
			go func() { time.Sleep(50 * time.Millisecond); _ = pw.Close() }()
		}
		req.Header.Set("Origin", "https://app.example")
		res, err := g.client().Do(req)
		read(t, res, err)
		h := res.Header
		if got := fmt.Sprint(h["Set-Cookie"]); got != "[a=1 b=2]" {
			t.Errorf("cookies %s", got)
		}
		if h.Get("X-Old") != "new" || h.Get("Server") != "" || h.Get("X-Hop") != "" || h.Get("Keep-Alive") != "" || h.Get("Connection") != "" {
			t.Errorf("%v", h)
		}
		if h.Get("Access-Control-Allow-Origin") != "https://app.example" || h.Get("Access-Control-Expose-Headers") != "" || len(h["Vary"]) < 2 {
			t.Errorf("%v", h)
		}
	}
}

func TestAPreflightIsAnsweredHere(t *testing.T) {
	b := newBackend(t, func(http.ResponseWriter, *http.Request) {})
	g := start(t, b.URL, true, route(func(r *model.Route) {
		r.CORS = &model.CORS{Origins: []string{"https://app.example"}, Methods: []string{"PUT"}}
		r.CORS.Defaults()
	}))
	req, _ := http.NewRequest("OPTIONS", g.url("/"), nil)
	req.Header.Set("Origin", "https://app.example")
	req.Header.Set("Access-Control-Request-Method", "PUT")
	res, err := g.client().Do(req)
	if status, _ := read(t, res, err); status != 204 || res.Header.Get("Access-Control-Allow-Origin") == "" || b.count() != 0 {
		t.Errorf("%d %v, backend saw %d", status, res.Header, b.count())
	}
	if c := g.completion(); c.Status != 204 {
		t.Errorf("%+v", c)
	}
}

func TestNothingIsForwardedThatCannotBeRecorded(t *testing.T) {
	b := newBackend(t, func(http.ResponseWriter, *http.Request) {})
	g := start(t, b.URL, true)
	g.refuse.Store(true)
	res, err := g.client().Get(g.url("/"))
	if status, body := read(t, res, err); status != 503 || !strings.Contains(body, "audit_unavailable") || b.count() != 0 {
		t.Errorf("%d %s", status, body)
	}
}

func TestAFaultOfOurOwnIsA500ThatIsCounted(t *testing.T) {
	b := newBackend(t, func(http.ResponseWriter, *http.Request) {})
	g := start(t, b.URL, true)
	g.before = func(*gate.Exchange) { panic("a fault") }
	res, err := g.client().Get(g.url("/"))
	if status, body := read(t, res, err); status != 500 || !strings.Contains(body, "internal_error") || g.panics.Swap(0) != 1 {
		t.Errorf("%d %s", status, body)
	}
	if c := g.completion(); c.Status != 500 {
		t.Errorf("%+v", c)
	}
}

func TestAMisdirectedRequestIsSaidSo(t *testing.T) {
	b := newBackend(t, func(http.ResponseWriter, *http.Request) {})
	g := start(t, b.URL, true, func(w *world) { w.deps.TLS = elsewhere{} })
	res, err := g.client().Get(g.url("/"))
	if status, body := read(t, res, err); status != 421 || !strings.Contains(body, "misdirected") || b.count() != 0 {
		t.Errorf("%d %s", status, body)
	}
	if d := g.decisions(); d[0] != "GET misdirected" {
		t.Error(d)
	}
}

func alice() *directory.Principal {
	return directory.NewPrincipal(model.User{ID: "u1", Username: "alice", Active: true, Credentials: []model.Credential{{ID: "c1"}}})
}

func TestOpenStreamsEndWithTheirUser(t *testing.T) {
	gone := make(chan struct{}, 10)
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		go func() { _, _ = io.Copy(io.Discard, r.Body) }()
		fmt.Fprint(w, "data: 1\n\n")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		gone <- struct{}{}
	})
	g := start(t, b.URL, true)
	g.user = alice()
	for name, cut := range map[string]func() int{
		"the user":       func() int { return g.streams.CutUser("u1") },
		"the credential": func() int { return g.streams.CutCredential("u1", "c1") },
		"everything":     g.streams.CutAll,
	} {
		client := g.client()
		res, err := client.Get(g.url("/"))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.ReadFull(res.Body, make([]byte, 9))
		if n := g.streams.CutCredential("u1", "another") + g.streams.CutUser("u2"); n != 0 {
			t.Errorf("%d streams of others were cut", n)
		}
		begun := time.Now()
		if n := cut(); n != 1 {
			t.Errorf("%s: %d streams were cut", name, n)
		}
		if _, err := io.ReadAll(res.Body); err == nil {
			t.Errorf("%s: the stream ended cleanly", name)
		}
		_ = res.Body.Close()
		<-gone
		if d := time.Since(begun); d > time.Second {
			t.Errorf("%s: it took %v", name, d)
		}
		if c := g.completion(); c.Status != 200 || !strings.Contains(c.Detail, "cut") {
			t.Errorf("%s: %+v", name, c)
		}
		if n := g.streams.Open(); n != 0 {
			t.Errorf("%d are registered", n)
		}
	}
}

// The decision was made before the user was ended, the registration comes after.
func TestAStreamThatBeganBeforeTheCutIsCutWhenItRegisters(t *testing.T) {
	b := newBackend(t, echo)
	g := start(t, b.URL, true)
	g.user = alice()
	g.before = func(*gate.Exchange) { g.streams.CutUser("u1") }
	client := g.client()
	if res, err := client.Get(g.url("/")); err == nil {
		t.Errorf("answered %d", res.StatusCode)
		_ = res.Body.Close()
	}
	if b.count() != 0 {
		t.Error("it was forwarded")
	}
	g.completion()
	g.before = nil
	res, err := client.Get(g.url("/"))
	if status, _ := read(t, res, err); status != 200 { // a user who is active again
		t.Errorf("%d", status)
	}
}

func TestAStreamEndsWhenItsCredentialExpires(t *testing.T) {
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	g := start(t, b.URL, true)
	g.user, g.expires = alice(), time.Now().Add(300*time.Millisecond)
	res, err := g.client().Get(g.url("/"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(res.Body); err == nil {
		t.Error("it ended cleanly")
	}
	_ = res.Body.Close()
	if c := g.completion(); !strings.Contains(c.Detail, "expired") {
		t.Errorf("%+v", c)
	}
}

func TestAClientThatGoesAwayEndsTheRequestAtTheService(t *testing.T) {
	gone := make(chan struct{}, 2)
	b := newBackend(t, func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		gone <- struct{}{}
	})
	g := start(t, b.URL, false)
	for _, leave := range []func(*raw){
		func(c *raw) { c.Frame(http2.FrameRSTStream, 0, 1, 0, 0, 0, 8) },
		func(c *raw) { _ = c.NC.Close() },
	} {
		c := g.dial()
		c.Request(1, true, get...)
		time.Sleep(100 * time.Millisecond)
		leave(c)
		<-gone
		if c := g.completion(); c.Status != 499 || c.Err != nil {
			t.Errorf("%+v", c)
		}
	}
}

// A client that gives a stream no window holds it open without a byte of the
// connection being stuck.
func TestAStreamWithoutWindowIsCut(t *testing.T) {
	gone := make(chan struct{})
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/endless" {
			return
		}
		for b := make([]byte, 32<<10); ; {
			if _, err := w.Write(b); err != nil {
				close(gone)
				return
			}
		}
	})
	g := start(t, b.URL, false)
	c := g.dial()
	c.Request(1, true, ":method", "GET", ":scheme", "http", ":path", "/endless", ":authority", "x")
	c.Frame(http2.FrameWindowUpdate, 0, 0, 0, 1, 0, 0)
	e := c.Until("the end", func(e event) bool { return e.Kind == "rst" })
	if e.Code != http2.ErrCodeCancel {
		t.Error(e)
	}
	<-gone
	c.Good(3)
}

func TestGoingElsewhere(t *testing.T) {
	slow := make(chan struct{})
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			w.(http.Flusher).Flush()
			<-slow
			fmt.Fprint(w, "whole")
		}
	})
	g := start(t, b.URL, false, limits(func(c *Config) { c.IdleTimeout = 10 * time.Second }))
	c, idle := g.dial(), g.dial()
	idle.Good(1)
	c.Request(1, true, ":method", "GET", ":scheme", "http", ":path", "/slow", ":authority", "x")
	c.Until("a head", func(e event) bool { return e.Kind == "headers" })
	g.server.Drain()
	if e := c.Until("the first GOAWAY", func(e event) bool { return e.Kind == "goaway" }); e.Stream != 1<<31-1 || e.Code != http2.ErrCodeNo {
		t.Error(e)
	}
	c.Good(3) // it was on its way
	if e := c.Until("the second GOAWAY", func(e event) bool { return e.Kind == "goaway" }); e.Stream != 3 || e.Code != http2.ErrCodeNo {
		t.Error(e)
	}
	idle.Until("the end", func(e event) bool { return e.Kind == "closed" })
	c.Request(5, true, get...) // nobody's: not answered, not reset
	c.Frame(http2.FrameData, endStream, 7, 'x')
	shut := make(chan error, 1)
	go func() { shut <- g.server.Shutdown(context.Background()) }()
	time.Sleep(50 * time.Millisecond)
	close(slow)
	if _, body, _ := c.Answer(1); body != "whole" {
		t.Errorf("%q", body)
	}
	c.Until("the end", func(e event) bool { return e.Kind == "closed" })
	if err := <-shut; err != nil {
		t.Error(err)
	}
	if n := b.count(); n != 3 {
		t.Errorf("the backend saw %d requests", n)
	}
}

func TestADrainThatTakesTooLongIsCut(t *testing.T) {
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	g := start(t, b.URL, false)
	c := g.dial()
	c.Request(1, true, get...)
	time.Sleep(50 * time.Millisecond)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := g.server.Shutdown(ctx); err == nil {
		t.Error("nothing was cut")
	}
	c.Until("the end", func(e event) bool { return e.Kind == "closed" })
}

// The table of fields is the connection's: half an answer in it is the end of all.
func TestAFaultInTheMiddleOfAHeadEndsTheConnectionAndNothingElse(t *testing.T) {
	b := newBackend(t, echo)
	g := start(t, b.URL, false)
	g.before = func(ex *gate.Exchange) {
		if _, ok := ex.Get("x-fault"); ok {
			ex.Route = &gate.Route{Service: ex.Route.Service} // whose model is missed when the answer's head is written
		}
	}
	c := g.dial()
	c.Good(1)
	c.Request(3, true, with(get, "x-fault", "1")...)
	if e := c.Until("GOAWAY", func(e event) bool { return e.Kind == "goaway" }); e.Code != http2.ErrCodeInternal {
		t.Error(e)
	}
	c.Until("the end", func(e event) bool { return e.Kind == "closed" })
	if g.panics.Swap(0) != 1 {
		t.Error("it was not counted")
	}
	g.dial().Good(1)
}

// A client may acknowledge what it reads in small steps, for the stream and for
// the connection, and is no flood for that.
func TestALongDownloadPassesInWhateverSteps(t *testing.T) {
	const size = 8 << 20
	b := newBackend(t, sized(size))
	g := start(t, b.URL, false, limits(func(c *Config) { c.IdleTimeout = 20 * time.Second }))
	c := g.dial()
	c.Request(1, true, get...)
	total := 0
	for {
		e := c.Next()
		if e.Kind == "goaway" || e.Kind == "rst" || e.Kind == "closed" || e.Kind == "silence" {
			t.Fatalf("after %d bytes: %v", total, e)
		}
		total += len(e.Data)
		for n := len(e.Data); n > 0; n -= 1024 {
			step := uint32(min(n, 1024))
			c.Must(c.Fr.WriteWindowUpdate(0, step))
			if !e.End {
				c.Must(c.Fr.WriteWindowUpdate(1, step))
			}
		}
		if e.End {
			break
		}
	}
	if total != size {
		t.Errorf("%d bytes", total)
	}
	c.Request(3, true, get...)
	c.Until("the next answer", func(e event) bool { return e.Kind == "headers" && e.Stream == 3 })
}
