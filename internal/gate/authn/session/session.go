package session

import (
	"context"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/model"
)

// Cookie is the name of the session's cookie. The prefix has browsers refuse it
// from neighbour hosts and over plain HTTP (RFC 6265bis, 4.1.3.2).
const Cookie = "__Host-sallyport"

// longest is the most of a cookie that is looked up.
const longest = 200

// Sessions finds the login behind a cookie; nil = there is none that runs. An
// error means that it cannot tell.
type Sessions interface {
	Find(ctx context.Context, cookie string, now time.Time) (*directory.Session, error)
}

// Users finds users by id; nil = there is none.
type Users interface {
	User(ctx context.Context, id string) (*directory.Principal, error)
}

// Method is session.
type Method struct {
	sessions Sessions
	users    Users
	cache    *authn.Cache
	vouches  map[string]bool
	now      func() time.Time
}

// New makes the method for a configuration's providers: one that is switched off
// takes the sessions that it vouched for with it (Keycloak CVE-2026-2603).
func New(s Sessions, users Users, cache *authn.Cache, providers []model.IdentityProvider, now func() time.Time) *Method {
	m := &Method{sessions: s, users: users, cache: cache, vouches: map[string]bool{"": true}, now: now}
	for i := range providers {
		if p := &providers[i]; p.Enabled && (p.BrowserLogin() || p.Type == model.ProviderLDAP) {
			m.vouches[p.Name] = true
		}
	}
	return m
}

// Name is the method's name.
func (m *Method) Name() string { return model.MethodSession }

// Authenticate finds the session of the request's cookie.
func (m *Method) Authenticate(ctx context.Context, r *model.Request) authn.Result {
	cookie, found := find(r.Fields)
	switch {
	case m.sessions == nil:
		return authn.Result{}
	case found == authn.Differing: // somebody planted another: nobody can say whose request it is
		return authn.Refuse(model.CredentialInvalid, authn.PresenceDetail(found))
	case found != authn.Present || cookie == "" || len(cookie) > longest:
		return authn.Result{}
	}
	now := authn.At(r, m.now)
	key := m.cache.Key(authn.SpaceSession, 0, cookie)
	if p := m.cache.Get(key, now); p != nil && p.Session.Runs(now) && p.Principal.Fresh() && m.vouches[p.Provider] {
		if !r.Trial {
			p.Session.Use(now)
		}
		return authn.Result{Outcome: authn.Proven, Proof: p}
	}
	return m.miss(ctx, strings.Clone(cookie), key, now, r.Trial)
}

// stale is a cookie that counts as none; detail is for audit and explain.
func stale(detail string) authn.Result { return authn.Result{Outcome: authn.NotMine, Detail: detail} }

func (m *Method) miss(ctx context.Context, cookie string, key authn.CacheKey, now time.Time, trial bool) authn.Result {
	s, err := m.sessions.Find(ctx, cookie, now)
	if err != nil {
		return authn.Unavailable("the session cannot be looked up", err)
	}
	if s == nil || !s.Runs(now) {
		return stale("the session has ended, or never was")
	}
	if !m.vouches[s.Provider] {
		return stale("the provider " + s.Provider + ", which vouched for the session, is switched off or gone")
	}
	who, err := m.users.User(ctx, s.UserID)
	if err != nil {
		return authn.Unavailable("the session's user cannot be looked up", err)
	}
	if who == nil {
		return stale("the session's user was deleted")
	}
	// A login gives no more than its credential does elsewhere: not for longer, not from
	// other addresses, and with no more rights.
	begun := &model.Credential{}
	if s.Credential != "" {
		if begun = who.Credential(s.Credential); begun == nil {
			return stale("the credential that the session was begun with was taken away")
		}
	}
	expires := s.Expires
	if e := begun.ExpiresAt; e != nil && e.Before(expires) {
		if expires = *e; !now.Before(expires) {
			return stale("the credential that the session was begun with has expired")
		}
	}
	if !trial {
		s.Use(now)
	}
	p := &authn.Proof{Method: model.MethodSession, Provider: s.Provider, Principal: who, Session: s, Claims: s.Claims,
		// Its id stands for the session in the register of streams and in the audit.
		Credential: &model.Credential{ID: s.ID, Type: "session", CreatedAt: s.Created, Addresses: begun.Addresses},
		Narrow:     len(begun.Scopes) > 0, Scopes: begun.Scopes,
		Ambient: true, Issued: s.Created, Expires: expires}
	m.cache.Put(key, p, expires)
	return authn.Result{Outcome: authn.Proven, Proof: p}
}

// find reads the cookie among the Cookie fields. The same value twice is one.
func find(fields []model.Field) (value string, found authn.Presence) {
	for i := range fields {
		f := &fields[i]
		if len(f.Name) != len("Cookie") || !model.EqualFold(f.Name, "Cookie") {
			continue
		}
		rest := f.Value
		for rest != "" {
			var pair string
			pair, rest, _ = strings.Cut(rest, ";")
			v, ok := strings.CutPrefix(strings.Trim(pair, " \t"), Cookie+"=")
			switch {
			case !ok:
			case found == authn.Absent:
				value, found = v, authn.Present
			case v != value:
				return "", authn.Differing
			}
		}
	}
	return value, found
}
