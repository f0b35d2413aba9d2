//go:build e2e

package e2e

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "modernc.org/sqlite"
)

const keeping = everyone + `
identityProviders: [{name: idp, type: jwt, issuer: "https://idp.example.com", audiences: [api], keyFile: keys.pem, roles: [writer]}]
`

const carol = "  - {username: carol, roles: [writer], credentials: [{type: password, password: carols-password}]}\n"

// kept is a gateway with users that it has met, and others that it has not.
func kept(t *testing.T, boot string) (*gateway, *issuer, *ledger, string) {
	t.Helper()
	b, is, dir := newLedger(t, nil), newIssuer(t, "https://idp.example.com", "k1"), t.TempDir()
	write(t, filepath.Join(dir, "keys.pem"), is.pem(t))
	document := strings.Replace(keeping, "users:\n", "users:\n"+carol, 1)
	g := start(t, options{dir: dir, resources: withBackend(document, b.URL), boot: boot})
	var c struct{ Secret string }
	g.must(t, 201, "POST", "/v2/users/alice/credentials", `{"type":"apiKey"}`).into(t, &c)
	meet(t, g, is, c.Secret)
	return g, is, b, c.Secret
}

// meet has all users but carol come in.
func meet(t *testing.T, g *gateway, is *issuer, key string) {
	t.Helper()
	for what, as := range map[string]mod{"alice": user("alice"), "bob": user("bob"), "a key": header("X-API-Key", key), "a token": bearer(is.token("tom", nil))} {
		g.call(t, "GET", "/api", "", as).expect(t, what, 200, "")
	}
}

// held takes SQLite's own locks on the database, as another program would, so that
// neither reading nor writing is possible.
func held(t testing.TB, g *gateway) (release func()) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(g.dir, "data", "sallyport.db-shm"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	// https://www.sqlite.org/walformat.html, 2.2.2: bytes 120 to 127 are the locks
	// of writer, checkpointer, recoverer and the five readers.
	l := syscall.Flock_t{Type: syscall.F_WRLCK, Start: 120, Len: 8}
	until(t, 10*time.Second, "the locks are ours", func() bool {
		return syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &l) == nil
	})
	return func() { _ = f.Close() }
}

// TestKnownUsersPassWhileTheStoreIsAway locks the database under the gateway.
func TestKnownUsersPassWhileTheStoreIsAway(t *testing.T) {
	seeded(t)
	g, is, _, key := kept(t, "")
	for round := range counts(1, 5) {
		release := held(t, g)
		var known, unknown tally
		var over atomic.Bool
		var c crew
		c.work(3, func(w, i int) {
			as := []mod{user("alice"), user("bob"), header("X-API-Key", key), bearer(is.token("tom", map[string]any{"jti": fmt.Sprint(w, ".", i)}))}[i%4]
			begin := time.Now()
			a, err := exchange(g.client, "GET", g.url("/api"), "", as)
			known.note(a, err, time.Since(begin))
		})
		c.work(2, func(w, i int) {
			// Who is new comes in once the store is back, and is not new in the next round.
			as := []mod{user("carol"), user("mallory"), header("X-API-Key", key[:len(key)-12]+"AAAAAAAAAAAA"), bearer(is.token(fmt.Sprint("new-", round), nil)), basic("carol", "wrong")}[i%5]
			begin, before := time.Now(), over.Load()
			a, err := exchange(g.client, "GET", g.url("/api"), "", as)
			if before || over.Load() {
				return
			}
			if i%5 == 2 && err == nil && a.status == 401 { // a checksum that is wrong needs no store
				return
			}
			unknown.note(a, err, time.Since(begin))
			if err == nil && a.status == 503 && a.code() != "identity_unavailable" {
				t.Errorf("an unknown user: %s", a.body)
			}
		})
		changed := make(chan *answer, 1)
		go func() { changed <- g.api(t, "PUT", "/v2/roles/lost", `{"name":"lost","permissions":[]}`) }()
		time.Sleep(time.Duration(counts(3, 120)) * time.Second)
		over.Store(true)
		release()
		begin := time.Now()
		until(t, 20*time.Second, "an unknown user is known", func() bool { return g.get(t, "carol", "/api").status == 200 })
		until(t, 20*time.Second, "changes are made", func() bool {
			return g.api(t, "PATCH", "/v2/users/carol", fmt.Sprintf(`{"displayName":"%d"}`, round)).status == 200
		})
		within(t, "being as before once the store was back", time.Since(begin), time.Second)
		c.end()
		known.only(t, "known users", 200)
		unknown.only(t, "unknown users", 503)
		t.Logf("known: %v; unknown: %v", &known, &unknown)
		within(t, "telling an unknown user", percentile(unknown.times, 1), 5*time.Second)
		g.get(t, "mallory", "/api").expect(t, "nobody", 401, "credential_invalid")
		change := <-changed // refused, or made once it could be
		if there := g.api(t, "GET", "/v2/roles/lost", "").status; change.status/100 == 4 || (change.status/100 == 2) != (there == 200) {
			t.Errorf("a change without a store: %d %s; afterwards the object is %d", change.status, change.body, there)
		}
		g.api(t, "DELETE", "/v2/roles/lost", "")
		g.must(t, 204, "DELETE", "/v2/users/carol", "") // to be unknown in the next round
		g.must(t, 201, "POST", "/v2/users", `{"username":"carol","roles":["writer"],"credentials":[{"type":"password","password":"carols-password"}]}`)
	}
}

