package session

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
	"github.com/sallyport/sallyport/internal/store/sqlite"
)

// desk is a book over a real store, with a clock that the test turns.
type desk struct {
	*Book
	t     *testing.T
	store store.Store
	now   time.Time
	set   model.Sessions
	ended []string
	asked []string
	mu    sync.Mutex
}

var key = []byte("0123456789abcdef0123456789abcdef")

func open(t *testing.T) *desk {
	t.Helper()
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	d := &desk{t: t, store: s, now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}
	d.set.Defaults()
	d.reopen()
	return d
}

// reopen is a restart: what was in memory is gone.
func (d *desk) reopen() {
	b, err := New(Options{Store: d.store, Key: key, Settings: func() model.Sessions { return d.set }, Now: func() time.Time { return d.now },
		Ended: func(_, id string) { d.ended = append(d.ended, id) },
		Refresh: func(ctx context.Context, r *store.SessionRecord) {
			d.mu.Lock()
			d.asked = append(d.asked, r.ID+" "+string(r.Sealed))
			d.mu.Unlock()
		}})
	if err != nil {
		d.t.Fatal(err)
	}
	d.Book = b
}

func (d *desk) begin(user string, change func(*Login)) (cookie string, s *directory.Session) {
	d.t.Helper()
	l := &Login{User: &model.User{ID: user, Username: "name of " + user}, Credential: "c1", Provider: "corp", Method: "oidc", Subject: "sub-" + user,
		SID: "sid-" + user, Claims: map[string]any{"sub": "sub-" + user}, Keep: []byte("refresh token"), ClientIP: "192.0.2.1", UserAgent: strings.Repeat("a", 1000)}
	if change != nil {
		change(l)
	}
	cookie, s, err := d.Begin(d.t.Context(), l)
	if err != nil {
		d.t.Fatal(err)
	}
	return cookie, s
}

func (d *desk) runs(cookie string) bool {
	d.t.Helper()
	s, err := d.Find(d.t.Context(), cookie, d.now)
	if err != nil {
		d.t.Fatal(err)
	}
	return s != nil
}

func TestASessionIsFoundByItsCookieAlone(t *testing.T) {
	d := open(t)
	cookie, s := d.begin("u1", nil)
	if len(cookie) >= 200 || strings.Contains(cookie, s.ID) {
		t.Errorf("cookie %q, id %q", cookie, s.ID)
	}
	for _, again := range []bool{false, true} {
		if again {
			d.reopen()
		}
		got, err := d.Find(t.Context(), cookie, d.now)
		if err != nil || got == nil || got.UserID != "u1" || got.Claims["sub"] != "sub-u1" || got.Provider != "corp" {
			t.Fatalf("restart %v: %+v %v", again, got, err)
		}
		for _, wrong := range []string{"", "x", cookie[:len(cookie)-1], cookie + "A", strings.ToLower(cookie), s.ID, strings.Repeat("A", len(cookie))} {
			if wrong != cookie && d.runs(wrong) {
				t.Errorf("found by %q", wrong)
			}
		}
	}
	second, _ := d.begin("u1", nil)
	if second == cookie {
		t.Error("two logins with one cookie")
	}
}

func TestTheStoreHoldsNeitherCookieNorTokens(t *testing.T) {
	d := open(t)
	cookie, s := d.begin("u1", nil)
	_ = d.store.View(t.Context(), func(r store.Reader) error {
		list, err := r.ListSessions(t.Context(), store.SessionQuery{})
		if err != nil || len(list) != 1 {
			t.Fatalf("%v %v", list, err)
		}
		all := string(list[0].Hash) + string(list[0].Sealed) + string(list[0].Claims) + list[0].ID
		if strings.Contains(all, cookie) || strings.Contains(all, "refresh token") || len(list[0].UserAgent) > 256 {
			t.Error("in the clear")
		}
		return nil
	})
	if _, keep, err := d.Record(t.Context(), s.ID); err != nil || string(keep) != "refresh token" {
		t.Errorf("%q %v", keep, err)
	}
	// CVE-2021-32791: what was sealed for one opens under no other name, and no two seals are alike.
	a, b := d.seal.close("one", []byte("x")), d.seal.close("one", []byte("x"))
	if cmp.Equal(a, b) {
		t.Error("two seals are alike")
	}
	if _, err := d.seal.open("two", a); err == nil {
		t.Error("opened under another name")
	}
}

