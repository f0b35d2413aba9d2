package verify

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
)

const gatewayURL = "https://api.example.com"

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func p256(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// signed makes a JWT whose header and claims are entirely the test's.
func signed(t testing.TB, alg jose.SignatureAlgorithm, key any, header map[string]any, c map[string]any) string {
	t.Helper()
	opts := &jose.SignerOptions{}
	for k, v := range header {
		opts.WithHeader(jose.HeaderKey(k), v)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, opts)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := s.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func assertionClaims(change map[string]any) map[string]any {
	c := map[string]any{"iss": gatewayURL, "aud": "orders", "sub": "u-1", "preferred_username": "client1", "groups": []string{"staff"},
		"roles": []string{}, "amr": []string{"apiKey"}, "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "jti": "j1"}
	maps.Copy(c, change)
	for k, v := range c {
		if v == nil {
			delete(c, k)
		}
	}
	return c
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func newVerifier(t testing.TB, c Config) *Verifier {
	t.Helper()
	if c.Now == nil {
		c.Now = func() time.Time { return now }
	}
	if c.Logger == nil {
		c.Logger = quiet()
	}
	v, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// ask sends a request through the middleware to a handler that says who called.
func ask(v *Verifier, method, target string, header http.Header) *httptest.ResponseRecorder {
	h := v.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, ok := FromContext(r.Context())
		if !ok {
			panic("reached without an identity")
		}
		_, _ = io.WriteString(w, id.Name)
	}))
	r := httptest.NewRequest(method, target, nil)
	r.Header = header
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func code(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	if w.Code == http.StatusOK {
		return "ok " + w.Body.String()
	}
	var p struct {
		Status      int
		Code, Title string
	}
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Status != w.Code || p.Title == "" || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("not a problem document: %d %s", w.Code, w.Body)
	}
	if (w.Code == 401) != (w.Header().Get("WWW-Authenticate") != "") || (w.Code == 503) != (w.Header().Get("Retry-After") != "") {
		t.Errorf("headers %v of %d", w.Header(), w.Code)
	}
	return p.Code
}

func TestAssertions(t *testing.T) {
	key, other := p256(t), p256(t)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	v := newVerifier(t, Config{Issuer: gatewayURL, Audience: "orders", Keys: map[string]crypto.PublicKey{"k1": key.Public(), "rsa": rsaKey.Public()}})
	head := map[string]any{"kid": "k1", "typ": "JWT"}
	with := func(change map[string]any) string { return signed(t, jose.ES256, key, head, assertionClaims(change)) }
	good := with(nil)
	parts := strings.Split(good, ".")
	raw := func(header string) string { return base64.RawURLEncoding.EncodeToString([]byte(header)) }
	point, err := key.PublicKey.Bytes() // as an attacker would use it: as an HMAC secret
	if err != nil {
		t.Fatal(err)
	}

	for _, c := range []struct {
		name, token, want string
	}{
		{"a good one passes", good, "ok client1"},
		{"one that has just expired passes within the skew", with(map[string]any{"exp": now.Add(-20 * time.Second).Unix(), "iat": now.Add(-80 * time.Second).Unix()}), "ok client1"},
		{"one from a clock slightly ahead passes", with(map[string]any{"iat": now.Add(20 * time.Second).Unix()}), "ok client1"},
		{"aud may be a list", with(map[string]any{"aud": []string{"billing", "orders"}}), "ok client1"},
		{"expired", with(map[string]any{"exp": now.Add(-31 * time.Second).Unix()}), "credential_expired"},
		{"without exp", with(map[string]any{"exp": nil}), "credential_invalid"},
		{"exp as text", with(map[string]any{"exp": "9999999999"}), "credential_invalid"},
		// mod_auth_openidc, 2026: numbers beyond every calendar.
		{"exp 1e300", with(map[string]any{"exp": 1e300}), "credential_invalid"},
		{"exp negative", with(map[string]any{"exp": -1}), "credential_invalid"},
		{"without iat", with(map[string]any{"iat": nil}), "credential_invalid"},
		{"issued in the future", with(map[string]any{"iat": now.Add(time.Minute).Unix()}), "credential_invalid"},
		{"issued long ago, though it lasts", with(map[string]any{"iat": now.Add(-2 * time.Hour).Unix()}), "credential_expired"},
		{"not valid yet", with(map[string]any{"nbf": now.Add(time.Minute).Unix()}), "credential_invalid"},
		{"for another audience", with(map[string]any{"aud": "billing"}), "credential_invalid"},
		{"without audience", with(map[string]any{"aud": nil}), "credential_invalid"},
		{"an empty audience", with(map[string]any{"aud": []string{}}), "credential_invalid"},
		{"an audience list with a stranger in it", with(map[string]any{"aud": []any{"orders", 7}}), "credential_invalid"},
		{"of another issuer", with(map[string]any{"iss": gatewayURL + "/"}), "credential_invalid"},
		{"without sub", with(map[string]any{"sub": nil}), "credential_invalid"},
		{"without a name", with(map[string]any{"preferred_username": nil}), "credential_invalid"},
		{"signed by another key", signed(t, jose.ES256, other, head, assertionClaims(nil)), "credential_invalid"},
		{"with an unknown kid", signed(t, jose.ES256, key, map[string]any{"kid": "k2", "typ": "JWT"}, assertionClaims(nil)), "credential_invalid"},
		{"without a kid", signed(t, jose.ES256, key, map[string]any{"typ": "JWT"}, assertionClaims(nil)), "credential_invalid"},
		{"without typ", signed(t, jose.ES256, key, map[string]any{"kid": "k1"}, assertionClaims(nil)), "credential_invalid"},
		// Hono CVE-2026-22817, LibJWT CVE-2026-44699: the algorithm taken from the token.
		{"alg none", raw(`{"alg":"none","typ":"JWT","kid":"k1"}`) + "." + parts[1] + ".", "credential_invalid"},
		{"alg none with the signature left", raw(`{"alg":"none","typ":"JWT","kid":"k1"}`) + "." + parts[1] + "." + parts[2], "credential_invalid"},
		{"HS256 with the public key as secret", signed(t, jose.HS256, point, head, assertionClaims(nil)), "credential_invalid"},
		{"RS256, though such a key is known", signed(t, jose.RS256, rsaKey, map[string]any{"kid": "rsa", "typ": "JWT"}, assertionClaims(nil)), "credential_invalid"},
		{"its own key in the header", signed(t, jose.ES256, other, map[string]any{"kid": "k1", "typ": "JWT", "jwk": jose.JSONWebKey{Key: other.Public()}}, assertionClaims(nil)), "credential_invalid"},
		{"a place to fetch keys from", signed(t, jose.ES256, key, map[string]any{"kid": "k1", "typ": "JWT", "jku": "https://evil.example/jwks"}, assertionClaims(nil)), "credential_invalid"},
		{"critical extensions", signed(t, jose.ES256, key, map[string]any{"kid": "k1", "typ": "JWT", "crit": []string{"x"}, "x": 1}, assertionClaims(nil)), "credential_invalid"},
		{"changed claims", parts[0] + "." + raw(`{"iss":"`+gatewayURL+`","preferred_username":"root"}`) + "." + parts[2], "credential_invalid"},
		{"a cut signature", good[:len(good)-4], "credential_invalid"},
		{"a signature of zeros (CVE-2022-21449)", parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 64)), "credential_invalid"},
		{"a JWE", good + ".x.y", "credential_invalid"},
		{"the JSON form of a JWS", `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`, "credential_invalid"},
		{"empty", "", "credential_invalid"},
		{"garbage", "\x00é..", "credential_invalid"},
		{"far too long", strings.Repeat("a", 1<<20), "credential_invalid"},
		{"claims that are no object", func() string {
			s, _ := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", "k1"))
			j, _ := s.Sign([]byte("null"))
			text, _ := j.CompactSerialize()
			return text
		}(), "credential_invalid"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := ask(v, "GET", "/orders", http.Header{DefaultHeader: {c.token}})
			if got := code(t, w); got != c.want {
				t.Errorf("got %d %s, want %s", w.Code, got, c.want)
			}
		})
	}
	t.Run("none at all", func(t *testing.T) {
		if got := code(t, ask(v, "GET", "/orders", http.Header{"X-User": {"root"}, "Authorization": {"Bearer " + good}})); got != "credential_missing" {
			t.Error(got)
		}
	})
	t.Run("two of them", func(t *testing.T) {
		if got := code(t, ask(v, "GET", "/orders", http.Header{DefaultHeader: {good, good}})); got != "credential_invalid" {
			t.Error(got)
		}
	})
	t.Run("all of the identity arrives", func(t *testing.T) {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set(DefaultHeader, with(map[string]any{"client_id": "app", "sid": "s1", "roles": []string{"read-only"}}))
		id, err := v.Verify(r)
		if err != nil {
			t.Fatal(err)
		}
		if id.Claims["jti"] != "j1" {
			t.Error(id.Claims)
		}
		id.Claims = nil
		want := Identity{Name: "client1", Subject: "u-1", Client: "app", Issuer: gatewayURL, Groups: []string{"staff"}, Roles: []string{"read-only"},
			Methods: []string{"apiKey"}, Session: "s1", ID: "j1", Issued: now, Expires: now.Add(time.Minute)}
		if d := cmp.Diff(want, id); d != "" {
			t.Error(d)
		}
	})
	t.Run("the cause stays out of the answer", func(t *testing.T) {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set(DefaultHeader, with(map[string]any{"aud": "billing"}))
		_, err := v.Verify(r)
		var e *Error
		if !errors.As(err, &e) || e.Err == nil || strings.Contains(e.Detail, "aud") {
			t.Error(err)
		}
	})
}

