package standard

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
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

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/model"
)

func TestARequestPassesAndIsRecorded(t *testing.T) {
	twice(t, func(t *testing.T, http2 bool) {
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
		if !http2 {
			req.Header.Set("Connection", "Via")
		}
		res, err := g.client(http2).Do(req)
		status, body := read(t, res, err)
		if status != 201 || body != "POST /orders/7%20x?a=b&c api.example.com:8443 hello" {
			t.Errorf("%d %s", status, body)
		}
		if (res.ProtoMajor == 2) != http2 {
			t.Errorf("spoke %s", res.Proto)
		}
		id := res.Header.Get("X-Request-Id")
		seen := b.last().Header
		if len(id) != 32 || seen.Get("X-Request-Id") != id || res.Header.Get("X-From") != "backend" {
			t.Errorf("id %q at the client, %q at the backend", id, seen.Get("X-Request-Id"))
		}
		if seen.Get("X-User") != "" || seen.Get("Via") == "" || seen.Get("User-Agent") != "Go-http-client/"+map[bool]string{true: "2.0", false: "1.1"}[http2] {
			t.Errorf("the backend saw %v", seen)
		}
		c := g.completion()
		if c.Status != 201 || c.BytesIn != 5 || c.BytesOut != int64(len(body)) || c.Target <= 0 || c.Duration < c.Target || c.Err != nil {
			t.Errorf("%+v", c)
		}
		if g.decided[0] != "POST allowed" {
			t.Errorf("%v", g.decided)
		}
	})
}

func TestMalformedRequestsAreAnsweredRecordedAndNeverForwarded(t *testing.T) {
	b := newBackend(t, func(http.ResponseWriter, *http.Request) {})
	g := start(t, b.URL, false)
	for name, c := range map[string]struct {
		raw  string
		want int
	}{
		"a fragment (GHSA-pxq7-h93f-9jrg)":     {"GET /admin#/public HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		"a raw non-ASCII byte":                 {"GET /\xe9 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		"the asterisk form":                    {"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 400},
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
		before := len(g.decided)
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
		if len(g.decided) != before+1 {
			t.Errorf("%s: not recorded", name)
		}
		g.completion()
	}
	if n := b.count(); n != 0 {
		t.Errorf("the backend saw %d requests", n)
	}
}

func TestOddButLegitimateRequestsPass(t *testing.T) {
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host, r.RequestURI) })
	g := start(t, b.URL, false, route(func(r *model.Route) { r.Path = model.PathVerbatim }))
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
			if v := b.last().Header.Get(n); v != "" {
				t.Errorf("%q: the backend saw %s: %s", raw, n, v)
			}
		}
	}
}

func TestTheGatewaysOwnPathsAreAnsweredBeforeRouting(t *testing.T) {
	b := newBackend(t, func(http.ResponseWriter, *http.Request) {})
	g := start(t, b.URL, false, func(_ *model.Set, d *Deps) {
		d.Local = func(host, path string) http.Handler {
			if path == "/.sallyport/healthz" || path == "/.well-known/jwks.json" && host == "api.example.com" {
				return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "own") })
			}
			return nil
		}
	})
	for raw, want := range map[string]string{
		"GET /.sallyport/healthz HTTP/1.1\r\nHost: any\r\n\r\n":                "200 own",
		"GET /.well-known/jwks.json HTTP/1.1\r\nHost: api.example.com\r\n\r\n": "200 own",
		"GET /.well-known/jwks.json HTTP/1.1\r\nHost: other\r\n\r\n":           "200 ",
		"GET /.sallyport/other HTTP/1.1\r\nHost: any\r\n\r\n":                  "404",
		"GET /./%2Esallyport/other HTTP/1.1\r\nHost: any\r\n\r\n":              "404",
	} {
		res, body, err := g.talk(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(res.StatusCode, " ", body); !strings.HasPrefix(got, want) || res.Header.Get("X-Request-Id") == "" {
			t.Errorf("%q: %s", raw, got)
		}
	}
	if n := b.count(); n != 1 {
		t.Errorf("the backend saw %d requests", n)
	}
}

