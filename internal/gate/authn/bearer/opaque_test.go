package bearer

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/gate/authn/authntest"
	"github.com/sallyport/sallyport/internal/gate/authn/introspection"
	"github.com/sallyport/sallyport/internal/model"
)

type post = func(ctx context.Context, url, authorization string, form url.Values) ([]byte, error)

func newAsker(p post) *introspection.Registry {
	return introspection.NewRegistry(introspection.Options{Post: p, Now: func() time.Time { return authntest.Time }})
}

// opaqueWorld is a world with an introspection endpoint that knows some tokens.
type opaqueWorld struct {
	*world
	endpoints []model.IdentityProvider
	cache     *authn.Cache
	asker     *introspection.Registry
	replay    *authn.Replay

	mu     sync.Mutex
	knows  map[string]map[string]any // by token, for every endpoint
	at     map[string]map[string]any // by endpoint's host and token, before knows
	raw    string                    // answered in place of anything
	fault  error
	asked  []string // hosts
	tokens []string
}

func newOpaqueWorld(t testing.TB) *opaqueWorld {
	o := &opaqueWorld{world: newWorld(t), knows: map[string]map[string]any{}, at: map[string]map[string]any{}, cache: authn.NewCache(1000)}
	o.endpoints = []model.IdentityProvider{{Name: "opaque", Type: model.ProviderIntrospection, Enabled: true, Endpoint: "https://a.example.com/introspect",
		ClientID: "gw", ClientSecret: "s", Audiences: []string{"api"}, Provision: model.ProvisionJIT}}
	o.asker = introspection.NewRegistry(introspection.Options{Now: func() time.Time { return o.now }, Post: o.post})
	o.make()
	return o
}

func (o *opaqueWorld) make() *Method {
	o.method = New(Deps{Providers: append([]model.IdentityProvider{o.provider}, o.endpoints...), Keys: o.reg, Asker: o.asker,
		Cache: o.cache, Hosts: authn.NewHosts("https://api.example.com", nil), Replay: o.replay, Now: func() time.Time { return o.now }})
	return o.method
}

func (o *opaqueWorld) post(_ context.Context, u, _ string, form url.Values) ([]byte, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	host := strings.Split(u, "/")[2]
	token := form.Get("token")
	o.asked, o.tokens = append(o.asked, host), append(o.tokens, token)
	if o.fault != nil {
		return nil, o.fault
	}
	if o.raw != "" {
		return []byte(o.raw), nil
	}
	claims := o.at[host+" "+token]
	if claims == nil {
		claims = o.knows[token]
	}
	if claims == nil {
		claims = map[string]any{"active": false}
	}
	return json.Marshal(claims)
}

func (o *opaqueWorld) calls() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.asked)
}

// active are the claims of a good token, but for what is changed.
func (o *opaqueWorld) active(change ...any) map[string]any {
	return o.claims(append([]any{"active", true, "client_id", "app", "token_type", "Bearer"}, change...)...)
}

const opaqueToken = "2YotnFZFEjr1zCsicMWpAA"

func TestOpaqueTokensKeepTheContract(t *testing.T) {
	o := newOpaqueWorld(t)
	o.knows[opaqueToken] = o.active()
	o.knows["elsewhere"] = o.active("aud", "other")
	request := func(fields ...string) func(testing.TB) *model.Request {
		return func(testing.TB) *model.Request { return authntest.Request(fields...) }
	}
	bad := func(token string) func(testing.TB) *model.Request { return request("Authorization", "Bearer "+token) }
	authntest.Run(t, authntest.Suite{
		Method: func(testing.TB) authn.Method {
			o.cache.Drop()
			return o.make()
		},
		Good:   request("Authorization", "Bearer "+opaqueToken),
		Absent: map[string]func(testing.TB) *model.Request{"Basic": request("Authorization", "Basic YTpi")},
		Bad: map[string]func(testing.TB) *model.Request{
			"an unknown token":           bad("unknown"),
			"a token for somebody else":  bad("elsewhere"),
			"no token":                   bad(""),
			"two different tokens":       request("Authorization", "Bearer "+opaqueToken, "Authorization", "Bearer unknown"),
			"what is no token by syntax": bad("a\x00b"),
			"two tokens in one field":    bad(opaqueToken + ", Bearer unknown"),
			"a token of 5 KiB":           bad(strings.Repeat("x", 5<<10)),
		},
		Secrets: []string{opaqueToken},
	})
}

