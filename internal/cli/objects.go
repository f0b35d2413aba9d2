package cli

import (
	"context"
	"fmt"
	"strings"
)

type groupCommands struct {
	List   groupList   `cmd:"" help:"List groups."`
	Get    groupGet    `cmd:"" help:"Show one group."`
	Create groupCreate `cmd:"" help:"Create a group."`
	Update groupUpdate `cmd:"" help:"Change fields of a group."`
	Delete groupDelete `cmd:"" help:"Delete groups."`
}

type (
	groupList   struct{ listCommand }
	groupGet    struct{ getCommand }
	groupDelete struct{ deleteCommand }
	groupCreate struct{ groupFlags }
	groupUpdate struct{ groupFlags }
)

type groupFlags struct {
	Name        string   `arg:"" help:"Its name."`
	Role        []string `placeholder:"ROLE" help:"Roles; \"\" for none."`
	Description *string  `placeholder:"TEXT" help:"What it is for."`
	source
	change
}

func (f *groupFlags) object(r *run) (object, error) {
	o := object{}
	o.list("roles", f.Role)
	o.text("description", f.Description)
	return f.fields(r, o)
}

// Run lists groups.
func (c *groupList) Run(ctx context.Context, r *run) error { return c.in(ctx, r, groups) }

// Run shows a group.
func (c *groupGet) Run(ctx context.Context, r *run) error { return c.in(ctx, r, groups) }

// Run deletes groups.
func (c *groupDelete) Run(ctx context.Context, r *run) error { return c.in(ctx, r, groups) }

// Run creates a group.
func (c *groupCreate) Run(ctx context.Context, r *run) error {
	o, err := c.object(r)
	if err != nil {
		return err
	}
	return r.create(ctx, groups, c.Name, o, c.change)
}

// Run changes a group.
func (c *groupUpdate) Run(ctx context.Context, r *run) error {
	o, err := c.object(r)
	if err != nil {
		return err
	}
	return r.update(ctx, groups, c.Name, o, c.change)
}

type roleCommands struct {
	List   roleList   `cmd:"" help:"List roles."`
	Get    roleGet    `cmd:"" help:"Show one role."`
	Create roleCreate `cmd:"" help:"Create a role."`
	Update roleUpdate `cmd:"" help:"Change fields of a role."`
	Delete roleDelete `cmd:"" help:"Delete roles."`
}

type (
	roleList   struct{ listCommand }
	roleGet    struct{ getCommand }
	roleDelete struct{ deleteCommand }
	roleCreate struct{ roleFlags }
	roleUpdate struct{ roleFlags }
)

type roleFlags struct {
	Name        string   `arg:"" help:"Its name."`
	Allow       []string `sep:"none" placeholder:"'METHODS ROUTES [PATHS]'" help:"A permission, lists with commas: 'GET,OPTIONS *' or 'POST orders-* /1.0/orders'. All of them replace what the role has."`
	Description *string  `placeholder:"TEXT" help:"What it is for."`
	source
	change
}

func (f *roleFlags) object(r *run) (object, error) {
	o := object{}
	o.text("description", f.Description)
	if f.Allow != nil {
		list := []object{}
		for _, a := range f.Allow {
			words := strings.Fields(a)
			if len(words) < 2 || len(words) > 3 {
				return nil, &usageError{fmt.Sprintf("--allow %q is not 'METHODS ROUTES [PATHS]'", a), "Write --allow 'GET,OPTIONS *'. A condition (when) needs -f."}
			}
			p := object{"methods": strings.Split(words[0], ","), "routes": strings.Split(words[1], ",")}
			if len(words) == 3 {
				p["paths"] = strings.Split(words[2], ",")
			}
			list = append(list, p)
		}
		o["permissions"] = list
	}
	return f.fields(r, o)
}

// Run lists roles.
func (c *roleList) Run(ctx context.Context, r *run) error { return c.in(ctx, r, roles) }

// Run shows a role.
func (c *roleGet) Run(ctx context.Context, r *run) error { return c.in(ctx, r, roles) }

// Run deletes roles.
func (c *roleDelete) Run(ctx context.Context, r *run) error { return c.in(ctx, r, roles) }

// Run creates a role.
func (c *roleCreate) Run(ctx context.Context, r *run) error {
	o, err := c.object(r)
	if err != nil {
		return err
	}
	return r.create(ctx, roles, c.Name, o, c.change)
}

// Run changes a role.
func (c *roleUpdate) Run(ctx context.Context, r *run) error {
	o, err := c.object(r)
	if err != nil {
		return err
	}
	return r.update(ctx, roles, c.Name, o, c.change)
}
