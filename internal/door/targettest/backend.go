package targettest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// Backend is a real server that remembers what it saw. It ends with the test.
type Backend struct {
	*httptest.Server
	mu   sync.Mutex
	seen []*http.Request
}

// New starts a backend that answers by h.
func New(t testing.TB, h http.HandlerFunc) *Backend {
	t.Helper()
	b := &Backend{}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		b.seen = append(b.seen, r)
		b.mu.Unlock()
		h(w, r)
	}))
	t.Cleanup(b.Close)
	return b
}

// Gated starts a backend that answers nothing until it is let go, at the test's end
// at the latest.
func Gated(t testing.TB) (b *Backend, letGo func()) {
	t.Helper()
	gate := make(chan struct{})
	letGo = sync.OnceFunc(func() { close(gate) })
	b = New(t, func(http.ResponseWriter, *http.Request) { <-gate })
	t.Cleanup(letGo)
	return b, letGo
}

// Count is how many requests were seen.
func (b *Backend) Count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.seen)
}

// Last is the newest request, nil where none was seen.
func (b *Backend) Last() *http.Request {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.seen) == 0 {
		return nil
	}
	return b.seen[len(b.seen)-1]
}

// Nothing answers 200 without a body.
func Nothing(http.ResponseWriter, *http.Request) {}

// Echo answers with the request's line, its host and its body.
func Echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	fmt.Fprint(w, r.Method, " ", r.RequestURI, " ", r.Host, " ", string(body))
}

// Sized answers with n bytes.
func Sized(n int64) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(n))
		_, _ = io.CopyN(w, Zeros{}, n)
	}
}

// Zeros is a body without end.
type Zeros struct{}

func (Zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
