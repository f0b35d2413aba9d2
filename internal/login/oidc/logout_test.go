package oidc

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

func (w *world) logoutClaims() map[string]any {
	now := w.clock.now().Unix()
	return map[string]any{"iss": w.idp.URL, "aud": "gw", "iat": now, "exp": now + 120, "jti": "j-1", "sub": "alice-1", "sid": "s-1",
		"events": map[string]any{logoutEvent: map[string]any{}}}
}

// OpenID Connect Back-Channel Logout 1.0, 2.6.
func TestALogoutTokenEndsWhatItNamesAndNothingElse(t *testing.T) {
	const good = `{"alg":"ES256","kid":"key-1","typ":"logout+jwt"}`
	for _, tc := range []struct {
		name   string
		header string
		claims func(w *world, c map[string]any)
		cause  string // "" = accepted
	}{
		{"as it should be", good, nil, ""},
		{"of the type JWT", `{"alg":"ES256","kid":"key-1","typ":"JWT"}`, nil, ""},
		{"of the type by its long name", `{"alg":"ES256","kid":"key-1","typ":"application/logout+jwt"}`, nil, ""},
		{"of no type", `{"alg":"ES256","kid":"key-1"}`, nil, ""},
		{"of a session alone", good, func(_ *world, c map[string]any) { delete(c, "sub") }, ""},
		{"of a subject alone", good, func(_ *world, c map[string]any) { delete(c, "sid") }, ""},
		{"without exp", good, func(_ *world, c map[string]any) { delete(c, "exp") }, ""},
		{"of an access token's type", `{"alg":"ES256","kid":"key-1","typ":"at+jwt"}`, nil, "another purpose"},
		{"of nobody", good, func(_ *world, c map[string]any) { delete(c, "sub"); delete(c, "sid") }, "neither"},
		{"of a subject that is no text", good, func(_ *world, c map[string]any) { c["sub"] = 1 }, "neither"},
		{"of a session that is null", good, func(_ *world, c map[string]any) { c["sid"] = nil }, "neither"},
		{"with a nonce", good, func(_ *world, c map[string]any) { c["nonce"] = "n" }, "nonce"},
		{"with a nonce that is null", good, func(_ *world, c map[string]any) { c["nonce"] = nil }, "nonce"},
		{"without events", good, func(_ *world, c map[string]any) { delete(c, "events") }, "events"},
		{"with another event", good, func(_ *world, c map[string]any) { c["events"] = map[string]any{logoutEvent + "x": map[string]any{}} }, "events"},
		{"with another event beside", good, func(_ *world, c map[string]any) { c["events"].(map[string]any)["x"] = map[string]any{} }, "events"},
		{"with an event that is no object", good, func(_ *world, c map[string]any) { c["events"] = map[string]any{logoutEvent: true} }, "events"},
		{"with events as a list", good, func(_ *world, c map[string]any) { c["events"] = []any{logoutEvent} }, "events"},
		{"without jti", good, func(_ *world, c map[string]any) { delete(c, "jti") }, "jti"},
		{"without iat", good, func(_ *world, c map[string]any) { delete(c, "iat") }, "iat"},
		{"of the future", good, func(w *world, c map[string]any) { c["iat"] = w.clock.now().Unix() + 31 }, "iat"},
		{"expired", good, func(w *world, c map[string]any) { c["exp"] = w.clock.now().Unix() - 30 }, "expired"},
		{"old, and never expiring", good, func(w *world, c map[string]any) { c["iat"] = w.clock.now().Unix() - 3600; delete(c, "exp") }, "older"},
		{"that expires at 1e300", good, func(_ *world, c map[string]any) { c["exp"] = 1e300 }, "its exp is no moment"},
		{"that was issued at a text", good, func(_ *world, c map[string]any) { c["iat"] = "now" }, "iat"},
		{"of another issuer", good, func(_ *world, c map[string]any) { c["iss"] = "https://evil.example" }, "issuer"},
		{"for another client", good, func(_ *world, c map[string]any) { c["aud"] = []any{"other"} }, "not for this client"},
		{"signed by none", `{"alg":"none"}`, nil, "none"},
		{"of an unknown key", `{"alg":"ES256","kid":"key-9"}`, nil, "key-9"},
		{"with an embedded key", `{"alg":"ES256","kid":"key-1","jwk":{}}`, nil, "jwk"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			c := w.logoutClaims()
			if tc.claims != nil {
				tc.claims(w, c)
			}
			ended, err := w.party.Logout(context.Background(), w.provider, w.idp.key.sign([]byte(tc.header), jsonOf(c)))
			if tc.cause != "" {
				if ended != nil || err == nil || !strings.Contains(err.Error(), tc.cause) {
					t.Errorf("%+v %v", ended, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			sub, _ := c["sub"].(string)
			sid, _ := c["sid"].(string)
			left := ended.Until.Sub(w.clock.now())
			if ended.Subject != sub || ended.SID != sid || len(ended.ID) != 43 || left < time.Minute || left > time.Hour {
				t.Errorf("%+v", ended)
			}
		})
	}
}

func TestALogoutTokenIsNamedByItsProviderAndClient(t *testing.T) {
	w := newWorld(t)
	seen := map[string]bool{}
	for _, client := range []string{"gw", "gw", "other"} { // the first one is played again
		for _, jti := range []string{"j-1", "j-2"} {
			w.provider.ClientID = client
			c := w.logoutClaims()
			c["aud"], c["jti"] = client, jti
			e, err := w.party.Logout(context.Background(), w.provider, w.idp.key.sign([]byte(`{"alg":"ES256"}`), jsonOf(c)))
			if err != nil {
				t.Fatal(err)
			}
			seen[e.ID] = true
		}
	}
	if len(seen) != 4 {
		t.Errorf("%d names of 4 tokens", len(seen))
	}
}

func TestAnIDTokenEndsNoSession(t *testing.T) {
	w := newWorld(t)
	w.party.Begin(context.Background(), w.attempt())
	_, err := w.party.Logout(context.Background(), w.provider, w.idp.idToken("a", "nonce"))
	expect(t, err, model.CredentialInvalid, "events")
}

func TestALogoutTokenIsReadOfADisabledProviderAndNotOfAnotherType(t *testing.T) {
	w := newWorld(t)
	token := w.idp.key.sign([]byte(`{"alg":"ES256"}`), jsonOf(w.logoutClaims()))
	w.provider.Enabled = false
	if _, err := w.party.Logout(context.Background(), w.provider, token); err != nil {
		t.Errorf("a disabled provider ends no session: %v", err)
	}
	w.provider.Type = model.ProviderJWT
	_, err := w.party.Logout(context.Background(), w.provider, token)
	expect(t, err, model.RequestMalformed, "")
	for _, junk := range []string{"", "a.b.c", "....", strings.Repeat("a", 20<<10)} {
		w.provider.Type = model.ProviderOIDC
		_, err := w.party.Logout(context.Background(), w.provider, junk)
		expect(t, err, model.RequestMalformed, "cannot be read")
	}
}

func TestALogoutTokenOfAProviderThatIsDownIsNotJudged(t *testing.T) {
	w := newWorld(t)
	token := w.idp.key.sign([]byte(`{"alg":"ES256","kid":"key-1"}`), jsonOf(w.logoutClaims()))
	w.idp.Close()
	_, err := w.party.Logout(context.Background(), w.provider, token)
	expect(t, err, model.IdentityUnavailable, "")
}

func TestALogoutTokenIsSignedByWhatTheProviderAnnounces(t *testing.T) {
	w := newWorld(t)
	w.idp.doc = func(d map[string]any) { d["id_token_signing_alg_values_supported"] = []any{"RS256"} }
	_, err := w.party.Logout(context.Background(), w.provider, w.idp.key.sign([]byte(`{"alg":"ES256","kid":"key-1"}`), jsonOf(w.logoutClaims())))
	expect(t, err, model.CredentialInvalid, "does not announce")
}
