//go:build e2e

package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// again fails the test unless the browser was sent to sign in anew, with no session
// begun and no dead end.
func (s *surfer) again(t *testing.T, what string, p *page) {
	t.Helper()
	if !strings.HasPrefix(p.at.Path, "/interaction/") && p.at.Path != "/.sallyport/login" || p.status != 200 {
		t.Errorf("%s: %d at %s: %s", what, p.status, p.at, tail(p.body, 400))
	}
	if c := s.cookie(appSite, "__Host-sallyport"); c != "" {
		t.Errorf("%s: a session was begun", what)
	}
}

// held is the browser's way to the gateway's callback, kept from being taken.
func (s *surfer) held(t *testing.T, p *page, account string) string {
	t.Helper()
	kept := s.client.Transport
	defer func() { s.client.Transport = kept }()
	got := ""
	s.client.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.URL.Path == "/.sallyport/callback" {
			got = r.URL.String()
			return emptyAnswer(r), nil
		}
		return kept.RoundTrip(r)
	})
	s.submit(p, 0, map[string]string{"account": account})
	if got == "" {
		t.Fatal("the browser never came back from its provider")
	}
	return got
}

// Login CSRF: a victim's browser is made to finish an attacker's login, and would
// then work, and write, in the attacker's name.
func TestALoginOfAnotherBrowserIsNotFinishedHere(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		e := openEntrance(t, engine, entranceOptions{})
		attacker, victim := e.surf(t), e.surf(t)
		link := attacker.held(t, attacker.leave(appSite+"/mallory"), "a1")
		victim.again(t, "a victim without a login of its own", victim.get(link))
		attacker.again(t, "the attacker, whose own cookie is thrown away", e.surf(t).get(link))
		victim.leave(appSite + "/x") // begins a login of its own, and has the cookie of one
		attacker = e.surf(t)
		other := attacker.held(t, attacker.leave(appSite+"/mallory"), "a1")
		victim.again(t, "a victim amid a login of its own", victim.get(other))
		// Nor is the form of a password one that any browser may send.
		e.apply(t, `settings: {sessions: {passwordLogin: true}}`)
		form := url.Values{"username": {"bob"}, "password": {"bobs-password"}, "return": {"/"}}
		if p := victim.do("POST", appSite+"/.sallyport/login", form, header("Origin", "https://evil.example"), header("Sec-Fetch-Site", "cross-site")); p.status != 403 || !strings.Contains(p.body, "origin_refused") {
			t.Errorf("a password form of another site: %d %s", p.status, p.body)
		}
		page := e.surf(t).get(appSite + "/.sallyport/login") // of the attacker's browser
		form.Set("csrf", between(page.body, `name="csrf" value="`, `"`))
		if p := victim.do("POST", appSite+"/.sallyport/login", form); p.status != 401 || victim.cookie(appSite, "__Host-sallyport") != "" {
			t.Errorf("a password form with another browser's token: %d %s", p.status, p.body)
		}
		form.Del("csrf")
		if p := victim.do("POST", appSite+"/.sallyport/login", form); p.status != 401 || victim.cookie(appSite, "__Host-sallyport") != "" {
			t.Errorf("a password form without a token: %d %s", p.status, p.body)
		}
	})
}

func between(s, from, to string) string {
	_, s, _ = strings.Cut(s, from)
	s, _, _ = strings.Cut(s, to)
	return unescape(s)
}

