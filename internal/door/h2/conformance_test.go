package h2

import (
	"io"
	"net/http"
	"testing"

	"golang.org/x/net/http2"

	"github.com/sallyport/sallyport/internal/door/h2/h2test"
	"github.com/sallyport/sallyport/internal/door/targettest"
)

// TestHTTP2IsSpokenAsTheStandardSays holds the engine to every case there is.
func TestHTTP2IsSpokenAsTheStandardSays(t *testing.T) {
	b := targettest.New(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(append([]byte("got "), body...))
	})
	for name, secure := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			g := start(t, b.URL, secure, patient)
			t.Run("cases", func(t *testing.T) { h2test.Run(t, g.dialAs) })
		})
	}
}

func TestStreamsBeyondTheLimitAreRefused(t *testing.T) {
	b, letGo := targettest.Gated(t)
	g := start(t, b.URL, false, limits(func(c *Config) { c.Streams = 3 }))
	c := g.dial()
	for i := range uint32(4) {
		c.Request(2*i+1, true, get...)
	}
	e := c.Until("REFUSED_STREAM", func(e event) bool { return e.Kind == "rst" })
	if e.Stream != 7 || e.Code != http2.ErrCodeRefusedStream {
		t.Error(e)
	}
	letGo()
	for i := range uint32(3) {
		c.Answer(2*i + 1)
	}
	c.Good(9)
}

func setting(id uint16, v uint32) []byte {
	return []byte{byte(id >> 8), byte(id), byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}
}