func TestABodyOverTheLimitNeverArrivesWhole(t *testing.T) {
	twice(t, func(t *testing.T, http2 bool) {
		ended := make(chan error, 10)
		b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
			_, err := io.Copy(io.Discard, r.Body)
			ended <- err
		})
		limit := model.Size(1000)
		g := start(t, b.URL, true, route(func(r *model.Route) { r.BodyBytes = &limit }))
		client := g.client(http2)
		res, err := client.Post(g.url("/"), "text/plain", strings.NewReader(strings.Repeat("x", 1001)))
		if status, body := read(t, res, err); status != 413 || !strings.Contains(body, "body_too_large") {
			t.Errorf("declared: %d %s", status, body)
		}
		if c := g.completion(); c.Err == nil || c.Err.Code != model.BodyTooLarge {
			t.Errorf("%+v", c)
		}
		if b.count() != 0 {
			t.Error("a body that declared too much was forwarded")
		}
		res, err = client.Post(g.url("/"), "text/plain", io.MultiReader(strings.NewReader(strings.Repeat("x", 1001))))
		if status, body := read(t, res, err); status != 413 || !strings.Contains(body, "body_too_large") {
			t.Errorf("streamed: %d %s", status, body)
		}
		if c := g.completion(); c.Err == nil || c.Err.Code != model.BodyTooLarge || c.Status != 413 {
			t.Errorf("%+v", c)
		}
		if b.count() == 1 { // it may have been aborted before it began
			if err := <-ended; err == nil {
				t.Error("the backend took the cut body for a whole one")
			}
		}
		res, err = client.Post(g.url("/"), "text/plain", strings.NewReader(strings.Repeat("x", 1000)))
		if status, _ := read(t, res, err); status != 200 {
			t.Errorf("at the limit: %d", status)
		}
	})
}

func TestBodiesOfAnySizeStreamInBoundedMemory(t *testing.T) {
	twice(t, func(t *testing.T, http2 bool) {
		b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).EnableFullDuplex()
			_, _ = io.Copy(w, r.Body)
		})
		none := model.Size(0)
		g := start(t, b.URL, true, route(func(r *model.Route) { r.BodyBytes = &none }))
		const size = 128 << 20
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
		res, err := g.client(http2).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		close(stop)
		if n != size || err != nil {
			t.Errorf("%d bytes came back, %v", n, err)
		}
		if p := peak.Load(); p > 48<<20 {
			t.Errorf("%d MiB of heap for a body that streams", p>>20)
		}
		if c := g.completion(); c.BytesIn != size || c.BytesOut != size {
			t.Errorf("%+v", c)
		}
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestEventsArriveAsTheyAreSent(t *testing.T) {
	twice(t, func(t *testing.T, http2 bool) {
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
		res, err := g.client(http2).Get(g.url("/")) // the head alone comes first
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
	})
}

func TestBothWaysStreamAtOnce(t *testing.T) {
	twice(t, func(t *testing.T, http2 bool) {
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
		res, err := g.client(http2).Do(req)
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
	})
}

func TestTrailersPassBothWaysButNoIdentity(t *testing.T) {
	twice(t, func(t *testing.T, http2 bool) {
		b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Trailer", "X-Sum")
			fmt.Fprint(w, "body")
			w.Header().Set("X-Sum", r.Trailer.Get("X-Sum"))
			w.Header().Set(http.TrailerPrefix+"X-Undeclared", "yes")
			w.Header().Set(http.TrailerPrefix+"Set-Cookie", "a=b")
		})
		g := start(t, b.URL, true)
		req, _ := http.NewRequest("POST", g.url("/"), io.MultiReader(strings.NewReader("x")))
		req.Trailer = http.Header{"X-Sum": {"42"}, "X-User": {"mallory"}, "X_user_id": {"1"}, "Authorization": {"Basic x"},
			"X-Forwarded-For": {"1.2.3.4"}, "Cookie": {"a=b"}}
		if http2 { // refused as a whole by net/http
			req.Trailer = http.Header{"X-Sum": {"42"}, "X-User": {"mallory"}, "X_user_id": {"1"}, "X-Forwarded-For": {"1.2.3.4"}}
		}
		res, err := g.client(http2).Do(req)
		if _, body := read(t, res, err); body != "body" {
			t.Error(body)
		}
		if tr := res.Trailer; tr.Get("X-Sum") != "42" || tr.Get("X-Undeclared") != "yes" || tr.Get("Set-Cookie") != "" {
			t.Errorf("trailers at the client: %v", tr)
		}
		if tr := b.last().Trailer; len(tr) != 1 || tr.Get("X-Sum") != "42" {
			t.Errorf("trailers at the backend: %v", tr)
		}
	})
}

