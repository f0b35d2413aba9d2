package app

import (
	"context"
	"crypto"
	"errors"

	"github.com/sallyport/sallyport/internal/fetch"
	"github.com/sallyport/sallyport/internal/gate/authn/keys"
	"github.com/sallyport/sallyport/internal/login/oidc"
	"github.com/sallyport/sallyport/internal/model"
)

// ProviderKeys gives the sign-in at OpenID providers the keys that bearer tokens
// are verified by: one set for an issuer, one cool-down.
type ProviderKeys struct{ Registry *keys.Registry }

// Find answers the keys for a kid and an algorithm.
func (k ProviderKeys) Find(ctx context.Context, p *model.IdentityProvider, kid, algorithm string) ([]crypto.PublicKey, error) {
	found, err := k.Registry.For(p).Find(ctx, kid, algorithm)
	if errors.Is(err, keys.ErrUnavailable) {
		return nil, errors.Join(oidc.ErrKeysUnavailable, err)
	}
	out := make([]crypto.PublicKey, 0, len(found))
	for _, f := range found {
		out = append(out, f.Public)
	}
	return out, err
}

// Status is how the provider's keys stand.
func (k ProviderKeys) Status(p *model.IdentityProvider) oidc.KeysStatus {
	return keysStatus(k.Registry.For(p).Status())
}

// Fetch gets them freshly.
func (k ProviderKeys) Fetch(ctx context.Context, p *model.IdentityProvider) (oidc.KeysStatus, error) {
	st, err := k.Registry.Fetch(ctx, p)
	return keysStatus(st), err
}

func keysStatus(st keys.Status) oidc.KeysStatus {
	out := oidc.KeysStatus{Source: st.Source, LastFetch: st.LastFetch, NextRefresh: st.NextRefresh, LastError: st.LastError,
		Cause: fetch.CauseOf(st.Err), Keys: make([]oidc.KeyStatus, len(st.Keys))}
	for i, k := range st.Keys {
		out.Keys[i] = oidc.KeyStatus(k)
	}
	return out
}
