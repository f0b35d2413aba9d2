//go:build e2e

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// dpopKey is a client's key, and the proofs that it makes (RFC 9449).
type dpopKey struct{ signer jose.Signer }

func newDPoPKey(t testing.TB) *dpopKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{EmbedJWK: true}).WithType("dpop+jwt"))
	if err != nil {
		t.Fatal(err)
	}
	return &dpopKey{s}
}

// proof is the text of a proof for one request; token "" is for the token endpoint.
func (k *dpopKey) proof(t testing.TB, method, u, token string) string {
	t.Helper()
	claims := map[string]any{"jti": rand.Text(), "htm": method, "htu": u, "iat": time.Now().Unix()}
	if token != "" {
		sum := sha256.Sum256([]byte(token))
		claims["ath"] = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	s, err := jwt.Signed(k.signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// boundToken is a token that the provider binds to the key.
func (p *oidcProvider) boundToken(t testing.TB, client, resource string, k *dpopKey) string {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "resource": {resource}, "scope": {"read write"}}
	a, err := exchange(p.client, "POST", p.issuer+"/token", form.Encode(), basic(client, client+"-secret"),
		header("Content-Type", "application/x-www-form-urlencoded"), header("DPoP", k.proof(t, "POST", p.issuer+"/token", "")))
	if err != nil || a.status != 200 {
		t.Fatalf("the provider issues no token: %v %+v", err, a)
	}
	var v struct {
		Token string `json:"access_token"`
		Type  string `json:"token_type"`
	}
	a.into(t, &v)
	if v.Type != "DPoP" {
		t.Fatalf("the provider's token is of the type %q", v.Type)
	}
	return v.Token
}

func TestTokensThatARealProviderBindsToAKeyNeedIt(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		p := newOIDCProvider(t, map[string]any{"gw": map[string]any{}, "reporter": map[string]any{}})
		b := newBackend(t, nil)
		g := start(t, options{engine: engine, resources: withBackend(tokens, b.URL) + fmt.Sprintf(`
identityProviders:
  - {name: tokens, type: jwt, issuer: %q, audiences: [api], roles: [reader]}
  - %s
`, p.issuer, strings.Replace(p.opaque(", provision: jit, mapping: {username: client_id}"), "audiences: [api]", "audiences: [api2]", 1))})
		for _, c := range [][2]string{{"a JWT", "urn:api"}, {"an opaque token", "urn:opaque:api2"}} {
			kind, resource := c[0], c[1]
			key, thief := newDPoPKey(t), newDPoPKey(t)
			token := p.boundToken(t, "reporter", resource, key)
			as := func(method, scheme, proof string) *answer {
				t.Helper()
				mods := []mod{header("Host", "api.example.com"), header("Authorization", scheme+" "+token)}
				if proof != "" {
					mods = append(mods, header("Dpop", proof))
				}
				return g.call(t, method, "/api/x?y=1", "", mods...)
			}
			const u = "https://api.example.com/api/x"
			if kind == "an opaque token" {
				// The name is the JWT's user's already: this provider must not become it.
				as("GET", "DPoP", key.proof(t, "GET", u, token)).expect(t, kind+" of a taken name", 401, "credential_invalid")
				g.must(t, 204, "DELETE", "/v2/users/reporter", "")
			}
			proof := key.proof(t, "GET", u, token)
			a := as("GET", "DPoP", proof)
			a.expect(t, kind+" with its key's proof", 200, "")
			if h := a.asked(t).Header; h.Get("X-User") != "reporter" || h.Get("Authorization") != "" || h.Get("DPoP") != "" {
				t.Errorf("%s: the backend saw %v", kind, h)
			}
			for what, refused := range map[string]*answer{
				"the same proof again":       as("GET", "DPoP", proof),
				"as Bearer":                  as("GET", "Bearer", ""),
				"as Bearer, with a proof":    as("GET", "Bearer", key.proof(t, "GET", u, token)),
				"without a proof":            as("GET", "DPoP", ""),
				"with a thief's proof":       as("GET", "DPoP", thief.proof(t, "GET", u, token)),
				"with a proof for POST":      as("GET", "DPoP", key.proof(t, "POST", u, token)),
				"with a proof for elsewhere": as("GET", "DPoP", key.proof(t, "GET", "https://evil.example.com/api/x", token)),
				"with another token's proof": as("GET", "DPoP", key.proof(t, "GET", u, token+"x")),
			} {
				refused.expect(t, kind+": "+what, 401, "credential_invalid")
				if c := refused.header.Get("WWW-Authenticate"); !strings.Contains(strings.Join(refused.header.Values("WWW-Authenticate"), ", "), "DPoP ") {
					t.Errorf("%s: %s: challenge %q", kind, what, c)
				}
			}
			for range 20 {
				as("GET", "DPoP", key.proof(t, "GET", u, token)).expect(t, kind+" again, with a new proof", 200, "")
			}
			// Called under a name that is nobody's here, a proof may have been made for somebody else.
			elsewhere := g.call(t, "GET", "/api/x", "", header("Host", "evil.example.net"), header("Authorization", "DPoP "+token),
				header("Dpop", key.proof(t, "GET", "https://evil.example.net/api/x", token)))
			elsewhere.expect(t, kind+": passed on from another host", 401, "credential_invalid")
			h2, err := exchange(g.h2, "GET", g.url("/api/x"), "", header("Host", "api.example.com"), header("Authorization", "DPoP "+token), header("Dpop", key.proof(t, "GET", u, token)))
			if err != nil || h2.status != http.StatusOK {
				t.Errorf("%s over HTTP/2: %v %+v", kind, err, h2)
			}
		}
	})
}
