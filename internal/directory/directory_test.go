package directory

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/sallyport/sallyport/internal/model"
)

// source is a store in memory that can be slowed, stopped and counted.
type source struct {
	mu      sync.Mutex
	users   map[string]model.User
	keys    map[Key]string
	calls   atomic.Int64
	failing atomic.Bool
	// pause, where set, is called between reading and answering.
	pause atomic.Pointer[func()]
}

var errDown = errors.New("store is down")

func newSource(users ...model.User) *source {
	s := &source{users: map[string]model.User{}, keys: map[Key]string{}}
	for _, u := range users {
		s.put(u)
	}
	return s
}

func (s *source) put(u model.User) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(u.ID)
	s.users[u.ID] = u
	for _, k := range keysOf(&u) {
		s.keys[k] = u.ID
	}
}

func (s *source) remove(id string) {
	for k, v := range s.keys {
		if v == id {
			delete(s.keys, k)
		}
	}
	delete(s.users, id)
}

func (s *source) delete(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(id)
}

func (s *source) FindUser(_ context.Context, key Key) (*model.User, string, error) {
	s.calls.Add(1)
	if s.failing.Load() {
		return nil, "", errDown
	}
	s.mu.Lock()
	id, ok := s.keys[key]
	u := s.users[id]
	s.mu.Unlock()
	if p := s.pause.Load(); p != nil {
		(*p)()
	}
	if !ok {
		return nil, "", nil
	}
	credential := ""
	if c := CredentialFor(&u, key); c != nil {
		credential = c.ID
	}
	return &u, credential, nil
}

func (s *source) UserByID(ctx context.Context, id string) (*model.User, error) {
	u, _, err := s.FindUser(ctx, Key{By: byID, A: id})
	return u, err
}

func user(id, name string, cs ...model.Credential) model.User {
	return model.User{ID: id, Username: name, Active: true, Kind: model.Person, Credentials: cs}
}

var alice = user("u1", "Alice",
	model.Credential{ID: "c1", Type: model.Password, Hash: "h"},
	model.Credential{ID: "k1", Type: model.APIKey, Prefix: "sp_abc"},
	model.Credential{ID: "c3", Type: model.Link, Provider: "corp", Subject: "s-1"},
	model.Credential{ID: "c4", Type: model.Certificate, Fingerprint: "AA:BB"},
	model.Credential{ID: "c5", Type: model.Certificate, DNS: "Client.Example.com"})

func TestFind(t *testing.T) {
	d := New(newSource(alice, user("u2", "bob")), Options{})
	for name, c := range map[string]struct {
		key              Key
		user, credential string
	}{
		"a username finds the user and its password":           {Key{By: ByUsername, A: "alice"}, "u1", "c1"},
		"a username is found in any case":                      {Key{By: ByUsername, A: "ALICE"}, "u1", "c1"},
		"a user without a password is found without one":       {Key{By: ByUsername, A: "bob"}, "u2", ""},
		"a key id finds its user and key":                      {Key{By: ByKeyID, A: "abc"}, "u1", "k1"},
		"a key id is not folded":                               {Key{By: ByKeyID, A: "ABC"}, "", ""},
		"a link is found by provider and subject":              {Key{By: ByLink, A: "corp", B: "s-1"}, "u1", "c3"},
		"a subject of another provider is somebody else":       {Key{By: ByLink, A: "other", B: "s-1"}, "", ""},
		"a fingerprint is found without its colons":            {Key{By: ByCertificate, A: "fingerprint", B: "aabb"}, "u1", "c4"},
		"a DNS name is found in any case":                      {Key{By: ByCertificate, A: "dns", B: "client.example.COM"}, "u1", "c5"},
		"a DNS name is not taken for an e-mail address":        {Key{By: ByCertificate, A: "email", B: "client.example.com"}, "", ""},
		"an empty username is nobody":                          {Key{By: ByUsername}, "", ""},
		"an empty subject is nobody":                           {Key{By: ByLink, A: "corp"}, "", ""},
		"a user's id is no credential":                         {Key{A: "u1"}, "", ""},
		"an unknown way to look up is nobody":                  {Key{By: 99, A: "alice"}, "", ""},
		"bytes that are not UTF-8 are nobody, not U+FFFD":      {Key{By: ByUsername, A: "\xff"}, "", ""},
		"a username with a NUL behind it is somebody else":     {Key{By: ByUsername, A: "alice\x00"}, "", ""},
		"a provider and subject that join alike are not alike": {Key{By: ByLink, A: "cor", B: "ps-1"}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 { // from the source, then from memory
				f, err := d.Find(t.Context(), c.key)
				if err != nil {
					t.Fatal(err)
				}
				if got := idOf(f.Principal); got != c.user {
					t.Fatalf("user %q, want %q", got, c.user)
				}
				if got := credentialOf(f); got != c.credential {
					t.Fatalf("credential %q, want %q", got, c.credential)
				}
			}
		})
	}
}

