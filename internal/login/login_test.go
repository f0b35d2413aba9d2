package login

import (
	"errors"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/login/flow"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/session"
)

func TestALoginEndsWhereItWasWanted(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser()
	if to := b.signIn("alice", "/deep?x=1"); to != "/deep?x=1" {
		t.Errorf("to %q", to)
	}
	if !b.signedIn(home) || w.browser().signedIn(home) {
		t.Error("who is signed in?")
	}
	last := w.events[len(w.events)-1]
	if last.Type != model.EventLogin || last.Outcome != "allowed" || last.User != "alice" || last.Provider != "corp" || last.ClientIP == "" {
		t.Errorf("%+v", last)
	}
	// Whoever is signed in already is sent on at once.
	if rec := b.get(home + pathLogin + "?return=/next"); rec.Header().Get("Location") != "/next" {
		t.Errorf("%d %v", rec.Code, rec.Header())
	}
}

func TestTheCookiesAreTheirHostsAlone(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser()
	w.idp.identity = &flow.Identity{Subject: "alice"}
	rec := b.back(b.begin("/"))
	found := map[string]string{}
	for _, line := range rec.Header().Values("Set-Cookie") {
		name, _, _ := strings.Cut(line, "=")
		found[name] = line
	}
	s := found[sessionCookie]
	if !strings.Contains(s, "Path=/") || !strings.Contains(s, "Secure") || !strings.Contains(s, "HttpOnly") || !strings.Contains(s, "SameSite=Lax") ||
		strings.Contains(s, "Domain") || strings.Contains(s, "Max-Age") {
		t.Errorf("session: %q", s)
	}
	if c := found["__Host-sallyport-csrf"]; !strings.Contains(c, "Secure") || strings.Contains(c, "HttpOnly") {
		t.Errorf("token: %q", c)
	}
}

// oauth2-proxy #817, #404, #2163: several tabs, the back button and slow people get
// in, and no cookie is left behind for each attempt.
func TestManyTabsShareOneCookie(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser()
	w.idp.identity = &flow.Identity{Subject: "alice"}
	var states []string
	for range 20 {
		states = append(states, b.begin("/tab"))
	}
	u, _ := url.Parse(home)
	if n := len(b.jar.Cookies(u)); n != 1 {
		t.Errorf("%d cookies", n)
	}
	for _, s := range states {
		if rec := b.back(s); rec.Code != 302 || rec.Header().Get("Location") != "/tab" {
			t.Fatalf("%d %v", rec.Code, rec.Header())
		}
	}
	if n := len(b.jar.Cookies(u)); n != 3 {
		t.Errorf("%d cookies", n)
	}
}

