package provision

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
)

// Revisions lists revisions before a number, newest first; 0 = from the newest.
func (s *Service) Revisions(ctx context.Context, before int64, limit int) (list []store.Revision, err error) {
	if limit <= 0 {
		limit = 100
	}
	err = s.view(ctx, func(r store.Reader) error {
		list, err = r.ListRevisions(ctx, before, limit)
		return err
	})
	return list, err
}

// RevisionByNumber reads one revision.
func (s *Service) RevisionByNumber(ctx context.Context, n int64) (rev *store.Revision, err error) {
	err = s.view(ctx, func(r store.Reader) error {
		rev, err = absent(r.Revision(ctx, n))
		return err
	})
	if err == nil && rev == nil {
		err = notFound("revisions", strconv.FormatInt(n, 10))
	}
	return rev, err
}

// Rollback makes everything what it was after revision n, as a new revision. The
// condition's If-Match may hold the number of the current one.
func (s *Service) Rollback(ctx context.Context, a Actor, n int64, c Condition) (*Outcome, error) {
	if err := s.permitAny(a); err != nil {
		return nil, err
	}
	return s.change(ctx, a, c.DryRun, func(t *change) error {
		current := t.next - 1
		if n < 1 || n > current {
			return notFound("revisions", strconv.FormatInt(n, 10))
		}
		c.IfMatch = strings.ReplaceAll(c.IfMatch, `"`+strconv.FormatInt(current, 10)+`"`, etag(current))
		if err := c.guard("revisions", strconv.FormatInt(current, 10), true, current); err != nil {
			return err
		}
		b, err := t.collectBack(current, n)
		if err != nil {
			return err
		}
		if err := t.watchReign(); err != nil {
			return err
		}
		err = firstError(func() error { return t.objectsBack(b) }, func() error { return t.usersBack(b) })
		t.object, t.created = nil, false
		return err
	})
}

// back is the state of each object that changed since, as it was.
type back struct {
	target map[thing]undoStep
	order  []thing
}

func (t *change) collectBack(current, n int64) (*back, error) {
	b := &back{target: map[thing]undoStep{}}
	for m := current; m > n; m-- {
		r, err := absent(t.w.Revision(t.ctx, m))
		if err != nil {
			return nil, err
		}
		if r == nil || len(r.Restore) == 0 {
			return nil, model.NewError(model.Conflict, fmt.Sprintf("What revision %d changed is no longer kept, so nothing before it can be restored.", m))
		}
		steps, err := decodeUndo(r.Restore)
		if err != nil {
			return nil, err
		}
		for _, s := range slices.Backward(steps) {
			key := thing{s.Kind, s.Name}
			if _, seen := b.target[key]; !seen {
				b.order = append(b.order, key)
			}
			b.target[key] = s // the oldest of them stays
		}
	}
	return b, nil
}

func (t *change) objectsBack(b *back) error {
	for _, key := range b.order {
		step := b.target[key]
		if key.kind == KindUsers {
			continue
		}
		c, ok := collectionOf(key.kind, key.name)
		if !ok {
			return model.NewError(model.Conflict, "A revision since holds "+key.kind+", which this version cannot restore.")
		}
		stored, old, err := t.get(c, key.name)
		if err != nil {
			return err
		}
		if step.Before == nil {
			if stored != nil {
				err = t.remove(c, stored, old)
			}
		} else {
			var v any
			if v, err = c.read(step.Before); err == nil {
				t.warnPut(c, old, v)
				err = t.put(c, key.name, v, step.Owner)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// usersBack takes out every user that changes before it puts back any, for they
// may have exchanged names or credentials since.
func (t *change) usersBack(b *back) error {
	type pair struct{ before, after *store.UserRecord }
	var pairs []pair
	for _, key := range b.order {
		step := b.target[key]
		if key.kind != KindUsers {
			continue
		}
		p := pair{}
		var err error
		if p.before, err = absent(t.w.UserRecordByID(t.ctx, key.name)); err != nil {
			return err
		}
		if step.Before != nil {
			p.after = &store.UserRecord{Owner: step.Owner}
			if err := json.Unmarshal(step.Before, &p.after.User); err != nil {
				return fmt.Errorf("reading a user to restore: %w", err)
			}
			carryOver(p.before, p.after)
		}
		if p.before == nil && p.after == nil || p.before != nil && p.after != nil && sameUser(&p.before.User, &p.after.User) {
			continue
		}
		pairs = append(pairs, p)
		if p.before != nil {
			if err := t.w.DeleteUser(t.ctx, p.before.User.ID); err != nil {
				return err
			}
			if p.after == nil {
				if err := t.bidFarewell(&p.before.User); err != nil {
					return err
				}
			}
		}
	}
	for _, p := range pairs {
		if p.after != nil {
			t.warnBack(p.before, p.after)
			p.after.Revision, p.after.User.UpdatedAt = t.next, t.now
			if err := t.w.PutUser(t.ctx, p.after); err != nil {
				return err
			}
		}
		t.asked[KindUsers] = true
		t.noteUser(p.before, p.after)
	}
	return nil
}

// carryOver keeps what is no part of any revision: a password's stronger hash, and
// when a credential was last used. A credential of the same id is the same secret.
func carryOver(before, after *store.UserRecord) {
	if before == nil {
		return
	}
	for i := range after.User.Credentials {
		c := &after.User.Credentials[i]
		j := slices.IndexFunc(before.User.Credentials, func(e model.Credential) bool { return e.ID == c.ID && e.Type == c.Type })
		if j >= 0 {
			c.Hash, c.LastUsed = before.User.Credentials[j].Hash, before.User.Credentials[j].LastUsed
		}
	}
}

// warnBack says who can get in again.
func (t *change) warnBack(before, after *store.UserRecord) {
	const most = 20
	if len(t.warnings) >= most || !after.User.Active {
		return
	}
	switch {
	case before == nil:
		t.warn("The user " + after.User.Username + " is back.")
	case !before.User.Active:
		t.warn("The user " + after.User.Username + " is active again.")
	default:
		for i := range after.User.Credentials {
			id := after.User.Credentials[i].ID
			if !slices.ContainsFunc(before.User.Credentials, func(c model.Credential) bool { return c.ID == id }) {
				t.warn("A credential of " + after.User.Username + " that was taken away or replaced is valid again.")
			}
		}
	}
}