func TestIntrospectionAnswersAreJudged(t *testing.T) {
	o := newOpaqueWorld(t)
	o.endpoints[0].Issuer = issuerURL
	o.make()
	now := o.now.Unix()
	for name, tc := range map[string]struct {
		change []any
		want   model.Code
	}{
		"a good answer":                            {nil, ""},
		"inactive":                                 {[]any{"active", false}, model.CredentialInvalid},
		"no word of active":                        {[]any{"active", nil}, model.IdentityUnavailable},
		"active as a text":                         {[]any{"active", "true"}, model.IdentityUnavailable},
		"active as a number":                       {[]any{"active", 1}, model.IdentityUnavailable},
		"another issuer":                           {[]any{"iss", "https://evil.example.com"}, model.CredentialInvalid},
		"no issuer":                                {[]any{"iss", nil}, model.CredentialInvalid},
		"one of several audiences":                 {[]any{"aud", []string{"x", "api"}}, ""},
		"another audience":                         {[]any{"aud", "x"}, model.CredentialInvalid},
		"no audience (GHSA-wcvh-g65p-v576)":        {[]any{"aud", nil}, model.CredentialInvalid},
		"an audience that is no text":              {[]any{"aud", 7}, model.CredentialInvalid},
		"expired":                                  {[]any{"exp", now - 31}, model.CredentialExpired},
		"expired within the skew":                  {[]any{"exp", now - 29}, ""},
		"no exp":                                   {[]any{"exp", nil}, ""},
		"exp as a text":                            {[]any{"exp", "tomorrow"}, model.CredentialInvalid},
		"exp 1e300":                                {[]any{"exp", 1e300}, model.CredentialInvalid},
		"not yet":                                  {[]any{"nbf", now + 31}, model.CredentialInvalid},
		"issued in the future":                     {[]any{"iat", now + 31}, model.CredentialInvalid},
		"a refresh token":                          {[]any{"token_type", "refresh_token"}, model.CredentialInvalid},
		"a refresh token as Hydra says it":         {[]any{"token_use", "refresh_token"}, model.CredentialInvalid},
		"an access token as Hydra says it":         {[]any{"token_use", "access_token", "token_type", "access_token"}, ""},
		"without a type":                           {[]any{"token_type", nil}, ""},
		"a type that is no text":                   {[]any{"token_type", 5}, model.CredentialInvalid},
		"DPoP without a key":                       {[]any{"token_type", "DPoP"}, model.CredentialInvalid},
		"bound to a key and sent as Bearer":        {[]any{"token_type", "DPoP", "cnf", map[string]any{"jkt": "x"}}, model.CredentialInvalid},
		"bound to a certificate that is not shown": {[]any{"cnf", map[string]any{"x5t#S256": "x"}}, model.CredentialInvalid},
		"a security event":                         {[]any{"events", map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}}, model.CredentialInvalid},
		"nobody":                                   {[]any{"sub", nil, "client_id", nil}, model.CredentialInvalid},
		"an empty sub":                             {[]any{"sub", "", "client_id", nil}, model.CredentialInvalid},
		"an empty sub beside a username":           {[]any{"sub", "", "username", "bob"}, model.CredentialInvalid},
		"a sub that is no text":                    {[]any{"sub", 5, "username", "bob"}, model.CredentialInvalid},
		"a sub with controls":                      {[]any{"sub", "a\nb"}, model.CredentialInvalid},
	} {
		token := "t" + base64.RawURLEncoding.EncodeToString([]byte(name))
		o.knows[token] = o.active(tc.change...)
		if r := o.ask(token); code(r) != tc.want {
			t.Errorf("%s: %q %s", name, code(r), r.Detail)
		}
	}
}

func TestBrokenAnswersAreUnavailableAndNeverWrong(t *testing.T) {
	for name, raw := range map[string]string{
		"an HTML page":              "<html>",
		"nothing":                   " ",
		"a list":                    `[{"active":true}]`,
		"active twice":              `{"active":false,"active":true,"sub":"s","aud":"api"}`,
		"something behind the end":  `{"active":false} {"active":true}`,
		"null":                      "null",
		"a JWT in the place (9701)": "eyJhbGciOiJub25lIn0.e30.",
	} {
		o := newOpaqueWorld(t)
		o.raw = raw
		if r := o.ask("token"); code(r) != model.IdentityUnavailable {
			t.Errorf("%s: %q %s", name, code(r), r.Detail)
		}
	}
}

