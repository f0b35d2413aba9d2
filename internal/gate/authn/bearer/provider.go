package bearer

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/model"
)

// provider is an identity provider of type jwt.
type provider struct {
	model      *model.IdentityProvider
	algorithms []string
}

func (p *provider) allowMissing(claim string) bool {
	return slices.Contains(p.model.AllowMissing, claim)
}

// takes says whether a token of this issuer and these audiences is the provider's.
func (p *provider) takes(t *token) bool {
	switch {
	case p.model.Issuer != t.issuer:
		return false
	case len(t.audiences) == 0:
		return p.allowMissing("aud")
	case len(p.model.Audiences) == 0:
		return p.allowMissing("aud")
	}
	for _, a := range t.audiences {
		if slices.Contains(p.model.Audiences, a) {
			return true
		}
	}
	return false
}

// collect takes the jwt providers out of a list, and the parts of the epoch of
// their proofs: whatever changes in a provider ends what was proven under it.
func collect(list []model.IdentityProvider) (out []provider, epoch []string) {
	epoch = []string{"bearer"}
	for i := range list {
		p := &list[i]
		if p.Type != model.ProviderJWT {
			continue
		}
		algorithms := p.Algorithms
		if len(algorithms) == 0 {
			algorithms = model.JWTAlgorithms()
		}
		out = append(out, provider{model: p, algorithms: algorithms})
		b, _ := json.Marshal(p) // of strings and booleans: it cannot fail
		epoch = append(epoch, string(b))
	}
	return out, epoch
}

// choose finds the one provider of a token. Its iss and aud are not proven yet;
// they only say by whose keys they must be.
func choose(list []provider, t *token) (*provider, string) {
	var chosen *provider
	for i := range list {
		p := &list[i]
		if !p.takes(t) {
			continue
		}
		if chosen != nil {
			return nil, "the token's audiences belong to several providers"
		}
		chosen = p
	}
	switch {
	case chosen == nil:
		return nil, "no provider has the issuer " + quote(t.issuer) + " with one of the token's audiences"
	case !chosen.model.Enabled:
		return nil, "provider " + chosen.model.Name + " is disabled"
	}
	return chosen, ""
}

// Overlap reports providers between which a token does not decide: by its issuer
// and audience, or, where it is opaque, by whom is asked and its audience.
func Overlap(list []model.IdentityProvider) (f model.Faults) {
	for i := range list {
		a := &list[i]
		for j := range list[:i] {
			b := &list[j]
			if a.Type != b.Type {
				continue
			}
			whose := ""
			switch {
			case a.Type == model.ProviderJWT && a.Issuer == b.Issuer:
				whose = quote(a.Issuer)
			case a.Type == model.ProviderIntrospection && a.Endpoint == b.Endpoint && (a.Issuer == b.Issuer || a.Issuer == "" || b.Issuer == ""):
				whose = quote(a.Endpoint)
			default:
				continue
			}
			if shared := common(a, b); shared != "" {
				f.Add(fmt.Sprintf("identityProviders[%d].audiences", i), "overlaps with provider "+b.Name+": both take tokens of "+
					whose+" "+shared+"; a token must be one provider's")
			}
		}
	}
	return f
}

func common(a, b *model.IdentityProvider) string {
	anyA, anyB := slices.Contains(a.AllowMissing, "aud"), slices.Contains(b.AllowMissing, "aud")
	if anyA && anyB {
		return "without an audience"
	}
	if anyA && len(a.Audiences) == 0 || anyB && len(b.Audiences) == 0 {
		return "for any audience"
	}
	for _, x := range a.Audiences {
		if slices.Contains(b.Audiences, x) {
			return "for " + quote(x)
		}
	}
	return ""
}

// quote shows what a caller sent: short, and without controls.
func quote(s string) string {
	const most = 120
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return fmt.Sprintf("%q", s)
}
