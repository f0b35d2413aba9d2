package login

import (
	"context"
	"errors"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/gate/csrf"
	"github.com/sallyport/sallyport/internal/login/flow"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/session"
	"github.com/sallyport/sallyport/internal/store/sqlite"
)

const home, other = "https://home.example.com", "https://other.example.com"

var key = []byte("0123456789abcdef0123456789abcdef")

// world is a desk over a real store, with a provider that says whatever its test
// wants, and a clock that the test turns.
type world struct {
	*Desk
	t      testing.TB
	mu     sync.Mutex
	now    time.Time
	set    *model.Set
	plan   *gate.Plan
	users  map[string]*directory.Principal
	events []model.Event
	deaf   error          // of the audit log
	front  model.Prefixes // proxies that are trusted
	idp    *provider
}

// provider is a protocol that proves whom it is told to.
type provider struct {
	begun    *flow.Attempt
	identity *flow.Identity
	err      error
	end      *flow.Departure
	ended    *flow.Ended
	ending   *flow.Attempt
}

func (p *provider) Begin(_ context.Context, a *flow.Attempt) (*flow.Departure, error) {
	p.begun = a
	return &flow.Departure{URL: "https://idp.example.com/authorize?state=" + url.QueryEscape(a.State)}, p.err
}

func (p *provider) Finish(context.Context, *flow.Attempt, *flow.Return) (*flow.Identity, error) {
	return p.identity, p.err
}

func (p *provider) End(_ context.Context, a *flow.Attempt, _ []byte, _ *url.URL) (*flow.Departure, error) {
	p.ending = a
	return p.end, nil
}

func (p *provider) Logout(_ context.Context, _ *model.IdentityProvider, token string) (*flow.Ended, error) {
	if token != "good" {
		return nil, model.NewError(model.CredentialInvalid, "The token was not accepted.")
	}
	return p.ended, nil
}

func (w *world) SignIn(_ context.Context, _ *gate.Plan, proof *Proof, _ time.Time) (*gate.SignedIn, error) {
	who := w.users[proof.Subject]
	if who == nil || !who.User.Active {
		return nil, authn.Refusal(model.CredentialInvalid).WithCause(errors.New("nobody"))
	}
	return &gate.SignedIn{Principal: who, Credential: "c1", Proof: proof}, nil
}

func (w *world) Password(_ context.Context, _ *gate.Plan, username, password string, _ time.Time) (*gate.SignedIn, error) {
	if who := w.users[username]; who != nil && password == "right" {
		return &gate.SignedIn{Principal: who, Credential: "c1", Proof: &authn.Proof{Method: "basic", Principal: who}}, nil
	}
	return nil, authn.Refusal(model.CredentialInvalid).WithCause(errors.New("wrong password"))
}

func newWorld(t testing.TB, change func(*model.Set)) *world {
	t.Helper()
	w := &world{t: t, now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), users: map[string]*directory.Principal{}, idp: &provider{}}
	for _, n := range []string{"alice", "bob"} {
		w.users[n] = directory.NewPrincipal(model.User{ID: n, Username: n, DisplayName: n + " <b>", Active: true, Credentials: []model.Credential{{ID: "c1"}}})
	}
	w.set = model.NewSet()
	w.set.Settings.ReverseProxyAuthentication.Enabled = true
	w.set.Services = []model.Service{{Name: "api", Targets: []model.Target{{URL: "http://10.0.0.1"}}}}
	w.set.Services[0].Defaults()
	for _, h := range []string{"home.example.com", "other.example.com", "*.wild.example.com"} {
		r := model.Route{Name: "r" + strings.Trim(strings.ReplaceAll(h, "*", ""), "."), Hosts: []string{h}, Paths: []string{"/"}, Service: "api"}
		r.Defaults()
		w.set.Routes = append(w.set.Routes, r)
	}
	p := model.IdentityProvider{Name: "corp", Type: model.ProviderOIDC, Issuer: "https://idp.example.com", ClientID: "gw", ClientSecret: "secret"}
	p.Defaults()
	w.set.IdentityProviders = []model.IdentityProvider{p}
	if change != nil {
		change(w.set)
	}
	w.compile()
	s, err := sqlite.Open(context.Background(), filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	book, err := session.New(session.Options{Store: s, Key: key, Settings: func() model.Sessions { return w.set.Settings.Sessions },
		Ended: func(string, string) {}, Now: w.clock})
	if err != nil {
		t.Fatal(err)
	}
	external, _ := url.Parse(home)
	w.Desk, err = New(Deps{Sessions: book, Plan: func() *gate.Plan { return w.plan }, Gate: w, CSRF: csrf.New(key), Key: key, External: external, Now: w.clock,
		Protocols: map[model.ProviderType]flow.Protocol{model.ProviderOIDC: w.idp, model.ProviderSAML: w.idp},
		Users:     func(_ context.Context, id string) (*directory.Principal, error) { return w.users[id], nil },
		Record: func(e model.Event) error {
			w.events = append(w.events, e)
			return w.deaf
		}})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) later(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) compile() {
	w.t.Helper()
	plan, faults := gate.Compile(w.set, gate.Env{ID: "test", ExternalURL: home, TrustedProxies: w.front,
		Methods: func(*model.Set) ([]authn.Method, model.Faults) {
			return []authn.Method{named("basic"), named("apiKey"), named("session"), named("signature")}, nil
		}})
	if len(faults) > 0 {
		w.t.Fatal(faults)
	}
	w.plan = plan
}

