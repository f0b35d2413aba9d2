package h2

import (
	"net/http"
	"sync"
	"testing"
)

// gated is a backend that answers nothing until it is let go, at the test's end at
// the latest.
func gated(t testing.TB) (b *backend, letGo func()) {
	gate := make(chan struct{})
	letGo = sync.OnceFunc(func() { close(gate) })
	b = newBackend(t, func(http.ResponseWriter, *http.Request) { <-gate })
	t.Cleanup(letGo)
	return b, letGo
}
