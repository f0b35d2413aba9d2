package app

import (
	"context"
	"time"

	"github.com/sallyport/sallyport/internal/audit"
	"github.com/sallyport/sallyport/internal/face/rest"
	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/metrics"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
)

// explainer answers hypothetical requests under the plan in force.
type explainer struct{ g *Gateway }

func (e explainer) Explain(ctx context.Context, r rest.ExplainRequest) (*model.Decision, error) {
	plan := e.g.plans.holder.Load()
	if plan == nil {
		return nil, &model.Error{Code: model.ConfigurationUnavailable, Message: "There is no configuration in force.", RetryAfter: 5}
	}
	return e.g.gate.Explain(ctx, plan, gate.Question{Method: r.Method, URL: r.URL, Headers: r.Headers, ClientIP: r.ClientIP, User: r.User})
}

// auditor reads the audit log for the admin API.
type auditor struct{ log *audit.Log }

func (a auditor) Query(ctx context.Context, q rest.AuditQuery) ([]model.Event, string, error) {
	p, err := a.log.Query(ctx, audit.Query{Filter: q.Filter, Cursor: q.Cursor, Limit: q.Limit, Joined: true})
	return p.Items, p.NextCursor, err
}

func (a auditor) Follow(ctx context.Context, q rest.AuditQuery, send func(model.Event) error) error {
	match, err := audit.ParseFilter(q.Filter)
	if err != nil {
		return err
	}
	return a.log.Follow(ctx, a.log.Seq(), func(e model.Event) error {
		if !match(&e) {
			return nil
		}
		return send(e)
	})
}

// ready says why the gateway cannot serve. The store is not asked: what is known
// is served without it.
func (g *Gateway) ready(context.Context) error {
	if g.plans.holder.Load() == nil {
		return &model.Error{Code: model.ConfigurationUnavailable, Message: "There is no configuration in force.", RetryAfter: 5}
	}
	if err := g.audit.Healthy(); err != nil {
		return (&model.Error{Code: model.AuditUnavailable, Message: "The audit log cannot be written.", RetryAfter: 1}).WithCause(err)
	}
	return nil
}

// Status is the answer of GET /v2/status.
type Status struct {
	Version      string                `json:"version"`
	Started      time.Time             `json:"started"`
	Revision     int64                 `json:"revision"`
	Dependencies map[string]Dependency `json:"dependencies"`
	Providers    []ProviderStatus      `json:"identityProviders"`
	Nodes        []Node                `json:"nodes"`
	Targets      any                   `json:"targets"`
	Listeners    []ListenerStatus      `json:"listeners"`
	Directory    any                   `json:"directory"`
}

// Dependency says whether something that the gateway leans on is there.
type Dependency struct {
	Healthy bool   `json:"healthy"`
	Detail  string `json:"detail,omitempty"`
}

// Node is a machine and the revision that it serves.
type Node struct {
	Node     string    `json:"node"`
	Revision int64     `json:"revision"`
	Seen     time.Time `json:"seen"`
}

// ListenerStatus is an open socket.
type ListenerStatus struct {
	Address     string   `json:"address"`
	Serve       []string `json:"serve"`
	TLS         bool     `json:"tls"`
	Connections int      `json:"connections"`
}

func (g *Gateway) status(ctx context.Context) any {
	s := &Status{Version: g.opt.Version, Started: g.started.UTC(), Dependencies: map[string]Dependency{}, Providers: []ProviderStatus{},
		Targets: g.pools.Status(), Directory: g.directory.Stats()}
	err := g.store.View(ctx, func(r store.Reader) (err error) {
		s.Revision, err = r.CurrentRevision(ctx)
		return err
	})
	s.Dependencies["store"] = dependency(err)
	s.Dependencies["audit"] = dependency(g.audit.Healthy())
	s.Dependencies["assertionKeys"] = dependency(g.signer.Fault())
	if plan := g.plans.holder.Load(); plan != nil {
		serves := plan.Revision
		if err == nil { // changes of users are in force without a new plan
			serves = s.Revision
		}
		s.Nodes = []Node{{Node: plan.ID(), Revision: serves, Seen: time.Now().UTC()}}
		for i := range plan.Set.IdentityProviders {
			s.Providers = append(s.Providers, g.provider(&plan.Set.IdentityProviders[i]))
		}
	}
	for _, l := range g.listeners {
		s.Listeners = append(s.Listeners, ListenerStatus{Address: l.Addr().String(), Serve: l.conf.Serve, TLS: l.Secure(), Connections: l.connections()})
	}
	return s
}

func (l *opened) connections() int {
	if l.h1 != nil {
		return max(l.Open(), l.h1.Open())
	}
	return l.Open()
}

func dependency(err error) Dependency {
	if err != nil {
		return Dependency{Detail: err.Error()}
	}
	return Dependency{Healthy: true}
}

// sources are what a scrape of the metrics asks.
func (g *Gateway) sources() metrics.Sources {
	return metrics.Sources{Version: g.opt.Version,
		Revision: func() int64 {
			if p := g.plans.holder.Load(); p != nil {
				return p.Revision
			}
			return 0
		},
		Audit:   g.audit.Healthy,
		Streams: g.streams.Open,
		Targets: g.targets,
		Expiry: func() (out []metrics.CertificateEnd) {
			for _, l := range g.listeners {
				for name, end := range l.Expiry() {
					out = append(out, metrics.CertificateEnd{Listener: l.Addr().String(), Name: name, NotAfter: end})
				}
			}
			return out
		},
		Caches: func() []metrics.CacheState {
			d := g.directory.Stats()
			return []metrics.CacheState{{Name: "directory", Hits: d.Hits + d.Nobodies, Misses: d.Loads}}
		},
		Providers: g.providerStates,
	}
}

// targets are the states of the services' targets: up where any of its addresses is.
func (g *Gateway) targets() (out []metrics.TargetState) {
	at := map[[2]string]int{}
	for _, c := range g.pools.Status() {
		key := [2]string{c.Service, c.Target}
		i, ok := at[key]
		if !ok {
			i = len(out)
			at[key] = i
			out = append(out, metrics.TargetState{Service: c.Service, URL: c.Target})
		}
		out[i].Up = out[i].Up || c.Healthy
	}
	return out
}
