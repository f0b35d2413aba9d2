package verify

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// Verifier checks requests. It is safe for concurrent use.
type Verifier struct {
	gateway *trust            // nil = no assertions
	tokens  map[string]*trust // by issuer
	home    string            // whom a policy entry without an issuer speaks of; "" = nobody
	header  string
	skew    time.Duration
	maxAge  time.Duration
	now     func() time.Time
	log     *slog.Logger
	policy  *policySource // nil = every verified caller may do everything
}

// Middleware lets through to next what Verify accepts, with the Identity in its
// context, and answers everything else itself.
func (v *Verifier) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := v.Verify(r)
		if err != nil {
			WriteError(w, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(NewContext(r.Context(), id)))
	})
}

// Verify says who is calling and that the policy allows it. Its errors are
// *Error; see WriteError.
func (v *Verifier) Verify(r *http.Request) (Identity, error) {
	id, err := v.authenticate(r)
	if err != nil {
		err.bearer = len(v.tokens) > 0
		return Identity{}, err
	}
	if v.policy == nil {
		return id, nil
	}
	path, ok := canonical(r.URL.EscapedPath())
	if !ok {
		return Identity{}, ambiguous()
	}
	if !v.policy.current().allows(&id, v.home, r.Method, path) {
		return Identity{}, denied()
	}
	return id, nil
}

// authenticate takes the assertion where there is one, for the gateway has the
// last word; a wrong one never falls through to the forwarded token.
func (v *Verifier) authenticate(r *http.Request) (Identity, *Error) {
	if v.gateway != nil {
		switch list := r.Header.Values(v.header); {
		case len(list) > 1:
			return Identity{}, invalid(errors.New("the assertion is there more than once"))
		case len(list) == 1:
			return v.assertion(r, list[0])
		}
	}
	if len(v.tokens) == 0 {
		return Identity{}, missing()
	}
	list := r.Header.Values("Authorization")
	if len(list) > 1 {
		return Identity{}, invalid(errors.New("more than one Authorization"))
	}
	if len(list) == 0 {
		return Identity{}, missing()
	}
	scheme, token, _ := strings.Cut(list[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return Identity{}, missing()
	}
	return v.forwarded(r, strings.TrimSpace(token))
}

func (v *Verifier) assertion(r *http.Request, text string) (Identity, *Error) {
	t, err := parse(text, v.gateway.algorithms)
	if err != nil {
		return Identity{}, invalid(err)
	}
	if t.typ != "JWT" || t.kid == "" {
		return Identity{}, invalid(errors.New("the assertion's header is not the gateway's"))
	}
	c, e := t.verify(r.Context(), v.gateway)
	if e != nil {
		return Identity{}, e
	}
	if e := v.check(c, v.gateway); e != nil {
		return Identity{}, e
	}
	issued, ok, err := c.time("iat")
	if err != nil || !ok {
		return Identity{}, invalid(errors.New("iat is missing or not a time"))
	}
	if v.now().Sub(issued) > v.maxAge+v.skew {
		return Identity{}, expired(errors.New("the assertion is older than MaxAge"))
	}
	if c.text("sub") == "" || c.text("preferred_username") == "" {
		return Identity{}, invalid(errors.New("sub or preferred_username is missing"))
	}
	return identityOf(v.gateway, c, false), nil
}

func (v *Verifier) forwarded(r *http.Request, text string) (Identity, *Error) {
	t, err := parse(text, tokenAlgorithms)
	if err != nil {
		return Identity{}, invalid(err)
	}
	switch strings.ToLower(strings.TrimPrefix(strings.ToLower(t.typ), "application/")) {
	case "", "jwt", "at+jwt":
	default: // a logout token or a DPoP proof is signed by the same issuer
		return Identity{}, invalid(errors.New("the token's typ is not that of an access token"))
	}
	issuer, ok := v.tokens[t.unverifiedIssuer()]
	if !ok {
		return Identity{}, invalid(errors.New("the token's issuer is not listed"))
	}
	c, e := t.verify(r.Context(), issuer)
	if e != nil {
		return Identity{}, e
	}
	if e := v.check(c, issuer); e != nil {
		return Identity{}, e
	}
	if _, bound := c["cnf"]; bound {
		return Identity{}, invalid(errors.New("the token is bound to a key (cnf), and whether its sender has that key cannot be seen here"))
	}
	id := identityOf(issuer, c, true)
	if id.Name == "" {
		return Identity{}, invalid(errors.New("the token names nobody"))
	}
	return id, nil
}

// check is what holds for assertions and tokens alike: iss, aud, exp, nbf, iat.
func (v *Verifier) check(c claims, t *trust) *Error {
	if c.text("iss") != t.issuer {
		return invalid(errors.New("iss is another's"))
	}
	if !c.audience(t.audiences) {
		return invalid(errors.New("aud is another's"))
	}
	now := v.now()
	for _, name := range []string{"nbf", "iat"} {
		at, ok, err := c.time(name)
		if err != nil || ok && at.After(now.Add(v.skew)) {
			return invalid(errors.Join(errors.New(name+" is not a time, or in the future"), err))
		}
	}
	exp, ok, err := c.time("exp")
	if err != nil || !ok {
		return invalid(errors.New("exp is missing or not a time"))
	}
	if !now.Before(exp.Add(v.skew)) {
		return expired(errors.New("exp is over"))
	}
	return nil
}
