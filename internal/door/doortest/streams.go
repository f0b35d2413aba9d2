package doortest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/door/targettest"
)

func events(t *testing.T, d Door) {
	next := make(chan struct{})
	b := targettest.New(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		for i := range 3 {
			<-next
			fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
		}
	})
	g := d.start(t, b.URL)
	res, err := g.Client().Get(g.URL("/")) // the head alone comes first
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	r := bufio.NewReader(res.Body)
	for i := range 3 {
		next <- struct{}{}
		line, err := r.ReadString('\n')
		if want := fmt.Sprintf("data: %d\n", i); line != want || err != nil {
			t.Fatalf("%q, %v", line, err)
		}
		_, _ = r.ReadString('\n')
	}
}

func bothWays(t *testing.T, d Door) {
	b := targettest.New(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		w.WriteHeader(200)
		_ = http.NewResponseController(w).Flush()
		s := bufio.NewScanner(r.Body)
		for s.Scan() {
			fmt.Fprintln(w, "echo", s.Text())
			_ = http.NewResponseController(w).Flush()
		}
	})
	g := d.start(t, b.URL)
	pr, pw := io.Pipe()
	req, _ := http.NewRequest("POST", g.URL("/"), pr)
	res, err := g.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	r := bufio.NewReader(res.Body)
	for i := range 5 {
		fmt.Fprintln(pw, i)
		if line, err := r.ReadString('\n'); line != fmt.Sprintf("echo %d\n", i) || err != nil {
			t.Fatalf("%q, %v", line, err)
		}
	}
	_ = pw.Close()
	if _, err := r.ReadString('\n'); err != io.EOF {
		t.Errorf("%v", err)
	}
}

// Each silence lasts for more than twice what an idle connection has.
func silence(t *testing.T, d Door) {
	const long = 1200 * time.Millisecond
	for _, x := range []struct {
		name           string
		before, within time.Duration
	}{
		{"ALongAnswerIsNotEndedByTheLimitOnBodies", long, 0},
		{"AStreamThatSaysNothingForLongIsNotCut", 0, long},
		{"NeitherOneAfterTheOther", long, long},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			b := targettest.New(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				time.Sleep(x.before)
				fmt.Fprint(w, "first ")
				w.(http.Flusher).Flush()
				time.Sleep(x.within)
				fmt.Fprint(w, "last")
			})
			g := d.start(t, b.URL, Brief)
			client := g.Client()
			res, err := client.Post(g.URL("/"), "text/plain", strings.NewReader("body"))
			if status, body := Read(t, res, err); status != 200 || body != "first last" {
				t.Errorf("POST: %d %q", status, body)
			}
			res, err = client.Get(g.URL("/"))
			if status, body := Read(t, res, err); status != 200 || body != "first last" {
				t.Errorf("GET: %d %q", status, body)
			}
		})
	}
}

func goesAway(t *testing.T, d Door) {
	arrived, gone := make(chan struct{}), make(chan struct{})
	b := targettest.New(t, func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
		close(gone)
	})
	g := d.start(t, b.URL)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-arrived
		time.Sleep(50 * time.Millisecond)
		cancel()
	}()
	req, _ := http.NewRequestWithContext(ctx, "GET", g.URL("/"), nil)
	if res, err := g.Client().Do(req); err == nil {
		_ = res.Body.Close()
	}
	<-gone
	if c := g.Completion(); c.Status != 499 || c.Err != nil {
		t.Errorf("%+v", c)
	}
}

func drain(t *testing.T, d Door) {
	slow := make(chan struct{})
	b := targettest.New(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			w.(http.Flusher).Flush()
			<-slow
			fmt.Fprint(w, "whole")
		}
	})
	g := d.start(t, b.URL)
	res, err := g.Client().Get(g.URL("/slow"))
	if err != nil {
		t.Fatal(err)
	}
	drained := make(chan error, 1)
	go func() { drained <- g.Drain(context.Background()) }()
	time.Sleep(50 * time.Millisecond)
	close(slow)
	if _, body := Read(t, res, nil); body != "whole" {
		t.Errorf("%q", body)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

// An HTTP/2 client that gives a stream no window holds it open without a byte of
// the connection being stuck.
func withoutWindow(t *testing.T, d Door) {
	gone := make(chan struct{})
	b := targettest.New(t, func(w http.ResponseWriter, r *http.Request) {
		for b := make([]byte, 32<<10); ; {
			if _, err := w.Write(b); err != nil {
				close(gone)
				return
			}
		}
	})
	g := d.start(t, b.URL, Brief)
	res, err := g.Client().Get(g.URL("/")) // and reads nothing of it
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-gone:
	case <-time.After(5 * time.Second):
		t.Error("it is held for ever")
	}
	_ = res.Body.Close()
	if c := g.Completion(); c.Status != 200 {
		t.Errorf("%+v", c)
	}
}
