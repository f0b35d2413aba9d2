//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestAPersonSignsInAtAnOpenIDProvider(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		e := openEntrance(t, engine, entranceOptions{})
		s := e.surf(t)
		p := s.signIn(appSite+"/deep/link?x=1&y=%2F", "a1")
		p.arrived(t, "a deep link", appSite+"/deep/link?x=1&y=%2F")
		h := p.asked(t).Header
		if h.Get("X-User") != "alice" || h.Get("X-User-Email") != "alice@example.com" || h.Get("X-User-Groups") != "staff" ||
			sorted(h.Get("X-User-Roles")) != "reader,writer" || h.Get("X-Auth-Method") != "session" || strings.Contains(h.Get("Cookie"), "sallyport") {
			t.Errorf("the backend saw %v", h)
		}
		_, claims := claimsOf(t, h.Get("X-Sallyport-Assertion"))
		sid, _ := claims["sid"].(string)
		if sid == "" || claims["preferred_username"] != "alice" || claims["sub"] != h.Get("X-User-Id") {
			t.Errorf("the assertion: %v", claims)
		}
		_, again := claimsOf(t, s.get(appSite+"/again").asked(t).Header.Get("X-Sallyport-Assertion"))
		if again["sid"] != sid {
			t.Errorf("the session is %v, and was %v", again["sid"], sid)
		}
		var u struct{ DisplayName, Username string }
		e.must(t, 200, "GET", "/v2/users/alice", "").into(t, &u)
		if u.DisplayName != "Alice Ames" {
			t.Errorf("made %+v", u)
		}
		// The other host takes the session over, without the provider.
		shop := s.get(shopSite + "/cart?n=1")
		shop.arrived(t, "the other host", shopSite+"/cart?n=1")
		for _, w := range shop.way {
			if strings.HasPrefix(w, e.corp.issuer) {
				t.Errorf("the way to the other host led to the provider: %q", shop.way)
			}
		}
		// The event says who came in, and by whom.
		in := false
		for _, ev := range e.events(t) {
			in = in || ev.Type == "login" && ev.Outcome == "allowed" && ev.User == "alice" && ev.Provider == "corp"
		}
		if !in {
			t.Error("no event tells of the login")
		}
		e.hideNothing(t)
	})
}

// hideNothing fails the test where a secret of the provider's shows: in the logs, the
// audit, an answer of the admin API, or the account page (Pomerium CVE-2024-39315).
func (e *entrance) hideNothing(t *testing.T) {
	t.Helper()
	issued, _, _ := e.corp.issued(t)
	if len(issued) < 3 {
		t.Fatalf("the provider issued %d secrets", len(issued))
	}
	places := map[string]string{"the log": e.log.String()}
	for _, path := range []string{"/v2/sessions", "/v2/users", "/v2/users/alice", "/v2/status", "/v2/identityProviders", "/v2/export", "/v2/audit"} {
		places[path] = e.api(t, "GET", path, "").body
	}
	for _, ev := range e.events(t) {
		places["the audit"] += fmt.Sprintf("%+v\n", ev)
	}
	for place, text := range places {
		for _, secret := range append(issued, "gw-secret") {
			if secret != "" && strings.Contains(text, secret) {
				t.Errorf("%s shows a secret of the provider's: …%s", place, tail(secret, 12))
			}
		}
	}
}

func groupsUpTo(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprint("g", i))
	}
	return list
}

