package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"

	"github.com/sallyport/sallyport/internal/store"
)

// CurrentRevision is the highest number; 0 where there is none yet.
func (tx *session) CurrentRevision(ctx context.Context) (int64, error) {
	var n sql.NullInt64
	_, err := tx.row(ctx, `SELECT max(number) FROM revisions`, nil, &n)
	return n.Int64, err
}

// Revision reads one revision, with what rollback needs.
func (tx *session) Revision(ctx context.Context, n int64) (*store.Revision, error) {
	r := &store.Revision{Number: n}
	var at int64
	var changes []byte
	ok, err := tx.row(ctx, `SELECT time, actor, reason, changes, restore FROM revisions WHERE number = ?`,
		[]any{n}, &at, &r.Actor, &r.Reason, &changes, &r.Restore)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("revision %d: %w", n, store.ErrNotFound)
	}
	return r, finish(r, at, changes)
}

func finish(r *store.Revision, at int64, changes []byte) error {
	r.Time = fromMicros(at)
	if err := json.Unmarshal(changes, &r.Changes); err != nil {
		return fmt.Errorf("reading revision %d: %w", r.Number, err)
	}
	return nil
}

// ListRevisions lists revisions, newest first, without what rollback needs.
func (tx *session) ListRevisions(ctx context.Context, before int64, limit int) ([]store.Revision, error) {
	if before <= 0 {
		before = math.MaxInt64
	}
	if limit <= 0 {
		limit = -1
	}
	var list []store.Revision
	err := tx.rows(ctx, `SELECT number, time, actor, reason, changes FROM revisions WHERE number < ? ORDER BY number DESC LIMIT ?`,
		[]any{before, limit}, func(rows *sql.Rows) error {
			var r store.Revision
			var at int64
			var changes []byte
			if err := rows.Scan(&r.Number, &at, &r.Actor, &r.Reason, &changes); err != nil {
				return err
			}
			if err := finish(&r, at, changes); err != nil {
				return err
			}
			list = append(list, r)
			return nil
		})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// AddRevision adds a revision. Number 0 becomes the next one; any other must be
// above the current: revisions only grow.
func (tx *session) AddRevision(ctx context.Context, r *store.Revision) error {
	current, err := tx.CurrentRevision(ctx)
	if err != nil {
		return err
	}
	if r.Number == 0 {
		r.Number = current + 1
	}
	if r.Number <= current {
		return fmt.Errorf("revision %d: %w; the current one is %d", r.Number, store.ErrExists, current)
	}
	changes, err := json.Marshal(r.Changes)
	if err != nil {
		return fmt.Errorf("writing revision %d: %w", r.Number, err)
	}
	_, err = tx.exec(ctx, `INSERT INTO revisions (number, time, actor, reason, changes, restore) VALUES (?, ?, ?, ?, ?, ?)`,
		r.Number, micros(r.Time), r.Actor, r.Reason, string(changes), r.Restore)
	return err
}
