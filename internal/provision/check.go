package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
)

// check judges what the change leads to, as a whole, and answers with every
// fault that was found on the way and here.
func (t *change) check() error {
	whole, err := t.touchesPlan()
	if err != nil {
		return err
	}
	if whole {
		if err := t.checkWhole(); err != nil {
			return err
		}
	}
	if err := t.faultError(); err != nil {
		return err
	}
	if t.standIn && !t.dryRun {
		return errors.New("a password was not hashed, and nothing else is wrong")
	}
	for _, g := range t.deleted {
		if err := t.stillHeld(g); err != nil {
			return err
		}
	}
	return t.checkReign()
}

// touchesPlan says whether anything that is compiled has changed. Users are not
// compiled, so that provisioning one among a million costs the same whatever is
// configured; but a policy test that names a changed user must hold again.
func (t *change) touchesPlan() (bool, error) {
	for k := range t.kinds {
		if k != KindUsers && k != store.KindAdministrators {
			return true, nil
		}
	}
	if len(t.named) == 0 {
		return false, nil
	}
	c, _ := collectionOf(store.KindExpect, expectations)
	_, v, err := t.get(c, expectations)
	if err != nil || v == nil {
		return false, err
	}
	for _, e := range *v.(*[]model.Expectation) {
		if e.As != "" && t.named[model.FoldUsername(e.As)] {
			return true, nil
		}
	}
	return false, nil
}

func (t *change) checkWhole() error {
	set, err := loadSet(t.ctx, t.w, t.next)
	if err != nil {
		return err
	}
	faults := append(set.Validate(), headerFaults(set)...)
	if len(faults) == 0 && len(t.faults) == 0 {
		var unreadable error
		t.publish, faults = t.s.deps.Compile(set, func(username string) *model.User {
			r, err := absent(t.w.User(t.ctx, username))
			if err != nil {
				unreadable = err
			}
			if r == nil {
				return nil
			}
			return &r.User
		})
		if unreadable != nil {
			return unreadable
		}
	}
	for _, f := range faults {
		f.Path = t.relocate(set, f.Path)
		t.faults = append(t.faults, f)
	}
	return nil
}

// faultError is what was found wrong, each fault once, in the order found.
func (t *change) faultError() error {
	var out model.Faults
	for _, f := range t.faults {
		if !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	return out.Err()
}

// place says where in the caller's body an object stands; "" = it is the body.
func (t *change) place(kind, name, path string) { t.places[kind+"/"+name] = path }

// relocate turns a path in the whole set into one in the caller's own body, so
// that routes[17].service is reported as service to whoever put that one route.
// Objects that the caller did not send are named.
func (t *change) relocate(set *model.Set, path string) string {
	if rest, ok := strings.CutPrefix(path, "settings."); ok {
		name, field, _ := strings.Cut(rest, ".")
		if at, ok := t.places[store.KindSettings+"/"+name]; ok {
			return join(at, field)
		}
		return path
	}
	kind, rest, ok := strings.Cut(path, "[")
	number, field, closed := strings.Cut(rest, "]")
	i, err := strconv.Atoi(number)
	name, known := nameAt(set, kind, i)
	if !ok || !closed || err != nil || !known {
		return path
	}
	at, mine := t.places[kind+"/"+name]
	switch {
	case mine && at == "":
		return strings.TrimPrefix(field, ".")
	case mine:
		return at + field
	}
	return kind + "[" + name + "]" + field
}

func nameAt(set *model.Set, kind string, i int) (string, bool) {
	if i < 0 {
		return "", false
	}
	switch kind {
	case store.KindServices:
		return at(set.Services, i, func(v *model.Service) string { return v.Name })
	case store.KindRoutes:
		return at(set.Routes, i, func(v *model.Route) string { return v.Name })
	case store.KindRoles:
		return at(set.Roles, i, func(v *model.Role) string { return v.Name })
	case store.KindGroups:
		return at(set.Groups, i, func(v *model.Group) string { return v.Name })
	case store.KindIdentityProviders:
		return at(set.IdentityProviders, i, func(v *model.IdentityProvider) string { return v.Name })
	}
	return "", false
}

func at[T any](list []T, i int, name func(*T) string) (string, bool) {
	if i >= len(list) {
		return "", false
	}
	return name(&list[i]), true
}

// headerFaults finds names that two parts of the configuration use against each
// other, beyond what each part and the plan refuse.
func headerFaults(set *model.Set) (f model.Faults) {
	names := map[string]string{}
	for i := range set.IdentityProviders {
		if p := &set.IdentityProviders[i]; p.Header != "" {
			names[model.Fold(p.Header)] = p.Name
		}
	}
	for i := range set.IdentityProviders {
		p := &set.IdentityProviders[i]
		if other := names[model.Fold(p.SecretHeader)]; p.SecretHeader != "" && other != "" && other != p.Name {
			f.Add(fmt.Sprintf("identityProviders[%d].secretHeader", i), "is the header in which "+other+" sends the username: a secret would be read as a name")
		}
	}
	return f
}

// loadSet reads the whole configuration, unmasked, each collection by name.
func loadSet(ctx context.Context, r store.Objects, revision int64) (*model.Set, error) {
	set := model.NewSet()
	set.Revision = revision
	for _, part := range set.Settings.Parts() {
		o, err := absent(r.Object(ctx, store.KindSettings, part.Name))
		if err != nil {
			return nil, err
		}
		if o != nil {
			if err := json.Unmarshal(o.Body, part.Value); err != nil {
				return nil, fmt.Errorf("reading the settings %s: %w", part.Name, err)
			}
		}
	}
	o, err := absent(r.Object(ctx, store.KindExpect, expectations))
	if err != nil {
		return nil, err
	}
	if o != nil {
		if err := json.Unmarshal(o.Body, &set.Expect); err != nil {
			return nil, fmt.Errorf("reading the policy tests: %w", err)
		}
	}
	err = firstError(
		func() error { return collect(ctx, r, store.KindServices, &set.Services) },
		func() error { return collect(ctx, r, store.KindRoutes, &set.Routes) },
		func() error { return collect(ctx, r, store.KindRoles, &set.Roles) },
		func() error { return collect(ctx, r, store.KindGroups, &set.Groups) },
		func() error { return collect(ctx, r, store.KindIdentityProviders, &set.IdentityProviders) },
	)
	settle(set)
	return set, err
}

func firstError(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func collect[T any](ctx context.Context, r store.Objects, kind string, into *[]T) error {
	return eachObject(ctx, r, kind, func(_ *store.Object, v *T) error {
		*into = append(*into, *v)
		return nil
	})
}

// eachObject visits the objects of a kind by name.
func eachObject[T any](ctx context.Context, r store.Objects, kind string, visit func(*store.Object, *T) error) error {
	list, err := r.ListObjects(ctx, kind)
	if err != nil {
		return err
	}
	c, ok := collectionOf(kind, "")
	if !ok {
		return fmt.Errorf("%s is not a collection", kind)
	}
	for i := range list {
		v, err := c.read(list[i].Body)
		if err != nil {
			return fmt.Errorf("%s: %w", list[i].Name, err)
		}
		if err := visit(&list[i], v.(*T)); err != nil {
			return err
		}
	}
	return nil
}

// CurrentSet is the stored configuration, unmasked, for compiling.
func (s *Service) CurrentSet(ctx context.Context) (set *model.Set, err error) {
	err = s.view(ctx, func(r store.Reader) error {
		n, err := r.CurrentRevision(ctx)
		if err != nil {
			return err
		}
		set, err = loadSet(ctx, r, n)
		return err
	})
	return set, err
}
