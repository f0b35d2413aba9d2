//go:build e2e

package e2e

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// socketFrom opens a WebSocket with the browser's session, and says when it ends.
func (e *entrance) socketFrom(t *testing.T, s *surfer) <-chan time.Time {
	t.Helper()
	h := http.Header{"Cookie": {"__Host-sallyport=" + s.cookie(appSite, "__Host-sallyport")}, "Origin": {appSite}}
	conn, _, err := e.dial(t, "/socket", h, websocket.DialOptions{Host: "app.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan time.Time, 1)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	if err := conn.Write(ctx, websocket.MessageText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, m, err := conn.Read(ctx); err != nil || string(m) != "hello" {
		t.Fatalf("%q %v", m, err)
	}
	go func() {
		_, _, _ = conn.Read(ctx)
		ended <- time.Now()
	}()
	return ended
}

// mixed answers with what was seen, and WebSockets with what they send.
func mixed(t *testing.T) *backend {
	echo := echoSocket(t)
	return newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			echo.server.Handler.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/plain")
		_, _ = w.Write([]byte(r.Header.Get("X-User")))
	})
}

// Sessions end at once, with all that they have open: authentik CVE-2025-64521 and
// CVE-2025-53942 (a deactivated account goes on by another way), Keycloak CVE-2026-2603
// (a provider that is switched off).
func TestASessionAndItsStreamsEndAtOnce(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		e := openEntrance(t, engine, entranceOptions{backend: mixed(t), others: []string{"partner"}})
		login := func() *surfer {
			t.Helper()
			s := e.surf(t)
			s.signIn(appSite+"/corp", "a1").arrived(t, "the login", appSite+"/corp")
			s.get(shopSite+"/x").arrived(t, "the other host", shopSite+"/x")
			return s
		}
		ids := func() (ids []string) {
			var list struct {
				Items []struct{ ID string }
			}
			e.must(t, 200, "GET", "/v2/sessions?filter="+url.QueryEscape(`user eq "alice"`), "").into(t, &list)
			for _, s := range list.Items {
				ids = append(ids, s.ID)
			}
			return ids
		}
		for _, c := range []struct {
			name   string
			end    func(s *surfer)
			mended func()
			both   bool // on the other host, too
		}{
			{"logout", func(s *surfer) { s.submit(s.get(appSite+"/.sallyport/logout"), 0, nil) }, nil, true},
			{"logout on the other host", func(s *surfer) { s.submit(s.get(shopSite+"/.sallyport/logout"), 0, nil) }, nil, true},
			{"back-channel logout", func(*surfer) { e.corp.tell(t, "end?account=a1", nil) }, nil, true},
			{"the user is deactivated", func(*surfer) { e.must(t, 200, "PATCH", "/v2/users/alice", `{"active":false}`) },
				func() { e.must(t, 200, "PATCH", "/v2/users/alice", `{"active":true}`) }, true},
			{"the provider is switched off", func(*surfer) { e.must(t, 200, "PATCH", "/v2/identityProviders/corp", `{"enabled":false}`) },
				func() { e.must(t, 200, "PATCH", "/v2/identityProviders/corp", `{"enabled":true}`) }, true},
			{"all of the user's sessions by REST", func(*surfer) {
				for _, id := range ids() {
					e.must(t, 204, "DELETE", "/v2/sessions/"+id, "")
				}
			}, nil, true},
			{"the user is deleted", func(*surfer) { e.must(t, 204, "DELETE", "/v2/users/alice", "") }, nil, true},
		} {
			s := login()
			ended := e.socketFrom(t, s)
			app, shop := s.cookie(appSite, "__Host-sallyport"), s.cookie(shopSite, "__Host-sallyport")
			begin := time.Now()
			c.end(s)
			select {
			case at := <-ended:
				if took := at.Sub(begin); took > 2*time.Second {
					t.Errorf("%s: the socket ended after %v", c.name, took)
				}
			case <-time.After(5 * time.Second):
				t.Errorf("%s: the socket goes on", c.name)
			}
			for host, cookie := range map[string]string{"app.example.com": app, "shop.example.com": shop} {
				a := e.call(t, "GET", "/x", "", header("Cookie", "__Host-sallyport="+cookie), hostOf(host))
				if a.status != 401 {
					t.Errorf("%s: %s answers %d %s", c.name, host, a.status, a.body)
				}
			}
			if c.mended != nil {
				c.mended()
				for host, cookie := range map[string]string{"app.example.com": app, "shop.example.com": shop} {
					a := e.call(t, "GET", "/x", "", header("Cookie", "__Host-sallyport="+cookie), hostOf(host))
					if a.status != 401 && c.name != "the provider is switched off" {
						t.Errorf("%s, and mended: the session is back at %s: %d", c.name, host, a.status)
					}
				}
			}
		}
	})
}

