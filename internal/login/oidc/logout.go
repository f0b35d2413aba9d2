package oidc

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/sallyport/sallyport/internal/login/flow"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/strict"
)

const (
	logoutEvent   = "http://schemas.openid.net/event/backchannel-logout"
	longestLogout = 16 << 10
	// oldestLogout is how old a logout token may be, and so how long the caller must
	// remember it at most. Providers that cannot deliver one try again for minutes.
	oldestLogout = time.Hour
)

// Logout proves a logout token that came to the back-channel endpoint of the
// provider (OpenID Connect Back-Channel Logout 1.0, 2.6). That it is used once is
// the caller's, by Ended.ID and Ended.Until. A provider that is switched off may
// still end sessions.
func (r *Party) Logout(ctx context.Context, p *model.IdentityProvider, token string) (*flow.Ended, error) {
	const what = "logout token"
	if p == nil || p.Type != model.ProviderOIDC {
		return nil, serves(p)
	}
	t, err := readJWT(token, longestLogout, "jwt", "logout+jwt")
	if err != nil {
		return nil, malformed(p, fmt.Errorf("the logout token cannot be read: %w", err))
	}
	// All that costs nothing comes before asking for keys: anybody may knock here.
	ended, err := t.logout(p, r.o.Now())
	if err != nil {
		return nil, refusal(p, what, err)
	}
	m, err := r.metadata(ctx, p)
	if err != nil {
		return nil, err
	}
	set := &keySet{keys: r.o.Keys, provider: p, algorithms: r.announced(ctx, p, m, t.algorithm), token: t}
	if err := set.verify(ctx); err != nil {
		return nil, refusal(p, what, err)
	}
	return ended, nil
}

// logout judges the claims of a logout token, whose signature is not verified yet.
func (t *jwt) logout(p *model.IdentityProvider, now time.Time) (*flow.Ended, error) {
	if err := t.addressed(p); err != nil {
		return nil, err
	}
	exp, err1 := t.moment("exp")
	iat, err2 := t.moment("iat")
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	events, _ := t.claims["events"].(map[string]any)
	event, isObject := events[logoutEvent].(map[string]any)
	jti, hasID := strict.Name(t.claims["jti"])
	// An id token, or another event with the same keys, must not end sessions; and a
	// logout token has no nonce, so that it is never taken for an id token.
	_, nonce := t.claims["nonce"]
	switch {
	case !isObject || len(events) != 1 || len(event) != 0:
		return nil, errors.New("its events are not a logout alone")
	case nonce:
		return nil, errors.New("it has a nonce")
	case !hasID:
		return nil, errors.New("it has no jti")
	case iat.IsZero() || iat.After(now.Add(skew)):
		return nil, errors.New("it has no iat, or one in the future")
	case !now.Before(iat.Add(oldestLogout)):
		return nil, errors.New("it is older than an hour")
	case !exp.IsZero() && !now.Before(exp.Add(skew)):
		return nil, fmt.Errorf("it expired at %s", exp.UTC().Format(time.RFC3339))
	}
	e := &flow.Ended{Until: iat.Add(oldestLogout)}
	if !exp.IsZero() && exp.Add(skew).Before(e.Until) {
		e.Until = exp.Add(skew)
	}
	sum := sha256.Sum256([]byte(p.Issuer + "\x00" + p.ClientID + "\x00" + jti))
	e.ID = base64.RawURLEncoding.EncodeToString(sum[:])
	var ok1, ok2 = true, true
	if v, there := t.claims["sub"]; there {
		e.Subject, ok1 = strict.Name(v)
	}
	if v, there := t.claims["sid"]; there {
		e.SID, ok2 = strict.Name(v)
	}
	if !ok1 || !ok2 || e.Subject == "" && e.SID == "" {
		return nil, errors.New("it names neither a subject nor a session")
	}
	return e, nil
}
