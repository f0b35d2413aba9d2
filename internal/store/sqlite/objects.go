package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/sallyport/sallyport/internal/store"
)

// Object reads one object.
func (tx *session) Object(ctx context.Context, kind, name string) (*store.Object, error) {
	o := &store.Object{Kind: kind, Name: name}
	var updated int64
	ok, err := tx.row(ctx, `SELECT body, revision, updated, owner FROM objects WHERE kind = ? AND name = ?`,
		[]any{kind, name}, &o.Body, &o.Revision, &updated, &o.Owner)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("%s %q: %w", kind, name, store.ErrNotFound)
	}
	o.Updated = fromMicros(updated)
	return o, nil
}

// ListObjects reads all objects of a kind.
func (tx *session) ListObjects(ctx context.Context, kind string) ([]store.Object, error) {
	var list []store.Object
	err := tx.rows(ctx, `SELECT name, body, revision, updated, owner FROM objects WHERE kind = ? ORDER BY name`,
		[]any{kind}, func(r *sql.Rows) error {
			o := store.Object{Kind: kind}
			var updated int64
			if err := r.Scan(&o.Name, &o.Body, &o.Revision, &updated, &o.Owner); err != nil {
				return err
			}
			o.Updated = fromMicros(updated)
			list = append(list, o)
			return nil
		})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// PutObject adds or replaces an object.
func (tx *session) PutObject(ctx context.Context, o *store.Object) error {
	body := o.Body
	if body == nil {
		body = []byte{}
	}
	_, err := tx.exec(ctx, `INSERT INTO objects (kind, name, body, revision, updated, owner) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (kind, name) DO UPDATE SET body = excluded.body, revision = excluded.revision,
		updated = excluded.updated, owner = excluded.owner`,
		o.Kind, o.Name, body, o.Revision, micros(o.Updated), o.Owner)
	return err
}

// DeleteObject takes an object away; ErrNotFound where there is none.
func (tx *session) DeleteObject(ctx context.Context, kind, name string) error {
	r, err := tx.exec(ctx, `DELETE FROM objects WHERE kind = ? AND name = ?`, kind, name)
	if err != nil {
		return err
	}
	if n, err := r.RowsAffected(); err == nil && n == 0 {
		return fmt.Errorf("%s %q: %w", kind, name, store.ErrNotFound)
	}
	return nil
}
