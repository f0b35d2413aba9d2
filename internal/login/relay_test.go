package login

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/login/flow"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/session"
)

// newSchool is a world with a SAML provider, whose word is that alice is here.
func newSchool(t testing.TB) *world {
	t.Helper()
	w := newWorld(t, func(s *model.Set) {
		p := model.IdentityProvider{Name: "school", Type: model.ProviderSAML, MetadataURL: "https://idp.example.com/metadata"}
		p.Defaults()
		s.IdentityProviders = append(s.IdentityProviders, p)
	})
	w.idp.identity = &flow.Identity{Subject: "alice", SID: "s1", Keep: []byte("name")}
	return w
}

// restart is the gateway, begun anew: what was in memory is gone.
func (w *world) restart() {
	w.t.Helper()
	d, err := New(w.Deps)
	if err != nil {
		w.t.Fatal(err)
	}
	w.Desk = d
}

// enrol begins a login at the school and answers its RelayState.
func (b *browser) enrol(query string) string {
	b.w.t.Helper()
	return relayOf(b.w.t, b.get(home+pathLogin+"?provider=school&"+query))
}

func relayOf(t testing.TB, rec *httptest.ResponseRecorder) string {
	t.Helper()
	to, err := url.Parse(rec.Header().Get("Location"))
	if err != nil || rec.Code != 302 || to.Host != "idp.example.com" {
		t.Fatalf("no login begins: %d %s", rec.Code, rec.Header().Get("Location"))
	}
	return to.Query().Get("state")
}

// graduate comes back from the school by its form.
func (b *browser) graduate(relay string) *httptest.ResponseRecorder {
	b.w.t.Helper()
	return b.do("POST", home+pathSAML+"school/acs", url.Values{"SAMLResponse": {"x"}, "RelayState": {relay}},
		"Origin", "https://idp.example.com", "Sec-Fetch-Site", "cross-site")
}

func (b *browser) leaveAll() {
	b.w.t.Helper()
	if _, err := b.w.Sessions.End(b.w.t.Context(), session.Which{UserID: "alice"}); err != nil {
		b.w.t.Fatal(err)
	}
	b.plant(home, sessionCookie, "")
}

// SAML bindings 3.4.3 and 3.5.3: a RelayState has 80 bytes at most.
func TestARelayStateIsShortHoweverLongTheLink(t *testing.T) {
	w := newSchool(t)
	for _, link := range []string{"/", "/deep?x=1", "/" + strings.Repeat("a", 1500), "/" + strings.Repeat("b", longestReturn-1), "https://other.example.com/" + strings.Repeat("c", 3000)} {
		b := w.browser()
		bind := ""
		if strings.HasPrefix(link, "https:") {
			bind = "&bind=" + strings.Repeat("h", 22)
		}
		relay := b.enrol("return=" + url.QueryEscape(link) + bind)
		if len(relay) > 80 || strings.Contains(relay, "/") {
			t.Errorf("a link of %d bytes: a RelayState of %d: %q", len(link), len(relay), relay)
		}
		if size := len(relayCookie) + len(b.cookie(home, relayCookie)); size > 4096 {
			t.Errorf("a link of %d bytes: a cookie of %d", len(link), size)
		}
		rec := b.graduate(relay)
		to := rec.Header().Get("Location")
		if rec.Code != 303 || to != link && !(bind != "" && strings.HasPrefix(to, "https://other.example.com"+pathHandover)) || !b.signedIn(home) {
			t.Errorf("a link of %d bytes leads to %d %.80s", len(link), rec.Code, to)
		}
		if b.cookie(home, relayCookie) != "" {
			t.Error("the cookie is still there when all is done")
		}
	}
	// Nor is the one of a logout longer.
	b := w.browser()
	b.graduate(b.enrol("return=/x"))
	w.idp.end = &flow.Departure{URL: "https://idp.example.com/logout"}
	b.do("POST", home+pathLogout, url.Values{"csrf": {token(t, b.get(home+pathLogout))}})
	if state := w.idp.ending.State; state == "" || len(state) > 80 {
		t.Errorf("the RelayState of a logout: %q", state)
	}
	v := &visit{desk: w.Desk, r: httptest.NewRequest("GET", home+pathSAML+"school/slo?RelayState="+url.QueryEscape(w.idp.ending.State), nil), w: httptest.NewRecorder(), plan: w.plan, now: w.clock()}
	v.query = v.r.URL.Query()
	if a := v.departed(v.provider("school")); a.Secret != w.idp.ending.Secret {
		t.Error("its answer is not known again")
	}
}