// oauth2-proxy #884 and #1224: a logout ends the session at the provider too, and the
// provider's own logout ends ours.
func TestLogoutHereAndAtTheProvider(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		e := openEntrance(t, engine, entranceOptions{})
		e.apply(t, `settings: {reverseProxyAuthentication: {enabled: true, logoutUrl: "https://app.example.com/open/bye"}}`)
		s := e.surf(t)
		s.signIn(appSite+"/x", "a1").arrived(t, "the login", appSite+"/x")
		other := e.surf(t)
		other.signIn(appSite+"/x", "a1").arrived(t, "another browser", appSite+"/x")
		at := s.submit(s.get(appSite+"/.sallyport/logout"), 0, nil)
		if !strings.HasPrefix(at.at.String(), e.corp.issuer+"/session/end") || at.status != 200 {
			t.Fatalf("logout leads to %s: %d %s", at.at, at.status, at.body)
		}
		if s.cookie(appSite, "__Host-sallyport") != "" {
			t.Error("the cookie is still there")
		}
		out := s.submit(at, 0, map[string]string{"logout": "yes"})
		out.arrived(t, "after logout at the provider", appSite+"/open/bye")
		if p := s.get(appSite + "/x"); !strings.HasPrefix(p.at.Path, "/interaction/") || strings.Contains(p.body, "gw") {
			t.Errorf("the provider's session goes on: %s", p.at)
		}
		other.get(appSite+"/x").arrived(t, "the other browser's session", appSite+"/x")
		// The gateway is told, and the session has ended already: that is no failure.
		// Back-channel logout, once.
		s.signIn(appSite+"/x", "a1").arrived(t, "in again", appSite+"/x")
		e.corp.tell(t, "end?account=a1", nil)
		for what, b := range map[string]*surfer{"one": s, "the other": other} {
			if p := b.get(appSite+"/x", header("Sec-Fetch-Mode", "cors"), header("Sec-Fetch-Dest", "empty")); p.status != 401 {
				t.Errorf("after back-channel logout, %s: %d %s", what, p.status, p.at)
			}
		}
		_, _, token := e.corp.issued(t)
		send := func(token string) *answer {
			return e.call(t, "POST", "/.sallyport/backchannel-logout/corp", url.Values{"logout_token": {token}}.Encode(),
				header("Content-Type", "application/x-www-form-urlencoded"), hostOf("app.example.com"))
		}
		for what, tok := range map[string]string{"a token that was used": token, "none": "", "garbage": "x.y.z", "a changed one": token[:len(token)-9] + "AAAAAAAAA"} {
			if a := send(tok); a.status != 400 {
				t.Errorf("%s: %d %s", what, a.status, a.body)
			}
		}
		// An id token is no logout token, though the same key signed it.
		s.get(appSite+"/x").arrived(t, "in again, at once", appSite+"/x")
		issued, _, _ := e.corp.issued(t)
		if a := send(issued[len(issued)-1]); a.status != 400 {
			t.Errorf("an id token: %d %s", a.status, a.body)
		}
		s.get(appSite+"/x").arrived(t, "the session", appSite+"/x")
		if a := e.call(t, "POST", "/.sallyport/backchannel-logout/nobody", "logout_token=x", header("Content-Type", "application/x-www-form-urlencoded"), hostOf("app.example.com")); a.status != 404 {
			t.Errorf("a provider that is not there: %d", a.status)
		}
	})
}

