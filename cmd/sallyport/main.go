// Command sallyport is the gateway and the command line that runs and manages it.
package main

import (
	"context"
	"os"

	"github.com/sallyport/sallyport/internal/app"
	"github.com/sallyport/sallyport/internal/cli"
	"github.com/sallyport/sallyport/internal/config"
)

// version is set by the linker.
var version string

func main() {
	os.Exit(cli.Main(os.Args[1:], cli.Hooks{
		Version: version,
		Check:   app.Check,
		Run: func(ctx context.Context, c *config.Config) error {
			return app.Run(ctx, c, version, os.Stdout)
		},
		Demo: func(ctx context.Context, o cli.DemoOptions) error {
			return app.Demo(ctx, o.Dir, o.Port, version, os.Stdout)
		},
	}))
}
