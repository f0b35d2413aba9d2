package app

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	"github.com/sallyport/sallyport/internal/door/upstream"
	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/gate/authn/all"
	"github.com/sallyport/sallyport/internal/gate/authn/introspection"
	"github.com/sallyport/sallyport/internal/gate/authn/keys"
	"github.com/sallyport/sallyport/internal/ldap"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/provision"
	"github.com/sallyport/sallyport/internal/snapshot"
)

// recentUsers is how many users the last-good snapshot remembers.
const recentUsers = 10_000

// plans compiles sets and puts plans in force.
type plans struct {
	env    gate.Env
	gate   *gate.Gate
	auth   all.Deps
	keys   *keys.Registry
	asker  *introspection.Registry
	pools  *upstream.Pools
	holder snapshot.Holder[gate.Plan]
	file   string // the last-good snapshot
	since  *since // what it does not know yet
	log    *slog.Logger
	recent func(n int) []model.User
	// retain are told the providers of each plan that is put in force.
	retain []func([]model.IdentityProvider)
	// accept says what is wrong with a provider's own files, by the field that names
	// them, before a change is accepted.
	accept map[string]func(*model.IdentityProvider) error

	save chan struct{}
}

func (p *plans) methods(set *model.Set) ([]authn.Method, model.Faults) {
	d := p.auth
	d.Providers = set.IdentityProviders
	d.Hosts = authn.NewHosts(p.env.ExternalURL, set.Routes)
	return all.New(d)
}

// compile is what provision calls for each change: everything that can be wrong
// with a set is found here, policy tests included, before anything is stored.
func (p *plans) compile(set *model.Set, users provision.UserLookup) (func(), model.Faults) {
	plan, faults := p.check(set, users)
	if len(faults) > 0 {
		return nil, faults
	}
	return func() { p.publish(plan) }, nil
}

func (p *plans) check(set *model.Set, users provision.UserLookup) (*gate.Plan, model.Faults) {
	plan, faults := gate.Compile(set, p.env)
	for i := range set.Services {
		faults = append(faults, upstream.Check(&set.Services[i], "services["+strconv.Itoa(i)+"]")...)
	}
	faults = append(faults, all.CheckFiles(p.keys, set.IdentityProviders)...)
	faults = append(faults, ldap.Faults(set.IdentityProviders)...)
	for i := range set.IdentityProviders {
		for field, check := range p.accept {
			if err := check(&set.IdentityProviders[i]); err != nil {
				faults.Add("identityProviders["+strconv.Itoa(i)+"]."+field, err.Error())
			}
		}
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return plan, p.gate.CheckExpectations(context.Background(), plan, users)
}

// publish puts a plan in force: from here on every request is decided under it.
func (p *plans) publish(plan *gate.Plan) {
	p.pools.Update(plan.Set.Services)
	p.keys.Retain(plan.Set.IdentityProviders)
	p.asker.Retain(plan.Set.IdentityProviders)
	old := p.holder.Load()
	p.holder.Publish(plan)
	for _, f := range p.retain {
		f(plan.Set.IdentityProviders)
	}
	if old != nil && old.Revision != plan.Revision {
		p.since.note(everything)
	}
	p.changed()
}

// settle is how long the last-good snapshot waits for further changes.
const settle = time.Second

// keepLastGood saves each published set, so that the gateway can start without
// its store; and, as users change, the ones in use, so that one who was
// deactivated is not brought back by such a start.
func (p *plans) keepLastGood(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			p.saveNow()
			return
		case <-p.save:
		case <-time.After(time.Minute):
		}
		select {
		case <-ctx.Done():
		case <-time.After(settle):
		}
		p.saveNow()
	}
}

func (p *plans) saveNow() {
	mark := p.since.mark() // first, for what comes while we save may be missing in it
	plan := p.holder.Load()
	if plan == nil {
		return
	}
	if err := snapshot.Save(p.file, plan.Set, p.recent(recentUsers)...); err == nil {
		p.since.saved(mark)
	} else {
		p.log.Error("the last-good snapshot cannot be saved; a start without the store would use an older one", "file", p.file, "cause", err)
	}
}

// changed asks for a save soon.
func (p *plans) changed() {
	select {
	case p.save <- struct{}{}:
	default:
	}
}
