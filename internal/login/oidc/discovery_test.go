package oidc

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

func TestADiscoveryDocumentIsReadStrictly(t *testing.T) {
	const good = `{"issuer":"https://idp.example","authorization_endpoint":"https://idp.example/a","token_endpoint":"https://idp.example/t","jwks_uri":"https://idp.example/k"%s}`
	for _, tc := range []struct{ name, doc, cause string }{
		{"the least that must be there", fmt.Sprintf(good, ""), ""},
		{"an HTML page", "<!doctype html><p>Welcome", "HTML page"},
		{"nothing", "", "nothing"},
		{"half of it", `{"issuer":`, "broken JSON"},
		{"a list", `[]`, "broken JSON"},
		{"the issuer twice", fmt.Sprintf(good, `,"issuer":"https://evil.example"`), "broken JSON"},
		{"an endpoint twice", fmt.Sprintf(good, `,"token_endpoint":"https://evil.example/t"`), "broken JSON"},
		{"something behind it", fmt.Sprintf(good, "") + "{}", "broken JSON"},
		{"another issuer", strings.Replace(fmt.Sprintf(good, ""), `"issuer":"https://idp.example"`, `"issuer":"https://evil.example"`, 1), "of the issuer"},
		{"an issuer with a slash more", strings.Replace(fmt.Sprintf(good, ""), `"issuer":"https://idp.example"`, `"issuer":"https://idp.example/"`, 1), "of the issuer"},
		{"no issuer", strings.Replace(fmt.Sprintf(good, ""), `"issuer":"https://idp.example",`, ``, 1), "of the issuer"},
		{"no token endpoint", strings.Replace(fmt.Sprintf(good, ""), `"token_endpoint"`, `"x"`, 1), "no token_endpoint"},
		{"no authorization endpoint", strings.Replace(fmt.Sprintf(good, ""), `"authorization_endpoint"`, `"x"`, 1), "no authorization_endpoint"},
		{"no keys", strings.Replace(fmt.Sprintf(good, ""), `"jwks_uri"`, `"x"`, 1), "jwks_uri"},
		{"a token endpoint in the clear", strings.Replace(fmt.Sprintf(good, ""), `https://idp.example/t`, `http://idp.example/t`, 1), "not an https URL"},
		{"an authorization endpoint that is a script", strings.Replace(fmt.Sprintf(good, ""), `https://idp.example/a`, `javascript:alert(1)`, 1), "not an https URL"},
		{"an endpoint with a password", strings.Replace(fmt.Sprintf(good, ""), `https://idp.example/a`, `https://u:p@idp.example/a`, 1), "not an https URL"},
		{"an endpoint with a fragment", strings.Replace(fmt.Sprintf(good, ""), `https://idp.example/a`, `https://idp.example/a#b`, 1), "not an https URL"},
		{"an endpoint that is a list", strings.Replace(fmt.Sprintf(good, ""), `"https://idp.example/a"`, `["https://idp.example/a"]`, 1), "not an https URL"},
		{"a logout in the clear", fmt.Sprintf(good, `,"end_session_endpoint":"http://idp.example/l"`), "not an https URL"},
		{"a logout that is null", fmt.Sprintf(good, `,"end_session_endpoint":null`), ""},
	} {
		m, err := readMetadata("https://idp.example", []byte(tc.doc))
		if tc.cause == "" && (err != nil || m == nil) || tc.cause != "" && (err == nil || !strings.Contains(err.Error(), tc.cause)) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

func TestDiscoveryIsAskedByOneAndKeptWhileFresh(t *testing.T) {
	w := newWorld(t)
	w.idp.in(func(rw http.ResponseWriter, _ *http.Request) {
		time.Sleep(50 * time.Millisecond)
		rw.Header().Set("Cache-Control", "public, max-age=600")
		rw.Write(jsonOf(w.idp.document()))
	}, "/.well-known/openid-configuration")
	begin := func() {
		t.Helper()
		if _, err := w.party.Begin(context.Background(), w.attempt()); err != nil {
			t.Error(err)
		}
	}
	var wg sync.WaitGroup
	a := w.attempt()
	for range 50 {
		wg.Go(func() {
			if _, err := w.party.Begin(context.Background(), a); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	w.clock.advance(9 * time.Minute)
	begin()
	if n := w.idp.discoveries.Load(); n != 1 {
		t.Fatalf("%d discoveries", n)
	}
	w.clock.advance(2*time.Minute + time.Second) // 10 min, and up to a tenth more
	begin()
	w.until("a second discovery", func() bool { return w.idp.discoveries.Load() == 2 })
	begin()
}

func (w *world) until(what string, f func() bool) {
	w.t.Helper()
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if f() {
			return
		}
	}
	w.t.Fatalf("%s never came", what)
}

func TestAFailedDiscoveryIsTriedAgainAfterTheCoolDown(t *testing.T) {
	w := newWorld(t)
	w.idp.fail("/.well-known/openid-configuration")
	for range 5 {
		_, err := w.party.Begin(context.Background(), w.attempt())
		expect(t, err, model.IdentityUnavailable, "503")
	}
	w.clock.advance(9 * time.Second)
	w.party.Begin(context.Background(), w.attempt())
	if n := w.idp.discoveries.Load(); n != 1 {
		t.Errorf("%d discoveries", n)
	}
	w.idp.in(nil, "/.well-known/openid-configuration")
	w.clock.advance(time.Second)
	if _, err := w.party.Begin(context.Background(), w.attempt()); err != nil {
		t.Error(err)
	}
}

func TestAnOlderDocumentServesAndIsNotAskedForInALoop(t *testing.T) {
	w := newWorld(t)
	w.mustLogin()
	w.idp.html("/.well-known/openid-configuration")
	w.clock.advance(2 * time.Hour)
	for range 20 {
		if _, err := w.party.Begin(context.Background(), w.attempt()); err != nil {
			t.Fatal(err)
		}
	}
	w.until("the failure", func() bool { return w.party.Status(w.provider).Discovery.LastError != "" })
	for range 20 {
		w.mustLogin()
	}
	if n := w.idp.discoveries.Load(); n > 3 { // ours, and those of the registry
		t.Errorf("%d discoveries", n)
	}
}

func TestFreshnessIsBounded(t *testing.T) {
	for field, want := range map[string]time.Duration{"": time.Hour, "max-age=1": 5 * time.Minute, "max-age=900": 15 * time.Minute, `public, Max-Age="900"`: 15 * time.Minute,
		"max-age=99999999": time.Hour, "max-age=-5": 5 * time.Minute, "no-store": 5 * time.Minute, "no-cache, max-age=900": 5 * time.Minute, "max-age=99999999999999": time.Hour, "max-age": time.Hour} {
		if got := freshness(http.Header{"Cache-Control": {field}}, 5*time.Minute, time.Hour); got != want {
			t.Errorf("%q: %v", field, got)
		}
	}
}

func TestRetainWarmsAndForgets(t *testing.T) {
	w := newWorld(t)
	off := *providerAt("https://off.example")
	off.Enabled = false
	w.party.Retain([]model.IdentityProvider{*w.provider, off, {Type: model.ProviderJWT, Enabled: true, Issuer: "https://jwt.example"}})
	w.until("the document", func() bool { return w.party.Status(w.provider).Discovery.LastFetch != nil })
	if len(w.party.sources) != 1 {
		t.Errorf("%d sources", len(w.party.sources))
	}
	w.party.Retain(nil)
	if len(w.party.sources) != 0 {
		t.Errorf("%d sources after nothing is retained", len(w.party.sources))
	}
}

func TestStatusTellsKeysTimesErrorsAndTheClock(t *testing.T) {
	w := newWorld(t)
	if st := w.party.Status(w.provider); st.Healthy || st.Discovery.LastFetch != nil || st.ClockSkew != nil {
		t.Errorf("before anything was asked: %+v", st)
	}
	w.mustLogin()
	st := w.party.Status(w.provider)
	if !st.Healthy || len(st.Keys.Keys) != 1 || st.Keys.Keys[0].KID != "key-1" || st.Keys.Keys[0].FirstSeen.IsZero() || st.Discovery.NextRefresh == nil || st.Discovery.LastError != "" {
		t.Errorf("healthy: %+v", st)
	}
	if st.ClockSkew == nil || *st.ClockSkew < -5 || *st.ClockSkew > 5 {
		t.Errorf("clock: %v", st.ClockSkew)
	}
	w.idp.in(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Date", w.clock.now().Add(-2*time.Minute).UTC().Format(http.TimeFormat))
		rw.WriteHeader(200)
		rw.Write(jsonOf(w.idp.document()))
	}, "/.well-known/openid-configuration")
	w.clock.advance(2 * time.Hour)
	w.party.Begin(context.Background(), w.attempt())
	w.until("the skew", func() bool { st := w.party.Status(w.provider); return st.ClockSkew != nil && *st.ClockSkew == -120 })
	w.idp.Close()
	w.clock.advance(2 * time.Hour)
	if _, err := w.party.Begin(context.Background(), w.attempt()); err != nil {
		t.Error(err)
	}
	w.until("the error", func() bool { st := w.party.Status(w.provider); return st.Discovery.Cause == "connect" && !st.Healthy })
}

func TestStatusFindsAProviderThatHasComeBackWhileNobodySignsIn(t *testing.T) {
	w := newWorld(t)
	w.idp.fail("/.well-known/openid-configuration")
	w.party.Retain([]model.IdentityProvider{*w.provider})
	w.registry.Retain([]model.IdentityProvider{*w.provider})
	w.until("the failure", func() bool { st := w.party.Status(w.provider); return st.Discovery.Cause == "http" && !st.Healthy })
	before := w.idp.discoveries.Load()
	for range 50 {
		w.party.Status(w.provider)
	}
	if n := w.idp.discoveries.Load() - before; n > 1 { // one may be the registry's
		t.Errorf("50 looks made %d discoveries", n)
	}
	w.idp.in(nil, "/.well-known/openid-configuration")
	w.clock.advance(34 * time.Second)
	w.registry.For(w.provider).Find(context.Background(), "key-1", "ES256")
	w.until("health", func() bool { return w.party.Status(w.provider).Healthy })
	before = w.idp.discoveries.Load()
	w.provider.Enabled = false
	w.clock.advance(5 * time.Hour)
	for range 10 {
		w.party.Status(w.provider)
	}
	time.Sleep(20 * time.Millisecond)
	if n := w.idp.discoveries.Load() - before; n != 0 {
		t.Errorf("a provider that is switched off was asked %d times", n)
	}
}

func TestCheckSaysWhatIsWrongAndWhatToDo(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(w *world)
		level  Level
		about  string
		says   string
		remedy string
	}{
		{"a good provider", func(*world) {}, LevelGood, "client", "accepts the client by client_secret_basic", ""},
		{"its keys", func(*world) {}, LevelGood, "keys", "1 usable keys", ""},
		{"its clock", func(*world) {}, LevelGood, "clock", "within", ""},
		{"one that is gone", func(w *world) { w.idp.Close() }, LevelFault, "discovery", "refused", "runs"},
		{"a wrong path", func(w *world) { w.provider.Issuer += "/realm" }, LevelFault, "discovery", "404", "a realm"},
		{"an issuer with a slash more", func(w *world) { w.provider.Issuer += "/" }, LevelFault, "discovery", "of the issuer", "Set issuer to exactly"},
		{"a pattern for tenants", func(w *world) {
			w.idp.doc = func(d map[string]any) { d["issuer"] = "https://login.example/{tenantid}/v2.0" }
		}, LevelFault, "discovery", "of the issuer", "your own tenant"},
		{"a page", func(w *world) { w.idp.html("/.well-known/openid-configuration") }, LevelFault, "discovery", "HTML page", "Open the URL"},
		{"a name that is not known", func(w *world) { w.provider.Issuer = "https://idp.invalid" }, LevelFault, "discovery", "idp.invalid", "name"},
		{"no TLS", func(w *world) { w.provider.Issuer = strings.Replace(w.provider.Issuer, "http:", "https:", 1) }, LevelFault, "discovery", "HTTP response", "certificate"},
		{"no keys", func(w *world) { w.idp.published = nil }, LevelFault, "keys", "no key", "Open the URL"},
		{"keys behind an error", func(w *world) { w.idp.fail("/jwks") }, LevelFault, "keys", "503", ""},
		{"symmetric algorithms alone", func(w *world) {
			w.idp.doc = func(d map[string]any) { d["id_token_signing_alg_values_supported"] = []any{"HS256"} }
		}, LevelFault, "algorithms", "no algorithm", "ES256"},
		{"no code flow", func(w *world) {
			w.idp.doc = func(d map[string]any) { d["response_types_supported"] = []any{"id_token"} }
		}, LevelFault, "flow", "authorization code", "response type"},
		{"no PKCE", func(w *world) {
			w.idp.doc = func(d map[string]any) { d["code_challenge_methods_supported"] = []any{"plain"} }
		}, LevelWarning, "pkce", "S256", ""},
		{"no RFC 9207", func(w *world) {
			w.idp.doc = func(d map[string]any) { delete(d, "authorization_response_iss_parameter_supported") }
		}, LevelWarning, "iss", "RFC 9207", ""},
		{"no UserInfo", func(w *world) {
			w.provider.UserInfo = true
			w.idp.doc = func(d map[string]any) { delete(d, "userinfo_endpoint") }
		}, LevelFault, "userInfo", "userinfo_endpoint", "Take userInfo away"},
		{"an unknown scope", func(w *world) { w.provider.RequestScopes = []string{"groups"} }, LevelWarning, "scopes", `"groups"`, ""},
		{"no logout", func(w *world) { w.idp.doc = func(d map[string]any) { delete(d, "end_session_endpoint") } }, LevelWarning, "logout", "end_session_endpoint", ""},
		{"no back-channel logout", func(w *world) {
			w.idp.doc = func(d map[string]any) { delete(d, "backchannel_logout_supported") }
		}, LevelWarning, "logout", "back-channel", ""},
		{"a wrong secret", func(w *world) {
			w.idp.in(func(rw http.ResponseWriter, _ *http.Request) {
				rw.WriteHeader(401)
				fmt.Fprint(rw, `{"error":"invalid_client"}`)
			}, "/token")
		}, LevelFault, "client", "refuses the client", "clientSecret"},
		{"a client that may not", func(w *world) {
			w.idp.in(func(rw http.ResponseWriter, _ *http.Request) {
				rw.WriteHeader(400)
				fmt.Fprint(rw, `{"error":"unauthorized_client"}`)
			}, "/token")
		}, LevelFault, "client", "authorization code", "grant type"},
		{"a token endpoint that says something else", func(w *world) { w.idp.html("/token") }, LevelWarning, "client", "nobody can tell", ""},
		{"a way of authentication that is not announced", func(w *world) {
			w.idp.doc = func(d map[string]any) { d["token_endpoint_auth_methods_supported"] = []any{"private_key_jwt"} }
		}, LevelWarning, "client", "does not announce", "clientKeyFile"},
		{"a clock that is off", func(w *world) { w.clock.advance(-2 * time.Minute) }, LevelFault, "clock", "2m", "NTP"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			tc.change(w)
			rep := w.party.Check(context.Background(), w.provider)
			fault := false
			for _, f := range rep.Findings {
				fault = fault || f.Level == LevelFault
			}
			if rep.OK == fault {
				t.Errorf("ok is %v: %+v", rep.OK, rep)
			}
			for _, f := range rep.Findings {
				if f.Level == tc.level && f.About == tc.about && strings.Contains(f.Says, tc.says) && strings.Contains(f.Remedy, tc.remedy) {
					return
				}
			}
			t.Errorf("no such finding in %+v", rep.Findings)
		})
	}
}

func TestTheClockIsReadOfAnAnswerThoughItWaitedInACache(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		date, age string
		want      time.Duration
		told      bool
	}{
		{"Sun, 22 Nov 2026 10:00:00 GMT", "", 0, true},
		{"Sun, 22 Nov 2026 10:01:00 GMT", "", time.Minute, true},
		{"Sun, 22 Nov 2026 09:50:00 GMT", "600", 0, true},
		{"Sun, 22 Nov 2026 09:50:00 GMT", "-600", -10 * time.Minute, true},
		{"Sun, 22 Nov 2026 09:50:00 GMT", "soon", -10 * time.Minute, true},
		{"yesterday", "", 0, false},
		{"", "", 0, false},
	} {
		if off, told := clockOf(http.Header{"Date": {tc.date}, "Age": {tc.age}}, now); off != tc.want || told != tc.told {
			t.Errorf("%q, age %q: %v, %v", tc.date, tc.age, off, told)
		}
	}
}
