package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	lib "modernc.org/sqlite/lib"

	"github.com/sallyport/sallyport/internal/store"
)

// How long to wait for a turn, beside the context's own limit.
const (
	readWait  = 5 * time.Second
	writeWait = time.Minute
	busyWait  = 5 * time.Second // for other programs' locks
)

// session is one transaction: the Reader of a View, the Writer of an Update.
type session struct {
	s      *Store
	link   *link
	write  bool
	failed error // poisons a writer: SQLite may have rolled the transaction back
	over   bool
}

func nothing(store.Reader) error { return nil }

// View runs fn on one state of the store.
func (s *Store) View(ctx context.Context, fn func(store.Reader) error) error {
	l, err := s.viewers.acquire(ctx, readWait)
	if err != nil {
		return s.explain("reading the store", err)
	}
	tx := &session{s: s, link: l}
	done := false
	defer func() {
		tx.over = true
		if err := l.rollback(); err != nil && tx.failed == nil {
			tx.failed = err
		}
		if !done && tx.failed == nil { // fn panicked, perhaps amid rows
			tx.failed = sql.ErrConnDone
		}
		s.viewers.release(l, tx.failed)
	}()
	if _, err := l.conn.ExecContext(ctx, "BEGIN"); err != nil {
		tx.failed, done = err, true
		return s.explain("reading the store", err)
	}
	err = fn(tx)
	done = true
	return err
}

// Update runs fn as the only writer. What it wrote is on the disk when Update
// returns nil, and none of it is there otherwise.
func (s *Store) Update(ctx context.Context, fn func(store.Writer) error) error {
	l, err := s.writer.acquire(ctx, writeWait)
	if err != nil {
		return s.explain("changing the store", err)
	}
	tx := &session{s: s, link: l, write: true}
	committed := false
	defer func() {
		tx.over = true
		if !committed {
			if err := l.rollback(); err != nil {
				tx.failed = sql.ErrConnDone // in an unknown state: begin with a new connection
			}
		}
		s.writer.release(l, tx.failed)
	}()
	if err := s.begin(ctx, l); err != nil {
		tx.failed = err
		return s.explain("changing the store", err)
	}
	if err := fn(tx); err != nil {
		return err
	}
	if tx.failed != nil { // and fn has not said so
		return tx.failed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	// From here on no context counts: whoever hung up must not leave us in doubt.
	if _, err := l.conn.ExecContext(context.Background(), "COMMIT"); err != nil {
		tx.failed = err
		return s.explain("changing the store", err)
	}
	committed = true
	return nil
}

// begin takes the write lock at once: a transaction that began by reading could
// not become the writer after another program wrote.
func (s *Store) begin(ctx context.Context, l *link) error {
	give := time.Now().Add(busyWait)
	for {
		_, err := l.conn.ExecContext(context.WithoutCancel(ctx), "BEGIN IMMEDIATE")
		if err == nil || code(err) != lib.SQLITE_BUSY || time.Now().After(give) {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// rollback ends the transaction, if SQLite has not done so by itself.
func (l *link) rollback() error {
	_, err := l.conn.ExecContext(context.Background(), "ROLLBACK")
	if code(err) == lib.SQLITE_ERROR { // "no transaction is active"
		return nil
	}
	return err
}

// ready says whether the session may go on, and the context for its statements.
// A statement of a writer is never interrupted: SQLite would roll the whole
// transaction back, and what came after would be committed by itself. Point
// reads are over before an interruption could be set up.
func (tx *session) ready(ctx context.Context) error {
	if tx.over {
		return errEnded
	}
	if tx.failed != nil {
		return tx.failed
	}
	return ctx.Err()
}

// note keeps an error that the transaction may not survive.
func (tx *session) note(doing string, err error) error {
	if err == nil || errors.Is(err, sql.ErrNoRows) || taken(err) {
		return err
	}
	explained := tx.s.explain(doing, err)
	if tx.failed == nil && (tx.write || broken(err)) {
		tx.failed = explained
	}
	return explained
}

// row runs a query for at most one row. False = there is none.
func (tx *session) row(ctx context.Context, text string, args []any, into ...any) (bool, error) {
	if err := tx.ready(ctx); err != nil {
		return false, err
	}
	still := context.WithoutCancel(ctx)
	st, err := tx.link.prepare(still, text)
	if err == nil {
		err = st.QueryRowContext(still, args...).Scan(into...)
	}
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, tx.note("reading the store", err)
}

// rows runs a query and scans each row. A reader's is interrupted when ctx ends.
func (tx *session) rows(ctx context.Context, text string, args []any, scan func(*sql.Rows) error) error {
	if err := tx.ready(ctx); err != nil {
		return err
	}
	during := ctx
	if tx.write {
		during = context.WithoutCancel(ctx)
	}
	st, err := tx.link.prepare(context.WithoutCancel(ctx), text)
	if err != nil {
		return tx.note("reading the store", err)
	}
	rows, err := st.QueryContext(during, args...)
	if err != nil {
		return tx.note("reading the store", err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return tx.note("reading the store", err)
		}
	}
	if err := rows.Err(); err != nil {
		if ctx.Err() != nil {
			tx.note("reading the store", err)
			return ctx.Err()
		}
		return tx.note("reading the store", err)
	}
	return nil
}

// exec runs a statement that writes.
func (tx *session) exec(ctx context.Context, text string, args ...any) (sql.Result, error) {
	if err := tx.ready(ctx); err != nil {
		return nil, err
	}
	still := context.WithoutCancel(ctx)
	st, err := tx.link.prepare(still, text)
	if err != nil {
		return nil, tx.note("changing the store", err)
	}
	r, err := st.ExecContext(still, args...)
	return r, tx.note("changing the store", err)
}

func micros(t time.Time) int64     { return t.UnixMicro() }
func fromMicros(n int64) time.Time { return time.UnixMicro(n).UTC() }

// lookup runs fn on a connection kept for lookups. There being nobody is no error.
func (s *Store) lookup(ctx context.Context, fn func(*session) error) error {
	l, err := s.finders.acquire(ctx, readWait)
	if err != nil {
		return s.explain("reading the store", err)
	}
	tx := &session{s: s, link: l}
	err = fn(tx)
	s.finders.release(l, tx.failed)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}
