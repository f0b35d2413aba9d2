package oidc

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/goleak"

	"github.com/sallyport/sallyport/internal/fetch"
	"github.com/sallyport/sallyport/internal/gate/authn/keys"
	"github.com/sallyport/sallyport/internal/login/flow"
	"github.com/sallyport/sallyport/internal/model"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is moved by hand. It starts at the true time, to the second, so that Date
// fields of real servers fit it.
type clock struct{ at atomic.Int64 }

func newClock() *clock                   { c := &clock{}; c.at.Store(time.Now().Unix() * int64(time.Second)); return c }
func (c *clock) now() time.Time          { return time.Unix(0, c.at.Load()) }
func (c *clock) advance(d time.Duration) { c.at.Add(int64(d)) }

// registryKeys are the real registry, as the app gives it.
type registryKeys struct{ r *keys.Registry }

func (k registryKeys) Find(ctx context.Context, p *model.IdentityProvider, kid, alg string) ([]crypto.PublicKey, error) {
	found, err := k.r.For(p).Find(ctx, kid, alg)
	if errors.Is(err, keys.ErrUnavailable) {
		return nil, ErrKeysUnavailable
	}
	var out []crypto.PublicKey
	for _, f := range found {
		out = append(out, f.Public)
	}
	return out, err
}

func (k registryKeys) status(st keys.Status) KeysStatus {
	out := KeysStatus{Source: st.Source, LastFetch: st.LastFetch, NextRefresh: st.NextRefresh, LastError: st.LastError, Cause: fetch.CauseOf(st.Err)}
	for _, s := range st.Keys {
		out.Keys = append(out.Keys, KeyStatus(s))
	}
	return out
}

func (k registryKeys) Status(p *model.IdentityProvider) KeysStatus {
	return k.status(k.r.For(p).Status())
}

func (k registryKeys) Fetch(ctx context.Context, p *model.IdentityProvider) (KeysStatus, error) {
	st, err := k.r.Fetch(ctx, p)
	return k.status(st), err
}

// signingKey is a key of a provider, with the algorithm that it signs by.
type signingKey struct {
	kid, alg string
	key      crypto.Signer
}

