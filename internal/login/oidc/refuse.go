package oidc

import (
	"fmt"
	"strings"

	"github.com/sallyport/sallyport/internal/model"
)

// unavailable is what a person reads where nothing can be checked now.
func unavailable(p *model.IdentityProvider, doing string, cause error) *model.Error {
	e := model.NewError(model.IdentityUnavailable, "The identity provider cannot be asked right now. Try again shortly.").
		WithCause(fmt.Errorf("provider %s: %s: %w", p.Name, doing, cause))
	e.RetryAfter = retryAfter
	return e
}

// unproven is what a person reads where the provider did not prove who they are.
func unproven(p *model.IdentityProvider, cause error) *model.Error {
	return model.NewError(model.CredentialInvalid, "The identity provider's answer cannot be accepted. Start the sign-in again.").
		WithCause(fmt.Errorf("provider %s: %w", p.Name, cause))
}

// malformed is what a person reads where there is no answer of the protocol.
func malformed(p *model.IdentityProvider, cause error) *model.Error {
	return model.NewError(model.RequestMalformed, "This is not an answer of an identity provider. Start the sign-in again.").
		WithCause(fmt.Errorf("provider %s: %w", p.Name, cause))
}

// serves refuses providers of other types, and those that are switched off: by
// every way into a session (CVE-2026-2603).
func serves(p *model.IdentityProvider) error {
	switch {
	case p == nil || p.Type != model.ProviderOIDC:
		return model.NewError(model.RequestMalformed, "There is no such sign-in.")
	case !p.Enabled:
		return model.NewError(model.CredentialInvalid, "This sign-in is switched off.").
			WithCause(fmt.Errorf("provider %s is disabled", p.Name))
	}
	return nil
}

// quote shows what another party sent: short, and without controls.
func quote(s string) string {
	const most = 120
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return fmt.Sprintf("%q", s)
}
