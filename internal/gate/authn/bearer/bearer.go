package bearer

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/gate/authn/introspection"
	"github.com/sallyport/sallyport/internal/gate/authn/keys"
	"github.com/sallyport/sallyport/internal/model"
)

// errToken is the cause of every refusal of a token, by which Challenge knows that
// one was presented.
var errToken = errors.New("the bearer token was refused")

var (
	invalidToken = authn.Refusal(model.CredentialInvalid).WithCause(errToken)
	expiredToken = authn.Refusal(model.CredentialExpired).WithCause(errToken)
)

func refuse(detail string) authn.Result {
	return authn.Result{Outcome: authn.Bad, Err: invalidToken, Detail: detail}
}

// Method is bearer.
type Method struct {
	cache     *authn.Cache
	keys      *keys.Registry
	asker     *introspection.Registry
	providers []provider                // of type jwt
	opaque    []*model.IdentityProvider // of type introspection and enabled, in order of name
	asks      bool                      // there is a provider of type introspection
	hosts     *authn.Hosts
	replay    *authn.Replay
	epoch     uint64
	now       func() time.Time
}

// Deps are what the method needs. All but Providers and Hosts, which must not
// change afterwards, live as long as the process.
type Deps struct {
	Providers []model.IdentityProvider
	Keys      *keys.Registry
	Asker     *introspection.Registry
	Cache     *authn.Cache
	Hosts     *authn.Hosts  // under which proofs of possession may be made; of the configuration
	Replay    *authn.Replay // of proofs
	Now       func() time.Time
}

// New makes the method for the jwt and introspection providers among the given.
func New(d Deps) *Method {
	m := &Method{cache: d.Cache, keys: d.Keys, asker: d.Asker, hosts: d.Hosts, replay: d.Replay, now: d.Now}
	var parts, more []string
	m.providers, parts = collect(d.Providers)
	m.opaque, more = collectOpaque(d.Providers)
	m.asks = len(more) > 0
	m.epoch = authn.Epoch(append(parts, more...)...)
	return m
}

// Name is the method's name.
func (m *Method) Name() string { return model.MethodBearer }

// Challenge is that of RFC 6750, 3, or of RFC 9449, 7.1 where a token was refused
// that is bound to a key. An error is named only where a token was sent.
func (m *Method) Challenge(refusal *model.Error) string {
	const realm = ` realm="sallyport"`
	const dpop = `DPoP` + realm + `, algs="` + proofAlgorithms + `"`
	switch {
	case refusal == nil:
		return `Bearer` + realm
	case errors.Is(refusal, errProof):
		return dpop + `, error="invalid_dpop_proof"`
	case errors.Is(refusal, errBound):
		return dpop + `, error="invalid_token"`
	case !errors.Is(refusal, errToken):
		return `Bearer` + realm
	case refusal.Code == model.CredentialExpired:
		return `Bearer` + realm + `, error="invalid_token", error_description="The token has expired"`
	}
	return `Bearer` + realm + `, error="invalid_token"`
}

// Authenticate verifies the token in the Authorization field, and nowhere else.
func (m *Method) Authenticate(ctx context.Context, r *model.Request) authn.Result {
	raw, found := authn.Authorization(r, "Bearer")
	bound, other := authn.Authorization(r, "DPoP")
	switch {
	case found == authn.Absent && other == authn.Absent:
		return authn.Result{}
	case found != authn.Absent && other != authn.Absent:
		return refuse(authn.PresenceDetail(authn.Differing))
	case other != authn.Absent:
		res := m.token(ctx, r, bound, other, true)
		switch res.Err { // said of a token that came with a proof
		case invalidToken:
			res.Err = boundToken
		case expiredToken:
			res.Err = expiredBound
		}
		return res
	}
	return m.token(ctx, r, raw, found, false)
}

// token judges the token of either scheme: whether it is good, and then whether it
// is in the right hands.
func (m *Method) token(ctx context.Context, r *model.Request, raw string, found authn.Presence, dpop bool) authn.Result {
	switch {
	case found != authn.Present:
		return refuse(authn.PresenceDetail(found))
	case len(raw) > maxToken:
		return refuse("the token is longer than 16 KiB")
	}
	now := authn.At(r, m.now)
	opaque := m.asks && !looksLikeJWT(raw)
	var key authn.CacheKey
	if opaque {
		key = m.cache.Key(authn.SpaceOpaque, m.epoch, raw)
	} else {
		key = m.cache.Key(authn.SpaceBearer, m.epoch+m.keys.Generation(), raw)
	}
	p := m.cache.Get(key, now)
	if p == nil {
		var refusal authn.Result
		if opaque {
			refusal = m.verifyOpaque(ctx, raw, key, now)
			p = refusal.Proof
		} else if p, refusal = m.verify(ctx, strings.Clone(raw), now); p != nil {
			m.cache.Put(key, p, p.Expires)
		}
		if p == nil {
			return refusal
		}
	}
	return m.held(p, r, raw, dpop, now)
}

// verify judges a token that was not seen before: form, provider, signature, and
// only then its claims.
func (m *Method) verify(ctx context.Context, raw string, now time.Time) (*authn.Proof, authn.Result) {
	t, fault := read(raw)
	if fault != "" {
		return nil, refuse(fault)
	}
	p, fault := choose(m.providers, t)
	if fault != "" {
		return nil, refuse(fault)
	}
	if !slices.Contains(p.algorithms, t.algorithm) {
		return nil, refuse("provider " + p.model.Name + " does not accept the algorithm " + quote(t.algorithm))
	}
	candidates, err := m.keys.For(p.model).Find(ctx, t.kid, t.algorithm)
	switch {
	case errors.Is(err, keys.ErrUnavailable):
		return nil, authn.Unavailable("the keys of provider "+p.model.Name+" cannot be had", err)
	case err != nil:
		return nil, refuse("provider " + p.model.Name + ", kid " + quote(t.kid) + ", " + quote(t.algorithm) + ": " + err.Error())
	}
	if !t.signed(candidates) {
		return nil, refuse("the signature is not by a key of provider " + p.model.Name)
	}
	return p.check(t, now)
}

// signed says whether one of the keys made the signature. The algorithm is the one
// that the key was found for: the library is told so and takes no other.
func (t *token) signed(candidates []*keys.Key) bool {
	jws, err := jose.ParseSignedCompact(t.raw, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(t.algorithm)})
	if err != nil {
		return false
	}
	for _, k := range candidates {
		payload, err := jws.Verify(k.Public)
		if err == nil && bytes.Equal(payload, t.payload) {
			return true
		}
	}
	return false
}
