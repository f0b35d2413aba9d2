package h2

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"sort"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"github.com/sallyport/sallyport/internal/door/doortest"
	"github.com/sallyport/sallyport/internal/door/standard"
	"github.com/sallyport/sallyport/internal/door/targettest"
	"github.com/sallyport/sallyport/internal/model"
)

// second serves the same gate, and the same way out, by the standard library.
func (g *rig) second(t *testing.T) *rig {
	d := standard.New(standard.Config{}, standard.Deps{Deps: g.Deps(), Pools: g.Pools})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: d, ConnContext: d.ConnContext, DisableGeneralOptionsHandler: true, Protocols: new(http.Protocols), MaxHeaderBytes: 32 << 10}
	srv.Protocols.SetUnencryptedHTTP2(true)
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(ln) }()
	t.Cleanup(func() { _ = srv.Close(); <-done })
	return &rig{Rig: &doortest.Rig{T: t, World: g.World, Running: doortest.Running{Host: ln.Addr().String()}}}
}

var unique = regexp.MustCompile(`[0-9a-f]{32}|127\.0\.0\.1:[0-9]+`)

// different is where the two rightly differ: a body that is there already has a
// known length, and its client need not be told to go on.
var different = regexp.MustCompile(`(?i)content-length[^\n]*\n|:status: 100\n`)

// outcome is what a client sees, less what is new in every answer.
func outcome(c *raw, id uint32) string {
	var list []string
	body := ""
	for {
		e := c.Next()
		switch {
		case e.Kind == "rst" && e.Stream == id && len(list) > 0 && e.Code == http2.ErrCodeNo:
			continue
		case e.Kind == "rst" && e.Stream == id:
			return "reset"
		case e.Kind == "closed", e.Kind == "silence", e.Kind == "goaway":
			return e.Kind
		case e.Stream != id:
			continue
		case e.Kind == "headers":
			for line := range strings.SplitSeq(strings.TrimSuffix(e.Fields, "\n"), "\n") {
				if !strings.HasPrefix(line, "date: ") {
					list = append(list, unique.ReplaceAllString(line, "…"))
				}
			}
		case e.Kind == "data":
			body += e.Data
		}
		if e.End {
			sort.Strings(list)
			return different.ReplaceAllString(strings.Join(list, "\n")+"\n\n"+unique.ReplaceAllString(body, "…"), "")
		}
	}
}

