//go:build e2e

package e2e

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/secret"
)

// aged is a state as it would be had its login begun so much earlier. The clock of a
// running gateway cannot be turned, so its own seal is opened with its own key, and
// nothing but the time is changed.
func (g *gateway) aged(t testing.TB, state string, by time.Duration) string {
	t.Helper()
	key, err := os.ReadFile(filepath.Join(g.dir, "data", "keys", "session.key"))
	if err != nil {
		t.Fatal(err)
	}
	s := sure(secret.NewSealer(key, "sallyport login state"))
	plain, err := s.Open(sure(base64.RawURLEncoding.DecodeString(state)), "state")
	if err != nil {
		t.Fatalf("the state is not of this gateway: %v", err)
	}
	var attempt map[string]any
	if err := json.Unmarshal(plain, &attempt); err != nil || attempt["t"] == nil {
		t.Fatalf("%v: %s", err, plain)
	}
	attempt["t"] = int64(attempt["t"].(float64)) - int64(by.Seconds())
	return base64.RawURLEncoding.EncodeToString(s.Seal([]byte(jsonText(attempt)), "state"))
}

// agedLink is a way back from the provider, so much later.
func (g *gateway) agedLink(t testing.TB, link string, by time.Duration) string {
	t.Helper()
	u := sure(url.Parse(link))
	q := u.Query()
	q.Set("state", g.aged(t, q.Get("state"), by))
	u.RawQuery = q.Encode()
	return u.String()
}

// Somebody who was at the provider for longer than a login may take is no dead end
// (oauth2-proxy #817: "CSRF cookie not found"): it starts over, and leads to the page
// that was wanted.
func TestALoginThatTookTooLongStartsOver(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		e := openEntrance(t, engine, entranceOptions{})
		s := e.surf(t)
		link := s.held(t, s.leave(appSite+"/corp/deep?x=1"), "a1")
		late := s.get(e.agedLink(t, link, 16*time.Minute))
		// The provider knows the browser by now, and asks nothing more of it.
		late.arrived(t, "after 16 minutes", appSite+"/corp/deep?x=1")
		if !strings.Contains(strings.Join(late.way, " "), "/.sallyport/login?again=1") {
			t.Errorf("by way of %q", late.way)
		}
		if log := e.log.String(); strings.Count(log, "the login took too long") != 1 {
			t.Errorf("the log does not say why: %s", tail(log, 1000))
		}
		// One that the gateway's own clock is not late for yet.
		s = e.surf(t)
		link = s.held(t, s.leave(appSite+"/corp/soon"), "a1")
		in := s.get(e.agedLink(t, link, 14*time.Minute))
		in.arrived(t, "after 14 minutes", appSite+"/corp/soon")
		if strings.Contains(strings.Join(in.way, " "), "/.sallyport/login") {
			t.Errorf("within a quarter of an hour: by way of %q", in.way)
		}
		// A state of tomorrow is none either.
		s = e.surf(t)
		link = s.held(t, s.leave(appSite+"/corp/soon"), "a1")
		s.get(e.agedLink(t, link, -time.Hour)).arrived(t, "from the future", appSite+"/corp/soon")
		if log := e.log.String(); strings.Count(log, "the login took too long") != 2 {
			t.Errorf("a state of the future was taken: %s", tail(log, 1000))
		}
	})
}

// byPassword signs somebody in on the gateway's own page.
func (s *surfer) byPassword(address, who string) *page {
	s.t.Helper()
	p := s.submit(s.get(address), 0, map[string]string{"username": who, "password": who + "s-password"})
	p.arrived(s.t, who+"'s login", address)
	return p
}

