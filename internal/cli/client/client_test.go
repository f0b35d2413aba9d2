package client

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

func serve(t *testing.T, h http.HandlerFunc, o Options) *Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	o.Server = s.URL + "/"
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func remedy(err error) string {
	var r interface{ Remedy() string }
	if errors.As(err, &r) {
		return r.Remedy()
	}
	return ""
}

func TestACallSendsWhatItSays(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if r.Method != "PUT" || r.URL.EscapedPath() != "/v2/users/a%2Fb%20c" || r.URL.RawQuery != "dryRun=true" || user != "admin" || password != "p" ||
			r.Header.Get("Content-Type") != "application/json" || r.Header.Get("X-Reason") != "why" || r.Header.Get("User-Agent") != "test" {
			t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
		}
		_, _ = w.Write([]byte(`{"ok": true}`))
	}, Options{User: "admin", Password: "p", Agent: "test"})
	var out struct{ OK bool }
	err := c.Do(context.Background(), Call{Method: "PUT", Path: Path("v2", "users", "a/b c"), Query: map[string][]string{"dryRun": {"true"}}, Body: map[string]int{"a": 1}, Reason: "why"}, &out)
	if err != nil || !out.OK {
		t.Error(err, out)
	}
}

func TestRefusalsBecomeProblems(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(422)
		_ = json.NewEncoder(w).Encode(map[string]any{"status": 422, "code": "invalid", "detail": "It does not hold together.", "requestId": "r1",
			"errors": []map[string]string{{"path": "routes[0]", "message": "is bad"}}})
	}, Options{Token: "t"})
	err := c.Do(context.Background(), Call{Method: "GET", Path: "/"}, nil)
	var p *Problem
	if !errors.As(err, &p) || p.Code != model.Invalid || len(p.Faults) != 1 || p.Faults[0].Path != "routes[0]" || !strings.Contains(err.Error(), "request r1") {
		t.Errorf("%v %+v", err, p)
	}
}

func TestWhatIsNotTheAdminAPIIsSaidSo(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"a page": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", 404) },
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://elsewhere.example.com/", http.StatusFound)
		},
		"a problem of another maker": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(500)
			_, _ = w.Write([]byte(`{"title": "x"}`))
		},
	} {
		err := serve(t, h, Options{Token: "t"}).Do(context.Background(), Call{Method: "GET", Path: "/"}, nil)
		if err == nil || !strings.Contains(remedy(err), "--server") {
			t.Errorf("%s: %v; %s", name, err, remedy(err))
		}
	}
}

func TestALoginNeverFollowsARedirect(t *testing.T) {
	followed := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed = true }))
	defer other.Close()
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	}, Options{User: "admin", Password: "p"})
	if err := c.Do(context.Background(), Call{Method: "GET", Path: "/"}, nil); err == nil || followed {
		t.Errorf("%v; followed: %v", err, followed)
	}
}

func TestWhoDoesNotAnswerIsGivenUp(t *testing.T) {
	c := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, Options{Token: "t"})
	err := c.Do(context.Background(), Call{Method: "GET", Path: "/", Patience: 50 * time.Millisecond}, nil)
	if err == nil || !strings.Contains(err.Error(), "did not answer in time") {
		t.Error(err)
	}
}

func TestSecretsAreNotSentInTheClear(t *testing.T) {
	for server, ok := range map[string]bool{
		"http://gateway.example.com": false, "https://gateway.example.com": true, "http://127.0.0.1:1": true, "http://[::1]:1": true,
		"http://127.0.0.1.example.com": false, "ftp://x": false, "": false,
	} {
		if _, err := New(Options{Server: server}); (err == nil) != ok {
			t.Errorf("%s: %v", server, err)
		}
	}
	if _, err := New(Options{Server: "http://gateway.example.com", Insecure: true}); err != nil {
		t.Error("--insecure:", err)
	}
}

func TestTLSThatIsNoneIsSaidSo(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	c, err := New(Options{Server: strings.Replace(s.URL, "http:", "https:", 1), Token: "t"})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Do(context.Background(), Call{Method: "GET", Path: "/"}, nil); err == nil || !strings.Contains(err.Error(), "does not speak TLS") {
		t.Error(err)
	}
}
