package oidc

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/sallyport/sallyport/internal/login/flow"
	"github.com/sallyport/sallyport/internal/model"
)

// longestCode bounds an authorization code; some providers put whole tokens in it.
const longestCode = 8 << 10

// Finish proves what came back: the authorization response, the exchange of its
// code, the id token, and UserInfo where it is configured.
func (r *Party) Finish(ctx context.Context, a *flow.Attempt, back *flow.Return) (*flow.Identity, error) {
	p := a.Provider
	if err := serves(p); err != nil {
		return nil, err
	}
	// Errors of the provider are told even while its document cannot be had.
	m, missing := r.metadata(ctx, p)
	code, err := answered(p, m, a, back)
	if err != nil {
		return nil, err
	}
	if missing != nil {
		return nil, missing
	}
	tokens, err := r.ask(ctx, p, m, url.Values{"grant_type": {"authorization_code"}, "code": {code},
		"redirect_uri": {RedirectURI(a.Base)}, "code_verifier": {derive(a, labelVerifier)}})
	if err != nil {
		return nil, err
	}
	if tokens.id == "" {
		return nil, unproven(p, errors.New("the token endpoint answered without an id_token"))
	}
	id, err := r.verifyID(ctx, p, m, tokens.id)
	if err != nil {
		return nil, err
	}
	nonce, _ := id.claims["nonce"].(string)
	if want := derive(a, labelNonce); subtle.ConstantTimeCompare([]byte(nonce), []byte(want)) != 1 {
		return nil, unproven(p, errors.New("the id token's nonce is not the attempt's"))
	}
	if err := id.bindsTo(tokens.access); err != nil {
		return nil, unproven(p, err)
	}
	s := &standing{claims: id.claims, kept: kept{Issuer: p.Issuer, ClientID: p.ClientID, IDToken: tokens.id, RefreshToken: tokens.refresh}}
	if err := r.describe(ctx, p, m, tokens.access, s); err != nil {
		return nil, err
	}
	return s.identity(id.issued, tokens.due(r.o.Now())), nil
}

// answered reads the authorization response (RFC 6749, 4.1.2; RFC 9207). The
// attempt says which provider was asked, never a parameter: a response of another
// one that was mixed up with it is refused, errors too. m is nil where the
// provider's document cannot be had.
func answered(p *model.IdentityProvider, m *metadata, a *flow.Attempt, back *flow.Return) (string, error) {
	if len(back.Form) > 0 {
		return "", malformed(p, errors.New("the answer came as a form, which was not asked for"))
	}
	for name, v := range back.Query {
		if len(v) != 1 {
			return "", malformed(p, fmt.Errorf("the answer has the parameter %s %d times", quote(name), len(v)))
		}
	}
	q := back.Query
	switch state := q.Get("state"); {
	case a.State == "" || subtle.ConstantTimeCompare([]byte(state), []byte(a.State)) != 1:
		return "", malformed(p, errors.New("the answer's state is not the attempt's"))
	case q.Has("response"):
		return "", malformed(p, errors.New("the answer is wrapped in a JWT (JARM), which was not asked for"))
	case q.Has("iss") && q.Get("iss") != p.Issuer:
		return "", unproven(p, fmt.Errorf("the answer is of the issuer %s (providers were mixed up)", quote(q.Get("iss"))))
	case !q.Has("iss") && m != nil && m.announcesIss:
		return "", unproven(p, errors.New("the answer has no iss, which the provider promises (RFC 9207)"))
	case q.Has("error") && q.Has("code"):
		return "", malformed(p, errors.New("the answer has both a code and an error"))
	case q.Has("error"):
		return "", declined(p, q.Get("error"), q.Get("error_description"))
	}
	code := q.Get("code")
	if code == "" || len(code) > longestCode || strings.ContainsFunc(code, func(r rune) bool { return r < ' ' || r > '~' }) {
		return "", malformed(p, errors.New("the answer has no code that could be one"))
	}
	return code, nil
}

// declined turns an error of RFC 6749, 4.1.2.1 or OpenID Connect Core 3.1.2.6 into
// ours. Its description is the provider's, or anybody's who made the link: it goes
// to logs alone.
func declined(p *model.IdentityProvider, code, description string) error {
	cause := fmt.Errorf("the provider answered %s (%s)", quote(code), quote(description))
	switch code {
	case "access_denied":
		return model.NewError(model.PermissionDenied, "The sign-in was declined at the identity provider.").
			WithCause(fmt.Errorf("provider %s: %w", p.Name, cause))
	case "server_error", "temporarily_unavailable":
		return unavailable(p, "authorization", cause)
	case "login_required", "interaction_required", "consent_required", "account_selection_required":
		return model.NewError(model.CredentialInvalid, "The identity provider asks you to sign in there first. Start the sign-in again.").
			WithCause(fmt.Errorf("provider %s: %w", p.Name, cause))
	case "invalid_request", "unauthorized_client", "unsupported_response_type", "invalid_scope":
		// A registration that does not fit: nobody can sign in until it is mended.
		return unavailable(p, "authorization: the gateway's registration there does not fit", cause)
	}
	return model.NewError(model.PermissionDenied, "The identity provider refused the sign-in.").
		WithCause(fmt.Errorf("provider %s: %w", p.Name, cause))
}
