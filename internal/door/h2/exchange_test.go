package h2

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/sallyport/sallyport/internal/door/doortest"
	"github.com/sallyport/sallyport/internal/door/targettest"
	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/model"
)

func TestContinueIsSaidOnlyOnceTheRequestMayPass(t *testing.T) {
	b := targettest.New(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	g := start(t, b.URL, false, route(func(r *model.Route) { r.Paths = []string{"/open"} }))
	for path, want := range map[string]string{"/open": "100", "/closed": "404"} {
		c := g.dial()
		c.Request(1, false, ":method", "POST", ":scheme", "http", ":path", path, ":authority", "x", "content-length", "4", "expect", "100-continue")
		e := c.Until("an answer", func(e event) bool { return e.Kind == "headers" })
		if !strings.HasPrefix(e.Fields, ":status: "+want) {
			t.Errorf("%s: %v", path, e)
		}
		if path == "/open" {
			c.Frame(http2.FrameData, endStream, 1, []byte("body")...)
			if _, body, _ := c.Answer(1); body != "body" {
				t.Error(body)
			}
		}
	}
}

func TestAnEarlyAnswerEndsTheUpload(t *testing.T) {
	b := targettest.New(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(403)
		fmt.Fprint(w, "no")
	})
	g := start(t, b.URL, false, func(w *world) { doortest.Unlimited(w.World) })
	c := g.dial()
	c.Open(1, "content-length", "1000000000")
	c.Frame(http2.FrameData, 0, 1, []byte("first bytes")...)
	fields, body, _ := c.Answer(1)
	if !strings.HasPrefix(fields, ":status: 403\n") || body != "no" {
		t.Errorf("%s%s", fields, body)
	}
	e := c.Until("the end of the upload", func(e event) bool { return e.Kind == "rst" })
	if e.Code != http2.ErrCodeNo {
		t.Error(e)
	}
	for range 200 { // what was on its way does no harm, and its bytes are given back
		c.Frame(http2.FrameData, 0, 1, make([]byte, 16000)...)
	}
	if e := c.Until("new bytes", func(e event) bool { return e.Kind == "window" && e.Stream == 0 }); e.N == 0 {
		t.Error(e)
	}
	c.Request(3, true, get...)
	if fields, _, _ := c.Answer(3); !strings.HasPrefix(fields, ":status: 403\n") {
		t.Error(fields)
	}
}

func TestABodyThatStallsIsCut(t *testing.T) {
	ended := make(chan error, 1)
	b := targettest.New(t, func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		ended <- err
	})
	g := start(t, b.URL, false)
	c := g.dial()
	c.Open(1, "content-length", "100")
	c.Frame(http2.FrameData, 0, 1, []byte("some")...)
	begun := time.Now()
	if fields, body, _ := c.Answer(1); !strings.HasPrefix(fields, ":status: 400\n") || time.Since(begun) > 3*time.Second {
		t.Errorf("%s%s after %v", fields, body, time.Since(begun))
	}
	if err := <-ended; err == nil {
		t.Error("the backend took it for whole")
	}
	if c := g.Completion(); c.Status != 400 || c.Err == nil {
		t.Errorf("%+v", c)
	}
}

func TestAClientThatGoesAwayEndsTheRequestAtTheService(t *testing.T) {
	gone := make(chan struct{}, 2)
	b := targettest.New(t, func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		gone <- struct{}{}
	})
	g := start(t, b.URL, false)
	for _, leave := range []func(*raw){
		func(c *raw) { c.Frame(http2.FrameRSTStream, 0, 1, 0, 0, 0, 8) },
		func(c *raw) { _ = c.NC.Close() },
	} {
		c := g.dial()
		c.Request(1, true, get...)
		time.Sleep(100 * time.Millisecond)
		leave(c)
		<-gone
		if c := g.Completion(); c.Status != 499 || c.Err != nil {
			t.Errorf("%+v", c)
		}
	}
}

// A client that gives a stream no window holds it open without a byte of the
// connection being stuck.
func TestAStreamWithoutWindowIsCut(t *testing.T) {
	gone := make(chan struct{})
	b := targettest.New(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/endless" {
			return
		}
		for b := make([]byte, 32<<10); ; {
			if _, err := w.Write(b); err != nil {
				close(gone)
				return
			}
		}
	})
	g := start(t, b.URL, false)
	c := g.dial()
	c.Request(1, true, ":method", "GET", ":scheme", "http", ":path", "/endless", ":authority", "x")
	c.Frame(http2.FrameWindowUpdate, 0, 0, 0, 1, 0, 0)
	e := c.Until("the end", func(e event) bool { return e.Kind == "rst" })
	if e.Code != http2.ErrCodeCancel {
		t.Error(e)
	}
	<-gone
	c.Good(3)
}