func newKey(t testing.TB, kid, alg string) *signingKey {
	t.Helper()
	var key crypto.Signer
	var err error
	switch alg {
	case "ES256":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "RS256":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case "EdDSA":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	return &signingKey{kid: kid, alg: alg, key: key}
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func jsonOf(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// sign makes a compact JWS of any header and payload whatever.
func (k *signingKey) sign(header, payload []byte) string {
	in := b64(header) + "." + b64(payload)
	var sig []byte
	switch key := k.key.(type) {
	case *ecdsa.PrivateKey:
		size := (key.Curve.Params().BitSize + 7) / 8
		h := crypto.SHA256.New()
		if size > 32 {
			h = crypto.SHA384.New()
		}
		h.Write([]byte(in))
		r, s, _ := ecdsa.Sign(rand.Reader, key, h.Sum(nil))
		sig = make([]byte, 2*size)
		r.FillBytes(sig[:size])
		s.FillBytes(sig[size:])
	case *rsa.PrivateKey:
		sum := sha256.Sum256([]byte(in))
		sig, _ = rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	case ed25519.PrivateKey:
		sig = ed25519.Sign(key, []byte(in))
	}
	return in + "." + b64(sig)
}

func hs256(secret, header, payload []byte) string {
	in := b64(header) + "." + b64(payload)
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(in))
	return in + "." + b64(mac.Sum(nil))
}

func (k *signingKey) jwk() jose.JSONWebKey {
	return jose.JSONWebKey{Key: k.key.Public(), KeyID: k.kid, Algorithm: k.alg, Use: "sig"}
}

// idp is a provider that can be told to lie.
type idp struct {
	*httptest.Server
	t     testing.TB
	clock *clock
	key   *signingKey

	mu        sync.Mutex
	published []jose.JSONWebKey
	codes     map[string]url.Values // the authorization request of each code
	refresh   map[string]bool       // refresh tokens that are good
	asked     []url.Values          // what the token endpoint was asked
	auth      []string              // its Authorization fields
	n         int

	discoveries, keyFetches, tokenCalls, infoCalls atomic.Int32

	// How it lies. Each may be nil.
	doc      func(map[string]any)
	header   func(map[string]any)
	claims   func(map[string]any)
	token    func(header, claims []byte) string // the id token whole
	answer   func(map[string]any)
	info     func(map[string]any)
	handlers map[string]http.HandlerFunc // by path, in place of its own
}

func newIDP(t testing.TB, c *clock) *idp {
	t.Helper()
	p := &idp{t: t, clock: c, key: newKey(t, "key-1", "ES256"), codes: map[string]url.Values{}, refresh: map[string]bool{}, handlers: map[string]http.HandlerFunc{}}
	p.published = []jose.JSONWebKey{p.key.jwk()}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

func (p *idp) set(f func()) { p.mu.Lock(); defer p.mu.Unlock(); f() }

func (p *idp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	own := p.handlers[r.URL.Path]
	p.mu.Unlock()
	count := map[string]*atomic.Int32{"/.well-known/openid-configuration": &p.discoveries, "/jwks": &p.keyFetches, "/token": &p.tokenCalls, "/userinfo": &p.infoCalls}
	if n := count[r.URL.Path]; n != nil {
		n.Add(1)
	}
	if own != nil {
		own(w, r) // not under the lock: it may hang
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		w.Write(jsonOf(p.document()))
	case "/jwks":
		w.Write(jsonOf(jose.JSONWebKeySet{Keys: p.published}))
	case "/token":
		p.serveToken(w, r)
	case "/userinfo":
		sub, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer access-")
		if !ok {
			w.WriteHeader(401)
			return
		}
		_ = sub
		said := map[string]any{"sub": "alice-1", "email": "alice@example.com", "groups": []any{"staff"}}
		if p.info != nil {
			p.info(said)
		}
		w.Write(jsonOf(said))
	default:
		w.WriteHeader(404)
	}
}

func (p *idp) document() map[string]any {
	doc := map[string]any{"issuer": p.URL, "authorization_endpoint": p.URL + "/auth?tenant=t", "token_endpoint": p.URL + "/token", "userinfo_endpoint": p.URL + "/userinfo",
		"end_session_endpoint": p.URL + "/logout", "jwks_uri": p.URL + "/jwks", "id_token_signing_alg_values_supported": []any{"ES256", "RS256", "EdDSA", "HS256", "none"},
		"code_challenge_methods_supported": []any{"S256"}, "authorization_response_iss_parameter_supported": true, "response_types_supported": []any{"code"},
		"backchannel_logout_supported": true, "scopes_supported": []any{"openid", "profile", "email"}}
	if p.doc != nil {
		p.doc(doc)
	}
	return doc
}

func (p *idp) serveToken(w http.ResponseWriter, r *http.Request) {
	r.ParseForm()
	p.asked = append(p.asked, maps.Clone(r.PostForm))
	p.auth = append(p.auth, r.Header.Get("Authorization"))
	fail := func(code string) {
		w.WriteHeader(400)
		fmt.Fprintf(w, `{"error":%q,"error_description":"no"}`, code)
	}
	var asked url.Values
	switch r.PostForm.Get("grant_type") {
	case "authorization_code":
		code := r.PostForm.Get("code")
		asked = p.codes[code]
		sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
		if asked == nil || asked.Get("code_challenge") != b64(sum[:]) || asked.Get("redirect_uri") != r.PostForm.Get("redirect_uri") {
			fail("invalid_grant")
			return
		}
		delete(p.codes, code)
	case "refresh_token":
		if !p.refresh[r.PostForm.Get("refresh_token")] {
			fail("invalid_grant")
			return
		}
		delete(p.refresh, r.PostForm.Get("refresh_token"))
		asked = url.Values{}
	}
	p.n++
	access, again := fmt.Sprintf("access-%d", p.n), fmt.Sprintf("refresh-%d", p.n)
	p.refresh[again] = true
	answer := map[string]any{"access_token": access, "token_type": "bearer", "expires_in": 600, "refresh_token": again, "id_token": p.idToken(access, asked.Get("nonce"))}
	if p.answer != nil {
		p.answer(answer)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(jsonOf(answer))
}

func (p *idp) idToken(access, nonce string) string {
	now := p.clock.now().Unix()
	sum := sha256.Sum256([]byte(access))
	header := map[string]any{"alg": p.key.alg, "kid": p.key.kid, "typ": "JWT"}
	claims := map[string]any{"iss": p.URL, "sub": "alice-1", "aud": "gw", "exp": now + 300, "iat": now, "sid": "s-1", "preferred_username": "alice",
		"email_verified": true}
	if p.key.alg == "ES256" || p.key.alg == "RS256" {
		claims["at_hash"] = b64(sum[:16])
	}
	if nonce != "" {
		claims["nonce"] = nonce
	}
	if p.header != nil {
		p.header(header)
	}
	if p.claims != nil {
		p.claims(claims)
	}
	if p.token != nil {
		return p.token(jsonOf(header), jsonOf(claims))
	}
	return p.key.sign(jsonOf(header), jsonOf(claims))
}

// world is a gateway's party and its provider.
type world struct {
	t        testing.TB
	clock    *clock
	idp      *idp
	registry *keys.Registry
	party    *Party
	provider *model.IdentityProvider
	attempts int
}

func newWorld(t testing.TB, change ...func(*Options)) *world {
	t.Helper()
	c := newClock()
	w := &world{t: t, clock: c, idp: newIDP(t, c)}
	w.registry = keys.NewRegistry(keys.Options{Fetch: fetch.New(fetch.Options{}).Get, Now: c.now, Patience: time.Second})
	t.Cleanup(w.registry.Close)
	o := Options{Keys: registryKeys{w.registry}, Now: c.now, Timeout: 2 * time.Second}
	for _, f := range change {
		f(&o)
	}
	w.party = New(o)
	t.Cleanup(w.party.Close)
	w.provider = providerAt(w.idp.URL)
	return w
}

func providerAt(issuer string) *model.IdentityProvider {
	return &model.IdentityProvider{Name: "corp", Type: model.ProviderOIDC, Enabled: true, Issuer: issuer, ClientID: "gw", ClientSecret: "s3cr&t :%"}
}

func (w *world) attempt() *flow.Attempt {
	w.attempts++
	return &flow.Attempt{Provider: w.provider, Base: &url.URL{Scheme: "https", Host: "gw.example.com"},
		State: fmt.Sprintf("state-%d", w.attempts), Secret: fmt.Sprintf("secret-%d-of-forty-three-characters-xxxxxxxxxxx", w.attempts), Began: w.clock.now()}
}

// leave begins an attempt, and has the provider make a code for it.
func (w *world) leave(a *flow.Attempt) url.Values {
	w.t.Helper()
	d, err := w.party.Begin(context.Background(), a)
	if err != nil {
		w.t.Fatalf("begin: %v", err)
	}
	u, err := url.Parse(d.URL)
	if err != nil || d.Form != nil {
		w.t.Fatalf("departure %+v: %v", d, err)
	}
	code := "code-of-" + a.State
	w.idp.set(func() { w.idp.codes[code] = u.Query() })
	return url.Values{"code": {code}, "state": {a.State}, "iss": {w.idp.URL}}
}

func (w *world) finish(a *flow.Attempt, q url.Values) (*flow.Identity, error) {
	return w.party.Finish(context.Background(), a, &flow.Return{Query: q})
}

func (w *world) login() (*flow.Identity, error) {
	w.t.Helper()
	a := w.attempt()
	return w.finish(a, w.leave(a))
}

func (w *world) mustLogin() *flow.Identity {
	w.t.Helper()
	id, err := w.login()
	if err != nil {
		w.t.Fatalf("login: %v", err)
	}
	return id
}

// expect holds an error against a code, and part of its cause.
func expect(t testing.TB, err error, code model.Code, cause string) {
	t.Helper()
	var e *model.Error
	if !errors.As(err, &e) || e.Code != code || !strings.Contains(err.Error(), cause) {
		t.Errorf("got %v, want %s because of %q", err, code, cause)
	}
	if e != nil && (strings.Contains(e.Message, "\"") || strings.Contains(e.Message, "://")) {
		t.Errorf("a person would read %q", e.Message)
	}
}
