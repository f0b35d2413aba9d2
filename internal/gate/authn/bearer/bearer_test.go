package bearer

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
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/gate/authn/authntest"
	"github.com/sallyport/sallyport/internal/gate/authn/keys"
	"github.com/sallyport/sallyport/internal/model"
)

const (
	issuerURL = "https://idp.example.com"
	keysURL   = "https://idp.example.com/keys"
)

// world is an issuer with a key of each kind, and a method that trusts it.
type world struct {
	rsa      *rsa.PrivateKey
	ec       *ecdsa.PrivateKey
	ec384    *ecdsa.PrivateKey
	ed       ed25519.PrivateKey
	provider model.IdentityProvider
	others   []model.IdentityProvider
	now      time.Time

	mu     sync.Mutex
	set    jose.JSONWebKeySet
	fault  error
	method *Method
	reg    *keys.Registry
}

var shared struct {
	once sync.Once
	w    world
}

func newWorld(t testing.TB) *world {
	t.Helper()
	shared.once.Do(func() { // keys are dear to make
		w := &shared.w
		w.rsa, _ = rsa.GenerateKey(rand.Reader, 2048)
		w.ec, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		w.ec384, _ = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		_, w.ed, _ = ed25519.GenerateKey(rand.Reader)
	})
	w := &world{rsa: shared.w.rsa, ec: shared.w.ec, ec384: shared.w.ec384, ed: shared.w.ed, now: authntest.Time,
		provider: model.IdentityProvider{Name: "tokens", Type: model.ProviderJWT, Enabled: true, Issuer: issuerURL,
			Audiences: []string{"api", "api2"}, JWKSURL: keysURL, Provision: model.ProvisionJIT}}
	w.set.Keys = []jose.JSONWebKey{
		{Key: &w.rsa.PublicKey, KeyID: "rsa", Use: "sig"},
		{Key: &w.ec.PublicKey, KeyID: "ec", Use: "sig"},
		{Key: &w.ec384.PublicKey, KeyID: "ec384", Use: "sig"},
		{Key: w.ed.Public(), KeyID: "ed", Use: "sig"},
	}
	w.reg = keys.NewRegistry(keys.Options{Now: func() time.Time { return w.now }, Patience: 200 * time.Millisecond,
		Fetch: func(context.Context, string) ([]byte, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.fault != nil {
				return nil, w.fault
			}
			return json.Marshal(w.set)
		}})
	t.Cleanup(w.reg.Close)
	return w
}

func (w *world) make() *Method {
	list := append([]model.IdentityProvider{w.provider}, w.others...)
	w.method = New(Deps{Providers: list, Keys: w.reg, Asker: newAsker(nil), Cache: authn.NewCache(1000), Now: func() time.Time { return w.now }})
	return w.method
}

func (w *world) claims(change ...any) map[string]any {
	c := map[string]any{"iss": issuerURL, "aud": "api", "sub": "subject-1", "exp": w.now.Add(time.Hour).Unix(),
		"iat": w.now.Unix(), "preferred_username": "alice"}
	for i := 0; i+1 < len(change); i += 2 {
		if change[i+1] == nil {
			delete(c, change[i].(string))
			continue
		}
		c[change[i].(string)] = change[i+1]
	}
	return c
}

// sign makes a token as an issuer would, with any header and payload.
func sign(t testing.TB, header map[string]any, payload []byte, key any) string {
	t.Helper()
	h, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	return signRaw(t, string(h), payload, header["alg"], key)
}

func signRaw(t testing.TB, header string, payload []byte, alg, key any) string {
	t.Helper()
	e := base64.RawURLEncoding
	in := e.EncodeToString([]byte(header)) + "." + e.EncodeToString(payload)
	return in + "." + e.EncodeToString(signature(t, []byte(in), alg, key))
}

