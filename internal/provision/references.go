package provision

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
)

// unreferenced refuses to delete what others name, and says who they are.
func (t *change) unreferenced(kind, name string) error {
	var by []string
	err := firstError(
		func() error {
			return eachObject(t.ctx, t.w, store.KindRoutes, func(_ *store.Object, r *model.Route) error {
				if kind == store.KindServices && r.Service == name || kind == store.KindIdentityProviders && demands(r, name) {
					by = append(by, "route "+r.Name)
				}
				return nil
			})
		},
		func() error {
			return eachObject(t.ctx, t.w, store.KindGroups, func(_ *store.Object, g *model.Group) error {
				if kind == store.KindRoles && slices.Contains(g.Roles, name) {
					by = append(by, "group "+g.Name)
				}
				return nil
			})
		},
		func() error {
			return eachObject(t.ctx, t.w, store.KindIdentityProviders, func(_ *store.Object, p *model.IdentityProvider) error {
				if kind == store.KindRoles && slices.Contains(p.Roles, name) {
					by = append(by, "identity provider "+p.Name)
				}
				return nil
			})
		},
	)
	if err != nil {
		return err
	}
	if kind == store.KindRoles || kind == store.KindGroups {
		holders, err := t.holders(thing{kind, name})
		if err != nil {
			return err
		}
		by = append(by, holders...)
	}
	if len(by) == 0 {
		return nil
	}
	return inUse(kind, name, by)
}

// inUse says who stands in the way, and what to do about it.
func inUse(kind, name string, by []string) error {
	const most = 10
	more := ""
	if len(by) > most {
		more = fmt.Sprintf(" and %d more", len(by)-most)
		by = by[:most]
	}
	first := map[string]string{
		store.KindServices:          "give them another service, or delete them",
		store.KindRoles:             "take the role from them",
		store.KindGroups:            "take them out of the group",
		store.KindIdentityProviders: "take the provider out of their authenticate",
	}[kind]
	return model.NewError(model.Conflict, quote(name)+" is used by "+strings.Join(by, ", ")+more+"; "+first+" first.")
}

func demands(r *model.Route, provider string) (found bool) {
	if r.Authenticate != nil {
		r.Authenticate.Leaves(func(l *model.Requirement) { found = found || l.Provider == provider })
	}
	return found
}

// holders are users that have a role or belong to a group: the first few by name,
// and how many more there are.
func (t *change) holders(g thing) ([]string, error) {
	q := store.UserQuery{Group: g.name}
	if g.kind == store.KindRoles {
		q = store.UserQuery{Role: g.name}
	}
	n, err := t.w.CountUsers(t.ctx, q)
	if err != nil || n == 0 {
		return nil, err
	}
	q.Limit = 3
	list, err := t.w.ListUsers(t.ctx, q)
	if err != nil {
		return nil, err
	}
	var out []string
	for i := range list {
		out = append(out, "user "+list[i].User.Username)
	}
	if rest := n - int64(len(list)); rest > 0 {
		out = append(out, fmt.Sprintf("%d more users", rest))
	}
	return out, nil
}

// stillHeld refuses a change that deleted a role or group which users have, once
// all its edits are made.
func (t *change) stillHeld(g thing) error {
	o, err := absent(t.w.Object(t.ctx, g.kind, g.name))
	if o != nil || err != nil {
		return err
	}
	by, err := t.holders(g)
	if err != nil || len(by) == 0 {
		return err
	}
	return inUse(g.kind, g.name, by)
}

// unlink ends every link to a deleted provider. Left behind, they would wait for
// another provider of that name, whose subjects would then be our users. Whoever
// may delete the provider may do this with it.
func (t *change) unlink(provider string) error {
	n := 0
	err := t.eachUser(func(rec *store.UserRecord) error {
		isOurs := func(c model.Credential) bool { return c.Type == model.Link && c.Provider == provider }
		if !slices.ContainsFunc(rec.User.Credentials, isOurs) {
			return nil
		}
		n++
		after := *rec
		after.User = cloneUser(rec.User)
		after.User.Credentials = slices.DeleteFunc(after.User.Credentials, isOurs)
		forfeit(rec.User.Credentials, &after.User)
		after.Revision, after.User.UpdatedAt = t.next, t.now
		if err := t.w.PutUser(t.ctx, &after); err != nil {
			return err
		}
		t.noteUser(rec, &after)
		return nil
	})
	if n > 0 {
		t.warn(fmt.Sprintf("%d users were linked to %s; those links end with it.", n, provider))
	}
	return err
}

// eachUser visits every user by name, in pages. The visitor may write the user it is shown.
func (t *change) eachUser(visit func(*store.UserRecord) error) error {
	const page = 500
	after := ""
	for {
		list, err := t.w.ListUsers(t.ctx, store.UserQuery{After: after, Limit: page})
		if err != nil {
			return err
		}
		for i := range list {
			if err := visit(&list[i]); err != nil {
				return err
			}
		}
		if len(list) < page {
			return nil
		}
		after = model.FoldUsername(list[len(list)-1].User.Username)
	}
}
