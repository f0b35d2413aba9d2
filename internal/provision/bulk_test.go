package provision

import (
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
)

func crowd(n int, hash string) iter.Seq2[model.User, error] {
	return func(yield func(model.User, error) bool) {
		for i := range n {
			u := model.User{Username: fmt.Sprintf("user-%07d", i), Kind: model.Person, Active: true, Roles: []string{"read-only"}, Groups: []string{"staff"},
				Credentials: []model.Credential{{Type: model.Password, Hash: hash}}}
			if !yield(u, nil) {
				return
			}
		}
	}
}

func people(users ...model.User) iter.Seq2[model.User, error] {
	return func(yield func(model.User, error) bool) {
		for _, u := range users {
			u.Kind = model.Person
			if !yield(u, nil) {
				return
			}
		}
	}
}

func TestAnImportIsOneChangeOfBoundedSize(t *testing.T) {
	r := newRoom(t).furnish()
	before, revision, events := r.export(), r.revision(), len(r.events)
	hash, _ := quickHash(t.Context(), "x")
	res, err := r.ImportUsers(t.Context(), provisioner, crowd(2000, hash), ImportOptions{Owner: "import"})
	if err != nil || res.Created != 2000 || res.Revision != revision+1 || len(r.events) != events+1 {
		t.Fatalf("%+v %v", res, err)
	}
	if n := len(r.lastEvent().Changes); n != toldInEvent+1 {
		t.Errorf("%d changes in the event", n)
	}
	res, err = r.ImportUsers(t.Context(), provisioner, crowd(2001, hash), ImportOptions{})
	if err != nil || res.Created != 1 || res.Skipped != 2000 {
		t.Fatalf("%+v %v", res, err)
	}
	res, err = r.ImportUsers(t.Context(), provisioner, crowd(2002, hash), ImportOptions{Replace: true, DryRun: true})
	if err != nil || res.Created != 1 || res.Unchanged != 2001 {
		t.Fatalf("%+v %v", res, err)
	}
	if _, err := r.Rollback(t.Context(), root, revision, Condition{}); err != nil || r.export() != before {
		t.Errorf("an import cannot be taken back: %v", err)
	}
}

func TestAnImportIsAllOrNothing(t *testing.T) {
	r := newRoom(t).furnish()
	before := r.export()
	hash, _ := quickHash(t.Context(), "x")
	_, err := r.ImportUsers(t.Context(), provisioner, people(model.User{Username: "fine"}, model.User{Username: "FINE"}, model.User{Username: ""},
		model.User{Username: "x", Credentials: []model.Credential{{Type: model.Password, Hash: "plain"}}}, model.User{Username: "y", Roles: []string{"none"}}), ImportOptions{})
	wantFault(t, err, "users[1].username", "users[2].username", "users[3].credentials[0].hash", "users[4].roles[0]")
	broken := func(yield func(model.User, error) bool) {
		for u := range crowd(10, hash) {
			if !yield(u, nil) {
				return
			}
		}
		yield(model.User{}, model.NewError(model.Invalid, "line 11 is no user"))
	}
	_, err = r.ImportUsers(t.Context(), provisioner, broken, ImportOptions{})
	wantCode(t, err, model.Invalid)
	_, err = r.ImportUsers(t.Context(), operator, crowd(1, hash), ImportOptions{})
	wantCode(t, err, model.PermissionDenied)
	if r.export() != before {
		t.Error("a refused import left something behind")
	}
}

func TestNamesThatOthersHoldAreToldBesideAllOtherFaults(t *testing.T) {
	r := newRoom(t).furnish()
	key := func(id string) model.Credential {
		return model.Credential{Type: model.APIKey, Prefix: "spk_" + id, Hash: strings.Repeat("0a", 32)}
	}
	holder := model.User{Username: "holder", Credentials: []model.Credential{key("aaaaaaaaaaaa"), {Type: model.Certificate, DNS: "c.example.com"}}}
	if _, err := r.ImportUsers(t.Context(), provisioner, people(holder), ImportOptions{}); err != nil {
		t.Fatal(err)
	}
	before := r.export()
	_, err := r.ImportUsers(t.Context(), provisioner, people(
		model.User{Username: "one", Credentials: []model.Credential{key("bbbbbbbbbbbb"), key("aaaaaaaaaaaa")}},
		model.User{Username: "two", Roles: []string{"none"}, Credentials: []model.Credential{{Type: model.Certificate, DNS: "c.example.com"}}},
		model.User{Username: "three", Credentials: []model.Credential{key("bbbbbbbbbbbb")}},
		model.User{Username: "four", Credentials: []model.Credential{key("bbbbbbbbbbbb")}}), ImportOptions{})
	wantFault(t, err, "users[0].credentials[1]", "users[1].roles[0]", "users[1].credentials[0]", "users[3].credentials[0]")
	var e *model.Error
	if errors.As(err, &e); len(e.Faults) != 4 {
		t.Errorf("faults besides: %v", err)
	}
	for _, f := range e.Faults {
		if f.Path == "users[0].credentials[1]" && !strings.Contains(f.Message, `belongs to the user "holder" already`) {
			t.Error("not told whose it is:", f.Message)
		}
	}
	if r.export() != before {
		t.Error("a refused import left something behind")
	}
}

