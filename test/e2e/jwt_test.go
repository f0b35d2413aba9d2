//go:build e2e

package e2e

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func jwtPart(v any) string {
	if s, ok := v.(string); ok {
		return b64([]byte(s))
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b64(b)
}

// minter signs tokens as a test likes them, right or wrong.
type minter struct {
	rsa *rsa.PrivateKey
	ec  *ecdsa.PrivateKey
}

func newMinter(t testing.TB) *minter {
	t.Helper()
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &minter{r, e}
}

func (m *minter) jwks() string {
	point, err := m.ec.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	return jsonText(map[string]any{"keys": []any{
		map[string]any{"kty": "RSA", "kid": "r", "alg": "RS256", "use": "sig", "n": b64(m.rsa.N.Bytes()), "e": b64(big.NewInt(int64(m.rsa.E)).Bytes())},
		map[string]any{"kty": "EC", "kid": "e", "use": "sig", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])},
	}})
}

func (m *minter) publicPEM() []byte {
	der, err := x509.MarshalPKIXPublicKey(&m.rsa.PublicKey)
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func (m *minter) rs256(head, claims any) string {
	text := jwtPart(head) + "." + jwtPart(claims)
	sum := sha256.Sum256([]byte(text))
	sig, err := rsa.SignPKCS1v15(rand.Reader, m.rsa, crypto.SHA256, sum[:])
	if err != nil {
		panic(err)
	}
	return text + "." + b64(sig)
}

func (m *minter) es256(head, claims any) string {
	text := jwtPart(head) + "." + jwtPart(claims)
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, m.ec, sum[:])
	if err != nil {
		panic(err)
	}
	sig := make([]byte, 64)
	r.FillBytes(sig[:32])
	s.FillBytes(sig[32:])
	return text + "." + b64(sig)
}

func hs256(key []byte, head, claims any) string {
	text := jwtPart(head) + "." + jwtPart(claims)
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return text + "." + b64(h.Sum(nil))
}

