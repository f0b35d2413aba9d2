package bearer

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/gate/authn/authntest"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/strict"
)

// holder is a client with a key of its own, and tokens that are bound to it.
type holder struct {
	*opaqueWorld
	key   *ecdsa.PrivateKey
	jkt   string
	token string
	n     int
}

func newHolder(t testing.TB) *holder {
	h := &holder{opaqueWorld: newOpaqueWorld(t), key: shared.w.ec}
	h.key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	h.jkt = thumbprint(t, &h.key.PublicKey)
	h.replay = authn.NewReplay(2*ProofAge, 0)
	h.make()
	h.token = h.world.token(t, "cnf", map[string]any{"jkt": h.jkt})
	return h
}

func thumbprint(t testing.TB, pub any) string {
	t.Helper()
	sum, err := (&jose.JSONWebKey{Key: pub}).Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(sum)
}

func publicJWK(t testing.TB, pub any) map[string]any {
	t.Helper()
	b, err := (&jose.JSONWebKey{Key: pub}).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	m, err := strict.Object(b)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// proof is a good one for GET https://api.example.com/orders, but for what is
// changed in its header ("header.x") and claims.
func (h *holder) proof(t testing.TB, token string, change ...any) string {
	t.Helper()
	h.n++
	sum := sha256.Sum256([]byte(token))
	header := map[string]any{"typ": "dpop+jwt", "alg": "ES256", "jwk": publicJWK(t, &h.key.PublicKey)}
	claims := map[string]any{"jti": strings.Repeat("j", 8) + string(rune('A'+h.n%26)) + base64.RawURLEncoding.EncodeToString([]byte{byte(h.n), byte(h.n >> 8)}),
		"htm": "GET", "htu": "https://api.example.com/orders", "iat": h.now.Unix(), "ath": base64.RawURLEncoding.EncodeToString(sum[:])}
	var key any = h.key
	for i := 0; i+1 < len(change); i += 2 {
		name := change[i].(string)
		into := claims
		if rest, ok := strings.CutPrefix(name, "header."); ok {
			name, into = rest, header
		}
		switch {
		case name == "key":
			key = change[i+1]
		case change[i+1] == nil:
			delete(into, name)
		default:
			into[name] = change[i+1]
		}
	}
	return sign(t, header, payload(t, claims), key)
}

func (h *holder) request(fields ...string) *model.Request {
	r := authntest.Request(fields...)
	r.Time, r.Method, r.Host, r.Scheme, r.Target = h.now, "GET", "api.example.com", "https", "/orders?page=2"
	return r
}

func (h *holder) send(r *model.Request) authn.Result {
	return h.method.Authenticate(context.Background(), r)
}

func TestABoundTokenIsTakenWithAProofOfItsKey(t *testing.T) {
	h := newHolder(t)
	h.knows["opaque"] = h.active("cnf", map[string]any{"jkt": h.jkt}, "token_type", "DPoP")
	for _, token := range []string{h.token, "opaque"} {
		for range 3 { // from the cache too, with a new proof each time
			if r := h.send(h.request("Authorization", "DPoP "+token, "DPoP", h.proof(t, token))); r.Outcome != authn.Proven || r.Proof.Subject != "subject-1" {
				t.Fatalf("%+v %s", r, r.Detail)
			}
		}
	}
	if h.calls() != 1 {
		t.Errorf("%d questions", h.calls())
	}
}

func TestProofsAreJudged(t *testing.T) {
	h := newHolder(t)
	now := h.now.Unix()
	other, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	withPrivate := publicJWK(t, &h.key.PublicKey)
	withPrivate["d"] = "AAAA"
	small := map[string]any{"kty": "oct", "k": "AAAA"}
	for name, tc := range map[string]struct {
		change []any
		good   bool
	}{
		"as it should be":                       {nil, true},
		"of another type":                       {[]any{"header.typ", "JWT"}, false},
		"without a type":                        {[]any{"header.typ", nil}, false},
		"alg none":                              {[]any{"header.alg", "none", "key", nil}, false},
		"a symmetric algorithm":                 {[]any{"header.alg", "HS256", "key", []byte("k"), "header.jwk", small}, false},
		"a symmetric algorithm with the EC key": {[]any{"header.alg", "HS256", "key", []byte("k")}, false},
		"an algorithm of another key":           {[]any{"header.alg", "RS256"}, false},
		"without a key":                         {[]any{"header.jwk", nil}, false},
		"with a private key":                    {[]any{"header.jwk", withPrivate}, false},
		"with a key elsewhere":                  {[]any{"header.jku", "https://evil.example.com"}, false},
		"with a certificate":                    {[]any{"header.x5c", []string{"x"}}, false},
		"with a critical extension":             {[]any{"header.crit", []string{"x"}}, false},
		"of another key":                        {[]any{"header.jwk", publicJWK(t, &other.PublicKey), "key", other}, false},
		"signed by another key":                 {[]any{"key", other}, false},
		"for another method":                    {[]any{"htm", "POST"}, false},
		"for the method in lower case":          {[]any{"htm", "get"}, false},
		"for no method":                         {[]any{"htm", nil}, false},
		"for another path":                      {[]any{"htu", "https://api.example.com/other"}, false},
		"for another host":                      {[]any{"htu", "https://evil.example.com/orders"}, false},
		"for another port":                      {[]any{"htu", "https://api.example.com:8443/orders"}, false},
		"for plain HTTP":                        {[]any{"htu", "http://api.example.com/orders"}, false},
		"for a path alone":                      {[]any{"htu", "/orders"}, false},
		"for a host before an at sign":          {[]any{"htu", "https://api.example.com@evil.example.com/orders"}, false},
		"for a user at the host":                {[]any{"htu", "https://u@api.example.com/orders"}, false},
		"with the usual port":                   {[]any{"htu", "https://API.example.com:443/orders"}, true},
		"with a query, which does not count":    {[]any{"htu", "https://api.example.com/orders?page=3#x"}, true},
		"with another encoding of the same":     {[]any{"htu", "https://api.example.com/%6frders"}, true},
		"with an encoded slash":                 {[]any{"htu", "https://api.example.com%2Forders"}, false},
		"without a URL":                         {[]any{"htu", nil}, false},
		"a minute old":                          {[]any{"iat", now - 59}, true},
		"older":                                 {[]any{"iat", now - 61}, false},
		"of a clock that runs ahead":            {[]any{"iat", now + 59}, true},
		"of the future":                         {[]any{"iat", now + 61}, false},
		"without a time":                        {[]any{"iat", nil}, false},
		"with a time as a text":                 {[]any{"iat", "now"}, false},
		"iat 1e300":                             {[]any{"iat", 1e300}, false},
		"expired":                               {[]any{"exp", now - 31}, false},
		"not yet":                               {[]any{"nbf", now + 31}, false},
		"for another token":                     {[]any{"ath", "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"}, false},
		"for no token":                          {[]any{"ath", nil}, false},
		"without an id":                         {[]any{"jti", nil}, false},
		"with an empty id":                      {[]any{"jti", ""}, false},
		"with an id that is no text":            {[]any{"jti", 7}, false},
	} {
		r := h.send(h.request("Authorization", "DPoP "+h.token, "DPoP", h.proof(t, h.token, tc.change...)))
		if (r.Outcome == authn.Proven) != tc.good {
			t.Errorf("%s: %+v %s", name, r.Err, r.Detail)
		}
		if !tc.good && code(r) != model.CredentialInvalid {
			t.Errorf("%s: %q", name, code(r))
		}
	}
}

func TestAProofIsGoodOnce(t *testing.T) {
	h := newHolder(t)
	proof := h.proof(t, h.token)
	ask := func() authn.Result { return h.send(h.request("Authorization", "DPoP "+h.token, "DPoP", proof)) }
	if r := ask(); r.Outcome != authn.Proven {
		t.Fatal(r.Detail)
	}
	for _, later := range []time.Duration{0, 30 * time.Second, 29 * time.Second} {
		h.now = h.now.Add(later)
		if r := ask(); r.Outcome != authn.Bad || !strings.Contains(r.Detail, "before") {
			t.Errorf("it was taken again: %s", r.Detail)
		}
	}
	// A refused proof is not used up: it must not take the place of a good one.
	wrong := h.proof(t, h.token, "jti", "mine", "htm", "POST")
	h.send(h.request("Authorization", "DPoP "+h.token, "DPoP", wrong))
	if r := h.send(h.request("Authorization", "DPoP "+h.token, "DPoP", h.proof(t, h.token, "jti", "mine"))); r.Outcome != authn.Proven {
		t.Error(r.Detail)
	}
	h.replay = authn.NewReplay(2*ProofAge, 1)
	h.make()
	h.send(h.request("Authorization", "DPoP "+h.token, "DPoP", h.proof(t, h.token)))
	if r := h.send(h.request("Authorization", "DPoP "+h.token, "DPoP", h.proof(t, h.token))); code(r) != model.IdentityUnavailable {
		t.Errorf("no room to remember it: %q %s", code(r), r.Detail)
	}
}

func TestAskingAboutAProofDoesNotUseItUp(t *testing.T) {
	h := newHolder(t)
	proof := h.proof(t, h.token)
	ask := func(trial bool) authn.Result {
		r := h.request("Authorization", "DPoP "+h.token, "DPoP", proof)
		r.Trial = trial
		return h.send(r)
	}
	for i, x := range []struct {
		trial bool
		want  authn.Outcome
	}{{true, authn.Proven}, {true, authn.Proven}, {false, authn.Proven}, {true, authn.Bad}, {false, authn.Bad}} {
		if r := ask(x.trial); r.Outcome != x.want {
			t.Errorf("%d, trial %v: %v %s", i, x.trial, r.Outcome, r.Detail)
		}
	}
}

func TestABoundTokenIsWorthNothingWithoutItsKey(t *testing.T) {
	h := newHolder(t)
	plain := h.world.token(t)
	stolen, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	thief := &holder{opaqueWorld: h.opaqueWorld, key: stolen}
	p := h.proof(t, h.token)
	for name, fields := range map[string][]string{
		"as Bearer, without a proof":   {"Authorization", "Bearer " + h.token},
		"as Bearer, with a good proof": {"Authorization", "Bearer " + h.token, "DPoP", h.proof(t, h.token)},
		"without a proof":              {"Authorization", "DPoP " + h.token},
		"with an empty proof":          {"Authorization", "DPoP " + h.token, "DPoP", ""},
		"with a thief's proof":         {"Authorization", "DPoP " + h.token, "DPoP", thief.proof(t, h.token)},
		"with two proofs":              {"Authorization", "DPoP " + h.token, "DPoP", h.proof(t, h.token), "DPoP", h.proof(t, h.token)},
		"with the same proof twice":    {"Authorization", "DPoP " + h.token, "DPoP", p, "DPoP", p},
		"with two proofs in one field": {"Authorization", "DPoP " + h.token, "DPoP", h.proof(t, h.token) + ", " + h.proof(t, h.token)},
		"with a proof of 9 KiB":        {"Authorization", "DPoP " + h.token, "DPoP", h.proof(t, h.token, "filler", strings.Repeat("x", 9<<10))},
		"as both":                      {"Authorization", "DPoP " + h.token, "Authorization", "Bearer " + h.token, "DPoP", h.proof(t, h.token)},
		"an unbound token as DPoP":     {"Authorization", "DPoP " + plain, "DPoP", h.proof(t, plain)},
		"an unknown token as DPoP":     {"Authorization", "DPoP x.y.z", "DPoP", h.proof(t, "x.y.z")},
		"no token":                     {"Authorization", "DPoP", "DPoP", h.proof(t, "")},
	} {
		if r := h.send(h.request(fields...)); r.Outcome != authn.Bad || code(r) != model.CredentialInvalid {
			t.Errorf("%s: %+v", name, r)
		} else if c := h.method.Challenge(r.Err); name != "as both" && !strings.HasPrefix(c, "DPoP ") {
			t.Errorf("%s: challenge %s", name, c)
		}
	}
	if r := h.send(h.request("Authorization", "Bearer "+plain, "DPoP", "rubbish")); r.Outcome != authn.Proven {
		t.Error("a proof that nobody asks for does not matter:", r.Detail)
	}
}

// TestAProofForAnotherHostIsNotPassedOn: whoever is called with a proof under a name
// of his own could send it here with that name as Host.
func TestAProofForAnotherHostIsNotPassedOn(t *testing.T) {
	h := newHolder(t)
	for host, good := range map[string]bool{"evil.example.net": false, "api.example.com": true, "API.example.com:443": true, "": false} {
		r := h.request("Authorization", "DPoP "+h.token, "DPoP", h.proof(t, h.token, "htu", "https://"+host+"/orders"))
		r.Host = host
		if res := h.send(r); (res.Outcome == authn.Proven) != good {
			t.Errorf("%q: %s", host, res.Detail)
		}
	}
}

func TestATokenMayBeBoundTwice(t *testing.T) {
	h := newHolder(t)
	cert := authntest.NewCA(t).Issue(t, x509.Certificate{})
	sum := sha256.Sum256(cert.Raw)
	token := h.world.token(t, "cnf", map[string]any{"jkt": h.jkt, "x5t#S256": base64.RawURLEncoding.EncodeToString(sum[:])})
	for name, tls := range map[string]*model.TLSFacts{"with": {Certificate: cert}, "without": nil} {
		r := h.request("Authorization", "DPoP "+token, "DPoP", h.proof(t, token))
		r.TLS = tls
		if res := h.send(r); (res.Outcome == authn.Proven) != (name == "with") {
			t.Errorf("%s its certificate: %s", name, res.Detail)
		}
	}
}

func TestChallengesOfDPoP(t *testing.T) {
	h := newHolder(t)
	refused := h.send(h.request("Authorization", "DPoP "+h.token))
	if c := h.method.Challenge(refused.Err); c != `DPoP realm="sallyport", algs="`+proofAlgorithms+`", error="invalid_dpop_proof"` {
		t.Error(c)
	}
	expired := h.world.token(t, "cnf", map[string]any{"jkt": h.jkt}, "exp", 1)
	r := h.send(h.request("Authorization", "DPoP "+expired))
	if c := h.method.Challenge(r.Err); code(r) != model.CredentialExpired || !strings.Contains(c, `DPoP realm="sallyport"`) || !strings.Contains(c, "invalid_token") {
		t.Error(c, code(r))
	}
}