func idOf(p *Principal) string {
	if p == nil {
		return ""
	}
	return p.User.ID
}

func credentialOf(f Found) string {
	if f.Credential == nil {
		return ""
	}
	return f.Credential.ID
}

func TestARepeatedLookupCostsNoLoadAndNoAllocation(t *testing.T) {
	src := newSource(alice)
	d := New(src, Options{})
	keys := []Key{{By: ByKeyID, A: "abc"}, {By: ByUsername, A: "alice"}, {By: ByLink, A: "corp", B: "s-1"}, {By: ByCertificate, A: "fingerprint", B: "aabb"}}
	for _, k := range keys {
		must(d.Find(t.Context(), k))
	}
	calls := src.calls.Load()
	ctx := t.Context()
	n := testing.AllocsPerRun(1000, func() {
		for _, k := range keys {
			if f, err := d.Find(ctx, k); err != nil || f.Principal == nil {
				t.Fatal("not found")
			}
		}
		if p, err := d.User(ctx, "u1"); err != nil || p == nil {
			t.Fatal("not found")
		}
	})
	if n != 0 || src.calls.Load() != calls {
		t.Fatalf("%v allocations, %d loads", n, src.calls.Load()-calls)
	}
}

func must(f Found, err error) Found {
	if err != nil {
		panic(err)
	}
	return f
}

func TestStoredKeysAreNoViewsIntoTheRequest(t *testing.T) {
	d := New(newSource(alice), Options{})
	buf := []byte("abc")
	must(d.Find(t.Context(), Key{By: ByKeyID, A: unsafe.String(&buf[0], len(buf))}))
	missing := []byte("nope")
	must(d.Find(t.Context(), Key{By: ByKeyID, A: unsafe.String(&missing[0], len(missing))}))
	copy(buf, "xyz")
	copy(missing, "abcd")
	if f := must(d.Find(t.Context(), Key{By: ByKeyID, A: "xyz"})); f.Principal != nil {
		t.Fatal("the buffer's new content names alice")
	}
	if f := must(d.Find(t.Context(), Key{By: ByKeyID, A: "abc"})); f.Principal == nil {
		t.Fatal("alice's key is lost")
	}
}

