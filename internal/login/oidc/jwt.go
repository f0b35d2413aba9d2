package oidc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/strict"
)

// jwt is a token that was taken apart; nothing of it is proven yet.
type jwt struct {
	raw       string
	algorithm string
	kid       string
	payload   []byte
	claims    map[string]any
	audiences []string
}

// forbidden are header parameters by which a token would choose its own key, or
// ask for treatment that it does not get here (RFC 7515, RFC 7797, RFC 8725).
var forbidden = []string{"jwk", "jku", "x5u", "x5c", "crit", "b64", "zip", "enc"}

// readJWT takes a token apart that is of one of these types, or says none. Tokens
// of other types are signed by the same keys for other purposes (RFC 8725, 3.11).
func readJWT(raw string, most int, types ...string) (*jwt, error) {
	if len(raw) > most {
		return nil, fmt.Errorf("it is longer than %d bytes", most)
	}
	parts := strings.Split(raw, ".")
	if len(parts) == 5 {
		return nil, errors.New("it is encrypted; register the gateway at the provider for signed tokens alone")
	}
	if len(parts) != 3 {
		return nil, errors.New("it is not a signed JWT")
	}
	head, ok1 := strict.Base64URL(parts[0])
	payload, ok2 := strict.Base64URL(parts[1])
	if _, ok3 := strict.Base64URL(parts[2]); !ok1 || !ok2 || !ok3 {
		return nil, errors.New("it is not a signed JWT: its parts are not base64url")
	}
	t := &jwt{raw: raw, payload: payload}
	if err := t.readHeader(head, types); err != nil {
		return nil, err
	}
	var err error
	if t.claims, err = strict.Object(payload); err != nil {
		return nil, fmt.Errorf("its claims are %w", err)
	}
	return t, t.readAudiences()
}

func (t *jwt) readHeader(b []byte, types []string) error {
	h, err := strict.Object(b)
	if err != nil {
		return fmt.Errorf("its header is %w", err)
	}
	for _, name := range forbidden {
		if _, there := h[name]; there {
			return fmt.Errorf("its header has %s, which is never accepted", name)
		}
	}
	var ok bool
	if t.algorithm, ok = strict.Text(h["alg"]); !ok {
		return errors.New("its header has no alg")
	}
	if kid, there := h["kid"]; there {
		if t.kid, ok = strict.Name(kid); !ok {
			return errors.New("its kid is no text")
		}
	}
	if typ, there := h["typ"]; there {
		s, _ := typ.(string)
		if s = strings.TrimPrefix(strings.ToLower(s), "application/"); !slices.Contains(types, s) {
			return fmt.Errorf("it is of the type %s, which is another purpose", quote(s))
		}
	}
	return nil
}

func (t *jwt) readAudiences() error {
	switch v := t.claims["aud"].(type) {
	case string:
		t.audiences = []string{v}
	case []any:
		for _, a := range v {
			s, ok := strict.Text(a)
			if !ok {
				return errors.New("its aud is not a list of texts")
			}
			t.audiences = append(t.audiences, s)
		}
	}
	if len(t.audiences) == 0 || t.audiences[0] == "" {
		return errors.New("it has no aud")
	}
	return nil
}

// addressed checks who is said to have made the token, and for whom. It costs
// nothing and so comes before signatures and keys.
func (t *jwt) addressed(p *model.IdentityProvider) error {
	if iss, _ := t.claims["iss"].(string); iss != p.Issuer {
		return fmt.Errorf("it is of the issuer %s, not %s", quote(iss), quote(p.Issuer))
	}
	if !slices.Contains(t.audiences, p.ClientID) {
		return fmt.Errorf("it is for %s, not for this client", quote(strings.Join(t.audiences, " ")))
	}
	return nil
}

// moment reads a NumericDate (RFC 7519, 2), bounded by the year 9999: larger ones
// overflow in somebody's arithmetic (mod_auth_openidc's hardening of 2026: exp
// 1e300). The zero time means that it is absent.
func (t *jwt) moment(claim string) (time.Time, error) {
	const latest = 253402300799
	v, there := t.claims[claim]
	if !there {
		return time.Time{}, nil
	}
	n, isNumber := v.(float64)
	if !isNumber || !(n >= 0 && n <= latest) {
		return time.Time{}, fmt.Errorf("its %s is no moment", claim)
	}
	return time.Unix(int64(n), 0), nil
}

// keySet verifies signatures by the provider's keys. The key says which algorithms
// it is for, and the provider which it uses: the token only chooses among those
// (CVE-2026-22817, CVE-2026-44699). It is go-oidc's KeySet for one token; its error
// is kept, since go-oidc's is a text alone.
type keySet struct {
	keys       Keys
	provider   *model.IdentityProvider
	algorithms []string
	token      *jwt
	err        error
}

// VerifySignature answers the payload of the token if one of the keys signed it.
func (k *keySet) VerifySignature(ctx context.Context, raw string) ([]byte, error) {
	if raw != k.token.raw {
		k.err = errors.New("another token was read than is verified")
		return nil, k.err
	}
	k.err = k.verify(ctx)
	if k.err != nil {
		return nil, k.err
	}
	return k.token.payload, nil
}

func (k *keySet) verify(ctx context.Context) error {
	t := k.token
	if !slices.Contains(k.algorithms, t.algorithm) {
		return fmt.Errorf("it is signed by %s, which the provider does not announce or which is not accepted", quote(t.algorithm))
	}
	jws, err := jose.ParseSignedCompact(t.raw, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(t.algorithm)})
	if err != nil {
		return fmt.Errorf("it is no JWS: %w", err)
	}
	candidates, err := k.keys.Find(ctx, k.provider, t.kid, t.algorithm)
	if err != nil {
		return fmt.Errorf("the key %s for %s: %w", quote(t.kid), t.algorithm, err)
	}
	for _, pub := range candidates {
		if payload, err := jws.Verify(pub); err == nil && bytes.Equal(payload, t.payload) {
			return nil
		}
	}
	return errors.New("its signature is not by a key of the provider")
}

// refusal is what a person is told where a token could not be verified.
func refusal(p *model.IdentityProvider, what string, err error) *model.Error {
	if errors.Is(err, ErrKeysUnavailable) {
		return unavailable(p, "verifying the "+what, err)
	}
	return unproven(p, fmt.Errorf("the %s cannot be accepted: %w", what, err))
}
