package basic

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/secret"
)

// longest is the most of a Basic credential, in characters of its base64: a
// username of 254 characters and the longest password fit.
const longest = 4096

// Method is basic.
type Method struct {
	Lookup authn.Lookup
	Hasher *secret.Hasher
	Cache  *authn.Cache
	// Upgrade stores a better hash of a credential after a login with an old one.
	// It is called from another goroutine; nil leaves old hashes as they are.
	Upgrade func(userID, credentialID, newHash string)
	// Elsewhere are directories that keep passwords; nil = there are none.
	Elsewhere *Elsewhere
	Now       func() time.Time
}

// Name is the method's name.
func (m *Method) Name() string { return model.MethodBasic }

// Challenge asks for a password, in UTF-8 (RFC 7617, 2.1).
func (m *Method) Challenge(*model.Error) string { return `Basic realm="sallyport", charset="UTF-8"` }

// Authenticate verifies the password in the Authorization field.
func (m *Method) Authenticate(ctx context.Context, r *model.Request) authn.Result {
	text, found := authn.Authorization(r, "Basic")
	switch {
	case found == authn.Absent:
		return authn.Result{}
	case found != authn.Present:
		return authn.Refuse(model.CredentialInvalid, authn.PresenceDetail(found))
	case len(text) > longest:
		return authn.Refuse(model.CredentialInvalid, "the credential is too long")
	}
	now := authn.At(r, m.Now)
	key := m.Cache.Key(authn.SpaceBasic, m.Elsewhere.epochOf(), text)
	if p := m.Cache.Get(key, now); p != nil && current(p) && (p.Principal != nil || !r.Anew) {
		return p.Found(now)
	}
	if r.Trial || r.Anew {
		return m.verify(ctx, strings.Clone(text), key, now, r)
	}
	return m.miss(ctx, text, key, now, r)
}

// current says whether nothing has changed in the user of a remembered proof.
func current(p *authn.Proof) bool {
	if p.Principal == nil { // a directory's: whom the gate found behind it
		if p = p.Resolved(); p == nil {
			return true
		}
	}
	return p.Principal.Fresh()
}

// miss is apart, so that what it captures costs a repeated credential nothing.
func (m *Method) miss(ctx context.Context, text string, key authn.CacheKey, now time.Time, r *model.Request) authn.Result {
	text = strings.Clone(text)
	return m.Cache.Once(ctx, key, func(ctx context.Context) authn.Result { return m.verify(ctx, text, key, now, r) })
}

// verify does exactly one hash for every username, known or not, with a password
// or without: the time must not tell who exists. A trial leaves no trace: a proof
// that it kept would spare the real login its better hash. Whoever has a password
// here is judged by that alone: a directory cannot take over a local user by having
// one of the same name, and never sees a local user's password.
func (m *Method) verify(ctx context.Context, text string, key authn.CacheKey, now time.Time, r *model.Request) authn.Result {
	username, password, fault := parse(text)
	if fault != "" {
		return authn.Refuse(model.CredentialInvalid, fault)
	}
	found, err := m.Lookup.Find(ctx, directory.Key{By: directory.ByUsername, A: model.FoldUsername(username)})
	if err != nil {
		return authn.Unavailable("the user cannot be looked up", err)
	}
	if p := m.Cache.Get(key, now); p != nil && p.Stands(found) {
		return m.keep(key, found, r.Trial).Found(now) // changed, but not in this credential
	}
	hash, own := "", false
	if c := found.Credential; found.Principal != nil && c != nil && c.Type == model.Password {
		hash, own = c.Hash, true
	}
	elsewhere := m.Elsewhere != nil && !own
	if p := m.Cache.Get(key, now); elsewhere && p != nil && p.Principal == nil && !r.Anew {
		return p.Found(now) // the user has changed, and still has no password here
	}
	ok, upgrade, err := m.Hasher.Verify(ctx, hash, password)
	switch {
	case errors.Is(err, secret.ErrBusy):
		return authn.Refuse(model.Overloaded, "too many passwords are being checked")
	case errors.Is(err, secret.ErrHash):
		return authn.Refuse(model.CredentialInvalid, "the stored hash of "+found.Principal.User.Username+" cannot be used; set a new password")
	case err != nil:
		return authn.Unavailable("the password cannot be checked", err)
	case elsewhere:
		return m.askElsewhere(ctx, username, password, key, now, r)
	case !ok:
		return authn.Refuse(model.CredentialInvalid, why(found, username))
	}
	if upgrade && m.Upgrade != nil && !r.Trial {
		userID, credentialID := found.Principal.User.ID, found.Credential.ID
		m.Hasher.Later(password, func(hash string) { m.Upgrade(userID, credentialID, hash) })
	}
	return m.keep(key, found, r.Trial).Found(now)
}

// askElsewhere asks about a name that has no password here: after the hash of
// nothing, so that the time tells no more than it did of who has one.
func (m *Method) askElsewhere(ctx context.Context, username, password string, key authn.CacheKey, now time.Time, r *model.Request) authn.Result {
	if res, ok := m.Elsewhere.refused.Get(key, now); ok {
		return res
	}
	res := m.Elsewhere.ask(ctx, username, password, now)
	switch {
	case r.Trial:
	case res.Outcome == authn.Proven:
		m.Cache.Put(key, res.Proof, now.Add(Positive))
	case res.Err.Code == model.CredentialInvalid:
		m.Elsewhere.refused.Put(key, res, now.Add(negative))
		if p := m.Cache.Get(key, now); p != nil { // believed until now, and no longer
			m.Cache.Put(key, p, now)
		}
	}
	return res
}

func (m *Method) keep(key authn.CacheKey, found directory.Found, trial bool) *authn.Proof {
	p := authn.Local(model.MethodBasic, found, true)
	if !trial {
		m.Cache.Put(key, p, time.Time{})
	}
	return p
}

// why is for the audit alone.
func why(found directory.Found, username string) string {
	switch {
	case found.Principal == nil:
		return "no user has the username " + username
	case found.Credential == nil || found.Credential.Hash == "":
		return "user " + found.Principal.User.Username + " has no password"
	}
	return "wrong password for user " + found.Principal.User.Username
}

// parse reads user-id ":" password in strict base64 (RFC 7617, 2). The user-id ends
// at the first colon. Controls are forbidden in either; an empty password is
// refused before anybody is asked, for a directory elsewhere may take it for an
// anonymous login.
func parse(text string) (username, password, fault string) {
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") {
		return "", "", "the credential is not base64"
	}
	s := string(b)
	if !utf8.ValidString(s) {
		return "", "", "the credential is not UTF-8"
	}
	username, password, ok := strings.Cut(s, ":")
	switch {
	case !ok:
		return "", "", "the credential has no colon"
	case !model.ValidUsername(username):
		return "", "", "the username is empty, too long, or has control characters"
	case password == "":
		return "", "", "the password is empty"
	case len(password) > secret.MaxPassword:
		return "", "", "the password is too long"
	case strings.ContainsFunc(password, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "", "", "the password has control characters"
	}
	return username, password, ""
}
