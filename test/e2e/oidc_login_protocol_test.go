//go:build e2e

package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sallyport/sallyport/internal/app"
	"github.com/sallyport/sallyport/internal/fetch"
	"github.com/sallyport/sallyport/internal/gate/authn/keys"
	"github.com/sallyport/sallyport/internal/login/flow"
	"github.com/sallyport/sallyport/internal/login/oidc"
	"github.com/sallyport/sallyport/internal/model"
)

// relying is the protocol half of a login behind the least of a server: where
// browsers come back to, and where the provider says that a session has ended.
type relying struct {
	t        *testing.T
	server   *httptest.Server
	base     *url.URL
	party    *oidc.Party
	registry *keys.Registry
	surfer   *surfer

	mu       sync.Mutex
	attempts map[string]*flow.Attempt
	identity *flow.Identity
	err      error
	ended    []*flow.Ended
	n        int
	provider *model.IdentityProvider // the one that may end sessions
}

func newRelying(t *testing.T, dir string) *relying {
	t.Helper()
	r := &relying{t: t, attempts: map[string]*flow.Attempt{}, surfer: newSurfer(t, nil)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.sallyport/callback", r.callback)
	mux.HandleFunc("POST /.sallyport/backchannel", r.backChannel)
	mux.HandleFunc("GET /out", func(w http.ResponseWriter, q *http.Request) { fmt.Fprint(w, "signed out "+q.FormValue("state")) })
	r.server = httptest.NewServer(mux)
	t.Cleanup(r.server.Close)
	r.base, _ = url.Parse(r.server.URL)
	r.registry = keys.NewRegistry(keys.Options{Fetch: fetch.New(fetch.Options{}).Get, CoolDown: 50 * time.Millisecond})
	t.Cleanup(r.registry.Close)
	r.party = oidc.New(oidc.Options{Keys: app.ProviderKeys{Registry: r.registry}, Dir: dir, CoolDown: 50 * time.Millisecond})
	t.Cleanup(r.party.Close)
	return r
}

func (r *relying) callback(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	a := r.attempts[q.URL.Query().Get("state")]
	r.mu.Unlock()
	id, err := r.party.Finish(q.Context(), a, &flow.Return{Request: q, Query: q.URL.Query()})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.identity, r.err = id, err
	fmt.Fprint(w, "came back")
}

func (r *relying) backChannel(w http.ResponseWriter, q *http.Request) {
	for range 2 { // the second time it is played again
		e, err := r.party.Logout(q.Context(), r.provider, q.FormValue("logout_token"))
		if err != nil {
			r.t.Errorf("a real logout token: %v", err)
			w.WriteHeader(400)
			return
		}
		r.mu.Lock()
		r.ended = append(r.ended, e)
		r.mu.Unlock()
	}
}

func (r *relying) attempt(p *model.IdentityProvider) *flow.Attempt {
	r.n++
	a := &flow.Attempt{Provider: p, Base: r.base, State: fmt.Sprintf("state-%d-%s", r.n, rand.Text()), Secret: rand.Text() + rand.Text()[:17], Began: time.Now()}
	r.mu.Lock()
	r.attempts[a.State] = a
	r.mu.Unlock()
	return a
}

// login goes through the provider's pages as somebody, or aborts there.
func (r *relying) login(p *model.IdentityProvider, as string) (*flow.Identity, error) {
	r.t.Helper()
	r.identity, r.err = nil, errors.New("nobody came back")
	d, err := r.party.Begin(context.Background(), r.attempt(p))
	if err != nil {
		return nil, err
	}
	pg := r.surfer.get(d.URL)
	for range 3 {
		switch {
		case pg.body == "came back":
			return r.identity, r.err
		case as == "":
			_, rest, _ := strings.Cut(pg.body, `/abort"`)
			if rest == "" {
				r.t.Fatalf("no way to abort on %s", pg.body)
			}
			pg = r.surfer.get(pg.at.String() + "/abort")
		case strings.Contains(pg.body, `value="login"`):
			pg = r.surfer.submit(pg, 0, map[string]string{"login": as, "password": "x"})
		default:
			pg = r.surfer.submit(pg, 0, nil) // consent
		}
	}
	if pg.body != "came back" {
		r.t.Fatalf("at %s (%d), by way of %q: %s", pg.at, pg.status, pg.way, pg.body)
	}
	return r.identity, r.err
}

func (r *relying) mustLogin(p *model.IdentityProvider, as string) *flow.Identity {
	r.t.Helper()
	id, err := r.login(p, as)
	if err != nil {
		r.t.Fatalf("%s signs in: %v", as, err)
	}
	return id
}

func (r *relying) refuses(what string, err error, code model.Code, cause string) {
	r.t.Helper()
	var e *model.Error
	if !errors.As(err, &e) || e.Code != code || !strings.Contains(err.Error(), cause) {
		r.t.Errorf("%s: %v, want %s because of %q", what, err, code, cause)
	}
}

func clientKey(t *testing.T, path string) jose.JSONWebKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	return jose.JSONWebKey{Key: &key.PublicKey, Algorithm: "ES256", Use: "sig"}
}

