package cli

import (
	"context"

	"github.com/sallyport/sallyport/internal/model"
)

type userCommands struct {
	List   userList   `cmd:"" help:"List users."`
	Get    userGet    `cmd:"" help:"Show one user."`
	Create userCreate `cmd:"" help:"Create a user."`
	Update userUpdate `cmd:"" help:"Change fields of a user."`
	Delete userDelete `cmd:"" help:"Delete users, with all their credentials."`
}

type (
	userList   struct{ listCommand }
	userGet    struct{ getCommand }
	userDelete struct{ deleteCommand }
)

// Run lists users.
func (c *userList) Run(ctx context.Context, r *run) error { return c.in(ctx, r, users) }

// Run shows a user.
func (c *userGet) Run(ctx context.Context, r *run) error { return c.in(ctx, r, users) }

// Run deletes users.
func (c *userDelete) Run(ctx context.Context, r *run) error { return c.in(ctx, r, users) }

type userFlags struct {
	Kind        *string  `enum:"person,application,service" placeholder:"KIND" help:"person, application or service."`
	DisplayName *string  `placeholder:"TEXT" help:"The name that people read."`
	Email       []string `placeholder:"ADDRESS" help:"E-mail addresses."`
	Group       []string `placeholder:"GROUP" help:"Groups; \"\" for none."`
	Role        []string `placeholder:"ROLE" help:"Roles; \"\" for none."`
	Active      *string  `enum:"true,false" placeholder:"BOOL" help:"false ends every access at once."`
	Expires     *string  `placeholder:"WHEN" help:"A time (2027-01-31T12:00:00Z), a date, or a while (30d, 12h); never."`
}

func (f *userFlags) object(r *run, s *source) (object, error) {
	o := object{}
	o.text("kind", f.Kind)
	o.text("displayName", f.DisplayName)
	o.list("emails", f.Email)
	o.list("groups", f.Group)
	o.list("roles", f.Role)
	o.flag("active", f.Active)
	if err := o.moment("expiresAt", f.Expires); err != nil {
		return nil, err
	}
	return s.fields(r, o)
}

type userCreate struct {
	Username string `arg:"" help:"1 to 254 characters."`
	userFlags
	Password bool `help:"Give the user a password, asked for on the terminal or read from standard input."`
	source
	change
}

// Run creates a user.
func (c *userCreate) Run(ctx context.Context, r *run) error {
	o, err := c.object(r, &c.source)
	if err != nil {
		return err
	}
	if c.Password {
		p, err := r.newPassword("Password of " + c.Username)
		if err != nil {
			return err
		}
		o["credentials"] = []any{object{"type": model.Password, "password": p}}
	}
	return r.create(ctx, users, c.Username, o, c.change)
}

type userUpdate struct {
	Username string `arg:"" help:"Who."`
	userFlags
	source
	change
}

// Run changes a user.
func (c *userUpdate) Run(ctx context.Context, r *run) error {
	o, err := c.object(r, &c.source)
	if err != nil {
		return err
	}
	return r.update(ctx, users, c.Username, o, c.change)
}
