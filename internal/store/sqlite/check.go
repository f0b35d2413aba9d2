package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/sallyport/sallyport/internal/store"
)

// Check looks for damage: SQLite's own check of the file, and names that lead
// nowhere. It reads the whole file.
func (s *Store) Check(ctx context.Context) error {
	return s.View(ctx, func(r store.Reader) error {
		tx := r.(*session)
		var faults []error
		err := tx.rows(ctx, `PRAGMA integrity_check`, nil, func(rows *sql.Rows) error {
			var said string
			if err := rows.Scan(&said); err != nil {
				return err
			}
			if said != "ok" {
				faults = append(faults, fmt.Errorf("the database %s is damaged: %s; keep a copy of it and restore a backup", s.path, said))
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, table := range []string{"words", "credentials"} {
			var n int64
			if _, err := tx.row(ctx, `SELECT count(*) FROM `+table+` WHERE num NOT IN (SELECT num FROM users)`, nil, &n); err != nil {
				return err
			}
			if n > 0 {
				faults = append(faults, fmt.Errorf("the database %s has %d rows of %s that lead to no user", s.path, n, table))
			}
		}
		return errors.Join(faults...)
	})
}
