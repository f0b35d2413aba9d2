package h2

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/door/targettest"
	"github.com/sallyport/sallyport/internal/model"
)

func TestOddButLegitimateRequestsPass(t *testing.T) {
	b := targettest.New(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Method, " ", r.Host, r.RequestURI) })
	g := start(t, b.URL, false, route(func(r *model.Route) { r.Path = model.PathVerbatim }))
	c := g.dial()
	for i, x := range []struct {
		pairs []string
		want  string
	}{
		{[]string{":method", "GET", ":scheme", "http", ":path", "/a%2Fb?c=d&e", "host", "x:81"}, "GET x:81/a%2Fb?c=d&e"},
		{[]string{":path", "/z", ":authority", "X", ":scheme", "https", ":method", "PROPFIND", "host", "x"}, "PROPFIND X/z"},
		{[]string{":method", "OPTIONS", ":scheme", "http", ":path", "/z", ":authority", "[::1]:80"}, "OPTIONS [::1]:80/z"},
		{with(get, "te", "trailers", "x-utf8", "grüße", "x-empty", ""), "GET x/"},
		{with(get, "cookie", strings.Repeat("c", 8000), "priority", "u=1"), "GET x/"},
	} {
		id := uint32(2*i + 1)
		c.Request(id, true, x.pairs...)
		if fields, body, _ := c.Answer(id); body != x.want {
			t.Errorf("%v: %s%q", x.pairs, fields, body)
		}
	}
	if h := b.Last().Header; h.Get("Priority") != "u=1" {
		t.Errorf("%v", h)
	}
}

func TestAMalformedRequestIsRecordedAndNeverForwarded(t *testing.T) {
	b := targettest.New(t, targettest.Echo)
	g := start(t, b.URL, false)
	c := g.dial()
	c.Request(1, true, with(get, "X", "y")...)
	if fields, body, _ := c.Answer(1); !strings.Contains(fields, "x-request-id: ") || !strings.Contains(body, "request_malformed") {
		t.Errorf("%s%s", fields, body)
	}
	if r := g.Completion(); r.Status != 400 {
		t.Errorf("%+v", r)
	}
	if d := g.Verdicts(); len(d) != 1 || d[0] != "GET request_malformed" || b.Count() != 0 {
		t.Errorf("%v, %d forwarded", d, b.Count())
	}
}

func TestCookieCrumbsAreJoinedBeforeAnythingIsDecided(t *testing.T) {
	b := targettest.New(t, targettest.Echo)
	g := start(t, b.URL, false)
	c := g.dial()
	c.Request(1, true, with(get, "cookie", "a=1", "x", "y", "cookie", "b=2", "cookie", "__Host-sallyport=stolen")...)
	c.Answer(1)
	if got := b.Last().Header["Cookie"]; len(got) != 1 || got[0] != "a=1; b=2" {
		t.Errorf("%q", got)
	}
}