func TestForwardedTokens(t *testing.T) {
	gatewayKey, ecKey := p256(t), p256(t)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	const corp, partner = "https://idp.example.com", "https://partner.example.com"
	v := newVerifier(t, Config{
		Issuer: gatewayURL, Audience: "orders", Keys: map[string]crypto.PublicKey{"k1": gatewayKey.Public()},
		Issuers: []Issuer{
			{Issuer: corp, Audiences: []string{"api"}, Keys: map[string]crypto.PublicKey{"r1": rsaKey.Public()}},
			{Issuer: partner, Audiences: []string{"api"}, Keys: map[string]crypto.PublicKey{"e1": ecKey.Public()}, Algorithms: []string{"ES256"}},
		},
	})
	corpClaims := func(change map[string]any) map[string]any {
		c := assertionClaims(map[string]any{"iss": corp, "aud": "api", "sub": "s-9", "preferred_username": nil, "azp": "app"})
		maps.Copy(c, change)
		return c
	}
	token := func(change map[string]any) string {
		return signed(t, jose.RS256, rsaKey, map[string]any{"kid": "r1", "typ": "at+jwt"}, corpClaims(change))
	}
	assertion := signed(t, jose.ES256, gatewayKey, map[string]any{"kid": "k1", "typ": "JWT"}, assertionClaims(nil))
	for _, c := range []struct {
		name   string
		header http.Header
		want   string
	}{
		{"a good one passes, named by its sub", http.Header{"Authorization": {"Bearer " + token(nil)}}, "ok s-9"},
		{"the scheme's case does not matter", http.Header{"Authorization": {"bearer " + token(nil)}}, "ok s-9"},
		{"a token without kid is taken for the issuer's one key", http.Header{"Authorization": {"Bearer " + signed(t, jose.RS256, rsaKey, nil, corpClaims(nil))}}, "ok s-9"},
		{"the assertion has the last word", http.Header{DefaultHeader: {assertion}, "Authorization": {"Bearer " + token(nil)}}, "ok client1"},
		{"a bad assertion never falls through to a good token", http.Header{DefaultHeader: {"bad"}, "Authorization": {"Bearer " + token(nil)}}, "credential_invalid"},
		{"an assertion is no bearer token", http.Header{"Authorization": {"Bearer " + assertion}}, "credential_invalid"},
		{"a token is no assertion", http.Header{DefaultHeader: {token(nil)}}, "credential_invalid"},
		{"another audience", http.Header{"Authorization": {"Bearer " + token(map[string]any{"aud": "other"})}}, "credential_invalid"},
		{"an issuer that is not listed", http.Header{"Authorization": {"Bearer " + token(map[string]any{"iss": "https://evil.example"})}}, "credential_invalid"},
		{"one issuer's key for another's token", http.Header{"Authorization": {"Bearer " + token(map[string]any{"iss": partner})}}, "credential_invalid"},
		{"an algorithm that the issuer does not use", http.Header{"Authorization": {"Bearer " + signed(t, jose.PS256, rsaKey, map[string]any{"kid": "e1"}, corpClaims(map[string]any{"iss": partner}))}}, "credential_invalid"},
		{"a logout token", http.Header{"Authorization": {"Bearer " + signed(t, jose.RS256, rsaKey, map[string]any{"kid": "r1", "typ": "logout+jwt"}, corpClaims(nil))}}, "credential_invalid"},
		{"a token bound to a key", http.Header{"Authorization": {"Bearer " + token(map[string]any{"cnf": map[string]any{"jkt": "x"}})}}, "credential_invalid"},
		{"expired", http.Header{"Authorization": {"Bearer " + token(map[string]any{"exp": now.Add(-time.Hour).Unix()})}}, "credential_expired"},
		{"Basic is no proof here", http.Header{"Authorization": {"Basic YTpi"}}, "credential_missing"},
		{"two Authorization headers", http.Header{"Authorization": {"Bearer " + token(nil), "Bearer " + token(nil)}}, "credential_invalid"},
		{"an empty token", http.Header{"Authorization": {"Bearer "}}, "credential_invalid"},
		{"nothing", http.Header{}, "credential_missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := ask(v, "GET", "/orders", c.header)
			if got := code(t, w); got != c.want {
				t.Errorf("got %d %s, want %s", w.Code, got, c.want)
			}
			if w.Code == 401 && !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Bearer") {
				t.Error(w.Header())
			}
		})
	}
}