func TestInvalidate(t *testing.T) {
	t.Run("a principal in hand becomes stale and every key leads to the changed user", func(t *testing.T) {
		src := newSource(alice)
		d := New(src, Options{})
		held := must(d.Find(t.Context(), Key{By: ByKeyID, A: "abc"})).Principal
		must(d.Find(t.Context(), Key{By: ByUsername, A: "alice"}))
		changed := alice
		changed.Active = false
		src.put(changed)
		d.Invalidate("u1")
		if held.Fresh() {
			t.Fatal("still fresh")
		}
		for _, k := range []Key{{By: ByKeyID, A: "abc"}, {By: ByUsername, A: "alice"}} {
			if f := must(d.Find(t.Context(), k)); f.Principal.User.Active || !f.Principal.Fresh() {
				t.Fatalf("%v: active %v, fresh %v", k, f.Principal.User.Active, f.Principal.Fresh())
			}
		}
	})
	t.Run("others stay", func(t *testing.T) {
		src := newSource(alice, user("u2", "bob"))
		d := New(src, Options{})
		must(d.Find(t.Context(), Key{By: ByUsername, A: "bob"}))
		d.Invalidate("u1", "u7", "")
		n := src.calls.Load()
		must(d.Find(t.Context(), Key{By: ByUsername, A: "bob"}))
		if src.calls.Load() != n {
			t.Fatal("bob was forgotten too")
		}
	})
	t.Run("a revoked key leads nowhere while its user stays", func(t *testing.T) {
		src := newSource(alice)
		d := New(src, Options{})
		must(d.Find(t.Context(), Key{By: ByKeyID, A: "abc"}))
		changed := alice
		changed.Credentials = alice.Credentials[:1]
		src.put(changed)
		d.Invalidate("u1")
		if f := must(d.Find(t.Context(), Key{By: ByKeyID, A: "abc"})); f.Principal != nil {
			t.Fatal("found by a revoked key")
		}
		if f := must(d.Find(t.Context(), Key{By: ByUsername, A: "alice"})); f.Principal == nil {
			t.Fatal("lost")
		}
	})
	t.Run("a new user works on the very next request", func(t *testing.T) {
		src := newSource()
		d := New(src, Options{Negative: time.Hour})
		for range 3 {
			if f := must(d.Find(t.Context(), Key{By: ByUsername, A: "alice"})); f.Principal != nil {
				t.Fatal("found too early")
			}
		}
		if src.calls.Load() != 1 {
			t.Fatalf("nobody was looked up %d times", src.calls.Load())
		}
		src.put(alice)
		d.Invalidate("u1")
		if f := must(d.Find(t.Context(), Key{By: ByUsername, A: "alice"})); f.Principal == nil {
			t.Fatal("still nobody")
		}
	})
	t.Run("everything is forgotten at once", func(t *testing.T) {
		src := newSource(alice, user("u2", "bob"))
		d := New(src, Options{})
		a := must(d.Find(t.Context(), Key{By: ByUsername, A: "alice"})).Principal
		b, _ := d.User(t.Context(), "u2")
		d.InvalidateAll()
		if a.Fresh() || b.Fresh() || d.Stats().Users != 0 || d.Stats().Keys != 0 || d.Stats().Bytes != 0 {
			t.Fatalf("%+v", d.Stats())
		}
	})
}

func TestNobodyIsForgottenWithTime(t *testing.T) {
	now := time.Unix(1000, 0)
	src := newSource()
	d := New(src, Options{Negative: time.Second, Now: func() time.Time { return now }})
	must(d.Find(t.Context(), Key{By: ByKeyID, A: "abc"}))
	must(d.Find(t.Context(), Key{By: ByKeyID, A: "abc"}))
	if src.calls.Load() != 1 {
		t.Fatal("not remembered")
	}
	now = now.Add(time.Second)
	must(d.Find(t.Context(), Key{By: ByKeyID, A: "abc"}))
	if src.calls.Load() != 2 {
		t.Fatal("not forgotten")
	}
}

// A load that read the user before the change, and answers after it, must leave
// nothing behind: MEASURES, "user deactivated under load".
func TestALoadOvertakenByAChangeIsNotKept(t *testing.T) {
	src := newSource(alice)
	d := New(src, Options{Timeout: time.Minute})
	reading, go_ := make(chan struct{}), make(chan struct{})
	pause := func() { reading <- struct{}{}; <-go_ }
	src.pause.Store(&pause)
	early := make(chan Found)
	go func() { early <- must(d.Find(context.Background(), Key{By: ByKeyID, A: "abc"})) }()
	<-reading
	src.pause.Store(nil)
	changed := alice
	changed.Active = false
	src.put(changed)
	d.Invalidate("u1")
	// Acknowledged. A request that begins now does not join the load under way.
	late := must(d.Find(t.Context(), Key{By: ByKeyID, A: "abc"}))
	if late.Principal.User.Active {
		t.Fatal("a request after the acknowledgement met the old user")
	}
	close(go_)
	if f := <-early; f.Principal.User.Active && f.Principal.Fresh() {
		t.Fatal("the overtaken load gave a principal that can be kept")
	}
	if f := must(d.Find(t.Context(), Key{By: ByKeyID, A: "abc"})); f.Principal.User.Active {
		t.Fatal("the overtaken load was kept")
	}
	if !late.Principal.Fresh() {
		t.Fatal("the overtaken load drove out the good one")
	}
}

