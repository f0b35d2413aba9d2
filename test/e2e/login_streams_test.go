//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"
)

// endless answers with what has no end: events, a long silence, and a download as
// fast as it is taken. left is told of each that it could not go on with.
func endless(t testing.TB, left chan<- string) *backend {
	return newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		out := http.NewResponseController(w)
		if r.URL.Path != "/x" {
			defer func() { left <- r.URL.Path }()
		}
		switch r.URL.Path {
		case "/events":
			w.Header().Set("Content-Type", "text/event-stream")
			for i := 0; ; i++ {
				if _, err := fmt.Fprintf(w, "data: %d\n\n", i); err != nil || out.Flush() != nil {
					return
				}
				select {
				case <-r.Context().Done():
					return
				case <-time.After(20 * time.Millisecond):
				}
			}
		case "/silence": // one that says nothing more, and waits
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, ": hello\n\n")
			_ = out.Flush()
			<-r.Context().Done()
		case "/download":
			w.Header().Set("Content-Length", fmt.Sprint(1<<40))
			block := make([]byte, 64<<10)
			for {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		default:
			_, _ = io.WriteString(w, r.Header.Get("X-User"))
		}
	})
}

// ended says when a stream did, and how.
type ended struct {
	at  time.Time
	err error
}

// stream opens one with a session, and reads for as long as it goes on. A deaf one
// reads no more than its beginning, so that the gateway has to wait for it.
func (g *gateway) stream(t testing.TB, c *http.Client, path, cookie string, deaf bool) <-chan ended {
	t.Helper()
	r, err := http.NewRequest("GET", g.url(path), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "app.example.com"
	r.Header.Set("Cookie", "__Host-sallyport="+cookie)
	patient := *c
	patient.Timeout = 0
	res, err := patient.Do(r)
	if err != nil || res.StatusCode != 200 {
		t.Fatalf("%s: %v %+v", path, err, res)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	b := make([]byte, 64<<10)
	if _, err := res.Body.Read(b); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	over := make(chan ended, 1)
	if deaf {
		return over
	}
	go func() {
		for {
			if _, err := res.Body.Read(b); err != nil {
				over <- ended{time.Now(), err}
				return
			}
		}
	}()
	return over
}

// What a session has open ends with it, whatever it is and by whichever protocol
// (SPEC 9, 11): not WebSockets alone, and not when the next event comes.
func TestWhatASessionStreamsEndsWithIt(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		left := make(chan string, 64)
		b := endless(t, left)
		g := start(t, options{engine: engine, external: appSite, resources: withBackend(people, b.URL)})
		sessionOf := func() string {
			var list struct{ Items []struct{ ID string } }
			g.must(t, 200, "GET", "/v2/sessions?filter="+url.QueryEscape(`user eq "alice"`), "").into(t, &list)
			if len(list.Items) != 1 {
				t.Fatalf("sessions: %+v", list)
			}
			return list.Items[0].ID
		}
		for _, c := range []struct {
			name   string
			end    func(s *surfer)
			mended func()
		}{
			{"logout", func(s *surfer) { s.submit(s.get(appSite+"/.sallyport/logout"), 0, nil) }, nil},
			{"an operator ends the session", func(*surfer) { g.must(t, 204, "DELETE", "/v2/sessions/"+sessionOf(), "") }, nil},
			{"the user is deactivated", func(*surfer) { g.must(t, 200, "PATCH", "/v2/users/alice", `{"active":false}`) },
				func() { g.must(t, 200, "PATCH", "/v2/users/alice", `{"active":true}`) }},
		} {
			s, other := newSurfer(t, g, "app.example.com"), newSurfer(t, g, "app.example.com")
			s.byPassword(appSite+"/x", "alice")
			other.byPassword(appSite+"/x", "bob")
			cookie := s.cookie(appSite, "__Host-sallyport")
			streams, theirs := map[string]<-chan ended{}, map[string]<-chan ended{}
			for name, client := range g.clients() {
				for _, path := range []string{"/events", "/silence"} {
					streams[name+" "+path] = g.stream(t, client, path, cookie, false)
				}
				g.stream(t, client, "/download", cookie, true)
				theirs[name] = g.stream(t, client, "/events", other.cookie(appSite, "__Host-sallyport"), false)
			}
			begin := time.Now()
			c.end(s)
			late, cancel := context.WithTimeout(t.Context(), 6*time.Second)
			defer cancel()
			for range 6 { // of which the backend is told, too: nothing is fetched for nobody
				select {
				case what := <-left:
					within(t, c.name+": the backend's end of "+what, time.Since(begin), time.Second)
				case <-late.Done():
					t.Errorf("%s: the backend goes on", c.name)
				}
			}
			for what, over := range streams {
				select {
				case e := <-over:
					within(t, c.name+": the end of "+what, e.at.Sub(begin), time.Second)
					if e.err == io.EOF {
						t.Errorf("%s: %s was ended as if it were whole", c.name, what)
					}
				case <-late.Done():
					t.Errorf("%s: %s goes on", c.name, what)
				}
			}
			for what, over := range theirs {
				select {
				case e := <-over:
					t.Errorf("%s: another user's stream by %s ended, too: %v", c.name, what, e.err)
				default:
				}
			}
			for name, client := range g.clients() {
				a, err := exchange(client, "GET", g.url("/x"), "", header("Cookie", "__Host-sallyport="+cookie), hostOf("app.example.com"))
				if err != nil || a.status != 401 {
					t.Errorf("%s: afterwards by %s: %v %+v", c.name, name, err, a)
				}
			}
			if c.mended != nil {
				c.mended()
			}
			g.hangUp()
		}
	})
}
