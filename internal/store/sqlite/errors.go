package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// errClosed is what a closed store answers.
// ErrNewer says that a newer sallyport wrote the database: nothing that waits or
// falls back can mend that.
var ErrNewer = errors.New("a newer version is needed")

var errClosed = errors.New("the store is closed")

// errEnded is what a Reader or Writer answers once its View or Update is over.
var errEnded = errors.New("the transaction is over; a Reader or Writer must not leave its function")

// code is SQLite's primary result code of err; 0 where it is not SQLite's.
func code(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}

// taken says that a unique name belongs to another row.
func taken(err error) bool { return code(err) == lib.SQLITE_CONSTRAINT }

// broken says that the connection is not to be used again.
func broken(err error) bool {
	if errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) {
		return true
	}
	switch code(err) {
	case lib.SQLITE_IOERR, lib.SQLITE_CORRUPT, lib.SQLITE_NOTADB, lib.SQLITE_CANTOPEN,
		lib.SQLITE_MISUSE, lib.SQLITE_NOMEM, lib.SQLITE_INTERRUPT:
		return true
	}
	return false
}

// explain says what an operator can do about err.
func (s *Store) explain(doing string, err error) error {
	if err == nil {
		return nil
	}
	advice := ""
	switch code(err) {
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED:
		advice = "another program holds a lock on the database; end it (a sqlite3 shell, a copy or a backup that has not finished)"
	case lib.SQLITE_FULL:
		advice = "the disk is full; nothing was changed; free some space and try again"
	case lib.SQLITE_READONLY:
		advice = "the file or its directory cannot be written; check its owner and mode, and that the file system is not mounted read-only"
	case lib.SQLITE_CANTOPEN, lib.SQLITE_PERM, lib.SQLITE_AUTH:
		advice = "the file or its directory cannot be opened; check its owner and mode"
	case lib.SQLITE_NOTADB:
		advice = "this is not a SQLite database; point the store at another path, or move the file away"
	case lib.SQLITE_CORRUPT:
		advice = "the database is damaged; keep a copy of it and restore a backup"
	case lib.SQLITE_IOERR:
		advice = "the disk failed or is full; check the kernel's log"
	case lib.SQLITE_INTERRUPT:
		return fmt.Errorf("%s: %w", doing, context.Canceled)
	}
	if advice == "" {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return fmt.Errorf("%s in %s: %s (%w)", doing, s.path, advice, err)
}
