package provision

import (
	"slices"

	"github.com/sallyport/sallyport/internal/model"
)

// replaced stands, in a diff, for a secret that is no longer the same.
const replaced = model.Mask + " (changed)"

// masked is a copy of a value that may be shown: every secret is a mask.
func (c collection) masked(value any) (any, error) {
	v, err := c.clone(value)
	if err != nil {
		return nil, err
	}
	if a, ok := v.(*model.Administrator); ok {
		a.Credentials = maskCredentials(a.Credentials)
	}
	if c.secrets != nil {
		for _, p := range c.secrets(v) {
			if *p != "" {
				*p = model.Mask
			}
		}
	}
	return v, nil
}

// diff is both sides of a change, masked, with a mark on secrets that changed.
func (c collection) diff(before, after any) (any, any, error) {
	var b, a any
	var err error
	if before != nil {
		if b, err = c.masked(before); err != nil {
			return nil, nil, err
		}
	}
	if after == nil {
		return b, nil, nil
	}
	if a, err = c.masked(after); err != nil || before == nil || c.secrets == nil {
		return b, a, err
	}
	was, is, shown := c.secrets(before), c.secrets(after), c.secrets(a)
	for i := range is {
		if *is[i] != "" && *is[i] != *was[i] {
			*shown[i] = replaced
		}
	}
	return b, a, nil
}

// unmask puts stored secrets where value has masks. A mask with nothing behind it
// is a fault: it would become the secret.
func (c collection) unmask(path string, value, stored any) (f model.Faults) {
	if c.secrets == nil {
		return nil
	}
	for i, p := range c.secrets(value) {
		if *p != model.Mask {
			continue
		}
		if stored != nil {
			if kept := *c.secrets(stored)[i]; kept != "" {
				*p = kept
				continue
			}
		}
		f.Add(join(path, secretName(value, i)), "is a mask, and there is no stored value that it could stand for; send the secret itself")
	}
	return f
}

func secretName(value any, i int) string {
	if _, ok := value.(*model.Service); ok {
		return []string{"present.value", "tls.key"}[i]
	}
	return "secret"
}

// maskCredentials are credentials as they may be shown: without passwords,
// secrets and hashes.
func maskCredentials(list []model.Credential) []model.Credential {
	out := slices.Clone(list)
	for i := range out {
		c := &out[i]
		c.Password, c.Secret = "", ""
		if c.Hash != "" {
			c.Hash = model.Mask
		}
	}
	return out
}

// maskUser is a user as it may be shown.
func maskUser(u model.User) *model.User {
	u = cloneUser(u)
	u.Credentials = maskCredentials(u.Credentials)
	return &u
}

func join(path, field string) string {
	if path == "" {
		return field
	}
	return path + "." + field
}
