package doortest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/door/targettest"
	"github.com/sallyport/sallyport/internal/model"
)

// Ways in which a request is sent: without a body, and with one that comes later
// and has no length. Doors forward them differently.
var (
	whole    = func() io.Reader { return nil }
	streamed = func() io.Reader {
		pr, pw := io.Pipe()
		time.AfterFunc(50*time.Millisecond, func() { _ = pw.Close() })
		return pr
	}
)

func edited(t *testing.T, d Door) {
	b := targettest.New(t, func(w http.ResponseWriter, r *http.Request) {
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
	g := d.start(t, b.URL, Route(func(r *model.Route) {
		r.Edit.Response.Set = map[string]string{"X-Old": "new"}
		r.Edit.Response.Remove = []string{"Server"}
		r.CORS = &model.CORS{Origins: []string{"https://app.example"}}
		r.CORS.Defaults()
	}))
	for _, x := range []struct {
		method string
		body   func() io.Reader
	}{{"GET", whole}, {"POST", whole}, {"POST", streamed}} {
		req, _ := http.NewRequest(x.method, g.URL("/"), x.body())
		req.Header.Set("Origin", "https://app.example")
		res, err := g.Client().Do(req)
		Read(t, res, err)
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

func withoutBody(t *testing.T, d Door) {
	b := targettest.New(t, func(w http.ResponseWriter, r *http.Request) {
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
	g := d.start(t, b.URL)
	client := g.Client()
	for _, streams := range []bool{false, true, false} { // the connection stays usable
		for _, c := range []struct {
			method, path string
			status       int
			length       int64
		}{{"GET", "/204", 204, 0}, {"GET", "/304", 304, 0}, {"GET", "/0", 200, 0}, {"HEAD", "/", 200, 1234}} {
			req, _ := http.NewRequest(c.method, g.URL(c.path), nil)
			if streams && c.method != "HEAD" {
				req, _ = http.NewRequest("PUT", g.URL(c.path), streamed())
			}
			res, err := client.Do(req)
			status, body := Read(t, res, err)
			if status != c.status || body != "" || c.method == "HEAD" && res.ContentLength != c.length {
				t.Errorf("%s %s: %d %q, length %d", c.method, c.path, status, body, res.ContentLength)
			}
			if c.method == "HEAD" && res.Header.Get("Content-Type") != "" {
				t.Error("a content type was guessed")
			}
		}
	}
}

func interim(t *testing.T, d Door) {
	b := targettest.New(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(103)
		w.Header().Del("Link")
		w.WriteHeader(200)
	})
	for method, body := range map[string]func() io.Reader{"GET": whole, "POST": streamed} {
		g := d.start(t, b.URL)
		var got []string
		ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				got = append(got, fmt.Sprint(code, " ", h.Get("Link")))
				return nil
			}})
		req, _ := http.NewRequestWithContext(ctx, method, g.URL("/"), body())
		res, err := g.Client().Do(req)
		if status, _ := Read(t, res, err); status != 200 || res.Header.Get("Link") != "" {
			t.Errorf("%d %v", status, res.Header)
		}
		if len(got) != 1 || got[0] != "103 </style.css>; rel=preload" {
			t.Errorf("%s: %v", method, got)
		}
	}
}

func via(t *testing.T, d Door) {
	b := targettest.New(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header.Get("Via")) })
	g := d.start(t, b.URL)
	want := "1.1 gw.test"
	if d.HTTP2 {
		want = "2.0 gw.test"
	}
	res, err := g.Client().Get(g.URL("/"))
	if _, body := Read(t, res, err); body != want {
		t.Errorf("%q, want %q", body, want)
	}
}

func trailers(t *testing.T, d Door) {
	b := targettest.New(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Trailer", "X-Sum")
		fmt.Fprint(w, "body")
		w.Header().Set("X-Sum", r.Trailer.Get("X-Sum"))
		w.Header().Set(http.TrailerPrefix+"X-Undeclared", "yes")
		w.Header().Set(http.TrailerPrefix+"Set-Cookie", "a=b")
	})
	for _, declared := range []bool{true, false} {
		g := d.start(t, b.URL)
		req, _ := http.NewRequest("POST", g.URL("/"), io.MultiReader(strings.NewReader("x")))
		req.Trailer = http.Header{"X-Sum": {"42"}, "X-User": {"mallory"}, "X_user_id": {"1"}, "X-Forwarded-For": {"1.2.3.4"}}
		if !d.HTTP2 { // where net/http's client refuses them as a whole
			req.Trailer["Authorization"], req.Trailer["Cookie"] = []string{"Basic x"}, []string{"a=b"}
		}
		if !declared {
			req.Header.Set("Te", "trailers")
			req.Trailer = nil
		}
		res, err := g.Client().Do(req)
		if _, body := Read(t, res, err); body != "body" {
			t.Error(body)
		}
		want := map[bool]string{true: "42"}[declared]
		if tr := res.Trailer; tr.Get("X-Sum") != want || tr.Get("X-Undeclared") != "yes" || tr.Get("Set-Cookie") != "" {
			t.Errorf("declared %v: trailers at the client: %v", declared, tr)
		}
		if tr := b.Last().Trailer; tr.Get("X-Sum") != want || declared && len(tr) != 1 || len(tr) > 1 {
			t.Errorf("trailers at the backend: %v", tr)
		}
		if te := b.Last().Header.Get("Te"); d.HTTP2 && !declared && te != "trailers" {
			t.Errorf("TE at the backend: %q", te)
		}
	}
}