func signature(t testing.TB, in []byte, alg, key any) (sig []byte) {
	t.Helper()
	sum := sha256.Sum256(in)
	var err error
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if alg == "PS256" {
			sig, err = rsa.SignPSS(rand.Reader, k, crypto.SHA256, sum[:], nil)
		} else {
			sig, err = rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, sum[:])
		}
	case *ecdsa.PrivateKey:
		n := (k.Curve.Params().BitSize + 7) / 8
		digest := sum[:]
		if n == 48 {
			h := crypto.SHA384.New()
			h.Write(in)
			digest = h.Sum(nil)
		}
		r, s, e := ecdsa.Sign(rand.Reader, k, digest)
		if e != nil {
			t.Fatal(e)
		}
		sig = append(r.FillBytes(make([]byte, n)), s.FillBytes(make([]byte, n))...)
	case ed25519.PrivateKey:
		sig = ed25519.Sign(k, in)
	case []byte:
		m := hmac.New(sha256.New, k)
		m.Write(in)
		sig = m.Sum(nil)
	case nil:
	}
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

func payload(t testing.TB, c map[string]any) []byte {
	t.Helper()
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// token is a good one but for what is changed in its claims.
func (w *world) token(t testing.TB, change ...any) string {
	t.Helper()
	return sign(t, map[string]any{"alg": "ES256", "kid": "ec", "typ": "JWT"}, payload(t, w.claims(change...)), w.ec)
}

func bearer(token string) *model.Request {
	return authntest.Request("Authorization", "Bearer "+token)
}

func (w *world) ask(token string) authn.Result {
	r := bearer(token)
	r.Time = w.now
	return w.method.Authenticate(context.Background(), r)
}

func code(r authn.Result) model.Code {
	if r.Err == nil {
		return ""
	}
	return r.Err.Code
}

func TestBearerKeepsTheContract(t *testing.T) {
	w := newWorld(t)
	good := w.token(t)
	request := func(fields ...string) func(testing.TB) *model.Request {
		return func(testing.TB) *model.Request { return authntest.Request(fields...) }
	}
	bad := func(token string) func(testing.TB) *model.Request { return request("Authorization", "Bearer "+token) }
	inQuery := func(testing.TB) *model.Request {
		r := authntest.Request("Content-Type", "application/x-www-form-urlencoded")
		r.Target = "/?access_token=" + good
		return r
	}
	authntest.Run(t, authntest.Suite{
		Method: func(testing.TB) authn.Method { return w.make() },
		Good:   request("Authorization", "Bearer "+good),
		Absent: map[string]func(testing.TB) *model.Request{
			"Basic":                   request("Authorization", "Basic YTpi"),
			"a token in the query":    inQuery,
			"a token in other fields": request("X-Forwarded-Access-Token", good, "Cookie", "token="+good),
		},
		Bad: map[string]func(testing.TB) *model.Request{
			"an opaque token":         bad("2YotnFZFEjr1zCsicMWpAA"),
			"a token cut off":         bad(good[:len(good)-10]),
			"a token without its end": bad(good[:strings.LastIndex(good, ".")+1]),
			"a token with four parts": bad(good + ".x"),
			"no token":                bad(""),
			"a plain token as DPoP":   request("Authorization", "DPoP "+good),
			"a token of either kind":  request("Authorization", "Bearer "+good, "Authorization", "DPoP "+good),
			"two different tokens":    request("Authorization", "Bearer "+good, "Authorization", "Bearer "+w.token(t, "sub", "other")),
			"a token of another signer": bad(sign(t, map[string]any{"alg": "ES256", "kid": "ec"}, payload(t, w.claims()), func() any {
				k, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
				return k
			}())),
			"a changed claim under an old signature": bad(func() string {
				p := strings.Split(good, ".")
				p[1] = base64.RawURLEncoding.EncodeToString(payload(t, w.claims("sub", "admin")))
				return strings.Join(p, ".")
			}()),
			"a token of 17 KiB": bad(w.token(t, "filler", strings.Repeat("x", 17<<10))),
		},
		Secrets: []string{good, good[strings.LastIndex(good, ".")+1:]},
	})
}

// TestTheKeyDecidesTheAlgorithm is the matrix of algorithm confusion: every key of
// the issuer with every algorithm that a token may claim (CVE-2026-22817,
// CVE-2026-22818, CVE-2026-44699).
func TestTheKeyDecidesTheAlgorithm(t *testing.T) {
	w := newWorld(t)
	w.make()
	good := map[string][]string{"rsa": {"RS256", "PS256"}, "ec": {"ES256"}, "ec384": {"ES384"}, "ed": {"EdDSA"}}
	private := map[string]any{"rsa": w.rsa, "ec": w.ec, "ec384": w.ec384, "ed": w.ed}
	for kid, key := range private {
		for _, alg := range []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519",
			"HS256", "HS384", "HS512", "none", "None", "NONE", "nOnE", "", "RS1", "ES256K", "dir", "rs256"} {
			want := authn.Bad
			for _, a := range good[kid] {
				if a == alg {
					want = authn.Proven
				}
			}
			tok := sign(t, map[string]any{"alg": alg, "kid": kid}, payload(t, w.claims()), key)
			if r := w.ask(tok); r.Outcome != want || want == authn.Bad && code(r) != model.CredentialInvalid {
				t.Errorf("key %s, alg %q: outcome %d %s", kid, alg, r.Outcome, r.Detail)
			}
			unsigned := sign(t, map[string]any{"alg": alg, "kid": kid}, payload(t, w.claims()), nil)
			if r := w.ask(unsigned); r.Outcome != authn.Bad {
				t.Errorf("key %s, alg %q, without a signature: outcome %d", kid, alg, r.Outcome)
			}
		}
	}
}