// What cannot be finished begins again, once, and never signs anybody in.
func TestALoginThatCannotBeFinishedStartsOver(t *testing.T) {
	for name, c := range map[string]func(t *testing.T, w *world, b *browser) (state string, ret string){
		"state replayed": func(t *testing.T, w *world, b *browser) (string, string) {
			s := b.begin("/x")
			b.back(s)
			if _, err := w.Sessions.End(t.Context(), session.Which{UserID: "alice"}); err != nil {
				t.Fatal(err)
			}
			return s, "/x"
		},
		"took too long": func(_ *testing.T, w *world, b *browser) (string, string) {
			s := b.begin("/x")
			w.later(time.Hour)
			return s, "/x"
		},
		"begun by another browser": func(_ *testing.T, w *world, b *browser) (string, string) {
			b.begin("/mine")
			return w.browser().begin("/x"), "/x"
		},
		"no cookie (its browser forgot)": func(_ *testing.T, w *world, b *browser) (string, string) {
			s := b.begin("/x")
			b.plant(home, loginCookie, "")
			return s, "/x"
		},
		"no state": func(_ *testing.T, _ *world, b *browser) (string, string) { b.begin("/x"); return "", "/" },
		"a made-up state": func(_ *testing.T, _ *world, b *browser) (string, string) {
			b.begin("/x")
			return strings.Repeat("A", 200), "/"
		},
		"a state that was changed": func(_ *testing.T, _ *world, b *browser) (string, string) {
			s := b.begin("/x")
			return string("AB"[min(1, strings.Count(s[:1], "A"))]) + s[1:], "/"
		},
		"a state of another gateway": func(_ *testing.T, w *world, b *browser) (string, string) {
			b.begin("/x")
			foreign, _ := newStates([]byte(strings.Repeat("x", 32)), w.clock)
			return foreign.seal(&attempt{ID: "1", Provider: "corp", Return: "/evil", Bind: hashOf(b.cookie(home, loginCookie)), Began: w.now.Unix()}), "/"
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			w.idp.identity = &flow.Identity{Subject: "alice"}
			b := w.browser()
			state, ret := c(t, w, b)
			rec := b.back(state)
			to, _ := url.Parse(rec.Header().Get("Location"))
			if rec.Code != 302 || to.Path != pathLogin || to.Query().Get("return") != ret || to.Query().Get("again") != "1" {
				t.Fatalf("%d %s", rec.Code, rec.Header().Get("Location"))
			}
			if b.signedIn(home) {
				t.Error("signed in")
			}
			// Started over, it works; and one that fails again says why instead of going round.
			again := b.get(home + to.RequestURI())
			at, _ := url.Parse(again.Header().Get("Location"))
			if rec := b.back(at.Query().Get("state")); rec.Code != 302 || !b.signedIn(home) {
				t.Errorf("started over: %d %s", rec.Code, rec.Body)
			}
		})
	}
	w := newWorld(t, nil)
	w.idp.identity = &flow.Identity{Subject: "alice"}
	b := w.browser()
	started := func() string {
		to, _ := url.Parse(b.get(home + pathLogin + "?return=/x&again=1").Header().Get("Location"))
		return to.Query().Get("state")
	}
	state := started()
	w.later(time.Hour)
	if rec := b.back(state); rec.Code != 302 || !strings.HasPrefix(rec.Header().Get("Location"), pathLogin) {
		t.Errorf("who is slow a second time may begin a third: %d %s", rec.Code, rec.Body)
	}
	state = started()
	b.plant(home, loginCookie, "")
	if rec := b.back(state); rec.Code != 400 || !strings.Contains(rec.Body.String(), "cookies") || !strings.Contains(rec.Body.String(), `<a href="/.sallyport/login?return=%2Fx">`) {
		t.Errorf("a browser without cookies goes round in circles: %d %s", rec.Code, rec.Body)
	}
	state = started()
	b.back(state)
	if rec := b.back(state); rec.Code != 302 || rec.Header().Get("Location") != "/x" {
		t.Errorf("the back button after a login that had started over: %d %s", rec.Code, rec.Body)
	}
}

// Fixation, GHSA-f24x-5g9q-753f: a cookie that somebody planted before the login is not the
// one afterwards, and the session it stood for is over.
func TestALoginGivesANewSession(t *testing.T) {
	w := newWorld(t, nil)
	attacker, victim := w.browser(), w.browser()
	attacker.signIn("bob", "/")
	planted := attacker.cookie(home, sessionCookie)
	state := victim.begin("/")
	victim.plant(home, sessionCookie, planted)
	w.idp.identity = &flow.Identity{Subject: "alice"}
	victim.back(state)
	if c := victim.cookie(home, sessionCookie); c == planted || !victim.signedIn(home) {
		t.Error("the planted cookie is in use")
	}
	if attacker.signedIn(home) {
		t.Error("the planted session runs on")
	}
}

