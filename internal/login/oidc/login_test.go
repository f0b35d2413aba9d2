package oidc

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/login/flow"
	"github.com/sallyport/sallyport/internal/model"
)

func TestALoginProvesAnIdentity(t *testing.T) {
	for _, alg := range []string{"ES256", "RS256", "EdDSA"} {
		w := newWorld(t)
		w.idp.set(func() { w.idp.key = newKey(t, "key-"+alg, alg); w.idp.published[0] = w.idp.key.jwk() })
		id := w.mustLogin()
		if id.Subject != "alice-1" || id.SID != "s-1" || id.Claims["preferred_username"] != "alice" || id.Claims["email_verified"] != true || id.Claims["email"] != nil {
			t.Errorf("%s: identity %+v", alg, id)
		}
		now := w.clock.now()
		if !id.Issued.Equal(now) || !id.Refresh.Equal(now.Add(9*time.Minute)) || !id.Expires.IsZero() {
			t.Errorf("%s: issued %v, refresh %v, expires %v", alg, id.Issued, id.Refresh, id.Expires)
		}
		if k, err := readKept(id.Keep, w.provider); err != nil || k.RefreshToken != "refresh-1" || k.IDToken == "" {
			t.Errorf("%s: kept %s, %v", alg, id.Keep, err)
		}
	}
}

func TestAnAuthorizationRequestSaysAllThatItMust(t *testing.T) {
	w := newWorld(t)
	w.provider.RequestScopes = []string{"groups", "openid", "email"}
	a := w.attempt()
	d, err := w.party.Begin(context.Background(), a)
	if err != nil {
		t.Fatal(err)
	}
	u, _ := url.Parse(d.URL)
	q := u.Query()
	for name, want := range map[string]string{"response_type": "code", "client_id": "gw", "redirect_uri": "https://gw.example.com/.sallyport/callback",
		"scope": "openid groups email", "state": a.State, "code_challenge_method": "S256", "tenant": "t"} {
		if got := q[name]; len(got) != 1 || got[0] != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	verifier, nonce := derive(a, labelVerifier), derive(a, labelNonce)
	sum := sha256.Sum256([]byte(verifier))
	if q.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]) || q.Get("nonce") != nonce || len(nonce) != 43 || len(verifier) != 43 {
		t.Errorf("challenge %q, nonce %q", q.Get("code_challenge"), q.Get("nonce"))
	}
	if strings.Contains(d.URL, verifier) || strings.Contains(d.URL, a.Secret) || nonce == verifier {
		t.Error("the browser sees what it must not")
	}
	if got, _ := url.Parse(d.URL); got.Path != "/auth" {
		t.Errorf("it leaves for %s", d.URL)
	}
}

func TestWhatIsDerivedOfAnAttemptIsOfItAlone(t *testing.T) {
	seen := map[string]bool{}
	for _, secret := range []string{"a", "b"} {
		for _, name := range []string{"corp", "other"} {
			for _, issuer := range []string{"https://a.example", "https://b.example"} {
				for _, label := range []string{labelVerifier, labelNonce} {
					p := providerAt(issuer)
					p.Name = name
					seen[derive(&flow.Attempt{Provider: p, Secret: secret}, label)] = true
				}
			}
		}
	}
	if len(seen) != 16 {
		t.Errorf("%d of 16 differ", len(seen))
	}
}

