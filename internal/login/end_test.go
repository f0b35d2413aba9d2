package login

import (
	"context"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/login/flow"
	"github.com/sallyport/sallyport/internal/model"
)

// toOther signs a browser in for the other host and answers the code's address.
func (b *browser) toOther(subject, path string) *url.URL {
	b.w.t.Helper()
	b.w.idp.identity = &flow.Identity{Subject: subject, SID: "sid-" + subject}
	rec := b.get(other + pathLogin + "?return=" + url.QueryEscape(path))
	to := rec.Header().Get("Location")
	if rec.Code != 302 || !strings.HasPrefix(to, home+pathLogin) {
		b.w.t.Fatalf("%d %s", rec.Code, to)
	}
	rec = b.get(to)
	if at, _ := url.Parse(rec.Header().Get("Location")); at.Host == "idp.example.com" {
		rec = b.back(at.Query().Get("state"))
	}
	u, err := url.Parse(rec.Header().Get("Location"))
	if err != nil || u.Host != "other.example.com" || u.Path != pathHandover {
		b.w.t.Fatalf("%d %s", rec.Code, rec.Header().Get("Location"))
	}
	return u
}

func TestALoginForAnotherHostIsHandedOver(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser()
	code := b.toOther("alice", "/cart?x=1")
	if b.signedIn(other) {
		t.Error("signed in before the code")
	}
	rec := b.get(code.String())
	if rec.Code != 302 || rec.Header().Get("Location") != other+"/cart?x=1" || !b.signedIn(other) || !b.signedIn(home) {
		t.Errorf("%d %s", rec.Code, rec.Header().Get("Location"))
	}
	if b.cookie(other, sessionCookie) == b.cookie(home, sessionCookie) {
		t.Error("one cookie for two hosts")
	}
	// Signed in at home already, the other host needs no login.
	if _, err := w.Sessions.End(t.Context(), whichOf(t, b, other)); err != nil {
		t.Fatal(err)
	}
	w.idp.err = model.NewError(model.IdentityUnavailable, "down")
	if b.get(b.toOther("alice", "/").String()); !b.signedIn(other) {
		t.Error("a second login was needed")
	}
}

func TestACodeCountsOnceForItsBrowserAndItsHost(t *testing.T) {
	for name, use := range map[string]func(w *world, b *browser, code *url.URL) string{
		"twice": func(w *world, b *browser, code *url.URL) string {
			b.get(code.String())
			b.plant(other, sessionCookie, "")
			return code.String()
		},
		"too late": func(w *world, b *browser, code *url.URL) string { w.later(61 * time.Second); return code.String() },
		"on another host": func(w *world, b *browser, code *url.URL) string {
			return "https://x.wild.example.com" + code.RequestURI()
		},
		"on a foreign one": func(w *world, b *browser, code *url.URL) string { return "https://evil.example" + code.RequestURI() },
		"made up":          func(w *world, b *browser, code *url.URL) string { return other + pathHandover + "?code=" + newText(32) },
		"without the cookie that the host set": func(w *world, b *browser, code *url.URL) string {
			b.plant(other, loginCookie, "")
			return code.String()
		},
		"of a session that ended": func(w *world, b *browser, code *url.URL) string {
			_, _ = w.Sessions.End(context.Background(), whichOf(w.t, b, home))
			return code.String()
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			b := w.browser()
			address := use(w, b, b.toOther("alice", "/cart"))
			u, _ := url.Parse(address)
			if rec := b.get(address); rec.Code != 302 || rec.Header().Get("Location") != "/" || b.signedIn("https://"+u.Host) {
				t.Errorf("%d %s", rec.Code, rec.Header().Get("Location"))
			}
		})
	}
	// A code in another's browser is nobody's: a login is not pushed on a victim.
	w := newWorld(t, nil)
	attacker, victim := w.browser(), w.browser()
	code := attacker.toOther("bob", "/")
	victim.get(other + pathLogin)
	if victim.get(code.String()); victim.signedIn(other) {
		t.Error("the victim is signed in as the attacker")
	}
}

func TestAHostThatNoRouteNamesLendsNothing(t *testing.T) {
	w := newWorld(t, nil)
	if rec := w.browser().get("https://evil.example" + pathLogin); rec.Code != 404 {
		t.Errorf("%d", rec.Code)
	}
	b := w.browser()
	b.signIn("alice", "/")
	for _, ret := range []string{"https://evil.example/", "https://wild.example.com/", "https://xwild.example.com/"} {
		rec := b.get(home + pathLogin + "?bind=abc&return=" + url.QueryEscape(ret))
		if rec.Header().Get("Location") != "/" {
			t.Errorf("%s: %s", ret, rec.Header().Get("Location"))
		}
	}
	// A link with a return address and no cookie behind it gets no code: the other host
	// sends the browser here again, with one.
	if rec := b.get(home + pathLogin + "?return=" + url.QueryEscape(other+"/")); rec.Header().Get("Location") != other+"/" {
		t.Errorf("%s", rec.Header().Get("Location"))
	}
}

