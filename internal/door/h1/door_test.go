package h1

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/model"
)

// both runs a test over a plain and a TLS connection.
func both(t *testing.T, f func(t *testing.T, o ...option)) {
	t.Run("plain", func(t *testing.T) { t.Parallel(); f(t) })
	t.Run("TLS", func(t *testing.T) { t.Parallel(); f(t, secure) })
}

func TestARequestPassesAndIsRecorded(t *testing.T) {
	both(t, func(t *testing.T, o ...option) {
		x := newTarget(t, func(_ int, s seen) answer {
			return answer{raw: "HTTP/1.1 201 Made\r\nContent-Length: 5\r\nX-From: target\r\nX-Request-Id: forged\r\n\r\nhello"}
		})
		g := start(t, x.addr(), o...)
		c := g.client()
		for range 3 { // the connection is kept, on both sides
			c.send("POST /orders/7%20x?a=b&c HTTP/1.1\r\nHost: api.example.com:8443\r\nX-User: mallory\r\nConnection: Via, X-Extra\r\nX-Extra: 1\r\nContent-Length: 3\r\n\r\nabc")
			h := c.must("POST")
			id := h.Header.Get("X-Request-Id")
			if h.StatusCode != 201 || h.Status != "201 Made" || h.body != "hello" || len(id) != 32 || h.Header.Get("X-From") != "target" || h.Header.Get("Date") == "" {
				t.Fatalf("%s %v %q", h.Status, h.Header, h.body)
			}
			all := x.requests()
			s := all[len(all)-1]
			if s.Method != "POST" || s.RequestURI != "/orders/7%20x?a=b&c" || s.Host != "api.example.com:8443" || s.body != "abc" {
				t.Errorf("the target saw %s %s %s %q", s.Method, s.RequestURI, s.Host, s.body)
			}
			if s.Header.Get("X-Request-Id") != id || s.Header.Get("X-User") != "" || s.Header.Get("Via") == "" || s.Header.Get("X-Extra") != "" {
				t.Errorf("the target saw %v", s.Header)
			}
			d := g.Decisions()
			if last := d[len(d)-1]; last.ID != id || last.Code != model.Allowed || last.Target != s.RequestURI {
				t.Errorf("decided %+v", last)
			}
			if done := g.Completion(); done.Status != 201 || done.BytesIn != 3 || done.BytesOut != 5 || done.Err != nil || done.Target <= 0 || done.Duration < done.Target {
				t.Errorf("%+v", done)
			}
		}
		if n := len(x.bytes()); n != 1 {
			t.Errorf("%d connections to the target", n)
		}
	})
}

func TestTheBytesThatTheTargetSees(t *testing.T) {
	x := newTarget(t, nil)
	g := start(t, x.addr())
	c := g.client()
	c.send("GET /a HTTP/1.1\r\nhost: x\r\nAccept:*/*\r\nX-Caf\x65:  \xc3\xa9 \r\n\r\n")
	h := c.must("GET")
	want := "GET /a HTTP/1.1\r\nHost: x\r\nAccept: */*\r\nX-Cafe: \xc3\xa9\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Host: x\r\n" +
		"X-Forwarded-Proto: http\r\nX-Forwarded-Port: 80\r\nX-Request-Id: " + h.Header.Get("X-Request-Id") + "\r\nVia: 1.1 gw.test\r\nCDN-Loop: gw.test\r\n\r\n"
	if got := x.bytes()[0]; got != want {
		t.Errorf("the target saw\n%q, want\n%q", got, want)
	}
}