// mod_auth_openidc's hardening of 2026 (duplicate parameters), RFC 9207 (mix-up),
// CVE-2026-49443 (steps replayed, empty): what a browser brings back is an answer
// to this attempt or nothing.
func TestWhatComesBackIsAnAnswerToTheAttempt(t *testing.T) {
	for _, tc := range []struct {
		name  string
		back  func(q url.Values) url.Values
		code  model.Code
		cause string
	}{
		{"nothing at all", func(url.Values) url.Values { return nil }, model.RequestMalformed, "state"},
		{"no code", func(q url.Values) url.Values { q.Del("code"); return q }, model.RequestMalformed, "no code"},
		{"an empty code", func(q url.Values) url.Values { q.Set("code", ""); return q }, model.RequestMalformed, "no code"},
		{"a code with a line break", func(q url.Values) url.Values { q.Set("code", "a\r\nb"); return q }, model.RequestMalformed, "no code"},
		{"a huge code", func(q url.Values) url.Values { q.Set("code", strings.Repeat("a", 9000)); return q }, model.RequestMalformed, "no code"},
		{"two codes", func(q url.Values) url.Values { q.Add("code", "other"); return q }, model.RequestMalformed, "2 times"},
		{"two states", func(q url.Values) url.Values { q.Add("state", q.Get("state")); return q }, model.RequestMalformed, "2 times"},
		{"two of anything", func(q url.Values) url.Values { q["x"] = []string{"", ""}; return q }, model.RequestMalformed, "2 times"},
		{"another state", func(q url.Values) url.Values { q.Set("state", "state-0"); return q }, model.RequestMalformed, "state"},
		{"no state", func(q url.Values) url.Values { q.Del("state"); return q }, model.RequestMalformed, "state"},
		{"a code and an error", func(q url.Values) url.Values { q.Set("error", "access_denied"); return q }, model.RequestMalformed, "both"},
		{"another provider's iss", func(q url.Values) url.Values { q.Set("iss", "https://other.example"); return q }, model.CredentialInvalid, "mixed up"},
		{"an iss that differs by a slash", func(q url.Values) url.Values { q.Set("iss", q.Get("iss")+"/"); return q }, model.CredentialInvalid, "mixed up"},
		{"no iss where it is promised", func(q url.Values) url.Values { q.Del("iss"); return q }, model.CredentialInvalid, "RFC 9207"},
		{"an error of another provider", func(q url.Values) url.Values {
			return url.Values{"state": q["state"], "error": {"access_denied"}, "iss": {"https://other.example"}}
		}, model.CredentialInvalid, "mixed up"},
		{"a wrapped answer", func(q url.Values) url.Values { q.Set("response", "x.y.z"); return q }, model.RequestMalformed, "JARM"},
		{"a code that the provider does not know", func(q url.Values) url.Values { q.Set("code", "guess"); return q }, model.CredentialInvalid, "invalid_grant"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			a := w.attempt()
			id, err := w.finish(a, tc.back(w.leave(a)))
			if id != nil {
				t.Errorf("identity %+v", id)
			}
			expect(t, err, tc.code, tc.cause)
		})
	}
	t.Run("an answer by a form that nobody asked for", func(t *testing.T) {
		w := newWorld(t)
		a := w.attempt()
		_, err := w.party.Finish(context.Background(), a, &flow.Return{Form: w.leave(a)})
		expect(t, err, model.RequestMalformed, "form")
	})
	t.Run("no iss where none is promised", func(t *testing.T) {
		w := newWorld(t)
		w.idp.doc = func(d map[string]any) { delete(d, "authorization_response_iss_parameter_supported") }
		a := w.attempt()
		q := w.leave(a)
		q.Del("iss")
		if _, err := w.finish(a, q); err != nil {
			t.Error(err)
		}
	})
	t.Run("an attempt without a state takes nothing", func(t *testing.T) {
		w := newWorld(t)
		a := w.attempt()
		q := w.leave(a)
		a.State = ""
		q.Set("state", "")
		_, err := w.finish(a, q)
		expect(t, err, model.RequestMalformed, "state")
	})
	t.Run("a code serves once", func(t *testing.T) {
		w := newWorld(t)
		a := w.attempt()
		q := w.leave(a)
		if _, err := w.finish(a, q); err != nil {
			t.Fatal(err)
		}
		_, err := w.finish(a, q)
		expect(t, err, model.CredentialInvalid, "invalid_grant")
	})
	t.Run("a code of another attempt fails by its verifier", func(t *testing.T) {
		w := newWorld(t)
		victim, attacker := w.attempt(), w.attempt()
		q := w.leave(attacker)
		q.Set("state", victim.State)
		_, err := w.finish(victim, q)
		expect(t, err, model.CredentialInvalid, "invalid_grant")
	})
}

func TestErrorsOfTheProviderAreTold(t *testing.T) {
	w := newWorld(t)
	for code, want := range map[string]model.Code{
		"access_denied": model.PermissionDenied, "something_new": model.PermissionDenied,
		"server_error": model.IdentityUnavailable, "temporarily_unavailable": model.IdentityUnavailable,
		"login_required": model.CredentialInvalid, "interaction_required": model.CredentialInvalid, "consent_required": model.CredentialInvalid, "account_selection_required": model.CredentialInvalid,
		"invalid_scope": model.IdentityUnavailable, "unauthorized_client": model.IdentityUnavailable, "invalid_request": model.IdentityUnavailable, "unsupported_response_type": model.IdentityUnavailable,
	} {
		a := w.attempt()
		q := w.leave(a)
		q.Del("code")
		q.Set("error", code)
		q.Set("error_description", "call 555 \r\n<script>")
		_, err := w.finish(a, q)
		expect(t, err, want, code)
		if m := model.AsError(err); strings.Contains(m.Message, "555") || strings.Contains(err.Error(), "\r\n") {
			t.Errorf("%s: %q", code, err.Error())
		}
	}
	if n := w.idp.tokenCalls.Load(); n != 0 {
		t.Errorf("%d calls of the token endpoint", n)
	}
	t.Run("while the provider is down too", func(t *testing.T) {
		w := newWorld(t)
		w.idp.Close()
		a := w.attempt()
		_, err := w.finish(a, url.Values{"state": {a.State}, "error": {"access_denied"}})
		expect(t, err, model.PermissionDenied, "access_denied")
	})
}

