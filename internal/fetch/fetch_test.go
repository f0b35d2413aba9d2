package fetch

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
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
