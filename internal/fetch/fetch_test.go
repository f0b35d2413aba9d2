package fetch

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestOnlyGoodAnswersAreTaken(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("stolen")) }))
	defer other.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("/good", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("keys")) })
	mux.Handle("/moved", http.RedirectHandler("/good", http.StatusFound))
	mux.Handle("/away", http.RedirectHandler(other.URL+"/good", http.StatusFound))
	mux.Handle("/round", http.RedirectHandler("/round", http.StatusFound))
	mux.HandleFunc("/broken", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(strings.Repeat("x", 2000))) })
	mux.HandleFunc("/endless", func(w http.ResponseWriter, _ *http.Request) {
		for range 10000 {
			if _, err := w.Write([]byte(strings.Repeat("x", 1<<16))); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/slow", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	idp := httptest.NewServer(mux)
	defer idp.Close()
	c := New(Options{MaxBytes: 1000, Timeout: 300 * time.Millisecond})
	for _, tc := range []struct{ name, url, body, fault string }{
		{"a document is taken", idp.URL + "/good", "keys", ""},
		{"a redirect within the host is followed", idp.URL + "/moved", "keys", ""},
		{"a redirect to another host is not", idp.URL + "/away", "", "another place"},
		{"a redirect in a circle ends", idp.URL + "/round", "", "redirects"},
		{"a failure is no document", idp.URL + "/broken", "", "500"},
		{"a large document is refused", idp.URL + "/large", "", "larger"},
		{"an endless document is cut off", idp.URL + "/endless", "", "larger"},
		{"a slow answer is not waited for", idp.URL + "/slow", "", "deadline"},
		{"plain http elsewhere is refused", "http://192.0.2.1/keys", "", "https"},
		{"a URL with a password is refused", "https://u:p@192.0.2.1/keys", "", "https"},
		{"a file is not fetched", "file:///etc/passwd", "", "https"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			start := time.Now()
			b, err := c.Get(context.Background(), tc.url)
			if string(b) != tc.body || (err == nil) != (tc.fault == "") || err != nil && !strings.Contains(err.Error(), tc.fault) {
				t.Errorf("got %d bytes, error %v", len(b), err)
			}
			if time.Since(start) > 2*time.Second {
				t.Error("took too long")
			}
		})
	}
}

func TestNothingStaysBehind(t *testing.T) {
	defer goleak.VerifyNone(t)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("{}")) }))
	defer s.Close()
	if _, err := New(Options{}).Get(context.Background(), s.URL); err != nil {
		t.Fatal(err)
	}
}

func TestSendAsksOnceAndFollowsNothing(t *testing.T) {
	var elsewhere int
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere++ }))
	defer other.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /form", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", "Wed, 18 Nov 2026 10:00:00 GMT")
		w.WriteHeader(400)
		w.Write([]byte(r.Header.Get("Authorization") + " " + r.Header.Get("Content-Type") + " " + r.FormValue("code")))
	})
	mux.HandleFunc("GET /form", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("got")) })
	mux.Handle("/away", http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	mux.Handle("/near", http.RedirectHandler("/form", http.StatusTemporaryRedirect))
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(strings.Repeat("x", 2000))) })
	idp := httptest.NewServer(mux)
	defer idp.Close()
	c := New(Options{MaxBytes: 1000})
	form := url.Values{"code": {"a&b"}}
	for _, tc := range []struct {
		name   string
		ask    Request
		status int
		body   string
		fault  string
	}{
		{"a form is posted with its authorization, and any status comes back", Request{URL: idp.URL + "/form", Form: form, Authorization: "Basic x"}, 400, "Basic x application/x-www-form-urlencoded a&b", ""},
		{"without a form it is a GET", Request{URL: idp.URL + "/form", Authorization: "Bearer x"}, 200, "got", ""},
		{"a redirect elsewhere is not followed", Request{URL: idp.URL + "/away", Form: form}, 307, "", ""},
		{"a redirect within the host is not either", Request{URL: idp.URL + "/near", Form: form}, 307, "", ""},
		{"a large answer is none", Request{URL: idp.URL + "/large"}, 0, "", "larger"},
		{"plain http elsewhere is not asked", Request{URL: "http://192.0.2.1/", Form: form}, 0, "", "https"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, err := c.Send(context.Background(), tc.ask)
			if tc.fault != "" {
				if err == nil || !strings.Contains(err.Error(), tc.fault) {
					t.Fatalf("%v %v", a, err)
				}
				return
			}
			if err != nil || a.Status != tc.status || string(a.Body) != tc.body {
				t.Fatalf("%+v %v", a, err)
			}
		})
	}
	if elsewhere != 0 {
		t.Error("a form went to another host")
	}
}

func TestErrorsTellTheirCause(t *testing.T) {
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-r.Context().Done()
		}
		w.WriteHeader(502)
	}))
	defer plain.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	c := New(Options{Timeout: 300 * time.Millisecond})
	for _, tc := range []struct {
		name, url string
		want      Cause
	}{
		{"a certificate that nobody vouches for", secure.URL, CauseTLS},
		{"no TLS at all", strings.Replace(plain.URL, "http:", "https:", 1), CauseTLS},
		{"nobody listens", gone.URL, CauseConnect},
		{"an answer of another status", plain.URL, CauseHTTP},
		{"no answer in time", plain.URL + "/slow", CauseTimeout},
		{"no URL that is asked", "http://192.0.2.1/", CauseDocument},
	} {
		_, err := c.Get(context.Background(), tc.url)
		if got := CauseOf(fmt.Errorf("fetching: %w", err)); err == nil || got != tc.want {
			t.Errorf("%s: %q for %v", tc.name, got, err)
		}
	}
	if got := CauseOf(&net.OpError{Err: &net.DNSError{Name: "idp.invalid", IsNotFound: true}}); got != CauseDNS {
		t.Errorf("an unknown name: %q", got)
	}
	if CauseOf(nil) != CauseNone {
		t.Error("no error has a cause")
	}
}

func TestAKeptConnectionThatHasEndedIsNoFailureOfARepeatableQuestion(t *testing.T) {
	var dialled atomic.Int32
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Idempotency-Key") != "" || r.FormValue("token") != "t" {
			w.WriteHeader(400)
		}
	}))
	s.Config.ConnState = func(_ net.Conn, st http.ConnState) {
		if st == http.StateNew {
			dialled.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	c := New(Options{Idle: 2})
	defer c.Close()
	ask := func() {
		t.Helper()
		a, err := c.Send(context.Background(), Request{URL: s.URL, Form: url.Values{"token": {"t"}}, Repeatable: true})
		if err != nil || a.Status != 200 {
			t.Fatalf("%v %+v", err, a)
		}
	}
	for range 5 {
		ask()
	}
	if n := dialled.Load(); n != 1 {
		t.Errorf("five questions took %d connections", n)
	}
	for range 20 {
		s.CloseClientConnections()
		ask()
	}
}
