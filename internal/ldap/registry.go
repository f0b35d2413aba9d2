package ldap

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

// Options bound how directories are asked. Zero values take the defaults.
type Options struct {
	Connect  time.Duration // of a connection, TLS included; 2 s
	Timeout  time.Duration // of one question; 2.5 s
	Idle     time.Duration // after which an unused connection is closed; 60 s
	Spare    int           // most unused connections of a kind; 4
	Calls    int           // most logins under way at one directory; 16
	Failures int           // timeouts in a row, after which a directory is left alone; 3
	Pause    time.Duration // for how long; 2 s
	Now      func() time.Time
}

func (o *Options) defaults() {
	duration := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	number := func(n *int, v int) {
		if *n <= 0 {
			*n = v
		}
	}
	duration(&o.Connect, 2*time.Second)
	duration(&o.Timeout, 2500*time.Millisecond)
	duration(&o.Idle, time.Minute)
	duration(&o.Pause, 2*time.Second)
	number(&o.Spare, 4)
	number(&o.Calls, 16)
	number(&o.Failures, 3)
	if o.Now == nil {
		o.Now = time.Now
	}
}

// Registry keeps the connections to all directories, for as long as the process
// lives.
type Registry struct {
	o    Options
	mu   sync.Mutex
	dirs map[[32]byte]*directory
}

// NewRegistry makes a registry that has asked nobody yet.
func NewRegistry(o Options) *Registry {
	o.defaults()
	return &Registry{o: o, dirs: make(map[[32]byte]*directory)}
}

// Answer is what a directory says of a name and a password.
type Answer struct {
	Known   bool   // there is one user of that name
	Subject string // the user's lasting id, where the password is right
	Claims  map[string]any
	Refusal string // why not, for the audit; "" where the password is right
}

// Ask proves a name and a password at a directory. Every error is ErrUnavailable:
// it means that nobody can tell, never that the password is wrong.
func (r *Registry) Ask(ctx context.Context, p *model.IdentityProvider, username, password string) (Answer, error) {
	if password == "" || username == "" {
		// RFC 4513, 5.1.2: a bind with a name and no password succeeds, and proves nothing.
		return Answer{Refusal: "the name or the password is empty"}, nil
	}
	d, err := r.of(p)
	if err != nil {
		return Answer{}, unavailable(err)
	}
	if err := d.enter(ctx); err != nil {
		return Answer{}, unavailable(err)
	}
	defer d.leave()
	a, err := d.verify(ctx, p, username, password)
	if errors.Is(err, errMany) { // of one user, and not the directory's fault
		d.fares(nil)
	} else {
		d.fares(err)
	}
	if err != nil {
		return Answer{}, unavailable(err)
	}
	return a, nil
}

// identity is what makes two providers one directory: where it is, how it is
// trusted, and as whom it is searched. With another password it starts afresh.
func identity(p *model.IdentityProvider) [32]byte {
	text := ""
	for _, s := range []string{p.URL, strconv.FormatBool(p.StartTLS), p.CA, p.BindDN, p.BindPassword} {
		text += strconv.Quote(s)
	}
	return sha256.Sum256([]byte(text))
}

func (r *Registry) of(p *model.IdentityProvider) (*directory, error) {
	id := identity(p)
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.dirs[id]
	if d == nil {
		t, err := targetOf(p)
		if err != nil {
			return nil, err
		}
		d = &directory{o: &r.o, target: t, slots: make(chan struct{}, r.o.Calls)}
		d.searching.o, d.binding.o = &r.o, &r.o
		r.dirs[id] = d
	}
	return d, nil
}

// Retain closes the connections to directories that none of these providers has:
// to be called when a configuration is published.
func (r *Registry) Retain(providers []model.IdentityProvider) {
	keep := make(map[[32]byte]bool)
	for i := range providers {
		if p := &providers[i]; p.Type == model.ProviderLDAP && p.Enabled {
			keep[identity(p)] = true
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, d := range r.dirs {
		if !keep[id] {
			d.close()
			delete(r.dirs, id)
		}
	}
}

// Close closes all connections.
func (r *Registry) Close() { r.Retain(nil) }

// Faults are what is wrong with the providers' filters and certificates, which
// their model cannot tell.
func Faults(providers []model.IdentityProvider) (f model.Faults) {
	for i := range providers {
		p := &providers[i]
		if p.Type != model.ProviderLDAP {
			continue
		}
		at := fmt.Sprintf("identityProviders[%d]", i)
		if _, err := targetOf(p); err != nil {
			f.Add(at+".ca", err.Error())
		}
		if err := filterFault(userFilter(p)); err != nil {
			f.Add(at+".userFilter", err.Error())
		}
		if err := filterFault(groupFilter(p)); err != nil {
			f.Add(at+".groupFilter", err.Error())
		}
		for _, base := range [][2]string{{"userBase", p.UserBase}, {"groupBase", p.GroupBase}} {
			if _, err := normal(base[1]); err != nil && base[1] != "" {
				f.Add(at+"."+base[0], "is not a distinguished name (RFC 4514): "+err.Error())
			}
		}
	}
	return f
}
