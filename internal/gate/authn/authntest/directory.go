package authntest

import (
	"context"
	"sync"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/model"
)

// Directory is a directory in memory. It is safe for concurrent use.
type Directory struct {
	mu    sync.Mutex
	users map[string]*directory.Principal
	fault error
	asked int
}

// Put adds or replaces users, and makes what was read of them stale.
func (d *Directory) Put(users ...model.User) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.users == nil {
		d.users = make(map[string]*directory.Principal)
	}
	for _, u := range users {
		if old := d.users[u.ID]; old != nil {
			old.Expire()
		}
		d.users[u.ID] = directory.NewPrincipal(u)
	}
}

// Remove takes a user away.
func (d *Directory) Remove(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if old := d.users[id]; old != nil {
		old.Expire()
	}
	delete(d.users, id)
}

// Fail makes every lookup fail; nil ends it.
func (d *Directory) Fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault = err
}

// Asked is how many lookups there were.
func (d *Directory) Asked() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked
}

// User finds a user by its id.
func (d *Directory) User(_ context.Context, id string) (*directory.Principal, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	if d.fault != nil {
		return nil, d.fault
	}
	return d.users[id], nil
}

// Find implements authn.Lookup.
func (d *Directory) Find(_ context.Context, key directory.Key) (directory.Found, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	if d.fault != nil {
		return directory.Found{}, d.fault
	}
	key = key.Normal()
	for _, p := range d.users {
		if key.By == directory.ByUsername && model.FoldUsername(p.User.Username) != key.A {
			continue
		}
		c := directory.CredentialFor(&p.User, key)
		if c != nil || key.By == directory.ByUsername {
			return directory.Found{Principal: p, Credential: c}, nil
		}
	}
	return directory.Found{}, nil
}