func TestAnOvertakenNobodyIsNotKept(t *testing.T) {
	src := newSource()
	d := New(src, Options{Timeout: time.Minute, Negative: time.Hour})
	reading, go_ := make(chan struct{}), make(chan struct{})
	pause := func() { reading <- struct{}{}; <-go_ }
	src.pause.Store(&pause)
	done := make(chan struct{})
	go func() { must(d.Find(context.Background(), Key{By: ByKeyID, A: "abc"})); close(done) }()
	<-reading
	src.pause.Store(nil)
	src.put(alice)
	d.Invalidate("u1")
	close(go_)
	<-done
	if f := must(d.Find(t.Context(), Key{By: ByKeyID, A: "abc"})); f.Principal == nil {
		t.Fatal("the new user is still nobody")
	}
}

func TestOneLoadServesAllWhoWait(t *testing.T) {
	src := newSource(alice)
	d := New(src, Options{Timeout: time.Minute})
	go_ := make(chan struct{})
	pause := func() { <-go_ }
	src.pause.Store(&pause)
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	for i := range 50 {
		c := context.Background()
		if i == 0 {
			c = ctx // the first one hangs up; the others must not notice
		}
		wg.Go(func() {
			f, err := d.Find(c, Key{By: ByKeyID, A: "abc"})
			if c == ctx {
				if !errors.Is(err, context.Canceled) {
					t.Errorf("hung up: %v", err)
				}
			} else if err != nil || f.Principal == nil {
				t.Errorf("%v %v", f, err)
			}
		})
	}
	time.Sleep(20 * time.Millisecond)
	cancel()
	time.Sleep(5 * time.Millisecond)
	close(go_)
	wg.Wait()
	if n := src.calls.Load(); n != 1 {
		t.Fatalf("%d loads", n)
	}
}

func TestWhileTheStoreFails(t *testing.T) {
	t.Run("known users are served and unknown ones get the error", func(t *testing.T) {
		src := newSource(alice, user("u2", "bob"))
		now := time.Unix(0, 0)
		d := New(src, Options{Now: func() time.Time { return now }})
		must(d.Find(t.Context(), Key{By: ByKeyID, A: "abc"}))
		src.failing.Store(true)
		now = now.Add(1000 * time.Hour)
		if f, err := d.Find(t.Context(), Key{By: ByKeyID, A: "abc"}); err != nil || !f.Principal.Fresh() {
			t.Fatal("a known user was refused", err)
		}
		if f, err := d.Find(t.Context(), Key{By: ByUsername, A: "bob"}); !errors.Is(err, errDown) || f.Principal != nil {
			t.Fatalf("an unknown user: %v, %v", f, err)
		}
		src.failing.Store(false)
		if f, err := d.Find(t.Context(), Key{By: ByUsername, A: "bob"}); err != nil || f.Principal == nil {
			t.Fatal("the error was kept", err)
		}
	})
	t.Run("a store that hangs is an error in time, and holds up few goroutines", func(t *testing.T) {
		src := newSource(alice)
		go_ := make(chan struct{})
		pause := func() { <-go_ }
		src.pause.Store(&pause)
		d := New(src, Options{Timeout: 20 * time.Millisecond, Loads: 4})
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				if _, err := d.Find(context.Background(), Key{By: ByKeyID, A: fmt.Sprint(i)}); !errors.Is(err, ErrUnavailable) {
					t.Errorf("%v", err)
				}
			})
		}
		wg.Wait()
		if n := src.calls.Load(); n > 4 {
			t.Errorf("%d at once", n)
		}
		src.pause.Store(nil)
		close(go_)
		deadline := time.Now().Add(5 * time.Second)
		for {
			f, err := d.Find(t.Context(), Key{By: ByKeyID, A: "abc"})
			if err == nil && f.Principal != nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("did not recover", err)
			}
		}
	})
	t.Run("a store that panics is an error", func(t *testing.T) {
		src := newSource(alice)
		pause := func() { panic("boom") }
		src.pause.Store(&pause)
		d := New(src, Options{})
		if _, err := d.Find(t.Context(), Key{By: ByKeyID, A: "abc"}); err == nil || !strings.Contains(err.Error(), "boom") {
			t.Fatal(err)
		}
	})
}

