package provision

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
)

func userObject(r *store.UserRecord) *Object {
	return &Object{Kind: KindUsers, Name: r.User.Username, Value: maskUser(r.User), ETag: etag(r.Revision), Revision: r.Revision}
}

// cloneUser copies what a change may alter in place; attributes are replaced
// whole and never altered. Lists that were left out become empty.
func cloneUser(u model.User) model.User {
	u.Emails, u.Groups, u.Roles = list(u.Emails), list(u.Groups), list(u.Roles)
	u.Credentials = slices.Clone(u.Credentials)
	u.Attributes = maps.Clone(u.Attributes)
	return u
}

// list is a copy without doubles, in the given order, never nil.
func list(in []string) []string {
	out := make([]string, 0, len(in))
	for _, s := range in {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// moment is a time as every store keeps it.
func moment(p *time.Time) *time.Time {
	if p == nil {
		return nil
	}
	t := p.UTC().Truncate(time.Microsecond)
	return &t
}

// draft is a user as somebody sends it, judged by itself and with its passwords
// hashed, before the transaction: hashing is slow, and must not hold up other writers.
type draft struct {
	user   model.User
	path   string
	faults model.Faults
}

// drafting readies users that are to be written. path says where each stands in the
// caller's body, and names whom it replaces, by whose password an unchanged one is known.
func (s *Service) drafting(ctx context.Context, given []model.User, path func(i int) string, names func(i int) string, dry bool) ([]draft, error) {
	drafts := make([]draft, len(given))
	var jobs []hashing
	sound := true
	for i := range given {
		d := &drafts[i]
		d.user, d.path = cloneUser(given[i]), path(i)
		d.user.ExpiresAt = moment(d.user.ExpiresAt)
		for _, f := range d.user.Validate(d.path) {
			f.Path = strings.TrimPrefix(f.Path, ".")
			d.faults = append(d.faults, f)
		}
		d.faults = append(d.faults, credentialFaults(KindUsers, join(d.path, "credentials"), d.user.Credentials)...)
		sound = sound && len(d.faults) == 0
	}
	for i := range drafts {
		jobs = append(jobs, passwordsOf(drafts[i].user.Credentials, KindUsers, names(i))...)
	}
	return drafts, s.hashAll(ctx, jobs, dry || !sound)
}

func (s *Service) putUser(ctx context.Context, a Actor, name string, u *model.User, c Condition) (*Outcome, error) {
	if u == nil {
		return nil, &model.Error{Code: model.Internal, Message: "The gateway met an unexpected fault.", Err: fmt.Errorf("the value of a user is not *model.User")}
	}
	given := *u
	if given.Username == "" {
		given.Username = name
	}
	drafts, err := s.drafting(ctx, []model.User{given}, func(int) string { return "" }, func(int) string { return name }, c.DryRun)
	if err != nil {
		return nil, err
	}
	return s.change(ctx, a, c.DryRun, func(t *change) error {
		before, err := absent(t.w.User(t.ctx, name))
		if err != nil {
			return err
		}
		if err := c.guard(KindUsers, name, before != nil, recordRevision(before)); err != nil {
			return err
		}
		if before == nil && model.FoldUsername(given.Username) != model.FoldUsername(name) {
			t.faults.Add("username", "is "+quote(given.Username)+", and the path says "+quote(name)+"; only a user that exists can be renamed")
		}
		return t.placeUser(before, &drafts[0], "", nil)
	})
}

func recordRevision(r *store.UserRecord) int64 {
	if r == nil {
		return 0
	}
	return r.Revision
}

// placeUser writes a draft over before, or as a new user. What is read only (id,
// origin, times) is taken from what is stored, whatever the draft says.
func (t *change) placeUser(before *store.UserRecord, d *draft, owner string, keep *memory) error {
	n := len(t.faults)
	t.faults = append(t.faults, d.faults...)
	after := store.UserRecord{User: cloneUser(d.user), Owner: owner}
	u := &after.User
	if before == nil {
		u.ID, u.Origin, u.CreatedAt = newID(), "", t.now
	} else {
		after.Owner = before.Owner
		u.ID, u.Origin, u.CreatedAt = before.User.ID, before.User.Origin, before.User.CreatedAt
	}
	if err := t.nameFaults(u, d.path, before); err != nil {
		return err
	}
	var err error
	t.claims = t.claims[:0]
	u.Credentials, err = t.mergeCredentials(KindUsers, u.ID, join(d.path, "credentials"), credentialsOf(before), d.user.Credentials)
	if err != nil {
		return err
	}
	if keep != nil {
		keep.remember(d, u)
	}
	for _, provider := range reconcile(u, t.document) {
		t.warn("Groups or roles were taken from " + u.Username + " that " + provider + " gives: they are given again when it next says so.")
	}
	if len(t.faults) > n {
		return t.settle() // reported with all others; there is nothing to write
	}
	if before != nil && strings.HasPrefix(u.Origin, jitOrigin) && !slices.Equal(before.User.Roles, u.Roles) {
		t.warn("The roles of " + u.Username + " are what its identity provider gives: they are set again when it is next seen. Use a group for others.")
	}
	err = t.writeUser(before, &after)
	if errors.Is(err, store.ErrExists) {
		if err := t.settle(); err != nil || len(t.faults) > n {
			return err
		}
	}
	return err
}

func credentialsOf(r *store.UserRecord) []model.Credential {
	if r == nil {
		return nil
	}
	return r.User.Credentials
}

// nameFaults finds names in the user that are taken, or lead nowhere.
func (t *change) nameFaults(u *model.User, path string, before *store.UserRecord) error {
	// Whoever found nobody before has looked under this very name.
	if before != nil && model.FoldUsername(before.User.Username) != model.FoldUsername(u.Username) {
		other, err := absent(t.w.User(t.ctx, u.Username))
		if err != nil {
			return err
		}
		if other != nil {
			return model.NewError(model.Conflict, "The username "+quote(u.Username)+" is taken already (names are compared without regard to case).")
		}
	}
	for _, ref := range []struct {
		field, kind, what string
		names             []string
	}{{"roles", store.KindRoles, "a role", u.Roles}, {"groups", store.KindGroups, "a group", u.Groups}} {
		for i, n := range ref.names {
			known, err := t.exists(ref.kind, n)
			if err != nil {
				return err
			}
			if !known {
				t.faults.Add(join(path, ref.field)+"["+strconv.Itoa(i)+"]", "names "+quote(n)+", which is not "+ref.what)
			}
		}
	}
	return nil
}

// writeUser stores after in before's place, unless nothing has changed.
func (t *change) writeUser(before, after *store.UserRecord) error {
	u := &after.User
	after.Revision, u.UpdatedAt = t.next, t.now
	for i := range u.Credentials {
		t.standIn = t.standIn || u.Credentials[i].Hash == unhashed
	}
	if before != nil && sameUser(&before.User, u) {
		t.object, t.created = userObject(before), false
		if t.lifted[u.ID] {
			return t.w.PutUser(t.ctx, before)
		}
		return nil
	}
	if before != nil && !t.lifted[u.ID] && losesNames(&before.User, u) {
		// Another user of this change may be taking over what this one gives up,
		// and documents have no order.
		if err := t.w.DeleteUser(t.ctx, u.ID); err != nil {
			return err
		}
	}
	if err := t.w.PutUser(t.ctx, after); err != nil {
		return err
	}
	t.asked[KindUsers] = true
	t.noteUser(before, after)
	if !t.document {
		t.object, t.created = userObject(after), before == nil
	}
	return nil
}

func (t *change) noteUser(before, after *store.UserRecord) {
	t.kinds[KindUsers] = true
	t.log.impact.Users++
	var b, a any
	id, name := "", ""
	if before != nil {
		id, name = before.User.ID, before.User.Username
		t.named[model.FoldUsername(name)] = true
	}
	if after != nil {
		id, name = after.User.ID, after.User.Username
		t.named[model.FoldUsername(name)] = true
	}
	t.undo.user(id, before)
	if before != nil || len(t.users) < toldInEvent {
		t.users = append(t.users, id)
	}
	if t.log.full() {
		t.log.count(KindUsers, action(nilUser(before), nilUser(after)))
		return
	}
	if before != nil {
		b = maskUser(before.User)
	}
	if after != nil {
		a = maskUser(after.User)
	}
	t.log.add(KindUsers, name, b, a)
}

func nilUser(r *store.UserRecord) any {
	if r == nil {
		return nil
	}
	return r
}

// sameUser compares all but the time of the last change.
func sameUser(a, b *model.User) bool {
	x, y := cloneUser(*a), cloneUser(*b)
	x.UpdatedAt, y.UpdatedAt = time.Time{}, time.Time{}
	x.CreatedAt, y.CreatedAt = x.CreatedAt.UTC(), y.CreatedAt.UTC()
	x.ExpiresAt, y.ExpiresAt = moment(x.ExpiresAt), moment(y.ExpiresAt)
	p, err1 := encode(x)
	q, err2 := encode(y)
	return err1 == nil && err2 == nil && bytes.Equal(p, q)
}

// losesNames says whether a public name of before is no longer after's.
func losesNames(before, after *model.User) bool {
	if model.FoldUsername(before.Username) != model.FoldUsername(after.Username) {
		return true
	}
	for i := range before.Credentials {
		name := publicName(&before.Credentials[i])
		if !slices.ContainsFunc(after.Credentials, func(c model.Credential) bool { return publicName(&c) == name }) {
			return true
		}
	}
	return false
}

func (s *Service) deleteUser(ctx context.Context, a Actor, name string, c Condition) (*Outcome, error) {
	return s.change(ctx, a, c.DryRun, func(t *change) error {
		before, err := absent(t.w.User(t.ctx, name))
		if err != nil {
			return err
		}
		if err := c.guard(KindUsers, name, before != nil, recordRevision(before)); err != nil {
			return err
		}
		if before == nil {
			return notFound(KindUsers, name)
		}
		return t.dropUser(before)
	})
}

func (t *change) dropUser(before *store.UserRecord) error {
	if err := t.w.DeleteUser(t.ctx, before.User.ID); err != nil {
		return err
	}
	if err := t.bidFarewell(&before.User); err != nil {
		return err
	}
	t.asked[KindUsers] = true
	t.noteUser(before, nil)
	return nil
}
