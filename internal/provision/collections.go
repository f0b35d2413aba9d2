package provision

import (
	"context"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
)

// Get reads one object, secrets masked. Single objects that are not stored are
// answered with their defaults.
func (s *Service) Get(ctx context.Context, kind, name string) (o *Object, err error) {
	err = s.view(ctx, func(r store.Reader) error {
		o, err = get(ctx, r, kind, name)
		return err
	})
	return o, err
}

func get(ctx context.Context, r store.Reader, kind, name string) (*Object, error) {
	if kind == KindUsers {
		rec, err := absent(r.User(ctx, name))
		if err != nil {
			return nil, err
		}
		if rec == nil {
			return nil, notFound(kind, name)
		}
		return userObject(rec), nil
	}
	c, ok := collectionOf(kind, name)
	if !ok {
		return nil, notFound(kind, name)
	}
	stored, err := absent(r.Object(ctx, kind, name))
	if err != nil {
		return nil, err
	}
	if stored == nil && !c.singleton {
		return nil, notFound(kind, name)
	}
	return c.shown(stored, name)
}

// shown is a stored object as the faces see it; nil stands for a single object's
// default.
func (c collection) shown(o *store.Object, name string) (*Object, error) {
	if o == nil {
		v, err := c.masked(c.fresh())
		return &Object{Kind: c.kind, Name: name, Value: v, ETag: etag(0)}, err
	}
	v, err := c.read(o.Body)
	if err != nil {
		return nil, err
	}
	if v, err = c.masked(v); err != nil {
		return nil, err
	}
	return &Object{Kind: c.kind, Name: o.Name, Value: v, ETag: etag(o.Revision), Revision: o.Revision}, nil
}

// Put replaces or creates one object.
func (s *Service) Put(ctx context.Context, a Actor, kind, name string, value any, c Condition) (*Outcome, error) {
	if err := s.permit(a, kind); err != nil {
		return nil, err
	}
	if kind == KindUsers {
		u, ok := value.(*model.User)
		if !ok {
			u = nil
		}
		return s.putUser(ctx, a, name, u, c)
	}
	col, ok := collectionOf(kind, name)
	if !ok {
		return nil, notFound(kind, name)
	}
	v, err := col.clone(value)
	if err != nil {
		return nil, err
	}
	if kind == store.KindAdministrators {
		return s.putAdministrator(ctx, a, name, v.(*model.Administrator), c)
	}
	return s.change(ctx, a, c.DryRun, func(t *change) error {
		stored, old, err := t.get(col, name)
		if err != nil {
			return err
		}
		if err := c.guard(kind, name, stored != nil || col.singleton, revisionOf(stored)); err != nil {
			return err
		}
		t.place(kind, name, "")
		t.sameName(col, name, v)
		t.faults = append(t.faults, col.unmask("", v, old)...)
		t.warnPut(col, old, v)
		return t.put(col, name, v, "")
	})
}

// sameName fills a name that was left out, and refuses one that contradicts the
// path: renaming a thing that others name would cut them off.
func (t *change) sameName(c collection, name string, value any) {
	if c.name == nil {
		return
	}
	switch p := c.name(value); *p {
	case "":
		*p = name
	case name:
	default:
		t.faults.Add("name", "is "+quote(*p)+", and the path says "+quote(name)+"; they must be the same")
		*p = name
	}
}

func revisionOf(o *store.Object) int64 {
	if o == nil {
		return 0
	}
	return o.Revision
}

// Delete removes one object; single objects go back to their defaults.
func (s *Service) Delete(ctx context.Context, a Actor, kind, name string, c Condition) (*Outcome, error) {
	if err := s.permit(a, kind); err != nil {
		return nil, err
	}
	if kind == KindUsers {
		return s.deleteUser(ctx, a, name, c)
	}
	col, ok := collectionOf(kind, name)
	if !ok {
		return nil, notFound(kind, name)
	}
	return s.change(ctx, a, c.DryRun, func(t *change) error {
		stored, old, err := t.get(col, name)
		if err != nil {
			return err
		}
		if err := c.guard(kind, name, stored != nil || col.singleton, revisionOf(stored)); err != nil {
			return err
		}
		switch {
		case stored == nil && col.singleton:
			return nil
		case stored == nil:
			return notFound(kind, name)
		}
		if err := t.unreferenced(kind, name); err != nil {
			return err
		}
		if kind == store.KindAdministrators {
			if err := t.watchReign(); err != nil {
				return err
			}
		}
		t.warnPut(col, old, col.fresh())
		if err := t.remove(col, stored, old); err != nil {
			return err
		}
		if kind == store.KindIdentityProviders {
			return t.unlink(name)
		}
		return nil
	})
}

// warnPut tells what a replacement switches off. A PUT replaces the whole, so a
// field that was left out takes its default: that is easily not what was meant.
func (t *change) warnPut(c collection, old, value any) {
	switch v := value.(type) {
	case *model.ReverseProxyAuthentication:
		var was model.ReverseProxyAuthentication
		was.Defaults()
		if o, ok := old.(*model.ReverseProxyAuthentication); ok {
			was = *o
		}
		switch {
		case !v.Enabled && was.Enabled:
			t.warn("enabled is now false: routes that are not public answer 503 authentication_disabled.")
		case !v.Enabled:
			t.warn("enabled is false: routes that are not public answer 503 authentication_disabled.")
		}
		if v.CSRFProtectionDisabled && !was.CSRFProtectionDisabled {
			t.warn("csrfProtectionDisabled is now true: browsers can be made to send requests in their user's name.")
		}
		if v.LogoutURL == nil && was.LogoutURL != nil {
			t.warn("logoutUrl is now null: logout no longer redirects to " + *was.LogoutURL + ".")
		}
		if v.UsernameHeader != was.UsernameHeader {
			t.warn("usernameHeader is now " + v.UsernameHeader + ": backends that read " + was.UsernameHeader + " no longer learn who called.")
		}
	case *model.IdentityHeaders:
		var was model.IdentityHeaders
		was.Defaults()
		if o, ok := old.(*model.IdentityHeaders); ok {
			was = *o
		}
		t.warnHeaders(&was, v)
	case *model.IdentityProvider:
		if o, ok := old.(*model.IdentityProvider); ok && v.Issuer != "" && o.Issuer != v.Issuer {
			t.warn("issuer has changed: users that are linked to " + v.Name + " are now whoever the new issuer says.")
		}
	}
}

func (t *change) warnHeaders(was, is *model.IdentityHeaders) {
	for _, h := range []struct{ field, was, is string }{
		{"id", was.ID, is.ID}, {"email", was.Email, is.Email}, {"groups", was.Groups, is.Groups}, {"roles", was.Roles, is.Roles},
		{"method", was.Method, is.Method}, {"client", was.Client, is.Client}, {"assertion", was.Assertion, is.Assertion},
	} {
		switch {
		case h.was != "" && h.is == "":
			t.warn(h.field + " is now empty: backends no longer get " + h.was + ".")
		case h.was != h.is && h.was != "":
			t.warn(h.field + " is now " + h.is + ": backends that read " + h.was + " no longer get it.")
		}
	}
}
