package storetest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/store"
)

func counter(n int) *store.Object {
	return &store.Object{Kind: store.KindMeta, Name: "counter", Body: []byte(strconv.Itoa(n))}
}

func count(ctx context.Context, r store.Reader) (int, error) {
	o, err := r.Object(ctx, store.KindMeta, "counter")
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(o.Body))
}

func isolation(t *testing.T, s store.Store) {
	ctx := t.Context()
	write := func(n int) {
		update(t, s, func(w store.Writer) error {
			if err := w.PutUser(ctx, record(name(n), name(n))); err != nil {
				return err
			}
			return w.PutObject(ctx, counter(n))
		})
	}
	write(1)
	view(t, s, func(r store.Reader) error {
		for n := 1; n < 4; n++ {
			got, err := count(ctx, r)
			users, err2 := r.CountUsers(ctx, store.UserQuery{})
			if got != 1 || users != 1 || err != nil || err2 != nil {
				t.Errorf("after %d changes: %d, %d users, %v %v", n, got, users, err, err2)
			}
			write(n + 1) // is not held up by the view, and does not show in it
			if u, err := s.UserByID(ctx, name(n+1)); err != nil || u == nil {
				t.Errorf("the directory does not see change %d: %v", n+1, err)
			}
		}
		return nil
	})
	view(t, s, func(r store.Reader) error {
		n, err := count(ctx, r)
		same(t, "afterwards", n, 4)
		return err
	})
}

func rollback(t *testing.T, s store.Store) {
	ctx := t.Context()
	put(t, s, record("u1", "alice", apiKey("a", "k1")))
	mine := errors.New("mine")
	err := s.Update(ctx, func(w store.Writer) error {
		changed := record("u1", "alicia")
		if err := errors.Join(w.PutUser(ctx, changed), w.PutUser(ctx, record("u2", "bob")), w.PutObject(ctx, counter(9)),
			w.AddRevision(ctx, &store.Revision{Time: at(0)})); err != nil {
			t.Error(err)
		}
		return mine
	})
	wantErr(t, "the function's error", err, mine)
	view(t, s, func(r store.Reader) error {
		n, err := count(ctx, r)
		rev, err2 := r.CurrentRevision(ctx)
		list, err3 := r.ListUsers(ctx, store.UserQuery{})
		same(t, "users", usernamesOf(list), []string{"alice"})
		if n != 0 || rev != 0 {
			t.Errorf("counter %d, revision %d", n, rev)
		}
		return errors.Join(err, err2, err3)
	})
	if u, _, err := s.FindUser(ctx, directory.Key{By: directory.ByKeyID, A: "k1"}); u == nil || err != nil {
		t.Errorf("the key is lost: %v", err)
	}
}

func panics(t *testing.T, s store.Store) {
	try := func(fn func()) {
		defer func() {
			if r := recover(); r != "boom" {
				t.Errorf("recovered %v", r)
			}
		}()
		fn()
	}
	for range 10 {
		try(func() {
			s.Update(t.Context(), func(w store.Writer) error {
				if err := w.PutObject(t.Context(), counter(1)); err != nil {
					t.Error(err)
				}
				panic("boom")
			})
		})
		try(func() { s.View(t.Context(), func(store.Reader) error { panic("boom") }) })
	}
	view(t, s, func(r store.Reader) error {
		n, err := count(t.Context(), r)
		same(t, "counter", n, 0)
		return err
	})
	update(t, s, func(w store.Writer) error { return w.PutObject(t.Context(), counter(2)) })
}

func escape(t *testing.T, s store.Store) {
	var w store.Writer
	var r store.Reader
	update(t, s, func(x store.Writer) error { w = x; return nil })
	view(t, s, func(x store.Reader) error { r = x; return nil })
	if err := w.PutObject(t.Context(), counter(1)); err == nil {
		t.Error("a writer wrote after its end")
	}
	if _, err := r.CountUsers(t.Context(), store.UserQuery{}); err == nil {
		t.Error("a reader read after its end")
	}
}

