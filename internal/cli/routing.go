package cli

import (
	"context"
	"strings"
)

type routeCommands struct {
	List   routeList   `cmd:"" help:"List routes."`
	Get    routeGet    `cmd:"" help:"Show one route."`
	Create routeCreate `cmd:"" help:"Create a route."`
	Update routeUpdate `cmd:"" help:"Change fields of a route."`
	Delete routeDelete `cmd:"" help:"Delete routes."`
}

type (
	routeList   struct{ listCommand }
	routeGet    struct{ getCommand }
	routeDelete struct{ deleteCommand }
	routeCreate struct{ routeFlags }
	routeUpdate struct{ routeFlags }
)

type routeFlags struct {
	Name         string   `arg:"" help:"Its name."`
	Path         []string `sep:"none" placeholder:"PATH" help:"/x is a prefix, =/x exact, ~^/x$$ a regular expression."`
	Host         []string `placeholder:"HOST" help:"Hosts; \"\" for any."`
	Method       []string `placeholder:"METHOD" help:"Methods; \"\" for any."`
	Service      *string  `placeholder:"SERVICE" help:"The service it leads to."`
	Access       *string  `enum:"permitted,authenticated,optional,public" placeholder:"ACCESS" help:"permitted (a role must allow it), authenticated, optional or public."`
	Authenticate []string `placeholder:"METHOD" help:"Any one of these: basic, apiKey, bearer, mtls, signature, trustedHeader, bearer@PROVIDER. More needs -f."`
	StripPrefix  *string  `placeholder:"PREFIX" help:"Take a prefix off before forwarding."`
	Mode         *string  `enum:"enforce,report" placeholder:"MODE" help:"enforce, or report what would be refused."`
	source
	change
}

func (f *routeFlags) object(r *run) (object, error) {
	o := object{}
	o.list("paths", f.Path)
	o.list("hosts", f.Host)
	o.list("methods", upper(f.Method))
	o.text("service", f.Service)
	o.text("access", f.Access)
	o.text("mode", f.Mode)
	if f.Authenticate != nil {
		o["authenticate"] = object{"anyOf": f.Authenticate}
	}
	if f.StripPrefix != nil {
		o["rewrite"] = map[string]any{"stripPrefix": *f.StripPrefix}
	}
	return f.fields(r, o)
}

func upper(list []string) []string {
	for i := range list {
		list[i] = strings.ToUpper(list[i])
	}
	return list
}

// Run lists routes.
func (c *routeList) Run(ctx context.Context, r *run) error { return c.in(ctx, r, routes) }

// Run shows a route.
func (c *routeGet) Run(ctx context.Context, r *run) error { return c.in(ctx, r, routes) }

// Run deletes routes.
func (c *routeDelete) Run(ctx context.Context, r *run) error { return c.in(ctx, r, routes) }

// Run creates a route.
func (c *routeCreate) Run(ctx context.Context, r *run) error {
	o, err := c.object(r)
	if err != nil {
		return err
	}
	return r.create(ctx, routes, c.Name, o, c.change)
}

// Run changes a route.
func (c *routeUpdate) Run(ctx context.Context, r *run) error {
	o, err := c.object(r)
	if err != nil {
		return err
	}
	return r.update(ctx, routes, c.Name, o, c.change)
}

type serviceCommands struct {
	List   serviceList   `cmd:"" help:"List services."`
	Get    serviceGet    `cmd:"" help:"Show one service."`
	Create serviceCreate `cmd:"" help:"Create a service."`
	Update serviceUpdate `cmd:"" help:"Change fields of a service."`
	Delete serviceDelete `cmd:"" help:"Delete services."`
}

type (
	serviceList   struct{ listCommand }
	serviceGet    struct{ getCommand }
	serviceDelete struct{ deleteCommand }
	serviceCreate struct{ serviceFlags }
	serviceUpdate struct{ serviceFlags }
)

type serviceFlags struct {
	Name             string   `arg:"" help:"Its name."`
	Target           []string `placeholder:"URL" help:"Targets, such as http://10.0.0.5:8080. All of them replace what the service has."`
	Protocol         *string  `enum:"auto,http1,http2" placeholder:"PROTOCOL" help:"auto, http1 or http2."`
	Balance          *string  `enum:"leastRequests,roundRobin,hash" placeholder:"BALANCE" help:"leastRequests, roundRobin or hash."`
	CallerCredential *string  `enum:"strip,forward" placeholder:"WHAT" help:"strip or forward the caller's own credential."`
	HealthPath       *string  `placeholder:"PATH" help:"Probe the targets here."`
	source
	change
}

func (f *serviceFlags) object(r *run) (object, error) {
	o := object{}
	if f.Target != nil {
		list := []object{}
		for _, u := range f.Target {
			list = append(list, object{"url": u})
		}
		o["targets"] = list
	}
	o.text("protocol", f.Protocol)
	o.text("balance", f.Balance)
	o.text("callerCredential", f.CallerCredential)
	if f.HealthPath != nil {
		o["health"] = map[string]any{"path": *f.HealthPath}
	}
	return f.fields(r, o)
}

// Run lists services.
func (c *serviceList) Run(ctx context.Context, r *run) error { return c.in(ctx, r, services) }

// Run shows a service.
func (c *serviceGet) Run(ctx context.Context, r *run) error { return c.in(ctx, r, services) }

// Run deletes services.
func (c *serviceDelete) Run(ctx context.Context, r *run) error { return c.in(ctx, r, services) }

// Run creates a service.
func (c *serviceCreate) Run(ctx context.Context, r *run) error {
	o, err := c.object(r)
	if err != nil {
		return err
	}
	return r.create(ctx, services, c.Name, o, c.change)
}

// Run changes a service.
func (c *serviceUpdate) Run(ctx context.Context, r *run) error {
	o, err := c.object(r)
	if err != nil {
		return err
	}
	return r.update(ctx, services, c.Name, o, c.change)
}
