package verify

import (
	"context"
	"time"
)

// Identity is a verified caller.
type Identity struct {
	// Name is what people call it: preferred_username; a token without that is
	// named by its sub, then by client_id or azp.
	Name    string
	Subject string // sub: the stable id
	Client  string // client_id, or azp: the application that acts for the caller; "" = none
	Issuer  string // who vouches: the gateway, or a listed issuer
	// Forwarded is true for a token of a listed issuer, false for an assertion.
	Forwarded bool

	Groups, Roles []string
	Methods       []string // amr: how the gateway's caller was authenticated
	Session       string   // sid
	ID            string   // jti
	Issued        time.Time
	Expires       time.Time
	// Claims are all of them, as JSON values.
	Claims map[string]any
}

type contextKey struct{}

// FromContext is the caller that the middleware verified; false outside of it.
func FromContext(ctx context.Context) (Identity, bool) {
	id, ok := ctx.Value(contextKey{}).(*Identity)
	if !ok {
		return Identity{}, false
	}
	return *id, true
}

// NewContext puts an identity into a context, for tests of handlers.
func NewContext(ctx context.Context, id Identity) context.Context {
	return context.WithValue(ctx, contextKey{}, &id)
}

func identityOf(t *trust, c claims, forwarded bool) Identity {
	id := Identity{
		Name: c.text("preferred_username"), Subject: c.text("sub"), Client: c.text("client_id"),
		Issuer: t.issuer, Forwarded: forwarded,
		Groups: c.texts("groups"), Roles: c.texts("roles"), Methods: c.texts("amr"),
		Session: c.text("sid"), ID: c.text("jti"), Claims: c,
	}
	if id.Client == "" {
		id.Client = c.text("azp")
	}
	if id.Name == "" {
		id.Name = id.Subject
	}
	if id.Name == "" {
		id.Name = id.Client
	}
	id.Issued, _, _ = c.time("iat")
	id.Expires, _, _ = c.time("exp")
	return id
}
