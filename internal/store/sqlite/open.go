package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	_ "modernc.org/sqlite" // registers the driver
)

const lockSuffix = ".lock"

// How many connections read. Lookups on the way of a request have their own, so
// that an export does not hold them up.
const (
	lookups = 4
	views   = 4
)

// Store is one SQLite file. It is safe for use by many goroutines.
type Store struct {
	path    string
	lock    *os.File
	write   *sql.DB
	read    *sql.DB
	writer  *pool // of one
	viewers *pool
	finders *pool
	close   sync.Once
	closed  error
}

// Open opens the database at path, makes it where there is none, and brings its
// schema up to date. Errors say what to do.
func Open(ctx context.Context, path string) (*Store, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("opening the database %s: %w", path, err)
	}
	s := &Store{path: abs}
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	if err := s.connect(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// prepare makes the directory and the file, readable by nobody else, for it
// holds hashes and providers' secrets; SQLite gives its companions the same mode.
func (s *Store) prepare(ctx context.Context) error {
	dir := filepath.Dir(s.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the data directory %s: %w; make it by hand, writable for the user that runs sallyport", dir, err)
	}
	info, err := os.Stat(s.path)
	switch {
	case err == nil && !info.Mode().IsRegular():
		return fmt.Errorf("the database %s is not a regular file; point the store at another path", s.path)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the database %s cannot be read: %w; check the owner and mode of its directory", s.path, err)
	}
	if s.lock, err = lock(ctx, s.path+lockSuffix); err != nil {
		return err
	}
	if info == nil {
		f, err := os.OpenFile(s.path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			s.lock.Close()
			return fmt.Errorf("making the database %s: %w; make its directory writable for the user that runs sallyport", s.path, err)
		}
		f.Close()
		return syncDir(dir)
	}
	if info.Mode().Perm()&0o077 != 0 {
		os.Chmod(s.path, 0o600) // best effort: it may be another user's on purpose
	}
	return nil
}

// syncDir makes the file's name durable, as fsync does its content.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func (s *Store) connect(ctx context.Context) (err error) {
	if s.write, err = sql.Open("sqlite", s.dsn("rw", writing)); err != nil {
		return s.explain("opening the database", err)
	}
	if s.read, err = sql.Open("sqlite", s.dsn("ro", reading)); err != nil {
		return s.explain("opening the database", err)
	}
	s.write.SetMaxOpenConns(1)
	s.read.SetMaxOpenConns(lookups + views)
	s.read.SetMaxIdleConns(lookups + views)
	s.writer = newPool(1, s.open(s.write, writing))
	s.viewers = newPool(views, s.open(s.read, reading))
	s.finders = newPool(lookups, s.open(s.read, reading))
	if err := s.migrate(ctx); err != nil {
		return err
	}
	// One reader at once, so that what would fail later fails here.
	return s.View(ctx, nothing)
}

// dsn is a file: URI, for in any other form SQLite would not see mode=ro.
func (s *Store) dsn(mode string, as []pragma) string {
	q := url.Values{"mode": {mode}, "_txlock": {"immediate"}, "_dqs": {"0"}, "_defensive": {"1"}}
	for _, p := range as {
		q.Add("_pragma", p.name+"("+p.set+")")
	}
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(s.path), RawQuery: q.Encode()}
	return u.String()
}

// Close waits for what is under way, for a moment, and closes the file.
func (s *Store) Close() error {
	s.close.Do(func() { s.closed = s.shut() })
	return s.closed
}

func (s *Store) shut() error {
	var errs []error
	give := time.Now().Add(5 * time.Second)
	for _, p := range []*pool{s.writer, s.finders, s.viewers} {
		if p != nil {
			p.drain(give)
		}
	}
	// The writer last: as it goes, SQLite brings the log into the file.
	for _, db := range []*sql.DB{s.read, s.write} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}
