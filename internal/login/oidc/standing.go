package oidc

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sallyport/sallyport/internal/fetch"
	"github.com/sallyport/sallyport/internal/login/flow"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/strict"
)

// kept is what Identity.Keep holds. It names the provider, so that a token never
// goes to another one after the configuration has changed.
type kept struct {
	Issuer       string `json:"iss"`
	ClientID     string `json:"client"`
	IDToken      string `json:"id,omitempty"`
	RefreshToken string `json:"refresh,omitempty"`
	// Described are the claims that UserInfo has given since the id token came: what it
	// gives no longer is taken away, though the old token still has it.
	Described []string `json:"described,omitempty"`
}

var errMoved = errors.New("the session is of another issuer or client than the provider has now")

func readKept(b []byte, p *model.IdentityProvider) (*kept, error) {
	k := &kept{}
	if err := json.Unmarshal(b, k); err != nil {
		return nil, fmt.Errorf("reading what was kept of the login: %w", err)
	}
	if k.Issuer != p.Issuer || k.ClientID != p.ClientID {
		return nil, errMoved
	}
	return k, nil
}

func (k *kept) bytes() []byte {
	b, _ := json.Marshal(k) // of texts: it cannot fail
	return b
}

// standing is how a person stands with a provider.
type standing struct {
	claims map[string]any // of the id token, and then of UserInfo
	old    bool           // the id token is that of an earlier answer
	kept   kept
}

func (s *standing) identity(issued, refresh time.Time) *flow.Identity {
	id := &flow.Identity{Claims: s.claims, Issued: issued, Refresh: refresh, Keep: s.kept.bytes()}
	id.Subject, _ = s.claims["sub"].(string)
	id.SID, _ = strict.Name(s.claims["sid"])
	return id
}

// protected are the claims that say what a token is, and how and when somebody
// signed in: they are believed of the signed token alone.
var protected = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "azp", "nonce", "at_hash", "c_hash", "s_hash",
	"sid", "acr", "amr", "auth_time", "cnf", "events"}

// describe adds what UserInfo says (OpenID Connect Core 5.3), where it is
// configured. A fresh id token outweighs it; an old one does not, for what has
// changed meanwhile would never be seen (CVE-2021-41230). Errors are *model.Error.
func (r *Party) describe(ctx context.Context, p *model.IdentityProvider, m *metadata, access string, s *standing) error {
	if !p.UserInfo {
		return nil
	}
	if m.userInfo == nil {
		return unavailable(p, "UserInfo", errors.New("the discovery document has no userinfo_endpoint"))
	}
	answer, err := r.http.Send(ctx, fetch.Request{URL: m.userInfo.String(), Authorization: "Bearer " + access})
	if err != nil {
		return unavailable(p, "asking UserInfo", err)
	}
	if answer.Status != 200 {
		return unavailable(p, "asking UserInfo", &fetch.StatusError{URL: m.userInfo.String(), Status: answer.Status})
	}
	said, err := strict.Object(answer.Body)
	if err != nil {
		return unavailable(p, "asking UserInfo", fmt.Errorf("it answered no JSON object but %s", strict.Instead(answer.Body)))
	}
	// Else the access token of somebody else could be slipped in (Core 5.3.2).
	sub, _ := said["sub"].(string)
	have, _ := s.claims["sub"].(string)
	if have == "" || subtle.ConstantTimeCompare([]byte(sub), []byte(have)) != 1 {
		return unproven(p, fmt.Errorf("UserInfo is of the subject %s, not of %s", quote(sub), quote(have)))
	}
	s.merge(said)
	return nil
}

func (s *standing) merge(said map[string]any) {
	out := maps.Clone(s.claims)
	var described []string
	if s.old {
		described = s.kept.Described
		for _, claim := range described {
			delete(out, claim)
		}
	}
	for claim, v := range said {
		if slices.Contains(protected, claim) {
			continue
		}
		described = append(described, claim)
		if _, signed := s.claims[claim]; !signed || s.old {
			out[claim] = v
		}
	}
	slices.Sort(described)
	s.claims, s.kept.Described = out, slices.Compact(described)
}
