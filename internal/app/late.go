package app

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/store"
	"github.com/sallyport/sallyport/internal/store/sqlite"
)

// lateness is when the store was last heard of.
type lateness struct{ at atomic.Int64 }

func (l *lateness) seen(t time.Time)            { l.at.Store(t.UnixNano()) }
func (l *lateness) since() time.Duration        { return time.Since(time.Unix(0, l.at.Load())) }
func (l *lateness) within(d time.Duration) bool { return d <= 0 || l.since() <= d }

// watchStore asks the store once a second whether it is there. It brings a store
// that comes late in force, and takes the plan out of force when nothing has been
// heard of the store for longer than maxStale.
func (g *Gateway) watchStore(ctx context.Context) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	var aside *gate.Plan
	var ill bool
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		ill = g.tellAudit(ill)
		if _, err := g.store.get(); err != nil {
			g.openLate(ctx)
		}
		ask, cancel := context.WithTimeout(ctx, time.Second)
		err := g.store.View(ask, func(r store.Reader) error {
			_, err := r.CurrentRevision(ask)
			return err
		})
		cancel()
		switch {
		case err == nil:
			g.late.seen(time.Now())
			if aside != nil && g.plans.holder.Load() == nil {
				g.log.Info("the store is back")
				g.plans.holder.Publish(aside)
			}
			aside = nil
		case !g.late.within(g.cfg.MaxStale.D()) && g.plans.holder.Load() != nil:
			g.log.Error("the store has been away for longer than maxStale: refusing everything until it is back", "cause", err)
			aside = g.plans.holder.Load()
			g.plans.holder.Publish(nil)
		}
	}
}

// tellAudit says in the log when the audit fails, which refuses every request, and
// when it is well again.
func (g *Gateway) tellAudit(ill bool) bool {
	err := g.audit.Healthy()
	switch {
	case err != nil && !ill:
		g.log.Error("the audit log cannot be written: refusing every request until it can", "cause", err)
	case err == nil && ill:
		g.log.Info("the audit log can be written again")
	}
	return err != nil
}

// openLate tries again to open a store that was not there at the start.
func (g *Gateway) openLate(ctx context.Context) {
	s, err := sqlite.Open(ctx, g.cfg.StorePath)
	if err != nil {
		return
	}
	g.store.set(s)
	unmanaged := func(err error) { g.log.Error("the store is there, but has no administrator", "cause", err) }
	if err := g.beginFromStore(ctx, unmanaged); err != nil {
		g.log.Error("the store is there, but its configuration cannot be used", "cause", err)
		return
	}
	g.directory.InvalidateAll()
	g.log.Info("the store is there")
}
