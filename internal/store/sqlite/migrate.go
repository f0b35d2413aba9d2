package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"
)

//go:embed migrations/*.sql
var embedded embed.FS

// applicationID marks a database as Sallyport's, as the first migration sets it.
const applicationID = 1396788313

// migration is one step of the schema. Steps are never edited once released and
// never undone: each is a file NNN_name.sql.
type migration struct {
	number   int
	name     string
	text     string
	checksum string
}

// migrations reads the steps, whose numbers have no gaps.
func migrations(dir fs.FS) ([]migration, error) {
	names, err := fs.Glob(dir, "migrations/*.sql") // sorted
	if err != nil {
		return nil, err
	}
	var list []migration
	for i, path := range names {
		name := strings.TrimSuffix(strings.TrimPrefix(path, "migrations/"), ".sql")
		number, _, _ := strings.Cut(name, "_")
		n, err := strconv.Atoi(number)
		if err != nil || n != i+1 {
			return nil, fmt.Errorf("migration %s: its number is not %d", path, i+1)
		}
		text, err := fs.ReadFile(dir, path)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(text)
		list = append(list, migration{n, name, string(text), hex.EncodeToString(sum[:])})
	}
	return list, nil
}

func (s *Store) migrate(ctx context.Context) error {
	known, err := migrations(embedded)
	if err != nil {
		return err
	}
	return s.migrateTo(ctx, known)
}

// migrateTo brings the schema up to date in one transaction.
func (s *Store) migrateTo(ctx context.Context, known []migration) error {
	l, err := s.writer.acquire(ctx, writeWait)
	if err != nil {
		return err
	}
	err = s.begin(ctx, l)
	if err == nil {
		if err = s.steps(ctx, l, known); err == nil {
			_, err = l.conn.ExecContext(ctx, "COMMIT")
		}
		if err != nil {
			l.rollback()
		}
	}
	// The schema may have changed under the prepared statements: begin anew.
	s.writer.release(l, sql.ErrConnDone)
	if code(err) != 0 {
		return s.explain("bringing the database's schema up to date", err)
	}
	return err
}

func (s *Store) steps(ctx context.Context, l *link, known []migration) error {
	applied, err := s.applied(ctx, l)
	if err != nil {
		return err
	}
	for _, a := range applied {
		if a.number > len(known) {
			last, newest := known[len(known)-1], applied[len(applied)-1]
			return fmt.Errorf("%w: the database %s has schema version %d (%s), and this sallyport knows versions up to %d (%s): "+
				"a newer sallyport wrote it; run that one or a later one, or restore a backup made before the upgrade",
				ErrNewer, s.path, newest.number, newest.name, last.number, last.name)
		}
		if k := known[a.number-1]; k.checksum != a.checksum {
			return fmt.Errorf("the database %s was made by another edition of migration %s (checksum %.12s, here %.12s): "+
				"run the sallyport that made it, or restore a backup that this one made",
				s.path, k.name, a.checksum, k.checksum)
		}
	}
	for _, m := range known[len(applied):] {
		if _, err := l.conn.ExecContext(ctx, m.text); err != nil {
			return fmt.Errorf("migration %s: %w", m.name, err)
		}
		if _, err := l.conn.ExecContext(ctx, `INSERT INTO migrations (number, name, checksum, applied) VALUES (?, ?, ?, ?)`,
			m.number, m.name, m.checksum, time.Now().UnixMicro()); err != nil {
			return fmt.Errorf("migration %s: %w", m.name, err)
		}
	}
	return nil
}

// applied lists the steps that the database has seen, and makes their table.
func (s *Store) applied(ctx context.Context, l *link) ([]migration, error) {
	var tables, id int64
	if err := l.conn.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema`).Scan(&tables); err != nil {
		return nil, err
	}
	if err := l.conn.QueryRowContext(ctx, `PRAGMA application_id`).Scan(&id); err != nil {
		return nil, err
	}
	if tables > 0 && id != applicationID {
		return nil, fmt.Errorf("the file %s is a SQLite database of another program; point the store at another path", s.path)
	}
	if _, err := l.conn.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS migrations (
		number INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied INTEGER NOT NULL) STRICT`); err != nil {
		return nil, err
	}
	rows, err := l.conn.QueryContext(ctx, `SELECT number, name, checksum FROM migrations ORDER BY number`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []migration
	for rows.Next() {
		var m migration
		if err := rows.Scan(&m.number, &m.name, &m.checksum); err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, rows.Err()
}