func TestASourceHasEndedWhenItsImportHas(t *testing.T) {
	r := newRoom(t).furnish()
	hash, _ := quickHash(t.Context(), "x")
	ended := false
	endless := func(yield func(model.User, error) bool) {
		defer func() { ended = true }()
		for yield(model.User{Username: "twice", Kind: model.Person}, nil) {
		}
	}
	_, err := r.ImportUsers(t.Context(), provisioner, endless, ImportOptions{})
	wantFault(t, err, "users[1].username", "users[100].username")
	if !ended {
		t.Error("after a hundred faults it is still asked for more")
	}
	defer func() {
		if said := recover(); said != "the file is gone" {
			t.Error("a panic of the source became", said)
		}
		if _, err := r.ImportUsers(t.Context(), provisioner, crowd(130, hash), ImportOptions{}); err != nil {
			t.Error("and nobody can write behind it:", err)
		}
	}()
	_, _ = r.ImportUsers(t.Context(), provisioner, func(yield func(model.User, error) bool) {
		yield(model.User{Username: "one", Kind: model.Person}, nil)
		panic("the file is gone")
	}, ImportOptions{})
	t.Error("a panic of the source was taken for its end")
}

// TestAMillionUsers is run by hand: SALLYPORT_MANY=1000000 go test -run Million.
func TestAMillionUsers(t *testing.T) {
	n, _ := strconv.Atoi(os.Getenv("SALLYPORT_MANY"))
	if n == 0 {
		t.Skip("SALLYPORT_MANY says how many")
	}
	r := newRoom(t)
	r.put(store.KindRoles, "read-only", readOnly)
	r.put(store.KindGroups, "staff", `{"roles":["read-only"]}`)
	hash, _ := quickHash(t.Context(), "x")
	start := time.Now()
	if _, err := r.ImportUsers(t.Context(), provisioner, crowd(n, hash), ImportOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Logf("imported %d users in %v", n, time.Since(start))
	start = time.Now()
	if _, err := r.List(t.Context(), KindUsers, Query{Filter: `group eq "staff"`, Limit: 100}); err != nil {
		t.Fatal(err)
	}
	t.Logf("listed a page in %v", time.Since(start))
	start = time.Now()
	r.put(KindUsers, "one-more", `{"roles":["read-only"]}`)
	t.Logf("put one in %v", time.Since(start))
}

func TestFiftyWritersWithIfMatchLoseNoUpdate(t *testing.T) {
	r := newRoom(t)
	r.put(store.KindGroups, "counter", `{"description":"0"}`)
	var conflicts, done atomic.Int64
	var wait sync.WaitGroup
	tags := make(chan string, 1000)
	for range 50 {
		wait.Go(func() {
			for wrote := false; !wrote; {
				o, err := r.Get(t.Context(), store.KindGroups, "counter")
				if err != nil {
					t.Error(err)
					return
				}
				g := *o.Value.(*model.Group)
				n, _ := strconv.Atoi(g.Description)
				g.Description = strconv.Itoa(n + 1)
				out, err := r.Put(t.Context(), provisioner, store.KindGroups, "counter", &g, Condition{IfMatch: o.ETag})
				switch code(err) {
				case model.Allowed:
					wrote = true
					done.Add(1)
					tags <- out.Object.ETag
				case model.PreconditionFailed:
					conflicts.Add(1)
				default:
					t.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	close(tags)
	o, _ := r.Get(t.Context(), store.KindGroups, "counter")
	if got := o.Value.(*model.Group).Description; got != "50" || done.Load() != 50 || r.revision() != 51 {
		t.Errorf("%s after %d writes in %d revisions, %d conflicts", got, done.Load(), r.revision(), conflicts.Load())
	}
	var all []string
	for tag := range tags {
		if slices.Contains(all, tag) {
			t.Errorf("two writers got %s", tag)
		}
		all = append(all, tag)
	}
	for i, set := range r.published {
		if set.Revision != int64(i)+1 {
			t.Fatalf("revisions were published out of order: %d as number %d", set.Revision, i+1)
		}
	}
	for i, e := range r.events {
		if e.Revision != int64(i)+1 {
			t.Fatalf("events were recorded out of order")
		}
	}
}

func TestNothingHalfIsSeenByReaders(t *testing.T) {
	r := newRoom(t)
	doc := func(i int) string {
		return fmt.Sprintf(`{"roles":[{"name":"a","description":"%d","permissions":[]},{"name":"b","description":"%d","permissions":[]}]}`, i, i)
	}
	r.mustApply(doc(0), ApplyOptions{})
	stop := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			set, err := r.CurrentSet(t.Context())
			if err != nil || set.Roles[0].Description != set.Roles[1].Description {
				t.Errorf("%+v %v", set, err)
				return
			}
		}
	})
	for i := range 30 {
		r.mustApply(doc(i), ApplyOptions{})
	}
	close(stop)
	wait.Wait()
}

func TestNewAsksForWhatItNeeds(t *testing.T) {
	if _, err := New(Deps{}); err == nil {
		t.Error("a write side without a store")
	}
	r := newRoom(t)
	s, err := New(Deps{Store: r.store, Compile: r.compile, Invalidate: r.forget, Record: r.record})
	if err != nil {
		t.Fatal(err)
	}
	v, _ := s.Decode(KindUsers, []byte(`{"username":"x","credentials":[{"type":"password","password":"y"}]}`))
	_, err = s.Put(t.Context(), root, KindUsers, "x", v, Condition{})
	wantCode(t, err, model.Internal)
}