// TestAPublicKeyIsNoSharedSecret forges with everything an attacker has: the
// public keys in each spelling, and the empty secret.
func TestAPublicKeyIsNoSharedSecret(t *testing.T) {
	w := newWorld(t)
	w.make()
	spki, _ := x509.MarshalPKIXPublicKey(&w.rsa.PublicKey)
	jwkText, _ := json.Marshal(w.set.Keys[0])
	secrets := map[string][]byte{
		"PEM SPKI":   pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}),
		"PEM PKCS1":  pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&w.rsa.PublicKey)}),
		"DER":        spki,
		"modulus":    w.rsa.N.Bytes(),
		"JWK":        jwkText,
		"empty":      {},
		"the kid":    []byte("rsa"),
		"zero bytes": make([]byte, 32),
	}
	for name, secret := range secrets {
		for _, alg := range []string{"HS256", "hs256", "RS256", "none"} {
			for _, kid := range []any{"rsa", "", nil, "../../dev/null", "' OR 1=1"} {
				h := map[string]any{"alg": alg}
				if kid != nil {
					h["kid"] = kid
				}
				if r := w.ask(sign(t, h, payload(t, w.claims()), secret)); r.Outcome != authn.Bad || code(r) != model.CredentialInvalid {
					t.Errorf("%s as the secret of %s, kid %v: outcome %d", name, alg, kid, r.Outcome)
				}
			}
		}
	}
}

// TestTokensDoNotBringTheirKeys: header parameters by which a token would name or
// carry the key that it is verified with, or change how it is read.
func TestTokensDoNotBringTheirKeys(t *testing.T) {
	w := newWorld(t)
	w.make()
	mine, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	own, _ := json.Marshal(jose.JSONWebKey{Key: &mine.PublicKey, KeyID: "ec"})
	var jwk map[string]any
	json.Unmarshal(own, &jwk)
	for name, extra := range map[string]map[string]any{
		"an embedded key":            {"jwk": jwk},
		"the address of a key set":   {"jku": "https://evil.example.com/keys"},
		"the address of its own set": {"jku": keysURL},
		"the address of a chain":     {"x5u": "https://evil.example.com/chain"},
		"a chain":                    {"x5c": []string{"AAAA"}},
		"critical extensions":        {"crit": []string{"exp"}, "exp": 1},
		"an empty list of critical":  {"crit": []string{}},
		"an unencoded payload":       {"b64": false},
		"compression":                {"zip": "DEF"},
		"encryption":                 {"enc": "A128GCM"},
		"null in place of a key":     {"jwk": nil},
	} {
		for signer, key := range map[string]any{"the attacker": mine, "the issuer": w.ec} {
			h := map[string]any{"alg": "ES256", "kid": "ec"}
			maps.Copy(h, extra)
			if r := w.ask(sign(t, h, payload(t, w.claims()), key)); r.Outcome != authn.Bad {
				t.Errorf("%s, signed by %s: outcome %d", name, signer, r.Outcome)
			}
		}
	}
}

