package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/store"
)

const sessionColumns = `id, hash, user_id, username, credential, method, provider, subject, sid,
	created, seen, expires, refresh, address, agent, claims, sealed`

// SessionByHash finds the session of a cookie.
func (tx *session) SessionByHash(ctx context.Context, hash []byte) (*store.SessionRecord, error) {
	list, err := tx.sessions(ctx, `SELECT `+sessionColumns+` FROM sessions WHERE hash = ?`, []any{hash})
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("a session: %w", store.ErrNotFound)
	}
	return &list[0], nil
}

// ListSessions lists what q selects by id.
func (tx *session) ListSessions(ctx context.Context, q store.SessionQuery) ([]store.SessionRecord, error) {
	where, args := selectSessions(q)
	text := `SELECT ` + sessionColumns + ` FROM sessions` + where + ` ORDER BY id`
	if q.Limit > 0 {
		text += ` LIMIT ?`
		args = append(args, q.Limit)
	}
	return tx.sessions(ctx, text, args)
}

func selectSessions(q store.SessionQuery) (where string, args []any) {
	var all []string
	and := func(condition string, values ...any) {
		all = append(all, condition)
		args = append(args, values...)
	}
	for _, c := range []struct{ column, value string }{{"id", q.ID}, {"user_id", q.UserID}, {"provider", q.Provider},
		{"subject", q.Subject}, {"sid", q.SID}} {
		if c.value != "" {
			and(c.column+" = ?", c.value)
		}
	}
	switch {
	case q.ExpiredBefore.IsZero():
	case q.Idle > 0:
		and("(expires <= ? OR seen <= ?)", micros(q.ExpiredBefore), micros(q.ExpiredBefore.Add(-q.Idle)))
	default:
		and("expires <= ?", micros(q.ExpiredBefore))
	}
	if q.After != "" {
		and("id > ?", q.After)
	}
	if len(all) == 0 {
		return "", nil
	}
	return " WHERE " + strings.Join(all, " AND "), args
}

func (tx *session) sessions(ctx context.Context, text string, args []any) (list []store.SessionRecord, err error) {
	err = tx.rows(ctx, text, args, func(rows *sql.Rows) error {
		var s store.SessionRecord
		var created, seen, expires, refresh int64
		if err := rows.Scan(&s.ID, &s.Hash, &s.UserID, &s.User, &s.Credential, &s.Method, &s.Provider, &s.Subject, &s.SID,
			&created, &seen, &expires, &refresh, &s.ClientIP, &s.UserAgent, &s.Claims, &s.Sealed); err != nil {
			return err
		}
		s.CreatedAt, s.LastSeenAt, s.ExpiresAt = fromMicros(created), fromMicros(seen), fromMicros(expires)
		if refresh != 0 {
			s.Refresh = fromMicros(refresh)
		}
		list = append(list, s)
		return nil
	})
	return list, err
}

// PutSession writes a session whole.
func (tx *session) PutSession(ctx context.Context, s *store.SessionRecord) error {
	var refresh int64
	if !s.Refresh.IsZero() {
		refresh = micros(s.Refresh)
	}
	_, err := tx.exec(ctx, `INSERT OR REPLACE INTO sessions (`+sessionColumns+`) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`,
		s.ID, blob(s.Hash), s.UserID, s.User, s.Credential, s.Method, s.Provider, s.Subject, s.SID,
		micros(s.CreatedAt), micros(s.LastSeenAt), micros(s.ExpiresAt), refresh, s.ClientIP, s.UserAgent, blob(s.Claims), blob(s.Sealed))
	return err
}

// blob is never NULL.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// SeeSession notes a later use, and never an earlier one.
func (tx *session) SeeSession(ctx context.Context, id string, at time.Time) error {
	_, err := tx.exec(ctx, `UPDATE sessions SET seen = ? WHERE id = ? AND seen < ?`, micros(at), id, micros(at))
	return err
}

// DeleteSessions deletes what q selects.
func (tx *session) DeleteSessions(ctx context.Context, q store.SessionQuery) (ids []string, err error) {
	where, args := selectSessions(q)
	if err := tx.rows(ctx, `SELECT id FROM sessions`+where+` ORDER BY id`, args, func(rows *sql.Rows) error {
		var id string
		if err := rows.Scan(&id); err != nil {
			return err
		}
		ids = append(ids, id)
		return nil
	}); err != nil || len(ids) == 0 {
		return nil, err
	}
	_, err = tx.exec(ctx, `DELETE FROM sessions`+where, args...)
	return ids, err
}

// endSessions takes a user's logins away.
func (tx *session) endSessions(ctx context.Context, userID string) error {
	_, err := tx.exec(ctx, `DELETE FROM sessions WHERE user_id = ?`, userID)
	return err
}