func TestWhoATokenIsOf(t *testing.T) {
	o := newOpaqueWorld(t)
	for name, tc := range map[string]struct {
		change        []any
		subject, user string
	}{
		"sub counts first":                  {[]any{"sub", "s1", "username", "bob", "preferred_username", nil}, "s1", "bob"},
		"a mapped name is left":             {[]any{"sub", "s1", "username", "bob"}, "s1", "alice"},
		"sub alone":                         {[]any{"sub", "s1", "preferred_username", nil}, "s1", "s1"},
		"username, where there is no sub":   {[]any{"sub", nil, "username", "bob", "preferred_username", nil}, "username:bob", "bob"},
		"the client, where there is nobody": {[]any{"sub", nil, "preferred_username", nil}, "client:app", "app"},
	} {
		token := "w" + base64.RawURLEncoding.EncodeToString([]byte(name))
		o.knows[token] = o.active(tc.change...)
		r := o.ask(token)
		if r.Outcome != authn.Proven || r.Proof.Subject != tc.subject || r.Proof.Claims["sub"] != tc.subject {
			t.Errorf("%s: %+v %s", name, r.Proof, r.Detail)
			continue
		}
		m, _ := authn.CompileMapping(&o.endpoints[0], "")
		if who, err := m.Outside(r.Proof); err != nil || who.Username != tc.user {
			t.Errorf("%s: username %q %v", name, who.Username, err)
		}
	}
}

// TestOnlyTokensThatAreNotJWTsAreSentToAnybody: SPEC 9. A JWT, however broken, is
// judged by its signature alone.
func TestOnlyTokensThatAreNotJWTsAreSentToAnybody(t *testing.T) {
	o := newOpaqueWorld(t)
	e := base64.RawURLEncoding.EncodeToString
	good := o.token(t)
	for name, token := range map[string]string{
		"a good JWT":                 good,
		"a JWT cut off":              good[:len(good)-9],
		"alg none":                   e([]byte(`{"alg":"none"}`)) + "." + e(payload(t, o.claims())) + ".",
		"a JWT of four parts":        good + ".x",
		"an encrypted JWT":           e([]byte(`{"alg":"dir","enc":"A128GCM"}`)) + ".a.b.c.d",
		"white space before":         e([]byte(" \n\t{\"alg\":\"none\"}")) + ".a.b",
		"only white space":           e([]byte(strings.Repeat(" ", 100)+`{"alg":"none"}`)) + ".a.b",
		"a header broken off":        e([]byte(`{"alg":"ES256"`)) + "!!.a.b",
		"a header of another issuer": e([]byte(`{"alg":"ES256","kid":"z"}`)) + "." + e([]byte(`{"iss":"https://z"}`)) + ".AAAA",
	} {
		o.knows[token] = o.active()
		r := o.ask(token)
		if o.calls() != 0 {
			t.Fatalf("%s was sent away", name)
		}
		if (r.Outcome == authn.Proven) != (name == "a good JWT") {
			t.Errorf("%s: outcome %d", name, r.Outcome)
		}
	}
	for _, token := range []string{"opaque", "v1.local.abc", "hvs.CAESI", "eyJub2RvdCI6MX0", ".a.b", "e.y.J", "ya29.a0Af-_/+=="} {
		o.knows[token] = o.active()
		if r := o.ask(token); r.Outcome != authn.Proven {
			t.Errorf("%s: %s", token, r.Detail)
		}
	}
}