func TestOnlyAccessTokensAreTaken(t *testing.T) {
	w := newWorld(t)
	w.make()
	for typ, want := range map[any]authn.Outcome{
		"JWT": authn.Proven, "jwt": authn.Proven, "at+jwt": authn.Proven, "application/at+jwt": authn.Proven, "absent": authn.Proven, nil: authn.Bad,
		"logout+jwt": authn.Bad, "dpop+jwt": authn.Bad, "secevent+jwt": authn.Bad, "JOSE": authn.Bad, "": authn.Bad, 7: authn.Bad, "id+jwt": authn.Bad,
	} {
		h := map[string]any{"alg": "ES256", "kid": "ec", "typ": typ}
		if typ == "absent" {
			delete(h, "typ")
		}
		if r := w.ask(sign(t, h, payload(t, w.claims()), w.ec)); r.Outcome != want {
			t.Errorf("typ %v: outcome %d %s", typ, r.Outcome, r.Detail)
		}
	}
	untyped := w.token(t, "events", map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}})
	if r := w.ask(untyped); r.Outcome != authn.Bad {
		t.Error("a logout token without a type opens the door")
	}
}

// TestClaimsAreJudged: GHSA-wcvh-g65p-v576 (aud and iss), and the numeric forms of
// mod_auth_openidc's hardening of 2026.
func TestClaimsAreJudged(t *testing.T) {
	w := newWorld(t)
	w.make()
	at := func(d time.Duration) int64 { return w.now.Add(d).Unix() }
	const invalid, expired = model.CredentialInvalid, model.CredentialExpired
	for _, tc := range []struct {
		name   string
		change []any
		want   model.Code
	}{
		{"a good token", nil, ""},
		{"a list of audiences with ours", []any{"aud", []string{"x", "api"}}, ""},
		{"two audiences of ours", []any{"aud", []string{"api", "api2"}}, ""},
		{"another audience", []any{"aud", "other"}, invalid},
		{"a list without ours", []any{"aud", []string{"a", "b"}}, invalid},
		{"no audience", []any{"aud", nil}, invalid},
		{"an empty list of audiences", []any{"aud", []string{}}, invalid},
		{"an audience that only begins like ours", []any{"aud", "api/"}, invalid},
		{"an audience in another case", []any{"aud", "API"}, invalid},
		{"an audience that is a number", []any{"aud", 1}, invalid},
		{"audiences with an object among them", []any{"aud", []any{"api", map[string]any{}}}, invalid},
		{"another issuer", []any{"iss", "https://evil.example.com"}, invalid},
		{"the issuer with a slash", []any{"iss", issuerURL + "/"}, invalid},
		{"the issuer in a list", []any{"iss", []string{issuerURL}}, invalid},
		{"no issuer", []any{"iss", nil}, invalid},
		{"no subject", []any{"sub", nil}, invalid},
		{"an empty subject", []any{"sub", ""}, invalid},
		{"a subject that is a number", []any{"sub", 1}, invalid},
		{"a subject with a control character", []any{"sub", "a\x00b"}, invalid},
		{"a subject of 513 bytes", []any{"sub", strings.Repeat("a", 513)}, invalid},
		{"no exp", []any{"exp", nil}, invalid},
		{"expired", []any{"exp", at(-time.Minute)}, expired},
		{"expired within the skew", []any{"exp", at(-29 * time.Second)}, ""},
		{"expired at the end of the skew", []any{"exp", at(-30 * time.Second)}, expired},
		{"exp of 1970", []any{"exp", 1}, expired},
		{"exp of zero", []any{"exp", 0}, expired},
		{"exp with a fraction", []any{"exp", float64(at(time.Hour)) + 0.5}, ""},
		{"exp as a float", []any{"exp", json.RawMessage("1.9e9")}, ""},
		{"exp of 1e300", []any{"exp", json.RawMessage("1e300")}, invalid},
		{"exp of 1e999", []any{"exp", json.RawMessage("1e999")}, invalid},
		{"exp below zero", []any{"exp", -1}, invalid},
		{"exp of minus zero", []any{"exp", json.RawMessage("-0")}, expired},
		{"exp beyond 64 bits", []any{"exp", json.RawMessage("18446744073709551616")}, invalid},
		{"exp in milliseconds", []any{"exp", at(time.Hour) * 1000}, invalid},
		{"exp as a text", []any{"exp", "1900000000"}, invalid},
		{"exp as null", []any{"exp", json.RawMessage("null")}, invalid},
		{"exp as a list", []any{"exp", []int{1}}, invalid},
		{"exp as true", []any{"exp", true}, invalid},
		{"nbf in the past", []any{"nbf", at(-time.Hour)}, ""},
		{"nbf within the skew", []any{"nbf", at(30 * time.Second)}, ""},
		{"nbf in the future", []any{"nbf", at(31 * time.Second)}, invalid},
		{"nbf as a text", []any{"nbf", "0"}, invalid},
		{"iat within the skew", []any{"iat", at(30 * time.Second)}, ""},
		{"iat in the future", []any{"iat", at(31 * time.Second)}, invalid},
		{"iat of 1e300", []any{"iat", json.RawMessage("1e300")}, invalid},
		{"no iat", []any{"iat", nil}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := w.ask(w.token(t, tc.change...))
			if code(r) != tc.want || (tc.want == "") != (r.Outcome == authn.Proven) {
				t.Errorf("code %q, outcome %d: %s", code(r), r.Outcome, r.Detail)
			}
		})
	}
}

