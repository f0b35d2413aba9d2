package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"iter"
	"os"
	"runtime/debug"
	"time"

	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/provision"
	"github.com/sallyport/sallyport/internal/secret"
	"github.com/sallyport/sallyport/internal/store/sqlite"
)

// callers is how many of a store's users, spread over all of them, call in a
// measurement.
const callers = 10_000

// crowd is what prepare puts into a store.
type crowd struct {
	users          int
	basic, bcrypt  string // one user's name and hash
	keys           *bufio.Writer
	spread, listed int
}

// prepare fills a store as an import does: the document first, then the users, by
// the write side that the admin API stands on. It runs as a process of its own, so
// that its memory is the import's.
func prepare(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("prepare", flag.ContinueOnError)
	path, document := f.String("store", "", "SQLite file"), f.String("document", "", "declarative document without users")
	keys, users := f.String("keys", "", "file for the keys of those who call"), f.Int("users", 100, "users")
	basic, hash := f.String("basic", "", "name of the user with a password"), f.String("hash", "", "its hash")
	if err := f.Parse(args); err != nil {
		return err
	}
	doc, faults := config.LoadResources(*document)
	if len(faults) > 0 {
		return faults
	}
	s, err := sqlite.Open(ctx, *path)
	if err != nil {
		return err
	}
	out, err := os.Create(*keys)
	if err != nil {
		return errors.Join(err, s.Close())
	}
	c := &crowd{users: *users, basic: *basic, bcrypt: *hash, keys: bufio.NewWriter(out), spread: max(1, *users/callers)}
	err = c.fill(ctx, s, doc)
	return errors.Join(err, c.keys.Flush(), out.Close(), s.Close())
}

func (c *crowd) fill(ctx context.Context, s *sqlite.Store, doc *model.Document) error {
	p, err := provision.New(provision.Deps{Store: s, Invalidate: func([]string) {}, Record: func(model.Event) error { return nil },
		Compile: func(*model.Set, provision.UserLookup) (func(), model.Faults) { return func() {}, nil }})
	if err != nil {
		return err
	}
	actor := provision.Actor{Name: "bench", Roles: []model.AdminRole{model.AdminAll}}
	if _, err := p.Apply(ctx, actor, doc, provision.ApplyOptions{Owner: "bench"}); err != nil {
		return err
	}
	debug.FreeOSMemory()
	start := time.Now()
	if _, err := p.ImportUsers(ctx, actor, c.people(), provision.ImportOptions{Owner: "bench"}); err != nil {
		return err
	}
	fmt.Printf("%d\n", time.Since(start).Milliseconds())
	return nil
}

func (c *crowd) people() iter.Seq2[model.User, error] {
	return func(yield func(model.User, error) bool) {
		if c.basic != "" && !yield(model.User{Username: c.basic, Kind: model.Person, Active: true, Roles: []string{"caller"},
			Credentials: []model.Credential{{Type: model.Password, Hash: c.bcrypt}}}, nil) {
			return
		}
		for i := range c.users {
			full, _, prefix, hash := secret.NewAPIKey()
			if i%c.spread == 0 && c.listed < callers {
				c.listed++
				if _, err := fmt.Fprintln(c.keys, full); err != nil {
					yield(model.User{}, err)
					return
				}
			}
			name := fmt.Sprintf("caller-%07d", i)
			if !yield(model.User{Username: name, Kind: model.Person, Active: true, Emails: []string{name + "@example.com"}, DisplayName: "Caller " + name,
				Groups: []string{"staff"}, Credentials: []model.Credential{{Type: model.APIKey, Prefix: prefix, Hash: hash}}}, nil) {
				return
			}
		}
	}
}
