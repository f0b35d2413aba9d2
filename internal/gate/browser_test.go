package gate_test

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/gate/csrf"
	"github.com/sallyport/sallyport/internal/model"
)

// logins are sessions by their cookies.
type logins map[string]*directory.Session

func (l *logins) Find(_ context.Context, cookie string, now time.Time) (*directory.Session, error) {
	if s := (*l)[cookie]; s != nil && s.Runs(now) {
		return s, nil
	}
	return nil, nil
}

const browsing = `
settings: {reverseProxyAuthentication: {enabled: true}, sessions: {passwordLogin: true}}
services: [{name: api, targets: [{url: "http://10.0.0.5:8080"}]}]
roles: [{name: writer, permissions: [{routes: ["*"], methods: ["*"]}]}]
groups: [{name: staff, roles: [writer]}]
routes:
  - {name: any, paths: [/any], service: api}
  - {name: corp, paths: [/corp], service: api, authenticate: {anyOf: [session@corp]}}
  - {name: two, paths: [/two], service: api, authenticate: {anyOf: [session@corp, session@school]}}
  - {name: both, paths: [/both], service: api, authenticate: {allOf: [session, apiKey]}}
  - {name: keys, paths: [/keys], service: api, authenticate: {anyOf: [apiKey]}}
  - {name: open, paths: [/open], service: api, access: public}
  - {name: maybe, paths: [/maybe], service: api, access: optional}
identityProviders:
  - {name: corp, type: oidc, issuer: "https://idp.example.com", clientID: gw, clientSecret: secret}
  - {name: school, type: saml, metadataURL: "https://school.example.com/metadata"}
`

func (w *world) login(cookie, user, provider string) *directory.Session {
	now := time.Now()
	s := &directory.Session{ID: "ses_" + cookie, UserID: user, Provider: provider, Created: now, Expires: now.Add(time.Hour)}
	s.SetIdle(time.Hour)
	s.SetSeen(now)
	if w.logins == nil {
		w.logins = logins{}
	}
	w.logins[cookie] = s
	return s
}

func TestABrowserIsSentToWhereItCanSignIn(t *testing.T) {
	w := newWorld(t, browsing)
	w.login("corps", "1", "corp")
	cookie := "__Host-sallyport=corps"
	for _, c := range []struct {
		request string
		fields  []string
		code    model.Code
		login   string
	}{
		{"GET /any?x=1&y=2", nil, model.CredentialMissing, "/.sallyport/login?return=" + url.QueryEscape("/any?x=1&y=2")},
		{"GET /corp", nil, model.CredentialMissing, "/.sallyport/login?provider=corp&return=%2Fcorp"},
		{"GET /two", nil, model.CredentialMissing, "/.sallyport/login?return=%2Ftwo"},
		{"GET /both", nil, model.CredentialMissing, "/.sallyport/login?return=%2Fboth"},
		{"GET /both", []string{"Cookie", cookie}, model.CredentialMissing, ""}, // or it would come back as it went
		{"GET /both", []string{"X-API-Key", w.key}, model.CredentialMissing, "/.sallyport/login?return=%2Fboth"},
		{"GET /keys", nil, model.CredentialMissing, ""},
		{"GET /any", []string{"Authorization", "Basic !!"}, model.CredentialInvalid, ""},
		{"GET /any", []string{"Cookie", "__Host-sallyport=stale"}, model.CredentialMissing, "/.sallyport/login?return=%2Fany"},
		{"GET /any", []string{"Cookie", "__Host-sallyport=a; __Host-sallyport=b"}, model.CredentialInvalid, ""},
		{"GET /any", []string{"Cookie", cookie}, model.Allowed, ""},
		{"GET /corp", []string{"Cookie", cookie}, model.Allowed, ""},
		{"GET /open", nil, model.Allowed, ""},
		{"GET /maybe", nil, model.Allowed, ""},
	} {
		ex := w.ask(c.request, c.fields...)
		if ex.Code() != c.code || ex.Login != c.login {
			t.Errorf("%s %v: %s, to %q (%s)", c.request, c.fields, ex.Code(), ex.Login, ex.Detail)
		}
	}
	// The session of another provider is good, and not what the route asks for: its
	// person is asked to sign in there, and not refused for good.
	w.login("schools", "1", "school")
	ex := w.ask("GET /corp", "Cookie", "__Host-sallyport=schools")
	if ex.Code() != model.CredentialMissing || ex.Login != "/.sallyport/login?provider=corp&return=%2Fcorp" {
		t.Errorf("another provider's session: %s, to %q", ex.Code(), ex.Login)
	}
}

func TestASessionIsWhatTheBackendHearsOf(t *testing.T) {
	w := newWorld(t, browsing)
	s := w.login("good", "1", "corp")
	ex := w.ask("GET /any", "Cookie", "a=b; __Host-sallyport=good; __Host-sallyport-csrf=x; c=d")
	if ex.Err != nil {
		t.Fatal(ex.Err, ex.Detail)
	}
	if got := sent(ex, "X-Auth-Method"); len(got) != 1 || got[0] != "session" {
		t.Errorf("method %q", got)
	}
	if got := sent(ex, "Cookie"); len(got) != 1 || got[0] != "a=b; c=d" {
		t.Errorf("cookies %q", got)
	}
	claims := map[string]any{}
	token := sent(ex, "X-Sallyport-Assertion")
	if len(token) != 1 {
		t.Fatalf("assertions %q", token)
	}
	parsed, err := jwt.ParseSigned(token[0], []jose.SignatureAlgorithm{jose.ES256})
	if err != nil || parsed.UnsafeClaimsWithoutVerification(&claims) != nil {
		t.Fatal(err)
	}
	if claims["sid"] != s.ID || claims["sub"] != "1" {
		t.Errorf("%v", claims)
	}
	if user, credential := ex.Used(0); user != "" || credential != "" {
		t.Errorf("a session is told as the last use of a credential: %s", credential)
	}
}

