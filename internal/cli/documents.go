package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"

	"github.com/sallyport/sallyport/internal/cli/client"
	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/model"
)

// files are declarative files, as apply and diff take them.
type files struct {
	File  []string `arg:"" name:"file" help:"Files or folders of resources, YAML or JSON; - is standard input."`
	Prune bool     `help:"Delete what an earlier apply made and this one omits."`
}

// send reads the files and posts them as one document.
func (f *files) send(ctx context.Context, r *run, dryRun bool, reason string) (json.RawMessage, error) {
	resources, faults := config.ReadResources(f.File, r.in)
	if len(faults) > 0 {
		return nil, faults
	}
	api, err := r.connect()
	if err != nil {
		return nil, err
	}
	q := url.Values{}
	if dryRun {
		q.Set("dryRun", "true")
	}
	if f.Prune {
		q.Set("prune", "true")
	}
	var out json.RawMessage
	// A million users take their time to be hashed and stored.
	err = api.Do(ctx, client.Call{Method: "POST", Path: "/v2/apply", Query: q, Body: resources.Document, Reason: reason, Patience: -1}, &out)
	var p *client.Problem
	if errors.As(err, &p) && len(p.Faults) > 0 {
		return nil, resources.Locate(p.Faults)
	}
	return out, err
}

type applyCommand struct {
	files
	change
}

// Run applies files.
func (c *applyCommand) Run(ctx context.Context, r *run) error {
	out, err := c.send(ctx, r, c.DryRun, c.Reason)
	if err != nil {
		return err
	}
	return r.printOutcome(out, c.DryRun)
}

type diffCommand struct {
	files
	ExitCode bool `help:"End with 1 if anything would change."`
}

// Run shows what apply would change.
func (c *diffCommand) Run(ctx context.Context, r *run) error {
	out, err := c.send(ctx, r, true, "")
	if err != nil {
		return err
	}
	if err := r.printOutcome(out, true); err != nil {
		return err
	}
	var o outcome
	if c.ExitCode && json.Unmarshal(out, &o) == nil && len(o.Changes) > 0 {
		return errReported
	}
	return nil
}

type exportCommand struct {
	To string `placeholder:"FILE" help:"Write to a file instead of standard output."`
}

// Run writes everything as one document.
func (c *exportCommand) Run(ctx context.Context, r *run) error {
	api, err := r.connect()
	if err != nil {
		return err
	}
	var doc json.RawMessage
	if err := api.Do(ctx, client.Call{Method: "GET", Path: "/v2/export", Patience: -1}, &doc); err != nil {
		return err
	}
	if c.To == "" {
		return r.print(doc)
	}
	f, err := os.OpenFile(c.To, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	inner := *r.terminal
	inner.out = f
	err = (&run{terminal: &inner, hooks: r.hooks, flags: r.flags}).print(doc)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", c.To, err)
	}
	return nil
}

// problemFaults lists what a 422 names, under its message.
func (r *run) problemFaults(err error) {
	var p *client.Problem
	if !errors.As(err, &p) {
		return
	}
	for _, f := range p.Faults {
		fmt.Fprintf(r.err, "  %s\n", printable(model.Fault{Path: f.Path, Message: f.Message}.String()))
	}
}

// maxInput bounds one object on standard input.
const maxInput = 64 << 20

func readAll(in io.Reader) ([]byte, error) { return io.ReadAll(io.LimitReader(in, maxInput)) }