func TestInterimAnswersPass(t *testing.T) {
	twice(t, func(t *testing.T, http2 bool) {
		b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", "</style.css>; rel=preload")
			w.WriteHeader(103)
			w.Header().Del("Link")
			w.WriteHeader(200)
		})
		g := start(t, b.URL, true)
		var got []string
		ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				got = append(got, fmt.Sprint(code, " ", h.Get("Link")))
				return nil
			}})
		req, _ := http.NewRequestWithContext(ctx, "GET", g.url("/"), nil)
		res, err := g.client(http2).Do(req)
		if status, _ := read(t, res, err); status != 200 || res.Header.Get("Link") != "" {
			t.Errorf("%d %v", status, res.Header)
		}
		if len(got) != 1 || got[0] != "103 </style.css>; rel=preload" {
			t.Errorf("%v", got)
		}
	})
}

func TestContinueIsSaidOnlyOnceTheRequestMayPass(t *testing.T) {
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	g := start(t, b.URL, false, route(func(r *model.Route) { r.Paths = []string{"/open"} }))
	for path, want := range map[string]string{"/open": "HTTP/1.1 100 Continue\r\n", "/closed": "HTTP/1.1 404 Not Found\r\n"} {
		c := g.dial()
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
			if _, body := read(t, res, err); body != "body" {
				t.Error(body)
			}
		}
	}
}

func TestAnswersWithoutBodyHaveNone(t *testing.T) {
	twice(t, func(t *testing.T, http2 bool) {
		b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/204":
				w.WriteHeader(204)
			case "/304":
				w.Header().Set("ETag", `"x"`)
				w.WriteHeader(304)
			default:
				w.Header().Set("Content-Length", "1234")
				w.Header()["Content-Type"] = nil
			}
		})
		g := start(t, b.URL, true)
		client := g.client(http2)
		for range 2 { // the connection stays usable
			for _, c := range []struct {
				method, path string
				status       int
				length       int64
			}{{"GET", "/204", 204, 0}, {"GET", "/304", 304, 0}, {"HEAD", "/", 200, 1234}} {
				req, _ := http.NewRequest(c.method, g.url(c.path), nil)
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
	})
}

func TestACutAnswerNeverEndsCleanly(t *testing.T) {
	answers := map[string]string{
		"shorter than its length": "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
		"no last chunk":           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
		"reset":                   "HTTP/1.1 200 OK\r\n\r\nhalf",
	}
	twice(t, func(t *testing.T, http2 bool) {
		for name, answer := range answers {
			url := hostile(t, func(c net.Conn, _ *bufio.Reader, _ string) {
				_, _ = io.WriteString(c, answer)
				time.Sleep(20 * time.Millisecond) // it arrives
				_ = c.(*net.TCPConn).SetLinger(0)
				_ = c.Close()
			})
			g := start(t, url, true)
			res, err := g.client(http2).Get(g.url("/"))
			if err == nil {
				_, err = io.ReadAll(res.Body)
				_ = res.Body.Close()
			}
			if err == nil {
				t.Errorf("%s: the client took it for whole", name)
			}
			if c := g.completion(); c.Err == nil || c.Err.Code != model.UpstreamInvalid || c.Status != 200 {
				t.Errorf("%s: %+v", name, c)
			}
		}
	})
}

// An HTTP/1.0 client learns the end of a body by the end of the connection alone.
func TestACutAnswerIsAResetForHTTP10(t *testing.T) {
	url := hostile(t, func(c net.Conn, _ *bufio.Reader, _ string) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
		time.Sleep(20 * time.Millisecond)
		_ = c.Close()
	})
	g := start(t, url, false)
	c := g.dial()
	_, _ = io.WriteString(c, "GET / HTTP/1.0\r\nHost: x\r\n\r\n")
	if b, err := io.ReadAll(c); err == nil {
		t.Errorf("a clean end after %q", b)
	}
}

