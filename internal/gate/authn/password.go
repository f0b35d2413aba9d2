package authn

import (
	"context"

	"github.com/sallyport/sallyport/internal/model"
)

// PasswordAnswer is what a directory says of a name and a password.
type PasswordAnswer struct {
	Known   bool   // it has one user of that name, whose password this is or is not
	Subject string // the user's lasting id, where the password is right
	Claims  map[string]any
	Refusal string // why not, for the audit
}

// Passwords asks those who keep the passwords of users elsewhere. An error means
// that it cannot tell, never that a password is wrong.
type Passwords interface {
	Ask(ctx context.Context, p *model.IdentityProvider, username, password string) (PasswordAnswer, error)
}