func TestNewReportsEveryFault(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Skip("this Go makes no small keys")
	}
	for _, c := range []struct {
		name string
		c    Config
		want []string
	}{
		{"nobody to believe", Config{}, []string{"nobody to believe"}},
		{"no audience, keys by plain HTTP", Config{Issuer: "http://gateway.example"}, []string{"Audience is empty", "not https"}},
		{"issuers", Config{Issuers: []Issuer{{}, {Issuer: "https://a"}, {Issuer: "https://b", Audiences: []string{"x"}, Algorithms: []string{"HS256"}},
			{Issuer: "https://c", Audiences: []string{"x"}}, {Issuer: "https://d", Audiences: []string{"x"}, Keys: map[string]crypto.PublicKey{"s": small.Public()}}}},
			[]string{"Issuer is empty", "empty Audiences", `"HS256"`, "is not a URL", `key "s"`}},
		{"a secret is no public key", Config{Issuer: gatewayURL, Audience: "x", Keys: map[string]crypto.PublicKey{"h": []byte("secret")}}, []string{"[]uint8"}},
		{"no such policy file", Config{Issuer: gatewayURL, Audience: "x", PolicyFile: "/nowhere/policy.yaml"}, []string{"/nowhere/policy.yaml"}},
		{"two policies", Config{Issuer: gatewayURL, Audience: "x", Policy: &Policy{}, PolicyFile: "x"}, []string{"both Policy and PolicyFile"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := New(c.c)
			for _, w := range c.want {
				if err == nil || !strings.Contains(err.Error(), w) {
					t.Errorf("%v, want %s", err, w)
				}
			}
		})
	}
}

// FuzzVerify: no header makes the middleware panic, answer 5xx or let anybody in.
func FuzzVerify(f *testing.F) {
	key := p256(f)
	v := newVerifier(f, Config{Issuer: gatewayURL, Audience: "orders", Keys: map[string]crypto.PublicKey{"k1": key.Public()},
		Issuers: []Issuer{{Issuer: "https://idp.example.com", Audiences: []string{"a"}, Keys: map[string]crypto.PublicKey{"k1": key.Public()}}}})
	stranger := p256(f)
	f.Add(signed(f, jose.ES256, stranger, map[string]any{"kid": "k1", "typ": "JWT"}, assertionClaims(nil)), "Bearer x.y.z")
	f.Add("eyJhbGciOiJub25lIn0.e30.", "Bearer eyJhbGciOiJub25lIn0.e30.")
	f.Fuzz(func(t *testing.T, assertion, authorization string) {
		for _, h := range []http.Header{{DefaultHeader: {assertion}}, {"Authorization": {authorization}}} {
			if w := ask(v, "GET", "/", h); w.Code != 401 {
				t.Fatalf("%d for %q", w.Code, h)
			}
		}
	})
}