func TestJSONIsReadStrictly(t *testing.T) {
	w := newWorld(t)
	w.make()
	good := string(payload(t, w.claims()))
	inner := good[1 : len(good)-1]
	head := `{"alg":"ES256","kid":"ec"}`
	for name, tc := range map[string]struct{ header, payload string }{
		"sub twice":                       {head, `{"sub":"admin",` + inner + `}`},
		"sub twice, once escaped":         {head, `{"\u0073ub":"admin",` + inner + `}`},
		"aud twice":                       {head, `{` + inner + `,"aud":"other"}`},
		"a nested name twice":             {head, `{` + inner + `,"x":{"roles":["a"],"roles":["b"]}}`},
		"alg twice":                       {`{"alg":"none","alg":"ES256","kid":"ec"}`, good},
		"kid twice":                       {`{"alg":"ES256","kid":"rsa","kid":"ec"}`, good},
		"something behind the claims":     {head, good + `{}`},
		"something behind the header":     {head + ` x`, good},
		"claims in a list":                {head, `[` + good + `]`},
		"claims that are a text":          {head, `"x"`},
		"no claims":                       {head, `null`},
		"a comma too many":                {head, `{` + inner + `,}`},
		"bytes that are not UTF-8":        {head, `{` + inner + `,"x":"` + "\xff" + `"}`},
		"half a surrogate in the subject": {head, strings.Replace(good, `"subject-1"`, `"\ud800"`, 1)},
		"half a surrogate in the kid":     {`{"alg":"ES256","kid":"\ud800"}`, good},
		"deep nesting":                    {head, `{` + inner + `,"x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`},
		"a header that is a list":         {`["ES256"]`, good},
		"alg that is a list":              {`{"alg":["ES256"],"kid":"ec"}`, good},
		"kid that is a number":            {`{"alg":"ES256","kid":7}`, good},
		"names in another case":           {`{"ALG":"ES256","kid":"ec"}`, good},
	} {
		if r := w.ask(signRaw(t, tc.header, []byte(tc.payload), "ES256", w.ec)); r.Outcome != authn.Bad || code(r) != model.CredentialInvalid {
			t.Errorf("%s: outcome %d", name, r.Outcome)
		}
	}
}

// TestOneTokenHasOneSpelling: what decodes to the same bytes by a lenient reader
// is another token, and refused.
func TestOneTokenHasOneSpelling(t *testing.T) {
	w := newWorld(t)
	w.make()
	good := w.token(t)
	if r := w.ask(good); r.Outcome != authn.Proven {
		t.Fatal(r.Detail)
	}
	p := strings.Split(good, ".")
	last := p[2][len(p[2])-1]
	alphabet := "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	stray := p[2][:len(p[2])-1] + string(alphabet[strings.IndexByte(alphabet, last)^1]) // 64 bytes leave 4 stray bits
	for name, tok := range map[string]string{
		"stray bits":           p[0] + "." + p[1] + "." + stray,
		"padding":              p[0] + "." + p[1] + "." + p[2] + "==",
		"the other alphabet":   p[0] + "." + p[1] + "." + strings.NewReplacer("-", "+", "_", "/").Replace(p[2]) + "+",
		"an empty part":        p[0] + ".." + p[2],
		"a JSON serialisation": `{"payload":"` + p[1] + `","protected":"` + p[0] + `","signature":"` + p[2] + `"}`,
	} {
		if r := w.ask(tok); r.Outcome != authn.Bad {
			t.Errorf("%s: outcome %d", name, r.Outcome)
		}
	}
}

