package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"reflect"

	"github.com/sallyport/sallyport/internal/login/flow"
	"github.com/sallyport/sallyport/internal/model"
)

// Refresh asks the provider again by the refresh token (OpenID Connect Core 12).
// Where the provider has replaced the refresh token and then cannot be asked
// further, the identity beside the error has Keep alone: the old one is worth
// nothing any more, and many providers end the session when they see it again.
func (r *Party) Refresh(ctx context.Context, p *model.IdentityProvider, keep []byte) (*flow.Identity, error) {
	if err := serves(p); err != nil {
		return nil, err
	}
	k, err := readKept(keep, p)
	if errors.Is(err, errMoved) {
		return nil, unproven(p, err)
	}
	if err == nil && k.RefreshToken == "" {
		err = errors.New("the provider gave no refresh token")
	}
	if err != nil {
		return nil, unavailable(p, "refreshing", err)
	}
	old, err := readJWT(k.IDToken, longestToken, "jwt")
	if err != nil {
		return nil, unavailable(p, "refreshing", fmt.Errorf("the id token that was kept: %w", err))
	}
	m, err := r.metadata(ctx, p)
	if err != nil {
		return nil, err
	}
	t, err := r.ask(ctx, p, m, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {k.RefreshToken}})
	if err != nil {
		return nil, err
	}
	if t.refresh == "" {
		t.refresh = k.RefreshToken // RFC 6749, 6: it stays
	}
	next := *k
	next.RefreshToken = t.refresh
	s := &standing{claims: old.claims, old: true, kept: next}
	if t.id != "" {
		id, err := r.verifyAgain(ctx, p, m, t, old)
		if err != nil {
			return rotated(k, &next), err
		}
		s.claims, s.old, s.kept.IDToken = id.claims, false, t.id
	}
	if err := r.describe(ctx, p, m, t.access, s); err != nil {
		return rotated(k, &next), err
	}
	now := r.o.Now()
	return s.identity(now, t.due(now)), nil
}

// rotated is what must be kept of a refresh that failed after its first half.
func rotated(k, next *kept) *flow.Identity {
	if k.RefreshToken == next.RefreshToken {
		return nil
	}
	return &flow.Identity{Keep: next.bytes()}
}

// verifyAgain verifies the id token of a refresh: it is of the same person, at the
// same provider, from the same sign-in (OpenID Connect Core 12.2).
func (r *Party) verifyAgain(ctx context.Context, p *model.IdentityProvider, m *metadata, t *tokens, old *jwt) (*idToken, error) {
	id, err := r.verifyID(ctx, p, m, t.id)
	if err != nil {
		return nil, err
	}
	for _, claim := range []string{"sub", "nonce", "sid"} { // iss, aud and azp were compared with the configuration
		was, before := old.claims[claim]
		is, now := id.claims[claim]
		optional := claim != "sub"
		if optional && (!before || !now) {
			continue
		}
		if !reflect.DeepEqual(is, was) {
			return nil, unproven(p, fmt.Errorf("the id token of the refresh has another %s than that of the login", claim))
		}
	}
	if err := id.bindsTo(t.access); err != nil {
		return nil, unproven(p, err)
	}
	return id, nil
}
