package keys

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

// Options are how keys are fetched. Zero values take the defaults, but for Fetch,
// without which nothing comes over the network.
type Options struct {
	// Fetch gets a document by https: bounded in size, without going to other
	// hosts. It ends with its context.
	Fetch func(ctx context.Context, url string) ([]byte, error)
	// Dir is what relative names of key files are relative to.
	Dir          string
	Now          func() time.Time
	Refresh      time.Duration // how often keys are fetched again; 5 min and up to a fifth more
	Retry        time.Duration // the same after a failure; 30 s
	CoolDown     time.Duration // least time between fetches; 10 s
	Timeout      time.Duration // of one fetch; 5 s
	Patience     time.Duration // how long a request waits for one; 1.5 s
	FileInterval time.Duration // how often key files are looked at; 2 s
}

func (o *Options) defaults() {
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	set(&o.Refresh, 5*time.Minute)
	set(&o.Retry, 30*time.Second)
	set(&o.CoolDown, 10*time.Second)
	set(&o.Timeout, 5*time.Second)
	set(&o.Patience, 1500*time.Millisecond)
	set(&o.FileInterval, 2*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Fetch == nil {
		o.Fetch = func(context.Context, string) ([]byte, error) {
			return nil, errors.New("fetching keys over the network is not set up")
		}
	}
}

// Registry holds the sets of all issuers, for the life of the process.
type Registry struct {
	o          Options
	generation atomic.Uint64
	mu         sync.Mutex
	sets       map[string]*Set
	closed     bool
}

// NewRegistry makes an empty registry.
func NewRegistry(o Options) *Registry {
	o.defaults()
	return &Registry{o: o, sets: make(map[string]*Set)}
}

// For is the set of a provider: the same one as long as where its keys come from
// does not change. It is cheap and starts nothing.
func (r *Registry) For(p *model.IdentityProvider) *Set {
	src := sourceOf(p, &r.o)
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.sets[src.String()]
	if s == nil {
		s = newSet(src, &r.o, func() { r.generation.Add(1) })
		s.closed = r.closed
		r.sets[src.String()] = s
	}
	return s
}

// Retain starts the sets of these providers and ends all others: to be called
// when a configuration is published.
func (r *Registry) Retain(providers []model.IdentityProvider) {
	keep := make(map[string]bool)
	for i := range providers {
		p := &providers[i]
		if p.Enabled && (p.Type == model.ProviderJWT || p.Type == model.ProviderOIDC) {
			keep[sourceOf(p, &r.o).String()] = true
			r.For(p).Start()
		}
	}
	r.mu.Lock()
	var gone []*Set
	for name, s := range r.sets {
		if !keep[name] {
			gone = append(gone, s)
			delete(r.sets, name)
		}
	}
	r.mu.Unlock()
	for _, s := range gone {
		s.Close()
	}
}

// Generation changes whenever a key that was known is known no more, or was
// changed: what was proven by it must be proven anew.
func (r *Registry) Generation() uint64 { return r.generation.Load() }

// Close ends all refreshing and waits for it.
func (r *Registry) Close() {
	r.mu.Lock()
	r.closed = true
	var all []*Set
	for _, s := range r.sets {
		all = append(all, s)
	}
	r.mu.Unlock()
	for _, s := range all {
		s.Close()
	}
}

// Check reads a provider's key file, if it has one, and says what is wrong with
// it: for whoever is about to accept the provider.
func (r *Registry) Check(p *model.IdentityProvider) error {
	if f, ok := sourceOf(p, &r.o).(*file); ok && p.Type == model.ProviderJWT {
		_, err := readFile(f.path)
		return err
	}
	return nil
}

// Fetch loads a provider's keys once, whatever is known of them, and keeps nothing:
// for whoever wants to see what its source says now.
func (r *Registry) Fetch(ctx context.Context, p *model.IdentityProvider) (Status, error) {
	src := sourceOf(p, &r.o)
	limit, cancel := context.WithTimeout(ctx, r.o.Timeout)
	defer cancel()
	list, _, err := src.load(limit, &r.o)
	now := r.o.Now()
	for i := range list {
		list[i].FirstSeen, list[i].LastSeen = now, now
	}
	return Status{Source: src.String(), Keys: show(list), LastFetch: &now, Healthy: err == nil}, err
}
