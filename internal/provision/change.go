package provision

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
)

// errDryRun takes the transaction back once all has been tried.
var errDryRun = errors.New("dry run")

// change is one change in the making: a transaction, what it has altered so far,
// and what is wrong with it.
type change struct {
	s     *Service
	ctx   context.Context
	w     store.Writer
	actor Actor
	now   time.Time
	next  int64 // the revision that this becomes
	// dryRun takes everything back in the end; inherent says that no role is asked
	// for, as the gateway itself makes the change.
	dryRun, inherent bool
	document         bool // many objects at once: names that are taken are faults with a path

	log      changeLog
	undo     undoLog
	users    []string        // ids to forget in the directory
	lifted   map[string]bool // ids of users that are taken out, to be put back otherwise
	named    map[string]bool // folded usernames that changed, old and new
	kinds    map[string]bool // that changed
	asked    map[string]bool // of those, the ones that the actor must be allowed to change
	deleted  []thing         // roles and groups that users might still have
	standIn  bool            // something holds a password that was not hashed
	faults   model.Faults
	claims   []claim           // of the user at hand
	known    map[thing]bool    // objects asked for so far, that exist
	places   map[string]string // where in the caller's document an object stands
	warnings []string
	object   *Object
	created  bool

	reigned  *reign // the administrators before the first change to them
	publish  func()
	recorded bool
}

// thing names an object.
type thing struct{ kind, name string }

// change runs edit in one transaction and makes what it did effective: stored,
// recorded, forgotten by caches and published, before it returns.
func (s *Service) change(ctx context.Context, a Actor, dryRun bool, edit func(*change) error) (*Outcome, error) {
	return s.run(ctx, &change{actor: a, dryRun: dryRun}, edit)
}

func (s *Service) run(ctx context.Context, t *change, edit func(*change) error) (*Outcome, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	t.s, t.now = s, s.now()
	t.known, t.asked = map[thing]bool{}, map[string]bool{}
	t.named, t.kinds, t.places, t.lifted = map[string]bool{}, map[string]bool{}, map[string]string{}, map[string]bool{}
	// A caller that goes away in the middle must not leave it unclear whether the
	// change was made.
	t.ctx = context.WithoutCancel(ctx)
	err := s.deps.Store.Update(t.ctx, func(w store.Writer) error {
		t.w = w
		return t.transact(edit)
	})
	switch {
	case errors.Is(err, errDryRun):
		return t.outcome(), nil
	case err != nil:
		return nil, t.failed(err)
	}
	t.effect()
	return t.outcome(), nil
}

// enter waits for the turn to write, and no longer than the caller does.
func (s *Service) enter(ctx context.Context) error {
	select {
	case s.writing <- struct{}{}:
		if ctx.Err() == nil {
			return nil
		}
		s.leave()
	case <-ctx.Done():
	}
	return unavailable(ctx.Err())
}

func (s *Service) leave() { <-s.writing }

func (t *change) transact(edit func(*change) error) error {
	current, err := t.w.CurrentRevision(t.ctx)
	if err != nil {
		return err
	}
	t.next = current + 1
	if err := edit(t); err != nil {
		return err
	}
	if err := t.permitted(); err != nil {
		return err
	}
	if err := t.check(); err != nil {
		return err
	}
	if t.log.empty() {
		t.next = current
	}
	if t.dryRun {
		return errDryRun
	}
	if t.log.empty() {
		return nil
	}
	return t.seal()
}

// permitted asks for the roles that what has really changed needs.
func (t *change) permitted() error {
	if t.inherent {
		return nil
	}
	kinds := make([]string, 0, len(t.asked))
	for k := range t.asked {
		kinds = append(kinds, k)
	}
	return t.s.permit(t.actor, kinds...)
}

// seal numbers the change and records it. The event is on disk before the
// transaction commits: a change without its record would be worse than a record
// of a change that failed, which failed() takes back by another event.
func (t *change) seal() error {
	changes := t.log.short()
	restore, err := t.undo.encode()
	if err != nil {
		return fmt.Errorf("encoding what a rollback needs: %w", err)
	}
	err = t.w.AddRevision(t.ctx, &store.Revision{Number: t.next, Time: t.now, Actor: t.actor.Name,
		Reason: t.actor.Reason, Changes: changes, Restore: restore})
	if err != nil {
		return err
	}
	if err := t.s.deps.Record(t.event("allowed", changes)); err != nil {
		return &model.Error{Code: model.AuditUnavailable, Message: "The change could not be recorded, so it was not made.", RetryAfter: 5, Err: err}
	}
	t.recorded = true
	return nil
}

func (t *change) event(outcome string, changes []model.Change) model.Event {
	e := model.Event{Time: t.now, Type: model.EventProvisioning, Outcome: outcome, Reason: t.actor.Reason,
		RequestID: t.actor.RequestID, Actor: t.actor.Name, ClientIP: t.actor.ClientIP, Revision: t.next, Changes: changes}
	for k := range t.kinds {
		if k != KindUsers && k != store.KindGroups {
			e.Type = model.EventAdmin
		}
	}
	e.Provider, _ = cutOrigin(t.actor.Name)
	if len(changes) == 1 && changes[0].Kind == KindUsers {
		e.User = changes[0].Name
	}
	return e
}

