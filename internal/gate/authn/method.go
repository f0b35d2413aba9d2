package authn

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/model"
)

// Outcome is what a method says of a request.
type Outcome uint8

// The outcomes. Bad stops the walk: a wrong credential never falls through to
// the next method.
const (
	NotMine Outcome = iota // no credential of this method in the request
	Proven
	Bad
)

// Method is one way to authenticate. It sees the request's facts, fields that
// were stripped included, and keeps nothing of them: strings are views into the
// door's buffer.
type Method interface {
	Name() string
	Authenticate(ctx context.Context, r *model.Request) Result
}

// Challenger is a method that can be asked for by WWW-Authenticate.
type Challenger interface {
	// Challenge is one challenge (RFC 9110, 11.6.1), given the refusal that it
	// goes with; "" = none.
	Challenge(refusal *model.Error) string
}

// Result is a method's finding.
type Result struct {
	Outcome Outcome
	Proof   *Proof       // when Proven
	Err     *model.Error // when Bad: CredentialInvalid, CredentialExpired, IdentityUnavailable…
	Detail  string       // for audit and explain, never for the caller; no secrets
}

// Refuse is a Bad result. The published message is the same for every cause.
func Refuse(code model.Code, detail string) Result {
	return Result{Outcome: Bad, Err: refusals[code], Detail: detail}
}

var refusals = map[model.Code]*model.Error{
	model.CredentialInvalid:   {Code: model.CredentialInvalid, Message: "The credential was not accepted."},
	model.CredentialExpired:   {Code: model.CredentialExpired, Message: "The credential has expired."},
	model.CredentialMissing:   {Code: model.CredentialMissing, Message: "This route asks for credentials, and the request has none that it accepts."},
	model.IdentityUnavailable: {Code: model.IdentityUnavailable, Message: "The caller's identity cannot be checked at the moment.", RetryAfter: 5},
	model.AddressRefused:      {Code: model.AddressRefused, Message: "The credential may not be used from this address."},
	model.Overloaded:          {Code: model.Overloaded, Message: "Too many passwords are being checked at the moment.", RetryAfter: 1},
}

// Refusal is the shared error of a code: what a caller may read of it.
func Refusal(code model.Code) *model.Error { return refusals[code] }

// Proof is a verified credential. It is immutable but for Memo, may be cached
// and is shared between requests.
type Proof struct {
	Method   string
	Provider string // "" for credentials kept here
	// Principal and Credential are set for credentials kept here. For outside
	// identities they are nil, and Subject and Claims are set.
	Principal  *directory.Principal
	Credential *model.Credential
	Subject    string
	Claims     map[string]any
	// Session is the login that a browser's cookie stands for, else nil.
	Session *directory.Session
	// Ambient credentials are sent by browsers unasked.
	Ambient bool
	// Narrow says that Scopes narrow the user's rights.
	Narrow bool
	Scopes []string
	// Issued is when the credential came to be, and Expires when it ends; zero =
	// unknown, never.
	Issued, Expires time.Time
	// Memo is the gate's: what it derived from this proof under one plan.
	Memo atomic.Pointer[any]

	resolved atomic.Pointer[Proof]
}

// WithPrincipal is a copy of the proof with its user filled in. The copy's Memo
// is its own: what was derived for one user is never met at another. The copy is
// kept with the proof, for Resolved, until there is another.
func (p *Proof) WithPrincipal(who *directory.Principal) *Proof {
	if c := p.resolved.Load(); c != nil && c.Principal == who {
		return c
	}
	c := p.As(who)
	p.resolved.Store(c)
	return c
}

// As is WithPrincipal without the memory.
func (p *Proof) As(who *directory.Principal) *Proof {
	return &Proof{Method: p.Method, Provider: p.Provider, Principal: who, Credential: p.Credential, Session: p.Session,
		Subject: p.Subject, Claims: p.Claims, Ambient: p.Ambient, Narrow: p.Narrow, Scopes: p.Scopes,
		Issued: p.Issued, Expires: p.Expires}
}

// Resolved is what WithPrincipal last made of this proof, nil where nothing. Its
// principal may have become stale since.
func (p *Proof) Resolved() *Proof { return p.resolved.Load() }

// Local is the proof of a credential that is kept here.
func Local(method string, found directory.Found, ambient bool) *Proof {
	c := found.Credential
	p := &Proof{Method: method, Principal: found.Principal, Credential: c, Ambient: ambient,
		Narrow: len(c.Scopes) > 0, Scopes: c.Scopes, Issued: c.CreatedAt}
	if c.ExpiresAt != nil {
		p.Expires = *c.ExpiresAt
	}
	return p
}

// Expired says whether the proof has ended at now.
func (p *Proof) Expired(now time.Time) bool { return !p.Expires.IsZero() && !now.Before(p.Expires) }

// Found is the result for a proof of a credential that is kept here: proven, or
// expired, which is said only of a credential that is proven.
func (p *Proof) Found(now time.Time) Result {
	if p.Expired(now) {
		return Refuse(model.CredentialExpired, "the credential has expired")
	}
	return Result{Outcome: Proven, Proof: p}
}

// Lookup finds the user and the credential behind a key. An error means that it
// cannot tell, never that there is nobody.
type Lookup interface {
	Find(ctx context.Context, key directory.Key) (directory.Found, error)
}

// Stands says whether the credential of a cached proof is still the same in what
// was found just now: then a change elsewhere in the user needs no new hash.
func (p *Proof) Stands(found directory.Found) bool {
	a, b := p.Credential, found.Credential
	return a != nil && b != nil && found.Principal != nil && found.Principal.User.ID == p.Principal.User.ID &&
		a.ID == b.ID && a.Type == b.Type && a.Hash == b.Hash && a.Hash != ""
}

// Unavailable is a Bad result for what cannot be checked: never called a wrong
// credential.
func Unavailable(detail string, cause error) Result {
	return Result{Outcome: Bad, Err: Refusal(model.IdentityUnavailable).WithCause(cause), Detail: detail}
}

// At is the moment for which a request is judged: when it came, or now where its
// door did not say.
func At(r *model.Request, now func() time.Time) time.Time {
	if r.Time.IsZero() {
		return now()
	}
	return r.Time
}
