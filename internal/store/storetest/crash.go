package storetest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/store"
)

// Environment of the crash tests: the child's store, how often to crash, and the
// seed of an earlier run.
const (
	crashPath   = "SALLYPORT_CRASH_STORE"
	crashRounds = "SALLYPORT_CRASH_ROUNDS"
	crashSeed   = "SALLYPORT_CRASH_SEED"
	crashAfter  = "SALLYPORT_CRASH_CHANGES" // the child ends by itself after so many
)

// people is among how many users the child's changes go round.
const people = 40

// CrashChild is called first thing in the TestMain of a store's tests: in a child
// of Crash it writes until it is killed, and does not return.
func CrashChild(open func(ctx context.Context, path string) (store.Store, error)) {
	path := os.Getenv(crashPath)
	if path == "" {
		return
	}
	ctx := context.Background()
	s, err := open(ctx, path)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	most, _ := strconv.ParseInt(os.Getenv(crashAfter), 10, 64)
	for n := int64(0); most == 0 || n < most; {
		err := s.Update(ctx, func(w store.Writer) error {
			current, err := w.CurrentRevision(ctx)
			if err != nil {
				return err
			}
			n = current + 1
			return change(ctx, w, n)
		})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(n) // acknowledged: one write, unbuffered
	}
	os.Exit(0)
}

// ChildEnv is the environment of a child that makes so many changes (0 = until
// it is killed) to the store at path.
func ChildEnv(path string, changes int) []string {
	return append(os.Environ(), crashPath+"="+path, crashAfter+"="+strconv.Itoa(changes))
}

// Rounds is how often a test shall crash its store, n where nobody asks for
// another number, and the seed of its moments, which it logs.
func Rounds(t *testing.T, n int) (rounds int, random *rand.Rand) {
	rounds = n
	seed := uint64(time.Now().UnixNano())
	if testing.Short() {
		rounds = (n + 2) / 3
	}
	if n, err := strconv.Atoi(os.Getenv(crashRounds)); err == nil {
		rounds = n
	}
	if n, err := strconv.ParseUint(os.Getenv(crashSeed), 10, 64); err == nil {
		seed = n
	}
	t.Logf("%s=%d %s=%d", crashSeed, seed, crashRounds, rounds)
	return rounds, rand.New(rand.NewPCG(seed, 0))
}

// change is revision n: everything it writes says n, so that half of it shows.
func change(ctx context.Context, w store.Writer, n int64) error {
	body := []byte(strconv.FormatInt(n, 10))
	pad := append(append(body, ' '), strings.Repeat("x", int(n*7919%20_000))...)
	for _, name := range []string{"a", "b", "c"} {
		if err := w.PutObject(ctx, &store.Object{Kind: store.KindRoutes, Name: name, Body: pad, Revision: n, Updated: at(n)}); err != nil {
			return err
		}
	}
	id := "u" + strconv.FormatInt(n%people, 10)
	if n%11 == 0 {
		if err := w.DeleteUser(ctx, id); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	} else {
		key := "k" + strconv.FormatInt(n, 10)
		r := record(id, "name"+strconv.FormatInt(n, 10), apiKey(key, key))
		r.User.Groups, r.Revision = []string{"group" + string(body)}, n
		if err := w.PutUser(ctx, r); err != nil {
			return err
		}
	}
	return w.AddRevision(ctx, &store.Revision{Number: n, Time: at(n), Actor: string(body), Restore: pad})
}

