package doortest

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/door/targettest"
	"github.com/sallyport/sallyport/internal/model"
)

func overTheLimit(t *testing.T, d Door) {
	ended := make(chan error, 10)
	b := targettest.New(t, func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		ended <- err
	})
	limit := model.Size(1000)
	g := d.start(t, b.URL, Route(func(r *model.Route) { r.BodyBytes = &limit }))
	client := g.Client()
	late := func() io.Reader { // more than the limit, but not at once
		pr, pw := io.Pipe()
		go func() {
			_, _ = pw.Write(make([]byte, 900))
			time.Sleep(100 * time.Millisecond)
			_, _ = pw.Write(make([]byte, 101))
			_ = pw.Close()
		}()
		return pr
	}
	over := strings.Repeat("x", 1001)
	for _, x := range []struct {
		name string
		body io.Reader
	}{{"declared", strings.NewReader(over)}, {"of no length", io.MultiReader(strings.NewReader(over))}, {"streamed", late()}} {
		res, err := client.Post(g.URL("/"), "text/plain", x.body)
		if status, body := Read(t, res, err); status != 413 || !strings.Contains(body, "body_too_large") {
			t.Errorf("%s: %d %s", x.name, status, body)
		}
		if c := g.Completion(); c.Err == nil || c.Err.Code != model.BodyTooLarge || c.Status != 413 {
			t.Errorf("%s: %+v", x.name, c)
		}
		if x.name == "declared" && b.Count() != 0 {
			t.Error("a body that declared too much was forwarded")
		}
	}
	for range b.Count() { // it may have been ended before it began
		if err := <-ended; err == nil {
			t.Error("the backend took the cut body for a whole one")
		}
	}
	res, err := client.Post(g.URL("/"), "text/plain", strings.NewReader(strings.Repeat("x", 1000)))
	if status, _ := Read(t, res, err); status != 200 {
		t.Errorf("at the limit: %d", status)
	}
}

func boundedMemory(t *testing.T, d Door) {
	b := targettest.New(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		_, _ = io.Copy(w, r.Body)
	})
	g := d.start(t, b.URL, Unlimited)
	const size = 128 << 20
	var m runtime.MemStats
	runtime.GC() // what the tests before it have left
	runtime.ReadMemStats(&m)
	before := m.HeapInuse
	var peak atomic.Uint64
	stop := make(chan struct{})
	go func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				runtime.ReadMemStats(&m)
				peak.Store(max(peak.Load(), m.HeapInuse))
			}
		}
	}()
	req, _ := http.NewRequest("POST", g.URL("/"), io.LimitReader(targettest.Zeros{}, size))
	res, err := g.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	close(stop)
	if n != size || err != nil {
		t.Errorf("%d bytes came back, %v", n, err)
	}
	if p := peak.Load(); p > before+40<<20 {
		t.Errorf("%d MiB more heap for a body that streams", (p-before)>>20)
	}
	if c := g.Completion(); c.BytesIn != size || c.BytesOut != size {
		t.Errorf("%+v", c)
	}
}

// Many bodies at once may share a connection's window: none may be left without.
func manyBodies(t *testing.T, d Door) {
	b := targettest.New(t, func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprint(w, n, " ", err)
		_, _ = io.CopyN(w, targettest.Zeros{}, 300<<10)
	})
	g := d.start(t, b.URL, Unlimited)
	client := g.Client()
	errs := make(chan error, 40)
	for i := range 40 {
		go func() {
			size := int64(i * 20 << 10)
			req, _ := http.NewRequest("PUT", g.URL("/"), io.LimitReader(targettest.Zeros{}, size))
			res, err := client.Do(req)
			if err != nil {
				errs <- err
				return
			}
			body, err := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if want := fmt.Sprint(size, " <nil>"); err == nil && (!strings.HasPrefix(string(body), want) || len(body) != len(want)+300<<10) {
				err = fmt.Errorf("%d: %q and %d bytes", i, body[:min(len(body), 300)], len(body))
			}
			errs <- err
		}()
	}
	for range 40 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func slowService(t *testing.T, d Door) {
	b := targettest.New(t, func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(1200 * time.Millisecond)
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, err)
	})
	g := d.start(t, b.URL, Unlimited, Brief)
	req, _ := http.NewRequest("PUT", g.URL("/"), io.LimitReader(targettest.Zeros{}, 16<<20))
	res, err := g.Client().Do(req)
	if _, body := Read(t, res, err); body != fmt.Sprint(16<<20, " <nil>") {
		t.Errorf("%q", body)
	}
}
