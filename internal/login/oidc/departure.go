package oidc

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/login/flow"
	"github.com/sallyport/sallyport/internal/model"
)

// callback is where providers send browsers back to.
const callback = "/.sallyport/callback"

// longestURL is what browsers, proxies and providers take for a URL without doubt;
// what is longer goes by a form.
const longestURL = 4000

// RedirectURI is where providers send browsers back to: what is registered there.
func RedirectURI(base *url.URL) string { return base.JoinPath(callback).String() }

// Begin is the authorization request (OpenID Connect Core 3.1.2.1, RFC 7636).
func (r *Party) Begin(ctx context.Context, a *flow.Attempt) (*flow.Departure, error) {
	p := a.Provider
	if err := serves(p); err != nil {
		return nil, err
	}
	m, err := r.metadata(ctx, p)
	if err != nil {
		return nil, err
	}
	challenge := sha256.Sum256([]byte(derive(a, labelVerifier)))
	return depart(m.authorization, map[string]string{
		"response_type":         "code",
		"client_id":             p.ClientID,
		"redirect_uri":          RedirectURI(a.Base),
		"scope":                 scope(p),
		"state":                 a.State,
		"nonce":                 derive(a, labelNonce),
		"code_challenge":        base64.RawURLEncoding.EncodeToString(challenge[:]),
		"code_challenge_method": "S256",
	}), nil
}

// End is the logout request (OpenID Connect RP-Initiated Logout 1.0, 2).
func (r *Party) End(ctx context.Context, a *flow.Attempt, keep []byte, back *url.URL) (*flow.Departure, error) {
	p := a.Provider
	if p == nil || p.Type != model.ProviderOIDC {
		return nil, serves(p)
	}
	m, err := r.metadata(ctx, p)
	if err != nil {
		return nil, err
	}
	if m.endSession == nil {
		return nil, nil
	}
	ask := map[string]string{"client_id": p.ClientID}
	// The token goes to who issued it and to nobody else.
	if k, err := readKept(keep, p); err == nil && k.IDToken != "" {
		ask["id_token_hint"] = k.IDToken
	}
	if back != nil {
		ask["post_logout_redirect_uri"] = back.String()
		if a.State != "" {
			ask["state"] = a.State
		}
	}
	return depart(m.endSession, ask), nil
}

// depart adds parameters to an endpoint's own query (RFC 6749, 3.1), or makes a
// form of them where the URL would be too long.
func depart(endpoint *url.URL, ask map[string]string) *flow.Departure {
	form := make(url.Values, len(ask))
	for name, v := range ask {
		form.Set(name, v)
	}
	u := *endpoint
	q := u.Query()
	for name := range form {
		q.Del(name)
	}
	u.RawQuery = q.Encode()
	if len(u.String())+len(form.Encode()) > longestURL {
		return &flow.Departure{URL: u.String(), Form: form}
	}
	for name, v := range form {
		q[name] = v
	}
	u.RawQuery = q.Encode()
	return &flow.Departure{URL: u.String()}
}

// scope is openid and what else is asked for (OpenID Connect Core 5.4).
func scope(p *model.IdentityProvider) string {
	list := []string{"openid"}
	more := p.RequestScopes
	if len(more) == 0 {
		more = []string{"profile", "email"}
	}
	for _, s := range more {
		if !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	return strings.Join(list, " ")
}

// What is derived of an attempt. Verifier and nonce are told to different parties:
// who sees one must not know the other.
const (
	labelVerifier = "sallyport oidc pkce verifier 1"
	labelNonce    = "sallyport oidc nonce 1"
)

// derive makes 43 characters of an attempt. They are of this provider alone: an
// attempt that left for one proves nothing at another.
func derive(a *flow.Attempt, label string) string {
	mac := hmac.New(sha256.New, []byte(a.Secret))
	for _, s := range []string{label, a.Provider.Name, a.Provider.Issuer, a.Provider.ClientID} {
		mac.Write([]byte(s))
		mac.Write([]byte{0})
	}
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