// named is a method that finds nothing.
type named string

func (n named) Name() string                                            { return string(n) }
func (named) Authenticate(context.Context, *model.Request) authn.Result { return authn.Result{} }

// browser keeps cookies, and follows no redirect by itself.
type browser struct {
	w   *world
	jar *cookiejar.Jar
}

func (w *world) browser() *browser {
	jar, _ := cookiejar.New(nil)
	return &browser{w, jar}
}

func (b *browser) do(method, address string, form url.Values, fields ...string) *httptest.ResponseRecorder {
	b.w.t.Helper()
	r := httptest.NewRequest(method, address, strings.NewReader(form.Encode()))
	r.Header.Set("Accept", "text/html")
	if method == "POST" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", r.URL.Scheme+"://"+r.Host)
	}
	for _, c := range b.jar.Cookies(r.URL) {
		r.AddCookie(c)
	}
	for i := 0; i < len(fields); i += 2 {
		if fields[i+1] == "" {
			r.Header.Del(fields[i])
		} else {
			r.Header.Set(fields[i], fields[i+1])
		}
	}
	h := b.w.Handler(r.URL.Path)
	if h == nil {
		b.w.t.Fatalf("nobody answers %s", r.URL.Path)
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	b.jar.SetCookies(r.URL, rec.Result().Cookies())
	return rec
}

func (b *browser) get(address string, fields ...string) *httptest.ResponseRecorder {
	b.w.t.Helper()
	return b.do("GET", address, nil, fields...)
}

func (b *browser) cookie(address, name string) string {
	u, _ := url.Parse(address)
	for _, c := range b.jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

func (b *browser) plant(address, name, value string) {
	u, _ := url.Parse(address)
	b.jar.SetCookies(u, []*http.Cookie{{Name: name, Value: value, Path: "/", Secure: true}})
}

// begin starts a login at corp and answers its state.
func (b *browser) begin(ret string) string {
	b.w.t.Helper()
	rec := b.get(home + pathLogin + "?return=" + url.QueryEscape(ret))
	to, err := url.Parse(rec.Header().Get("Location"))
	if err != nil || rec.Code != 302 || to.Host != "idp.example.com" {
		b.w.t.Fatalf("no login begins: %d %s", rec.Code, rec.Header().Get("Location"))
	}
	return to.Query().Get("state")
}

func (b *browser) back(state string) *httptest.ResponseRecorder {
	b.w.t.Helper()
	return b.get(home + pathCallback + "?code=x&state=" + url.QueryEscape(state))
}

// signIn is a whole login at corp.
func (b *browser) signIn(subject, ret string) string {
	b.w.t.Helper()
	b.w.idp.identity = &flow.Identity{Subject: subject, SID: "sid-" + newText(6), Claims: map[string]any{"sub": subject}, Issued: b.w.clock(), Keep: []byte("id token")}
	rec := b.back(b.begin(ret))
	if rec.Code != 302 || b.cookie(home, sessionCookie) == "" {
		b.w.t.Fatalf("no login: %d %s", rec.Code, rec.Body)
	}
	return rec.Header().Get("Location")
}

func (b *browser) signedIn(address string) bool {
	u, _ := url.Parse(address)
	r := httptest.NewRequest("GET", address, nil)
	for _, c := range b.jar.Cookies(u) {
		r.AddCookie(c)
	}
	v := &visit{desk: b.w.Desk, r: r, plan: b.w.plan, now: b.w.clock()}
	s, _, err := v.current(r.Context())
	return err == nil && s != nil
}

var csrfField = regexp.MustCompile(`name="csrf" value="([^"]*)"`)

func token(t *testing.T, rec *httptest.ResponseRecorder) string {
	t.Helper()
	m := csrfField.FindStringSubmatch(rec.Body.String())
	if m == nil {
		t.Fatalf("no form: %d %s", rec.Code, rec.Body)
	}
	return m[1]
}

// whichOf names the session that a browser has at a host.
func whichOf(t testing.TB, b *browser, address string) session.Which {
	t.Helper()
	s, err := b.w.Sessions.Find(t.Context(), b.cookie(address, sessionCookie), b.w.clock())
	if err != nil || s == nil {
		t.Fatalf("no session at %s: %v", address, err)
	}
	return session.Which{ID: s.ID}
}
