package provision

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
)

// How exactly the last use of a credential is known, how soon it is stored, and
// how many are remembered.
const (
	touchEvery  = time.Minute
	touchDelay  = 10 * time.Second
	touchMemory = 100_000
	touchBatch  = 500
)

type touched struct{ user, credential string }

// touches collects last uses, so that a busy key costs one write a minute and a
// request none.
type touches struct {
	mu      sync.Mutex
	last    map[touched]time.Time
	pending map[touched]time.Time
	timer   *time.Timer
	closed  bool
	flush   func(context.Context) error
}

// TouchCredential notes that a credential was used. It never waits for the store,
// makes no revision, and is lost where the process is killed.
func (s *Service) TouchCredential(userID, credentialID string, at time.Time) {
	t, key := &s.touches, touched{userID, credentialID}
	t.mu.Lock()
	defer t.mu.Unlock()
	if last, ok := t.last[key]; ok && at.Sub(last) < touchEvery || t.closed {
		return
	}
	if t.last == nil || len(t.last) >= touchMemory {
		t.last = map[touched]time.Time{}
	}
	if t.pending == nil {
		t.pending = map[touched]time.Time{}
	}
	if len(t.pending) >= touchMemory {
		return
	}
	t.last[key], t.pending[key] = at, at
	if t.timer == nil {
		t.timer = time.AfterFunc(touchDelay, func() { _ = t.flush(context.Background()) }) // best effort
	}
}

// FlushTouches stores the last uses collected so far.
func (s *Service) FlushTouches(ctx context.Context) error {
	s.touches.mu.Lock()
	pending := s.touches.pending
	s.touches.pending = nil
	if s.touches.timer != nil {
		s.touches.timer.Stop()
		s.touches.timer = nil
	}
	s.touches.mu.Unlock()
	byUser := map[string]map[string]time.Time{}
	for k, at := range pending {
		if byUser[k.user] == nil {
			byUser[k.user] = map[string]time.Time{}
		}
		byUser[k.user][k.credential] = at
	}
	ids := make([]string, 0, len(byUser))
	for id := range byUser {
		ids = append(ids, id)
	}
	for batch := range slices.Chunk(ids, touchBatch) {
		if err := s.storeTouches(ctx, batch, byUser); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) storeTouches(ctx context.Context, ids []string, uses map[string]map[string]time.Time) error {
	return s.quietly(ctx, func(w store.Writer) error {
		for _, id := range ids {
			err := amend(ctx, w, id, func(c *model.Credential) bool {
				at, ok := uses[id][c.ID]
				if !ok || c.LastUsed != nil && !c.LastUsed.Before(at) {
					return false
				}
				c.LastUsed = moment(&at)
				return true
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Close stores what is pending and stops noting.
func (s *Service) Close(ctx context.Context) error {
	s.touches.mu.Lock()
	s.touches.closed = true
	s.touches.mu.Unlock()
	return s.FlushTouches(ctx)
}

// UpgradeHash replaces a password's hash by a stronger one of the same password.
// A credential that was replaced in the meantime has another id, and is left alone.
func (s *Service) UpgradeHash(ctx context.Context, userID, credentialID, newHash string) error {
	found := false
	err := s.quietly(ctx, func(w store.Writer) error {
		return amend(ctx, w, userID, func(c *model.Credential) bool {
			if c.ID != credentialID || c.Type != model.Password {
				return false
			}
			found = c.Hash != newHash
			c.Hash = newHash
			return found
		})
	})
	if err == nil && found {
		s.deps.Invalidate([]string{userID}) // else each login would upgrade it again
	}
	return err
}

// quietly writes what is no change of the configuration: without a revision and
// without an event, but in line with the other writers.
func (s *Service) quietly(ctx context.Context, fn func(store.Writer) error) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	if err := s.deps.Store.Update(ctx, fn); err != nil {
		return unavailable(err)
	}
	return nil
}

// amend alters credentials of one user in place; a user that is gone is no error.
func amend(ctx context.Context, w store.Writer, id string, edit func(*model.Credential) bool) error {
	rec, err := absent(w.UserRecordByID(ctx, id))
	if rec == nil || err != nil {
		return err
	}
	changed := false
	rec.User.Credentials = slices.Clone(rec.User.Credentials)
	for i := range rec.User.Credentials {
		changed = edit(&rec.User.Credentials[i]) || changed
	}
	if !changed {
		return nil
	}
	return w.PutUser(ctx, rec)
}
