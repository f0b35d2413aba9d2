package oidc

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sallyport/sallyport/internal/model"
)

// GHSA-wcvh-g65p-v576 (aud and iss not verified): the matrix of wrong claims.
func TestAnIDTokenMustFitTheProviderTheClientAndTheAttempt(t *testing.T) {
	now := func(w *world) int64 { return w.clock.now().Unix() }
	for _, tc := range []struct {
		name   string
		claims func(w *world, c map[string]any)
		cause  string // "" = it is accepted
	}{
		{"as it should be", func(*world, map[string]any) {}, ""},
		{"of another issuer", func(_ *world, c map[string]any) { c["iss"] = "https://evil.example" }, "issuer"},
		{"of an issuer that differs by a slash", func(w *world, c map[string]any) { c["iss"] = w.idp.URL + "/" }, "issuer"},
		{"of an issuer in capitals", func(w *world, c map[string]any) { c["iss"] = strings.ToUpper(w.idp.URL) }, "issuer"},
		{"of no issuer", func(_ *world, c map[string]any) { delete(c, "iss") }, "issuer"},
		{"of an issuer by another spelling of the name", func(_ *world, c map[string]any) { c["ISS"] = c["iss"]; delete(c, "iss") }, "issuer"},
		{"of several issuers", func(w *world, c map[string]any) { c["iss"] = []any{w.idp.URL} }, "issuer"},
		{"for another client", func(_ *world, c map[string]any) { c["aud"] = "other" }, "not for this client"},
		{"for a client whose name begins alike", func(_ *world, c map[string]any) { c["aud"] = "gw2" }, "not for this client"},
		{"for nobody", func(_ *world, c map[string]any) { delete(c, "aud") }, "no aud"},
		{"for an empty list", func(_ *world, c map[string]any) { c["aud"] = []any{} }, "no aud"},
		{"for what is no text", func(_ *world, c map[string]any) { c["aud"] = []any{"gw", 1} }, "aud"},
		{"for a list of this client", func(_ *world, c map[string]any) { c["aud"] = []any{"gw"} }, ""},
		{"for two, issued to this client", func(_ *world, c map[string]any) { c["aud"], c["azp"] = []any{"gw", "api"}, "gw" }, ""},
		{"for two, issued to whom it does not say", func(_ *world, c map[string]any) { c["aud"] = []any{"gw", "api"} }, "azp"},
		{"for two, issued to the other", func(_ *world, c map[string]any) { c["aud"], c["azp"] = []any{"gw", "api"}, "api" }, "azp"},
		{"for this client, issued to another", func(_ *world, c map[string]any) { c["azp"] = "other" }, "azp"},
		{"issued to what is no text", func(_ *world, c map[string]any) { c["azp"] = map[string]any{"gw": "gw"} }, "azp"},
		{"expired", func(w *world, c map[string]any) { c["exp"] = now(w) - 30 }, "expired"},
		{"expired within the skew", func(w *world, c map[string]any) { c["exp"] = now(w) - 29 }, ""},
		{"that never expires", func(_ *world, c map[string]any) { delete(c, "exp") }, "expired"},
		{"that expires at 1e300 (mod_auth_openidc 2026)", func(_ *world, c map[string]any) { c["exp"] = 1e300 }, "exp"},
		{"that expired before time began", func(_ *world, c map[string]any) { c["exp"] = -1 }, "exp"},
		{"that expires by a text", func(_ *world, c map[string]any) { c["exp"] = "9999999999" }, "exp"},
		{"of the future", func(w *world, c map[string]any) { c["iat"] = now(w) + 31 }, "future"},
		{"of the future within the skew", func(w *world, c map[string]any) { c["iat"] = now(w) + 30 }, ""},
		{"of no time", func(_ *world, c map[string]any) { delete(c, "iat") }, "iat"},
		{"not valid yet", func(w *world, c map[string]any) { c["nbf"] = now(w) + 31 }, "nbf"},
		{"of another attempt", func(_ *world, c map[string]any) { c["nonce"] = strings.Repeat("x", 43) }, "nonce"},
		{"of no attempt", func(_ *world, c map[string]any) { delete(c, "nonce") }, "nonce"},
		{"of a list of attempts", func(_ *world, c map[string]any) { c["nonce"] = []any{c["nonce"]} }, "cannot be accepted"},
		{"of nobody", func(_ *world, c map[string]any) { delete(c, "sub") }, "sub"},
		{"of an empty name", func(_ *world, c map[string]any) { c["sub"] = "" }, "sub"},
		{"of a number", func(_ *world, c map[string]any) { c["sub"] = 1 }, "cannot be accepted"},
		{"of a name with a line break", func(_ *world, c map[string]any) { c["sub"] = "a\nb" }, "sub"},
		{"of a name with half a character", func(_ *world, c map[string]any) { c["sub"] = "a\ufffd" }, "sub"},
		{"of a name that is too long", func(_ *world, c map[string]any) { c["sub"] = strings.Repeat("a", 600) }, "sub"},
		{"with the hash of another access token", func(_ *world, c map[string]any) { c["at_hash"] = strings.Repeat("A", 22) }, "at_hash"},
		{"without a hash of the access token", func(_ *world, c map[string]any) { delete(c, "at_hash") }, ""},
		{"with an empty hash", func(_ *world, c map[string]any) { c["at_hash"] = "" }, "at_hash"},
		{"that is a security event", func(_ *world, c map[string]any) { c["events"] = map[string]any{logoutEvent: map[string]any{}} }, "security event"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.idp.claims = func(c map[string]any) { tc.claims(w, c) }
			id, err := w.login()
			if tc.cause == "" {
				if err != nil || id == nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			if id != nil {
				t.Errorf("accepted: %+v", id)
			}
			expect(t, err, model.CredentialInvalid, tc.cause)
		})
	}
}