func TestBothEnginesGiveTheSameAnswers(t *testing.T) {
	b := targettest.New(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		h := w.Header()
		switch r.URL.Path {
		case "/cookies":
			h.Add("Set-Cookie", "a=1")
			h.Add("Set-Cookie", "__Host-sallyport=x")
			h.Set("X-Request-Id", "mine")
			h.Set("Vary", "Accept")
		case "/304":
			h.Set("ETag", `"x"`)
			w.WriteHeader(304)
			return
		case "/trailers":
			h.Set("Trailer", "X-Sum")
			_, _ = w.Write(body)
			h.Set("X-Sum", "1")
			return
		case "/chunked":
			_, _ = w.Write([]byte("a"))
			w.(http.Flusher).Flush()
		case "/early":
			w.WriteHeader(103)
		}
		h["Content-Type"] = []string{"text/plain"}
		keys := make([]string, 0, len(r.Header))
		for k, v := range r.Header {
			keys = append(keys, fmt.Sprint(k, v))
		}
		sort.Strings(keys)
		_, _ = fmt.Fprintf(w, "%s %s %s %s\n%q %v", r.Method, r.RequestURI, r.Host, strings.Join(keys, "\n"), body, r.Trailer)
	})
	local := func(_, path string) http.Handler {
		if path == "/.sallyport/healthz" {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/plain")
				_, _ = io.WriteString(w, "ok\n")
			})
		}
		return nil
	}
	limit := model.Size(100)
	g := start(t, b.URL, false, route(func(r *model.Route) {
		r.BodyBytes, r.Methods = &limit, []string{"GET", "POST", "OPTIONS", "PURGE"}
		r.CORS = &model.CORS{Origins: []string{"https://app.example"}, Methods: []string{"POST"}}
		r.CORS.Defaults()
	}), func(w *world) { w.Local = local })
	other := g.second(t)
	head := func(method, path string, more ...string) []string {
		return append([]string{":method", method, ":scheme", "https", ":path", path, ":authority", "api.example.com"}, more...)
	}
	for _, x := range []struct {
		name string
		head []string
		body string
	}{
		{"a plain request", head("GET", "/a?b=c", "user-agent", "x", "accept", "*/*"), ""},
		{"identity headers", head("GET", "/", "x-user", "mallory", "x_user", "m", "http_x_user", "m", "x-request-id", "mine"), ""},
		{"routing headers", head("GET", "/", "x-forwarded-for", "1.2.3.4", "forwarded", "for=x", "via", "1.1 y"), ""},
		{"cookies in crumbs", head("GET", "/", "cookie", "a=1", "cookie", "b=2"), ""},
		{"a body", head("POST", "/", "content-length", "4"), "body"},
		{"a body of no length", head("POST", "/"), "body"},
		{"a body that is too large", head("POST", "/", "content-length", "101"), strings.Repeat("x", 101)},
		{"a body that is too large, of no length", head("POST", "/"), strings.Repeat("x", 101)},
		{"no route", head("GET", "/%2e%2e/x"), ""},
		{"an ambiguous path", head("GET", "/a%2Fb"), ""},
		{"a method that is not served", head("DELETE", "/"), ""},
		{"an unusual method", head("PURGE", "/"), ""},
		{"TRACE", head("TRACE", "/"), ""},
		{"the asterisk", head("OPTIONS", "*"), ""},
		{"a browser that is refused", head("DELETE", "/", "accept", "text/html", "sec-fetch-mode", "navigate", "sec-fetch-dest", "document"), ""},
		{"a preflight", head("OPTIONS", "/", "origin", "https://app.example", "access-control-request-method", "POST"), ""},
		{"a preflight of nobody's", head("OPTIONS", "/", "origin", "https://evil.example", "access-control-request-method", "POST"), ""},
		{"a cross-origin request", head("GET", "/cookies", "origin", "https://app.example"), ""},
		{"a cross-origin request that is refused", head("DELETE", "/", "origin", "https://app.example"), ""},
		{"an answer without a body", head("GET", "/304"), ""},
		{"an answer with trailers", head("POST", "/trailers", "te", "trailers"), "x"},
		{"an answer in chunks", head("GET", "/chunked"), ""},
		{"HEAD", head("HEAD", "/"), ""},
		{"HEAD that is refused", head("HEAD", "/a%2Fb"), ""},
		{"the gateway's own", head("GET", "/.sallyport/healthz"), ""},
		{"the gateway's own, HEAD", head("HEAD", "/.sallyport/healthz"), ""},
		{"none of the gateway's own", head("GET", "/.sallyport/x"), ""},
		{"a fragment", head("GET", "/#x"), ""},
		{"a byte outside ASCII", head("GET", "/\xe9"), ""},
		{"another Host", head("GET", "/", "host", "x"), ""},
		{"the same Host", head("GET", "/", "host", "API.example.com"), ""},
		{"no host", []string{":method", "GET", ":scheme", "https", ":path", "/"}, ""},
		{"OPTIONS for the last stop", head("OPTIONS", "/", "max-forwards", "0"), ""},
		{"OPTIONS for the last stop but four", head("OPTIONS", "/", "max-forwards", "5"), ""},
		{"a loop", head("GET", "/", "cdn-loop", "gw.test"), ""},
		{"expecting what is there", head("POST", "/", "expect", "100-continue", "content-length", "1"), "x"},
		{"a gRPC call that is refused", head("DELETE", "/", "content-type", "application/grpc"), ""},
		{"hop-by-hop fields of HTTP/1.1", head("GET", "/", "proxy-authorization", "x", "http2-settings", "AAA"), ""},
	} {
		var got [2]string
		for i, rig := range []*rig{g, other} {
			c := rig.dialAs(t)
			c.Hello()
			c.Request(1, x.body == "", x.head...)
			if x.body != "" {
				c.Frame(http2.FrameData, endStream, 1, []byte(x.body)...)
			}
			got[i] = outcome(c, 1)
		}
		if got[0] != got[1] {
			t.Errorf("%s:\n%s\n--- by the library:\n%s", x.name, got[0], got[1])
		}
	}
}
