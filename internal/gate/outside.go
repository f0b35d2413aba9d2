package gate

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strconv"
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
	if known {
		return found.Principal, nil
	}
	o, err := ex.Plan.mappings[p.Provider].Outside(p)
	switch {
	case errors.Is(err, authn.ErrTooMuch):
		ex.Detail = err.Error()
		return nil, (&model.Error{Code: model.PermissionDenied,
			Message: "The identity provider says more of this user (groups, roles or attributes) than the gateway takes in."}).WithCause(err)
	case err != nil:
		ex.Detail = "the provider's claims cannot be mapped: " + err.Error()
		return nil, nil
	case ex.Explain:
		if found.Principal == nil {
			ex.Detail = "no user is linked to " + p.Provider + " subject " + p.Subject + " yet; provision: " + string(provider.Provision)
		}
		return found.Principal, nil
	}
	// A new token that says what the last one said costs no store, and does without.
	word := digest(&o, ex.Plan.Revision)
	if found.Principal != nil && found.Principal.Fresh() && found.Principal.Confirmed(word) {
		return found.Principal, nil
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
	if id == "" {
		return nil, nil
	}
	who, err := g.linked(ctx, p, id)
	if err != nil {
		return nil, authn.Refusal(model.IdentityUnavailable).WithCause(err)
	}
	if len(dropped) > 0 {
		ex.Dropped = strings.Join(dropped, ", ")
	} else if who != nil {
		who.Confirm(word)
	}
	return who, nil
}

// linked looks the user up by its link, so that the next token finds it in memory
// by the same key.
func (g *Gate) linked(ctx context.Context, p *authn.Proof, id string) (*directory.Principal, error) {
	found, err := g.deps.Directory.Find(ctx, directory.Key{By: directory.ByLink, A: p.Provider, B: p.Subject})
	if err == nil && found.Principal != nil && found.Principal.User.ID == id {
		return found.Principal, nil
	}
	return g.deps.Directory.User(ctx, id)
}

// digest stands for what an identity says under one revision, which settles what
// of it means something here.
func digest(o *directory.Outside, revision int64) [32]byte {
	h := sha256.New()
	_ = json.NewEncoder(h).Encode(o) // of claims, which were JSON
	_, _ = h.Write(strconv.AppendInt(nil, revision, 10))
	return [32]byte(h.Sum(nil))
}

// isRefusal tells a no (conflict, not allowed) from a failure to ask.
func isRefusal(err error) bool {
	switch model.AsError(err).Code {
	case model.Conflict, model.PermissionDenied, model.Invalid, model.CredentialInvalid, model.NotFound:
		return true
	}
	return false
}
