package app

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"sync"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/provision"
	"github.com/sallyport/sallyport/internal/store"
)

// bootstrap is the making of the first administrator. The hash of the password takes
// longer than all else that a start does, and nothing that clients ask for depends on
// it, so it goes on beside the serving. Logins of administrators wait for it: one that
// comes early must not hear that there is no such administrator.
type bootstrap struct {
	mu   sync.Mutex
	done chan struct{} // nil = nobody is being made
}

// begin runs making in the background. One at a time.
func (b *bootstrap) begin(making func()) {
	done := make(chan struct{})
	b.mu.Lock()
	b.done = done
	b.mu.Unlock()
	go func() {
		defer close(done)
		making()
	}()
}

// wait waits until whoever is being made is there, or ctx ends.
func (b *bootstrap) wait(ctx context.Context) error {
	b.mu.Lock()
	done := b.done
	b.mu.Unlock()
	if done == nil {
		return nil
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// afterBootstrap is the write side as the admin API sees it: who logs in is looked up
// once there is somebody.
type afterBootstrap struct {
	provision.API
	bootstrap *bootstrap
}

func (a afterBootstrap) Administrator(ctx context.Context, name string) (*model.Administrator, error) {
	if err := a.bootstrap.wait(ctx); err != nil {
		return nil, err
	}
	return a.API.Administrator(ctx, name)
}

// firstAdministrator makes "admin" in a store that has no administrators. What would
// be refused is found at once; failed is told what goes wrong later.
func (g *Gateway) firstAdministrator(ctx context.Context, failed func(error)) error {
	there := false
	if err := g.store.View(ctx, func(r store.Reader) error {
		list, err := r.ListObjects(ctx, store.KindAdministrators)
		there = len(list) > 0
		return err
	}); err != nil {
		return fmt.Errorf("reading the administrators: %w", err)
	}
	if there {
		return nil
	}
	password := os.Getenv("SALLYPORT_ADMIN_PASSWORD")
	random := password == ""
	if random {
		password = rand.Text()
	}
	put := func(ctx context.Context, try bool) error {
		a := &model.Administrator{Name: "admin", Roles: []model.AdminRole{model.AdminAll}, Active: true,
			Credentials: []model.Credential{{Type: model.Password, Password: password}}}
		_, err := g.provision.Put(ctx, boot, store.KindAdministrators, "admin", a, provision.Condition{IfNoneMatch: true, DryRun: try})
		if err != nil {
			return fmt.Errorf("making the first administrator: %w", err)
		}
		return nil
	}
	if err := put(ctx, true); err != nil {
		return err
	}
	// Told to end meanwhile, the gateway waits for it (close): who was shown a
	// password can use it.
	ctx = context.WithoutCancel(ctx)
	g.bootstrap.begin(func() {
		if err := put(ctx, false); err != nil {
			failed(err)
		} else if random {
			g.opt.Tell("The administrator admin was made with the password %s: it is shown this once.", password)
		}
	})
	return nil
}