func TestClaimsBecomeAUser(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		many := make([]string, 2000) // oauth2-proxy #1071: large groups make the cookie too large
		for i := range many {
			many[i] = fmt.Sprintf("group-of-the-directory-with-a-long-name-%d", i)
		}
		e := openEntrance(t, engine, entranceOptions{
			provider: map[string]any{"lean": true}, // claims by UserInfo alone
			people: map[string]someone{
				"a1":   {"preferred_username": "alice", "name": "Alice", "email": "a@example.com", "level": 7, "department": "engineering"},
				"low":  {"preferred_username": "lou", "level": 1, "department": "sales", "groups": append([]string{"staff"}, many...)},
				"b1":   {"preferred_username": "bob", "email": "bob@example.com", "email_verified": true},
				"bare": {},
				"most": {},
			},
			fields: `, userInfo: true, requestScopes: [profile, email, groups], mapping: {email: email, displayName: "=claims.name + ' of ' + claims.department",` +
				` groups: groups, roles: "=has(claims.level) && claims.level > 5 ? ['chief'] : ['reader']", attributes: {department: department}}`,
		})
		for _, c := range []struct{ account, user, roles, groups string }{
			{"a1", "alice", "chief", ""}, {"low", "lou", "reader", "staff"}, {"bare", "bare", "reader", ""},
		} {
			s := e.surf(t)
			h := s.signIn(appSite+"/x", c.account).asked(t).Header
			if h.Get("X-User") != c.user || sorted(h.Get("X-User-Roles")) != c.roles || h.Get("X-User-Groups") != c.groups {
				t.Errorf("%s: the backend saw %v", c.account, h)
			}
			if cookie := s.cookie(appSite, "__Host-sallyport"); len(cookie) >= 200 {
				t.Errorf("%s: a cookie of %d bytes", c.account, len(cookie))
			}
		}
		if u := e.must(t, 200, "GET", "/v2/users/alice", "").body; !strings.Contains(u, "Alice of engineering") {
			t.Errorf("by CEL: %s", u)
		}
		// A list that is too long is refused, and not cut: what would be left out might be
		// just what a condition denies.
		e.corp.tell(t, "claims?account=most", someone{"preferred_username": "max", "groups": groupsUpTo(10_001)})
		crowd := e.surf(t)
		if p := crowd.signIn(appSite+"/x", "most"); p.status != 403 || !strings.Contains(p.body, "permission_denied") || crowd.cookie(appSite, "__Host-sallyport") != "" {
			t.Errorf("10,001 groups: %d %s", p.status, tail(p.body, 500))
		}
		told := false
		for _, ev := range e.events(t) {
			told = told || ev.Type == "login" && ev.Outcome == "denied" && strings.Contains(ev.Reason, "more than 10000 groups")
		}
		if !told {
			t.Error("no event tells why")
		}
		// jit takes nobody's name.
		if p := e.surf(t).signIn(appSite+"/x", "b1"); p.status != 401 || !strings.Contains(p.body, "credential_invalid") {
			t.Errorf("bob of the provider: %d %s", p.status, p.body)
		}
		// off knows links alone; match links once.
		e.must(t, 200, "PATCH", "/v2/identityProviders/corp", `{"provision":"off"}`)
		if p := e.surf(t).signIn(appSite+"/x", "b1"); p.status != 401 {
			t.Errorf("off: %d %s", p.status, p.body)
		}
		e.must(t, 201, "POST", "/v2/users/linked/credentials", `{"type":"link","provider":"corp","subject":"b1"}`)
		if h := e.surf(t).signIn(appSite+"/x", "b1").asked(t).Header; h.Get("X-User") != "linked" {
			t.Errorf("off, with a link: %v", h)
		}
		var cred struct {
			Items []struct{ ID, Type string }
		}
		e.must(t, 200, "GET", "/v2/users/linked/credentials", "").into(t, &cred)
		if len(cred.Items) != 1 {
			t.Fatalf("credentials: %+v", cred)
		}
		e.must(t, 204, "DELETE", "/v2/users/linked/credentials/"+cred.Items[0].ID, "")
		e.must(t, 200, "PATCH", "/v2/identityProviders/corp", `{"provision":"match"}`)
		if h := e.surf(t).signIn(appSite+"/x", "b1").asked(t).Header; h.Get("X-User") != "bob" || sorted(h.Get("X-User-Roles")) != "reader,writer" && sorted(h.Get("X-User-Roles")) != "writer" {
			t.Errorf("match: %v", h)
		}
	})
}

// Pomerium CVE-2021-41230: decisions use what the provider said long ago.
func TestWhatAProviderTakesAwayIsGone(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, engine string) {
		e := openEntrance(t, engine, entranceOptions{provider: map[string]any{"accessTTL": 5}})
		s := e.surf(t)
		s.signIn(appSite+"/x", "a1").arrived(t, "the login", appSite+"/x")
		s.get(shopSite+"/x").arrived(t, "the other host", shopSite+"/x")
		e.corp.tell(t, "claims?account=a1", someone{"preferred_username": "alice", "groups": []string{"staff"}})
		// At the next login, if that comes first, here of another browser's.
		other := e.surf(t)
		if p := other.signIn(appSite+"/x", "a1"); p.asked(t).Header.Get("X-User-Roles") != "reader" {
			t.Errorf("at the next login: %v", p.asked(t).Header)
		}
		e.corp.tell(t, "claims?account=a1", alice()["a1"])
		e.surf(t).signIn(appSite+"/x", "a1")
		e.corp.tell(t, "claims?account=a1", someone{"preferred_username": "alice", "groups": []string{"staff"}})
		// A provider that is away for a while takes no session with it.
		e.corp.tell(t, "fail?status=503", nil)
		in := func(at string) *page {
			t.Helper()
			p := s.get(at + "/x")
			p.arrived(t, "meanwhile", at+"/x")
			return p
		}
		for end := time.Now().Add(36 * time.Second); time.Now().Before(end); time.Sleep(time.Second) {
			if roles := sorted(in(appSite).asked(t).Header.Get("X-User-Roles")); roles != "reader,writer" {
				t.Fatalf("while the provider is away: %q", roles)
			}
		}
		e.corp.tell(t, "fail?status=0", nil)
		// At the next refresh, on the host of the login and on the other.
		for _, at := range []string{shopSite, appSite} {
			until(t, 45*time.Second, "the role is gone at "+at, func() bool { return in(at).asked(t).Header.Get("X-User-Roles") == "reader" })
		}
		// One that no longer stands by a login ends it, on every host.
		e.corp.tell(t, "revoke?account=a1", nil)
		until(t, 60*time.Second, "the login has ended with its refresh token", func() bool {
			time.Sleep(time.Second)
			a := s.get(appSite+"/x", header("Sec-Fetch-Mode", "cors"), header("Sec-Fetch-Dest", "empty"))
			b := s.get(shopSite+"/x", header("Sec-Fetch-Mode", "cors"), header("Sec-Fetch-Dest", "empty"))
			return a.status == 401 && b.status == 401
		})
	})
}