// A person ends sessions on the account page: their own and no others.
func TestAPersonEndsTheirOwnSessions(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		e := openEntrance(t, engine, entranceOptions{people: map[string]someone{"a1": alice()["a1"], "c1": {"preferred_username": "carol", "groups": []string{"staff"}}}})
		laptop, phone, carol := e.surf(t), e.surf(t), e.surf(t)
		laptop.signIn(appSite+"/x", "a1").arrived(t, "the laptop", appSite+"/x")
		phone.signIn(appSite+"/x", "a1").arrived(t, "the phone", appSite+"/x")
		carol.signIn(appSite+"/x", "c1").arrived(t, "carol", appSite+"/x")
		account := laptop.get(appSite + "/.sallyport/account")
		if account.status != 200 || strings.Count(account.body, ">End<") != 2 || strings.Count(account.body, "this browser") != 1 {
			t.Fatalf("the account: %d %s", account.status, account.body)
		}
		issued, _, _ := e.corp.issued(t)
		for _, secret := range append(issued, laptop.cookie(appSite, "__Host-sallyport"), phone.cookie(appSite, "__Host-sallyport")) {
			if secret != "" && strings.Contains(account.body, secret) { // Pomerium CVE-2024-39315
				t.Error("the account page shows a secret")
			}
		}
		// CSRF, and other people's sessions.
		var list struct {
			Items []struct{ ID, User string }
		}
		e.must(t, 200, "GET", "/v2/sessions?filter="+url.QueryEscape(`user eq "carol"`), "").into(t, &list)
		if len(list.Items) != 1 {
			t.Fatalf("carol's sessions: %+v", list)
		}
		form := url.Values{"session": {list.Items[0].ID}, "csrf": {between(account.body, `name="csrf" value="`, `"`)}}
		if p := laptop.do("POST", appSite+"/.sallyport/account", form); p.status != 200 {
			t.Errorf("carol's session: %d", p.status)
		}
		carol.get(appSite+"/x").arrived(t, "carol's session", appSite+"/x")
		form.Set("session", "others")
		if p := laptop.do("POST", appSite+"/.sallyport/account", form, header("Origin", "https://evil.example"), header("Sec-Fetch-Site", "cross-site")); p.status != 403 || !strings.Contains(p.body, "origin_refused") {
			t.Errorf("a form of another site: %d %s", p.status, p.body)
		}
		form.Set("csrf", between(carol.get(appSite+"/.sallyport/account").body, `name="csrf" value="`, `"`))
		if p := laptop.do("POST", appSite+"/.sallyport/account", form); p.status != 403 || !strings.Contains(p.body, "csrf_failed") {
			t.Errorf("another session's token: %d %s", p.status, p.body)
		}
		phone.get(appSite+"/x").arrived(t, "the phone, untouched", appSite+"/x")
		// The first session that is not this browser's.
		n := 0
		if strings.Index(account.body, "this browser") < strings.Index(account.body, ">End<") {
			n = 1
		}
		laptop.submit(laptop.get(appSite+"/.sallyport/account"), n, nil)
		if p := phone.get(appSite+"/x", header("Sec-Fetch-Mode", "cors"), header("Sec-Fetch-Dest", "empty")); p.status != 401 {
			t.Errorf("the phone: %d", p.status)
		}
		laptop.get(appSite+"/x").arrived(t, "the laptop goes on", appSite+"/x")
	})
}
