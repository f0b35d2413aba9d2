package flow

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

// Protocol signs people in at providers of one type. It keeps no attempts: what it
// must remember between departure and return is derived from the attempt. Errors
// that a person may read are *model.Error: CredentialInvalid for what the provider
// did not prove, PermissionDenied where the person or the provider declined,
// RequestMalformed for what is no answer of the protocol, IdentityUnavailable for
// what cannot be checked now. Their causes are for logs alone.
type Protocol interface {
	// Begin is where the browser goes. It answers within two seconds: a provider
	// that is down stops new logins with IdentityUnavailable.
	Begin(ctx context.Context, a *Attempt) (*Departure, error)
	// Finish proves what the browser brought back to the attempt.
	Finish(ctx context.Context, a *Attempt, back *Return) (*Identity, error)
}

// Refresher is a protocol that can ask a provider again without the person.
type Refresher interface {
	// Refresh answers the identity as the provider describes it now. Only
	// CredentialInvalid says that the provider no longer stands by the session. An
	// identity beside another error has Keep alone, which takes the old one's place:
	// the provider has replaced what is in it.
	Refresh(ctx context.Context, p *model.IdentityProvider, keep []byte) (*Identity, error)
}

// Ender is a protocol that can end the session at the provider too.
type Ender interface {
	// End is where the browser goes to log out there; nil = the provider has no
	// such thing. back is where it is to come back to.
	End(ctx context.Context, a *Attempt, keep []byte, back *url.URL) (*Departure, error)
}

// SingleLogout is a protocol whose providers send browsers with logouts of their
// own, and with the answers to ours (SAML).
type SingleLogout interface {
	// Logout proves what a browser brought. Where it is the provider's request, ended
	// says whose sessions end, and departure, to be followed once they have ended, is
	// the answer; nil where the provider has nowhere to answer. Where it is the answer
	// to our own logout, whose attempt a is, both are nil. For a request, a has no
	// Secret; its State is what came with it, and goes back.
	Logout(ctx context.Context, a *Attempt, back *Return) (ended *Ended, departure *Departure, err error)
}

// Attempt is one login, or logout, at one provider.
type Attempt struct {
	Provider *model.IdentityProvider
	Base     *url.URL // externalURL, under which the provider knows the gateway
	// State goes to the provider and comes back; it means nothing to the protocol.
	State string
	// Secret is 43 characters (base64url) that only the gateway can tell of this
	// attempt, whatever the browser saw: of it come PKCE verifier, nonce, request id.
	// It is empty where the provider began (SAML's IdP-initiated login).
	Secret string
	Began  time.Time
}

// Departure is where a browser goes: by a redirect, or where Form is not nil by a
// form that it posts to URL.
type Departure struct {
	URL  string
	Form url.Values
}

// Return is what a browser brought back: the parameters of the query or the form.
type Return struct {
	Request *http.Request // for its method and path; the body has been read
	Query   url.Values
	Form    url.Values // nil where the request has none
}

// Identity is whom a provider vouches for.
type Identity struct {
	Subject string         // who, at the provider; never changes
	Claims  map[string]any // what mappings read: JSON's types
	// SID is the provider's name of its own session, by which it ends ours; "" = none.
	SID string
	// Issued is when the provider said so; Refresh when to ask again (zero = never);
	// Expires when the provider's word ends by itself (zero = never).
	Issued, Refresh, Expires time.Time
	// Once names the provider's statement where it must not be taken twice (the id
	// of a SAML assertion), OnceUntil says how long it could be: the caller accepts
	// each once for the provider. "" = the attempt itself sees to that.
	Once      string
	OnceUntil time.Time
	// Keep is what Refresh and End need. It is sealed wherever it is stored.
	Keep []byte
}

// Ended names whose sessions a provider has ended (back-channel or single logout):
// the one of a SID, or all of a subject's.
type Ended struct {
	Subject string
	SID     string
	// ID names the message, and Until says how long it could be played again: the
	// caller accepts each once.
	ID    string
	Until time.Time
}
