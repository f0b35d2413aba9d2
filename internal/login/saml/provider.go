package saml

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/sallyport/sallyport/internal/fetch"
	"github.com/sallyport/sallyport/internal/login/flow"
	"github.com/sallyport/sallyport/internal/model"
)

// Options are where things are. Zero values take the defaults, but for Dir.
type Options struct {
	// Dir holds the gateway's own keys, in keys/: made when they are first needed.
	Dir string
	// Base is what relative names of metadata files are relative to.
	Base string
	// Fetch gets a document over https, bounded in size; nil = fetch's client.
	Fetch    func(ctx context.Context, url string) ([]byte, error)
	Now      func() time.Time
	Refresh  time.Duration // how often metadata is fetched again; 1 h
	CoolDown time.Duration // least time between fetches; 10 s
	Patience time.Duration // how long a login waits for one; 1.5 s
}

// ServiceProvider speaks SAML with all identity providers of type saml. It is safe
// for concurrent use.
type ServiceProvider struct {
	o       Options
	own     ownKey
	mu      sync.Mutex
	sources map[string]*source // by provider
	running sync.WaitGroup
	stop    context.CancelFunc
	life    context.Context
}

var (
	_ flow.Protocol     = (*ServiceProvider)(nil)
	_ flow.Ender        = (*ServiceProvider)(nil)
	_ flow.SingleLogout = (*ServiceProvider)(nil)
)

// New makes a service provider; it reads and fetches nothing yet.
func New(o Options) *ServiceProvider {
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	set(&o.Refresh, time.Hour)
	set(&o.CoolDown, 10*time.Second)
	set(&o.Patience, 1500*time.Millisecond)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Fetch == nil {
		// An aggregate of a federation is larger than a key set.
		o.Fetch = fetch.New(fetch.Options{MaxBytes: maxMetadata, Accept: "application/samlmetadata+xml, application/xml, text/xml"}).Get
	}
	life, stop := context.WithCancel(context.Background())
	return &ServiceProvider{o: o, sources: make(map[string]*source), life: life, stop: stop}
}

// Close ends what is being fetched and waits for it.
func (s *ServiceProvider) Close() {
	s.mu.Lock()
	s.stop() // and nothing begins after that
	s.mu.Unlock()
	s.running.Wait()
}

// names are what the gateway is called at one provider.
type names struct {
	entityID string
	metadata string
	acs      string // where responses come
	slo      string // where logouts come
}

func namesOf(p *model.IdentityProvider, base *url.URL) names {
	at := strings.TrimSuffix(base.String(), "/") + "/.sallyport/saml/" + p.Name
	n := names{entityID: p.EntityID, metadata: at + "/metadata", acs: at + "/acs", slo: at + "/slo"}
	if n.entityID == "" {
		n.entityID = n.metadata
	}
	return n
}

// usable refuses a provider that is switched off, in all its flows: logins that
// it starts itself too (CVE-2026-2603).
func usable(p *model.IdentityProvider, base *url.URL) error {
	switch {
	case p == nil || base == nil || p.Type != model.ProviderSAML:
		return model.NewError(model.Internal, "The gateway met an unexpected fault.").WithCause(errors.New("no SAML provider was given"))
	case !p.Enabled:
		return model.NewError(model.PermissionDenied, "Sign-in by this provider is switched off.")
	}
	return nil
}

// refused is the one answer to whatever a provider did not prove: that messages
// fail alike keeps them from telling how far they came, which is what attacks on
// encryption need.
func refused(cause error) error {
	return model.NewError(model.CredentialInvalid, "The identity provider's answer could not be verified. Start again.").WithCause(cause)
}

func malformed(cause error) error {
	return model.NewError(model.RequestMalformed, "This is not an answer of an identity provider.").WithCause(cause)
}

func unavailable(cause error) error {
	return model.NewError(model.IdentityUnavailable, "The identity provider cannot be asked now. Try again later.").WithCause(cause)
}
