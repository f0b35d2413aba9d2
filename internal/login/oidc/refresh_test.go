package oidc

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

func TestARefreshTellsHowAPersonStandsNow(t *testing.T) {
	w := newWorld(t)
	id := w.mustLogin()
	w.clock.advance(9 * time.Minute)
	w.idp.set(func() { w.idp.claims = func(c map[string]any) { c["groups"] = []any{"new"} } })
	next, err := w.party.Refresh(context.Background(), w.provider, id.Keep)
	if err != nil {
		t.Fatal(err)
	}
	if next.Subject != "alice-1" || next.SID != "s-1" || fmt.Sprint(next.Claims["groups"]) != "[new]" || !next.Issued.Equal(w.clock.now()) || !next.Refresh.Equal(w.clock.now().Add(9*time.Minute)) {
		t.Errorf("%+v", next)
	}
	k, _ := readKept(next.Keep, w.provider)
	if k.RefreshToken != "refresh-2" {
		t.Errorf("kept %+v", k)
	}
	// The refresh token was turned over: the old one is worth nothing.
	_, err = w.party.Refresh(context.Background(), w.provider, id.Keep)
	expect(t, err, model.CredentialInvalid, "invalid_grant")
	if _, err := w.party.Refresh(context.Background(), w.provider, next.Keep); err != nil {
		t.Error(err)
	}
}

func TestARefreshTokenThatIsNotReplacedStays(t *testing.T) {
	w := newWorld(t)
	id := w.mustLogin()
	w.idp.set(func() {
		w.idp.answer = func(a map[string]any) {
			w.idp.refresh["refresh-1"] = true
			delete(a, "refresh_token")
			delete(a, "expires_in")
		}
	})
	for range 3 {
		next, err := w.party.Refresh(context.Background(), w.provider, id.Keep)
		if err != nil {
			t.Fatal(err)
		}
		if k, _ := readKept(next.Keep, w.provider); k.RefreshToken != "refresh-1" || !next.Refresh.Equal(w.clock.now().Add(9*time.Minute)) {
			t.Errorf("%+v", next)
		}
		id = next
	}
}

func TestTheTimeOfARefreshIsBounded(t *testing.T) {
	for _, tc := range []struct {
		expires any
		want    time.Duration
	}{{600, 9 * time.Minute}, {3600, 59 * time.Minute}, {5, 30 * time.Second}, {0, 9 * time.Minute}, {-5, 9 * time.Minute}, {"3600", 59 * time.Minute},
		{1e300, 24 * time.Hour}, {nil, 9 * time.Minute}, {"soon", 9 * time.Minute}, {"NaN", 9 * time.Minute}} {
		w := newWorld(t)
		w.idp.answer = func(a map[string]any) { a["expires_in"] = tc.expires }
		if id := w.mustLogin(); !id.Refresh.Equal(w.clock.now().Add(tc.want)) {
			t.Errorf("expires_in %v: refresh in %v", tc.expires, id.Refresh.Sub(w.clock.now()))
		}
	}
	w := newWorld(t)
	w.idp.answer = func(a map[string]any) { delete(a, "refresh_token") }
	id := w.mustLogin()
	if !id.Refresh.IsZero() {
		t.Errorf("refresh at %v without a refresh token", id.Refresh)
	}
	_, err := w.party.Refresh(context.Background(), w.provider, id.Keep)
	expect(t, err, model.IdentityUnavailable, "no refresh token")
}

