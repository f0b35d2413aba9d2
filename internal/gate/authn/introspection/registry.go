package introspection

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/model"
)

// ErrUnavailable says that a provider could not be asked: never that a token is
// wrong.
var ErrUnavailable = errors.New("the introspection endpoint cannot be asked")

// Options are how providers are asked. Zero values take the defaults, but for
// Post, without which nobody is.
type Options struct {
	// Post sends a form by https with that Authorization and answers the body of a
	// 200: bounded in size, without following redirects. It ends with its context.
	// The question may be sent twice.
	Post     func(ctx context.Context, url, authorization string, form url.Values) ([]byte, error)
	Now      func() time.Time
	Timeout  time.Duration // of one question; 1.5 s
	Failures int           // in a row, after which a provider is left alone; 3
	Pause    time.Duration // for how long; 5 s
	Calls    int           // most questions under way at one provider; 64
	No       time.Duration // for how long a refusal is remembered; 5 s
}

func (o *Options) defaults() {
	if o.Timeout <= 0 {
		o.Timeout = 1500 * time.Millisecond
	}
	if o.Failures <= 0 {
		o.Failures = 3
	}
	if o.Pause <= 0 {
		o.Pause = 5 * time.Second
	}
	if o.Calls <= 0 {
		o.Calls = 64
	}
	if o.No <= 0 {
		o.No = 5 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Post == nil {
		o.Post = func(context.Context, string, string, url.Values) ([]byte, error) {
			return nil, errors.New("asking over the network is not set up")
		}
	}
}

// Registry knows how each provider's endpoint fares.
type Registry struct {
	o         Options
	refusals  authn.Refusals
	mu        sync.Mutex
	endpoints map[uint64]*endpoint
}

// NewRegistry makes a registry that has asked nobody yet.
func NewRegistry(o Options) *Registry {
	o.defaults()
	return &Registry{o: o, refusals: authn.NewRefusals(mostRefusals), endpoints: make(map[uint64]*endpoint)}
}

// identity is what makes two providers one endpoint: who is asked, and as whom.
// With another secret it starts afresh.
func identity(p *model.IdentityProvider) uint64 {
	return authn.Epoch(p.Endpoint, p.ClientID, p.ClientSecret)
}

func (r *Registry) of(p *model.IdentityProvider) *endpoint {
	id := identity(p)
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.endpoints[id]
	if e == nil {
		e = &endpoint{slots: make(chan struct{}, r.o.Calls)}
		r.endpoints[id] = e
	}
	return e
}

// Retain forgets the endpoints that none of these providers has: to be called when
// a configuration is published.
func (r *Registry) Retain(providers []model.IdentityProvider) {
	keep := make(map[uint64]bool)
	for i := range providers {
		if p := &providers[i]; p.Type == model.ProviderIntrospection {
			keep[identity(p)] = true
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for id := range r.endpoints {
		if !keep[id] {
			delete(r.endpoints, id)
		}
	}
}

// Ask asks a provider about a token, and gives the body of its answer to read. An
// error of read's says that this is no answer by RFC 7662, and counts against the
// provider. Every error is ErrUnavailable.
func (r *Registry) Ask(ctx context.Context, p *model.IdentityProvider, token string, read func([]byte) error) error {
	if ctx.Err() != nil { // others have used up the time that there was
		return fmt.Errorf("%w: no time is left to", ErrUnavailable)
	}
	e := r.of(p)
	if err := e.enter(r.o.Now(), &r.o); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	ctx, cancel := context.WithTimeout(ctx, r.o.Timeout)
	defer cancel()
	select {
	case e.slots <- struct{}{}:
		defer func() { <-e.slots }()
	case <-ctx.Done(): // full: not the provider's fault, or not proven to be
		return fmt.Errorf("%w: too many questions are under way", ErrUnavailable)
	}
	body, err := r.o.Post(ctx, p.Endpoint, basic(p), url.Values{"token": {token}, "token_type_hint": {"access_token"}})
	if err == nil {
		err = read(body)
	}
	e.leave(err, r.o.Now(), &r.o)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}

// basic is who asks. RFC 6749, 2.3.1: id and secret are form-encoded before they
// go into Basic, so that a colon in the id does not end it.
func basic(p *model.IdentityProvider) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(p.ClientID)+":"+url.QueryEscape(p.ClientSecret)))
}
