package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// pragma is a setting of a connection, and what SQLite must say of it afterwards:
// one that it does not know, or cannot have, passes in silence.
type pragma struct{ name, set, want string }

// writing are the writer's settings: a commit is synced before it is acknowledged.
// The wait for other programs' locks is short, for the rest of it heeds a context.
var writing = []pragma{
	{"busy_timeout", "100", "100"},
	{"journal_mode", "WAL", "wal"},
	{"synchronous", "FULL", "2"},
	{"fullfsync", "1", "1"},
	{"checkpoint_fullfsync", "1", "1"},
	{"journal_size_limit", "67108864", "67108864"},
	{"cache_size", "-65536", "-65536"},
	{"temp_store", "MEMORY", "2"},
	{"trusted_schema", "OFF", "0"},
	{"cell_size_check", "ON", "1"},
}

// reading are a reader's settings.
var reading = []pragma{
	{"busy_timeout", "100", "100"},
	{"cache_size", "-8192", "-8192"},
	{"temp_store", "MEMORY", "2"},
	{"trusted_schema", "OFF", "0"},
	{"query_only", "1", "1"},
}

// link is one connection with the statements prepared on it.
type link struct {
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
}

// prepare prepares text once for the connection's life.
func (l *link) prepare(ctx context.Context, text string) (*sql.Stmt, error) {
	if st := l.stmts[text]; st != nil {
		return st, nil
	}
	st, err := l.conn.PrepareContext(ctx, text)
	if err == nil {
		l.stmts[text] = st
	}
	return st, err
}

func (l *link) shut() {
	for _, st := range l.stmts {
		st.Close()
	}
	l.conn.Close()
}

// open makes a link and asserts its settings.
func (s *Store) open(db *sql.DB, as []pragma) func(context.Context) (*link, error) {
	return func(ctx context.Context) (*link, error) {
		conn, err := db.Conn(ctx)
		if err != nil {
			return nil, s.explain("opening the database", err)
		}
		for _, p := range as {
			var got string
			if err := conn.QueryRowContext(ctx, "PRAGMA "+p.name).Scan(&got); err != nil {
				conn.Close()
				return nil, s.explain("opening the database", err)
			}
			if !strings.EqualFold(got, p.want) {
				conn.Close()
				return nil, fmt.Errorf("opening the database %s: %s is %s, not %s; the data directory must lie on a local file system that supports locks and shared memory",
					s.path, p.name, got, p.want)
			}
		}
		return &link{conn: conn, stmts: make(map[string]*sql.Stmt)}, nil
	}
}

// pool hands out links, one user each, and makes them when they are first asked for.
type pool struct {
	free   chan *link // nil = to be opened
	open   func(context.Context) (*link, error)
	mu     sync.Mutex
	closed bool
}

func newPool(n int, open func(context.Context) (*link, error)) *pool {
	p := &pool{free: make(chan *link, n), open: open}
	for range n {
		p.free <- nil
	}
	return p
}

// acquire waits for a link for as long as ctx allows, and at most for wait.
func (p *pool) acquire(ctx context.Context, wait time.Duration) (*link, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var l *link
	var ok bool
	select {
	case l, ok = <-p.free:
	default:
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case l, ok = <-p.free:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-t.C:
			return nil, errors.New("every connection to the database is busy; try again")
		}
	}
	if !ok {
		return nil, errClosed
	}
	if l != nil {
		return l, nil
	}
	l, err := p.open(context.WithoutCancel(ctx)) // it outlives the request
	if err != nil {
		p.put(nil)
		return nil, err
	}
	return l, nil
}

// release gives a link back; err is how its use ended.
func (p *pool) release(l *link, err error) {
	if broken(err) {
		l.shut()
		l = nil
	}
	p.put(l)
}

func (p *pool) put(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.free <- l
	} else if l != nil {
		l.shut()
	}
}

// drain closes the pool's links, waiting until give for those in use.
func (p *pool) drain(give time.Time) {
	t := time.NewTimer(time.Until(give))
	defer t.Stop()
	for n := cap(p.free); n > 0; n-- {
		select {
		case l, ok := <-p.free:
			if !ok {
				return
			}
			if l != nil {
				l.shut()
			}
		case <-t.C:
			n = 0
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.closed = true
		close(p.free)
	}
}
