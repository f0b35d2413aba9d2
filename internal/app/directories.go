package app

import (
	"context"

	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/ldap"
	"github.com/sallyport/sallyport/internal/model"
)

// directories lets the method basic ask LDAP, of which the gate knows nothing.
type directories struct{ *ldap.Registry }

// Ask proves a name and a password.
func (d directories) Ask(ctx context.Context, p *model.IdentityProvider, username, password string) (authn.PasswordAnswer, error) {
	a, err := d.Registry.Ask(ctx, p, username, password)
	return authn.PasswordAnswer(a), err
}