func TestASessionEndsByItself(t *testing.T) {
	d := open(t)
	cookie, s := d.begin("u1", nil)
	for range 10 {
		d.now = d.now.Add(14 * time.Minute)
		if !d.runs(cookie) {
			t.Fatal("ended while it was used")
		}
		s.Use(d.now)
	}
	d.now = d.now.Add(15*time.Minute + time.Second)
	if d.runs(cookie) {
		t.Error("runs after it was left alone")
	}
	cookie, s = d.begin("u1", nil)
	for range 60 {
		d.now = d.now.Add(10 * time.Minute)
		s.Use(d.now)
	}
	if d.runs(cookie) {
		t.Error("runs for longer than absolute")
	}
	early, _ := d.begin("u1", func(l *Login) { l.Expires = d.now.Add(time.Minute) })
	d.now = d.now.Add(time.Minute)
	if d.runs(early) {
		t.Error("runs for longer than the provider says")
	}
	d.Sweep(t.Context())
	if list, _ := d.List(t.Context(), Which{}, "", 0); len(list) != 0 {
		t.Errorf("listed: %v", list)
	}
	d.reopen()
	if d.runs(early) {
		t.Error("back after a restart")
	}
}

func TestAShorterIdleTimeIsFeltByRunningSessions(t *testing.T) {
	d := open(t)
	cookie, _ := d.begin("u1", nil)
	d.set.Idle = model.Duration(time.Minute)
	d.Retune()
	d.now = d.now.Add(2 * time.Minute)
	if d.runs(cookie) {
		t.Error("runs on under the old time")
	}
}

func TestAnEndIsFeltAtOnceAndForGood(t *testing.T) {
	for name, w := range map[string]Which{"by name": {}, "by user": {UserID: "u1"}, "by the provider's name of it": {Provider: "corp", SID: "sid-u1"},
		"by subject": {Provider: "corp", Subject: "sub-u1"}} {
		t.Run(name, func(t *testing.T) {
			d := open(t)
			cookie, s := d.begin("u1", nil)
			other, _ := d.begin("u2", nil)
			if w == (Which{}) {
				w = Which{ID: s.ID}
			}
			if n, err := d.End(t.Context(), w); n != 1 || err != nil {
				t.Fatalf("%d %v", n, err)
			}
			if d.runs(cookie) || s.Runs(d.now) || !d.runs(other) {
				t.Error("the wrong one ended")
			}
			if diff := cmp.Diff([]string{s.ID}, d.ended); diff != "" {
				t.Error(diff)
			}
			d.reopen()
			if d.runs(cookie) || !d.runs(other) {
				t.Error("a restart brings it back")
			}
			d.Flush(t.Context())
			if n, _ := d.End(t.Context(), w); n != 0 {
				t.Error("ended twice")
			}
		})
	}
	// Several conditions must all hold.
	d := open(t)
	mine, s := d.begin("u1", nil)
	twin, _ := d.begin("u1", func(l *Login) { l.SID = "another" })
	for _, w := range []Which{{ID: s.ID, UserID: "u2"}, {UserID: "u1", SID: "nobody's"}, {UserID: "u1", Provider: "other", SID: "sid-u1"}} {
		if n, err := d.End(t.Context(), w); n != 0 || err != nil || !d.runs(mine) || !d.runs(twin) {
			t.Errorf("%+v ended %d (%v)", w, n, err)
		}
	}
	if n, err := d.End(t.Context(), Which{UserID: "u1", Provider: "corp", SID: "sid-u1"}); n != 1 || err != nil || d.runs(mine) || !d.runs(twin) {
		t.Errorf("ended %d (%v)", n, err)
	}
	if _, err := open(t).End(t.Context(), Which{}); err == nil {
		t.Error("all sessions ended by a slip")
	}
}

// A store that is away: sessions in memory go on, others cannot be told, and none
// is called a stale one (authentik #18063).
func TestWithoutTheStoreKnownSessionsRunAndOthersAreUnknown(t *testing.T) {
	d := open(t)
	known, _ := d.begin("u1", nil)
	other, _ := d.begin("u2", nil)
	d.reopen()
	if !d.runs(known) {
		t.Fatal("not there")
	}
	d.store.Close()
	if !d.runs(known) {
		t.Error("a known session fails")
	}
	if s, err := d.Find(t.Context(), other, d.now); err == nil || s != nil {
		t.Errorf("%v %v", s, err)
	}
	if _, _, err := d.Begin(t.Context(), &Login{User: &model.User{ID: "u3"}}); !unavailableIs(err) {
		t.Errorf("begun without the store: %v", err)
	}
	if _, err := d.End(t.Context(), Which{UserID: "u1"}); !unavailableIs(err) || d.runs(known) {
		t.Errorf("an end without the store: %v", err)
	}
	d.Sweep(t.Context()) // fails too, and must not bring it back
	if d.runs(known) {
		t.Error("ended, and runs again")
	}
}

// hanging is a store that does not come back from reading, and heeds nobody: SQLite
// under another program's locks.
type hanging struct {
	store.Store
	release chan struct{}
}

func (h hanging) View(context.Context, func(store.Reader) error) error {
	<-h.release
	panic("nobody listens any more")
}