// Many tabs, one after the other and at once, across a restart, with a bounded cookie
// (oauth2-proxy #2163).
func TestManyTabsShareTheCookieOfTheirRelayStates(t *testing.T) {
	w := newSchool(t)
	b := w.browser()
	var states []string
	for i := range 40 {
		states = append(states, b.enrol("return=/tab"+strconv.Itoa(i)))
	}
	u, _ := url.Parse(home)
	if n, size := len(b.jar.Cookies(u)), len(b.cookie(home, relayCookie)); n != 2 || size > mostRelay {
		t.Errorf("%d cookies, of %d bytes", n, size)
	}
	for i, s := range states { // all of them, while the gateway runs
		if rec := b.graduate(s); rec.Code != 303 || rec.Header().Get("Location") != "/tab"+strconv.Itoa(i) {
			t.Fatalf("tab %d: %d %s", i, rec.Code, rec.Header().Get("Location"))
		}
	}
	if b.cookie(home, relayCookie) != "" {
		t.Error("the cookie is still there when all is done")
	}
	b.leaveAll()
	states = nil
	for i := range 40 {
		states = append(states, b.enrol("return=/tab"+strconv.Itoa(i)))
	}
	w.restart()
	kept := 0
	for i, s := range states {
		rec := b.graduate(s)
		if rec.Code != 303 {
			t.Fatalf("tab %d: %d %s", i, rec.Code, rec.Body)
		}
		if rec.Header().Get("Location") == "/tab"+strconv.Itoa(i) {
			kept++
		} else if i > 32 {
			t.Errorf("tab %d, one of the newest, is lost: %s", i, rec.Header().Get("Location"))
		}
	}
	if kept < 8 {
		t.Errorf("after a restart %d tabs come to their pages", kept)
	}
	// At once: each answer sets the cookie without the others'.
	b = w.browser()
	b.get(home + pathLogin) // the browser has its login cookie
	was := b.jar.Cookies(u)
	states = nil
	for range 6 {
		b.jar.SetCookies(u, []*http.Cookie{{Name: relayCookie, Path: "/", Secure: true, MaxAge: -1}})
		b.jar.SetCookies(u, was)
		states = append(states, b.enrol("return=/same"))
	}
	for i, s := range states {
		if rec := b.graduate(s); rec.Header().Get("Location") != "/same" {
			t.Errorf("tab %d: %d %s", i, rec.Code, rec.Header().Get("Location"))
		}
	}
}

// mod_auth_openidc CVE-2021-32791, CVE-2023-28625: a cookie that was changed, swapped
// or planted breaks nothing, and signs nobody in.
func TestARelayStateIsOfOneBrowserAndOneGateway(t *testing.T) {
	for name, c := range map[string]func(w *world, b *browser) (relay, back string){
		"another browser's": func(w *world, b *browser) (string, string) {
			b.enrol("return=/mine")
			return w.browser().enrol("return=/x"), "/x"
		},
		"another browser's, with its cookie": func(w *world, b *browser) (string, string) {
			a := w.browser()
			relay := a.enrol("return=/x")
			b.enrol("return=/mine")
			b.plant(home, relayCookie, a.cookie(home, relayCookie))
			w.restart()
			return relay, "/x"
		},
		"one that nobody knows":   func(*world, *browser) (string, string) { return relayPrefix + strings.Repeat("A", 22), "/" },
		"a name without anything": func(*world, *browser) (string, string) { return relayPrefix, "/" },
		"a gateway that has forgotten, and a browser that has": func(w *world, b *browser) (string, string) {
			relay := b.enrol("return=/x")
			b.plant(home, relayCookie, "")
			w.restart()
			return relay, "/"
		},
		"a cookie that was changed": func(w *world, b *browser) (string, string) {
			relay := b.enrol("return=/x")
			c := []byte(b.cookie(home, relayCookie))
			c[len(c)/2] ^= 1
			b.plant(home, relayCookie, string(c))
			w.restart()
			return relay, "/"
		},
		"a state in the cookie's place": func(w *world, b *browser) (string, string) {
			b.plant(home, relayCookie, relayOf(w.t, b.get(home+pathLogin+"?provider=corp&return=/x")))
			return relayPrefix, "/"
		},
		"a cookie that is too long": func(w *world, b *browser) (string, string) {
			relay := b.enrol("return=/x")
			b.plant(home, relayCookie, strings.Repeat("A", mostRelay+1))
			w.restart()
			return relay, "/"
		},
		"a cookie in the state's place": func(w *world, b *browser) (string, string) {
			b.enrol("return=/x")
			return b.cookie(home, relayCookie), "/"
		},
		"one that took too long": func(w *world, b *browser) (string, string) {
			relay := b.enrol("return=/x")
			w.later(20 * time.Minute)
			w.restart()
			return relay, "/x"
		},
		"one that was used": func(w *world, b *browser) (string, string) {
			relay := b.enrol("return=/x")
			b.graduate(relay)
			b.leaveAll()
			return relay, "/x"
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newSchool(t)
			b := w.browser()
			relay, ret := c(w, b)
			rec := b.graduate(relay)
			to, _ := url.Parse(rec.Header().Get("Location"))
			if rec.Code != 303 || to.Path != pathLogin || to.Query().Get("return") != ret || b.signedIn(home) {
				t.Fatalf("%d %s", rec.Code, rec.Header().Get("Location"))
			}
			q := to.Query()
			q.Set("provider", "school")
			if rec := b.graduate(relayOf(t, b.get(home+pathLogin+"?"+q.Encode()))); rec.Code != 303 || !b.signedIn(home) {
				t.Errorf("started over: %d %s", rec.Code, rec.Body)
			}
		})
	}
}

// authentik #7435, #19740: a browser without cookies would go round for ever at a gateway
// of several processes, or one that was restarted. It is told so the second time.
func TestALostRelayStateDoesNotGoRoundInCircles(t *testing.T) {
	w := newSchool(t)
	b := w.browser()
	relay := b.enrol("return=/x&again=1")
	if len(relay) > 80 {
		t.Errorf("%d bytes", len(relay))
	}
	w.restart()
	rec := w.browser().graduate(relay)
	if rec.Code != 400 || !strings.Contains(rec.Body.String(), "cookies") || !strings.Contains(rec.Body.String(), `href="/.sallyport/login`) {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

func TestWhatIsKeptOfRelayStatesIsBounded(t *testing.T) {
	r := newRelays()
	for range 3 * mostRelayed {
		r.put(&attempt{ID: newText(16)})
	}
	if len(r.known) > mostRelayed {
		t.Errorf("%d are kept", len(r.known))
	}
	r.put(&attempt{ID: "last"})
	if _, ok := r.get("last"); !ok {
		t.Error("the last one is not")
	}
}
