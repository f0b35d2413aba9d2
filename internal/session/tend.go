package session

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
)

const (
	// How often memory tells the store of last uses. A restart forgets at most so much.
	flushEvery = 15 * time.Second
	sweepEvery = time.Minute
	// How often it is looked whose provider is to be asked again.
	refreshEvery  = 2 * time.Second
	refreshAtOnce = 8
	// How long after a provider could not be asked it is asked again.
	refreshAgain = 30 * time.Second
)

// Run keeps the book in order until ctx ends; then it writes down what it knows.
func (b *Book) Run(ctx context.Context) {
	flush, sweep, refresh := time.NewTicker(flushEvery), time.NewTicker(sweepEvery), time.NewTicker(refreshEvery)
	defer flush.Stop()
	defer sweep.Stop()
	defer refresh.Stop()
	slots := make(chan struct{}, refreshAtOnce)
	for {
		select {
		case <-ctx.Done():
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			b.Flush(end)
			cancel()
			b.done.Wait()
			return
		case <-flush.C:
			b.Flush(ctx)
		case <-sweep.C:
			b.Flush(ctx)
			b.Sweep(ctx)
		case <-refresh.C:
			b.refreshDue(ctx, slots)
		}
	}
}

// Flush tells the store of last uses.
func (b *Book) Flush(ctx context.Context) {
	type use struct {
		e  *entry
		at int64
	}
	var uses []use
	b.mu.RLock()
	for _, e := range b.known {
		if at := e.s.Seen().UnixNano(); at > e.stored {
			uses = append(uses, use{e, at})
		}
	}
	b.mu.RUnlock()
	if len(uses) == 0 {
		return
	}
	err := b.o.Store.Update(ctx, func(tx store.Writer) error {
		for _, u := range uses {
			if err := tx.SeeSession(ctx, u.e.s.ID, time.Unix(0, u.at)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return // the next time tells it all
	}
	b.mu.Lock()
	for _, u := range uses {
		u.e.stored = u.at
	}
	b.mu.Unlock()
}

// Sweep deletes what has run out or was left alone.
func (b *Book) Sweep(ctx context.Context) {
	now := b.o.Now()
	var ids []string
	b.mu.RLock()
	for id, e := range b.byID {
		if !e.s.Runs(now) {
			ids = append(ids, id)
		}
	}
	b.mu.RUnlock()
	b.told(b.drop(ids))
	if b.o.Store.Update(ctx, func(tx store.Writer) error {
		for _, id := range ids {
			if _, err := tx.DeleteSessions(ctx, store.SessionQuery{ID: id}); err != nil {
				return err
			}
		}
		return nil
	}) == nil {
		b.forget(ids)
	}
	// What the store knows of uses is older than what memory knows.
	q := store.SessionQuery{ExpiredBefore: now, Idle: b.o.Settings().Idle.D() + 4*flushEvery}
	_ = b.o.Store.Update(ctx, func(tx store.Writer) error {
		_, err := tx.DeleteSessions(ctx, q)
		return err
	})
}

// Retune takes up changed settings: of how long sessions may be left alone.
func (b *Book) Retune() {
	idle := b.o.Settings().Idle.D()
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, e := range b.known {
		e.s.SetIdle(idle)
	}
}

// whole names the login that an entry's session is of: all of its sessions share what
// is kept for the provider, which many providers take once.
func (e *entry) whole() Which {
	return Whole(&store.SessionRecord{Session: model.Session{ID: e.s.ID, UserID: e.s.UserID, Provider: e.s.Provider}, SID: e.sid})
}

// refreshDue asks again the providers of sessions that are in use and whose time
// has come; each login by one at a time.
func (b *Book) refreshDue(ctx context.Context, slots chan struct{}) {
	if b.o.Refresh == nil {
		return
	}
	now := b.o.Now()
	var due []*entry
	b.mu.Lock()
	for _, e := range b.known {
		if !e.busy && !e.refresh.IsZero() && !now.Before(e.refresh) && e.s.Runs(now) && now.Sub(e.s.Seen()) < time.Minute && !b.asking[e.whole()] {
			e.busy, b.asking[e.whole()] = true, true
			due = append(due, e)
		}
	}
	b.mu.Unlock()
	for _, e := range due {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		b.done.Go(func() {
			defer func() { <-slots }()
			b.refresh(ctx, e)
		})
	}
}

func (b *Book) refresh(ctx context.Context, e *entry) {
	if r, keep, err := b.Record(ctx, e.s.ID); err == nil && r != nil {
		r.Sealed = keep // opened, for the one who asks
		b.o.Refresh(ctx, r)
	}
	b.mu.Lock()
	e.busy = false
	delete(b.asking, e.whole())
	if !e.refresh.IsZero() && !b.o.Now().Before(e.refresh) { // nobody renewed it: the provider is away
		e.refresh = b.o.Now().Add(refreshAgain)
	}
	b.mu.Unlock()
}

// Renew takes over what a provider says now, for all sessions of the login. r is as
// Record gave it, with what is kept for the provider in r.Sealed, in the clear.
func (b *Book) Renew(ctx context.Context, r *store.SessionRecord, claims map[string]any) error {
	body, err := json.Marshal(claims)
	if err != nil {
		return err
	}
	w := Whole(r)
	var list []store.SessionRecord
	err = b.o.Store.Update(ctx, func(tx store.Writer) (err error) {
		// What has ended meanwhile is not among them, and stays so.
		list, err = tx.ListSessions(ctx, store.SessionQuery{ID: w.ID, UserID: w.UserID, Provider: w.Provider, SID: w.SID})
		for i := range list {
			s := &list[i]
			s.Claims, s.Sealed, s.Refresh = body, b.seal.close(s.ID, r.Sealed), r.Refresh
			err = errors.Join(err, tx.PutSession(ctx, s))
		}
		return err
	})
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range list {
		if e := b.byID[list[i].ID]; e != nil && !e.s.Ended() {
			s := b.session(&list[i])
			s.SetSeen(e.s.Seen())
			e.s.End() // whoever holds it finds the new one by the cookie
			e.s, e.refresh = s, r.Refresh
		}
	}
	return nil
}
