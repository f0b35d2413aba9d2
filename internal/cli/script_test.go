package cli

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/model"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"sallyport": func() { os.Exit(Main(os.Args[1:], testHooks())) },
	})
}

// testHooks stand for the program that the command line is part of.
func testHooks() Hooks {
	return Hooks{
		Version: "1.2.3-test",
		Run: func(_ context.Context, c *config.Config) error {
			fmt.Println("serving", c.ExternalURL)
			return nil
		},
		Demo: func(_ context.Context, o DemoOptions) error {
			fmt.Println("demo at port", o.Port, "in", o.Dir)
			return errors.New("the port is in use")
		},
		Check: func(_ context.Context, _ *config.Config, d *model.Document) (f, warnings model.Faults) {
			for i, r := range d.Routes {
				if r.Service == "nowhere" {
					f.Add(fmt.Sprintf("routes[%d].service", i), `names "nowhere", which is not a service`)
				}
				if r.Path == model.PathVerbatim {
					warnings.Add(fmt.Sprintf("routes[%d].path", i), "is verbatim")
				}
			}
			return f, warnings
		},
	}
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(e *testscript.Env) error {
			s := httptest.NewTLSServer(newGateway())
			e.Defer(s.Close)
			plain := httptest.NewServer(newGateway())
			e.Defer(plain.Close)
			ca := filepath.Join(e.WorkDir, "ca.pem")
			e.Setenv("SALLYPORT_SERVER", s.URL)
			e.Setenv("SALLYPORT_CA", ca)
			e.Setenv("SALLYPORT_TOKEN", "st_token")
			e.Setenv("PLAIN", plain.URL)
			return os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600)
		},
	})
}
