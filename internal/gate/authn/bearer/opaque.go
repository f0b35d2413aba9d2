package bearer

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/strict"
)

const (
	// maxOpaque is the longest opaque token that anybody is asked about.
	maxOpaque = 4 << 10
	// Positive is how long an answer is believed without asking again: a token that
	// is revoked at its provider is refused at the latest by then.
	Positive = 30 * time.Second
	// patience is how long a request waits for all providers together.
	patience = 3 * time.Second
)

// collectOpaque gathers the providers that may be asked about opaque tokens, in
// order of name.
func collectOpaque(list []model.IdentityProvider) (out []*model.IdentityProvider, epoch []string) {
	for i := range list {
		if p := &list[i]; p.Type == model.ProviderIntrospection {
			b, _ := json.Marshal(p)
			epoch = append(epoch, string(b))
			if p.Enabled {
				out = append(out, p)
			}
		}
	}
	slices.SortFunc(out, func(a, b *model.IdentityProvider) int { return strings.Compare(a.Name, b.Name) })
	return out, epoch
}

// looksLikeJWT says whether a token could be meant for a JWT: a part before a dot
// that begins, as far as it can be decoded, like a JSON object. Such a token is
// judged here by its signature and never sent to anybody: else a broken or forged
// one could look for somebody who takes it.
func looksLikeJWT(raw string) bool {
	head, _, dotted := strings.Cut(raw, ".")
	if !dotted {
		return false
	}
	var in [64]byte
	var out [48]byte
	n := copy(in[:], head)
	n, _ = base64.RawURLEncoding.Decode(out[:], in[:n])
	for _, c := range out[:n] {
		switch c {
		case ' ', '\t', '\r', '\n':
		default:
			return c == '{'
		}
	}
	return n > 0
}

// tokenSyntax is b64token of RFC 6750, 2.1.
func tokenSyntax(s string) bool {
	s = strings.TrimRight(s, "=")
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~+/", c) >= 0) {
			return false
		}
	}
	return s != ""
}

// verifyOpaque asks about a token whose answer is not known, once for all that
// bring it at the same time. CVE-2026-33496, CVE-2021-32701: the key holds the
// whole configuration of the providers beside the token, so that what one of them
// granted under one set of demands is never met under another.
func (m *Method) verifyOpaque(ctx context.Context, raw string, key authn.CacheKey, now time.Time) authn.Result {
	if res, ok := m.asker.Refused(key, now); ok {
		return res
	}
	if len(raw) > maxOpaque || !tokenSyntax(raw) {
		return refuse("the token is neither a signed JWT nor an opaque token of at most 4 KiB (RFC 6750, 2.1)")
	}
	token := strings.Clone(raw)
	return m.cache.Once(ctx, key, func(ctx context.Context) authn.Result {
		if p := m.cache.Get(key, now); p != nil { // another flight has just ended
			return authn.Result{Outcome: authn.Proven, Proof: p}
		}
		return m.introspect(ctx, token, key, now)
	})
}

// introspect asks the providers, in order of name, until one vouches for the token.
func (m *Method) introspect(ctx context.Context, token string, key authn.CacheKey, now time.Time) authn.Result {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var down error
	var silent string
	refusal := refuse("no provider says that the token is active")
	for _, p := range m.opaque {
		var claims map[string]any
		err := m.asker.Ask(ctx, p, token, func(b []byte) (err error) { claims, err = answer(b); return err })
		switch {
		case err != nil:
			down, silent = err, p.Name
			continue
		case claims == nil:
			continue
		}
		proof, res := judge(p, claims, now)
		if proof == nil {
			refusal = res
			continue
		}
		until := now.Add(Positive)
		if !proof.Expires.IsZero() && proof.Expires.Before(until) {
			until = proof.Expires
		}
		m.cache.Put(key, proof, until)
		return authn.Result{Outcome: authn.Proven, Proof: proof}
	}
	if down != nil {
		return authn.Unavailable("provider "+silent+" could not be asked about the token", down)
	}
	m.asker.Refuse(key, refusal, now)
	return refusal
}

// answer reads an introspection response (RFC 7662, 2.2): its claims where the
// token is active, nil where it is not. Anything but a clear yes or no is an error.
func answer(b []byte) (map[string]any, error) {
	claims, err := strict.Object(b)
	if err != nil {
		return nil, errors.New("its answer is " + err.Error())
	}
	active, ok := claims["active"].(bool)
	switch {
	case !ok:
		return nil, errors.New("its answer has no active that is true or false")
	case !active:
		return nil, nil
	}
	return claims, nil
}

// judge decides whether an active token is one for us, and whose it is.
func judge(p *model.IdentityProvider, claims map[string]any, now time.Time) (*authn.Proof, authn.Result) {
	said := func(what string) authn.Result { return refuse("provider " + p.Name + ": the token " + what) }
	t := &token{claims: claims}
	if p.Issuer != "" {
		if iss, ok := strict.Text(claims["iss"]); !ok || iss != p.Issuer {
			return nil, said("is of another issuer, or the answer does not name it")
		}
	}
	if fault := t.readAudiences(); fault != "" {
		return nil, refuse(fault)
	}
	if !slices.ContainsFunc(t.audiences, func(a string) bool { return slices.Contains(p.Audiences, a) }) {
		return nil, said("is for another audience, or the answer names none")
	}
	if fault := kind(claims); fault != "" {
		return nil, said(fault)
	}
	exp, iat, fault := times(claims, now)
	if fault != "" {
		return nil, refuse(fault)
	}
	if !name(claims) {
		return nil, said("has no sub, username or client_id that could name anybody")
	}
	return prove(p, claims, exp, iat, now)
}

// kind keeps out what a provider may answer for beside access tokens, such as
// refresh tokens (Hydra tells them by token_use).
func kind(claims map[string]any) string {
	if v, there := claims["token_type"]; there {
		s, _ := v.(string)
		switch strings.ToLower(s) {
		case "bearer", "access_token":
		case "dpop": // bound to a key: the answer must say to which
			cnf, _ := claims["cnf"].(map[string]any)
			if jkt, _ := cnf["jkt"].(string); jkt == "" {
				return "is said to be bound to a key (token_type DPoP), but not to which"
			}
		default:
			return "is of another type than Bearer or DPoP"
		}
	}
	if v, there := claims["token_use"]; there && v != "access_token" && v != "access" {
		return "is not an access token (token_use)"
	}
	return purpose(claims)
}

// name settles under which subject a user is known: sub, which every answer should
// have; else username, or the client where no person is involved. These two carry
// a prefix, so that a client that is called like somebody's sub is not that person
// (RFC 9068, 5). The mapping finds the plain name in preferred_username.
func name(claims map[string]any) bool {
	username, named := strict.Text(claims["username"])
	client, isClient := strict.Text(claims["client_id"])
	sub, ok := claims["sub"].(string)
	plain := username
	switch {
	case claims["sub"] != nil && !ok:
		return false
	case ok:
	case named:
		claims["sub"] = "username:" + username
	case isClient:
		claims["sub"], plain = "client:"+client, client
	}
	if _, there := claims["preferred_username"]; !there && plain != "" {
		claims["preferred_username"] = plain
	}
	return sub != "" || named || isClient
}