// Open redirects: GHSA-qqxw-m5fj-f7gv, CVE-2020-11053, CVE-2020-4037, CVE-2026-83589,
// CVE-2021-32786, CVE-2022-23527, CVE-2021-29456 by backslashes, tabs and spaces, written or
// encoded; CVE-2021-21291 (GHSA-4mf2-f3wh-gvf2) by a suffix without its dot;
// CVE-2024-52289 by a dot that stands for any letter.
func TestReturnAddresses(t *testing.T) {
	w := newWorld(t, nil)
	external, _ := url.Parse(home)
	for raw, want := range map[string]string{
		"/a/b?c=d#e":                         "/a/b?c=d#e",
		"/":                                  "/",
		"":                                   "/",
		home + "/x":                          "/x",
		"HTTPS://HOME.example.com/x":         "/x",
		other + "/x?y":                       other + "/x?y",
		"https://a.wild.example.com/":        "https://a.wild.example.com/",
		"https://wild.example.com/":          "/",
		other + ":8443/":                     "/",
		home + ":8443/":                      "/",
		"https://evilwild.example.com/":      "/",
		"https://home.example.com.evil/":     "/",
		"https://home.example.com@evil/":     "/",
		"https://evil/@home.example.com":     "/",
		"http://home.example.com/":           "/",
		"//evil":                             "/",
		"///evil":                            "/",
		`/\evil`:                             "/",
		`\\evil`:                             "/",
		"/\tevil":                            "/",
		"/ evil":                             "/",
		"/\r\n/evil":                         "/",
		"/\x00/evil":                         "/",
		"/%09/evil":                          "/%09/evil", // encoded, they stay letters of a path of this host
		"/%5C/evil":                          "/%5C/evil",
		"/%2F/evil":                          "/%2F/evil",
		"/%20/evil":                          "/%20/evil",
		"https://homeXexample.com/":          "/",
		"https://other.example.com.":         "https://other.example.com.", // the same name, written whole
		"/\u2028evil":                        "/",
		"javascript:alert(1)":                "/",
		"https:evil":                         "/",
		"evil.example":                       "/",
		"?x":                                 "/",
		"/.sallyport/logout":                 "/",
		"/.SALLYPORT/callback":               "/",
		"/.sallyport/account":                "/.sallyport/account",
		"/%2e%73allyport/logout":             "/",
		other + "/.sallyport/session?code=x": "/",
		"/" + strings.Repeat("a", 5000):      "/",
		"https://[::1]/":                     "/",
		"data:text/html;base64,AAAA":         "/",
	} {
		if got := checkReturn(raw, home, external, w.plan); got != want {
			t.Errorf("%q: %q, want %q", raw, got, want)
		}
	}
}