func TestNobodyEntersWhomTheProviderOrTheGateRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		set    func(w *world)
		status int
	}{
		"the provider proves nothing":  {func(w *world) { w.idp.err = model.NewError(model.CredentialInvalid, "No.") }, 401},
		"the person declined":          {func(w *world) { w.idp.err = model.NewError(model.PermissionDenied, "No.") }, 403},
		"the provider is down":         {func(w *world) { w.idp.err = model.NewError(model.IdentityUnavailable, "No.") }, 503},
		"a fault that nobody foresaw":  {func(w *world) { w.idp.err = errors.New("secret detail") }, 500},
		"nobody here":                  {func(w *world) { w.idp.identity = &flow.Identity{Subject: "mallory"} }, 401},
		"the audit cannot be written":  {func(w *world) { w.deaf = errors.New("disk full") }, 503},
		"deactivated (CVE-2025-64521)": {func(w *world) { w.users["alice"].User.Active = false }, 401},
		"the provider was switched off": {func(w *world) {
			w.set.IdentityProviders[0].Enabled = false
			w.set.Settings.Sessions.PasswordLogin = true
			w.compile()
		}, 302}, // to the ways that are left
		"an assertion that was used": {func(w *world) {
			w.idp.identity.Once, w.idp.identity.OnceUntil = "a1", w.now.Add(time.Hour)
			w.used.first("corp a1", w.now.Add(time.Hour))
		}, 401},
		"parameters given twice (row 35)": {func(*world) {}, 400},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			w.idp.identity = &flow.Identity{Subject: "alice"}
			b := w.browser()
			state := b.begin("/")
			c.set(w)
			address := home + pathCallback + "?code=x&state=" + url.QueryEscape(state)
			if c.status == 400 {
				address += "&code=y"
			}
			rec := b.get(address)
			if rec.Code != c.status || b.cookie(home, sessionCookie) != "" {
				t.Errorf("%d %s", rec.Code, rec.Body)
			}
			if strings.Contains(rec.Body.String(), "secret detail") {
				t.Error("the cause is shown")
			}
		})
	}
}

func TestAProviderThatIsDownStopsNewLoginsAlone(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser()
	b.signIn("alice", "/")
	w.idp.err = model.NewError(model.IdentityUnavailable, "down")
	if rec := w.browser().get(home + pathLogin); rec.Code != 503 {
		t.Errorf("%d", rec.Code)
	}
	if !b.signedIn(home) {
		t.Error("a running session ended")
	}
}