// The attacks on JWT that the field has seen, by their kind: CVE-2026-22817,
// CVE-2026-44699, GHSA-wcvh-g65p-v576 and their like.
func TestNoForgedTokenIsBelieved(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		m, stranger := newMinter(t), newMinter(t)
		b := newBackend(t, nil)
		dir := t.TempDir()
		keys := write(t, filepath.Join(dir, "keys.json"), m.jwks())
		g := start(t, options{engine: engine, resources: withBackend(tokens, b.URL) + fmt.Sprintf(`
identityProviders: [{name: tokens, type: jwt, issuer: "https://idp.example.com", audiences: [api, other-api], keyFile: %q, roles: [reader]}]
`, keys)})
		now := time.Now().Unix()
		good := map[string]any{"iss": "https://idp.example.com", "aud": "api", "sub": "carol", "exp": now + 600, "iat": now}
		but := func(changes map[string]any) map[string]any {
			c := maps.Clone(good)
			for k, v := range changes {
				if v == nil {
					delete(c, k)
				} else {
					c[k] = v
				}
			}
			return c
		}
		r, e := map[string]any{"alg": "RS256", "kid": "r"}, map[string]any{"alg": "ES256", "kid": "e"}
		for name, token := range map[string]string{
			"RS256": m.rs256(r, good), "ES256": m.es256(e, good), "RS256 without kid": m.rs256(map[string]any{"alg": "RS256"}, good),
			"typ at+jwt": m.es256(map[string]any{"alg": "ES256", "kid": "e", "typ": "at+jwt"}, good), "several audiences": m.rs256(r, but(map[string]any{"aud": []string{"x", "api"}})),
			"expired within the skew": m.rs256(r, but(map[string]any{"exp": now - 10})), "issued a moment ahead": m.rs256(r, but(map[string]any{"iat": now + 10, "nbf": now + 10})),
			"a fraction of a second": m.rs256(r, but(map[string]any{"exp": float64(now) + 600.5})),
		} {
			a := g.call(t, "GET", "/api", "", bearer(token))
			if a.status != 200 || a.asked(t).Header.Get("X-User") != "carol" {
				t.Errorf("a good token (%s): %d %s", name, a.status, a.body)
			}
		}
		g.call(t, "GET", "/api", "", header("Authorization", "bEARER "+m.rs256(r, good))).expect(t, "a scheme is spelt as one likes", 200, "")

		none := func(alg string) string { return jwtPart(map[string]any{"alg": alg}) + "." + jwtPart(good) + "." }
		jwk := map[string]any{"kty": "RSA", "n": b64(stranger.rsa.N.Bytes()), "e": "AQAB"}
		rs := m.rs256(r, good)
		parts := strings.Split(rs, ".")
		before := len(b.saw())
		for name, token := range map[string]string{
			"alg none": none("none"), "alg None": none("None"), "alg nOnE": none("nOnE"), "no alg": jwtPart(map[string]any{}) + "." + jwtPart(good) + ".", "alg empty": none(""),
			"alg none with a signature":             jwtPart(map[string]any{"alg": "none", "kid": "r"}) + "." + parts[1] + "." + parts[2],
			"no signature":                          parts[0] + "." + parts[1] + ".",
			"two parts":                             parts[0] + "." + parts[1],
			"four parts":                            rs + "." + parts[2],
			"five parts":                            rs + ".a.b",
			"HS256 with the public key as secret":   hs256(m.publicPEM(), map[string]any{"alg": "HS256", "kid": "r"}, good),
			"HS256 with the modulus as secret":      hs256(m.rsa.N.Bytes(), map[string]any{"alg": "HS256", "kid": "r"}, good),
			"HS256 with an empty secret":            hs256(nil, map[string]any{"alg": "HS256", "kid": "r"}, good),
			"HS256 with the key set as secret":      hs256([]byte(m.jwks()), map[string]any{"alg": "HS256"}, good),
			"a key that the token brings along":     stranger.rs256(map[string]any{"alg": "RS256", "jwk": jwk}, good),
			"the same under a known kid":            stranger.rs256(map[string]any{"alg": "RS256", "kid": "r", "jwk": jwk}, good),
			"a key at a URL that the token names":   stranger.rs256(map[string]any{"alg": "RS256", "kid": "r", "jku": "http://127.0.0.1:1/jwks", "x5u": "http://127.0.0.1:1/x"}, good),
			"a certificate that the token brings":   stranger.rs256(map[string]any{"alg": "RS256", "kid": "r", "x5c": []string{"MIIB"}}, good),
			"another's signature":                   stranger.rs256(r, good),
			"an unknown kid":                        stranger.rs256(map[string]any{"alg": "RS256", "kid": "x"}, good),
			"a kid that is a path":                  stranger.rs256(map[string]any{"alg": "RS256", "kid": "../../../../dev/null"}, good),
			"a kid that is a number":                m.rs256(map[string]any{"alg": "RS256", "kid": 1}, good),
			"the key of another algorithm":          m.rs256(map[string]any{"alg": "RS256", "kid": "e"}, good),
			"an algorithm that its key does not do": m.rs256(map[string]any{"alg": "PS256", "kid": "r"}, good),
			"a critical header nobody knows":        m.rs256(map[string]any{"alg": "RS256", "kid": "r", "crit": []string{"exp"}, "exp": 1}, good),
			"a payload that is not encoded (b64)":   m.rs256(map[string]any{"alg": "RS256", "kid": "r", "crit": []string{"b64"}, "b64": false}, good),
			"an encrypted one, whose text may be a zip bomb (mod_auth_openidc 2026)": jwtPart(map[string]any{"alg": "RSA-OAEP", "enc": "A256GCM", "zip": "DEF"}) + ".a.b.c.d",
			"a detached payload":            parts[0] + ".." + parts[2],
			"a changed payload":             parts[0] + "." + jwtPart(but(map[string]any{"sub": "bob"})) + "." + parts[2],
			"a zero signature of ES256":     strings.Join(strings.Split(m.es256(e, good), ".")[:2], ".") + "." + b64(make([]byte, 64)),
			"a short signature of ES256":    strings.Join(strings.Split(m.es256(e, good), ".")[:2], ".") + "." + b64([]byte{1}),
			"expired":                       m.rs256(r, but(map[string]any{"exp": now - 60})),
			"no exp":                        m.rs256(r, but(map[string]any{"exp": nil})),
			"exp as a text":                 m.rs256(r, but(map[string]any{"exp": fmt.Sprint(now + 600)})),
			"exp beyond all numbers":        m.rs256(r, `{"iss":"https://idp.example.com","aud":"api","sub":"carol","exp":1e300}`),
			"exp negative":                  m.rs256(r, but(map[string]any{"exp": -1})),
			"exp null":                      m.rs256(r, `{"iss":"https://idp.example.com","aud":"api","sub":"carol","exp":null}`),
			"not valid yet":                 m.rs256(r, but(map[string]any{"nbf": now + 300})),
			"issued in the future":          m.rs256(r, but(map[string]any{"iat": now + 300})),
			"another issuer":                m.rs256(r, but(map[string]any{"iss": "https://evil.example"})),
			"an issuer with a slash more":   m.rs256(r, but(map[string]any{"iss": "https://idp.example.com/"})),
			"an issuer in other letters":    m.rs256(r, but(map[string]any{"iss": "https://IDP.example.com"})),
			"no issuer":                     m.rs256(r, but(map[string]any{"iss": nil})),
			"another audience":              m.rs256(r, but(map[string]any{"aud": "payroll"})),
			"an audience that begins alike": m.rs256(r, but(map[string]any{"aud": "api2"})),
			"no audience":                   m.rs256(r, but(map[string]any{"aud": nil})),
			"an empty audience":             m.rs256(r, but(map[string]any{"aud": []string{}})),
			"an audience that is an object": m.rs256(r, but(map[string]any{"aud": map[string]any{"api": 1}})),
			"no subject":                    m.rs256(r, but(map[string]any{"sub": nil})),
			"an empty subject":              m.rs256(r, but(map[string]any{"sub": ""})),
			"a subject that is a number":    m.rs256(r, but(map[string]any{"sub": 7})),
			"a claim twice":                 m.rs256(r, `{"iss":"https://idp.example.com","aud":"payroll","aud":"api","sub":"carol","exp":9999999999}`),
			"a claim in other letters":      m.rs256(r, `{"iss":"https://idp.example.com","AUD":"api","sub":"carol","exp":9999999999}`),
			"a header twice":                m.rs256(`{"alg":"none","alg":"RS256","kid":"r"}`, good),
			"a payload that is a list":      m.rs256(r, `[]`),
			"a payload that is no JSON":     m.rs256(r, `{"iss":`),
			"more behind the payload":       m.rs256(r, jsonText(good)+`{}`),
			"padding":                       parts[0] + "=." + parts[1] + "." + parts[2],
			"another alphabet":              parts[0] + "." + parts[1] + "." + strings.NewReplacer("-", "+", "_", "/").Replace(parts[2]) + "+",
			"bits behind the end":           loose(parts[0]) + "." + parts[1] + "." + parts[2],
			"a very long one":               parts[0] + "." + strings.Repeat("A", 20000) + "." + parts[2],
			"dots":                          "..", "nothing": "", "a letter": "x",
		} {
			a := g.call(t, "GET", "/api", "", bearer(token))
			if a.status != 401 {
				t.Errorf("%s: %d %s", name, a.status, a.body)
				continue
			}
			if c := strings.Join(a.header.Values("Www-Authenticate"), " | "); !strings.Contains(c, "Bearer") {
				t.Errorf("%s: challenges %q", name, c)
			}
		}
		if n := len(b.saw()) - before; n != 0 {
			t.Errorf("%d refused requests reached the backend", n)
		}
		// Where else a token might be put, it is nobody's.
		for name, mods := range map[string][]mod{
			"in the query twice": {bearer(rs), bearer(rs + "x")}, "two schemes": {bearer(rs), header("Authorization", basicHeader("bob").Get("Authorization"))}, "in another header": {header("X-Access-Token", rs)}, "in a cookie": {header("Cookie", "access_token="+rs)},
			"a list": {header("Authorization", "Bearer "+rs+", Bearer "+rs)}, "without a scheme": {header("Authorization", rs)},
		} {
			if a := g.call(t, "GET", "/api?access_token="+rs, "", mods...); a.status != 401 {
				t.Errorf("%s: %d %s", name, a.status, a.body)
			}
		}
		g.call(t, "GET", "/api", "", bearer(rs)).expect(t, "and a good one still passes", 200, "")
	})
}

// loose sets bits of the last character that mean nothing: another text, the same bytes.
func loose(s string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	if len(s)%4 == 0 {
		return s + "A"
	}
	i := strings.IndexByte(alphabet, s[len(s)-1])
	return s[:len(s)-1] + string(alphabet[i^1])
}
