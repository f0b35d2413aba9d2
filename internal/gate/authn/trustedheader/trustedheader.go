package trustedheader

import (
	"context"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/model"
)

// Method is trustedHeader.
type Method struct {
	cache     *authn.Cache
	providers []provider
	now       func() time.Time
}

type provider struct {
	name, header string
	enabled      bool
	sender       *authn.Sender
	epoch        uint64
}

// New makes the method for the trustedHeader providers among these.
func New(list []model.IdentityProvider, cache *authn.Cache, now func() time.Time) *Method {
	m := &Method{cache: cache, now: now}
	for i := range list {
		if p := &list[i]; p.Type == model.ProviderTrustedHeader {
			m.providers = append(m.providers, provider{name: p.Name, header: p.Header, enabled: p.Enabled,
				sender: authn.NewSender(p, cache), epoch: authn.Epoch("trustedHeader", p.Name)})
		}
	}
	return m
}

// Name is the method's name.
func (m *Method) Name() string { return model.MethodTrustedHeader }

// Authenticate reads the header of each provider whose front end sent this request.
func (m *Method) Authenticate(_ context.Context, r *model.Request) authn.Result {
	var out authn.Result
	now := authn.At(r, m.now)
	for i := range m.providers {
		p := &m.providers[i]
		name, found := authn.Header(r, p.header)
		if found == authn.Absent || found == authn.Present && name == "" {
			continue // front ends send it empty for nobody
		}
		if !p.sender.Proves(r, now) {
			if out.Detail == "" && out.Outcome == authn.NotMine {
				out.Detail = "a header of provider " + p.name + " came from a sender that did not prove itself; it counts as absent"
			}
			continue
		}
		res := m.read(p, name, found, now)
		if res.Outcome == authn.Bad {
			return res
		}
		if out.Outcome == authn.Proven {
			return authn.Refuse(model.CredentialInvalid, "two providers' headers in one request: of "+out.Proof.Provider+" and "+p.name)
		}
		out = res
	}
	return out
}

// read takes the name that a proven front end sent.
func (m *Method) read(p *provider, name string, found authn.Presence, now time.Time) authn.Result {
	switch {
	case !p.enabled:
		return authn.Refuse(model.CredentialInvalid, "provider "+p.name+" is disabled")
	case found != authn.Present:
		return authn.Refuse(model.CredentialInvalid, authn.PresenceDetail(found))
	}
	key := m.cache.Key(authn.SpaceHeader, p.epoch, name)
	if proof := m.cache.Get(key, now); proof != nil {
		return proof.Found(now)
	}
	if !model.ValidUsername(name) {
		return authn.Refuse(model.CredentialInvalid, "the name that the front end sent is no username")
	}
	name = strings.Clone(name)
	proof := &authn.Proof{Method: model.MethodTrustedHeader, Provider: p.name, Subject: name,
		Claims: map[string]any{"sub": name}, Ambient: true}
	m.cache.Put(key, proof, time.Time{})
	return proof.Found(now)
}