func TestFaultsOfTheServiceAreProblems(t *testing.T) {
	twice(t, func(t *testing.T, http2 bool) {
		ln, _ := net.Listen("tcp", "127.0.0.1:0")
		nobody := "http://" + ln.Addr().String()
		_ = ln.Close()
		mute := hostile(t, func(c net.Conn, _ *bufio.Reader, _ string) { _, _ = c.Read(make([]byte, 1)) })
		rubbish := hostile(t, func(c net.Conn, _ *bufio.Reader, _ string) { _, _ = io.WriteString(c, "rubbish\r\n\r\n") })
		for url, want := range map[string]string{nobody: "502 upstream_unreachable", mute: "504 upstream_timeout", rubbish: "502 upstream_invalid"} {
			g := start(t, url, true, serviceOf(func(s *model.Service) { s.Timeouts.Response = model.Duration(150 * time.Millisecond) }))
			res, err := g.client(http2).Post(g.url("/"), "text/plain", strings.NewReader("x"))
			status, body := read(t, res, err)
			var doc struct{ Code string }
			_ = json.Unmarshal([]byte(body), &doc)
			if got := fmt.Sprint(status, " ", doc.Code); got != want {
				t.Errorf("%s, want %s: %s", got, want, body)
			}
			c := g.completion()
			if c.Err == nil || "504 "+string(c.Err.Code) != "504 "+doc.Code || c.Target <= 0 {
				t.Errorf("%+v", c)
			}
			if n := g.pools.Status()[0].InFlight; n != 0 {
				t.Errorf("%d are in flight", n)
			}
		}
	})
}

func TestAnEarlyAnswerReachesAClientThatIsStillSending(t *testing.T) {
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(403)
		fmt.Fprint(w, "no")
	})
	none := model.Size(0)
	g := start(t, b.URL, false, route(func(r *model.Route) { r.BodyBytes = &none }))
	c := g.dial()
	_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\nfirst bytes")
	start := time.Now()
	res, err := http.ReadResponse(bufio.NewReader(c), nil) // and the client sends nothing more
	if err != nil {
		t.Fatal(err)
	}
	if status, body := read(t, res, err); status != 403 || body != "no" || time.Since(start) > 2*time.Second {
		t.Errorf("%d %q after %v", status, body, time.Since(start))
	}
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the connection was not closed: %v", err)
	}
	g.completion()
}

func TestABodyThatStallsIsCut(t *testing.T) {
	ended := make(chan error, 1)
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		ended <- err
	})
	g := start(t, b.URL, false)
	c := g.dial()
	_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nsome")
	begun := time.Now()
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err == nil && res.StatusCode != 400 || time.Since(begun) > 3*time.Second {
		t.Errorf("%v, %v after %v", res, err, time.Since(begun))
	}
	if err := <-ended; err == nil {
		t.Error("the backend took it for whole")
	}
	g.completion()
}

func TestALongAnswerIsNotEndedByTheLimitOnBodies(t *testing.T) {
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		time.Sleep(1200 * time.Millisecond) // more than twice the limit on a stalled body
		fmt.Fprint(w, "late")
	})
	g := start(t, b.URL, false)
	res, err := g.client(false).Post(g.url("/"), "text/plain", strings.NewReader("body"))
	if status, body := read(t, res, err); status != 200 || body != "late" {
		t.Errorf("%d %q", status, body)
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
	g := start(t, b.URL, false, route(func(r *model.Route) {
		r.Edit.Response.Set = map[string]string{"X-Old": "new"}
		r.Edit.Response.Remove = []string{"Server"}
		r.CORS = &model.CORS{Origins: []string{"https://app.example"}}
		r.CORS.Defaults()
	}))
	req, _ := http.NewRequest("GET", g.url("/"), nil)
	req.Header.Set("Origin", "https://app.example")
	res, err := g.client(false).Do(req)
	read(t, res, err)
	h := res.Header
	if got := fmt.Sprint(h["Set-Cookie"]); got != "[a=1 b=2]" {
		t.Errorf("cookies %s", got)
	}
	if h.Get("X-Old") != "new" || h.Get("Server") != "" || h.Get("X-Hop") != "" || h.Get("Keep-Alive") != "" {
		t.Errorf("%v", h)
	}
	if h.Get("Access-Control-Allow-Origin") != "https://app.example" || h.Get("Access-Control-Expose-Headers") != "" || len(h["Vary"]) < 2 {
		t.Errorf("%v", h)
	}
}