func TestAnAnswerServesForThirtySecondsAndNoLonger(t *testing.T) {
	o := newOpaqueWorld(t)
	o.knows[opaqueToken] = o.active()
	o.knows["short"] = o.active("exp", o.now.Add(-25*time.Second).Unix())
	for range 100 {
		if r := o.ask(opaqueToken); r.Outcome != authn.Proven {
			t.Fatal(r.Detail)
		}
	}
	if o.calls() != 1 {
		t.Errorf("100 requests made %d calls", o.calls())
	}
	delete(o.knows, opaqueToken) // revoked there
	o.now = o.now.Add(Positive - time.Second)
	if r := o.ask(opaqueToken); r.Outcome != authn.Proven {
		t.Error(r.Detail)
	}
	o.now = o.now.Add(time.Second)
	if r := o.ask(opaqueToken); code(r) != model.CredentialInvalid {
		t.Errorf("a revoked token serves after %v: %s", Positive, r.Detail)
	}
	// A refusal is remembered too, for five seconds.
	n := o.calls()
	for range 100 {
		o.ask(opaqueToken)
	}
	if o.calls() != n {
		t.Errorf("100 repetitions of a refused token made %d calls", o.calls()-n)
	}
	o.knows[opaqueToken] = o.active()
	o.now = o.now.Add(5 * time.Second)
	if r := o.ask(opaqueToken); r.Outcome != authn.Proven {
		t.Errorf("a token that has become good is still refused: %s", r.Detail)
	}
}

func TestAnAnswerEndsWithItsToken(t *testing.T) {
	o := newOpaqueWorld(t)
	o.knows["short"] = o.active("exp", o.now.Add(-25*time.Second).Unix()) // the skew leaves five seconds
	if r := o.ask("short"); r.Outcome != authn.Proven {
		t.Fatal(r.Detail)
	}
	o.now = o.now.Add(6 * time.Second)
	if r := o.ask("short"); code(r) != model.CredentialExpired {
		t.Errorf("%q %s", code(r), r.Detail)
	}
}

// TestAnswersEndWithTheConfigurationTheyWereGivenUnder: CVE-2026-33496 and
// CVE-2021-32701, introspection caches whose keys lacked the issuer and the scope.
func TestAnswersEndWithTheConfigurationTheyWereGivenUnder(t *testing.T) {
	for name, change := range map[string]func(*model.IdentityProvider){
		"another audience":         func(p *model.IdentityProvider) { p.Audiences = []string{"other"} },
		"an issuer":                func(p *model.IdentityProvider) { p.Issuer = "https://other.example.com" },
		"another endpoint":         func(p *model.IdentityProvider) { p.Endpoint = "https://b.example.com/introspect" },
		"disabled (CVE-2026-2603)": func(p *model.IdentityProvider) { p.Enabled = false },
	} {
		o := newOpaqueWorld(t)
		o.at["a.example.com "+opaqueToken] = o.active()
		old := o.method
		if r := o.ask(opaqueToken); r.Outcome != authn.Proven {
			t.Fatal(r.Detail)
		}
		change(&o.endpoints[0])
		o.make() // over the same cache
		if r := o.ask(opaqueToken); code(r) != model.CredentialInvalid {
			t.Errorf("%s: outcome %d", name, r.Outcome)
		}
		if r := old.Authenticate(context.Background(), bearer(opaqueToken)); r.Outcome == authn.Bad && name != "another endpoint" {
			t.Errorf("%s: a request under the old configuration is judged by the new one: %s", name, r.Detail)
		}
	}
}

func TestAProviderThatIsDownIs503AndNever401(t *testing.T) {
	o := newOpaqueWorld(t)
	o.knows[opaqueToken] = o.active()
	o.knows["other"] = o.active()
	o.ask(opaqueToken)
	o.fault = errors.New("connection refused")
	for range 10 {
		if r := o.ask("other"); code(r) != model.IdentityUnavailable || r.Err.RetryAfter == 0 {
			t.Fatalf("%q %s", code(r), r.Detail)
		}
	}
	if o.calls() != 4 {
		t.Errorf("%d calls: a provider that is down is asked by every request", o.calls())
	}
	if r := o.ask(opaqueToken); r.Outcome != authn.Proven {
		t.Error("a token whose answer is known is refused:", r.Detail)
	}
	if r := o.ask(o.token(t)); r.Outcome != authn.Proven {
		t.Error("JWTs do not need the provider:", r.Detail)
	}
	o.fault = nil
	o.now = o.now.Add(6 * time.Second)
	if r := o.ask("other"); r.Outcome != authn.Proven {
		t.Error(r.Detail)
	}
}