func TestARefreshIsOfTheSamePersonAtTheSameProvider(t *testing.T) {
	for name, claims := range map[string]func(map[string]any){
		"another subject":             func(c map[string]any) { c["sub"] = "bob-1" },
		"another issuer":              func(c map[string]any) { c["iss"] = "https://evil.example" },
		"another audience":            func(c map[string]any) { c["aud"] = "other" },
		"another session":             func(c map[string]any) { c["sid"] = "s-2" },
		"another nonce":               func(c map[string]any) { c["nonce"] = "n" },
		"a session that is an object": func(c map[string]any) { c["sid"] = map[string]any{} },
		"expired":                     func(c map[string]any) { c["exp"] = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			id := w.mustLogin()
			w.idp.set(func() { w.idp.claims = claims })
			next, err := w.party.Refresh(context.Background(), w.provider, id.Keep)
			expect(t, err, model.CredentialInvalid, "")
			if next != nil && next.Subject != "" {
				t.Errorf("%+v", next)
			}
		})
	}
	t.Run("a provider that was given another issuer or client", func(t *testing.T) {
		w := newWorld(t)
		id := w.mustLogin()
		calls := w.idp.tokenCalls.Load()
		w.provider.ClientID = "other"
		_, err := w.party.Refresh(context.Background(), w.provider, id.Keep)
		expect(t, err, model.CredentialInvalid, "another issuer or client")
		if w.idp.tokenCalls.Load() != calls {
			t.Error("the refresh token went to another client's provider")
		}
	})
}

func TestOnlyInvalidGrantEndsASession(t *testing.T) {
	w := newWorld(t)
	id := w.mustLogin()
	for name, h := range map[string]http.HandlerFunc{
		"503": func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(503) },
		"invalid_client": func(rw http.ResponseWriter, _ *http.Request) {
			rw.WriteHeader(401)
			fmt.Fprint(rw, `{"error":"invalid_client"}`)
		},
		"a page": func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, "<html>") },
		"temporarily": func(rw http.ResponseWriter, _ *http.Request) {
			rw.WriteHeader(400)
			fmt.Fprint(rw, `{"error":"temporarily_unavailable"}`)
		},
	} {
		w.idp.in(h, "/token")
		next, err := w.party.Refresh(context.Background(), w.provider, id.Keep)
		expect(t, err, model.IdentityUnavailable, "")
		if next != nil {
			t.Errorf("%s: %+v", name, next)
		}
	}
	w.idp.in(nil, "/token")
	if _, err := w.party.Refresh(context.Background(), w.provider, id.Keep); err != nil {
		t.Errorf("the session did not survive: %v", err)
	}
	for _, junk := range []string{"", "{}", "null", "[]"} {
		if next, err := w.party.Refresh(context.Background(), w.provider, []byte(junk)); err == nil || next != nil {
			t.Errorf("%q was refreshed", junk)
		}
	}
}

