package oidc

import (
	"context"
	"crypto"
	"crypto/tls"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/sallyport/sallyport/internal/fetch"
	"github.com/sallyport/sallyport/internal/login/flow"
	"github.com/sallyport/sallyport/internal/model"
)

// Keys are the public keys of providers, wherever they are held. They go on
// serving while a provider is down, and a flood of unknown names costs a provider
// one question in ten seconds.
type Keys interface {
	// Find answers the keys that may have signed a token with this kid ("" = none)
	// and algorithm: each is bound to what it may verify. ErrKeysUnavailable says
	// that the provider could not be asked; any other error, that it has no such key.
	Find(ctx context.Context, p *model.IdentityProvider, kid, algorithm string) ([]crypto.PublicKey, error)
	// Status is how the provider's keys stand.
	Status(p *model.IdentityProvider) KeysStatus
	// Fetch gets the provider's keys freshly and keeps nothing: for Check.
	Fetch(ctx context.Context, p *model.IdentityProvider) (KeysStatus, error)
}

// ErrKeysUnavailable says that nobody can tell which keys a provider has.
var ErrKeysUnavailable = errors.New("the provider's keys cannot be had")

// Options are what a Party works with. Zero values take the defaults, but for
// Keys, which must be given.
type Options struct {
	Keys Keys
	// Dir is what relative names of clientKeyFile are relative to.
	Dir string
	TLS *tls.Config // nil = the system's roots
	Now func() time.Time

	Timeout  time.Duration // of one question to a provider; 5 s
	Patience time.Duration // how long a login waits for discovery; 1.5 s
	CoolDown time.Duration // least time between discoveries after a failure; 10 s
	Retry    time.Duration // when discovery is tried again while an older document serves; 30 s
	MinFresh time.Duration // how long a discovery document is fresh, whatever it says; 5 min
	MaxFresh time.Duration // and at most; 1 h
	MaxBytes int64         // of a provider's answer; 512 KiB
}

func (o *Options) defaults() {
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	set(&o.Timeout, 5*time.Second)
	set(&o.Patience, 1500*time.Millisecond)
	set(&o.CoolDown, 10*time.Second)
	set(&o.Retry, 30*time.Second)
	set(&o.MinFresh, 5*time.Minute)
	set(&o.MaxFresh, time.Hour)
	if o.MaxBytes <= 0 {
		o.MaxBytes = 512 << 10
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// Party is the relying party, for all providers of type oidc. It is safe for
// concurrent use.
type Party struct {
	o    Options
	http *fetch.Client

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	ended  sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	sources map[string]*source // by issuer
	// accepted is the way by which a provider took a client, by clientOf.
	accepted map[string]string
}

var (
	_ flow.Protocol  = (*Party)(nil)
	_ flow.Refresher = (*Party)(nil)
	_ flow.Ender     = (*Party)(nil)
)

// New makes a Party. It asks nobody until it is told to.
func New(o Options) *Party {
	o.defaults()
	ctx, cancel := context.WithCancel(context.Background())
	return &Party{o: o, ctx: ctx, cancel: cancel, sources: make(map[string]*source), accepted: make(map[string]string),
		http: fetch.New(fetch.Options{MaxBytes: o.MaxBytes, Timeout: o.Timeout, TLS: o.TLS})}
}

// Retain begins discovery of these providers and forgets all others: to be called
// when a configuration is published.
func (r *Party) Retain(providers []model.IdentityProvider) {
	keep, clients := make(map[string]bool), make(map[string]bool)
	for i := range providers {
		if p := &providers[i]; p.Type == model.ProviderOIDC && p.Enabled {
			keep[p.Issuer], clients[clientOf(p)] = true, true
			r.source(p).start()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for issuer := range r.sources {
		if !keep[issuer] {
			delete(r.sources, issuer)
		}
	}
	maps.DeleteFunc(r.accepted, func(client, _ string) bool { return !clients[client] })
}

// Close ends what is under way and waits for it.
func (r *Party) Close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.cancel()
	r.ended.Wait()
}

// launch runs f beside its caller, unless the Party is closed.
func (r *Party) launch(f func()) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.ended.Go(f)
	return true
}

func (r *Party) source(p *model.IdentityProvider) *source {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.sources[p.Issuer]
	if s == nil {
		s = &source{party: r, issuer: p.Issuer}
		r.sources[p.Issuer] = s
	}
	return s
}

// skew is how far a provider's clock may be off.
const skew = 30 * time.Second

// retryAfter is told, in seconds, to who meets a provider that is down.
const retryAfter = 10
