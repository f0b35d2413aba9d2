package oidc

import (
	"context"
	"crypto"
	_ "crypto/sha256" // at_hash
	_ "crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/strict"
)

// idToken is a verified id token.
type idToken struct {
	*jwt
	subject string
	issued  time.Time
}

// verifyID verifies an id token (OpenID Connect Core 3.1.3.7). It is read twice: by
// go-oidc, and here with what go-oidc leaves to its callers or reads more laxly
// (names in any case, a name twice, times without bounds). Nonce and at_hash are
// the caller's. Errors are *model.Error.
func (r *Party) verifyID(ctx context.Context, p *model.IdentityProvider, m *metadata, raw string) (*idToken, error) {
	const what = "id token"
	t, err := readJWT(raw, longestToken, "jwt")
	if err != nil {
		return nil, refusal(p, what, err)
	}
	if err := t.addressed(p); err != nil {
		return nil, refusal(p, what, err)
	}
	now := r.o.Now()
	set := &keySet{keys: r.o.Keys, provider: p, algorithms: r.announced(ctx, p, m, t.algorithm), token: t}
	if len(set.algorithms) == 0 {
		return nil, refusal(p, what, errors.New("the provider announces no algorithm that is accepted"))
	}
	config := &gooidc.Config{ClientID: p.ClientID, SupportedSigningAlgs: set.algorithms, Now: func() time.Time { return now.Add(-skew) }}
	if _, err := gooidc.NewVerifier(p.Issuer, set, config).Verify(ctx, raw); err != nil {
		if set.err != nil {
			err = set.err
		}
		return nil, refusal(p, what, err)
	}
	id := &idToken{jwt: t}
	if err := id.check(p, now); err != nil {
		return nil, refusal(p, what, err)
	}
	return id, nil
}

// check judges the claims of a token whose signature is verified.
func (id *idToken) check(p *model.IdentityProvider, now time.Time) error {
	exp, err1 := id.moment("exp")
	iat, err2 := id.moment("iat")
	nbf, err3 := id.moment("nbf")
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	azp, authorized := id.claims["azp"]
	_, event := id.claims["events"]
	var ok bool
	id.subject, ok = strict.Name(id.claims["sub"])
	id.issued = iat
	switch {
	case !ok:
		return errors.New("it has no sub that could name anybody")
	case len(id.audiences) > 1 && !authorized:
		return errors.New("it has several audiences and does not say whom it was issued to (azp)")
	case authorized && azp != p.ClientID:
		return errors.New("it was issued to another client (azp)")
	case exp.IsZero() || iat.IsZero():
		return errors.New("it has no exp or no iat")
	case !now.Before(exp.Add(skew)):
		return fmt.Errorf("it expired at %s", exp.UTC().Format(time.RFC3339))
	case iat.After(now.Add(skew)):
		return fmt.Errorf("it was issued in the future, at %s (iat)", iat.UTC().Format(time.RFC3339))
	case nbf.After(now.Add(skew)):
		return errors.New("it is not valid yet (nbf)")
	case event:
		return errors.New("it is a security event")
	}
	return nil
}

// bindsTo checks at_hash where there is one (OpenID Connect Core 3.1.3.6): that the
// access token came with this id token.
func (id *idToken) bindsTo(access string) error {
	v, there := id.claims["at_hash"]
	if !there {
		return nil
	}
	var h crypto.Hash
	switch id.algorithm {
	case "RS256", "PS256", "ES256":
		h = crypto.SHA256
	case "RS384", "PS384", "ES384":
		h = crypto.SHA384
	case "RS512", "PS512", "ES512", "EdDSA":
		h = crypto.SHA512
	default:
		return errors.New("nobody can tell the hash of at_hash")
	}
	sum := h.New()
	sum.Write([]byte(access))
	half := sum.Sum(nil)
	want := base64.RawURLEncoding.EncodeToString(half[:len(half)/2])
	got, _ := v.(string)
	if subtle.ConstantTimeCompare([]byte(got), []byte(want)) != 1 {
		return errors.New("its at_hash is not of the access token that came with it")
	}
	return nil
}