// CVE-2021-41230 (decisions by stale claims): what the provider asserts no longer is
// taken away at the refresh, with a new id token and without one.
func TestWhatAProviderAssertsNoLongerIsTakenAway(t *testing.T) {
	for _, fresh := range []bool{true, false} {
		t.Run(fmt.Sprintf("new id token: %v", fresh), func(t *testing.T) {
			w := newWorld(t)
			w.provider.UserInfo = true
			w.idp.info = func(m map[string]any) { m["groups"] = []any{"staff", "admins"} }
			id := w.mustLogin()
			if fmt.Sprint(id.Claims["groups"]) != "[staff admins]" {
				t.Fatalf("%+v", id.Claims)
			}
			if !fresh {
				w.idp.set(func() { w.idp.answer = func(a map[string]any) { delete(a, "id_token") } })
			}
			for _, step := range []struct {
				info func(map[string]any)
				want string
			}{
				{func(m map[string]any) { m["groups"] = []any{"staff"} }, "[staff]"},
				{func(m map[string]any) { delete(m, "groups") }, "<nil>"},
				{func(m map[string]any) { m["groups"] = []any{"admins"} }, "[admins]"},
				{func(m map[string]any) { m["groups"] = nil }, "<nil>"},
			} {
				w.idp.set(func() { w.idp.info = step.info })
				next, err := w.party.Refresh(context.Background(), w.provider, id.Keep)
				if err != nil {
					t.Fatal(err)
				}
				if fmt.Sprint(next.Claims["groups"]) != step.want || next.Claims["preferred_username"] != "alice" || next.SID != "s-1" {
					t.Errorf("groups %v, want %s", next.Claims, step.want)
				}
				id = next
			}
		})
	}
	t.Run("and does not come back from an old id token that has it", func(t *testing.T) {
		w := newWorld(t)
		w.provider.UserInfo = true
		w.idp.claims = func(c map[string]any) { c["groups"] = []any{"admins"} }
		w.idp.info = func(m map[string]any) { m["groups"] = []any{"staff"} }
		id := w.mustLogin()
		if fmt.Sprint(id.Claims["groups"]) != "[admins]" {
			t.Errorf("the fresh token does not win: %v", id.Claims)
		}
		w.idp.set(func() { w.idp.answer = func(a map[string]any) { delete(a, "id_token") } })
		for _, groups := range []any{[]any{"staff"}, nil, nil, []any{"other"}, nil} {
			w.idp.set(func() {
				w.idp.info = func(m map[string]any) {
					if delete(m, "groups"); groups != nil {
						m["groups"] = groups
					}
				}
			})
			next, err := w.party.Refresh(context.Background(), w.provider, id.Keep)
			if err != nil || fmt.Sprint(next.Claims["groups"]) != fmt.Sprint(groups) {
				t.Fatalf("%v: groups are not %v but %v", err, groups, next.Claims["groups"])
			}
			id = next
		}
		w.idp.set(func() { w.idp.answer = nil })
		next, err := w.party.Refresh(context.Background(), w.provider, id.Keep)
		if err != nil || fmt.Sprint(next.Claims["groups"]) != "[admins]" {
			t.Errorf("a new token is not believed: %v %+v", err, next)
		}
	})
	t.Run("UserInfo outweighs an old id token, but not what it says of itself", func(t *testing.T) {
		w := newWorld(t)
		w.provider.UserInfo = true
		id := w.mustLogin()
		w.idp.set(func() {
			w.idp.answer = func(a map[string]any) { delete(a, "id_token") }
			w.idp.info = func(m map[string]any) {
				m["preferred_username"], m["sid"], m["iss"] = "alicia", "s-9", "https://evil.example"
			}
		})
		next, err := w.party.Refresh(context.Background(), w.provider, id.Keep)
		if err != nil || next.Claims["preferred_username"] != "alicia" || next.SID != "s-1" || next.Claims["iss"] != w.idp.URL {
			t.Fatalf("%v %+v", err, next)
		}
	})
}

// Many providers end a session when a refresh token comes twice: what replaced it
// must not be lost where the rest of a refresh fails.
func TestANewRefreshTokenIsNotLostWhenUserInfoFails(t *testing.T) {
	w := newWorld(t)
	w.provider.UserInfo = true
	id := w.mustLogin()
	w.idp.fail("/userinfo")
	next, err := w.party.Refresh(context.Background(), w.provider, id.Keep)
	expect(t, err, model.IdentityUnavailable, "UserInfo")
	if next == nil || next.Subject != "" || next.Claims != nil || next.Keep == nil {
		t.Fatalf("%+v", next)
	}
	w.idp.in(nil, "/userinfo")
	again, err := w.party.Refresh(context.Background(), w.provider, next.Keep)
	if err != nil || again.Subject != "alice-1" || fmt.Sprint(again.Claims["groups"]) != "[staff]" {
		t.Errorf("%v %+v", err, again)
	}
}

func TestTheLifeOfATokenIsANumberOfSecondsOrNotSaid(t *testing.T) {
	for _, tc := range []struct {
		said any
		want time.Duration
	}{{600.0, 10 * time.Minute}, {"600", 10 * time.Minute}, {0.0, 0}, {-1.0, 0}, {"NaN", 0}, {"-Inf", 0}, {"Inf", 1e8 * time.Second}, {1e300, 1e8 * time.Second}, {nil, 0}, {true, 0}, {[]any{600.0}, 0}} {
		if got := lifetime(tc.said); got != tc.want {
			t.Errorf("%v: %v", tc.said, got)
		}
	}
}