func TestAPasswordFormIsTheGatewaysOwn(t *testing.T) {
	w := newWorld(t, func(s *model.Set) { s.Settings.Sessions.PasswordLogin = true; s.IdentityProviders = nil })
	good := func(b *browser, csrf string) url.Values {
		return url.Values{"username": {"alice"}, "password": {"right"}, "return": {"/x"}, "csrf": {csrf}}
	}
	b := w.browser()
	page := b.get(home + pathLogin + "?return=/x")
	rec := b.do("POST", home+pathLogin, good(b, token(t, page)))
	if rec.Code != 303 || rec.Header().Get("Location") != "/x" || !b.signedIn(home) {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	for name, send := range map[string]func(b *browser) int{
		"without the token": func(b *browser) int { return b.do("POST", home+pathLogin, good(b, "")).Code },
		"with another's token": func(b *browser) int {
			return b.do("POST", home+pathLogin, good(b, token(t, w.browser().get(home+pathLogin)))).Code
		},
		"without its cookie": func(b *browser) int {
			csrf := token(t, b.get(home+pathLogin))
			b.plant(home, loginCookie, "")
			return b.do("POST", home+pathLogin, good(b, csrf)).Code
		},
		"with a wrong password": func(b *browser) int {
			f := good(b, token(t, b.get(home+pathLogin)))
			f.Set("password", "wrong")
			return b.do("POST", home+pathLogin, f).Code
		},
		"empty (authentik CVE-2026-49443)": func(b *browser) int { return b.do("POST", home+pathLogin, url.Values{}).Code },
	} {
		b := w.browser()
		if code := send(b); code != 401 || b.signedIn(home) {
			t.Errorf("%s: %d", name, code)
		}
	}
	for name, fields := range map[string][]string{
		"from another origin": {"Origin", "https://evil.example"},
		"from a null origin":  {"Origin", "null"},
		"from a neighbour":    {"Origin", "https://evil.home.example.com"},
		"cross-site":          {"Origin", "", "Sec-Fetch-Site", "cross-site"},
		"same-site":           {"Origin", "", "Sec-Fetch-Site", "same-site"},
	} {
		b := w.browser()
		if rec := b.do("POST", home+pathLogin, good(b, token(t, b.get(home+pathLogin))), fields...); rec.Code != 403 || b.signedIn(home) {
			t.Errorf("%s: %d", name, rec.Code)
		}
	}
	if rec := b.do("POST", home+pathLogin, nil, "Content-Type", "application/json"); rec.Code != 415 {
		t.Errorf("JSON: %d", rec.Code)
	}
	if rec := b.do("POST", home+pathLogin, url.Values{"x": {strings.Repeat("a", mostForm)}}); rec.Code != 413 {
		t.Errorf("a large form: %d", rec.Code)
	}
	if rec := b.do("DELETE", home+pathLogin, nil); rec.Code != 405 || rec.Header().Get("Allow") == "" {
		t.Errorf("DELETE: %d", rec.Code)
	}
}

func TestWithoutABrowserLoginThereIsNone(t *testing.T) {
	w := newWorld(t, func(s *model.Set) { s.IdentityProviders = nil })
	if rec := w.browser().get(home + pathLogin); rec.Code != 404 {
		t.Errorf("%d", rec.Code)
	}
	if rec := w.browser().do("POST", home+pathLogin, url.Values{"username": {"alice"}, "password": {"right"}}); rec.Code != 404 {
		t.Errorf("%d", rec.Code)
	}
}

func TestPagesShowNothingOfTheirReaderAsMarkup(t *testing.T) {
	w := newWorld(t, func(s *model.Set) {
		s.Settings.Sessions.PasswordLogin = true
		s.Settings.Pages = model.Pages{Title: "Welcome <b>", Stylesheet: "https://cdn.example.com/a.css", Logo: "/logo.svg"}
	})
	b := w.browser()
	rec := b.get(home + pathLogin + "?return=" + url.QueryEscape(`/"><script>alert(1)</script>`))
	body, policy := rec.Body.String(), rec.Header().Get("Content-Security-Policy")
	if strings.Contains(body, "<script") || strings.Contains(body, "<b>") || strings.Contains(body, "ZgotmplZ") {
		t.Errorf("%s", body)
	}
	for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", " https://cdn.example.com", "img-src 'self'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("%q lacks %q", policy, want)
		}
	}
	for _, want := range []string{`<label for="username">`, `<label for="password">`, `lang="en"`, "<h1>", `href="https://cdn.example.com/a.css"`, `src="/logo.svg"`, "Continue with corp"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q:\n%s", want, body)
		}
	}
}