func TestBounds(t *testing.T) {
	t.Run("a million random keys keep to the size", func(t *testing.T) {
		n := 1_000_000
		if testing.Short() {
			n = 100_000
		}
		d := New(everybody{}, Options{Size: 5000, NegativeSize: 100})
		buf := make([]byte, 0, 32)
		for i := range n {
			buf = fmt.Appendf(buf[:0], "user%d", i)
			if f := must(d.Find(t.Context(), Key{By: ByUsername, A: string(buf)})); (f.Principal == nil) != (i%2 == 1) {
				t.Fatal(i)
			}
		}
		st := d.Stats()
		if st.Users > 5000+64 || st.Keys > 5000+64 || len(d.nobody.keys) > 100 || len(d.nobody.ring) > 100 {
			t.Fatalf("%+v, %d nobodies", st, len(d.nobody.keys))
		}
		if st.Users < 4000 {
			t.Fatalf("only %d are kept", st.Users)
		}
	})
	t.Run("big users keep to the bytes", func(t *testing.T) {
		d := New(everybody{pad: strings.Repeat("x", 10_000)}, Options{Size: 100_000, Bytes: 1 << 20})
		for i := range 2000 {
			must(d.Find(t.Context(), Key{By: ByUsername, A: fmt.Sprintf("user%d", 2*i)}))
		}
		if st := d.Stats(); st.Bytes > 1<<20 || st.Users == 0 {
			t.Fatalf("%+v", st)
		}
	})
	t.Run("who is used stays, who came by once goes", func(t *testing.T) {
		d := New(everybody{}, Options{Size: 100})
		hot := make([]*Principal, 20)
		for i := range hot {
			hot[i] = must(d.Find(t.Context(), Key{By: ByUsername, A: fmt.Sprintf("user%d", 2*i)})).Principal
		}
		for i := range 5000 {
			must(d.Find(t.Context(), Key{By: ByUsername, A: fmt.Sprintf("user%d", 1000+2*i)}))
			// A verified credential in another cache asks only whether it is fresh.
			if !hot[i%len(hot)].Fresh() {
				t.Fatalf("a user in use was let go after %d", i)
			}
		}
	})
	t.Run("who is let go is stale, for no change would reach it", func(t *testing.T) {
		d := New(everybody{}, Options{Size: 1})
		a := must(d.Find(t.Context(), Key{By: ByUsername, A: "user2"})).Principal
		must(d.Find(t.Context(), Key{By: ByUsername, A: "user4"}))
		if a.Fresh() {
			t.Fatal("fresh")
		}
	})
	t.Run("very long keys are looked up and not kept", func(t *testing.T) {
		d := New(everybody{}, Options{})
		must(d.Find(t.Context(), Key{By: ByLink, A: "p", B: strings.Repeat("2", 2000)}))
		must(d.Find(t.Context(), Key{By: ByLink, A: "p", B: strings.Repeat("1", 2001)}))
		if st := d.Stats(); st.Keys != 0 || len(d.nobody.keys) != 0 {
			t.Fatalf("%+v", st)
		}
	})
	t.Run("one user with very many keys is bounded", func(t *testing.T) {
		d := New(everybody{one: true}, Options{})
		for i := range 3 * mostKeys {
			must(d.Find(t.Context(), Key{By: ByKeyID, A: fmt.Sprint(2 * i)}))
		}
		if st := d.Stats(); st.Keys > mostKeys || st.Users != 1 {
			t.Fatalf("%+v", st)
		}
	})
}