func TestARealProviderSignsPeopleIn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := newRelying(t, dir)
	ctx := context.Background()
	back := r.server.URL + "/.sallyport/callback"
	registration := func(id string, more map[string]any) map[string]any {
		c := map[string]any{"client_id": id, "client_secret": id + "-s3cr&t :%", "redirect_uris": []string{back}, "post_logout_redirect_uris": []string{r.server.URL + "/out"},
			"scope": "openid profile email groups"}
		for k, v := range more {
			c[k] = v
		}
		return c
	}
	p := newLoginProvider(t, map[string]any{
		"clients": []any{
			registration("gw", map[string]any{"backchannel_logout_uri": r.server.URL + "/.sallyport/backchannel", "backchannel_logout_session_required": true}),
			registration("keyed", map[string]any{"token_endpoint_auth_method": "private_key_jwt", "jwks": jose.JSONWebKeySet{Keys: []jose.JSONWebKey{clientKey(t, filepath.Join(dir, "client.pem"))}}}),
		},
		"accounts": map[string]any{
			"alice": map[string]any{"preferred_username": "alice", "name": "Alice Ames", "email": "alice@example.com", "email_verified": true, "groups": []string{"staff", "admins"}},
			"bob":   map[string]any{"preferred_username": "bob", "email": "bob@example.com", "email_verified": false},
		},
	})
	provider := func(id string) *model.IdentityProvider {
		return &model.IdentityProvider{Name: id, Type: model.ProviderOIDC, Enabled: true, Issuer: p.issuer, ClientID: id, ClientSecret: id + "-s3cr&t :%",
			RequestScopes: []string{"profile", "email", "groups"}, UserInfo: true}
	}
	gw := provider("gw")
	r.provider = gw

	t.Run("check", func(t *testing.T) {
		rep := r.party.Check(ctx, gw)
		if !rep.OK || !slices.ContainsFunc(rep.Findings, func(f oidc.Finding) bool { return f.About == "client" && f.Level == oidc.LevelGood }) {
			t.Errorf("a good registration: %+v", rep)
		}
		wrong := *gw
		wrong.ClientSecret = "wrong"
		rep = r.party.Check(ctx, &wrong)
		if rep.OK || !strings.Contains(rep.Findings[len(rep.Findings)-1].Says, "refuses the client") {
			t.Errorf("a wrong secret: %+v", rep)
		}
		_, err := r.login(&wrong, "alice")
		r.refuses("a login with a wrong secret", err, model.IdentityUnavailable, "invalid_client")
	})

	alice := r.mustLogin(gw, "alice")
	if alice.Subject != "alice" || alice.SID == "" || alice.Claims["email"] != "alice@example.com" || alice.Claims["email_verified"] != true || fmt.Sprint(alice.Claims["groups"]) != "[staff admins]" || alice.Refresh.IsZero() {
		t.Fatalf("identity %+v", alice)
	}
	if st := r.party.Status(gw); !st.Healthy || len(st.Keys.Keys) != 1 || st.ClockSkew == nil {
		t.Errorf("status %+v", st)
	}
	if again := r.mustLogin(gw, "alice"); again.Subject != "alice" || again.SID != alice.SID {
		t.Errorf("single sign-on gave %+v", again)
	}

	t.Run("refresh", func(t *testing.T) {
		p.account(t, "alice", map[string]any{"preferred_username": "alice", "email": "alice@example.org", "groups": []string{"staff"}})
		next, err := r.party.Refresh(ctx, gw, alice.Keep)
		if err != nil || fmt.Sprint(next.Claims["groups"]) != "[staff]" || next.Claims["email"] != "alice@example.org" || next.Subject != "alice" || next.SID != alice.SID {
			t.Fatalf("%v %+v", err, next)
		}
		p.account(t, "alice", map[string]any{"preferred_username": "alice"})
		next, err = r.party.Refresh(ctx, gw, next.Keep)
		if err != nil || next.Claims["groups"] != nil || next.Claims["email"] != nil {
			t.Fatalf("what is asserted no longer stays: %v %+v", err, next)
		}
		_, err = r.party.Refresh(ctx, gw, alice.Keep)
		r.refuses("a refresh token that was used", err, model.CredentialInvalid, "invalid_grant")
		_, err = r.party.Refresh(ctx, gw, next.Keep)
		r.refuses("the one after it, whose family has ended", err, model.CredentialInvalid, "invalid_grant")
	})

	t.Run("keys rotate", func(t *testing.T) {
		for range 3 {
			kid := p.tell(t, "/test/rotate")
			time.Sleep(60 * time.Millisecond) // the cool-down of this test's keys
			if id := r.mustLogin(gw, "alice"); id.Subject != "alice" {
				t.Errorf("after %s: %+v", kid, id)
			}
		}
		if st := r.party.Status(gw); len(st.Keys.Keys) != 4 {
			t.Errorf("%d keys", len(st.Keys.Keys))
		}
	})

	t.Run("client authentication", func(t *testing.T) {
		keyed := provider("keyed")
		keyed.ClientSecret, keyed.ClientKeyFile = "", "client.pem"
		if rep := r.party.Check(ctx, keyed); !rep.OK {
			t.Errorf("private_key_jwt: %+v", rep)
		}
		id := r.mustLogin(keyed, "alice")
		if next, err := r.party.Refresh(ctx, keyed, id.Keep); err != nil || next.Subject != "alice" {
			t.Errorf("refresh by private_key_jwt: %v %+v", err, next)
		}
		clientKey(t, filepath.Join(dir, "client.pem"))
		_, err := r.login(keyed, "alice")
		r.refuses("another key than the registered one", err, model.IdentityUnavailable, "invalid_client")
	})

	t.Run("a provider that takes secrets in the form alone, and tells scopes in the id token", func(t *testing.T) {
		other := newLoginProvider(t, map[string]any{"idTokenClaims": true, "clientAuth": []string{"client_secret_post"},
			"clients":  []any{registration("post", map[string]any{"token_endpoint_auth_method": "client_secret_post"})},
			"accounts": map[string]any{"carol": map[string]any{"preferred_username": "carol", "groups": []string{"staff"}}}})
		post := provider("post")
		post.Issuer, post.UserInfo = other.issuer, false
		if rep := r.party.Check(ctx, post); !rep.OK {
			t.Errorf("client_secret_post: %+v", rep)
		}
		before := r.surfer
		r.surfer = newSurfer(t, nil) // cookies know no ports
		id := r.mustLogin(post, "carol")
		r.surfer = before
		if id.Subject != "carol" || fmt.Sprint(id.Claims["groups"]) != "[staff]" {
			t.Errorf("%+v", id)
		}
		other.account(t, "carol", map[string]any{"preferred_username": "carol"})
		next, err := r.party.Refresh(ctx, post, id.Keep)
		if err != nil || next.Claims["groups"] != nil || next.Subject != "carol" {
			t.Errorf("%v %+v", err, next)
		}
	})

	t.Run("codes", func(t *testing.T) {
		mine, other := r.attempt(gw), r.attempt(gw)
		d, err := r.party.Begin(ctx, other)
		if err != nil {
			t.Fatal(err)
		}
		pg := r.surfer.get(d.URL)
		u, _ := url.Parse(pg.way[len(pg.way)-1])
		q := u.Query()
		if q.Get("iss") != p.issuer {
			t.Errorf("the provider does not name itself: %s", u)
		}
		_, err = r.party.Finish(ctx, other, &flow.Return{Query: q})
		r.refuses("a code that was used", err, model.CredentialInvalid, "invalid_grant")
		q.Set("state", mine.State)
		_, err = r.party.Finish(ctx, mine, &flow.Return{Query: q})
		r.refuses("a code of another attempt", err, model.CredentialInvalid, "invalid_grant")
	})

	t.Run("logout", func(t *testing.T) {
		id := r.mustLogin(gw, "alice")
		to, _ := url.Parse(r.server.URL + "/out")
		a := r.attempt(gw)
		d, err := r.party.End(ctx, a, id.Keep, to)
		if err != nil || d == nil {
			t.Fatalf("%+v %v", d, err)
		}
		pg := r.surfer.submit(r.surfer.get(d.URL), 0, map[string]string{"logout": "yes"})
		if pg.body != "signed out "+a.State {
			t.Fatalf("at %s: %s", pg.at, pg.body)
		}
		r.mu.Lock()
		ended := r.ended
		r.mu.Unlock()
		if len(ended) != 2 || ended[0].SID != id.SID || ended[0].Subject != "alice" || ended[0].ID != ended[1].ID || ended[0].Until.Before(time.Now()) {
			t.Errorf("the back channel said %+v, the session is %s", ended, id.SID)
		}
		_, err = r.party.Refresh(ctx, gw, id.Keep)
		r.refuses("a refresh after the logout", err, model.CredentialInvalid, "invalid_grant")
		if bob := r.mustLogin(gw, "bob"); bob.Subject != "bob" || bob.SID == id.SID || bob.Claims["email_verified"] != false {
			t.Errorf("the next one is %+v", bob)
		}
	})

	t.Run("declined", func(t *testing.T) {
		r.surfer = newSurfer(t, nil)
		_, err := r.login(gw, "")
		r.refuses("somebody who aborts", err, model.PermissionDenied, "access_denied")
	})

	t.Run("the provider is down", func(t *testing.T) {
		r.surfer = newSurfer(t, nil)
		id := r.mustLogin(gw, "bob")
		fresh := newRelying(t, dir)
		p.kill()
		if _, err := r.party.Begin(ctx, r.attempt(gw)); err != nil {
			t.Errorf("the document that is known does not serve: %v", err)
		}
		_, err := r.party.Refresh(ctx, gw, id.Keep)
		r.refuses("a refresh", err, model.IdentityUnavailable, "token endpoint")
		begin := time.Now()
		_, err = fresh.party.Begin(ctx, fresh.attempt(gw))
		r.refuses("a new login", err, model.IdentityUnavailable, "discovery")
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
		if rep := fresh.party.Check(ctx, gw); rep.OK || rep.Findings[0].Cause != fetch.CauseConnect {
			t.Errorf("check says %+v", rep)
		}
	})
}