// CVE-2026-22817, CVE-2026-22818, CVE-2026-44699 (alg confusion): the token chooses neither its
// algorithm nor its key.
func TestAnIDTokenChoosesNeitherItsAlgorithmNorItsKey(t *testing.T) {
	evil := newKey(t, "key-1", "ES256")
	embedded, _ := json.Marshal(evil.jwk())
	pub := func(w *world) []byte {
		der, _ := x509.MarshalPKIXPublicKey(w.idp.key.key.Public())
		return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	}
	header := func(h string) func(*world, []byte, []byte) string {
		return func(w *world, _, c []byte) string { return w.idp.key.sign([]byte(h), c) }
	}
	for _, tc := range []struct {
		name  string
		token func(w *world, h, c []byte) string
	}{
		{"alg none", func(_ *world, _, c []byte) string { return b64([]byte(`{"alg":"none"}`)) + "." + b64(c) + "." }},
		{"alg none with a signature", func(_ *world, _, c []byte) string { return b64([]byte(`{"alg":"none"}`)) + "." + b64(c) + ".AA" }},
		{"alg None", header(`{"alg":"None","kid":"key-1"}`)},
		{"no alg", header(`{"kid":"key-1"}`)},
		{"an alg that is a list", header(`{"alg":["ES256"],"kid":"key-1"}`)},
		{"HS256 with the public key's PEM as secret", func(w *world, _, c []byte) string { return hs256(pub(w), []byte(`{"alg":"HS256","kid":"key-1"}`), c) }},
		{"HS256 with the public key's JWK as secret", func(w *world, _, c []byte) string {
			return hs256(jsonOf(w.idp.key.jwk()), []byte(`{"alg":"HS256","kid":"key-1"}`), c)
		}},
		{"HS256 with an empty secret", func(_ *world, _, c []byte) string { return hs256(nil, []byte(`{"alg":"HS256","kid":"key-1"}`), c) }},
		{"HS256 with the client secret", func(w *world, _, c []byte) string {
			return hs256([]byte(w.provider.ClientSecret), []byte(`{"alg":"HS256"}`), c)
		}},
		{"another algorithm of the same type", header(`{"alg":"ES384","kid":"key-1"}`)},
		{"another type of algorithm", header(`{"alg":"RS256","kid":"key-1"}`)},
		{"another key under the same name", func(_ *world, h, c []byte) string { return evil.sign(h, c) }},
		{"an embedded jwk", func(_ *world, _, c []byte) string {
			return evil.sign([]byte(`{"alg":"ES256","kid":"key-1","jwk":`+string(embedded)+`}`), c)
		}},
		{"an embedded jwk and a good signature", func(w *world, _, c []byte) string {
			return w.idp.key.sign([]byte(`{"alg":"ES256","kid":"key-1","jwk":`+string(embedded)+`}`), c)
		}},
		{"a jku", func(w *world, _, c []byte) string {
			return evil.sign([]byte(`{"alg":"ES256","kid":"evil","jku":"https://evil.example/jwks"}`), c)
		}},
		{"an x5u", header(`{"alg":"ES256","kid":"key-1","x5u":"https://evil.example/c"}`)},
		{"an x5c", header(`{"alg":"ES256","kid":"key-1","x5c":["AA"]}`)},
		{"crit", header(`{"alg":"ES256","kid":"key-1","crit":["exp"],"exp":1}`)},
		{"b64 false", header(`{"alg":"ES256","kid":"key-1","b64":false}`)},
		{"a compressed payload (zip bomb, mod_auth_openidc 2026)", header(`{"alg":"ES256","kid":"key-1","zip":"DEF"}`)},
		{"two algs", header(`{"alg":"none","alg":"ES256","kid":"key-1"}`)},
		{"an access token (at+jwt)", header(`{"alg":"ES256","kid":"key-1","typ":"at+jwt"}`)},
		{"a logout token (logout+jwt)", header(`{"alg":"ES256","kid":"key-1","typ":"logout+jwt"}`)},
		{"a kid that is no text", header(`{"alg":"ES256","kid":["key-1"]}`)},
		{"a kid that is a path", header(`{"alg":"ES256","kid":"../../dev/null"}`)},
		{"a key that is not published", header(`{"alg":"ES256","kid":"key-2"}`)},
		{"a claim twice", func(w *world, h, c []byte) string {
			return w.idp.key.sign(h, []byte(strings.Replace(string(c), `"sub":"alice-1"`, `"sub":"alice-1","sub":"admin"`, 1)))
		}},
		{"claims in another case beside the true ones", func(w *world, h, c []byte) string {
			return w.idp.key.sign(h, []byte(strings.Replace(string(c), `"sub":"alice-1"`, `"sub":"alice-1","Iss":"https://evil.example"`, 1)))
		}},
		{"claims with something behind them", func(w *world, h, c []byte) string { return w.idp.key.sign(h, append(c, "{}"...)) }},
		{"claims that are a list", func(w *world, h, _ []byte) string { return w.idp.key.sign(h, []byte("[]")) }},
		{"claims that are nested too deep", func(w *world, h, c []byte) string {
			return w.idp.key.sign(h, []byte(strings.Replace(string(c), `{`, `{"x":`+strings.Repeat("[", 40)+strings.Repeat("]", 40)+`,`, 1)))
		}},
		{"claims that are not UTF-8", func(w *world, h, c []byte) string {
			return w.idp.key.sign(h, []byte(strings.Replace(string(c), `alice-1`, "alice\xff", 1)))
		}},
		{"a number that does not fit", func(w *world, h, c []byte) string {
			return w.idp.key.sign(h, []byte(strings.Replace(string(c), `{`, `{"x":1e999,`, 1)))
		}},
		{"a changed payload", func(w *world, h, c []byte) string {
			p := strings.Split(w.idp.key.sign(h, c), ".")
			return p[0] + "." + b64([]byte(strings.Replace(string(c), "alice-1", "admin-1", 1))) + "." + p[2]
		}},
		{"a signature cut off", func(w *world, h, c []byte) string { s := w.idp.key.sign(h, c); return s[:strings.LastIndex(s, ".")+1] }},
		{"base64 with stray bits", func(w *world, h, c []byte) string { s := w.idp.key.sign(h, c); return s[:len(s)-1] + "-" }},
		{"an encrypted token", func(w *world, h, c []byte) string { return w.idp.key.sign(h, c) + ".AA.AA" }},
		{"JSON serialization", func(w *world, h, c []byte) string {
			return `{"payload":"` + b64(c) + `","protected":"` + b64(h) + `","signature":"AA"}`
		}},
		{"two tokens", func(w *world, h, c []byte) string { return w.idp.key.sign(h, c) + "," + w.idp.key.sign(h, c) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.idp.token = func(h, c []byte) string { return tc.token(w, h, c) }
			id, err := w.login()
			if id != nil || err == nil {
				t.Fatalf("accepted: %+v", id)
			}
			if got := model.AsError(err).Code; got != model.CredentialInvalid && got != model.IdentityUnavailable {
				t.Errorf("refused by %v", err)
			}
		})
	}
	t.Run("HS256 even where it is all that the provider announces", func(t *testing.T) {
		w := newWorld(t)
		w.idp.doc = func(d map[string]any) { d["id_token_signing_alg_values_supported"] = []any{"HS256", "none"} }
		w.idp.token = func(_, c []byte) string { return hs256([]byte(w.provider.ClientSecret), []byte(`{"alg":"HS256"}`), c) }
		_, err := w.login()
		expect(t, err, model.CredentialInvalid, "no algorithm")
	})
	t.Run("an algorithm that the provider does not announce", func(t *testing.T) {
		w := newWorld(t)
		w.idp.doc = func(d map[string]any) { d["id_token_signing_alg_values_supported"] = []any{"RS256"} }
		_, err := w.login()
		expect(t, err, model.CredentialInvalid, "ES256")
	})
	t.Run("a symmetric key in the key set", func(t *testing.T) {
		w := newWorld(t)
		w.idp.published = append(w.idp.published, jose.JSONWebKey{Key: []byte("secret-of-32-bytes-xxxxxxxxxxxxx"), KeyID: "sym", Algorithm: "HS256", Use: "sig"})
		w.idp.token = func(_, c []byte) string {
			return hs256([]byte("secret-of-32-bytes-xxxxxxxxxxxxx"), []byte(`{"alg":"HS256","kid":"sym"}`), c)
		}
		_, err := w.login()
		expect(t, err, model.CredentialInvalid, "HS256")
	})
}