func TestProvidersLimitAlgorithmsAndMayWaiveClaims(t *testing.T) {
	w := newWorld(t)
	w.provider.Algorithms = []string{"RS256"}
	w.make()
	if r := w.ask(w.token(t)); r.Outcome != authn.Bad {
		t.Error("an algorithm that the provider does not list is accepted")
	}
	if r := w.ask(sign(t, map[string]any{"alg": "RS256", "kid": "rsa"}, payload(t, w.claims()), w.rsa)); r.Outcome != authn.Proven {
		t.Errorf("the one it lists is not: %s", r.Detail)
	}
	w.provider.Algorithms, w.provider.AllowMissing = nil, []string{"exp", "aud"}
	w.make()
	if r := w.ask(w.token(t, "exp", nil, "aud", nil)); r.Outcome != authn.Proven || !r.Proof.Expires.IsZero() {
		t.Errorf("what may be missing may not: %s", r.Detail)
	}
	if r := w.ask(w.token(t, "aud", "other")); r.Outcome != authn.Bad {
		t.Error("an audience that may be missing may be another's")
	}
	if r := w.ask(w.token(t, "exp", w.now.Add(-time.Hour).Unix())); code(r) != model.CredentialExpired {
		t.Error("an exp that may be missing may have passed")
	}
}

// TestDisabledProvidersVouchForNobody: CVE-2026-2603, a disabled provider that
// still let its users in.
func TestDisabledProvidersVouchForNobody(t *testing.T) {
	w := newWorld(t)
	m := w.make()
	tok := w.token(t)
	if r := w.ask(tok); r.Outcome != authn.Proven {
		t.Fatal(r.Detail)
	}
	w.provider.Enabled = false
	off := New(Deps{Providers: []model.IdentityProvider{w.provider}, Keys: w.reg, Asker: newAsker(nil), Cache: m.cache, Now: m.now}) // the same cache
	if r := off.Authenticate(context.Background(), bearer(tok)); r.Outcome != authn.Bad || code(r) != model.CredentialInvalid {
		t.Errorf("outcome %d", r.Outcome)
	}
}

// TestProofsEndWithTheConfigurationTheyWereMadeUnder: CVE-2026-33496 and
// CVE-2021-32701, cache keys that lacked what the answer depended on.
func TestProofsEndWithTheConfigurationTheyWereMadeUnder(t *testing.T) {
	w := newWorld(t)
	m := w.make()
	tok := w.token(t)
	w.ask(tok)
	w.provider.Audiences = []string{"another"}
	changed := New(Deps{Providers: []model.IdentityProvider{w.provider}, Keys: w.reg, Asker: newAsker(nil), Cache: m.cache, Now: m.now})
	if r := changed.Authenticate(context.Background(), bearer(tok)); r.Outcome != authn.Bad {
		t.Error("a cached proof outlived the audience it was made for")
	}
	if r := m.Authenticate(context.Background(), bearer(tok)); r.Outcome != authn.Proven {
		t.Error("a request under the old configuration is judged by the new one")
	}
}

func TestTheProviderIsChosenByIssuerAndAudience(t *testing.T) {
	w := newWorld(t)
	second := w.provider
	second.Name, second.Audiences = "second", []string{"billing"}
	w.others = []model.IdentityProvider{second, {Name: "edge", Type: model.ProviderTrustedHeader, Enabled: true}}
	w.make()
	if r := w.ask(w.token(t, "aud", "billing")); r.Outcome != authn.Proven || r.Proof.Provider != "second" {
		t.Errorf("%+v", r)
	}
	if r := w.ask(w.token(t, "aud", []string{"billing", "api"})); r.Outcome != authn.Bad {
		t.Error("a token for two providers was given to one of them")
	}
}

