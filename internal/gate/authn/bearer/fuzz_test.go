package bearer

import (
	"encoding/base64"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/gate/authn/authntest"
	"github.com/sallyport/sallyport/internal/model"
)

// FuzzRead compares the reader of tokens with a plain one made of the standard
// library: whatever it takes, the plain one takes too and sees the same in it.
func FuzzRead(f *testing.F) {
	e := base64.RawURLEncoding.EncodeToString
	for _, s := range [][2]string{
		{`{"alg":"ES256","kid":"k"}`, `{"iss":"i","aud":["a","b"],"sub":"s","exp":1}`},
		{`{"alg":"none"}`, `{"iss":"i"}`},
		{`{"alg":"ES256","alg":"none"}`, `{"iss":"i","iss":"j"}`},
		{`{"alg":"ES256","crit":[]}`, `{"iss":"\ud800"}`},
	} {
		f.Add(s[0], s[1], "AAAA")
	}
	form := regexp.MustCompile(`^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\z`)
	f.Fuzz(func(t *testing.T, header, payload, tail string) {
		raw := e([]byte(header)) + "." + e([]byte(payload)) + "." + tail
		tok, fault := read(raw)
		if fault != "" {
			return
		}
		var h struct {
			Alg string
			Kid string
		}
		var all map[string]json.RawMessage
		var c struct {
			Iss string
			Aud any
		}
		if !form.MatchString(raw) || json.Unmarshal([]byte(header), &all) != nil || !utf8.ValidString(header+payload) {
			t.Fatalf("took %q", raw)
		}
		for _, name := range forbidden {
			if _, there := all[name]; there {
				t.Fatalf("took a header with %s", name)
			}
		}
		json.Unmarshal([]byte(header), &h)
		json.Unmarshal([]byte(payload), &c)
		if _, exact := all["alg"]; exact && !otherCase(header) && (h.Alg != tok.algorithm || h.Kid != tok.kid) {
			t.Fatalf("alg %q kid %q, plain reading %q %q", tok.algorithm, tok.kid, h.Alg, h.Kid)
		}
		if !otherCase(payload) && c.Iss != tok.issuer {
			t.Fatalf("iss %q, plain reading %q", tok.issuer, c.Iss)
		}
	})
}

// otherCase says whether the standard library, which matches names without regard
// to case, could have taken another member for one of ours.
func otherCase(s string) bool {
	n := 0
	lower := strings.ToLower(s)
	for _, name := range []string{"alg", "kid", "iss", "aud", "\\u"} {
		if c := strings.Count(lower, name); c > 1 || name == "\\u" && c > 0 {
			n++
		}
	}
	return n > 0 || lower != s
}

// FuzzOpaque holds the reader of introspection answers, and the question whether a
// token is sent to anybody at all, against plain readings.
func FuzzOpaque(f *testing.F) {
	for _, s := range [][2]string{
		{`{"active":true,"sub":"s","aud":"api"}`, "opaque"},
		{`{"active":false,"active":true}`, "eyJhbGciOiJub25lIn0.e30."},
		{`{"Active":true}`, "IHsi.a.b"},
		{`[]`, "hvs.CAESI"},
	} {
		f.Add([]byte(s[0]), s[1])
	}
	p := &model.IdentityProvider{Name: "p", Issuer: "", Audiences: []string{"api"}}
	f.Fuzz(func(t *testing.T, body []byte, token string) {
		claims, err := answer(body)
		var plain map[string]any
		broken := json.Unmarshal(body, &plain) != nil
		if err == nil && (broken || (plain["active"] == true) != (claims != nil)) {
			t.Fatalf("took %q as %v", body, claims)
		}
		if claims != nil {
			if proof, res := judge(p, claims, authntest.Time); proof != nil && (proof.Subject == "" || !strings.Contains(string(body), "ap")) && !strings.Contains(string(body), `\u`) {
				t.Fatalf("%q proves %q", body, proof.Subject)
			} else if proof == nil && res.Outcome != authn.Bad {
				t.Fatalf("%q: %+v", body, res)
			}
		}
		// Whatever read takes for a JWT must not be sent to anybody.
		if _, fault := read(token); fault == "" && !looksLikeJWT(token) {
			t.Fatalf("%q is a JWT and would be sent away", token)
		}
		if head, _, dotted := strings.Cut(token, "."); dotted {
			if b, err := base64.RawURLEncoding.DecodeString(head); err == nil && json.Valid(b) && strings.HasPrefix(strings.TrimLeft(string(b), " \t\r\n"), "{") && !looksLikeJWT(token) {
				t.Fatalf("%q looks like a JWT and would be sent away", token)
			}
		}
	})
}

// FuzzProof holds the reader of DPoP proofs against a plain one: what it takes is
// of the right type, shows a public key alone, and is by an asymmetric algorithm.
func FuzzProof(f *testing.F) {
	e := base64.RawURLEncoding.EncodeToString
	const jwk = `{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"`
	for _, s := range [][2]string{
		{`{"typ":"dpop+jwt","alg":"ES256","jwk":` + jwk + `}}`, `{"jti":"a","htm":"GET","htu":"https://x/","iat":1}`},
		{`{"typ":"dpop+jwt","alg":"ES256","jwk":` + jwk + `,"d":"AA"}}`, `{}`},
		{`{"typ":"dpop+jwt","alg":"HS256","jwk":{"kty":"oct","k":"AA"}}`, `{}`},
		{`{"typ":"JWT","alg":"none"}`, `{"jti":"a","jti":"b"}`},
	} {
		f.Add(s[0], s[1], "AAAA")
	}
	f.Fuzz(func(t *testing.T, header, payload, tail string) {
		p, fault := readProof(e([]byte(header)) + "." + e([]byte(payload)) + "." + tail)
		if fault != "" {
			return
		}
		var h map[string]any
		if json.Unmarshal([]byte(header), &h) != nil || h["typ"] != "dpop+jwt" || h["alg"] != p.algorithm || strings.HasPrefix(p.algorithm, "HS") || p.algorithm == "none" {
			t.Fatalf("took %q", header)
		}
		jwk, _ := h["jwk"].(map[string]any)
		if jwk == nil || jwk["d"] != nil || jwk["k"] != nil || jwk["kty"] == "oct" {
			t.Fatalf("took the key in %q", header)
		}
		if p.signed() {
			t.Fatalf("a signature that nobody made: %q %q %q", header, payload, tail)
		}
	})
}
