package cli

import (
	"github.com/sallyport/sallyport/internal/cli/client"
)

// grammar is the whole command line.
type grammar struct {
	globals `group:"Common"`

	Demo  demoCommand  `cmd:"" help:"Serve a demonstration: a real test backend, sample users, and lines to paste."`
	Run   runCommand   `cmd:"" help:"Run the gateway."`
	Check checkCommand `cmd:"" help:"Check a boot file and the resources it names, and report all faults at once."`

	Apply  applyCommand  `cmd:"" help:"Apply declarative files to a running gateway, all or nothing."`
	Diff   diffCommand   `cmd:"" help:"Show what apply would change, and change nothing."`
	Export exportCommand `cmd:"" help:"Write everything the gateway holds as one document, secrets masked."`

	User    userCommands    `cmd:"" help:"Users of the APIs behind the gateway."`
	Group   groupCommands   `cmd:"" help:"Groups of users."`
	Role    roleCommands    `cmd:"" help:"Roles and their permissions."`
	Route   routeCommands   `cmd:"" help:"Routes."`
	Service serviceCommands `cmd:"" help:"Backend services and their targets."`
	Key     keyCommands     `cmd:"" help:"API keys of users."`
	Session sessionCommands `cmd:"" help:"Logins by browsers."`

	Provider      providerCommands      `cmd:"" help:"Identity providers, which vouch for users from outside."`
	Administrator administratorCommands `cmd:"" help:"Who may use the admin API; never users."`

	Explain explainCommand `cmd:"" help:"Explain how a request would be decided, step by step."`
	Audit   auditCommands  `cmd:"" help:"The record of what happened."`

	HashPassword hashCommand       `cmd:"" help:"Hash a password for a declarative file."`
	Import       importCommands    `cmd:"" help:"Bring users along from elsewhere."`
	Version      versionCommand    `cmd:"" help:"Print the version."`
	Completion   completionCommand `cmd:"" help:"Print the completion script of a shell."`
}

// globals are the flags that every verb takes.
type globals struct {
	Output   string `short:"o" enum:"table,json,yaml," default:"" placeholder:"FORMAT" help:"table, json or yaml (table is for people)."`
	Server   string `env:"SALLYPORT_SERVER" default:"https://127.0.0.1:8444" placeholder:"URL" help:"An admin listener of the gateway (${env}, or ${default})."`
	User     string `env:"SALLYPORT_USER" placeholder:"NAME" help:"Administrator to log in as; the password comes from SALLYPORT_PASSWORD or the terminal. SALLYPORT_TOKEN logs in without."`
	CA       string `env:"SALLYPORT_CA" placeholder:"FILE" help:"PEM file of the authority that signed the gateway's certificate."`
	Insecure bool   `help:"Believe any certificate, for trials."`
}

// connect makes the client that the flags and the environment describe.
func (r *run) connect() (*client.Client, error) {
	g := r.flags
	o := client.Options{Server: g.Server, CA: g.CA, Insecure: g.Insecure, Agent: "sallyport/" + r.hooks.Version}
	switch admin := r.env("SALLYPORT_ADMIN_PASSWORD"); {
	case g.User != "":
		o.User = g.User
	case r.env("SALLYPORT_TOKEN") != "":
		o.Token = r.env("SALLYPORT_TOKEN")
	case admin != "":
		o.User = "admin"
	default:
		return nil, &usageError{"no login is given", "Set SALLYPORT_TOKEN, or give --user NAME."}
	}
	c, err := client.New(o)
	if err != nil || o.User == "" {
		return c, err
	}
	if o.Password, err = r.loginPassword(o.User); err != nil {
		return nil, err
	}
	return client.New(o)
}

func (r *run) loginPassword(user string) (string, error) {
	if p := r.env("SALLYPORT_PASSWORD"); p != "" {
		return p, nil
	}
	if p := r.env("SALLYPORT_ADMIN_PASSWORD"); p != "" && user == "admin" {
		return p, nil
	}
	if r.password == nil {
		return "", &usageError{"the password of " + user + " is not given, and there is no terminal to ask for it", "Set SALLYPORT_PASSWORD, or log in by SALLYPORT_TOKEN."}
	}
	return r.password("Password of " + user + ": ")
}
