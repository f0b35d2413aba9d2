package oidc

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"net/url"
	"slices"

	"github.com/sallyport/sallyport/internal/fetch"
	"github.com/sallyport/sallyport/internal/model"
)

// The ways to prove the gateway to a token endpoint (OpenID Connect Core 9).
const (
	secretBasic = "client_secret_basic"
	secretPost  = "client_secret_post"
	keyJWT      = "private_key_jwt"
)

// ways are the ways that fit the provider's document, the likeliest first. Basic is
// what is meant where it says nothing (Discovery 1.0, 3).
func (r *Party) ways(p *model.IdentityProvider, m *metadata) []string {
	if p.ClientKeyFile != "" {
		return []string{keyJWT}
	}
	var list []string
	for _, way := range []string{secretBasic, secretPost} {
		if slices.Contains(m.tokenAuth, way) {
			list = append(list, way)
		}
	}
	if len(list) == 0 {
		return []string{secretBasic} // where something else is announced, Check says so
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(list) == 2 && r.accepted[clientOf(p)] == secretPost {
		slices.Reverse(list)
	}
	return list
}

// clientOf names a registration at a provider.
func clientOf(p *model.IdentityProvider) string { return p.Issuer + " " + p.ClientID }

// send asks the token endpoint as the client. A provider announces all ways that it
// knows, and may have registered this client for one of them: where it refuses the
// client, which it does before it looks at a code, the other way is tried, and what
// served is remembered.
func (r *Party) send(ctx context.Context, p *model.IdentityProvider, m *metadata, form url.Values) (answer *fetch.Answer, way string, err error) {
	for _, way = range r.ways(p, m) {
		q := fetch.Request{URL: m.token.String(), Form: maps.Clone(form)}
		if err := r.prove(p, m, &q, way); err != nil {
			return nil, way, fmt.Errorf("proving the gateway to the token endpoint: %w", err)
		}
		if answer, err = r.http.Send(ctx, q); err != nil {
			return nil, way, fmt.Errorf("asking the token endpoint: %w", err)
		}
		if code, _ := refusalOf(answer); answer.Status < 400 || code != "invalid_client" {
			r.mu.Lock()
			r.accepted[clientOf(p)] = way
			r.mu.Unlock()
			break
		}
	}
	return answer, way, nil
}

// prove adds to a request who asks.
func (r *Party) prove(p *model.IdentityProvider, m *metadata, q *fetch.Request, way string) error {
	switch way {
	case keyJWT:
		assertion, err := r.assertion(p, m)
		if err != nil {
			return err
		}
		q.Form.Set("client_id", p.ClientID)
		q.Form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		q.Form.Set("client_assertion", assertion)
	case secretPost:
		q.Form.Set("client_id", p.ClientID)
		q.Form.Set("client_secret", p.ClientSecret)
	default:
		// Both are form-encoded first (RFC 6749, 2.3.1).
		pair := url.QueryEscape(p.ClientID) + ":" + url.QueryEscape(p.ClientSecret)
		q.Authorization = "Basic " + base64.StdEncoding.EncodeToString([]byte(pair))
	}
	return nil
}
