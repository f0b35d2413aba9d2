package apikey

import (
	"context"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/secret"
)

// longest spares the cache what cannot be a key.
const longest = 128

// Method is apiKey.
type Method struct {
	Lookup authn.Lookup
	Cache  *authn.Cache
	Now    func() time.Time
}

// Name is the method's name.
func (m *Method) Name() string { return model.MethodAPIKey }

// Challenge asks for a key.
func (m *Method) Challenge(*model.Error) string { return `ApiKey realm="sallyport"` }

// Authenticate verifies the key in the request.
func (m *Method) Authenticate(ctx context.Context, r *model.Request) authn.Result {
	key, found := present(r)
	switch {
	case found == authn.Absent:
		return authn.Result{}
	case found != authn.Present:
		return authn.Refuse(model.CredentialInvalid, authn.PresenceDetail(found))
	case len(key) > longest:
		return authn.Refuse(model.CredentialInvalid, "the credential is not an API key")
	}
	now := authn.At(r, m.Now)
	k := m.Cache.Key(authn.SpaceAPIKey, 0, key)
	if p := m.Cache.Get(k, now); p != nil && p.Principal.Fresh() {
		return p.Found(now)
	}
	return m.verify(ctx, key, k, now)
}

// present finds the key in either place; in both it must be the same.
func present(r *model.Request) (key string, found authn.Presence) {
	a, inOwn := authn.Header(r, "X-API-Key")
	b, inAuthorization := authn.Authorization(r, "ApiKey")
	switch {
	case inOwn == authn.Absent:
		return b, inAuthorization
	case inAuthorization == authn.Absent:
		return a, inOwn
	case inOwn != authn.Present:
		return "", inOwn
	case inAuthorization != authn.Present:
		return "", inAuthorization
	case a != b:
		return "", authn.Differing
	}
	return a, authn.Present
}

// verify checks form and checksum before anything is looked up, and compares the
// hash of the whole key in constant time (hoop's legacy key was compared with !=).
func (m *Method) verify(ctx context.Context, key string, k authn.CacheKey, now time.Time) authn.Result {
	id, hash, ok := secret.ParseAPIKey(key)
	if !ok {
		return authn.Refuse(model.CredentialInvalid, "the credential is not an API key: its form or checksum is wrong")
	}
	id = strings.Clone(id)
	found, err := m.Lookup.Find(ctx, directory.Key{By: directory.ByKeyID, A: id})
	if err != nil {
		return authn.Unavailable("the API key cannot be looked up", err)
	}
	stored := ""
	if c := found.Credential; found.Principal != nil && c != nil && c.Type == model.APIKey {
		stored = c.Hash
	}
	if !secret.EqualHash(stored, hash) {
		if stored == "" {
			return authn.Refuse(model.CredentialInvalid, "no API key has the id "+id)
		}
		return authn.Refuse(model.CredentialInvalid, "wrong secret in the API key with the id "+id)
	}
	p := authn.Local(model.MethodAPIKey, found, false)
	m.Cache.Put(k, p, time.Time{})
	return p.Found(now)
}