func TestAPreflightIsAnsweredHere(t *testing.T) {
	b := newBackend(t, func(http.ResponseWriter, *http.Request) {})
	g := start(t, b.URL, false, route(func(r *model.Route) {
		r.CORS = &model.CORS{Origins: []string{"https://app.example"}, Methods: []string{"PUT"}}
		r.CORS.Defaults()
	}))
	req, _ := http.NewRequest("OPTIONS", g.url("/"), nil)
	req.Header.Set("Origin", "https://app.example")
	req.Header.Set("Access-Control-Request-Method", "PUT")
	res, err := g.client(false).Do(req)
	if status, _ := read(t, res, err); status != 204 || res.Header.Get("Access-Control-Allow-Origin") == "" || b.count() != 0 {
		t.Errorf("%d %v, backend saw %d", status, res.Header, b.count())
	}
	if c := g.completion(); c.Status != 204 {
		t.Errorf("%+v", c)
	}
}

func TestNothingIsForwardedThatCannotBeRecorded(t *testing.T) {
	b := newBackend(t, func(http.ResponseWriter, *http.Request) {})
	g := start(t, b.URL, false)
	g.refuse.Store(true)
	res, err := g.client(false).Get(g.url("/"))
	if status, body := read(t, res, err); status != 503 || !strings.Contains(body, "audit_unavailable") || b.count() != 0 {
		t.Errorf("%d %s", status, body)
	}
}

func TestAFaultOfOurOwnIsA500ThatIsCounted(t *testing.T) {
	twice(t, func(t *testing.T, http2 bool) {
		b := newBackend(t, func(http.ResponseWriter, *http.Request) {})
		g := start(t, b.URL, true)
		g.before = func() { panic("a fault") }
		res, err := g.client(http2).Get(g.url("/"))
		if status, body := read(t, res, err); status != 500 || !strings.Contains(body, "internal_error") || g.panics.Load() != 1 {
			t.Errorf("%d %s, counted %d", status, body, g.panics.Load())
		}
		if c := g.completion(); c.Status != 500 {
			t.Errorf("%+v", c)
		}
	})
}

func alice() *directory.Principal {
	return directory.NewPrincipal(model.User{ID: "u1", Username: "alice", Active: true, Credentials: []model.Credential{{ID: "c1"}}})
}

func TestOpenStreamsEndWithTheirUser(t *testing.T) {
	twice(t, func(t *testing.T, http2 bool) {
		gone := make(chan struct{}, 10)
		b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
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
			res, err := g.client(http2).Get(g.url("/"))
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
	})
}

// The decision was made before the user was ended, the registration comes after.
func TestAStreamThatBeganBeforeTheCutIsCutWhenItRegisters(t *testing.T) {
	b := newBackend(t, func(http.ResponseWriter, *http.Request) {})
	g := start(t, b.URL, false)
	g.user = alice()
	g.before = func() { g.streams.CutUser("u1") }
	if res, err := g.client(false).Get(g.url("/")); err == nil {
		t.Errorf("answered %d", res.StatusCode)
		_ = res.Body.Close()
	}
	if b.count() != 0 {
		t.Error("it was forwarded")
	}
	g.completion()
	g.before = nil
	res, err := g.client(false).Get(g.url("/"))
	if status, _ := read(t, res, err); status != 200 { // a user who is active again
		t.Errorf("%d", status)
	}
}

func TestAStreamEndsWhenItsCredentialExpires(t *testing.T) {
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	g := start(t, b.URL, false)
	g.user, g.expires = alice(), time.Now().Add(300*time.Millisecond)
	res, err := g.client(false).Get(g.url("/"))
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
	twice(t, func(t *testing.T, http2 bool) {
		gone := make(chan struct{})
		b := newBackend(t, func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			close(gone)
		})
		g := start(t, b.URL, true)
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		defer cancel()
		req, _ := http.NewRequestWithContext(ctx, "GET", g.url("/"), nil)
		if res, err := g.client(http2).Do(req); err == nil {
			_ = res.Body.Close()
		}
		<-gone
		if c := g.completion(); c.Status != 499 || c.Err != nil {
			t.Errorf("%+v", c)
		}
	})
}

