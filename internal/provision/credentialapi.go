package provision

import (
	"context"
	"slices"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/secret"
	"github.com/sallyport/sallyport/internal/store"
)

// ownCredentials reads the credentials of a user or an administrator, unmasked.
func ownCredentials(ctx context.Context, r store.Reader, kind, owner string) (list []model.Credential, exists bool, err error) {
	if kind == KindUsers {
		rec, err := absent(r.User(ctx, owner))
		return credentialsOf(rec), rec != nil, err
	}
	c, ok := collectionOf(kind, owner)
	if !ok || kind != store.KindAdministrators {
		return nil, false, notFound("owners of credentials", kind)
	}
	o, err := absent(r.Object(ctx, kind, owner))
	if o == nil || err != nil {
		return nil, false, err
	}
	v, err := c.read(o.Body)
	if err != nil {
		return nil, false, err
	}
	return v.(*model.Administrator).Credentials, true, nil
}

// ListCredentials answers all the credentials of a user or an administrator, masked.
func (s *Service) ListCredentials(ctx context.Context, kind, owner string) (list []model.Credential, err error) {
	err = s.view(ctx, func(r store.Reader) error {
		own, exists, err := ownCredentials(ctx, r, kind, owner)
		if err == nil && !exists {
			err = notFound(kind, owner)
		}
		list = maskCredentials(own)
		return err
	})
	if list == nil {
		list = []model.Credential{}
	}
	return list, err
}

// AddCredential gives a user or an administrator one more credential; a password
// takes the place of the one there is. Secret is filled where it was made here,
// and is nowhere kept.
func (s *Service) AddCredential(ctx context.Context, a Actor, kind, owner string, given model.Credential) (*model.Credential, error) {
	if err := s.permit(a, kind); err != nil {
		return nil, err
	}
	one := []model.Credential{given}
	c := &one[0]
	c.ID, c.LastUsed, c.Declared, c.Given = "", nil, false, nil
	faults := c.Validate("")
	faults = append(faults, credentialFaults(kind, "", one)...)
	full := ""
	switch c.Type {
	case model.APIKey, model.AdminToken:
		if c.Hash != "" || c.Prefix != "" {
			faults.Add("hash", "cannot be given; the gateway makes the key and answers it once")
		}
		if full, c.ID, c.Prefix, c.Hash = secret.NewAPIKey(); c.Type == model.AdminToken {
			full, c.ID, c.Prefix, c.Hash = secret.NewAdminToken()
		}
	case model.Password:
		if c.Hash == model.Mask {
			faults.Add("hash", "is a mask")
		}
	default:
		c.Hash, c.Prefix = "", ""
	}
	for i := range faults {
		faults[i].Path = trimIndex(faults[i].Path)
	}
	if err := s.hashAll(ctx, passwordsOf(one, kind, owner), len(faults) > 0); err != nil {
		return nil, err
	}
	_, err := s.change(ctx, a, false, func(t *change) error {
		t.faults = append(t.faults, faults...)
		if c.ID == "" {
			c.ID = newID()
		}
		c.CreatedAt = t.now
		return t.editCredentials(kind, owner, func(id string, list []model.Credential) ([]model.Credential, error) {
			if err := t.checkCredential(kind, id, "", nil, c); err != nil {
				return nil, err
			}
			name := publicName(c)
			if i := slices.IndexFunc(list, func(e model.Credential) bool { return publicName(&e) == name }); i >= 0 {
				if c.Type != model.Password {
					return nil, model.NewError(model.Conflict, "The "+describe(c)+" is a credential of "+quote(owner)+" already.")
				}
				list = slices.Delete(list, i, i+1)
			}
			return append(list, *c), nil
		})
	})
	if err != nil {
		return nil, err
	}
	shown := *c
	shown.Hash, shown.Password, shown.Secret = "", "", full
	return &shown, nil
}

// trimIndex makes a path of a lone credential the caller's: the body is the credential.
func trimIndex(path string) string {
	if len(path) >= 3 && path[:3] == "[0]" {
		path = path[3:]
	}
	if len(path) > 0 && path[0] == '.' {
		path = path[1:]
	}
	return path
}

// DeleteCredential ends one credential of a user or an administrator.
func (s *Service) DeleteCredential(ctx context.Context, a Actor, kind, owner, id string) error {
	if err := s.permit(a, kind); err != nil {
		return err
	}
	_, err := s.change(ctx, a, false, func(t *change) error {
		return t.editCredentials(kind, owner, func(_ string, list []model.Credential) ([]model.Credential, error) {
			i := slices.IndexFunc(list, func(c model.Credential) bool { return c.ID == id })
			if i < 0 {
				return nil, notFound("the credentials of "+owner, id)
			}
			return slices.Delete(list, i, i+1), nil
		})
	})
	return err
}

// editCredentials rewrites the credentials of one owner. edit gets its id (an
// administrator's is its name) and a list of its own.
func (t *change) editCredentials(kind, owner string, edit func(id string, list []model.Credential) ([]model.Credential, error)) error {
	if kind == KindUsers {
		before, err := absent(t.w.User(t.ctx, owner))
		if err != nil {
			return err
		}
		if before == nil {
			return notFound(kind, owner)
		}
		after := *before
		after.User = cloneUser(before.User)
		if after.User.Credentials, err = edit(before.User.ID, after.User.Credentials); err != nil || len(t.faults) > 0 {
			return err
		}
		if err := t.settle(); err != nil {
			return err
		}
		forfeit(before.User.Credentials, &after.User)
		return t.writeUser(before, &after)
	}
	c, ok := collectionOf(kind, owner)
	if !ok || kind != store.KindAdministrators {
		return notFound("owners of credentials", kind)
	}
	if err := t.watchReign(); err != nil {
		return err
	}
	o, v, err := t.get(c, owner)
	if err != nil {
		return err
	}
	if o == nil {
		return notFound(kind, owner)
	}
	after, err := c.clone(v)
	if err != nil {
		return err
	}
	admin := after.(*model.Administrator)
	if admin.Credentials, err = edit(owner, admin.Credentials); err != nil || len(t.faults) > 0 {
		return err
	}
	admin.UpdatedAt = t.now
	return t.put(c, owner, admin, "")
}