// Mixed-up providers: two that are both configured, one of them hostile.
func TestATokenOfAnotherProviderIsRefused(t *testing.T) {
	w := newWorld(t)
	evil := newIDP(t, w.clock) // its key has the same name
	evil.key.kid = w.idp.key.kid
	other := providerAt(evil.URL)
	other.Name = "evil"
	for _, tc := range []struct {
		name  string
		token func(h, c []byte) string
	}{
		{"a token of the other, as it is", func(h, c []byte) string { return evil.idToken("access-1", "") }},
		{"a token by the other's key that names this issuer", func(h, c []byte) string { return evil.key.sign(h, c) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w.idp.token = tc.token
			id, err := w.login()
			if id != nil {
				t.Errorf("accepted %+v", id)
			}
			expect(t, err, model.CredentialInvalid, "")
		})
	}
	t.Run("a code goes to the provider of the attempt alone", func(t *testing.T) {
		w.idp.token = nil
		before := evil.tokenCalls.Load()
		a := w.attempt()
		q := w.leave(a)
		q.Set("iss", evil.URL)
		_, err := w.finish(a, q)
		expect(t, err, model.CredentialInvalid, "mixed up")
		if evil.tokenCalls.Load() != before {
			t.Error("the code went elsewhere")
		}
	})
	t.Run("a document that names another issuer", func(t *testing.T) {
		evil.doc = func(d map[string]any) { d["issuer"] = w.idp.URL }
		a := w.attempt()
		a.Provider = other
		_, err := w.party.Begin(context.Background(), a)
		expect(t, err, model.IdentityUnavailable, "issuer")
	})
}

