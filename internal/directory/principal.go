package directory

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

// Principal is a user as the request path knows it: immutable, shared, and
// marked stale the moment its user, groups apart, is changed or revoked.
type Principal struct {
	User  model.User // credentials included, without password hashes being of any use to callers
	stale atomic.Bool
	used  atomic.Bool // since the cache last looked for one to let go
	word  atomic.Pointer[[32]byte]
}

// NewPrincipal wraps a user; u must not be changed afterwards.
func NewPrincipal(u model.User) *Principal { return &Principal{User: u} }

// Fresh is false once the user has changed since this principal was read; whoever
// holds it must look it up again. A lookup that was overtaken by a change, or
// that was answered during an outage, gives a principal that is stale at once:
// good for the request that asked, and for no cache.
func (p *Principal) Fresh() bool {
	if !p.used.Load() { // a load is cheaper than a store where many cores share the principal
		p.used.Store(true)
	}
	return !p.stale.Load()
}

// Expire marks the principal stale.
func (p *Principal) Expire() { p.stale.Store(true) }

// Confirm notes the digest of what a provider asserted, and this user is already:
// saying it again changes nothing, so nobody need ask the store.
func (p *Principal) Confirm(word [32]byte) { p.word.Store(&word) }

// Confirmed says whether the provider's word is the one that was confirmed last.
func (p *Principal) Confirmed(word [32]byte) bool {
	w := p.word.Load()
	return w != nil && *w == word
}

// Credential finds the user's credential by id.
func (p *Principal) Credential(id string) *model.Credential {
	for i := range p.User.Credentials {
		if p.User.Credentials[i].ID == id {
			return &p.User.Credentials[i]
		}
	}
	return nil
}

// By says how a credential is looked up.
type By uint8

// The ways to look up.
const (
	ByUsername    By = iota + 1 // A: username, any case; finds the user and its password, if it has one
	ByKeyID                     // A: the id within an API key
	ByCertificate               // A: kind (fingerprint, uri, dns, email, subject); B: the value
	ByLink                      // A: provider; B: subject
	ByPublicKey                 // A: the key's thumbprint (RFC 7638)
)

// Key names one credential to look up.
type Key struct {
	By   By
	A, B string
}

// Found is a user and the credential by which it was found. Both are nil where
// nobody is behind the key; Credential is nil where a username has no password.
type Found struct {
	Principal  *Principal
	Credential *model.Credential
}

// Source is where the directory reads from: a store. An error means that it
// cannot tell, never that there is nobody.
type Source interface {
	FindUser(ctx context.Context, key Key) (user *model.User, credentialID string, err error)
	UserByID(ctx context.Context, id string) (*model.User, error)
}

// Provisioner makes or links the user that a provider vouches for.
type Provisioner interface {
	// Provision finds, links or makes the user of an outside identity as its
	// provider says, refreshes what the provider asserts, and answers its user's
	// id; "" where there is none and none may be made.
	Provision(ctx context.Context, o Outside) (userID string, dropped []string, err error)
}

// Outside is an identity that a provider asserts, mapped to our fields.
type Outside struct {
	Provider    *model.IdentityProvider
	Subject     string
	Username    string
	Email       string
	DisplayName string
	Groups      []string
	Roles       []string
	Attributes  map[string]any
	Asserted    Asserted
	Issued      time.Time // of the token; zero = asserted now
}

// Asserted says which fields the provider's mapping named, so that what it no
// longer asserts is taken away and what it never speaks of is left alone.
type Asserted struct{ Email, DisplayName, Groups, Roles, Attributes bool }