func TestTheGatewaysOwnPathsAreAnsweredBeforeRouting(t *testing.T) {
	x := newTarget(t, nil)
	g := start(t, x.addr(), func(s *setup) {
		s.Local = func(host, path string) http.Handler {
			if path != "/.sallyport/own" && (path != "/.well-known/jwks.json" || host != "api.example.com") {
				return nil
			}
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				b := make([]byte, 100)
				n, _ := r.Body.Read(b)
				w.Header().Set("Content-Length", "999")
				w.Header().Set("Connection", "close")
				fmt.Fprint(w, "own ", r.Method, " ", r.URL, " ", r.Header.Get("X"), " ", string(b[:n]))
			})
		}
	})
	for raw, want := range map[string]string{
		"GET /.sallyport/own?a HTTP/1.1\r\nHost: any\r\nX: y\r\n\r\n":                                             "200 own GET /.sallyport/own?a y ",
		"POST /.sallyport/own HTTP/1.1\r\nHost: any\r\nContent-Length: 4\r\n\r\nform":                             "200 own POST /.sallyport/own  form",
		"POST /.sallyport/own HTTP/1.1\r\nHost: any\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nform\r\n0\r\n\r\n":  "200 own POST /.sallyport/own  form",
		"HEAD /.sallyport/own HTTP/1.1\r\nHost: any\r\n\r\n":                                                      "200 ",
		"GET /.well-known/jwks.json HTTP/1.1\r\nHost: api.example.com\r\n\r\n":                                    "200 own GET /.well-known/jwks.json  ",
		"GET /.well-known/jwks.json HTTP/1.1\r\nHost: other\r\n\r\n":                                              "200 ok",
		"GET /.sallyport/other HTTP/1.1\r\nHost: any\r\n\r\n":                                                     "404 ",
		"GET /./%2Esallyport/own HTTP/1.1\r\nHost: any\r\n\r\n":                                                   "404 ",
		"POST /.sallyport/own HTTP/1.1\r\nHost: any\r\nContent-Length: 99999999\r\n\r\n":                          "413 ",
		"POST /.sallyport/own HTTP/1.1\r\nHost: any\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\nform":     "100 ",
		"POST /.sallyport/own HTTP/1.1\r\nHost: any\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nform\r\n0\r\n\r\n": "400 ",
	} {
		all, _ := g.talk(raw)
		if len(all) == 0 {
			t.Errorf("%q: no answer", raw)
			continue
		}
		if got := fmt.Sprint(all[0].StatusCode, " ", all[0].body); !strings.HasPrefix(got, want) || all[0].StatusCode != 100 && all[0].Header.Get("X-Request-Id") == "" {
			t.Errorf("%q: %s", raw, got)
		}
		if all[0].StatusCode == 100 && (len(all) != 2 || all[1].StatusCode != 200) {
			t.Errorf("%q: nothing behind 100", raw)
		}
	}
	if n := len(x.requests()); n != 1 {
		t.Errorf("the target saw %d requests", n)
	}
}

func TestTRACEIsNotServed(t *testing.T) {
	x := newTarget(t, nil)
	g := start(t, x.addr())
	all, _ := g.talk("TRACE / HTTP/1.1\r\nHost: x\r\n\r\n")
	if len(all) != 1 || all[0].StatusCode != 405 || all[0].Header.Get("Allow") == "" || len(x.requests()) != 0 {
		t.Errorf("%+v", all)
	}
}

func TestNothingIsForwardedThatCannotBeRecorded(t *testing.T) {
	x := newTarget(t, nil)
	g := start(t, x.addr())
	g.Full.Store(true)
	for _, raw := range []string{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", "GET / HTTP/1.1\nHost: x\n\n"} {
		if all, _ := g.talk(raw); len(all) != 1 || all[0].StatusCode != 503 || !strings.Contains(all[0].body, "audit_unavailable") {
			t.Errorf("%q: %+v", raw, all)
		}
	}
	if len(x.bytes()) != 0 {
		t.Error("the target was asked")
	}
}

func TestAFaultOfOurOwnIsA500ThatIsCounted(t *testing.T) {
	x := newTarget(t, nil)
	g := start(t, x.addr(), func(s *setup) {
		s.Before = func(ex *gate.Exchange) {
			if ex.Host == "panic" {
				panic("a fault")
			}
		}
	})
	all, closed := g.talk("GET / HTTP/1.1\r\nHost: panic\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if panics := g.Panics.Swap(0); len(all) != 1 || all[0].StatusCode != 500 || !closed || panics != 1 {
		t.Errorf("%d answers, closed %v, %d panics", len(all), closed, panics)
	}
	if done := g.Completion(); done.Err == nil || done.Err.Code != model.Internal {
		t.Errorf("%+v", done)
	}
	if all, _ := g.talk("GET / HTTP/1.1\r\nHost: x\r\n\r\n"); len(all) != 1 || all[0].StatusCode != 200 {
		t.Error("the gateway does not serve any more")
	}
}