func TestOverlapsAreFaults(t *testing.T) {
	p := func(name, issuer string, audiences ...string) model.IdentityProvider {
		return model.IdentityProvider{Name: name, Type: model.ProviderJWT, Issuer: issuer, Audiences: audiences}
	}
	anyAudience := model.IdentityProvider{Name: "any", Type: model.ProviderJWT, Issuer: "i", AllowMissing: []string{"aud"}}
	optional := p("o", "i", "z")
	optional.AllowMissing = []string{"aud"}
	for _, tc := range []struct {
		name string
		list []model.IdentityProvider
		n    int
	}{
		{"different issuers", []model.IdentityProvider{p("a", "i", "x"), p("b", "j", "x")}, 0},
		{"different audiences", []model.IdentityProvider{p("a", "i", "x"), p("b", "i", "y")}, 0},
		{"one audience in common", []model.IdentityProvider{p("a", "i", "x", "y"), p("b", "i", "y", "z")}, 1},
		{"one without audiences", []model.IdentityProvider{p("a", "i", "x"), anyAudience}, 1},
		{"two that may lack it", []model.IdentityProvider{optional, anyAudience}, 1},
		{"one that may lack it", []model.IdentityProvider{p("a", "i", "x"), optional}, 0},
		{"three alike", []model.IdentityProvider{p("a", "i", "x"), p("b", "i", "x"), p("c", "i", "x")}, 3},
		{"another type", []model.IdentityProvider{p("a", "i", "x"), {Name: "edge", Type: model.ProviderTrustedHeader, Issuer: "i", Audiences: []string{"x"}}}, 0},
	} {
		if f := Overlap(tc.list); len(f) != tc.n {
			t.Errorf("%s: %v", tc.name, f)
		}
	}
}

func TestCachedTokensEndWithTheirExpiry(t *testing.T) {
	w := newWorld(t)
	w.make()
	tok := w.token(t)
	r := bearer(tok)
	r.Time = w.now
	if res := w.method.Authenticate(context.Background(), r); res.Outcome != authn.Proven {
		t.Fatal(res.Detail)
	}
	r.Time = w.now.Add(time.Hour + skew - 1)
	if res := w.method.Authenticate(context.Background(), r); res.Outcome != authn.Proven {
		t.Errorf("within the skew: %s", res.Detail)
	}
	r.Time = w.now.Add(time.Hour + skew)
	if res := w.method.Authenticate(context.Background(), r); code(res) != model.CredentialExpired {
		t.Errorf("afterwards: %+v", res)
	}
}

func TestCachedTokensEndWithTheirKey(t *testing.T) {
	w := newWorld(t)
	w.make()
	tok := w.token(t)
	w.ask(tok)
	w.mu.Lock()
	w.set.Keys = w.set.Keys[:1]
	w.mu.Unlock()
	w.now = w.now.Add(time.Minute)
	w.ask(sign(t, map[string]any{"alg": "ES256", "kid": "unknown"}, payload(t, w.claims()), w.ec)) // has the keys fetched
	if r := w.ask(tok); r.Outcome != authn.Bad || code(r) != model.CredentialInvalid {
		t.Errorf("outcome %d", r.Outcome)
	}
}

func TestAnUnknownKeyIsWrongOnlyIfTheIssuerSaidSo(t *testing.T) {
	w := newWorld(t)
	w.make()
	unknown := sign(t, map[string]any{"alg": "ES256", "kid": "rotated"}, payload(t, w.claims()), w.ec)
	if r := w.ask(unknown); code(r) != model.CredentialInvalid {
		t.Errorf("the issuer has no such key: %+v", r)
	}
	w.mu.Lock()
	w.fault = errors.New("down")
	w.mu.Unlock()
	w.now = w.now.Add(time.Minute)
	if r := w.ask(unknown); code(r) != model.IdentityUnavailable {
		t.Errorf("nobody can tell: %+v", r)
	}
	if r := w.ask(w.token(t)); r.Outcome != authn.Proven {
		t.Errorf("a known key while the issuer is down: %s", r.Detail)
	}
}

func TestTokensWithoutKidAreTriedWithEveryFittingKey(t *testing.T) {
	w := newWorld(t)
	w.make()
	if r := w.ask(sign(t, map[string]any{"alg": "EdDSA"}, payload(t, w.claims()), w.ed)); r.Outcome != authn.Proven {
		t.Error(r.Detail)
	}
}