func contexts(t *testing.T, s store.Store) {
	over, cancel := context.WithCancel(t.Context())
	cancel()
	wantErr(t, "View", s.View(over, func(store.Reader) error { return nil }), context.Canceled)
	wantErr(t, "Update", s.Update(over, func(store.Writer) error { return nil }), context.Canceled)
	if _, _, err := s.FindUser(over, directory.Key{By: directory.ByKeyID, A: "x"}); !errors.Is(err, context.Canceled) {
		t.Errorf("FindUser: %v", err)
	}
	during, cancel := context.WithCancel(t.Context())
	err := s.Update(during, func(w store.Writer) error {
		if err := w.PutObject(during, counter(1)); err != nil {
			t.Error(err)
		}
		cancel()
		if err := w.PutObject(during, counter(2)); !errors.Is(err, context.Canceled) {
			t.Errorf("a write after the end: %v", err)
		}
		return nil
	})
	wantErr(t, "a swallowed end", err, context.Canceled)
	// Waiting for one's turn ends with the context too.
	update(t, s, func(store.Writer) error {
		short, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		begin := time.Now()
		err := s.Update(short, func(store.Writer) error { t.Error("two writers at once"); return nil })
		wantErr(t, "waiting", err, context.DeadlineExceeded)
		if d := time.Since(begin); d > 2*time.Second {
			t.Errorf("waited %v", d)
		}
		return nil
	})
	view(t, s, func(r store.Reader) error {
		n, err := count(t.Context(), r)
		same(t, "counter", n, 0)
		return err
	})
}

// writers lets fifty add one to a counter, and checks that the order in which
// they did agrees with the clock: whoever ended before another began has the
// lower number, and no number is given twice.
func writers(t *testing.T, s store.Store) {
	type operation struct {
		begin, end time.Time
		n          int
	}
	const each = 4
	results := make(chan operation, 50*each)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range each {
				op := operation{begin: time.Now()}
				err := s.Update(context.Background(), func(w store.Writer) error {
					n, err := count(context.Background(), w)
					op.n = n + 1
					if err != nil {
						return err
					}
					return w.PutObject(context.Background(), counter(op.n))
				})
				op.end = time.Now()
				if err != nil {
					t.Error(err)
				}
				results <- op
			}
		})
	}
	wg.Wait()
	close(results)
	byNumber := make([]*operation, 50*each+1)
	for op := range results {
		if op.n < 1 || op.n > 50*each || byNumber[op.n] != nil {
			t.Fatalf("number %d was given twice or not at all", op.n)
		}
		byNumber[op.n] = &op
	}
	var latestBegin time.Time
	for _, op := range byNumber[1:] {
		if op.begin.After(latestBegin) {
			latestBegin = op.begin
		}
		if op.end.Before(latestBegin) {
			t.Fatalf("number %d was acknowledged before a lower number's update began", op.n)
		}
	}
}

func lookups(t *testing.T, s store.Store) {
	put(t, s, record("u1", "alice", apiKey("a", "k1")))
	release := make(chan struct{})
	var ready, done sync.WaitGroup
	for range 20 { // more than there are connections
		done.Go(func() {
			s.View(context.Background(), func(store.Reader) error { <-release; return nil })
		})
	}
	ready.Add(1)
	done.Go(func() {
		s.Update(context.Background(), func(w store.Writer) error {
			err := w.PutUser(context.Background(), record("u2", "bob"))
			ready.Done()
			<-release
			return err
		})
	})
	ready.Wait()
	begin := time.Now()
	for i := range 200 {
		u, _, err := s.FindUser(t.Context(), directory.Key{By: directory.ByKeyID, A: "k1"})
		if err != nil || u == nil {
			t.Fatal(i, err)
		}
		if u, err := s.UserByID(t.Context(), "u2"); u != nil || err != nil {
			t.Fatal("an uncommitted user was seen", err)
		}
	}
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("400 lookups took %v", d)
	}
	close(release)
	done.Wait()
}

func closed(t *testing.T, s store.Store) {
	put(t, s, record("u1", "alice"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error("closing again: ", err)
	}
	_, _, err := s.FindUser(t.Context(), directory.Key{By: directory.ByUsername, A: "alice"})
	if err == nil {
		t.Error("a closed store answered that there is nobody")
	}
	for i, err := range []error{s.View(t.Context(), func(store.Reader) error { return nil }),
		s.Update(t.Context(), func(store.Writer) error { return nil })} {
		if err == nil {
			t.Error(fmt.Sprint("no error: ", i))
		}
	}
}