// TestAWriterElsewhereHoldsUpChangesAndNothingElse has another program hold a
// transaction open.
func TestAWriterElsewhereHoldsUpChangesAndNothingElse(t *testing.T) {
	seeded(t)
	g, _, _, _ := kept(t, "")
	db, err := sql.Open("sqlite", "file:"+filepath.Join(g.dir, "data", "sallyport.db")+"?_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	a := g.api(t, "PUT", "/v2/roles/late", `{"name":"late","permissions":[]}`)
	if a.status/100 != 5 || !strings.Contains(g.log.String(), "another program") {
		t.Errorf("a change: %d %s", a.status, a.body)
	}
	within(t, "refusing a change", time.Since(begin), 6*time.Second)
	for _, name := range []string{"alice", "carol"} {
		g.get(t, name, "/api").expect(t, name, 200, "")
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	g.must(t, 201, "PUT", "/v2/roles/late", `{"name":"late","permissions":[]}`)
}

// TestADatabaseThatIsMovedAwayLosesNoChange moves the files and brings them back.
func TestADatabaseThatIsMovedAwayLosesNoChange(t *testing.T) {
	seeded(t)
	g, _, _, _ := kept(t, "")
	data, aside := filepath.Join(g.dir, "data"), t.TempDir()
	move := func(from, to string) {
		for _, name := range []string{"sallyport.db", "sallyport.db-wal", "sallyport.db-shm"} {
			if err := os.Rename(filepath.Join(from, name), filepath.Join(to, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
		}
	}
	move(data, aside)
	acknowledged := g.api(t, "PATCH", "/v2/users/bob", `{"displayName":"while away"}`).status == 200
	for _, name := range []string{"alice", "bob"} {
		g.get(t, name, "/api").expect(t, name, 200, "")
	}
	if a := g.get(t, "carol", "/api"); a.status != 200 && a.status != 503 {
		t.Errorf("an unknown user: %d %s", a.status, a.code())
	}
	move(aside, data)
	until(t, 5*time.Second, "all is as before", func() bool { return g.get(t, "carol", "/api").status == 200 })
	g.kill()
	g.again(t)
	var u struct{ DisplayName string }
	g.must(t, 200, "GET", "/v2/users/bob", "").into(t, &u)
	if (u.DisplayName == "while away") != acknowledged {
		t.Errorf("acknowledged = %v, and the name is %q", acknowledged, u.DisplayName)
	}
}

// TestAStartWithoutTheStoreServesWhatIsKnown starts from the last-good snapshot, in
// each of the ways in which a database can be out of reach.
func TestAStartWithoutTheStoreServesWhatIsKnown(t *testing.T) {
	for _, way := range []struct {
		name string
		away func(t *testing.T, db string) (back func())
	}{
		{"another process holds the database", func(t *testing.T, db string) func() {
			f, err := os.OpenFile(db+".lock", os.O_RDWR|os.O_CREATE, 0o600)
			if err == nil {
				err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
			}
			if err != nil {
				t.Fatal(err)
			}
			return func() { _ = f.Close() }
		}},
		{"the database is garbage", func(t *testing.T, db string) func() {
			good, err := os.ReadFile(db)
			if err == nil {
				err = os.WriteFile(db, bytes.Repeat([]byte("garbage!"), 4096), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			return func() { write(t, db, string(good)) }
		}},
		{"a folder is in its place", func(t *testing.T, db string) func() {
			if err := errors.Join(os.Rename(db, db+".aside"), os.Mkdir(db, 0o700)); err != nil {
				t.Fatal(err)
			}
			return func() {
				if err := errors.Join(os.Remove(db), os.Rename(db+".aside", db)); err != nil {
					t.Fatal(err)
				}
			}
		}},
	} {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			seeded(t)
			g, is, _, key := kept(t, "")
			g.stop(t)
			g.again(t) // carol was met when she was made; this one has not
			meet(t, g, is, key)
			g.stop(t)
			back := way.away(t, filepath.Join(g.dir, "data", "sallyport.db"))
			within(t, "starting without the store", g.again(t), 3*time.Second)
			for what, as := range map[string]mod{"alice": user("alice"), "bob": user("bob"), "a key": header("X-API-Key", key), "a token": bearer(is.token("tom", nil))} {
				g.call(t, "GET", "/api", "", as).expect(t, "without the store, "+what, 200, "")
			}
			g.call(t, "POST", "/api", "", user("bob")).expect(t, "without the store, one who may not", 403, "permission_denied")
			for what, as := range map[string]mod{"carol": user("carol"), "nobody": user("mallory"), "a new token": bearer(is.token("new", nil))} {
				g.call(t, "GET", "/api", "", as).expect(t, "without the store, "+what, 503, "identity_unavailable")
			}
			if a := g.api(t, "GET", "/v2/users", ""); a.status/100 != 5 {
				t.Errorf("the admin API without a store: %d %s", a.status, a.body)
			}
			back()
			begin := time.Now()
			until(t, 20*time.Second, "unknown users are known and changes made", func() bool {
				return g.get(t, "carol", "/api").status == 200 && g.api(t, "PATCH", "/v2/users/carol", `{"displayName":"c"}`).status == 200
			})
			within(t, "being as before once the store was there", time.Since(begin), 1200*time.Millisecond) // it is asked once a second
			g.get(t, "mallory", "/api").expect(t, "nobody", 401, "credential_invalid")
			if !strings.Contains(g.log.String(), "last good") {
				t.Error("the log does not say that the last good configuration is served")
			}
		})
	}
}

// TestWhoLeftIsNotBroughtBackByAStartWithoutTheStore kills the gateway right after
// it has acknowledged that a user leaves.
func TestWhoLeftIsNotBroughtBackByAStartWithoutTheStore(t *testing.T) {
	seeded(t)
	g, _, _, key := kept(t, "")
	time.Sleep(1500 * time.Millisecond) // the snapshot knows all of them
	g.must(t, 200, "PATCH", "/v2/users/bob", `{"active":false}`)
	var list struct{ Items []struct{ ID, Type string } }
	g.must(t, 200, "GET", "/v2/users/alice/credentials", "").into(t, &list)
	for _, c := range list.Items {
		if c.Type == "apiKey" {
			g.must(t, 204, "DELETE", "/v2/users/alice/credentials/"+c.ID, "")
		}
	}
	g.kill()
	db := filepath.Join(g.dir, "data", "sallyport.db")
	if err := errors.Join(os.Rename(db, db+".aside"), os.Mkdir(db, 0o700)); err != nil {
		t.Fatal(err)
	}
	g.again(t)
	for what, as := range map[string]mod{"a user that was deactivated": user("bob"), "a key that was deleted": header("X-API-Key", key)} {
		if a := g.call(t, "GET", "/api", "", as); a.status != 401 && a.status != 503 {
			t.Errorf("%s before the kill: %d", what, a.status)
		}
	}
}

// TestWhatIsStaleIsNotServed starts without the store again and again: what was
// heard of it last does not get younger by that.
func TestWhatIsStaleIsNotServed(t *testing.T) {
	t.Parallel()
	seeded(t)
	g, _, _, _ := kept(t, "maxStale: 4s\n")
	g.stop(t)
	heard := time.Now()
	db := filepath.Join(g.dir, "data", "sallyport.db")
	if err := errors.Join(os.Rename(db, db+".aside"), os.Mkdir(db, 0o700)); err != nil {
		t.Fatal(err)
	}
	g.again(t)
	if time.Since(heard) < 3*time.Second {
		g.get(t, "alice", "/api").expect(t, "within maxStale", 200, "")
	}
	g.stop(t)
	time.Sleep(time.Until(heard.Add(4500 * time.Millisecond)))
	g.hangUp()
	g.run(t)
	time.Sleep(500 * time.Millisecond)
	if g.running() {
		if a, err := exchange(g.client, "GET", g.url("/api"), "", user("alice")); err == nil && a.status == 200 {
			t.Errorf("a request is served %v after the store was heard of, with maxStale 4s", time.Since(heard).Round(100*time.Millisecond))
		}
	} else if s := g.log.String(); !strings.Contains(s, "maxStale") {
		t.Errorf("the end does not name maxStale: %s", s)
	}
}

// TestADatabaseOfANewerVersionIsLeftAlone says so, and changes nothing.
func TestADatabaseOfANewerVersionIsLeftAlone(t *testing.T) {
	seeded(t)
	g, _, _, _ := kept(t, "")
	g.stop(t)
	path := filepath.Join(g.dir, "data", "sallyport.db")
	db, err := sql.Open("sqlite", path)
	if err == nil {
		_, err = db.Exec(`INSERT INTO migrations (number, name, checksum, applied) VALUES (999, '999_tomorrow', 'x', 0)`)
	}
	if err == nil {
		err = db.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	before := read(t, path)
	out, code := runProgram(t, 20*time.Second, nil, binary(t), "run", "-c", g.bootFile)
	if code != 1 || !strings.Contains(out, "999_tomorrow") || !strings.Contains(out, "newer") {
		t.Errorf("exit %d: %s", code, out)
	}
	if read(t, path) != before {
		t.Error("the database was changed")
	}
}