// authentik CVE-2026-25748, issue #18063: a cookie that cannot be read, or a session
// that cannot be looked up, let requests through without an identity. Here the store
// is away: what needs no store to be told is refused as ever, what cannot be told is
// 503, nothing waits for long, and who is known goes on.
func TestNoCookiePassesWhileTheStoreIsAway(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		elsewhere, _ := startPeople(t, engine)
		stranger := newSurfer(t, elsewhere, "app.example.com")
		stranger.byPassword(appSite+"/x", "alice")
		g, b := startPeople(t, engine)
		known, unseen, gone := newSurfer(t, g, "app.example.com"), newSurfer(t, g, "app.example.com"), newSurfer(t, g, "app.example.com")
		for _, s := range []*surfer{known, unseen, gone} {
			s.byPassword(appSite+"/x", "alice")
		}
		ended := gone.cookie(appSite, "__Host-sallyport")
		gone.submit(gone.get(appSite+"/.sallyport/logout"), 0, nil)
		g.stop(t) // so that nothing is in memory
		g.run(t)
		for _, s := range []*surfer{known, unseen} {
			s.client.CloseIdleConnections()
		}
		known.get(appSite+"/x").arrived(t, "after a restart", appSite+"/x")
		release := held(t, g)
		b.forget()
		valid := unseen.cookie(appSite, "__Host-sallyport")
		for _, c := range []struct {
			what, cookie string
			status       int
			code         string
		}{
			{"a session that is known", known.cookie(appSite, "__Host-sallyport"), 200, ""},
			{"a session that would have to be looked up", valid, 503, "identity_unavailable"},
			{"a session that has ended, for all that can be told", ended, 503, "identity_unavailable"},
			{"a session of another gateway's", stranger.cookie(appSite, "__Host-sallyport"), 401, "credential_missing"},
			{"a session whose cookie was changed", flipped(valid), 401, "credential_missing"},
			{"garbage", "garbage", 401, "credential_missing"},
			{"nothing", "", 401, "credential_missing"},
			{"as long as a session's", strings.Repeat("A", len(valid)), 401, "credential_missing"},
			{"two of them", valid + "; __Host-sallyport=" + flipped(valid), 401, "credential_invalid"},
		} {
			for _, path := range []string{"/x", "/.sallyport/account"} {
				begin := time.Now()
				a := g.call(t, "GET", path, "", header("Cookie", "__Host-sallyport="+c.cookie), hostOf("app.example.com"))
				limit := time.Second
				if c.status != 401 { // it waits for the store, for two seconds
					limit = 3 * time.Second
				}
				within(t, c.what+" at "+path, time.Since(begin), limit)
				switch {
				case path == "/x":
					a.expect(t, c.what, c.status, c.code)
				case c.status == 200: // whose sessions cannot be listed
					a.expect(t, c.what+" at "+path, 503, "identity_unavailable")
				case c.status == 503:
					a.expect(t, c.what+" at "+path, 503, "identity_unavailable")
				case a.status != 302 || !strings.HasPrefix(a.header.Get("Location"), "/.sallyport/login"):
					t.Errorf("%s at %s: %d %s", c.what, path, a.status, a.body)
				}
				if a.status == 503 && a.header.Get("Retry-After") == "" {
					t.Errorf("%s at %s: no Retry-After", c.what, path)
				}
			}
		}
		for _, r := range b.saw() { // an answer of the backend's means that somebody is behind it
			if r.Header.Get("X-User") != "alice" {
				t.Errorf("the backend was asked by nobody: %+v", r)
			}
		}
		if n := len(b.saw()); n != 1 {
			t.Errorf("the backend saw %d requests, want the known session's alone", n)
		}
		// A browser is told to come back, and is not sent round in circles.
		if p := unseen.get(appSite + "/x"); p.status != 503 || !strings.Contains(p.body, "identity_unavailable") || len(p.way) > 0 {
			t.Errorf("a browser: %d by way of %q: %s", p.status, p.way, tail(p.body, 300))
		}
		release()
		until(t, 20*time.Second, "the session is found again", func() bool {
			a := g.call(t, "GET", "/x", "", header("Cookie", "__Host-sallyport="+valid), hostOf("app.example.com"))
			return a.status == 200
		})
		g.call(t, "GET", "/x", "", header("Cookie", "__Host-sallyport="+ended), hostOf("app.example.com")).expect(t, "the session that has ended", 401, "")
	})
}

// flipped is a text with one letter in its middle changed.
func flipped(s string) string {
	b := []byte(s)
	if b[len(b)/2] ^= 1; b[len(b)/2] == ';' || b[len(b)/2] < '!' {
		b[len(b)/2] = 'A'
	}
	return string(b)
}
