package h2

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/sallyport/sallyport/internal/door/doortest"
	"github.com/sallyport/sallyport/internal/door/targettest"
)

// uploads is how many uploads are remembered on the door's only connection.
func (g *rig) uploads() (n int) {
	for _, c := range g.server.all(nil) {
		c.mu.Lock()
		n += len(c.uploads)
		c.mu.Unlock()
	}
	return n
}

func TestAnEarlyAnswerIsHeardBeforeItsUploadIsEnded(t *testing.T) {
	b := targettest.New(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) })
	refuse := func(w *world) { w.Set.Routes[0].Paths = []string{"/elsewhere"} }
	g := start(t, b.URL, false, refuse)
	end := func(e event) bool { return e.Kind == "rst" || e.Kind == "pong" }
	for name, act := range map[string]func(c *raw){
		"by its end":      func(c *raw) { c.Frame(http2.FrameData, endStream, 1, 'x') },
		"by its trailers": func(c *raw) { c.Request(1, true, "x", "y") },
		"by a reset":      func(c *raw) { c.Frame(http2.FrameRSTStream, 0, 1, 0, 0, 0, 8) },
	} {
		c := g.dial()
		c.Open(1)
		if fields, _, _ := c.Answer(1); !strings.HasPrefix(fields, ":status: 404\n") {
			t.Fatal(fields)
		}
		c.Frame(http2.FrameData, 0, 1, 'x')
		if n := g.uploads(); n != 1 {
			t.Errorf("%s: %d uploads are remembered", name, n)
		}
		act(c)
		c.Frame(http2.FramePing, 0, 0, make([]byte, 8)...)
		if e := c.Until("the answer to PING", end); e.Kind != "pong" {
			t.Errorf("%s: %v", name, e)
		}
		if n := g.uploads(); n != 0 {
			t.Errorf("%s: %d uploads are still remembered", name, n)
		}
		_ = c.NC.Close()
	}
	c := g.dial()
	begin := time.Now()
	c.Open(1)
	c.Answer(1)
	if e := c.Until("the end of the upload", end); e.Code != http2.ErrCodeNo || time.Since(begin) < hearing/2 {
		t.Errorf("%v after %v", e, time.Since(begin))
	}
}

func TestAnUploadEndsWhenItsCredentialExpires(t *testing.T) {
	b := targettest.New(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	g := start(t, b.URL, false)
	g.User, g.Expires = doortest.Principal("alice"), time.Now().Add(300*time.Millisecond)
	c := g.dial()
	c.Open(1)
	c.Frame(http2.FrameData, 0, 1, 'x')
	if e := c.Until("the end", func(e event) bool { return e.Kind == "rst" }); e.Code != http2.ErrCodeInternal {
		t.Error(e)
	}
	if r := g.Completion(); !strings.Contains(r.Detail, "expired") {
		t.Errorf("%+v", r)
	}
}

func TestWorkersThatHaveNothingToDoGo(t *testing.T) {
	b, letGo := targettest.Gated(t)
	g := start(t, b.URL, false)
	c := g.dial()
	for i := range uint32(100) {
		c.Request(2*i+1, true, get...)
	}
	for end := time.Now().Add(10 * time.Second); b.Count() < 100 && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
	}
	letGo()
	for i := range uint32(100) {
		c.Answer(2*i + 1)
	}
	for end := time.Now().Add(10 * time.Second); g.server.workers.idle.Load() > spareWorkers; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d workers wait", g.server.workers.idle.Load())
		}
	}
	g.dial().Good(1)
}
