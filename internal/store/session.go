package store

import (
	"context"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

// SessionRecord is a login by a browser as it is kept: the cookie as a hash alone.
type SessionRecord struct {
	model.Session
	Hash       []byte // SHA-256 of the cookie
	Credential string // the user's credential or link that it was begun with
	Subject    string // at the provider
	SID        string // the provider's own name of the session
	Claims     []byte // JSON
	Sealed     []byte // what its provider needs to refresh or end it, encrypted
	Refresh    time.Time
}

// SessionQuery selects sessions. Conditions that are not zero must all hold; none
// selects all.
type SessionQuery struct {
	ID, UserID    string
	Provider      string
	Subject, SID  string
	ExpiredBefore time.Time // absolute end, or last use together with Idle
	Idle          time.Duration
	After         string // id to start behind: the cursor
	Limit         int    // 0 = no limit
}

// Sessions reads sessions, ordered by id.
type Sessions interface {
	// SessionByHash answers ErrNotFound where there is none.
	SessionByHash(ctx context.Context, hash []byte) (*SessionRecord, error)
	ListSessions(ctx context.Context, q SessionQuery) ([]SessionRecord, error)
}

// SessionWriter writes sessions.
type SessionWriter interface {
	PutSession(ctx context.Context, s *SessionRecord) error
	// SeeSession notes a session's last use; one that is gone stays gone.
	SeeSession(ctx context.Context, id string, at time.Time) error
	// DeleteSessions deletes those that q selects and answers their ids.
	DeleteSessions(ctx context.Context, q SessionQuery) ([]string, error)
}
