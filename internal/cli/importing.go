package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/sallyport/sallyport/internal/cli/client"
	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/secret"
)

type importCommands struct {
	Htpasswd importHtpasswd `cmd:"" help:"Create the users of an htpasswd file, with their passwords. They log in as before; weak hashes are made anew at the first login."`
}

type importHtpasswd struct {
	File  string   `arg:"" help:"The htpasswd file; - is standard input."`
	Group []string `placeholder:"GROUP" help:"Groups that they all join."`
	Role  []string `placeholder:"ROLE" help:"Roles that they all have."`
	Kind  string   `enum:"person,application,service" default:"person" placeholder:"KIND" help:"person, application or service."`
	change
}

// Run reads the whole file before it creates anybody: a file with faults changes nothing.
func (c *importHtpasswd) Run(ctx context.Context, r *run) error {
	list, faults, err := c.read(r)
	if err != nil {
		return err
	}
	if len(faults) > 0 {
		return faults
	}
	api, err := r.connect()
	if err != nil {
		return err
	}
	made, refused := 0, 0
	for i, u := range list {
		if r.progress && i%20 == 0 {
			fmt.Fprintf(r.err, "\r%d of %d", i, len(list))
		}
		o := object{"username": u.name, "kind": c.Kind, "credentials": []any{object{"type": model.Password, "hash": u.hash}}}
		o.list("groups", c.Group)
		o.list("roles", c.Role)
		err := api.Do(ctx, client.Call{Method: "POST", Path: client.Path("v2", users.kind), Query: c.query(), Body: o, Reason: or(c.Reason, "import of "+c.File)}, nil)
		var p *client.Problem
		switch {
		case err == nil:
			made++
		case errors.As(err, &p) && (p.Code == model.Conflict || p.Code == model.Invalid):
			refused++
			r.clearProgress()
			fmt.Fprintf(r.err, "%s:%d: %s: %s\n", c.File, u.line, printable(u.name), printable(p.Detail))
			r.problemFaults(p)
		default:
			r.clearProgress()
			return fmt.Errorf("after %s: %w", count(made, "user"), err)
		}
	}
	r.clearProgress()
	verb := "created"
	if c.DryRun {
		verb = "would be created"
	}
	fmt.Fprintf(r.out, "%s %s.\n", count(made, "user"), verb)
	if refused > 0 {
		fmt.Fprintf(r.err, "sallyport: %s left out\n", count(refused, "user"))
		return errReported
	}
	return nil
}

func (r *run) clearProgress() {
	if r.progress {
		fmt.Fprint(r.err, "\r\x1b[K")
	}
}

// entry is a line of an htpasswd file.
type entry struct {
	name, hash string
	line       int
}

func (c *importHtpasswd) read(r *run) (list []entry, faults model.Faults, err error) {
	in := r.in
	if c.File != config.Stdin {
		f, err := os.Open(c.File)
		if err != nil {
			return nil, nil, err
		}
		defer f.Close()
		in = f
	}
	seen := map[string]int{}
	fault := func(line int, message string) {
		faults = append(faults, model.Fault{File: c.File, Line: line, Message: message})
	}
	s := bufio.NewScanner(in)
	for n := 1; s.Scan(); n++ {
		text := strings.TrimSpace(s.Text())
		if text == "" || text[0] == '#' {
			continue
		}
		name, hash, ok := strings.Cut(text, ":")
		folded := model.FoldUsername(name)
		switch {
		case !ok:
			fault(n, "is not user:hash")
		case !model.ValidUsername(name):
			fault(n, "a username is 1 to 254 characters without control characters")
		case seen[folded] > 0:
			fault(n, fmt.Sprintf("%s is there already, at line %d", name, seen[folded]))
		case secret.CheckHash(hash) != nil:
			fault(n, name+": the hash is of no kind that can be checked here (bcrypt, argon2id, $apr1$, $5$, $6$, {SHA}, {SSHA}); old crypt and plain text are not taken")
		default:
			list = append(list, entry{name, hash, n})
		}
		if ok && seen[folded] == 0 {
			seen[folded] = n
		}
	}
	return list, faults, s.Err()
}