func TestSeveralProvidersAreAskedInOrderOfName(t *testing.T) {
	o := newOpaqueWorld(t)
	first := o.endpoints[0]
	first.Name, first.Endpoint = "a-first", "https://first.example.com/introspect"
	off := first
	off.Name, off.Endpoint, off.Enabled = "a-disabled", "https://off.example.com/introspect", false
	o.endpoints = append(o.endpoints, first, off)
	o.make()
	o.at["a.example.com mine"] = o.active("sub", "second")
	o.at["first.example.com both"], o.at["a.example.com both"] = o.active("sub", "first"), o.active("sub", "second")
	o.at["first.example.com elsewhere"], o.at["a.example.com elsewhere"] = o.active("aud", "x"), o.active("sub", "second")
	for token, want := range map[string]string{"mine": "second", "both": "first", "elsewhere": "second"} {
		if r := o.ask(token); r.Outcome != authn.Proven || r.Proof.Subject != want {
			t.Errorf("%s: %+v %s", token, r.Proof, r.Detail)
		}
	}
	for _, host := range o.asked {
		if host == "off.example.com" {
			t.Error("a disabled provider was asked")
		}
	}
	if o.asked[0] != "first.example.com" {
		t.Errorf("asked %v", o.asked)
	}
}

func TestWhatOneProviderCannotSayTheNextMay(t *testing.T) {
	o := newOpaqueWorld(t)
	second := o.endpoints[0]
	second.Name, second.Endpoint = "z", "https://z.example.com/introspect"
	o.endpoints = append(o.endpoints, second)
	o.asker = introspection.NewRegistry(introspection.Options{Now: func() time.Time { return o.now },
		Post: func(ctx context.Context, u, authorization string, form url.Values) ([]byte, error) {
			if strings.Contains(u, "a.example.com") {
				return nil, errors.New("down")
			}
			return o.post(ctx, u, authorization, form)
		}})
	o.make()
	o.knows["known"] = o.active()
	if r := o.ask("known"); r.Outcome != authn.Proven || r.Proof.Provider != "z" {
		t.Errorf("%s", r.Detail)
	}
	if r := o.ask("unknown"); code(r) != model.IdentityUnavailable {
		t.Errorf("nobody can say that the token is wrong: %q", code(r))
	}
}

func TestManyRequestsWithOneNewTokenAskOnce(t *testing.T) {
	o := newOpaqueWorld(t)
	var calls atomic.Int32
	release := make(chan struct{})
	o.asker = newAsker(func(context.Context, string, string, url.Values) ([]byte, error) {
		calls.Add(1)
		<-release
		return json.Marshal(o.active())
	})
	o.make()
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if r := o.method.Authenticate(context.Background(), bearer(opaqueToken)); r.Outcome != authn.Proven {
				t.Error(r.Detail)
			}
		})
	}
	time.Sleep(20 * time.Millisecond)
	close(release)
	wg.Wait()
	if calls.Load() != 1 {
		t.Errorf("50 requests at once made %d calls", calls.Load())
	}
}

func TestScopesOfOpaqueTokensNarrowOnlyWhereTheProviderSaysSo(t *testing.T) {
	o := newOpaqueWorld(t)
	o.knows[opaqueToken] = o.active("scope", "reader orders:GET")
	if r := o.ask(opaqueToken); r.Proof == nil || r.Proof.Narrow {
		t.Fatal(r.Detail)
	}
	o.endpoints[0].Scopes = "narrow"
	o.make()
	if r := o.ask(opaqueToken); r.Proof == nil || !r.Proof.Narrow || len(r.Proof.Scopes) != 2 {
		t.Errorf("%+v", r.Proof)
	}
}

func TestIntrospectionProvidersThatCannotBeToldApartAreAFault(t *testing.T) {
	a := model.IdentityProvider{Name: "a", Type: model.ProviderIntrospection, Endpoint: "https://x/i", Audiences: []string{"api", "b"}}
	b := a
	b.Name = "b"
	if f := Overlap([]model.IdentityProvider{a, b}); len(f) != 1 || !strings.Contains(f[0].Message, `for "api"`) {
		t.Errorf("%v", f)
	}
	for name, change := range map[string]func(*model.IdentityProvider){
		"other audiences": func(p *model.IdentityProvider) { p.Audiences = []string{"c"} },
		"other endpoint":  func(p *model.IdentityProvider) { p.Endpoint = "https://y/i" },
	} {
		c := b
		change(&c)
		if f := Overlap([]model.IdentityProvider{a, c}); len(f) != 0 {
			t.Errorf("%s: %v", name, f)
		}
	}
}
