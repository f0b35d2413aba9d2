package cli

import (
	"context"

	"github.com/sallyport/sallyport/internal/model"
)

type providerCommands struct {
	List   providerList   `cmd:"" help:"List identity providers."`
	Get    providerGet    `cmd:"" help:"Show one identity provider, secrets masked."`
	Create providerCreate `cmd:"" help:"Create an identity provider."`
	Update providerUpdate `cmd:"" help:"Change fields of an identity provider."`
	Delete providerDelete `cmd:"" help:"Delete identity providers, with the links that users have to them."`
	Check  providerCheck  `cmd:"" help:"Ask identity providers freshly, and say what stands in the way of their users."`
}

type (
	providerList   struct{ listCommand }
	providerGet    struct{ getCommand }
	providerDelete struct{ deleteCommand }
	providerCreate struct{ providerFlags }
	providerUpdate struct{ providerFlags }
)

type providerFlags struct {
	Name      string   `arg:"" help:"Its name."`
	Type      *string  `placeholder:"TYPE" help:"oidc, jwt, introspection, saml, ldap or trustedHeader. What each needs is given by --set or -f."`
	Issuer    *string  `placeholder:"URL" help:"As its tokens name it."`
	Audience  []string `placeholder:"AUDIENCE" help:"Audiences; a token names one of them."`
	Provision *string  `enum:"jit,match,off" placeholder:"HOW" help:"jit, match or off: whether users are made, linked, or known by their links alone."`
	Role      []string `placeholder:"ROLE" help:"Roles of all that it vouches for; \"\" for none."`
	Enabled   *string  `enum:"true,false" placeholder:"BOOL" help:"false ends all that it vouches for at once."`
	source
	change
}

func (f *providerFlags) object(r *run) (object, error) {
	o := object{}
	o.text("type", f.Type)
	o.text("issuer", f.Issuer)
	o.list("audiences", f.Audience)
	o.text("provision", f.Provision)
	o.list("roles", f.Role)
	o.flag("enabled", f.Enabled)
	return f.fields(r, o)
}

// Run lists providers.
func (c *providerList) Run(ctx context.Context, r *run) error { return c.in(ctx, r, providers) }

// Run shows a provider.
func (c *providerGet) Run(ctx context.Context, r *run) error { return c.in(ctx, r, providers) }

// Run deletes providers.
func (c *providerDelete) Run(ctx context.Context, r *run) error { return c.in(ctx, r, providers) }

// Run creates a provider.
func (c *providerCreate) Run(ctx context.Context, r *run) error {
	o, err := c.object(r)
	if err != nil {
		return err
	}
	return r.create(ctx, providers, c.Name, o, c.change)
}

// Run changes a provider.
func (c *providerUpdate) Run(ctx context.Context, r *run) error {
	o, err := c.object(r)
	if err != nil {
		return err
	}
	return r.update(ctx, providers, c.Name, o, c.change)
}

type administratorCommands struct {
	List   administratorList   `cmd:"" help:"List administrators."`
	Get    administratorGet    `cmd:"" help:"Show one administrator, secrets masked."`
	Create administratorCreate `cmd:"" help:"Create an administrator."`
	Update administratorUpdate `cmd:"" help:"Change fields of an administrator."`
	Delete administratorDelete `cmd:"" help:"Delete administrators, with all their credentials."`
}

type (
	administratorList   struct{ listCommand }
	administratorGet    struct{ getCommand }
	administratorDelete struct{ deleteCommand }
	administratorUpdate struct{ administratorFlags }
)

type administratorFlags struct {
	Name   string   `arg:"" help:"The administrator's name."`
	Role   []string `placeholder:"ROLE" help:"admin, operator, provisioner or auditor."`
	Active *string  `enum:"true,false" placeholder:"BOOL" help:"false ends every access at once."`
	source
	change
}

func (f *administratorFlags) object(r *run) (object, error) {
	o := object{}
	o.list("roles", f.Role)
	o.flag("active", f.Active)
	return f.fields(r, o)
}

// Run lists administrators.
func (c *administratorList) Run(ctx context.Context, r *run) error {
	return c.in(ctx, r, administrators)
}

// Run shows an administrator.
func (c *administratorGet) Run(ctx context.Context, r *run) error {
	return c.in(ctx, r, administrators)
}

// Run deletes administrators.
func (c *administratorDelete) Run(ctx context.Context, r *run) error {
	return c.in(ctx, r, administrators)
}

type administratorCreate struct {
	administratorFlags
	Password bool `help:"Give the administrator a password, asked for on the terminal or read from standard input."`
}

// Run creates an administrator.
func (c *administratorCreate) Run(ctx context.Context, r *run) error {
	o, err := c.object(r)
	if err != nil {
		return err
	}
	if c.Password {
		p, err := r.newPassword("Password of " + c.Name)
		if err != nil {
			return err
		}
		o["credentials"] = []any{object{"type": model.Password, "password": p}}
	}
	return r.create(ctx, administrators, c.Name, o, c.change)
}

// Run changes an administrator.
func (c *administratorUpdate) Run(ctx context.Context, r *run) error {
	o, err := c.object(r)
	if err != nil {
		return err
	}
	return r.update(ctx, administrators, c.Name, o, c.change)
}
