package upstream

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

// linger is for how long a pool is kept that no current configuration names:
// requests that were decided under an older plan still use it.
const linger = time.Minute

// Options are what the way out needs from outside; all may be left out.
type Options struct {
	Log *slog.Logger
	// Lookup resolves a name; nil = the system's resolver.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// Refresh is how often names are looked up again; 0 = 5 s.
	Refresh time.Duration
}

// Pools are the ways to all services. It is safe for concurrent use.
type Pools struct {
	opt     Options
	current atomic.Pointer[map[string]*pool] // by the service's name

	mu        sync.Mutex
	old       []*pool
	endpoints map[string]*endpoint // by key: shared by pools old and new
	closed    bool
	sweep     *time.Timer
}

// New makes the pools of services.
func New(services []model.Service, opt Options) *Pools {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Lookup == nil {
		opt.Lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if opt.Refresh == 0 {
		opt.Refresh = 5 * time.Second
	}
	p := &Pools{opt: opt, endpoints: map[string]*endpoint{}}
	p.current.Store(&map[string]*pool{})
	p.Update(services)
	return p
}

// Check reports what is wrong with a service's way out that its model cannot see.
func Check(s *model.Service, path string) (f model.Faults) {
	if _, err := trust(s); err != nil {
		f.Add(path, err.Error())
	}
	return f
}

// Update makes services the current ones. Pools of services that did not change
// stay as they are; targets that did not change keep their connections and their
// health; what is no longer named ends when its requests have.
func (p *Pools) Update(services []model.Service) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	before, next := *p.current.Load(), make(map[string]*pool, len(services))
	now := time.Now()
	for i := range services {
		s := &services[i]
		fp := fingerprint(s)
		pl := before[s.Name]
		if pl == nil || pl.fingerprint != fp {
			pl = p.revive(s.Name, fp)
		}
		if pl == nil {
			pl = p.make(s, fp)
		}
		pl.retired = time.Time{}
		pl.source.Store(s)
		p.start(pl)
		next[s.Name] = pl
	}
	for name, pl := range before {
		if next[name] != pl {
			p.retire(pl, now)
		}
	}
	p.current.Store(&next)
	p.clear(now)
}

// retire must be called with mu held.
func (p *Pools) retire(pl *pool, now time.Time) {
	pl.retired = now
	pl.halt()
	p.old = append(p.old, pl)
	if p.sweep == nil {
		p.sweep = time.AfterFunc(linger, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.sweep = nil
			p.clear(time.Now())
		})
	}
}

func (p *Pools) revive(name, fp string) *pool {
	for i, pl := range p.old {
		if pl.service.Name == name && pl.fingerprint == fp {
			p.old = append(p.old[:i], p.old[i+1:]...)
			return pl
		}
	}
	return nil
}

// clear lets go of pools that were retired long enough ago.
func (p *Pools) clear(now time.Time) {
	kept := p.old[:0]
	for _, pl := range p.old {
		if !p.closed && now.Sub(pl.retired) < linger {
			kept = append(kept, pl)
			continue
		}
		p.drop(pl.targetsNow())
	}
	clear(p.old[len(kept):])
	p.old = kept
	if len(kept) > 0 && p.sweep == nil && !p.closed {
		p.sweep = time.AfterFunc(linger, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.sweep = nil
			p.clear(time.Now())
		})
	}
}

// Close ends every pool; requests in flight end in peace.
func (p *Pools) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.sweep != nil {
		p.sweep.Stop()
	}
	now := time.Now()
	for _, pl := range *p.current.Load() {
		pl.retired = now
		pl.halt()
		p.old = append(p.old, pl)
	}
	p.current.Store(&map[string]*pool{})
	p.clear(now)
}

// Forward sends r to a target of s and answers with what the target said, or with
// a *model.Error (upstream_unreachable, upstream_invalid, upstream_timeout), or
// with the error that the caller's body or the context ended with. A request that
// may have been processed is sent again only if its method is idempotent, none of
// its answer has been seen, and s.Retries allows it.
func (p *Pools) Forward(ctx context.Context, s *model.Service, r *Request) (*Response, error) {
	return p.find(s).forward(ctx, r)
}

// find gives the pool of exactly this definition of a service: a request that was
// decided under an older plan is forwarded as that plan says.
func (p *Pools) find(s *model.Service) *pool {
	pl := (*p.current.Load())[s.Name]
	if pl != nil && pl.source.Load() == s {
		return pl
	}
	fp := fingerprint(s)
	if pl != nil && pl.fingerprint == fp {
		return pl
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, pl := range p.old {
		if pl.service.Name == s.Name && pl.fingerprint == fp {
			return pl
		}
	}
	pl = p.make(s, fp)
	p.start(pl)
	p.retire(pl, time.Now())
	return pl
}

// fingerprint covers what the way out depends on and nothing else.
func fingerprint(s *model.Service) string {
	b, err := json.Marshal(struct {
		T []model.Target
		B model.Balance
		P model.Protocol
		H *model.Health
		S model.ServiceTLS
		W model.Timeouts
		R int
	}{s.Targets, s.Balance, s.Protocol, s.Health, s.TLS, s.Timeouts, s.Retries})
	if err != nil {
		return ""
	}
	return string(b)
}
