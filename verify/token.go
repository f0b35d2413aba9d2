package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

// tokenBytes bounds what is parsed before anything is proven.
const tokenBytes = 16 << 10

// The algorithms are the configuration's and the key's, never the token's choice.
var (
	assertionAlgorithms = []jose.SignatureAlgorithm{jose.ES256}
	tokenAlgorithms     = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
		jose.ES256, jose.ES384, jose.ES512, jose.EdDSA}
)

func algorithm(name string) (jose.SignatureAlgorithm, bool) {
	a := jose.SignatureAlgorithm(name)
	return a, slices.Contains(tokenAlgorithms, a)
}

// trust is one whose signatures are believed, and for what.
type trust struct {
	issuer     string
	audiences  []string
	algorithms []jose.SignatureAlgorithm
	keys       source
}

// token is a parsed JWT of which nothing is proven yet.
type token struct {
	jws           *jose.JSONWebSignature
	alg, kid, typ string
}

func parse(text string, algorithms []jose.SignatureAlgorithm) (*token, error) {
	if len(text) > tokenBytes {
		return nil, errors.New("the token is too long")
	}
	jws, err := jose.ParseSignedCompact(text, algorithms)
	if err != nil {
		return nil, err
	}
	h := jws.Signatures[0].Protected
	t := &token{jws: jws, alg: h.Algorithm, kid: h.KeyID}
	if h.JSONWebKey != nil {
		return nil, errors.New("the token brings its own key")
	}
	for name, value := range h.ExtraHeaders {
		switch name {
		case "typ":
			t.typ, _ = value.(string)
		case "jku", "x5u", "x5c", "b64", "crit":
			// A place to fetch keys from, or rules of reading that are not ours.
			return nil, fmt.Errorf("the token's header has %q", name)
		}
	}
	return t, nil
}

// unverifiedIssuer only selects whose keys to verify with; check then compares
// the proven claim with that issuer.
func (t *token) unverifiedIssuer() string {
	var c claims
	if json.Unmarshal(t.jws.UnsafePayloadWithoutVerification(), &c) != nil {
		return ""
	}
	return c.text("iss")
}

// verify proves the signature and reads the claims.
func (t *token) verify(ctx context.Context, by *trust) (claims, *Error) {
	alg := jose.SignatureAlgorithm(t.alg)
	if !slices.Contains(by.algorithms, alg) {
		return nil, invalid(fmt.Errorf("%q is not an algorithm of the issuer's", t.alg))
	}
	keys, err := by.keys.find(ctx, t.kid)
	if err != nil {
		return nil, unavailable(err)
	}
	fits := 0
	for _, k := range keys {
		if !k.fits(alg) {
			continue
		}
		fits++
		payload, err := t.jws.Verify(k.key)
		if err != nil {
			continue
		}
		var c claims
		if err := json.Unmarshal(payload, &c); err != nil || c == nil {
			return nil, invalid(errors.New("the claims are not a JSON object"))
		}
		return c, nil
	}
	if fits == 0 {
		return nil, invalid(errors.New("no key has the token's kid and fits its algorithm"))
	}
	return nil, invalid(errors.New("the signature does not verify"))
}

// claims are read by exact name; a claim of the wrong type is as good as none.
type claims map[string]any

func (c claims) text(name string) string {
	s, _ := c[name].(string)
	return s
}

// texts is a list of texts; one that holds anything else is no list.
func (c claims) texts(name string) []string {
	list, ok := c[name].([]any)
	if !ok {
		return nil
	}
	out := make([]string, 0, len(list))
	for _, v := range list {
		s, ok := v.(string)
		if !ok {
			return nil
		}
		out = append(out, s)
	}
	return out
}

// time reads a NumericDate (RFC 7519, 2). Numbers that no calendar has, such as
// 1e300, are errors and not eternity.
func (c claims) time(name string) (at time.Time, ok bool, err error) {
	v, there := c[name]
	if !there {
		return time.Time{}, false, nil
	}
	n, isNumber := v.(float64)
	const year9999 = 253402300799
	if !isNumber || !(n >= 0 && n <= year9999) {
		return time.Time{}, false, fmt.Errorf("%s is not a time", name)
	}
	return time.UnixMilli(int64(n * 1000)), true, nil
}

// audience says whether aud, a text or a list of texts, holds one of ours.
func (c claims) audience(ours []string) bool {
	list := c.texts("aud")
	if s := c.text("aud"); s != "" {
		list = []string{s}
	}
	return slices.ContainsFunc(list, func(a string) bool { return a != "" && slices.Contains(ours, a) })
}
