package doortest

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/door/targettest"
	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/model"
)

// One whose account was made anew goes to the same target as before; nobody in
// particular goes by the address.
func hashedByName(t *testing.T, d Door) {
	var urls []model.Target
	for i := range 4 {
		b := targettest.New(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, i) })
		urls = append(urls, model.Target{URL: b.URL, Weight: 1})
	}
	g := d.start(t, "", Service(func(s *model.Service) { s.Targets, s.Balance = urls, model.HashBalance }))
	client := g.Client()
	for _, name := range []string{"", "alice"} {
		seen := map[string]bool{}
		for i := range 8 {
			if name != "" {
				g.User = directory.NewPrincipal(model.User{ID: fmt.Sprint("id-", i), Username: name, Active: true, Credentials: []model.Credential{{ID: "c"}}})
			}
			for _, body := range []func() io.Reader{whole, streamed} {
				req, _ := http.NewRequest("PUT", g.URL("/"), body())
				res, err := client.Do(req)
				_, answer := Read(t, res, err)
				seen[answer] = true
			}
		}
		if len(seen) != 1 {
			t.Errorf("%q is sent to %v", name, seen)
		}
	}
}

func endWithUser(t *testing.T, d Door) {
	gone := make(chan struct{}, 10)
	b := targettest.New(t, func(w http.ResponseWriter, r *http.Request) {
		go func() { _, _ = io.Copy(io.Discard, r.Body) }()
		fmt.Fprint(w, "data: 1\n\n")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		gone <- struct{}{}
	})
	g := d.start(t, b.URL)
	g.User = Principal("alice")
	for name, cut := range map[string]func() int{
		"the user":       func() int { return g.Streams.CutUser("id-alice") },
		"the credential": func() int { return g.Streams.CutCredential("id-alice", "c-alice") },
		"everything":     g.Streams.CutAll,
	} {
		res, err := g.Client().Get(g.URL("/"))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.ReadFull(res.Body, make([]byte, 9))
		if n := g.Streams.CutCredential("id-alice", "another") + g.Streams.CutUser("id-bob"); n != 0 {
			t.Errorf("%d streams of others were cut", n)
		}
		begun := time.Now()
		if n := cut(); n != 1 {
			t.Errorf("%s: %d streams were cut", name, n)
		}
		if _, err := io.ReadAll(res.Body); err == nil {
			t.Errorf("%s: the stream ended cleanly", name)
		}
		_ = res.Body.Close()
		<-gone
		if d := time.Since(begun); d > time.Second {
			t.Errorf("%s: it took %v", name, d)
		}
		if c := g.Completion(); c.Status != 200 || !strings.Contains(c.Detail, "cut") {
			t.Errorf("%s: %+v", name, c)
		}
		if n := g.Streams.Open(); n != 0 {
			t.Errorf("%d are registered", n)
		}
	}
}

// The decision was made before the user was ended, the registration comes after.
func beganBeforeTheCut(t *testing.T, d Door) {
	b := targettest.New(t, targettest.Echo)
	g := d.start(t, b.URL)
	g.User = Principal("alice")
	g.Before = func(*gate.Exchange) { g.Streams.CutUser("id-alice") }
	client := g.Client()
	if res, err := client.Get(g.URL("/")); err == nil {
		t.Errorf("answered %d", res.StatusCode)
		_ = res.Body.Close()
	}
	if b.Count() != 0 {
		t.Error("it was forwarded")
	}
	g.Completion()
	g.Before = nil
	res, err := client.Get(g.URL("/"))
	if status, _ := Read(t, res, err); status != 200 { // a user who is active again
		t.Errorf("%d", status)
	}
}

func expires(t *testing.T, d Door) {
	b := targettest.New(t, func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	g := d.start(t, b.URL)
	g.User, g.Expires = Principal("alice"), time.Now().Add(300*time.Millisecond)
	res, err := g.Client().Get(g.URL("/"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(res.Body); err == nil {
		t.Error("it ended cleanly")
	}
	_ = res.Body.Close()
	if c := g.Completion(); !strings.Contains(c.Detail, "expired") {
		t.Errorf("%+v", c)
	}
}
