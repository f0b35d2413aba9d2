package cli

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/model"
)

type demoCommand struct {
	Dir  string `placeholder:"DIR" help:"Keep the demonstration's state here instead of in a temporary folder."`
	Port int    `default:"8443" help:"Port of the proxy; the admin API has the next one. 0 takes any free ones."`
}

// Run serves the demonstration.
func (c *demoCommand) Run(ctx context.Context, r *run) error {
	if r.hooks.Demo == nil {
		return errors.New("this build has no demonstration")
	}
	return r.hooks.Demo(ctx, DemoOptions{Dir: c.Dir, Port: c.Port})
}

// bootFile is the flag by which a verb finds the boot file.
type bootFile struct {
	Config string `short:"c" required:"" placeholder:"FILE" help:"The boot file."`
}

type runCommand struct {
	bootFile
	Engine string `enum:"own,standard" default:"own" hidden:"" help:"What serves HTTP: the gateway's own engines, or net/http, a second implementation for tests."`
}

// Run runs the gateway.
func (c *runCommand) Run(ctx context.Context, r *run) error {
	boot, faults := config.Load(c.Config)
	if len(faults) > 0 {
		return faults
	}
	if r.hooks.Run == nil {
		return errors.New("this build cannot run the gateway")
	}
	boot.Engine = c.Engine
	return r.hooks.Run(ctx, boot)
}

type checkCommand struct{ bootFile }

// Run reports every fault of the boot file and of the resources it names.
func (c *checkCommand) Run(ctx context.Context, r *run) error {
	boot, faults := config.Load(c.Config)
	if boot == nil {
		return faults
	}
	var readable []string
	for _, p := range boot.Resources {
		if _, found := config.LoadResources(p); !missing(found) {
			readable = append(readable, p)
		}
	}
	resources, found := config.ReadResources(readable, r.in)
	faults = append(faults, found...)
	var warnings model.Faults
	if len(faults) == 0 && r.hooks.Check != nil {
		faults, warnings = r.hooks.Check(ctx, boot, resources.Document)
		faults = resources.Locate(faults)
	}
	if len(faults) > 0 {
		return faults
	}
	for _, w := range resources.Locate(warnings) {
		fmt.Fprintln(r.err, printable("Warning: "+place(w)+w.Message))
	}
	d := resources.Document
	fmt.Fprintf(r.out, "%s holds together: %s, %s, %s, %s, %s.\n", c.Config, count(len(boot.Listeners), "listener"), count(len(d.Services), "service"),
		count(len(d.Routes), "route"), count(len(d.Users), "user"), count(len(d.Expect), "policy test"))
	return nil
}

// missing says that a file is not there at all, which the boot file's own faults say already.
func missing(f model.Faults) bool { return len(f) == 1 && f[0].Line == 0 && f[0].Path == "" }

type versionCommand struct{}

// Run prints what is running.
func (c *versionCommand) Run(r *run) error {
	if r.format() == formatTable {
		fmt.Fprintf(r.out, "sallyport %s (%s, %s/%s)\n", r.hooks.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		return nil
	}
	return r.print(map[string]string{"version": r.hooks.Version, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH})
}
