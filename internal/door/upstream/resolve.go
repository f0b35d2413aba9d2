package upstream

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

// target is one of a service's URLs and the endpoints behind its name.
type target struct {
	base   *url.URL
	name   string // "" where the URL holds an address
	port   uint16
	weight int
	kind   string // what makes endpoints of equal address differ
	build  func(addr netip.AddrPort) carrier

	// Guarded by the pool's mu.
	endpoints []*endpoint
	fault     error // of the last look-up
}

// make builds the pool of s; mu is held.
func (p *Pools) make(s *model.Service, fp string) *pool {
	pl := &pool{service: *s, fingerprint: fp, ready: make(chan struct{})}
	pl.source.Store(s)
	pl.view.Store(newView(nil, nil))
	conf, err := trust(s)
	if err != nil {
		pl.fault = err
		return pl
	}
	kind, _ := json3(s.Protocol, s.TLS, s.Timeouts.Connect)
	named := false
	for _, mt := range s.Targets {
		u, err := url.Parse(mt.URL)
		if err != nil {
			continue // refused when the service was validated
		}
		t := &target{base: u, weight: mt.Weight, kind: kind, port: 80}
		if u.Scheme == "https" {
			t.port = 443
		}
		if n, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
			t.port = uint16(n)
		}
		t.build = func(a netip.AddrPort) carrier { return newTransport(u, a, s, conf) }
		pl.targets = append(pl.targets, t)
		if a, err := netip.ParseAddr(u.Hostname()); err == nil {
			t.endpoints = p.take(t, []netip.Addr{a.Unmap()})
		} else {
			t.name, named = u.Hostname(), true
		}
	}
	pl.refresh()
	if !named {
		close(pl.ready)
	}
	return pl
}

// take gives the endpoints of a target at addrs, those that exist already among
// them; mu is held.
func (p *Pools) take(t *target, addrs []netip.Addr) []*endpoint {
	out := make([]*endpoint, 0, len(addrs))
	for _, a := range addrs {
		at := netip.AddrPortFrom(a, t.port)
		key := t.kind + " " + t.base.Scheme + "://" + t.base.Host + " " + at.String()
		e := p.endpoints[key]
		if e == nil {
			e = &endpoint{key: key, url: t.base.Scheme + "://" + t.base.Host, addr: at, carrier: t.build(at)}
			e.hash = hash(e.url + " " + at.String())
			e.life, e.end = context.WithCancel(context.Background())
			p.endpoints[key] = e
		}
		e.refs++
		out = append(out, e)
	}
	return out
}

// drop gives endpoints back; mu is held.
func (p *Pools) drop(list []*endpoint) {
	for _, e := range list {
		if e.refs--; e.refs == 0 {
			delete(p.endpoints, e.key)
			e.shut()
		}
	}
}

// refresh makes a new view of the targets' endpoints.
func (pl *pool) refresh() {
	pl.mu.Lock()
	defer pl.mu.Unlock()
	var eps []*endpoint
	var weights []float64
	for _, t := range pl.targets {
		for _, e := range t.endpoints {
			eps = append(eps, e)
			weights = append(weights, float64(t.weight)/float64(len(t.endpoints)))
		}
	}
	pl.view.Store(newView(eps, weights))
}

func (pl *pool) targetsNow() (out []*endpoint) {
	pl.mu.Lock()
	defer pl.mu.Unlock()
	for _, t := range pl.targets {
		out = append(out, t.endpoints...)
		t.endpoints = nil
	}
	return out
}

// start looks names up again and again, and probes; mu of Pools is held.
func (p *Pools) start(pl *pool) {
	pl.mu.Lock()
	defer pl.mu.Unlock()
	if pl.stop != nil || pl.fault != nil {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	pl.stop = stop
	for _, t := range pl.targets {
		if t.name != "" {
			go p.resolve(ctx, pl)
			break
		}
	}
	if pl.service.Health != nil {
		go p.probe(ctx, pl)
	} else {
		for _, t := range pl.targets {
			for _, e := range t.endpoints {
				e.unprobed()
			}
		}
	}
}

// halt stops resolving and probing; requests can still be sent.
func (pl *pool) halt() {
	pl.mu.Lock()
	defer pl.mu.Unlock()
	if pl.stop != nil {
		pl.stop()
		pl.stop = nil
	}
}

// resolve keeps the endpoints of named targets in step with their records.
func (p *Pools) resolve(ctx context.Context, pl *pool) {
	for {
		for _, t := range pl.targets {
			if t.name != "" {
				p.lookup(ctx, pl, t)
			}
		}
		if ctx.Err() == nil {
			select {
			case <-pl.ready:
			default:
				close(pl.ready)
			}
		}
		timer := time.NewTimer(p.opt.Refresh - p.opt.Refresh/8 + rand.N(p.opt.Refresh/4+1))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

func (p *Pools) lookup(ctx context.Context, pl *pool, t *target) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	addrs, err := p.opt.Lookup(ctx, t.name)
	cancel()
	if err == nil && len(addrs) == 0 {
		err = fmt.Errorf("%s has no address", t.name)
	}
	if err != nil { // what was good goes on serving while the resolver is away
		pl.mu.Lock()
		t.fault = err
		pl.mu.Unlock()
		return
	}
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	addrs = slices.Compact(addrs)
	p.mu.Lock()
	defer p.mu.Unlock()
	pl.mu.Lock()
	t.fault = nil
	before := t.endpoints
	same := pl.stop == nil || len(before) == len(addrs) // nothing to do, or no longer ours to change
	for i := 0; same && pl.stop != nil && i < len(before); i++ {
		same = before[i].addr.Addr() == addrs[i]
	}
	pl.mu.Unlock()
	if same {
		return
	}
	after := p.take(t, addrs)
	pl.mu.Lock()
	t.endpoints = after
	pl.mu.Unlock()
	pl.refresh()
	p.drop(before)
	if len(before) > 0 {
		p.opt.Log.Info("the addresses of a target changed", "service", pl.service.Name, "target", t.base.Host, "addresses", fmt.Sprint(addrs))
	}
}