// mod_auth_openidc's hardening of 2026: unknown kids must not become fetches, by
// the front door or by the back channel.
func TestAFloodOfUnknownKidsCostsOneFetch(t *testing.T) {
	w := newWorld(t)
	w.mustLogin()
	before := w.idp.keyFetches.Load()
	var wg sync.WaitGroup
	for g := range 10 {
		wg.Go(func() {
			for i := range 100 {
				header := fmt.Sprintf(`{"alg":"ES256","kid":"random-%d-%d","typ":"logout+jwt"}`, g, i)
				_, err := w.party.Logout(context.Background(), w.provider, w.idp.key.sign([]byte(header), jsonOf(w.logoutClaims())))
				if err == nil {
					t.Error("accepted")
				}
			}
		})
	}
	wg.Wait()
	if n := w.idp.keyFetches.Load() - before; n > 1 {
		t.Errorf("1000 unknown keys made %d fetches", n)
	}
}

func TestKeysRotateWithoutARestart(t *testing.T) {
	w := newWorld(t)
	w.mustLogin()
	w.idp.set(func() {
		w.idp.key = newKey(t, "key-2", "ES256")
		w.idp.published = append(w.idp.published, w.idp.key.jwk())
	})
	w.clock.advance(11 * time.Second) // the cool-down of keys
	w.mustLogin()
}