// The events of logins, and what people are shown of their sessions, tell the address
// that the gate decides by: the peer's, or the one that a trusted proxy names.
func TestLoginsTellTheClientsAddressAndNotTheProxys(t *testing.T) {
	for name, c := range map[string]struct {
		trusted   string
		forwarded []string
		want      string
	}{
		"no proxy":                           {"", nil, "192.0.2.1"},
		"a header of the client's own":       {"", []string{"X-Forwarded-For", "198.51.100.7"}, "192.0.2.1"},
		"behind a proxy":                     {"192.0.2.0/24", []string{"X-Forwarded-For", "198.51.100.7"}, "198.51.100.7"},
		"what the client claimed beside it":  {"192.0.2.0/24", []string{"X-Forwarded-For", "203.0.113.9, 198.51.100.7"}, "198.51.100.7"},
		"behind two proxies":                 {"192.0.2.0/24", []string{"X-Forwarded-For", "198.51.100.7, 192.0.2.9"}, "198.51.100.7"},
		"a proxy that is somebody else's":    {"192.0.3.0/24", []string{"X-Forwarded-For", "198.51.100.7"}, "192.0.2.1"},
		"a proxy that says nothing":          {"192.0.2.0/24", nil, "192.0.2.1"},
		"a header that nobody can read":      {"192.0.2.0/24", []string{"X-Forwarded-For", "<b>"}, "192.0.2.1"},
		"a proxy that gives its own name on": {"192.0.2.0/24", []string{"X-Forwarded-For", "198.51.100.7", "X-Forwarded-Host", "home.example.com"}, "198.51.100.7"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			if c.trusted != "" {
				w.front, _ = model.ParsePrefixes([]string{c.trusted}, "")
				w.compile()
			}
			b := w.browser()
			state := b.begin("/x")
			w.idp.identity = &flow.Identity{Subject: "nobody"}
			if rec := b.get(home+pathCallback+"?code=x&state="+state, c.forwarded...); rec.Code != 401 {
				t.Fatalf("%d %s", rec.Code, rec.Body)
			}
			w.idp.identity = &flow.Identity{Subject: "alice"}
			if rec := b.get(home+pathCallback+"?code=x&state="+b.begin("/x"), c.forwarded...); rec.Code != 302 || !b.signedIn(home) {
				t.Fatalf("%d %s", rec.Code, rec.Body)
			}
			for _, e := range w.events {
				if e.ClientIP != c.want {
					t.Errorf("the event of a login that was %s tells of %q", e.Outcome, e.ClientIP)
				}
			}
			list, err := w.Sessions.List(t.Context(), session.Which{UserID: "alice"}, "", 10)
			if err != nil || len(list) != 1 || list[0].ClientIP != c.want {
				t.Errorf("sessions: %+v %v", list, err)
			}
			if page := b.get(home + pathAccount).Body.String(); !strings.Contains(page, c.want) {
				t.Errorf("the account page: %s", page)
			}
		})
	}
}

// Behind a proxy that names the host in X-Forwarded-Host, routes are found by that
// name, and so is the way home; nobody else's word for it counts.
func TestTheHostIsTheOneThatATrustedProxyNames(t *testing.T) {
	w := newWorld(t, nil)
	at := "https://inside.example" + pathLogin + "?return=/x"
	if rec := w.browser().get(at, "X-Forwarded-Host", "home.example.com"); rec.Code != 404 {
		t.Errorf("of the client's own: %d %s", rec.Code, rec.Header().Get("Location"))
	}
	w.front, _ = model.ParsePrefixes([]string{"192.0.2.1"}, "")
	w.compile()
	if rec := w.browser().get(at, "X-Forwarded-Host", "home.example.com"); rec.Code != 302 || !strings.HasPrefix(rec.Header().Get("Location"), "https://idp.example.com/") {
		t.Errorf("at home: %d %s", rec.Code, rec.Header().Get("Location"))
	}
	if rec := w.browser().get(at, "X-Forwarded-Host", "other.example.com"); rec.Code != 302 || !strings.HasPrefix(rec.Header().Get("Location"), home+pathLogin) {
		t.Errorf("at another host: %d %s", rec.Code, rec.Header().Get("Location"))
	}
}

// A credential that is good from some addresses begins no session from others, and
// shows and ends none from there; but to sign out is possible everywhere.
func TestACredentialThatIsLimitedToAddressesIsSoAtTheLogin(t *testing.T) {
	w := newWorld(t, nil)
	w.users["alice"].User.Credentials[0].Addresses = []string{"198.51.100.0/24"}
	w.front, _ = model.ParsePrefixes([]string{"192.0.2.1"}, "")
	w.compile()
	w.idp.identity = &flow.Identity{Subject: "alice"}
	b := w.browser()
	rec := b.back(b.begin("/x"))
	last := w.events[len(w.events)-1]
	if rec.Code != 403 || b.signedIn(home) || last.Outcome != "denied" || last.Code != model.AddressRefused {
		t.Errorf("%d %+v", rec.Code, last)
	}
	if rec := b.get(home+pathCallback+"?code=x&state="+b.begin("/x"), "X-Forwarded-For", "198.51.100.7"); rec.Code != 302 || !b.signedIn(home) {
		t.Errorf("from there: %d %s", rec.Code, rec.Body)
	}
	if rec := b.get(home+pathAccount, "X-Forwarded-For", "198.51.100.7"); rec.Code != 200 {
		t.Errorf("the account page from there: %d %s", rec.Code, rec.Body)
	}
	if rec := b.get(home + pathAccount); rec.Code != 403 || !strings.Contains(rec.Body.String(), "address_refused") || strings.Contains(rec.Body.String(), "198.51.100") {
		t.Errorf("the account page from elsewhere: %d %s", rec.Code, rec.Body)
	}
	if rec := b.do("POST", home+pathAccount, url.Values{"session": {"others"}}, "Origin", home); rec.Code != 403 || !strings.Contains(rec.Body.String(), "address_refused") {
		t.Errorf("ending sessions from elsewhere: %d %s", rec.Code, rec.Body)
	}
	if rec := b.get(home + pathLogout); rec.Code != 200 || !strings.Contains(rec.Body.String(), "<form") {
		t.Errorf("signing out from elsewhere: %d %s", rec.Code, rec.Body)
	}
}

