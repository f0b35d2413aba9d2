package doortest

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/door/targettest"
	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/model"
)

func aRequestPasses(t *testing.T, d Door) {
	b := targettest.New(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-From", "backend")
		w.Header().Set("X-Request-Id", "forged by the backend")
		w.WriteHeader(201)
		fmt.Fprint(w, r.Method, " ", r.RequestURI, " ", r.Host, " ", string(body))
	})
	g := d.start(t, b.URL)
	req, _ := http.NewRequest("POST", g.URL("/orders/7%20x?a=b&c"), strings.NewReader("hello"))
	req.Host = "api.example.com:8443"
	req.Header.Set("X-User", "mallory")
	major, agent := 1, "Go-http-client/1.1"
	if d.HTTP2 {
		major, agent = 2, "Go-http-client/2.0"
	} else {
		req.Header.Set("Connection", "Via")
	}
	res, err := g.Client().Do(req)
	status, body := Read(t, res, err)
	if status != 201 || body != "POST /orders/7%20x?a=b&c api.example.com:8443 hello" {
		t.Errorf("%d %s", status, body)
	}
	id := res.Header.Get("X-Request-Id")
	seen := b.Last().Header
	if res.ProtoMajor != major || len(id) != 32 || seen.Get("X-Request-Id") != id || len(res.Header["X-Request-Id"]) != 1 || res.Header.Get("X-From") != "backend" {
		t.Errorf("%s, %v, id %q at the backend", res.Proto, res.Header, seen.Get("X-Request-Id"))
	}
	if seen.Get("X-User") != "" || seen.Get("Via") == "" || seen.Get("User-Agent") != agent {
		t.Errorf("the backend saw %v", seen)
	}
	c := g.Completion()
	if c.Status != 201 || c.BytesIn != 5 || c.BytesOut != int64(len(body)) || c.Target <= 0 || c.Duration < c.Target || c.Err != nil {
		t.Errorf("%+v", c)
	}
	if d := g.Decisions(); len(d) != 1 || d[0].Method != "POST" || d[0].Code != model.Allowed || d[0].ID != id {
		t.Errorf("%+v", d)
	}
}

func ownPaths(t *testing.T, d Door) {
	b := targettest.New(t, targettest.Nothing)
	g := d.start(t, b.URL, func(w *World) {
		w.Local = func(host, path string) http.Handler {
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
	client := g.Client()
	for _, x := range []struct{ method, host, path, want string }{
		{"GET", "any", "/.sallyport/healthz?x", "200 own "},
		{"HEAD", "any", "/.sallyport/healthz", "200 "},
		{"POST", "any", "/.sallyport/healthz", "200 own form"},
		{"GET", "api.example.com", "/.well-known/jwks.json", "200 own "},
		{"GET", "other", "/.well-known/jwks.json", "200 "},
		{"GET", "any", "/.sallyport/other", "404 "},
		{"GET", "any", "/./%2Esallyport/other", "404 "},
		{"TRACE", "any", "/", "405 "},
	} {
		req, _ := http.NewRequest(x.method, g.URL(x.path), nil)
		if x.method == "POST" {
			req, _ = http.NewRequest(x.method, g.URL(x.path), strings.NewReader("form"))
		}
		req.Host = x.host
		res, err := client.Do(req)
		status, body := Read(t, res, err)
		got := fmt.Sprint(status, " ", body)
		own := strings.HasPrefix(x.want, "200 own")
		if !strings.HasPrefix(got, x.want) || own && got != x.want || res.Header.Get("X-Request-Id") == "" {
			t.Errorf("%v: %s %v", x, got, res.Header)
		}
		if own && res.Header.Get("X-Local") != x.method+" "+x.path {
			t.Errorf("%v: asked for %q", x, res.Header.Get("X-Local"))
		}
	}
	if n := b.Count(); n != 1 {
		t.Errorf("the backend saw %d requests", n)
	}
}

func nothingUnrecorded(t *testing.T, d Door) {
	b := targettest.New(t, targettest.Nothing)
	g := d.start(t, b.URL)
	g.Full.Store(true)
	res, err := g.Client().Get(g.URL("/"))
	if status, body := Read(t, res, err); status != 503 || !strings.Contains(body, "audit_unavailable") || b.Count() != 0 {
		t.Errorf("%d %s", status, body)
	}
}

func aFaultOfOurOwn(t *testing.T, d Door) {
	b := targettest.New(t, targettest.Nothing)
	g := d.start(t, b.URL)
	g.Before = func(*gate.Exchange) { panic("a fault") }
	res, err := g.Client().Get(g.URL("/"))
	status, body := Read(t, res, err)
	if n := g.Panics.Swap(0); status != 500 || !strings.Contains(body, "internal_error") || n != 1 {
		t.Errorf("%d %s, counted %d", status, body, n)
	}
	if c := g.Completion(); c.Status != 500 || c.Err == nil || c.Err.Code != model.Internal {
		t.Errorf("%+v", c)
	}
}

// elsewhere says of every host that it belongs to another certificate.
type elsewhere struct{}

func (elsewhere) Facts(s *tls.ConnectionState) *model.TLSFacts {
	return &model.TLSFacts{ServerName: s.ServerName, Version: s.Version}
}

func (elsewhere) Misdirected(string, string) bool { return true }

func misdirected(t *testing.T, d Door) {
	b := targettest.New(t, targettest.Nothing)
	g := d.start(t, b.URL, func(w *World) { w.Secure, w.TLS = true, elsewhere{} })
	res, err := g.Client().Get(g.URL("/"))
	if status, body := Read(t, res, err); status != 421 || !strings.Contains(body, "misdirected") || b.Count() != 0 {
		t.Errorf("%d %s", status, body)
	}
	if v := g.Verdicts(); len(v) != 1 || v[0] != "GET misdirected" {
		t.Error(v)
	}
}

func preflight(t *testing.T, d Door) {
	b := targettest.New(t, targettest.Nothing)
	g := d.start(t, b.URL, Route(func(r *model.Route) {
		r.CORS = &model.CORS{Origins: []string{"https://app.example"}, Methods: []string{"PUT"}}
		r.CORS.Defaults()
	}))
	req, _ := http.NewRequest("OPTIONS", g.URL("/"), nil)
	req.Header.Set("Origin", "https://app.example")
	req.Header.Set("Access-Control-Request-Method", "PUT")
	res, err := g.Client().Do(req)
	if status, _ := Read(t, res, err); status != 204 || res.Header.Get("Access-Control-Allow-Origin") == "" || b.Count() != 0 {
		t.Errorf("%d %v, backend saw %d", status, res.Header, b.Count())
	}
	if c := g.Completion(); c.Status != 204 {
		t.Errorf("%+v", c)
	}
}