// A new key may be of an algorithm that the document did not announce when it was
// fetched: it is fetched again, once in the cool-down however many ask.
func TestANewAlgorithmIsFoundInANewerDocument(t *testing.T) {
	w := newWorld(t)
	w.idp.doc = func(d map[string]any) { d["id_token_signing_alg_values_supported"] = []any{"ES256"} }
	w.mustLogin()
	w.idp.set(func() {
		w.idp.doc = func(d map[string]any) { d["id_token_signing_alg_values_supported"] = []any{"EdDSA"} }
		w.idp.key = newKey(t, "key-2", "EdDSA")
		w.idp.published = append(w.idp.published, w.idp.key.jwk())
	})
	before := w.idp.discoveries.Load()
	for range 3 {
		_, err := w.login()
		expect(t, err, model.CredentialInvalid, "EdDSA")
	}
	if n := w.idp.discoveries.Load() - before; n != 0 {
		t.Errorf("%d discoveries within the cool-down", n)
	}
	w.clock.advance(11 * time.Second)
	w.mustLogin()
	forged := w.idp.key.sign([]byte(`{"alg":"PS512","kid":"key-2"}`), jsonOf(w.logoutClaims()))
	before = w.idp.discoveries.Load()
	w.clock.advance(11 * time.Second)
	for range 100 {
		_, err := w.party.Logout(context.Background(), w.provider, forged)
		expect(t, err, model.CredentialInvalid, "does not announce")
	}
	if n := w.idp.discoveries.Load() - before; n != 1 {
		t.Errorf("100 forged tokens of an algorithm that is not announced made %d discoveries", n)
	}
}

// Old keys and the old document serve while the provider is down, but a code
// cannot be exchanged.
func TestAProviderThatIsDownStopsNewLoginsAtOnce(t *testing.T) {
	for name, down := range map[string]func(w *world){
		"gone":                func(w *world) { w.idp.Close() },
		"answering 503":       func(w *world) { w.idp.fail("/.well-known/openid-configuration", "/token") },
		"hanging":             func(w *world) { w.idp.hang("/.well-known/openid-configuration", "/token") },
		"an HTML page":        func(w *world) { w.idp.html("/.well-known/openid-configuration", "/token") },
		"redirecting":         func(w *world) { w.idp.redirect("/.well-known/openid-configuration", "/token") },
		"an endless answer":   func(w *world) { w.idp.endless("/.well-known/openid-configuration", "/token") },
		"cutting answers off": func(w *world) { w.idp.cut("/.well-known/openid-configuration", "/token") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(o *Options) { o.Timeout = 700 * time.Millisecond })
			known := newWorld(t, func(o *Options) { o.Timeout = 700 * time.Millisecond })
			a := known.attempt()
			q := known.leave(a)
			down(w)
			down(known)
			for range 3 {
				begin := time.Now()
				_, err := w.party.Begin(context.Background(), w.attempt())
				expect(t, err, model.IdentityUnavailable, "discovery")
				if model.AsError(err).RetryAfter == 0 {
					t.Error("no Retry-After")
				}
				if took := time.Since(begin); took > 2*time.Second {
					t.Errorf("it took %v", took)
				}
			}
			if n := w.idp.discoveries.Load(); n > 1 {
				t.Errorf("%d discoveries within the cool-down", n)
			}
			_, err := known.finish(a, q)
			expect(t, err, model.IdentityUnavailable, "token endpoint")
			if _, err := known.party.Begin(context.Background(), known.attempt()); err != nil {
				t.Errorf("the old document does not serve: %v", err)
			}
		})
	}
}

func (p *idp) in(f http.HandlerFunc, paths ...string) {
	p.set(func() {
		for _, path := range paths {
			p.handlers[path] = f
		}
	})
}

func (p *idp) fail(paths ...string) {
	p.in(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, paths...)
}
func (p *idp) hang(paths ...string) {
	p.in(func(_ http.ResponseWriter, r *http.Request) { r.ParseForm(); <-r.Context().Done() }, paths...)
}
func (p *idp) html(paths ...string) {
	p.in(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "<!DOCTYPE html><title>Sign in to the network</title>")
	}, paths...)
}
func (p *idp) redirect(paths ...string) {
	p.in(http.RedirectHandler("http://127.0.0.1:1/", http.StatusTemporaryRedirect).ServeHTTP, paths...)
}
func (p *idp) cut(paths ...string) {
	p.in(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		fmt.Fprint(w, `{"issuer":`)
	}, paths...)
}
func (p *idp) endless(paths ...string) {
	p.in(func(w http.ResponseWriter, _ *http.Request) {
		for range 100000 {
			if _, err := fmt.Fprint(w, strings.Repeat(" ", 1<<16)); err != nil {
				return
			}
		}
	}, paths...)
}