// Crash kills a writing process at random moments, many times over on one store,
// and checks each time that what it had acknowledged is there, whole, and nothing
// half. kill -9 leaves the page cache to the kernel, so it says nothing of syncs.
func Crash(t *testing.T, path string, open func(ctx context.Context, path string) (store.Store, error)) {
	rounds, random := Rounds(t, 8)
	var acknowledged int64
	var slowest time.Duration
	for round := range rounds {
		acknowledged = max(acknowledged, kill(t, path, time.Duration(random.Int64N(int64(120*time.Millisecond)))))
		begin := time.Now()
		s, err := open(t.Context(), path)
		if err != nil {
			t.Fatalf("round %d: after the kill: %v", round, err)
		}
		Whole(t, s, acknowledged)
		slowest = max(slowest, time.Since(begin))
		if c, ok := s.(checker); ok {
			if err := c.Check(t.Context()); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
	t.Logf("%d changes acknowledged, none lost; open and read again in at most %v", acknowledged, slowest)
	if acknowledged == 0 {
		t.Error("no change was ever acknowledged")
	}
}

// kill runs a child and ends it after a while, counted from its first
// acknowledgement; it answers the last one.
func kill(t *testing.T, path string, after time.Duration) int64 {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = ChildEnv(path, 0)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var meant atomic.Bool
	end := func() { meant.Store(true); cmd.Process.Kill() }
	stuck := time.AfterFunc(time.Minute, end)
	defer stuck.Stop()
	var last int64
	lines := bufio.NewScanner(out)
	for lines.Scan() { // what is in the pipe was acknowledged, though it be read late
		n, err := strconv.ParseInt(lines.Text(), 10, 64)
		if err != nil {
			t.Fatalf("the child said %q", lines.Text())
		}
		if last == 0 {
			time.AfterFunc(after, end)
		}
		last = n
	}
	err = cmd.Wait()
	if !meant.Load() {
		t.Fatalf("the child ended by itself: %v", err)
	}
	return last
}

// Whole checks that the store that a child wrote is at one revision, not before
// the acknowledged one.
func Whole(t *testing.T, s store.Store, acknowledged int64) {
	t.Helper()
	view(t, s, func(r store.Reader) error {
		ctx := t.Context()
		n, err := r.CurrentRevision(ctx)
		if err != nil {
			return err
		}
		if n < acknowledged {
			t.Fatalf("revision %d was acknowledged, and the store is at %d", acknowledged, n)
		}
		if n == 0 {
			return nil
		}
		rev, err := r.Revision(ctx, n)
		if err != nil {
			return err
		}
		list, err := r.ListObjects(ctx, store.KindRoutes)
		if err != nil {
			return err
		}
		for _, o := range list {
			if o.Revision != n || string(o.Body) != string(rev.Restore) {
				t.Fatalf("revision %d is half there: %s is of %d", n, o.Name, o.Revision)
			}
		}
		if len(list) != 3 || rev.Actor != strconv.FormatInt(n, 10) {
			t.Fatalf("revision %d is half there: %d objects, actor %s", n, len(list), rev.Actor)
		}
		return everyone(ctx, t, r, n)
	})
}

// everyone checks each user against the last change that touched it, and all
// that leads to it.
func everyone(ctx context.Context, t *testing.T, r store.Reader, n int64) error {
	t.Helper()
	for i := range min(people, n) {
		last := n - i
		id := "u" + strconv.FormatInt(last%people, 10)
		u, err := r.UserRecordByID(ctx, id)
		if last%11 == 0 {
			wantErr(t, "a user whom revision "+strconv.FormatInt(last, 10)+" deleted", err, store.ErrNotFound)
			continue
		}
		if err != nil {
			t.Fatalf("%s, of revision %d: %v", id, last, err)
		}
		text := strconv.FormatInt(last, 10)
		found, _, err := r.Find(ctx, directory.Key{By: directory.ByKeyID, A: "k" + text})
		if err != nil || found.User.ID != id || u.Revision != last || u.User.Username != "name"+text {
			t.Fatalf("%s is of revision %d, not %d; by its key: %v", id, u.Revision, last, err)
		}
		members, err := r.CountUsers(ctx, store.UserQuery{Group: "group" + text})
		if err != nil || members != 1 {
			t.Fatalf("%s: %d members of its group, %v", id, members, err)
		}
	}
	return nil
}