// authentik CVE-2026-25748: what cannot be looked up in time is not known, and nobody
// waits for it; a made-up cookie asks nobody.
func TestAStoreThatHangsIsNotWaitedFor(t *testing.T) {
	d := open(t)
	cookie, s := d.begin("u1", nil)
	h := hanging{d.store, make(chan struct{})}
	b, err := New(Options{Store: h, Key: key, Settings: func() model.Sessions { return d.set }, Now: func() time.Time { return d.now }, Patience: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if s, err := b.Find(t.Context(), cookie, d.now); s != nil || err == nil || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v %v", s, err)
	}
	if _, err := b.List(t.Context(), Which{UserID: "u1"}, "", 10); !unavailableIs(err) {
		t.Errorf("a list: %v", err)
	}
	if r, _, err := b.Record(t.Context(), s.ID); r != nil || err == nil {
		t.Errorf("a record: %v %v", r, err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Find(gone, cookie, d.now); !errors.Is(err, context.Canceled) {
		t.Errorf("whoever asked has gone: %v", err)
	}
	for _, made := range []string{"", "x", cookie[:len(cookie)-1], flip(cookie), strings.Repeat("A", len(cookie))} {
		if s, err := b.Find(t.Context(), made, d.now); s != nil || err != nil {
			t.Errorf("%q: %v %v", made, s, err)
		}
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	close(h.release) // and a store that breaks takes nobody with it
}

func flip(s string) string {
	b := []byte(s)
	b[len(b)/2] ^= 1
	return string(b)
}

func unavailableIs(err error) bool {
	var e *model.Error
	return errors.As(err, &e) && e.Code == model.IdentityUnavailable
}

func TestLastUsesReachTheStore(t *testing.T) {
	d := open(t)
	cookie, s := d.begin("u1", nil)
	d.now = d.now.Add(10 * time.Minute)
	s.Use(d.now)
	d.Flush(t.Context())
	d.reopen()
	d.now = d.now.Add(10 * time.Minute)
	if !d.runs(cookie) {
		t.Error("the last use was forgotten")
	}
	list, err := d.List(t.Context(), Which{UserID: "u1"}, "", 10)
	if err != nil || len(list) != 1 || !list[0].LastSeenAt.Equal(d.now.Add(-10*time.Minute)) {
		t.Errorf("%+v %v", list, err)
	}
}

func TestMemoryIsBoundedAndForgetsNobody(t *testing.T) {
	d := open(t)
	d.o.Entries = 32
	var cookies []string
	for range 100 {
		c, _ := d.begin("u1", nil)
		cookies = append(cookies, c)
	}
	if n := len(d.known); n > 64 {
		t.Errorf("%d in memory", n)
	}
	for _, c := range cookies {
		if !d.runs(c) {
			t.Fatal("forgotten")
		}
	}
}

// oauth2-proxy #1992, #1006, #1384: several requests refresh one session at once, and the
// provider, which takes a refresh token once, ends it.
func TestAProviderIsAskedAgainOncePerSession(t *testing.T) {
	d := open(t)
	cookie, s := d.begin("u1", func(l *Login) { l.Refresh = d.now.Add(time.Minute) })
	_, idle := d.begin("u2", func(l *Login) { l.Refresh = d.now.Add(time.Minute) })
	d.now = d.now.Add(2 * time.Minute)
	s.Use(d.now)
	_ = idle // was not used: nobody waits for its claims
	slots := make(chan struct{}, 4)
	for range 3 {
		d.refreshDue(t.Context(), slots)
	}
	d.done.Wait()
	if diff := cmp.Diff([]string{s.ID + " refresh token"}, d.asked); diff != "" {
		t.Error(diff)
	}
	r, keep, err := d.Record(t.Context(), s.ID)
	if err != nil {
		t.Fatal(err)
	}
	r.Sealed, r.Refresh = append(keep, " two"...), d.now.Add(time.Minute)
	if err := d.Renew(t.Context(), r, map[string]any{"sub": "sub-u1", "groups": "new"}); err != nil {
		t.Fatal(err)
	}
	if s.Runs(d.now) {
		t.Error("the old claims are still in use")
	}
	fresh, _ := d.Find(t.Context(), cookie, d.now)
	if fresh == nil || fresh.Claims["groups"] != "new" || !fresh.Seen().Equal(d.now) {
		t.Errorf("%+v", fresh)
	}
	if _, keep, _ := d.Record(t.Context(), s.ID); string(keep) != "refresh token two" {
		t.Errorf("%q", keep)
	}
	// One that was ended meanwhile does not come back by it.
	if _, err := d.End(t.Context(), Which{ID: s.ID}); err != nil {
		t.Fatal(err)
	}
	if err := d.Renew(t.Context(), r, nil); err != nil || d.runs(cookie) {
		t.Errorf("back after its end: %v", err)
	}
}