func TestScopesNarrowOnlyWhereTheProviderSaysSo(t *testing.T) {
	w := newWorld(t)
	w.make()
	if r := w.ask(w.token(t, "scope", "reader")); r.Proof == nil || r.Proof.Narrow {
		t.Errorf("%+v", r.Proof)
	}
	w.provider.Scopes = "narrow"
	w.make()
	for name, tc := range map[string]struct {
		change []any
		want   string
	}{
		"a text":           {[]any{"scope", "reader  orders:GET"}, "reader orders:GET"},
		"a list":           {[]any{"scope", []string{"reader", "", "x"}}, "reader x"},
		"scp":              {[]any{"scp", []string{"reader"}}, "reader"},
		"none":             {nil, ""},
		"neither of these": {[]any{"scope", 7}, ""},
	} {
		r := w.ask(w.token(t, tc.change...))
		if r.Proof == nil || !r.Proof.Narrow || strings.Join(r.Proof.Scopes, " ") != tc.want {
			t.Errorf("%s: %+v", name, r.Proof)
		}
	}
}

func TestSenderConstraintsAreEnforced(t *testing.T) {
	w := newWorld(t)
	w.make()
	ca := authntest.NewCA(t)
	mine, other := ca.Issue(t, x509.Certificate{}), ca.Issue(t, x509.Certificate{})
	sum := sha256.Sum256(mine.Raw)
	print := base64.RawURLEncoding.EncodeToString(sum[:])
	tok := w.token(t, "cnf", map[string]any{"x5t#S256": print})
	ask := func(tok string, tls *model.TLSFacts) authn.Outcome {
		r := bearer(tok)
		r.TLS = tls
		return w.method.Authenticate(context.Background(), r).Outcome
	}
	for range 2 { // from the cache too
		for name, tc := range map[string]struct {
			tls  *model.TLSFacts
			want authn.Outcome
		}{
			"its certificate":                   {&model.TLSFacts{Certificate: mine}, authn.Proven},
			"another certificate":               {&model.TLSFacts{Certificate: other}, authn.Bad},
			"no certificate":                    {&model.TLSFacts{}, authn.Bad},
			"no TLS":                            {nil, authn.Bad},
			"a certificate that did not verify": {&model.TLSFacts{Certificate: mine, CertificateFault: "expired"}, authn.Bad},
		} {
			if got := ask(tok, tc.tls); got != tc.want {
				t.Errorf("%s: outcome %d", name, got)
			}
		}
	}
	tls := &model.TLSFacts{Certificate: mine}
	for name, cnf := range map[string]any{
		"DPoP, and no proof":   map[string]any{"jkt": "x"},
		"both":                 map[string]any{"jkt": "x", "x5t#S256": print},
		"an empty constraint":  map[string]any{},
		"an empty fingerprint": map[string]any{"x5t#S256": ""},
		"no object":            "x",
		"null":                 json.RawMessage("null"),
	} {
		if ask(w.token(t, "cnf", cnf), tls) != authn.Bad {
			t.Errorf("%s is met", name)
		}
	}
}

func TestChallengeNamesAnErrorOnlyWhereATokenWasSent(t *testing.T) {
	w := newWorld(t)
	m := w.make()
	const plain = `Bearer realm="sallyport"`
	if c := m.Challenge(nil); c != plain {
		t.Error(c)
	}
	if c := m.Challenge(authn.Refusal(model.CredentialMissing)); c != plain {
		t.Error(c)
	}
	if c := m.Challenge(authn.Refusal(model.CredentialInvalid)); c != plain {
		t.Errorf("of another method: %s", c)
	}
	if c := m.Challenge(w.ask("x.y.z").Err); c != plain+`, error="invalid_token"` {
		t.Error(c)
	}
	if c := m.Challenge(w.ask(w.token(t, "exp", 1)).Err); !strings.HasPrefix(c, plain+`, error="invalid_token"`) {
		t.Error(c)
	}
}

func BenchmarkRepeated(b *testing.B) {
	w := newWorld(b)
	m := w.make()
	r := authntest.Request("Accept", "*/*", "User-Agent", "curl", "Authorization", "Bearer "+w.token(b, "filler", strings.Repeat("x", 500)))
	b.ReportAllocs()
	for b.Loop() {
		if res := m.Authenticate(context.Background(), r); res.Outcome != authn.Proven {
			b.Fatal(res.Detail)
		}
	}
}

func BenchmarkFirstES256(b *testing.B) {
	w := newWorld(b)
	m := w.make()
	r := bearer(w.token(b))
	for b.Loop() {
		m.cache.Drop()
		if res := m.Authenticate(context.Background(), r); res.Outcome != authn.Proven {
			b.Fatal(res.Detail)
		}
	}
}
