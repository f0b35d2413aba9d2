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
}
