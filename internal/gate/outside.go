package gate

import (
	"context"
	"strings"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/model"
)

// outside finds the user behind an identity that a provider vouches for, and has
// it linked or made where the provider says so. known says that this very proof
// led to a user before: then only the link counts, so that a token does not bring
// back a user that was deleted while it was in use.
func (g *Gate) outside(ctx context.Context, ex *Exchange, p *authn.Proof, known bool) (*directory.Principal, error) {
	found, err := g.deps.Directory.Find(ctx, directory.Key{By: directory.ByLink, A: p.Provider, B: p.Subject})
	if err != nil {
		return nil, authn.Refusal(model.IdentityUnavailable).WithCause(err)
	}
	provider := ex.Plan.providers[p.Provider]
	if provider == nil || !provider.Enabled {
		ex.Detail = "provider " + p.Provider + " is disabled"
		return nil, nil
	}
	if known || ex.Explain {
		if found.Principal == nil && ex.Explain {
			ex.Detail = "no user is linked to " + p.Provider + " subject " + p.Subject + " yet; provision: " + string(provider.Provision)
		}
		return found.Principal, nil
	}
	o, err := ex.Plan.mappings[p.Provider].Outside(p)
	if err != nil {
		ex.Detail = "the provider's claims cannot be mapped: " + err.Error()
		return nil, nil
	}
	o.Issued = p.Issued
	id, dropped, err := g.deps.Provisioner.Provision(ctx, o)
	if err != nil {
		if found.Principal != nil && !isRefusal(err) {
			return found.Principal, nil // known here; the refresh can wait until the store is back
		}
		if isRefusal(err) {
			ex.Detail = err.Error()
			return nil, nil
		}
		return nil, authn.Refusal(model.IdentityUnavailable).WithCause(err)
	}
	if len(dropped) > 0 {
		ex.Dropped = strings.Join(dropped, ", ")
	}
	if id == "" {
		return nil, nil
	}
	who, err := g.deps.Directory.User(ctx, id)
	if err != nil {
		return nil, authn.Refusal(model.IdentityUnavailable).WithCause(err)
	}
	return who, nil
}

// isRefusal tells a no (conflict, not allowed) from a failure to ask.
func isRefusal(err error) bool {
	switch model.AsError(err).Code {
	case model.Conflict, model.PermissionDenied, model.Invalid, model.CredentialInvalid, model.NotFound:
		return true
	}
	return false
}
