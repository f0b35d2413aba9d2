package directory

import (
	"sync/atomic"
	"time"
)

// Session is a browser's login as the request path knows it. Whoever holds one
// asks Runs before each use; it never comes back once it has ended.
type Session struct {
	ID         string // its public name
	UserID     string
	Credential string // the user's credential, or link, that it was begun with; gone = the session is over
	Provider   string // who vouched; "" = the password that is kept here
	Method     string // how the person proved itself: password, oidc, saml, ldap
	Created    time.Time
	Expires    time.Time // the absolute end
	Claims     map[string]any

	idle  atomic.Int64 // nanoseconds
	seen  atomic.Int64 // Unix nanoseconds of the last use
	ended atomic.Bool
}

// Runs says whether the session has neither ended nor been left alone for too long.
func (s *Session) Runs(now time.Time) bool {
	return !s.ended.Load() && now.Before(s.Expires) && now.UnixNano()-s.seen.Load() < s.idle.Load()
}

// Use notes that the session was used. A change within the same second is not
// worth the write to memory that cores share.
func (s *Session) Use(now time.Time) {
	if n := now.UnixNano(); n-s.seen.Load() > int64(time.Second) {
		s.seen.Store(n)
	}
}

// Seen is when the session was last used.
func (s *Session) Seen() time.Time { return time.Unix(0, s.seen.Load()) }

// SetSeen is Use without its economy: for a session that is read from the store.
func (s *Session) SetSeen(t time.Time) { s.seen.Store(t.UnixNano()) }

// SetIdle sets how long the session may be left alone.
func (s *Session) SetIdle(d time.Duration) { s.idle.Store(int64(d)) }

// End ends the session for everybody who holds it.
func (s *Session) End() { s.ended.Store(true) }

// Ended says whether the session was ended; one that ran out was not.
func (s *Session) Ended() bool { return s.ended.Load() }
