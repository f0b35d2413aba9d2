package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
	"github.com/sallyport/sallyport/internal/store/storetest"
)

func openStore(ctx context.Context, path string) (store.Store, error) {
	s, err := Open(ctx, path)
	if err != nil {
		return nil, err
	}
	return s, nil
}

const holdLock = "SALLYPORT_TEST_HOLD"

func TestMain(m *testing.M) {
	storetest.CrashChild(openStore)
	if path := os.Getenv(holdLock); path != "" { // a second gateway
		if _, err := Open(context.Background(), path); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("open")
		time.Sleep(time.Minute)
	}
	os.Exit(m.Run())
}

func TestKilledAtAnyMomentNothingAcknowledgedIsLost(t *testing.T) {
	storetest.Crash(t, filepath.Join(t.TempDir(), "db"), openStore)
}

func wantText(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q does not say %q", err, w)
		}
	}
}

func TestOpen(t *testing.T) {
	t.Run("the directory and all files are the owner's alone", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "x", "data")
		s := open(t, filepath.Join(dir, "db"))
		update(t, s, 1)
		if info, _ := os.Stat(dir); info.Mode().Perm() != 0o700 {
			t.Errorf("%v", info.Mode())
		}
		files, _ := os.ReadDir(dir)
		if len(files) < 4 { // database, lock, log, index of the log
			t.Errorf("%v", files)
		}
		for _, f := range files {
			if info, _ := f.Info(); info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v", f.Name(), info.Mode())
			}
		}
	})
	t.Run("a path with every odd character opens that file and no other", func(t *testing.T) {
		dir := t.TempDir()
		name := "a?mode=ro&x=%41#b c;'\"é.db"
		s := open(t, filepath.Join(dir, name))
		update(t, s, 1)
		s.Close()
		files, _ := os.ReadDir(dir)
		for _, f := range files {
			if !strings.HasPrefix(f.Name(), name) {
				t.Errorf("%s", f.Name())
			}
		}
		if v := value(t, open(t, filepath.Join(dir, name))); v != 1 {
			t.Errorf("%d", v)
		}
	})
	t.Run("what was written is there after a restart", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "db")
		for i := range 5 {
			s := open(t, path)
			if v := value(t, s); v != i {
				t.Fatalf("%d, want %d", v, i)
			}
			update(t, s, i+1)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := os.Stat(path + "-wal"); err == nil {
			t.Error("the log was not brought into the file")
		}
	})
	t.Run("the settings hold on every connection", func(t *testing.T) {
		s := open(t, filepath.Join(t.TempDir(), "db"))
		var mode string
		var sync int
		l, err := s.writer.acquire(t.Context(), time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer s.writer.release(l, nil)
		l.conn.QueryRowContext(t.Context(), "PRAGMA journal_mode").Scan(&mode)
		l.conn.QueryRowContext(t.Context(), "PRAGMA synchronous").Scan(&sync)
		if mode != "wal" || sync != 2 {
			t.Errorf("%s, %d", mode, sync)
		}
		r, err := s.finders.acquire(t.Context(), time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer s.finders.release(r, nil)
		for _, text := range []string{"DELETE FROM users", "PRAGMA query_only = 0; DELETE FROM users", "PRAGMA journal_mode = DELETE; DELETE FROM users"} {
			if _, err := r.conn.ExecContext(t.Context(), text); err == nil {
				t.Errorf("a reader could %s", text)
			}
		}
	})
}

func TestOpenFaults(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	foreign := filepath.Join(dir, "foreign")
	db, _ := sql.Open("sqlite", "file:"+foreign)
	if _, err := db.Exec("CREATE TABLE t (x)"); err != nil {
		t.Fatal(err)
	}
	db.Close()
	for name, c := range map[string]struct {
		path string
		says []string
	}{
		"a file that is no database":       {write("text", strings.Repeat("hello ", 1000)), []string{"not a SQLite database", "another path"}},
		"another program's database":       {foreign, []string{"another program", "another path"}},
		"a directory in the file's place":  {dir, []string{"not a regular file"}},
		"a file in the directory's place":  {filepath.Join(write("file", ""), "sub", "db"), []string{"data directory", "writable"}},
		"a directory that cannot be made":  {"/proc/no/such/db", []string{"data directory", "writable"}},
		"a directory that takes no files":  {"/proc/db", []string{"writable"}},
		"a name longer than the system's":  {filepath.Join(dir, strings.Repeat("x", 300)), []string{"owner and mode"}},
		"a device in the database's place": {"/dev/null", []string{"not a regular file"}},
	} {
		t.Run(name+" is refused with advice", func(t *testing.T) {
			s, err := Open(t.Context(), c.path)
			if s != nil {
				s.Close()
			}
			wantText(t, err, c.says...)
		})
	}
	t.Run("a database that was cut or overwritten is refused, or says so when read", func(t *testing.T) {
		path := filepath.Join(dir, "damaged")
		s := open(t, path)
		if err := importUsers(t.Context(), s, 300); err != nil {
			t.Fatal(err)
		}
		s.Close()
		good, _ := os.ReadFile(path)
		for name, bad := range map[string][]byte{
			"cut in the header": good[:50], "cut in the middle": good[:len(good)/2],
			"overwritten": append(append(append([]byte{}, good[:8192]...), make([]byte, 16384)...), good[8192+16384:]...),
		} {
			os.WriteFile(path, bad, 0o600)
			s, err := Open(t.Context(), path)
			if err == nil {
				err = s.Check(t.Context())
				s.Close()
			}
			t.Logf("%s: %v", name, err)
			if err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestOneDatabaseBelongsToOneProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	s := open(t, path)
	second := exec.Command(os.Args[0], "-test.run=^$")
	second.Env = append(os.Environ(), holdLock+"="+path)
	out, err := second.CombinedOutput()
	if err == nil {
		t.Fatal("a second process opened it")
	}
	wantText(t, errors.New(string(out)), "in use by process", fmt.Sprint(os.Getpid()), "stop it")
	s.Close()
	open(t, path) // free again
}

// Another program's write lock is waited for, and then named.
func TestLockedByAnotherProgram(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	s := open(t, path)
	other, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	conn, _ := other.Conn(t.Context())
	defer conn.Close()
	if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	begin := time.Now()
	err = s.Update(ctx, func(store.Writer) error { return nil })
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) > 3*time.Second {
		t.Errorf("%v after %v", err, time.Since(begin))
	}
	if _, _, err := s.FindUser(t.Context(), directory.Key{By: directory.ByUsername, A: "x"}); err != nil {
		t.Errorf("reading beside it: %v", err)
	}
	if !testing.Short() {
		wantText(t, s.Update(t.Context(), func(store.Writer) error { return nil }), "another program", "lock", "end it")
	}
	conn.ExecContext(t.Context(), "ROLLBACK")
	update(t, s, 1)
}

func update(t *testing.T, s *Store, n int) {
	t.Helper()
	err := s.Update(t.Context(), func(w store.Writer) error {
		return w.PutObject(t.Context(), &store.Object{Kind: "k", Name: "n", Body: fmt.Append(nil, n)})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func value(t *testing.T, s *Store) (n int) {
	t.Helper()
	err := s.View(t.Context(), func(r store.Reader) error {
		o, err := r.Object(t.Context(), "k", "n")
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err == nil {
			fmt.Sscan(string(o.Body), &n)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// MEASURES, "disk full": nothing changes, nothing is lost, and it goes on as soon
// as there is space. A function that swallows the error must not get half of its
// work committed, for SQLite has rolled the transaction back by then.
func TestDiskFull(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	s := open(t, path)
	if err := importUsers(t.Context(), s, 100); err != nil {
		t.Fatal(err)
	}
	limit := func(pages int) {
		l, err := s.writer.acquire(t.Context(), time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer s.writer.release(l, nil)
		if _, err := l.conn.ExecContext(t.Context(), fmt.Sprintf("PRAGMA max_page_count = %d", pages)); err != nil {
			t.Fatal(err)
		}
	}
	limit(1) // SQLite takes the present size
	for name, swallow := range map[string]bool{"reported": false, "swallowed": true} {
		err := s.Update(t.Context(), func(w store.Writer) error {
			for i := range 2000 {
				if err := w.PutUser(t.Context(), million(1000+i)); err != nil {
					if !swallow {
						return err
					}
				}
			}
			return nil
		})
		wantText(t, err, "disk is full", "nothing was changed")
		s.View(t.Context(), func(r store.Reader) error {
			if n, err := r.CountUsers(t.Context(), store.UserQuery{}); n != 100 || err != nil {
				t.Errorf("%s: %d users, %v", name, n, err)
			}
			return nil
		})
	}
	limit(1 << 30)
	if err := importUsers(t.Context(), s, 2000); err != nil {
		t.Errorf("with space again: %v", err)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestMigrations(t *testing.T) {
	step := func(list []migration, text string) []migration {
		dir := fstest.MapFS{}
		for _, m := range list {
			dir["migrations/"+m.name+".sql"] = &fstest.MapFile{Data: []byte(m.text)}
		}
		n := len(list) + 1
		dir[fmt.Sprintf("migrations/%03d_step%d.sql", n, n)] = &fstest.MapFile{Data: []byte(text)}
		list, err := migrations(dir)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	known, err := migrations(embedded)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "db")
	s := open(t, path)
	update(t, s, 7)
	t.Run("a new step is applied once, and data stay", func(t *testing.T) {
		two := step(known, "CREATE TABLE extra (x); INSERT INTO extra VALUES (1);")
		for range 3 {
			if err := s.migrateTo(t.Context(), two); err != nil {
				t.Fatal(err)
			}
		}
		if value(t, s) != 7 {
			t.Error("lost")
		}
	})
	t.Run("a step that fails leaves nothing of itself or the one before", func(t *testing.T) {
		two := step(known, "CREATE TABLE extra (x); INSERT INTO extra VALUES (1);")
		four := step(step(two, "CREATE TABLE third (x);"), "CREATE TABLE fourth (x); SELECT nonsense;")
		wantText(t, s.migrateTo(t.Context(), four), fmt.Sprintf("step%d", len(known)+3), "nonsense")
		if err := s.migrateTo(t.Context(), step(two, "CREATE TABLE third (x);")); err != nil {
			t.Errorf("the third was half there: %v", err)
		}
	})
	t.Run("a database of a newer version names both versions and what to do", func(t *testing.T) {
		s.Close()
		_, err := Open(t.Context(), path)
		wantText(t, err, fmt.Sprintf("schema version %d (%03d_step%d)", len(known)+2, len(known)+2, len(known)+2), fmt.Sprintf("up to %d (%s)", len(known), known[len(known)-1].name), "newer sallyport", "restore a backup")
	})
	t.Run("an edited step is refused", func(t *testing.T) {
		s := open(t, filepath.Join(t.TempDir(), "db"))
		edited := []migration{known[0]}
		edited[0].checksum = "0123456789abcdef"
		wantText(t, s.migrateTo(t.Context(), edited), "another edition", known[0].name, "0123456789ab")
	})
	t.Run("steps have numbers without gaps", func(t *testing.T) {
		for _, name := range []string{"migrations/002_x.sql", "migrations/x.sql", "migrations/01a_x.sql"} {
			if _, err := migrations(fstest.MapFS{name: {}}); err == nil {
				t.Errorf("%s", name)
			}
		}
	})
}

// What a lookup reads of the file is what the schema's indexes give: nothing is
// searched from end to end.
func TestQueriesUseIndexes(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "db"))
	yes := true
	texts := map[string]string{}
	for name, q := range map[string]store.UserQuery{"all": {}, "group": {Group: "g"}, "email": {Email: "e"}, "role and kind": {Role: "r", Kind: model.Person},
		"kind": {Kind: model.Person}, "active": {Active: &yes}, "username": {Username: "u", Group: "g"}} {
		q.After, q.Limit = "x", 10
		texts["page by "+name], _ = pageText(q)
	}
	texts["find"] = `SELECT u.doc FROM credentials c JOIN users u ON u.num = c.num WHERE c.kind = ? AND c.name = ? AND c.subject = ?`
	l, err := s.viewers.acquire(t.Context(), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer s.viewers.release(l, nil)
	for name, text := range texts {
		rows, err := l.conn.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+text, make([]any, strings.Count(text, "?"))...)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for rows.Next() {
			var id, parent, unused int
			var detail string
			rows.Scan(&id, &parent, &unused, &detail)
			if strings.Contains(detail, "TEMP B-TREE") || strings.HasPrefix(detail, "SCAN users") || strings.HasPrefix(detail, "SCAN u") || strings.HasPrefix(detail, "SCAN words") {
				t.Errorf("%s: %s", name, detail)
			}
		}
		rows.Close()
	}
}
