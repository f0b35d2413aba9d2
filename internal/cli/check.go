package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"

	"github.com/sallyport/sallyport/internal/cli/client"
)

type providerCheck struct {
	Name []string `arg:"" optional:"" help:"Which; all where none is named."`
}

// report is what the gateway says of a provider.
type report struct {
	Provider string `json:"provider"`
	OK       bool   `json:"ok"`
	Findings []struct {
		Level, About, Says, Remedy string
	} `json:"findings"`
}

var errProviders = errors.New("not all providers can be used; see above")

// Run has the gateway ask providers, and says what to do.
func (c *providerCheck) Run(ctx context.Context, r *run) error {
	api, err := r.connect()
	if err != nil {
		return err
	}
	if len(c.Name) == 0 {
		items, _, err := r.list(ctx, api, client.Path("v2", providers.kind), url.Values{}, paging{All: true, Limit: 1})
		if err != nil {
			return err
		}
		for _, raw := range items {
			var p struct{ Name string }
			if json.Unmarshal(raw, &p) == nil {
				c.Name = append(c.Name, p.Name)
			}
		}
	}
	all, ok := []json.RawMessage{}, true
	for _, name := range c.Name {
		var raw json.RawMessage
		if err := api.Do(ctx, client.Call{Method: "POST", Path: client.Path("v2", providers.kind, name, "check")}, &raw); err != nil {
			return err
		}
		var rep report
		if err := json.Unmarshal(raw, &rep); err != nil {
			return err
		}
		all, ok = append(all, raw), ok && rep.OK
		if r.format() == formatTable {
			rep.print(r)
		}
	}
	if r.format() != formatTable {
		if err := r.print(all); err != nil {
			return err
		}
	}
	if !ok {
		return errProviders
	}
	return nil
}

func (rep *report) print(r *run) {
	word := "can be used"
	if !rep.OK {
		word = "cannot be used"
	}
	fmt.Fprintf(r.out, "%s %s.\n", printable(rep.Provider), word)
	for _, f := range rep.Findings {
		fmt.Fprintf(r.out, "  %-8s %s: %s\n", printable(f.Level), printable(f.About), printable(f.Says))
		if f.Remedy != "" {
			fmt.Fprintf(r.out, "           %s\n", printable(f.Remedy))
		}
	}
}