func TestADrainTellsClientsAndLosesNothing(t *testing.T) {
	twice(t, func(t *testing.T, http2 bool) {
		slow := make(chan struct{})
		b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				w.(http.Flusher).Flush()
				<-slow
				fmt.Fprint(w, "whole")
			}
		})
		g := start(t, b.URL, true)
		client := g.client(http2)
		res, err := client.Get(g.url("/slow"))
		if err != nil {
			t.Fatal(err)
		}
		drained := make(chan error, 1)
		go func() { drained <- g.l.Drain(context.Background()) }()
		time.Sleep(50 * time.Millisecond)
		close(slow)
		if _, body := read(t, res, nil); body != "whole" {
			t.Errorf("%q", body)
		}
		if err := <-drained; err != nil {
			t.Error(err)
		}
	})
}

func TestAMisdirectedRequestIsSaidSo(t *testing.T) {
	b := newBackend(t, func(http.ResponseWriter, *http.Request) {})
	g := start(t, b.URL, true, func(_ *model.Set, d *Deps) {})
	g.door.deps.TLS = elsewhere{g.door.deps.TLS}
	res, err := g.client(true).Get(g.url("/"))
	if status, body := read(t, res, err); status != 421 || !strings.Contains(body, "misdirected") || b.count() != 0 {
		t.Errorf("%d %s", status, body)
	}
	if g.decided[0] != "GET misdirected" {
		t.Error(g.decided)
	}
}

type elsewhere struct{ Handshake }

func (elsewhere) Misdirected(string, string) bool { return true }

// An HTTP/2 client that gives a stream no window holds it open without a byte of
// the connection being stuck.
func TestAStreamWithoutWindowIsCut(t *testing.T) {
	gone := make(chan struct{})
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		for b := make([]byte, 32<<10); ; {
			if _, err := w.Write(b); err != nil {
				close(gone)
				return
			}
		}
	})
	g := start(t, b.URL, true)
	res, err := g.client(true).Get(g.url("/")) // and reads nothing of it
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-gone:
	case <-time.After(5 * time.Second):
		t.Error("it is held for ever")
	}
	_ = res.Body.Close()
	if c := g.completion(); c.Status != 200 {
		t.Errorf("%+v", c)
	}
}

func TestAStreamThatSaysNothingForLongIsNotCut(t *testing.T) {
	twice(t, func(t *testing.T, http2 bool) {
		b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, "first ")
			w.(http.Flusher).Flush()
			time.Sleep(1200 * time.Millisecond) // more than twice the limit
			fmt.Fprint(w, "last")
		})
		g := start(t, b.URL, true)
		res, err := g.client(http2).Get(g.url("/"))
		if _, body := read(t, res, err); body != "first last" {
			t.Errorf("%q", body)
		}
	})
}

func TestAnUploadThatTheServiceIsSlowToTakeIsNotTheClientsFault(t *testing.T) {
	twice(t, func(t *testing.T, http2 bool) {
		b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(1200 * time.Millisecond)
			n, err := io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, n, err)
		})
		none := model.Size(0)
		g := start(t, b.URL, true, route(func(r *model.Route) { r.BodyBytes = &none }))
		req, _ := http.NewRequest("PUT", g.url("/"), io.LimitReader(zeros{}, 16<<20))
		res, err := g.client(http2).Do(req)
		if _, body := read(t, res, err); body != fmt.Sprint(16<<20, " <nil>") {
			t.Errorf("%q", body)
		}
	})
}

func TestWhatAHopSaysOfItself(t *testing.T) {
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header.Get("Max-Forwards"), " ", r.Header.Get("Via"))
	})
	g := start(t, b.URL, false)
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
		g.completion()
	}
	before := b.count()
	res, _, err := g.talk("OPTIONS /a HTTP/1.1\r\nHost: x\r\nMax-Forwards: 0\r\n\r\n")
	if err != nil || res.StatusCode != 204 || res.Header.Get("X-Request-Id") == "" || b.count() != before {
		t.Errorf("Max-Forwards: 0 went on: %v %v, the backend saw %d", res, err, b.count()-before)
	}
	g.completion()
	g = start(t, b.URL, true)
	res, err = g.client(true).Get(g.url("/a"))
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if !strings.HasPrefix(string(text), " 2.0 ") {
		t.Errorf("HTTP/2: %q", text)
	}
	g.completion()
}