func FuzzReturnAddresses(f *testing.F) {
	for _, s := range []string{"/a", "//evil", `/\evil`, home + "/x", "https://home.example.com@evil/", "/\t/evil", "https:/\\evil", "/%09/evil"} {
		f.Add(s)
	}
	w := newWorld(f, nil)
	external, _ := url.Parse(home)
	base, _ := url.Parse(home + pathLogin)
	f.Fuzz(func(t *testing.T, raw string) {
		got := checkReturn(raw, home, external, w.plan)
		// What a browser makes of it: tabs and line ends dropped, backslashes turned.
		read := strings.NewReplacer("\t", "", "\n", "", "\r", "", `\`, "/").Replace(strings.Trim(got, " \x00\x1f"))
		u, err := base.Parse(read)
		if err != nil {
			t.Fatalf("%q gives %q, which no browser can follow", raw, got)
		}
		host := strings.ToLower(u.Hostname())
		if u.Scheme != "https" || host != "home.example.com" && host != "other.example.com" && !strings.HasSuffix(host, ".wild.example.com") {
			t.Errorf("%q leads to %s", raw, u)
		}
	})
}

func TestLogout(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser()
	b.get(b.toOther("alice", "/").String())
	stranger := w.browser()
	stranger.signIn("alice", "/")
	form := func() url.Values { return url.Values{"csrf": {token(t, b.get(home+pathLogout))}} }
	for name, c := range map[string]struct {
		form   url.Values
		fields []string
	}{
		"a page of another origin":          {form(), []string{"Origin", "https://evil.example"}},
		"no token":                          {url.Values{}, nil},
		"another's token":                   {url.Values{"csrf": {token(t, stranger.get(home+pathLogout))}}, nil},
		"the token of no session":           {url.Values{"csrf": {w.CSRF.Token("")}}, nil},
		"a pair of the attacker's (row 53)": {url.Values{"csrf": {"x"}}, []string{"Cookie", sessionCookie + "=" + b.cookie(home, sessionCookie) + "; __Host-sallyport-csrf=x"}},
	} {
		if rec := b.do("POST", home+pathLogout, c.form, c.fields...); rec.Code != 403 || !b.signedIn(home) {
			t.Errorf("%s: %d", name, rec.Code)
		}
	}
	rec := b.do("POST", home+pathLogout, form())
	if rec.Code != 200 || b.signedIn(home) || b.signedIn(other) || b.cookie(home, sessionCookie) != "" {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if !stranger.signedIn(home) {
		t.Error("another login of the same person ended too")
	}
	// Signed out already, there is nothing to confirm and nothing to protect.
	if rec := b.do("POST", home+pathLogout, nil); rec.Code != 200 {
		t.Errorf("%d", rec.Code)
	}
	to := "/bye"
	w.set.Settings.ReverseProxyAuthentication.LogoutURL = &to
	w.compile()
	if rec := b.get(home + pathLogout); rec.Header().Get("Location") != "/bye" {
		t.Errorf("%v", rec.Header())
	}
	w.idp.end = &flow.Departure{URL: "https://idp.example.com/end"}
	b.signIn("alice", "/")
	if rec := b.do("POST", home+pathLogout, form()); rec.Code != 303 || rec.Header().Get("Location") != "https://idp.example.com/end" || b.signedIn(home) {
		t.Errorf("%d %v", rec.Code, rec.Header())
	}
}

func TestBackChannelLogout(t *testing.T) {
	w := newWorld(t, nil)
	at := home + pathBackchannel + "corp"
	b, bob := w.browser(), w.browser()
	b.get(b.toOther("alice", "/").String())
	bob.signIn("bob", "/")
	post := func(token string) int {
		return w.browser().do("POST", at, url.Values{"logout_token": {token}}, "Origin", "").Code
	}
	w.idp.ended = &flow.Ended{ID: "1", SID: "sid-alice", Subject: "alice", Until: w.now.Add(time.Hour)}
	if code := post("bad"); code != 400 || !b.signedIn(home) {
		t.Errorf("a bad token: %d", code)
	}
	if code := post("good"); code != 200 || b.signedIn(home) || b.signedIn(other) || !bob.signedIn(home) {
		t.Errorf("%d", code)
	}
	b.signIn("alice", "/")
	if code := post("good"); code != 400 || !b.signedIn(home) {
		t.Errorf("replayed: %d", code)
	}
	w.idp.ended = &flow.Ended{ID: "2", Until: w.now.Add(time.Hour)}
	if code := post("good"); code != 400 || !b.signedIn(home) {
		t.Errorf("about nobody: %d", code)
	}
	w.idp.ended = &flow.Ended{ID: "3", Subject: "alice", Until: w.now.Add(time.Hour)}
	if code := post("good"); code != 200 || b.signedIn(home) || !bob.signedIn(home) {
		t.Errorf("all of a subject's: %d", code)
	}
	for _, p := range []string{home + pathBackchannel + "nobody", home + pathBackchannel + "corp"} {
		if rec := w.browser().get(p); rec.Code != 404 {
			t.Errorf("GET %s: %d", p, rec.Code)
		}
	}
}

func TestAPersonEndsItsOwnSessionsAlone(t *testing.T) {
	w := newWorld(t, nil)
	b, second, third, bob := w.browser(), w.browser(), w.browser(), w.browser()
	for _, x := range []*browser{b, second, third} {
		x.signIn("alice", "/")
	}
	bob.signIn("bob", "/")
	page := b.get(home + pathAccount)
	if page.Code != 200 || strings.Count(page.Body.String(), ">End</button>") != 3 || strings.Contains(page.Body.String(), "<b>") ||
		strings.Contains(page.Body.String(), second.cookie(home, sessionCookie)) || strings.Contains(page.Body.String(), "id token") {
		t.Fatalf("%d %s", page.Code, page.Body)
	}
	end := func(session string) int {
		return b.do("POST", home+pathAccount, url.Values{"session": {session}, "csrf": {token(t, page)}}).Code
	}
	if code := end(whichOf(t, bob, home).ID); code != 303 || !bob.signedIn(home) {
		t.Errorf("another's: %d", code)
	}
	if rec := b.do("POST", home+pathAccount, url.Values{"session": {whichOf(t, second, home).ID}}); rec.Code != 403 || !second.signedIn(home) {
		t.Errorf("without the token: %d", rec.Code)
	}
	if code := end(whichOf(t, second, home).ID); code != 303 || second.signedIn(home) || !third.signedIn(home) {
		t.Errorf("one: %d", code)
	}
	if code := end("others"); code != 303 || third.signedIn(home) || !b.signedIn(home) || !bob.signedIn(home) {
		t.Errorf("others: %d", code)
	}
	if code := end(whichOf(t, b, home).ID); code != 303 || b.signedIn(home) {
		t.Errorf("this: %d", code)
	}
	if rec := b.get(home + pathAccount); rec.Code != 302 || !strings.HasPrefix(rec.Header().Get("Location"), pathLogin) {
		t.Errorf("signed out: %d", rec.Code)
	}
}

func TestARefreshTakesOverWhatTheProviderSays(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(w *world, f *refresher)
		runs bool
		keep string
	}{
		"new claims":               {func(w *world, f *refresher) { f.identity = &flow.Identity{Subject: "alice", Keep: []byte("new")} }, true, "new"},
		"nothing new to keep":      {func(w *world, f *refresher) { f.identity = &flow.Identity{Subject: "alice"} }, true, "id token"},
		"another subject":          {func(w *world, f *refresher) { f.identity = &flow.Identity{Subject: "bob"} }, false, ""},
		"the grant was taken back": {func(w *world, f *refresher) { f.err = model.NewError(model.CredentialInvalid, "no") }, false, ""},
		"the provider is away":     {func(w *world, f *refresher) { f.err = model.NewError(model.IdentityUnavailable, "no") }, true, "id token"},
		"the provider is away after its first answer": {func(w *world, f *refresher) {
			f.identity, f.err = &flow.Identity{Keep: []byte("rotated")}, model.NewError(model.IdentityUnavailable, "no")
		}, true, "rotated"},
		"the user was switched off": {func(w *world, f *refresher) {
			w.users["alice"].User.Active = false
			f.err = model.NewError(model.Internal, "asked")
		}, true, "id token"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			b := w.browser()
			b.signIn("alice", "/")
			f := &refresher{}
			c.set(w, f)
			w.Protocols[model.ProviderOIDC] = f
			which := whichOf(t, b, home)
			r, keep, err := w.Sessions.Record(t.Context(), which.ID)
			if err != nil {
				t.Fatal(err)
			}
			r.Sealed = keep
			w.Refresh(t.Context(), r)
			if w.Sessions.Runs(which.ID) != c.runs {
				t.Fatalf("runs: %v", !c.runs)
			}
			if _, keep, _ := w.Sessions.Record(t.Context(), which.ID); string(keep) != c.keep {
				t.Errorf("kept: %q", keep)
			}
		})
	}
}

// refresher is a provider that is asked again.
type refresher struct{ provider }

func (f *refresher) Refresh(context.Context, *model.IdentityProvider, []byte) (*flow.Identity, error) {
	return f.identity, f.err
}

func TestWhatCountsOnceIsBounded(t *testing.T) {
	now := time.Unix(1000, 0)
	o := newOnce(func() time.Time { return now })
	for i := range mostOnce + 10 {
		o.first(strconv.Itoa(i), now.Add(time.Minute))
	}
	if len(o.until) > mostOnce {
		t.Errorf("%d", len(o.until))
	}
	if o.first("new", now.Add(time.Minute)) {
		t.Error("accepted though nobody can remember it")
	}
	now = now.Add(2 * time.Minute)
	if !o.first("new", now.Add(time.Minute)) || o.first("new", now.Add(time.Minute)) {
		t.Error("not once")
	}
}

func FuzzStates(f *testing.F) {
	s, _ := newStates(key, func() time.Time { return time.Unix(1_800_000_000, 0) })
	good := s.seal(&attempt{ID: "1", Provider: "corp", Return: "/", Bind: "b", Began: 1_800_000_000})
	f.Add(good)
	f.Add("")
	f.Add(strings.Repeat("A", 100))
	f.Fuzz(func(t *testing.T, text string) {
		if a, err := s.open(text); err == nil && (a.ID != "1" || a.Provider != "corp") {
			t.Errorf("%q opens as %+v", text, a)
		}
	})
}
