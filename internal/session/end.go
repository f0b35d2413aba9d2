package session

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
)

// Which names sessions: by their own name, by user, or as a provider knows them.
type Which struct {
	ID, UserID, Provider, Subject, SID string
}

// Whole is the login that a session is of, on however many hosts it runs.
func Whole(r *store.SessionRecord) Which {
	if r.SID == "" {
		return Which{ID: r.ID}
	}
	return Which{UserID: r.UserID, Provider: r.Provider, SID: r.SID}
}

// End ends sessions at once and answers how many that were. Those in memory are
// over even where the store cannot be told; then the error says so.
func (b *Book) End(ctx context.Context, w Which) (int, error) {
	if w == (Which{}) {
		return 0, errors.New("no session is named")
	}
	q := store.SessionQuery{ID: w.ID, UserID: w.UserID, Provider: w.Provider, Subject: w.Subject, SID: w.SID}
	b.told(b.drop(b.inMemory(w)))
	var ids []string
	err := b.o.Store.Update(ctx, func(tx store.Writer) (err error) {
		ids, err = tx.DeleteSessions(ctx, q)
		return err
	})
	if err != nil {
		return 0, unavailable(err)
	}
	b.told(b.drop(ids))
	b.forget(ids)
	return len(ids), nil
}

// names says whether w names the session of an entry.
func (w *Which) names(e *entry) bool {
	is := func(want, have string) bool { return want == "" || want == have }
	return is(w.ID, e.s.ID) && is(w.UserID, e.s.UserID) && is(w.Provider, e.s.Provider) && is(w.Subject, e.subject) && is(w.SID, e.sid)
}

// inMemory are the names of those in memory that w names.
func (b *Book) inMemory(w Which) (ids []string) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for id, e := range b.byID {
		if w.names(e) {
			ids = append(ids, id)
		}
	}
	return ids
}

func (b *Book) told(list []*entry) {
	for _, e := range list {
		b.o.Ended(e.s.UserID, e.s.ID)
	}
}

// Cut ends what the sessions of providers that no longer vouch have open. The sessions
// themselves count as none for as long as that is so.
func (b *Book) Cut(vouches func(provider string) bool) {
	var list []*entry
	b.mu.RLock()
	for _, e := range b.known {
		if !e.s.Ended() && !vouches(e.s.Provider) {
			list = append(list, e)
		}
	}
	b.mu.RUnlock()
	b.told(list)
}

// Runs says whether the session of that name is known to have not ended: for
// whoever asks which streams may go on.
func (b *Book) Runs(id string) bool {
	b.mu.RLock()
	e := b.byID[id]
	b.mu.RUnlock()
	return e != nil && e.s.Runs(b.o.Now())
}

// Credential is what the session of that name was begun with; "" where it is not known.
func (b *Book) Credential(id string) string {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if e := b.byID[id]; e != nil {
		return e.s.Credential
	}
	return ""
}

// List is a page of the sessions that run, by their names.
func (b *Book) List(ctx context.Context, w Which, after string, limit int) ([]model.Session, error) {
	var out []model.Session
	now, idle := b.o.Now(), b.o.Settings().Idle.D()
	err := b.view(ctx, func(ctx context.Context, tx store.Reader) error {
		for limit <= 0 || len(out) < limit {
			list, err := tx.ListSessions(ctx, store.SessionQuery{ID: w.ID, UserID: w.UserID, Provider: w.Provider, After: after, Limit: 200})
			if err != nil {
				return err
			}
			for i := range list {
				s := list[i].Session
				s.LastSeenAt = b.seen(&s)
				if now.Before(s.ExpiresAt) && now.Sub(s.LastSeenAt) < idle && (limit <= 0 || len(out) < limit) {
					out = append(out, s)
				}
			}
			if len(list) < 200 {
				return nil
			}
			after = list[len(list)-1].ID
		}
		return nil
	})
	if err != nil {
		return nil, unavailable(err)
	}
	return out, nil
}

// seen is the last use, of which memory knows more than the store.
func (b *Book) seen(s *model.Session) time.Time {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if e := b.byID[s.ID]; e != nil && e.s.Seen().After(s.LastSeenAt) {
		return e.s.Seen().UTC()
	}
	return s.LastSeenAt
}

// Record is all that is kept of a session, with what its provider needs; nil =
// there is none.
func (b *Book) Record(ctx context.Context, id string) (r *store.SessionRecord, keep []byte, err error) {
	var list []store.SessionRecord
	err = b.view(ctx, func(ctx context.Context, tx store.Reader) (err error) {
		list, err = tx.ListSessions(ctx, store.SessionQuery{ID: id, Limit: 1})
		return err
	})
	if err != nil || len(list) == 0 {
		return nil, nil, err
	}
	keep, err = b.seal.open(id, list[0].Sealed)
	return &list[0], keep, err
}

// IsName says whether a credential's id is the name of a session.
func IsName(id string) bool { return strings.HasPrefix(id, prefix) }