// Wrong nonce, mixed-up providers, states of another's making: mod_auth_openidc
// GHSA-wcvh-g65p-v576, and what several providers add to it (RFC 9207).
func TestAnAnswerThatIsNotToThisLoginProvesNothing(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		e := openEntrance(t, engine, entranceOptions{others: []string{"partner"}})
		partner := e.others[0]
		swap := func(raw string, set url.Values) string {
			u, err := url.Parse(raw)
			if err != nil {
				t.Fatal(err)
			}
			q := u.Query()
			for k, v := range set {
				if q[k] = v; v[0] == "" {
					q.Del(k)
				}
			}
			u.RawQuery = q.Encode()
			return u.String()
		}
		refused := func(what, link string, s *surfer) {
			t.Helper()
			p := s.get(link)
			if s.cookie(appSite, "__Host-sallyport") != "" || p.status == 200 && !strings.HasPrefix(p.at.Path, "/interaction/") && p.at.Path != "/.sallyport/login" {
				t.Errorf("%s: %d %s %s", what, p.status, p.at, tail(p.body, 300))
			}
			if p.status >= 400 && !strings.Contains(p.body, `href="/.sallyport/login`) && !strings.Contains(p.body, "more than once") {
				t.Errorf("%s: a dead end: %d %s", what, p.status, tail(p.body, 300))
			}
		}
		corp := func() (*surfer, string) {
			s := e.surf(t)
			return s, s.held(t, s.leave(appSite+"/corp"), "a1")
		}
		s, link := corp()
		refused("no state", swap(link, url.Values{"state": {""}}), s)
		refused("a state of garbage", swap(link, url.Values{"state": {"AAAA"}}), s)
		state := sure(url.Parse(link)).Query().Get("state")
		for i := range len(state) {
			if i%17 == 0 {
				b := []byte(state)
				b[i] ^= 1
				refused("a changed state", swap(link, url.Values{"state": {string(b)}}), s)
			}
		}
		refused("the issuer of another provider", swap(link, url.Values{"iss": {partner.issuer}}), s)
		s, link = corp()
		refused("no issuer, where one is promised", swap(link, url.Values{"iss": {""}}), s)
		s, link = corp()
		refused("two codes", link+"&code=another", s)
		// The code of another login, with its own state: its nonce and verifier differ.
		one := e.surf(t)
		first, second := one.leave(appSite+"/corp/1"), one.leave(appSite+"/corp/2")
		a, b := one.held(t, first, "a1"), one.held(t, second, "a1")
		refused("the code of another login (wrong nonce, wrong verifier)", swap(a, url.Values{"code": {sure(url.Parse(b)).Query().Get("code")}}), one)
		// Mixed-up providers: the partner's code with corp's state.
		two := e.surf(t)
		mine := two.held(t, two.leave(appSite+"/corp"), "a1")
		theirs := two.held(t, two.leave(appSite+"/.sallyport/login?provider=partner&return=/x"), "p1")
		refused("the partner's code for corp's login", swap(mine, url.Values{"code": {sure(url.Parse(theirs)).Query().Get("code")}}), two)
		// An error of the provider's is shown without the words that anybody can put in a link.
		s, link = corp()
		if p := s.get(swap(link, url.Values{"code": {""}, "error": {"access_denied"}, "error_description": {"Call +1 555 0100 <script>"}})); p.status != 403 || strings.Contains(p.body, "555") {
			t.Errorf("a provider's error: %d %s", p.status, p.body)
		}
	})
}

func sure[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Fixation, GHSA-f24x-5g9q-753f: a session that was there before the login is not the one after.
func TestASessionIsNewAtEachLogin(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		e := openEntrance(t, engine, entranceOptions{others: []string{"partner"}})
		attacker := e.surf(t)
		attacker.signIn(appSite+"/corp", "a1").arrived(t, "the attacker", appSite+"/corp")
		planted := attacker.cookie(appSite, "__Host-sallyport")
		victim := e.surf(t)
		u, _ := url.Parse(appSite + "/")
		victim.jar.SetCookies(u, []*http.Cookie{{Name: "__Host-sallyport", Value: planted, Path: "/", Secure: true}})
		victim.signIn(appSite+"/.sallyport/login?provider=partner&return=/x", "p1")
		if c := victim.cookie(appSite, "__Host-sallyport"); c == planted || c == "" {
			t.Fatalf("the cookie is %q, and %q was planted", c, planted)
		}
		a := e.call(t, "GET", "/x", "", header("Cookie", "__Host-sallyport="+planted), hostOf("app.example.com"))
		if a.status != 401 {
			t.Errorf("the planted session goes on: %d %s", a.status, a.body)
		}
		// One's own, too, on all hosts.
		s := e.surf(t)
		s.signIn(appSite+"/corp", "a1").arrived(t, "the login", appSite+"/corp")
		s.get(shopSite+"/x").arrived(t, "the shop", shopSite+"/x")
		was, shop := s.cookie(appSite, "__Host-sallyport"), s.cookie(shopSite, "__Host-sallyport")
		s.signIn(appSite+"/.sallyport/login?provider=partner&return=/x", "p1").arrived(t, "again", appSite+"/x")
		for host, c := range map[string]string{"app.example.com": was, "shop.example.com": shop} {
			if a := e.call(t, "GET", "/x", "", header("Cookie", "__Host-sallyport="+c), hostOf(host)); a.status != 401 {
				t.Errorf("the former session goes on at %s: %d", host, a.status)
			}
		}
	})
}

