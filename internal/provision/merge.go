package provision

import (
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
)

// mergeCredentials is what an owner's credentials are once given ones take the
// place of the declared. nil leaves all untouched; those made at run time stay.
// A new password or hash always gets a new id, so that whoever knows a credential
// by its id never takes another secret for it.
func (t *change) mergeCredentials(kind, id, path string, existing, given []model.Credential) ([]model.Credential, error) {
	if given == nil {
		return slices.Clone(existing), nil
	}
	kept := make([]*model.Credential, len(existing))
	var fresh []model.Credential
	password := false
	for i := range given {
		g, at := &given[i], index(path, i)
		password = password || g.Type == model.Password
		var old *model.Credential
		j := matching(existing, g)
		if j >= 0 {
			old = &existing[j]
		}
		c, same := t.mergeOne(at, old, g)
		if err := t.checkCredential(kind, id, at, old, c); err != nil {
			return nil, err
		}
		if same {
			kept[j] = c
		} else if c != nil {
			fresh = append(fresh, *c)
		}
	}
	out := make([]model.Credential, 0, len(existing)+len(fresh))
	for j := range existing {
		switch e := existing[j]; {
		case kept[j] != nil:
			out = append(out, *kept[j])
		case !e.Declared && !(password && e.Type == model.Password):
			out = append(out, e)
		}
	}
	return append(out, fresh...), nil
}

// matching finds the stored credential that a given one speaks of: by id, else by
// its public name; a password is the only one its owner has.
func matching(existing []model.Credential, g *model.Credential) int {
	if g.ID != "" {
		j := slices.IndexFunc(existing, func(e model.Credential) bool {
			named := e.Type == model.Certificate || e.Type == model.PublicKey || e.Type == model.Link
			return e.ID == g.ID && e.Type == g.Type && (!named || publicName(&e) == publicName(g))
		})
		if j >= 0 {
			return j
		}
	}
	if (g.Type == model.APIKey || g.Type == model.AdminToken) && g.Prefix == "" {
		return -1
	}
	name := publicName(g)
	return slices.IndexFunc(existing, func(e model.Credential) bool { return publicName(&e) == name })
}

// mergeOne is the credential that a given one becomes; same says that it goes on
// being the stored one.
func (t *change) mergeOne(at string, old, g *model.Credential) (c *model.Credential, same bool) {
	if old != nil && (g.Hash == "" || g.Hash == model.Mask || g.Hash == old.Hash) {
		merged := *g
		merged.ID, merged.CreatedAt, merged.LastUsed, merged.Declared = old.ID, old.CreatedAt, old.LastUsed, old.Declared
		merged.Hash, merged.Prefix, merged.Given = old.Hash, old.Prefix, old.Given
		return &merged, true
	}
	merged := *g
	merged.ID, merged.CreatedAt, merged.LastUsed, merged.Declared, merged.Given = newID(), t.now, nil, true, nil
	switch {
	case g.Hash == model.Mask:
		t.faults.Add(at+".hash", "is a mask, and there is no stored value that it could stand for")
		return nil, false
	case old != nil && old.Type != model.Password:
		t.faults.Add(at+".hash", "is another than that of the key that exists; a key is replaced by a new one")
		return nil, false
	case g.Type == model.APIKey || g.Type == model.AdminToken:
		_, id, ok := strings.Cut(g.Prefix, "_")
		if !ok || len(id) < 8 || !model.ValidToken(id) || !keyHash(g.Hash) {
			t.faults.Add(at, "is a key without what is kept of one; create keys by POST …/credentials, which answers the secret once")
			return nil, false
		}
		merged.ID = id
	case g.Type != model.Password:
		merged.Hash = ""
	}
	return &merged, false
}

// keyHash says whether s is the SHA-256 of a key in hex.
func keyHash(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}

// checkCredential judges a credential against the rest of the store: scopes and
// providers that lead nowhere, and an end in the past. A user's name for it is
// claimed, and taken or refused by settle.
func (t *change) checkCredential(kind, id, at string, old, c *model.Credential) error {
	if c == nil {
		return nil
	}
	if c.ExpiresAt != nil && !c.ExpiresAt.After(t.now) && (old == nil || !equalTimes(old.ExpiresAt, c.ExpiresAt)) {
		t.faults.Add(join(at, "expiresAt"), "lies in the past")
	}
	if kind == store.KindAdministrators {
		return t.adminNameTaken(id, c)
	}
	if old == nil || publicName(old) != publicName(c) {
		t.claims = append(t.claims, claim{id, at, c})
	}
	if c.Type == model.Link {
		known, err := t.exists(store.KindIdentityProviders, c.Provider)
		if err != nil {
			return err
		}
		if !known {
			t.faults.Add(join(at, "provider"), "names "+quote(c.Provider)+", which is not an identity provider")
		}
	}
	if old != nil && slices.Equal(old.Scopes, c.Scopes) {
		return nil
	}
	return t.checkScopes(join(at, "scopes"), c.Scopes)
}

// claim is a credential's wish for the name that it is to be found by.
type claim struct {
	owner, at string
	c         *model.Credential
}

// settle tells which of the claimed names are another user's. The store refuses
// those by itself, so that this need be asked only once there is something to tell.
func (t *change) settle() error {
	claims := t.claims
	t.claims = t.claims[:0]
	for _, claim := range claims {
		key, ok := directory.CredentialKey(claim.c)
		if !ok {
			continue
		}
		r, _, err := t.w.Find(t.ctx, key)
		if r, err = absent(r, err); err != nil {
			return err
		}
		if r != nil && r.User.ID != claim.owner {
			if err := t.taken(claim.at, "The "+describe(claim.c)+" belongs to the user "+quote(r.User.Username)+" already."); err != nil {
				return err
			}
		}
	}
	return nil
}

// taken says that a name is another's: a conflict where one object is written, and
// one fault among others in a document.
func (t *change) taken(at, message string) error {
	if !t.document {
		return model.NewError(model.Conflict, message)
	}
	t.faults.Add(at, message)
	return nil
}

func equalTimes(a, b *time.Time) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(*b)
}

func describe(c *model.Credential) string {
	switch c.Type {
	case model.Certificate:
		kind, value := certificateName(c)
		return "certificate with " + kind + " " + quote(value)
	case model.PublicKey:
		return "public key " + quote(c.KeyID)
	case model.Link:
		return "subject " + quote(c.Subject) + " of " + c.Provider
	}
	return "key " + quote(c.Prefix)
}

// checkScopes asks that every scope names a role or a route and a method. A scope
// that means nothing would grant nothing, and its owner would search for why.
func (t *change) checkScopes(path string, scopes []string) error {
	for i, s := range scopes {
		route, method, pair := strings.Cut(s, ":")
		kind, name := store.KindRoles, s
		if pair {
			kind, name = store.KindRoutes, route
			if method != "*" && !model.ValidToken(method) {
				t.faults.Add(index(path, i), quote(method)+" is not an HTTP method")
			}
		}
		if pair && strings.Contains(route, "*") {
			continue
		}
		known, err := t.exists(kind, name)
		if err != nil {
			return err
		}
		if !known {
			t.faults.Add(index(path, i), quote(s)+" names neither a role nor a route and a method, such as orders-v1:GET")
		}
	}
	return nil
}