// CVE-2026-2603: a provider that is switched off lets nobody in, by any way.
func TestADisabledProviderLetsNobodyIn(t *testing.T) {
	w := newWorld(t)
	id := w.mustLogin()
	a := w.attempt()
	q := w.leave(a)
	w.provider.Enabled = false
	_, err := w.party.Begin(context.Background(), w.attempt())
	expect(t, err, model.CredentialInvalid, "disabled")
	_, err = w.finish(a, q)
	expect(t, err, model.CredentialInvalid, "disabled")
	_, err = w.party.Refresh(context.Background(), w.provider, id.Keep)
	expect(t, err, model.CredentialInvalid, "disabled")
	w.provider.Enabled, w.provider.Type = true, model.ProviderJWT
	_, err = w.party.Begin(context.Background(), w.attempt())
	expect(t, err, model.RequestMalformed, "")
}

func TestUserInfoAddsClaimsAndOutweighsNothing(t *testing.T) {
	for _, tc := range []struct {
		name  string
		info  func(map[string]any)
		code  model.Code
		cause string
		check func(map[string]any) bool
	}{
		{"further claims are added", nil, "", "", func(c map[string]any) bool {
			return c["email"] == "alice@example.com" && c["preferred_username"] == "alice"
		}},
		{"the signed token wins", func(m map[string]any) { m["preferred_username"] = "root" }, "", "", func(c map[string]any) bool { return c["preferred_username"] == "alice" }},
		{"claims about the token are not taken, even where it lacks them", func(m map[string]any) { m["acr"], m["amr"], m["iss"], m["sid"] = "gold", []any{"mfa"}, "x", "s-2" }, "", "",
			func(c map[string]any) bool {
				return c["acr"] == nil && c["amr"] == nil && c["iss"] != "x" && c["sid"] == "s-1"
			}},
		{"another subject is refused", func(m map[string]any) { m["sub"] = "bob-1" }, model.CredentialInvalid, "UserInfo is of the subject", nil},
		{"no subject is refused", func(m map[string]any) { delete(m, "sub") }, model.CredentialInvalid, "UserInfo is of the subject", nil},
		{"a subject that is no text is refused", func(m map[string]any) { m["sub"] = []any{"alice-1"} }, model.CredentialInvalid, "UserInfo is of the subject", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.provider.UserInfo = true
			w.idp.info = tc.info
			id, err := w.login()
			if tc.check == nil {
				expect(t, err, tc.code, tc.cause)
				return
			}
			if err != nil || !tc.check(id.Claims) {
				t.Errorf("%v %+v", err, id)
			}
		})
	}
	t.Run("a provider without it", func(t *testing.T) {
		w := newWorld(t)
		w.provider.UserInfo = true
		w.idp.doc = func(d map[string]any) { delete(d, "userinfo_endpoint") }
		_, err := w.login()
		expect(t, err, model.IdentityUnavailable, "userinfo_endpoint")
	})
}

func TestEndGoesToTheProviderWithItsOwnToken(t *testing.T) {
	w := newWorld(t)
	w.idp.doc = func(d map[string]any) { d["end_session_endpoint"] = w.idp.URL + "/logout?client_id=old&tenant=t" }
	id := w.mustLogin()
	back, _ := url.Parse("https://gw.example.com/.sallyport/logout/done")
	a := w.attempt()
	d, err := w.party.End(context.Background(), a, id.Keep, back)
	if err != nil || d.Form != nil {
		t.Fatalf("%+v %v", d, err)
	}
	u, _ := url.Parse(d.URL)
	q := u.Query()
	k, _ := readKept(id.Keep, w.provider)
	if u.Path != "/logout" || q.Get("id_token_hint") != k.IDToken || q.Get("client_id") != "gw" || q.Get("post_logout_redirect_uri") != back.String() || q.Get("state") != a.State {
		t.Errorf("it goes to %s", d.URL)
	}
	t.Run("by a form where the URL would be too long", func(t *testing.T) {
		k.IDToken += strings.Repeat("x", 5000)
		d, err := w.party.End(context.Background(), a, k.bytes(), back)
		if err != nil || d.Form.Get("id_token_hint") != k.IDToken || strings.Contains(d.URL, "client_id") || !strings.HasSuffix(d.URL, "?tenant=t") {
			t.Errorf("%+v %v", d, err)
		}
	})
	t.Run("without a token that is of another provider", func(t *testing.T) {
		k.Issuer = "https://other.example"
		d, err := w.party.End(context.Background(), a, k.bytes(), back)
		if err != nil || strings.Contains(d.URL, "id_token_hint") || d.Form != nil {
			t.Errorf("%+v %v", d, err)
		}
	})
	t.Run("nowhere, where the provider has no logout", func(t *testing.T) {
		w := newWorld(t)
		w.idp.doc = func(d map[string]any) { delete(d, "end_session_endpoint") }
		if d, err := w.party.End(context.Background(), w.attempt(), nil, back); d != nil || err != nil {
			t.Errorf("%+v %v", d, err)
		}
	})
}

func TestWhatIsKeptHoldsNoAccessToken(t *testing.T) {
	id := newWorld(t).mustLogin()
	var m map[string]any
	if err := json.Unmarshal(id.Keep, &m); err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	if got := strings.Join(names, " "); got != "client id iss refresh" || strings.Contains(string(id.Keep), "access-") {
		t.Errorf("kept %s", id.Keep)
	}
}