func TestGoingElsewhere(t *testing.T) {
	slow := make(chan struct{})
	b := targettest.New(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			w.(http.Flusher).Flush()
			<-slow
			fmt.Fprint(w, "whole")
		}
	})
	g := start(t, b.URL, false, limits(func(c *Config) { c.IdleTimeout = 10 * time.Second }))
	c, idle := g.dial(), g.dial()
	idle.Good(1)
	c.Request(1, true, ":method", "GET", ":scheme", "http", ":path", "/slow", ":authority", "x")
	c.Until("a head", func(e event) bool { return e.Kind == "headers" })
	g.server.Drain()
	if e := c.Until("the first GOAWAY", func(e event) bool { return e.Kind == "goaway" }); e.Stream != 1<<31-1 || e.Code != http2.ErrCodeNo {
		t.Error(e)
	}
	c.Good(3) // it was on its way
	if e := c.Until("the second GOAWAY", func(e event) bool { return e.Kind == "goaway" }); e.Stream != 3 || e.Code != http2.ErrCodeNo {
		t.Error(e)
	}
	idle.Until("the end", func(e event) bool { return e.Kind == "closed" })
	c.Request(5, true, get...) // nobody's: not answered, not reset
	c.Frame(http2.FrameData, endStream, 7, 'x')
	shut := make(chan error, 1)
	go func() { shut <- g.server.Shutdown(context.Background()) }()
	time.Sleep(50 * time.Millisecond)
	close(slow)
	if _, body, _ := c.Answer(1); body != "whole" {
		t.Errorf("%q", body)
	}
	c.Until("the end", func(e event) bool { return e.Kind == "closed" })
	if err := <-shut; err != nil {
		t.Error(err)
	}
	if n := b.Count(); n != 3 {
		t.Errorf("the backend saw %d requests", n)
	}
}

func TestADrainThatTakesTooLongIsCut(t *testing.T) {
	b := targettest.New(t, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	g := start(t, b.URL, false)
	c := g.dial()
	c.Request(1, true, get...)
	time.Sleep(50 * time.Millisecond)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := g.server.Shutdown(ctx); err == nil {
		t.Error("nothing was cut")
	}
	c.Until("the end", func(e event) bool { return e.Kind == "closed" })
}

// The table of fields is the connection's: half an answer in it is the end of all.
func TestAFaultInTheMiddleOfAHeadEndsTheConnectionAndNothingElse(t *testing.T) {
	b := targettest.New(t, targettest.Echo)
	g := start(t, b.URL, false)
	g.Before = func(ex *gate.Exchange) {
		if _, ok := ex.Get("x-fault"); ok {
			ex.Route = &gate.Route{Service: ex.Route.Service} // whose model is missed when the answer's head is written
		}
	}
	c := g.dial()
	c.Good(1)
	c.Request(3, true, with(get, "x-fault", "1")...)
	if e := c.Until("GOAWAY", func(e event) bool { return e.Kind == "goaway" }); e.Code != http2.ErrCodeInternal {
		t.Error(e)
	}
	c.Until("the end", func(e event) bool { return e.Kind == "closed" })
	if g.Panics.Swap(0) != 1 {
		t.Error("it was not counted")
	}
	g.dial().Good(1)
}

// A client may acknowledge what it reads in small steps, for the stream and for
// the connection, and is no flood for that.
func TestALongDownloadPassesInWhateverSteps(t *testing.T) {
	const size = 8 << 20
	b := targettest.New(t, targettest.Sized(size))
	g := start(t, b.URL, false, limits(func(c *Config) { c.IdleTimeout = 20 * time.Second }))
	c := g.dial()
	c.Request(1, true, get...)
	total := 0
	for {
		e := c.Next()
		if e.Kind == "goaway" || e.Kind == "rst" || e.Kind == "closed" || e.Kind == "silence" {
			t.Fatalf("after %d bytes: %v", total, e)
		}
		total += len(e.Data)
		for n := len(e.Data); n > 0; n -= 1024 {
			step := uint32(min(n, 1024))
			c.Must(c.Fr.WriteWindowUpdate(0, step))
			if !e.End {
				c.Must(c.Fr.WriteWindowUpdate(1, step))
			}
		}
		if e.End {
			break
		}
	}
	if total != size {
		t.Errorf("%d bytes", total)
	}
	c.Request(3, true, get...)
	c.Until("the next answer", func(e event) bool { return e.Kind == "headers" && e.Stream == 3 })
}