// Answers of the token endpoint that are none.
func TestATokenAnswerIsReadStrictly(t *testing.T) {
	for _, tc := range []struct {
		name   string
		status int
		body   string
		code   model.Code
		cause  string
	}{
		{"not JSON", 200, "access_token=x", model.IdentityUnavailable, "something else"},
		{"a form, as GitHub would", 200, "", model.IdentityUnavailable, "nothing"},
		{"no access token", 200, `{"token_type":"Bearer","id_token":"a.b.c"}`, model.IdentityUnavailable, "access_token"},
		{"another type of token", 200, `{"access_token":"x","token_type":"DPoP","id_token":"a.b.c"}`, model.IdentityUnavailable, "DPoP"},
		{"an id token twice", 200, `{"access_token":"x","token_type":"Bearer","id_token":"a.b.c","id_token":"d.e.f"}`, model.IdentityUnavailable, "broken JSON"},
		{"a token that is a number", 200, `{"access_token":7,"token_type":"Bearer","id_token":"a.b.c"}`, model.IdentityUnavailable, "no token"},
		{"a token with a line break", 200, `{"access_token":"x\r\nX-Evil: 1","token_type":"Bearer","id_token":"a.b.c"}`, model.IdentityUnavailable, "no token"},
		{"no id token", 200, `{"access_token":"x","token_type":"Bearer"}`, model.CredentialInvalid, "without an id_token"},
		{"the code is refused", 400, `{"error":"invalid_grant"}`, model.CredentialInvalid, "invalid_grant"},
		{"the client is refused", 401, `{"error":"invalid_client"}`, model.IdentityUnavailable, "invalid_client"},
		{"invalid_grant by a broken server is no verdict", 500, `{"error":"invalid_grant"}`, model.IdentityUnavailable, "500"},
		{"too many requests", 429, ``, model.IdentityUnavailable, "429"},
		{"an error as 200", 200, `{"error":"invalid_grant"}`, model.IdentityUnavailable, "access_token"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.idp.in(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(tc.status); fmt.Fprint(rw, tc.body) }, "/token")
			_, err := w.login()
			expect(t, err, tc.code, tc.cause)
			if n := w.idp.tokenCalls.Load(); n != 1 {
				t.Errorf("asked %d times", n)
			}
		})
	}
}

// oauth2-proxy #1071, #644: large groups are no trouble where nothing of them is in
// a cookie; but there is an end to it.
func TestLargeGroupListsAreTakenWithinBounds(t *testing.T) {
	groups := func(n int) []any {
		out := make([]any, n)
		for i := range out {
			out[i] = fmt.Sprintf("9f4e5d3a-0000-4000-8000-%012d", i)
		}
		return out
	}
	for _, tc := range []struct {
		n    int
		ok   bool
		info bool
	}{{1000, true, false}, {2000, true, false}, {20000, false, false}, {10000, true, true}, {20000, false, true}} {
		w := newWorld(t)
		w.provider.UserInfo = tc.info
		if tc.info {
			w.idp.info = func(m map[string]any) { m["groups"] = groups(tc.n) }
		} else {
			w.idp.claims = func(c map[string]any) { c["groups"] = groups(tc.n) }
		}
		id, err := w.login()
		if (err == nil) != tc.ok {
			t.Errorf("%d groups, UserInfo %v: %v", tc.n, tc.info, err)
		}
		if tc.ok && id != nil && len(id.Claims["groups"].([]any)) != tc.n {
			t.Errorf("%d groups, UserInfo %v: %d arrived", tc.n, tc.info, len(id.Claims["groups"].([]any)))
		}
	}
}

func TestNothingOutlivesItsCaller(t *testing.T) {
	w := newWorld(t)
	w.idp.hang("/.well-known/openid-configuration")
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	begin := time.Now()
	_, err := w.party.Begin(ctx, w.attempt())
	expect(t, err, model.IdentityUnavailable, "discovery")
	if took := time.Since(begin); took > 500*time.Millisecond {
		t.Errorf("it took %v", took)
	}
	w.party.Close()
	_, err = w.party.Begin(context.Background(), w.attempt())
	expect(t, err, model.IdentityUnavailable, "")
}

func TestAMomentIsBoundedOnBothSides(t *testing.T) {
	for v, ok := range map[any]bool{0.0: true, 1.9e9: true, 253402300799.0: true, 253402300800.0: false, 1e300: false, -1.0: false, "1": false, nil: false, true: false} {
		token := &jwt{claims: map[string]any{"exp": v}}
		if at, err := token.moment("exp"); (err == nil) != ok || ok && at.IsZero() {
			t.Errorf("%v: %v, %v", v, at, err)
		}
	}
}