// mod_auth_openidc CVE-2025-3891 (a POST without content), CVE-2024-24814 and CVE-2023-28625
// (crafted cookies), authentik CVE-2026-49443 (an empty step): whatever comes to the
// gateway's own paths is answered, breaks nothing, and signs nobody in.
func TestCraftedRequestsBreakNothing(t *testing.T) {
	w := newSchool(t)
	b := w.browser()
	relay, state := b.enrol("return=/x"), relayOf(t, b.get(home+pathLogin+"?provider=corp&return=/x"))
	w.idp.err = model.NewError(model.CredentialInvalid, "It proves nothing.")
	long := strings.Repeat("A", 9000)
	bodies := []string{"", "&", "=", "%", "a=%zz", "csrf", "csrf=&username=&password=", "RelayState=" + relay, "RelayState=" + relay + "&SAMLResponse=%00", "RelayState=sp.", "SAMLResponse=", "RelayState=" + long,
		"state=" + state, "session=others", "session=%FF", "logout_token=" + long, "\x00\xff", strings.Repeat("a=b&", 3000)}
	cookies := []string{"", "=", ";;;", sessionCookie, sessionCookie + "=", sessionCookie + "=" + long, sessionCookie + "=\"", loginCookie + "=" + long, relayCookie + "=" + long, relayCookie + "=A; " + relayCookie + "=B",
		relayCookie + "=" + state, sessionCookie + "_0=x; " + sessionCookie + "_1=y; " + sessionCookie + "_999999999=z", strings.Repeat(sessionCookie+"=x; ", 200), "\xff\xfe=\x00"}
	for _, path := range []string{pathLogin, pathCallback, pathLogout, pathHandover, pathAccount, pathSAML + "school/acs", pathSAML + "school/slo", pathSAML + "school/metadata", pathSAML + "nobody/acs", pathBackchannel + "corp", pathBackchannel + "nobody"} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "BREW"} {
			for _, body := range bodies {
				for _, cookie := range cookies {
					for _, kind := range []string{"application/x-www-form-urlencoded", "", "multipart/form-data; boundary=x"} {
						if kind != "application/x-www-form-urlencoded" && (method != "POST" || cookie != "") {
							continue
						}
						r := httptest.NewRequest(method, home+path, strings.NewReader(body))
						if method != "POST" {
							r.URL.RawQuery = body
						}
						r.Header["Cookie"], r.Header["Content-Type"] = []string{cookie}, []string{kind}
						rec := httptest.NewRecorder()
						w.Handler(path).ServeHTTP(rec, r)
						for _, c := range rec.Result().Cookies() {
							if c.Name == sessionCookie && c.Value != "" {
								t.Fatalf("%s %s %.60q with %.60q signs somebody in", method, path, body, cookie)
							}
						}
						if rec.Code < 200 || rec.Code >= 500 && rec.Code != 503 || rec.Code == 500 {
							t.Fatalf("%s %s %.60q with %.60q: %d %s", method, path, body, cookie, rec.Code, rec.Body)
						}
					}
				}
			}
		}
	}
}