// oauth2-proxy #817, #404, #2606: several tabs, the back button, slow logins.
func TestLoginsDoNotGetInEachOthersWay(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		e := openEntrance(t, engine, entranceOptions{})
		s := e.surf(t)
		one, two := s.leave(appSite+"/one"), s.leave(appSite+"/two")
		first := s.submit(one, 0, map[string]string{"account": "a1"})
		first.arrived(t, "the first tab", appSite+"/one")
		s.submit(two, 0, map[string]string{"account": "a1"}).arrived(t, "the second tab", appSite+"/two")
		names := 0
		u, _ := url.Parse(appSite + "/")
		for _, c := range s.jar.Cookies(u) {
			if strings.HasPrefix(c.Name, "__Host-sallyport") {
				names++
			}
		}
		if names > 3 { // oauth2-proxy #2163: cookies that pile up
			t.Errorf("%d cookies", names)
		}
		// Back to the callback, and a state played again: signed in as before.
		s.get(first.callback(t)).arrived(t, "the callback again", appSite+"/one")
		// Without a session it starts over, at the provider, and comes to the page.
		s.submit(s.get(appSite+"/.sallyport/logout"), 0, nil)
		p := s.get(first.callback(t))
		if strings.HasPrefix(p.at.Path, "/interaction/") {
			p = s.submit(p, 0, map[string]string{"account": "a1"})
		}
		p.arrived(t, "a state played again", appSite+"/one")
		// A hundred tabs at once.
		many := e.surf(t)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 25 {
					many.step(appSite + "/.sallyport/login?return=/x")
				}
			})
		}
		wg.Wait()
		many.signIn(appSite+"/last", "a1").arrived(t, "after a hundred begun logins", appSite+"/last")
	})
}

func TestAProviderThatIsDownStopsNewLoginsAlone(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, engine string) {
		e := openEntrance(t, engine, entranceOptions{others: []string{"partner"}})
		s := e.surf(t)
		s.signIn(appSite+"/corp", "a1").arrived(t, "the login", appSite+"/corp")
		e.stop(t)
		e.corp.pause(t) // not refused, but unanswered
		e.run(t)
		s.client.CloseIdleConnections()
		begin := time.Now()
		p := e.surf(t).get(appSite + "/corp/x")
		if p.status != 503 || !strings.Contains(p.body, "identity_unavailable") || p.header.Get("Retry-After") == "" {
			t.Errorf("a new login: %d %v %s", p.status, p.header, p.body)
		}
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("the refusal took %v", took)
		}
		s.get(appSite+"/corp").arrived(t, "a running session", appSite+"/corp")
		// The other provider's people come in.
		if p := e.surf(t).get(appSite + "/x"); p.status != 200 || !strings.Contains(p.body, "Continue with partner") {
			t.Errorf("the choice: %d %s", p.status, p.body)
		}
		o := e.surf(t)
		if p := o.leave(appSite + "/.sallyport/login?provider=partner&return=/x"); !strings.HasPrefix(p.at.String(), e.others[0].issuer) {
			t.Errorf("partner: %s", p.at)
		}
	})
}

