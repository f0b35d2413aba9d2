package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/provision"
	"github.com/sallyport/sallyport/internal/snapshot"
	"github.com/sallyport/sallyport/internal/store/sqlite"
)

// begin opens the store and brings its configuration in force, or the last good
// one where the store cannot be had.
func (g *Gateway) begin(ctx context.Context) error {
	s, err := sqlite.Open(ctx, g.cfg.StorePath)
	if err != nil {
		if errors.Is(err, sqlite.ErrNewer) || ctx.Err() != nil {
			return err
		}
		return g.beginFromLastGood(err)
	}
	g.store.set(s)
	return g.beginFromStore(ctx, func(err error) { g.failed <- err })
}

// beginFromStore compiles what is stored, applies the boot file's resources, and
// begins to make the first administrator where there is none; failed is told where
// that cannot be brought to its end.
func (g *Gateway) beginFromStore(ctx context.Context, failed func(error)) error {
	g.signers.count(g.store)
	set, err := g.provision.CurrentSet(ctx)
	if err != nil {
		return fmt.Errorf("reading the stored configuration: %w", err)
	}
	plan, faults := gate.Compile(set, g.plans.env)
	if len(faults) > 0 {
		// It held together when it was stored, so the boot file has changed around it.
		return fmt.Errorf("the stored configuration does not hold together with this boot file: %w", faults.Err())
	}
	g.plans.publish(plan)
	g.late.seen(time.Now())
	if err := g.applyResources(ctx); err != nil {
		return err
	}
	return g.firstAdministrator(ctx, failed)
}

// beginFromLastGood serves what was served last, within maxStale.
func (g *Gateway) beginFromLastGood(cause error) error {
	saved, err := snapshot.LoadAll(g.plans.file)
	if err != nil {
		return fmt.Errorf("the store cannot be opened: %w (and there is nothing to start from without it: %v)", cause, err)
	}
	stale := g.cfg.MaxStale.D()
	if age := time.Since(saved.Time); stale > 0 && age > stale {
		return fmt.Errorf("the store cannot be opened: %w (and the last-good snapshot is %s old, more than maxStale %s)", cause, age.Round(time.Second), stale)
	}
	if g.plans.since.has(everything) {
		return fmt.Errorf("the store cannot be opened: %w (and the configuration was changed after the last-good snapshot was saved)", cause)
	}
	saved.Users = slices.DeleteFunc(saved.Users, func(u model.User) bool { return g.plans.since.has(u.ID) })
	plan, faults := gate.Compile(saved.Set, g.plans.env)
	if len(faults) > 0 {
		return fmt.Errorf("the store cannot be opened: %w (and the last-good snapshot does not hold together with this boot file: %v)", cause, faults)
	}
	g.directory.Prime(saved.Users)
	g.plans.publish(plan)
	g.late.seen(saved.Time)
	g.log.Error("the store cannot be opened; serving the last good configuration until it is back",
		"cause", cause, "saved", saved.Time, "revision", saved.Set.Revision, "users", len(saved.Users))
	return nil
}

// boot is who acts when the gateway starts.
var boot = provision.Actor{Name: "boot", Roles: []model.AdminRole{model.AdminAll}}

// applyResources applies the boot file's declarative files that changed since they
// were applied last.
func (g *Gateway) applyResources(ctx context.Context) error {
	for _, name := range g.cfg.Resources {
		path := g.cfg.Resolve(name)
		read, faults := config.ReadResources([]string{path}, nil)
		if len(faults) > 0 {
			return fmt.Errorf("resources: %w", faults)
		}
		doc := read.Document
		b, err := json.Marshal(doc)
		if err != nil {
			return fmt.Errorf("resources: %w", err)
		}
		sum := sha256.Sum256(b)
		abs, err := filepath.Abs(path)
		if err != nil {
			return err
		}
		actor := boot
		actor.Reason = "resources: " + name
		if _, err := g.provision.Apply(ctx, actor, doc, provision.ApplyOptions{Owner: "file:" + abs,
			RuntimeWins: true, Digest: hex.EncodeToString(sum[:])}); err != nil {
			if e := (*model.Error)(nil); errors.As(err, &e) && len(e.Faults) > 0 {
				return fmt.Errorf("applying %s: %w", name, read.Locate(e.Faults))
			}
			return fmt.Errorf("applying %s: %w", name, err)
		}
	}
	return nil
}