// A session always needs the token, whatever the request shows of a browser.
func TestAWriteWithASessionNeedsItsToken(t *testing.T) {
	w := newWorld(t, browsing)
	s, _ := w.login("good", "1", "corp"), w.login("other", "1", "corp")
	token := func(id string) string { return w.csrf.Token(gate.SessionBinding("1", id)) }
	own, others := token(s.ID), token("ses_other")
	for name, c := range map[string]struct {
		code   model.Code
		fields []string
	}{
		"none":                 {model.CSRFFailed, []string{"Cookie", "__Host-sallyport=good"}},
		"the header alone":     {model.CSRFFailed, []string{"Cookie", "__Host-sallyport=good", csrf.Header, own}},
		"the cookie alone":     {model.CSRFFailed, []string{"Cookie", "__Host-sallyport=good; " + csrf.Cookie + "=" + own}},
		"another session's":    {model.CSRFFailed, []string{"Cookie", "__Host-sallyport=good; " + csrf.Cookie + "=" + others, csrf.Header, others}},
		"a made-up pair":       {model.CSRFFailed, []string{"Cookie", "__Host-sallyport=good; " + csrf.Cookie + "=x", csrf.Header, "x"}},
		"both":                 {model.Allowed, []string{"Cookie", "__Host-sallyport=good; " + csrf.Cookie + "=" + own, csrf.Header, own}},
		"both, another origin": {model.OriginRefused, []string{"Cookie", "__Host-sallyport=good; " + csrf.Cookie + "=" + own, csrf.Header, own, "Origin", "https://evil.example"}},
	} {
		if ex := w.ask("POST /any", c.fields...); ex.Code() != c.code {
			t.Errorf("%s: %s", name, ex.Code())
		}
	}
}

func TestWhoSignsInIsResolvedAsEveryCallerIs(t *testing.T) {
	w := newWorld(t, browsing)
	now := time.Now()
	proof := func(provider, subject string) *authn.Proof {
		return &authn.Proof{Method: model.MethodSession, Provider: provider, Subject: subject, Claims: map[string]any{"sub": subject}, Issued: now}
	}
	s, err := w.gate.SignIn(t.Context(), w.plan, proof("corp", "alice"), now)
	if err != nil || s.Principal.User.Username != "alice" || s.Credential != "link-alice" {
		t.Fatalf("%+v %v", s, err)
	}
	for name, p := range map[string]*authn.Proof{"nobody": proof("corp", "mallory"), "no such provider": proof("gone", "alice")} {
		if _, err := w.gate.SignIn(t.Context(), w.plan, p, now); model.AsError(err).Code != model.CredentialInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.people.users["1"].Active = false
	w.directory.Invalidate("1")
	if _, err := w.gate.SignIn(t.Context(), w.plan, proof("corp", "alice"), now); model.AsError(err).Code != model.CredentialInvalid {
		t.Errorf("inactive: %v", err)
	}
}

func TestAPasswordOnAPageIsJudgedAsBasic(t *testing.T) {
	w := newWorld(t, browsing)
	now := time.Now()
	if s, err := w.gate.Password(t.Context(), w.plan, "Alice", "alices", now); err != nil || s.Principal.User.Username != "alice" || s.Credential != "p" {
		t.Errorf("%+v %v", s, err)
	}
	for name, c := range map[string][2]string{"wrong": {"alice", "x"}, "empty": {"alice", ""}, "nobody": {"mallory", "alices"}, "no name": {"", "alices"},
		"a colon in the name": {"alice:alices", ""}, "a name that is too long": {strings.Repeat("a", 5000), "x"}, "controls": {"alice\x00", "alices"}} {
		if _, err := w.gate.Password(t.Context(), w.plan, c[0], c[1], now); model.AsError(err).Code != model.CredentialInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.people.down = true
	if _, err := w.gate.Password(t.Context(), w.plan, "bob", "alices", now); model.AsError(err).Code != model.IdentityUnavailable {
		t.Errorf("the store is away: %v", err)
	}
}

func TestARouteForSessionsNeedsABrowserLogin(t *testing.T) {
	w := newWorld(t, settled)
	for name, document := range map[string]string{
		"no login at all":    "routes: [{name: a, paths: [/], service: s, authenticate: {anyOf: [session]}}]",
		"a provider of jwt":  "identityProviders: [{name: tokens, type: jwt, issuer: \"https://i.example.com\", audiences: [a], keyFile: keys.pem}]\nroutes: [{name: a, paths: [/], service: s, authenticate: {anyOf: [session@tokens]}}]",
		"bearer at an oidc":  "identityProviders: [{name: corp, type: oidc, issuer: \"https://i.example.com\", clientID: a, clientSecret: b}]\nroutes: [{name: a, paths: [/], service: s, authenticate: {anyOf: [bearer@corp]}}]",
		"apiKey at anything": "identityProviders: [{name: corp, type: oidc, issuer: \"https://i.example.com\", clientID: a, clientSecret: b}]\nroutes: [{name: a, paths: [/], service: s, authenticate: {anyOf: [apiKey@corp]}}]",
	} {
		set, faults := parse("services: [{name: s, targets: [{url: \"http://10.0.0.5\"}]}]\n" + document)
		if len(faults) > 0 {
			t.Fatal(name, faults)
		}
		if _, faults := gate.Compile(set, w.env); len(faults) != 1 || faults[0].Path != "routes[0].authenticate" {
			t.Errorf("%s: %v", name, faults)
		}
	}
}