func TestTheWayToTheProviderFitsTheRoute(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		e := openEntrance(t, engine, entranceOptions{others: []string{"partner"}, settings: "  sessions: {passwordLogin: true}"})
		// Two providers and a password: a choice.
		s := e.surf(t)
		p := s.get(appSite + "/x")
		for _, want := range []string{"Continue with corp", "Continue with partner", `type="password"`, `<h1>`, `lang="en"`} {
			if !strings.Contains(p.body, want) {
				t.Errorf("the choice page has no %q: %s", want, p.body)
			}
		}
		// anyOf: [session@corp] goes straight there.
		if p := e.surf(t).leave(appSite + "/corp/x"); !strings.HasPrefix(p.at.String(), e.corp.issuer) {
			t.Errorf("session@corp: %s", p.at)
		}
		// Whom another provider vouched for signs in at the one that the route asks for.
		s = e.surf(t)
		in := s.signIn(appSite+"/.sallyport/login?provider=partner&return=/x", "p1")
		in.arrived(t, "by the partner", appSite+"/x")
		if p := s.get(appSite + "/corp/x"); !strings.HasPrefix(p.at.String(), e.corp.issuer+"/interaction/") {
			t.Errorf("with the partner's session: %d %s %s", p.status, p.at, p.body)
		}
		// One of the two is switched off: its sessions are over, and no page offers it.
		e.must(t, 200, "PATCH", "/v2/identityProviders/partner", `{"enabled":false}`)
		if p := s.get(appSite + "/x"); p.at.Path != "/.sallyport/login" || strings.Contains(p.body, "partner") {
			t.Errorf("after the provider was switched off: %d %s %s", p.status, p.at, p.body)
		}
		if p := e.surf(t).get(appSite + "/.sallyport/login?provider=partner&return=/x"); p.status != 404 {
			t.Errorf("a provider that is switched off: %d %s", p.status, p.body)
		}
		// Keycloak CVE-2026-2603: nor is it reached by a login that was begun before.
		e.must(t, 200, "PATCH", "/v2/identityProviders/partner", `{"enabled":true}`)
		s = e.surf(t)
		at := s.leave(appSite + "/.sallyport/login?provider=partner&return=/x")
		e.must(t, 200, "PATCH", "/v2/identityProviders/partner", `{"enabled":false}`)
		if p := s.submit(at, 0, map[string]string{"account": "p1"}); p.at.Path != "/.sallyport/login" || s.cookie(appSite, "__Host-sallyport") != "" || p.status == 403 {
			t.Errorf("a login begun before: %d %s %s", p.status, p.at, p.body)
		}
	})
}

func TestAPersonMayDecline(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		e := openEntrance(t, engine, entranceOptions{})
		s := e.surf(t)
		p := s.submit(s.leave(appSite+"/x"), 1, nil)
		if p.status != 403 || strings.Contains(p.body, "<b>no</b>") || !strings.Contains(p.body, "declined") || !strings.Contains(p.body, `href="/.sallyport/login`) {
			t.Errorf("%d %s", p.status, p.body)
		}
		if s.cookie(appSite, "__Host-sallyport") != "" {
			t.Error("a session was begun")
		}
	})
}

func TestTheKeysOfAProviderMayChange(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, engine string) {
		e := openEntrance(t, engine, entranceOptions{})
		e.surf(t).signIn(appSite+"/x", "a1").arrived(t, "the first key", appSite+"/x")
		e.corp.tell(t, "rotate", nil)
		until(t, 15*time.Second, "a login by the new key", func() bool { return e.surf(t).signIn(appSite+"/x", "a1").status == 200 })
	})
}

// The flags of the cookies, to the letter (GHSA-jjmg-x456-w976: a prefix misspelt).
func TestCookiesHaveTheirFlags(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		e := openEntrance(t, engine, entranceOptions{})
		s := e.surf(t)
		in := s.leave(appSite + "/x")
		var set []string
		kept := s.client.Transport
		s.client.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			res, err := kept.RoundTrip(r)
			if err == nil && r.URL.Host == "app.example.com" {
				set = append(set, res.Header.Values("Set-Cookie")...)
			}
			return res, err
		})
		s.submit(in, 0, map[string]string{"account": "a1"}).arrived(t, "the login", appSite+"/x")
		flags := map[string]string{}
		for _, c := range set {
			name, rest, _ := strings.Cut(c, "=")
			_, attributes, _ := strings.Cut(rest, "; ")
			list := strings.Split(attributes, "; ")
			slices.Sort(list)
			flags[name] = strings.Join(list, "; ")
		}
		if got := flags["__Host-sallyport"]; got != "HttpOnly; Path=/; SameSite=Lax; Secure" {
			t.Errorf("the session's cookie: %q of %q", got, set)
		}
		if got := flags["__Host-sallyport-csrf"]; got != "Path=/; SameSite=Lax; Secure" {
			t.Errorf("the token's cookie: %q of %q", got, set)
		}
	})
}