// everybody knows a user behind every key that ends in an even digit.
type everybody struct {
	pad string
	one bool
}

func (e everybody) FindUser(_ context.Context, k Key) (*model.User, string, error) {
	name := k.A + k.B
	if (name[len(name)-1]-'0')%2 == 1 {
		return nil, "", nil
	}
	if e.one {
		name = "one"
	}
	u := user("id-"+name, name)
	u.DisplayName = e.pad
	return &u, "", nil
}

func (e everybody) UserByID(context.Context, string) (*model.User, error) { return nil, nil }

func TestPrime(t *testing.T) {
	bob := user("u2", "bob", model.Credential{ID: "k2", Type: model.APIKey, Prefix: "sp_bob"})
	setup := func() (*source, *Directory, *time.Time) {
		src, now := newSource(alice, bob), time.Unix(1000, 0)
		d := New(src, Options{Now: func() time.Time { return now }})
		d.Prime([]model.User{alice, bob})
		return src, d, &now
	}
	t.Run("primed users answer while the store fails, by every key", func(t *testing.T) {
		src, d, _ := setup()
		src.failing.Store(true)
		for _, k := range keysOf(&alice) {
			f, err := d.Find(t.Context(), k)
			if k.By == byID {
				f.Principal, err = d.User(t.Context(), k.A)
			}
			if err != nil || idOf(f.Principal) != "u1" || !f.Principal.Fresh() {
				t.Fatalf("%v: %v, %v", k, f, err)
			}
			if k.By == ByKeyID && credentialOf(f) != "k1" {
				t.Fatalf("credential %q", credentialOf(f))
			}
		}
		if _, err := d.Find(t.Context(), Key{By: ByUsername, A: "carol"}); !errors.Is(err, errDown) {
			t.Fatalf("an unknown user: %v", err)
		}
	})
	t.Run("the store wins over what was primed whenever it answers", func(t *testing.T) {
		src, d, _ := setup()
		gone := alice
		gone.Active = false
		src.put(gone) // deactivated after the snapshot was written
		src.delete("u2")
		if f := must(d.Find(t.Context(), Key{By: ByKeyID, A: "abc"})); f.Principal.User.Active {
			t.Fatal("the old user came back")
		}
		if f := must(d.Find(t.Context(), Key{By: ByKeyID, A: "bob"})); f.Principal != nil {
			t.Fatal("the deleted user came back")
		}
		src.failing.Store(true)
		d.Invalidate("u1")
		if f, err := d.Find(t.Context(), Key{By: ByKeyID, A: "abc"}); err == nil {
			t.Fatalf("what the store had replaced came back: %+v", f)
		}
		if f, err := d.Find(t.Context(), Key{By: ByKeyID, A: "bob"}); err == nil && f.Principal != nil {
			t.Fatal("the deleted user came back in the outage")
		}
	})
	t.Run("what was handed out in the outage is stale after it", func(t *testing.T) {
		src, d, now := setup()
		src.failing.Store(true)
		held := must(d.Find(t.Context(), Key{By: ByKeyID, A: "abc"})).Principal
		src.failing.Store(false)
		*now = now.Add(time.Second)
		must(d.Find(t.Context(), Key{By: ByKeyID, A: "abc"})) // answers at once and asks in the background
		deadline := time.Now().Add(5 * time.Second)
		for held.Fresh() {
			if time.Now().After(deadline) {
				t.Fatal("still fresh")
			}
			time.Sleep(time.Millisecond)
		}
		if f := must(d.Find(t.Context(), Key{By: ByKeyID, A: "abc"})); !f.Principal.Fresh() || f.Principal == held {
			t.Fatal("not looked up again")
		}
	})
	t.Run("a store that fails is asked once in a while, and nobody waits for it", func(t *testing.T) {
		src, d, now := setup()
		src.failing.Store(true)
		must(d.Find(t.Context(), Key{By: ByKeyID, A: "abc"}))
		go_ := make(chan struct{})
		defer close(go_)
		src.failing.Store(false)
		pause := func() { <-go_ } // now it hangs
		src.pause.Store(&pause)
		n := src.calls.Load()
		for range 100 {
			*now = now.Add(30 * time.Millisecond)
			begin := time.Now()
			must(d.Find(t.Context(), Key{By: ByKeyID, A: "abc"}))
			if time.Since(begin) > time.Second {
				t.Fatal("waited")
			}
		}
		if n := src.calls.Load() - n; n > 4 {
			t.Fatalf("asked %d times in 3 s", n)
		}
	})
	t.Run("a change forgets the primed user", func(t *testing.T) {
		src, d, _ := setup()
		src.failing.Store(true)
		held := must(d.Find(t.Context(), Key{By: ByKeyID, A: "abc"})).Principal
		d.Invalidate("u1")
		if f, err := d.Find(t.Context(), Key{By: ByKeyID, A: "abc"}); err == nil || held.Fresh() {
			t.Fatalf("%+v", f)
		}
		must(d.Find(t.Context(), Key{By: ByKeyID, A: "bob"}))
		d.InvalidateAll()
		if _, err := d.Find(t.Context(), Key{By: ByKeyID, A: "bob"}); err == nil {
			t.Fatal("still there")
		}
	})
	t.Run("the users in use are saved first, and those of an outage with them", func(t *testing.T) {
		d := New(everybody{}, Options{Size: 1000})
		for i := range 500 {
			must(d.Find(t.Context(), Key{By: ByUsername, A: fmt.Sprintf("user%d", 2*i)}))
		}
		must(d.Find(t.Context(), Key{By: ByUsername, A: "user2"})).Principal.Fresh()
		got := d.Recent(10)
		if len(got) != 10 || got[0].Username != "user2" {
			t.Fatalf("%d, first %q", len(got), got[0].Username)
		}
		if n := len(d.Recent(10_000)); n != 500 {
			t.Fatalf("%d of 500", n)
		}
		src, primed, _ := setup()
		src.failing.Store(true)
		if n := len(primed.Recent(10)); n != 2 {
			t.Fatalf("%d of 2 would survive a second start", n)
		}
	})
}