// failed answers for a transaction that was not committed.
func (t *change) failed(err error) error {
	if t.recorded {
		e := t.event("error", nil)
		e.Code, e.Reason = model.ConfigurationUnavailable, "the change recorded as this revision was not stored: "+err.Error()
		_ = t.s.deps.Record(e) // the store's error is what the caller must hear
	}
	if errors.Is(err, store.ErrExists) {
		return model.NewError(model.Conflict, "A username, certificate, link or key id is another user's already.").WithCause(err)
	}
	return unavailable(err)
}

// effect makes a committed change felt, before it is acknowledged.
func (t *change) effect() {
	if t.kinds[KindUsers] {
		t.s.deps.Invalidate(t.users)
	}
	if t.publish != nil {
		t.publish()
	}
}

func (t *change) outcome() *Outcome {
	o := &Outcome{Revision: t.next, Changes: t.log.all(), Warnings: t.warnings, Object: t.object, Created: t.created}
	o.Impact = t.log.impact
	slices.Sort(o.Impact.Routes)
	return o
}

func (t *change) warn(text string) {
	if !slices.Contains(t.warnings, text) {
		t.warnings = append(t.warnings, text)
	}
}

// get reads an object; nil where there is none.
func (t *change) get(c collection, name string) (*store.Object, any, error) {
	o, err := absent(t.w.Object(t.ctx, c.kind, name))
	if o == nil || err != nil {
		return nil, nil, err
	}
	v, err := c.read(o.Body)
	return o, v, err
}

// exists says whether there is such an object, and asks the store once for each.
func (t *change) exists(kind, name string) (bool, error) {
	key := thing{kind, name}
	if found, asked := t.known[key]; asked {
		return found, nil
	}
	o, err := absent(t.w.Object(t.ctx, kind, name))
	if err != nil {
		return false, err
	}
	t.known[key] = o != nil
	return o != nil, nil
}

// put stores a value under name, unless it is the same already. owner is kept on
// an object that exists.
func (t *change) put(c collection, name string, value any, owner string) error {
	before, old, err := t.get(c, name)
	if err != nil {
		return err
	}
	body, err := encode(value)
	if err != nil {
		return err
	}
	if before == nil && c.singleton { // what is not stored is the default
		v, err := c.clone(c.fresh())
		if err != nil {
			return err
		}
		if same, err := encode(v); err != nil || string(same) == string(body) {
			t.object, t.created = &Object{Kind: c.kind, Name: name, Value: v, ETag: etag(0)}, false
			return err
		}
	}
	o := &store.Object{Kind: c.kind, Name: name, Body: body, Revision: t.next, Updated: t.now, Owner: owner}
	if before != nil {
		o.Owner = before.Owner
		same, err := encode(old)
		if err != nil {
			return err
		}
		if string(same) == string(body) {
			return t.show(c, before, value, false)
		}
	}
	if err := t.w.PutObject(t.ctx, o); err != nil {
		return err
	}
	delete(t.known, thing{c.kind, name})
	if err := t.note(c, name, old, value); err != nil {
		return err
	}
	t.undo.object(c.kind, name, before)
	return t.show(c, o, value, before == nil)
}

// remove deletes an object that exists.
func (t *change) remove(c collection, o *store.Object, old any) error {
	if err := t.w.DeleteObject(t.ctx, c.kind, o.Name); err != nil {
		return err
	}
	delete(t.known, thing{c.kind, o.Name})
	if c.kind == store.KindRoles || c.kind == store.KindGroups {
		t.deleted = append(t.deleted, thing{c.kind, o.Name})
	}
	t.undo.object(c.kind, o.Name, o)
	return t.note(c, o.Name, old, nil)
}

// show keeps what was written, for the answer.
func (t *change) show(c collection, o *store.Object, value any, created bool) error {
	v, err := c.masked(value)
	if err != nil {
		return err
	}
	t.object, t.created = &Object{Kind: c.kind, Name: o.Name, Value: v, ETag: etag(o.Revision), Revision: o.Revision}, created
	return nil
}

func (t *change) note(c collection, name string, before, after any) error {
	b, a, err := c.diff(before, after)
	if err != nil {
		return err
	}
	t.kinds[c.kind], t.asked[c.kind] = true, true
	t.log.add(c.kind, name, b, a)
	switch c.kind {
	case store.KindRoutes:
		t.log.impact.Routes = append(t.log.impact.Routes, name)
	case store.KindRoles, store.KindGroups:
		return t.countTouched(c.kind, name)
	case store.KindSettings:
		if name == reverseProxyAuthentication {
			n, err := t.w.CountUsers(t.ctx, store.UserQuery{})
			t.log.impact.Users += n
			return err
		}
	}
	return nil
}

// countTouched adds the users whose rights a role or group may change.
func (t *change) countTouched(kind, name string) error {
	q := store.UserQuery{Group: name}
	if kind == store.KindRoles {
		q = store.UserQuery{Role: name}
	}
	n, err := t.w.CountUsers(t.ctx, q)
	t.log.impact.Users += n
	if err != nil || kind == store.KindGroups {
		return err
	}
	return eachObject(t.ctx, t.w, store.KindGroups, func(_ *store.Object, g *model.Group) error {
		if !slices.Contains(g.Roles, name) {
			return nil
		}
		n, err := t.w.CountUsers(t.ctx, store.UserQuery{Group: g.Name})
		t.log.impact.Users += n
		return err
	})
}