// A neighbour, or an old subdomain, plants a second cookie of the name (cookie tossing).
func TestTwoCookiesOfOneNameAreRefused(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		e := openEntrance(t, engine, entranceOptions{})
		s, other := e.surf(t), e.surf(t)
		s.signIn(appSite+"/x", "a1").arrived(t, "the login", appSite+"/x")
		other.signIn(appSite+"/x", "a1").arrived(t, "another login", appSite+"/x")
		a, b := "__Host-sallyport="+s.cookie(appSite, "__Host-sallyport"), "__Host-sallyport="+other.cookie(appSite, "__Host-sallyport")
		for what, cookies := range map[string][]mod{
			"in one field":       {header("Cookie", a+"; "+b)},
			"in two fields":      {header("Cookie", a), header("Cookie", b)},
			"the second garbage": {header("Cookie", a+"; __Host-sallyport=x")},
		} {
			r := e.call(t, "GET", "/x", "", append(cookies, hostOf("app.example.com"))...)
			r.expect(t, what, 401, "credential_invalid")
			if p := e.call(t, "GET", "/.sallyport/account", "", append(cookies, hostOf("app.example.com"))...); p.status != 302 {
				t.Errorf("%s: the account page: %d", what, p.status)
			}
		}
		e.call(t, "GET", "/x", "", header("Cookie", a+"; "+a), hostOf("app.example.com")).expect(t, "the same twice", 200, "")
	})
}

// authentik CVE-2026-25748: a cookie that cannot be read, or a store that is away, let
// requests through without an identity.
func TestAGarbageCookieOpensNothing(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		e := openEntrance(t, engine, entranceOptions{})
		for _, c := range []string{"", "x", "%00", strings.Repeat("A", 54), strings.Repeat("A", 199), strings.Repeat("A", 4000), `"quoted"`, "a,b", "\xff\xfe", "..", "ses_x", "null"} {
			a := e.call(t, "GET", "/x", "", header("Cookie", "__Host-sallyport="+c), hostOf("app.example.com"))
			if a.status != 401 && a.status != 400 {
				t.Errorf("%q: %d %s", c, a.status, a.body)
			}
		}
		if n := len(e.backend.saw()); n != 0 {
			t.Errorf("the backend saw %d requests", n)
		}
	})
}

// A code that hands a session over to another host counts once, there, and in the
// browser that asked for it.
func TestAHandoverCodeIsOfOneBrowserAndOneHost(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		e := openEntrance(t, engine, entranceOptions{})
		take := func(s *surfer) string {
			t.Helper()
			kept := s.client.Transport
			defer func() { s.client.Transport = kept }()
			got := ""
			s.client.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
				if r.URL.Path == "/.sallyport/session" {
					got = r.URL.String()
					return emptyAnswer(r), nil
				}
				return kept.RoundTrip(r)
			})
			s.get(shopSite + "/cart")
			if got == "" {
				t.Fatal("no handover")
			}
			return got
		}
		signedIn := func() *surfer {
			s := e.surf(t)
			s.signIn(appSite+"/x", "a1").arrived(t, "the login", appSite+"/x")
			return s
		}
		s := signedIn()
		link := take(s)
		if p := e.surf(t).step(link); p.header.Get("Set-Cookie") != "" && strings.Contains(p.header.Get("Set-Cookie"), "__Host-sallyport=") {
			t.Errorf("another browser: %v", p.header)
		}
		if p := s.get(link); p.at.String() == shopSite+"/cart" && s.cookie(shopSite, "__Host-sallyport") != "" && p.way[0] == shopSite+"/cart" {
			t.Error("the code counts after another browser tried it")
		}
		s = signedIn()
		link = take(s)
		elsewhere := strings.Replace(link, shopSite, appSite, 1)
		was := s.cookie(appSite, "__Host-sallyport")
		s.step(elsewhere)
		if s.cookie(appSite, "__Host-sallyport") != was {
			t.Error("the code counts at another host")
		}
		s = signedIn()
		link = take(s)
		first := s.step(link)
		c := s.cookie(shopSite, "__Host-sallyport")
		if c == "" || first.at.String() != shopSite+"/cart" {
			t.Fatalf("the code does not count: %d %s", first.status, first.at)
		}
		s.step(link)
		if s.cookie(shopSite, "__Host-sallyport") != c {
			t.Error("the code counts twice")
		}
		// A host that no route names is handed nothing.
		x := newSurfer(t, e.gateway, "app.example.com", "evil.example")
		x.signIn(appSite+"/x", "a1")
		if p := x.get("https://evil.example/.sallyport/login?return=/x"); p.status != 404 {
			t.Errorf("a strange host: %d %s", p.status, p.at)
		}
		if p := x.get(appSite + "/.sallyport/login?bind=AAAA&return=" + url.QueryEscape("https://evil.example/x")); p.at.Host != "app.example.com" {
			t.Errorf("a strange host: %s by way of %q", p.at, p.way)
		}
	})
}

// A gateway that has forgotten its key, or another one, knows nothing of the login.
func TestALoginOfAnotherGatewayStartsOver(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		e, other := openEntrance(t, engine, entranceOptions{}), openEntrance(t, engine, entranceOptions{})
		s := other.surf(t)
		link := s.held(t, s.leave(appSite+"/x"), "a1")
		mine := e.surf(t)
		mine.leave(appSite + "/x")
		mine.again(t, "a state that another gateway sealed", mine.get(link))
	})
}
