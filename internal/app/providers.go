package app

import (
	"context"
	"fmt"

	"github.com/sallyport/sallyport/internal/face/rest"
	"github.com/sallyport/sallyport/internal/fetch"
	"github.com/sallyport/sallyport/internal/gate/authn/keys"
	"github.com/sallyport/sallyport/internal/metrics"
	"github.com/sallyport/sallyport/internal/model"
)

// ProviderStatus is an identity provider and how it fares. Which of the parts there
// are is a matter of its type.
type ProviderStatus struct {
	Name    string             `json:"name"`
	Type    model.ProviderType `json:"type"`
	Enabled bool               `json:"enabled"`
	Keys    any                `json:"keys,omitempty"` // jwt, oidc: with first and last seen, and the next refresh
	// Discovery is of the type oidc.
	Discovery any `json:"discovery,omitempty"`
	// Metadata is of the type saml.
	Metadata any `json:"metadata,omitempty"`
	// Endpoint is how asking fares: about tokens for the type introspection, about
	// passwords for ldap.
	Endpoint any `json:"endpoint,omitempty"`
	// ClockSkew is how many seconds the provider's clock is ahead of ours.
	ClockSkew any `json:"clockSkewSeconds,omitempty"`

	up, known bool
}

func (g *Gateway) provider(p *model.IdentityProvider) ProviderStatus {
	s := ProviderStatus{Name: p.Name, Type: p.Type, Enabled: p.Enabled, known: true}
	switch p.Type {
	case model.ProviderJWT:
		st := g.plans.keys.For(p).Status()
		s.Keys, s.up = st, st.Healthy
	case model.ProviderIntrospection:
		st := g.plans.asker.Status(p)
		s.Endpoint, s.up = st, st.Healthy
	case model.ProviderOIDC:
		st := g.party.Status(p)
		s.Keys, s.Discovery, s.up = st.Keys, st.Discovery, st.Healthy
		if st.ClockSkew != nil {
			s.ClockSkew = *st.ClockSkew
		}
	case model.ProviderSAML:
		st := g.saml.Status(p)
		s.Metadata, s.up = st, st.Healthy
	case model.ProviderLDAP:
		st := g.ldap.Status(p)
		s.Endpoint, s.up = st, st.Healthy
	default:
		s.known = false
	}
	return s
}

// providerStates are what a scrape of the metrics asks.
func (g *Gateway) providerStates() (out []metrics.State) {
	p := g.plans.holder.Load()
	if p == nil {
		return nil
	}
	for i := range p.Set.IdentityProviders {
		if pr := &p.Set.IdentityProviders[i]; pr.Enabled {
			if s := g.provider(pr); s.known {
				out = append(out, metrics.State{Name: pr.Name, Up: s.up})
			}
		}
	}
	return out
}

// checker asks providers freshly, for an operator who is connecting one.
type checker struct{ g *Gateway }

// Check tells what stands in the way of the provider's users, and what to do.
func (c checker) Check(ctx context.Context, name string) (*rest.ProviderReport, error) {
	plan := c.g.plans.holder.Load()
	if plan == nil {
		return nil, &model.Error{Code: model.ConfigurationUnavailable, Message: "There is no configuration in force.", RetryAfter: 5}
	}
	for i := range plan.Set.IdentityProviders {
		if p := &plan.Set.IdentityProviders[i]; p.Name == name {
			r := c.g.check(ctx, p)
			r.Provider, r.Type = p.Name, p.Type
			if !p.Enabled {
				r.Add("warning", "enabled", "the provider is switched off: nobody signs in by it", "Set enabled to true when it is ready.")
			}
			return r, nil
		}
	}
	return nil, model.NewError(model.NotFound, "There is no identity provider "+fmt.Sprintf("%q", name)+".")
}

func (g *Gateway) check(ctx context.Context, p *model.IdentityProvider) *rest.ProviderReport {
	r := &rest.ProviderReport{OK: true}
	fault := func(about string, err error, remedy string) { r.Add("fault", about, err.Error(), remedy) }
	switch p.Type {
	case model.ProviderOIDC:
		found := g.party.Check(ctx, p)
		for _, f := range found.Findings {
			r.Add(string(f.Level), f.About, f.Says, f.Remedy)
		}
	case model.ProviderSAML:
		st, err := g.saml.Check(ctx, p)
		if err != nil {
			fault("metadata", err, samlRemedies[fetch.CauseOf(err)])
			break
		}
		r.Add("good", "metadata", fmt.Sprintf("%s describes %s, with %d certificates", st.Source, st.EntityID, len(st.Certificates)), "")
		for _, w := range st.Warnings {
			r.Add("warning", "metadata", w, "")
		}
	case model.ProviderLDAP:
		for _, f := range g.ldap.Check(ctx, p).Findings {
			r.Add(string(f.Level), f.About, f.Says, f.Remedy)
		}
	case model.ProviderJWT:
		st, err := g.plans.keys.Fetch(ctx, p)
		if err != nil {
			fault("keys", err, keyRemedy(st))
			break
		}
		r.Add("good", "keys", fmt.Sprintf("%d usable keys at %s", len(st.Keys), st.Source), "")
	case model.ProviderIntrospection:
		if st := g.plans.asker.Status(p); !st.Healthy {
			r.Add("fault", "endpoint", "the last questions about tokens failed", "Check endpoint, clientID and clientSecret, and that this machine reaches the provider.")
		} else {
			r.Add("good", "endpoint", "no question about a token has failed of late", "")
		}
	default:
		r.Add("good", "configuration", "there is nothing to ask a provider of this type", "")
	}
	return r
}

func keyRemedy(st keys.Status) string {
	return "Open " + st.Source + " from this machine: it must be a set of public keys (RFC 7517)."
}

var samlRemedies = map[fetch.Cause]string{
	fetch.CauseDNS:     "Check the host's name in metadataURL, and that this machine resolves it.",
	fetch.CauseConnect: "Check that the provider runs, and that a firewall or proxy lets this machine reach it.",
	fetch.CauseTLS:     "Check the provider's certificate: its name, its dates, and that this machine trusts who issued it.",
	fetch.CauseHTTP:    "Open metadataURL from this machine; the provider's documentation says where its metadata is.",
}
