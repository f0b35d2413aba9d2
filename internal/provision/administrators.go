package provision

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
)

func (s *Service) putAdministrator(ctx context.Context, a Actor, name string, v *model.Administrator, c Condition) (*Outcome, error) {
	if v.Name == "" {
		v.Name = name
	}
	faults := v.Validate("")
	faults = append(faults, credentialFaults(store.KindAdministrators, "credentials", v.Credentials)...)
	for i := range faults {
		faults[i].Path = strings.TrimPrefix(faults[i].Path, ".")
	}
	jobs := passwordsOf(v.Credentials, store.KindAdministrators, name)
	if err := s.hashAll(ctx, jobs, c.DryRun || len(faults) > 0); err != nil {
		return nil, err
	}
	col, _ := collectionOf(store.KindAdministrators, name)
	return s.change(ctx, a, c.DryRun, func(t *change) error {
		if err := t.watchReign(); err != nil {
			return err
		}
		stored, old, err := t.get(col, name)
		if err != nil {
			return err
		}
		if err := c.guard(col.kind, name, stored != nil, revisionOf(stored)); err != nil {
			return err
		}
		t.faults = append(t.faults, faults...)
		t.sameName(col, name, v)
		v.CreatedAt, v.UpdatedAt = t.now, t.now
		var existing []model.Credential
		was, _ := old.(*model.Administrator)
		if was != nil {
			v.CreatedAt, v.UpdatedAt, existing = was.CreatedAt, was.UpdatedAt, was.Credentials
		}
		if v.Credentials, err = t.mergeCredentials(col.kind, name, "credentials", existing, v.Credentials); err != nil || len(t.faults) > 0 {
			return err
		}
		if was != nil {
			if same, err := equalJSON(was, v); err != nil || same {
				if err == nil {
					err = t.show(col, stored, v, false)
				}
				return err
			}
			v.UpdatedAt = t.now
		}
		return t.put(col, name, v, "")
	})
}

func equalJSON(a, b any) (bool, error) {
	x, err := encode(a)
	if err != nil {
		return false, err
	}
	y, err := encode(b)
	return string(x) == string(y), err
}

// reign is who can administer everything: how many active admins there are, and
// how many of them have a credential that lets them in today.
type reign struct{ active, able int }

func (t *change) countReign() (r reign, err error) {
	err = eachObject(t.ctx, t.w, store.KindAdministrators, func(_ *store.Object, a *model.Administrator) error {
		if !a.Active || !slices.Contains(a.Roles, model.AdminAll) {
			return nil
		}
		r.active++
		if slices.ContainsFunc(a.Credentials, func(c model.Credential) bool { return usable(&c, t.now) }) {
			r.able++
		}
		return nil
	})
	return r, err
}

func usable(c *model.Credential, now time.Time) bool {
	return c.ExpiresAt == nil || c.ExpiresAt.After(now)
}

// watchReign notes who reigns before the first change to an administrator.
func (t *change) watchReign() error {
	if t.reigned != nil {
		return nil
	}
	r, err := t.countReign()
	t.reigned = &r
	return err
}

// checkReign refuses a change that would leave nobody who can undo it: the last
// active admin stays, and keeps a way in.
func (t *change) checkReign() error {
	if t.reigned == nil {
		return nil
	}
	now, err := t.countReign()
	switch {
	case err != nil:
		return err
	case now.active == 0 && t.reigned.active > 0:
		return model.NewError(model.Conflict, "This is the last active administrator with the role admin: it cannot be removed, disabled or demoted.")
	case now.able == 0 && t.reigned.able > 0:
		return model.NewError(model.Conflict, "This is the last credential that lets an administrator with the role admin in; add another first.")
	}
	return nil
}

// adminNameTaken refuses a credential that would find two administrators.
func (t *change) adminNameTaken(owner string, c *model.Credential) error {
	if c.Type == model.Password {
		return nil
	}
	name := publicName(c)
	return eachObject(t.ctx, t.w, store.KindAdministrators, func(_ *store.Object, a *model.Administrator) error {
		if a.Name == owner || !slices.ContainsFunc(a.Credentials, func(e model.Credential) bool { return publicName(&e) == name }) {
			return nil
		}
		return model.NewError(model.Conflict, "The "+describe(c)+" belongs to the administrator "+quote(a.Name)+" already.")
	})
}

// Administrator finds whom a login could be: by name; by the id of a token, as it
// is or as "token:ID"; or by a certificate's name as "fingerprint:HEX", "uri:…",
// "dns:…", "email:…" or "subject:…". Hashes are not masked; the caller verifies.
// NotFound says that there is nobody.
func (s *Service) Administrator(ctx context.Context, name string) (found *model.Administrator, err error) {
	err = s.view(ctx, func(r store.Reader) error {
		c, _ := collectionOf(store.KindAdministrators, name)
		o, err := absent(r.Object(ctx, c.kind, name))
		if err != nil {
			return err
		}
		if o != nil {
			v, err := c.read(o.Body)
			if err == nil {
				found = v.(*model.Administrator)
			}
			return err
		}
		return eachObject(ctx, r, c.kind, func(_ *store.Object, a *model.Administrator) error {
			if found == nil && slices.ContainsFunc(a.Credentials, func(c model.Credential) bool { return answersTo(&c, name) }) {
				found = a
			}
			return nil
		})
	})
	if err == nil && found == nil {
		err = notFound(store.KindAdministrators, name)
	}
	return found, err
}

func answersTo(c *model.Credential, name string) bool {
	switch c.Type {
	case model.AdminToken:
		return c.ID == strings.TrimPrefix(name, "token:")
	case model.Certificate:
		kind, value := certificateName(c)
		by, given, _ := strings.Cut(name, ":")
		switch by {
		case "fingerprint":
			given = model.NormalFingerprint(given)
		case "dns":
			given = strings.ToLower(given)
		}
		return by == kind && given == value
	}
	return false
}