// FuzzNormal: the normal spelling is one, says the same, and keeps the kinds apart.
func FuzzNormal(f *testing.F) {
	f.Add(byte(ByUsername), "Alice", "")
	f.Add(byte(ByCertificate), "fingerprint", "AA:bb")
	f.Add(byte(ByCertificate), "email", "A@B@Example.com")
	f.Add(byte(ByLink), "corp", "S-1")
	f.Fuzz(func(t *testing.T, by byte, a, b string) {
		k := Key{By: By(by % 6), A: a, B: b}
		n := k.Normal()
		if n.By != k.By || n.Normal() != n {
			t.Fatalf("%q becomes %q and then %q", k, n, n.Normal())
		}
		exact := k.By == ByKeyID || k.By == ByLink || k.By == ByCertificate && (a == CertURI || a == CertSubject)
		if exact && n != k {
			t.Fatalf("%q was altered to %q", k, n)
		}
		if k.By == ByCertificate && a == CertEmail {
			mailbox, _, _ := cutLast(b, '@')
			if got, _, _ := cutLast(n.B, '@'); got != mailbox {
				t.Fatalf("the mailbox of %q was altered: %q", b, n.B)
			}
		}
	})
}

func cutLast(s string, c byte) (before, after string, ok bool) {
	if i := strings.LastIndexByte(s, c); i >= 0 {
		return s[:i], s[i:], true
	}
	return "", "", false
}
