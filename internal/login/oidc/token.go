package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/fetch"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/strict"
)

// Bounds of what a token endpoint may answer.
const (
	longestToken  = 128 << 10 // an id token: some name thousands of groups
	longestSecret = 32 << 10  // an access or refresh token
)

// tokens are what a token endpoint answered.
type tokens struct {
	id, access, refresh string
	life                time.Duration // of the access token; 0 = not said
}

// due is when to ask again: somewhat before the access token ends, at least half a
// minute from now, at most a day; never where there is nothing to ask with.
func (t *tokens) due(now time.Time) time.Time {
	if t.refresh == "" {
		return time.Time{}
	}
	life := t.life
	if life <= 0 {
		life = 10 * time.Minute // RFC 6749, 5.1 only recommends expires_in
	}
	life -= min(life/10, time.Minute)
	return now.Add(min(max(life, 30*time.Second), 24*time.Hour))
}

// ask asks the token endpoint for tokens; never again for the same, since codes, and
// with many providers refresh tokens, are worth something a single time. Errors are
// *model.Error.
func (r *Party) ask(ctx context.Context, p *model.IdentityProvider, m *metadata, form url.Values) (*tokens, error) {
	answer, _, err := r.send(ctx, p, m, form)
	if err != nil {
		return nil, unavailable(p, "tokens", err)
	}
	if answer.Status != 200 {
		return nil, refused(p, answer)
	}
	t, err := readTokens(answer.Body)
	if err != nil {
		return nil, unavailable(p, "reading the token endpoint's answer", err)
	}
	return t, nil
}

// refused reads an error answer (RFC 6749, 5.2). Only invalid_grant says that the
// code or the refresh token is worth nothing; all else is between the provider and
// the gateway.
func refused(p *model.IdentityProvider, answer *fetch.Answer) error {
	code, description := refusalOf(answer)
	cause := fmt.Errorf("the token endpoint answered %d, %s (%s)", answer.Status, quote(code), quote(description))
	if code == "invalid_grant" && answer.Status >= 400 && answer.Status < 500 {
		return unproven(p, cause)
	}
	return unavailable(p, "asking the token endpoint", cause)
}

// refusalOf is the code of an error answer, and what is said to it.
func refusalOf(answer *fetch.Answer) (code, description string) {
	if doc, err := strict.Object(answer.Body); err == nil {
		code, _ = doc["error"].(string)
		description, _ = doc["error_description"].(string)
	}
	return code, description
}

func readTokens(b []byte) (*tokens, error) {
	doc, err := strict.Object(b)
	if err != nil {
		return nil, fmt.Errorf("it is no token response but %s", strict.Instead(b))
	}
	t := &tokens{}
	for _, e := range []struct {
		name string
		to   *string
		most int
	}{{"id_token", &t.id, longestToken}, {"access_token", &t.access, longestSecret}, {"refresh_token", &t.refresh, longestSecret}} {
		v, there := doc[e.name]
		if !there || v == nil {
			continue
		}
		s, ok := strict.Text(v)
		if !ok || len(s) > e.most || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return nil, fmt.Errorf("its %s is no token, or longer than %d bytes", e.name, e.most)
		}
		*e.to = s
	}
	if t.access == "" {
		return nil, errors.New("it has no access_token")
	}
	if kind, _ := doc["token_type"].(string); !strings.EqualFold(kind, "Bearer") {
		return nil, fmt.Errorf("its token_type is %s, not Bearer", quote(kind))
	}
	t.life = lifetime(doc["expires_in"])
	return t, nil
}

// lifetime reads expires_in, which some providers send as a text.
func lifetime(v any) time.Duration {
	n, _ := v.(float64)
	if s, ok := v.(string); ok {
		n, _ = strconv.ParseFloat(s, 64)
	}
	if !(n > 0) {
		return 0
	}
	return time.Duration(min(n, 1e8)) * time.Second // three years, lest it overflow
}
