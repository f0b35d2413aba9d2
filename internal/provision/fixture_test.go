package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/secret"
	"github.com/sallyport/sallyport/internal/store"
	"github.com/sallyport/sallyport/internal/store/sqlite"
)

// room is a write side over a real database, with its surroundings watched.
type room struct {
	*Service
	t     testing.TB
	store *sqlite.Store

	mu        sync.Mutex
	clock     time.Time
	events    []model.Event
	forgotten []string
	published []*model.Set
	compiled  int
	recordErr error
	// during runs while a change is recorded, before it is committed.
	during func(model.Event)
}

var (
	root        = Actor{Name: "root", Roles: []model.AdminRole{model.AdminAll}}
	operator    = Actor{Name: "oscar", Roles: []model.AdminRole{model.AdminOperator}}
	provisioner = Actor{Name: "petra", Roles: []model.AdminRole{model.AdminProvisioner}}
	auditor     = Actor{Name: "audrey", Roles: []model.AdminRole{model.AdminAuditor}}
)

func newRoom(t testing.TB) *room {
	t.Helper()
	return newRoomAt(t, filepath.Join(t.TempDir(), "sallyport.db"))
}

func newRoomAt(t testing.TB, path string) *room {
	t.Helper()
	db, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	r := &room{t: t, store: db, clock: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)}
	return r.over(db)
}

// over is the room over another store, which may misbehave.
func (r *room) over(s store.Store) *room {
	var err error
	r.Service, err = New(Deps{Store: s, Compile: r.compile, Invalidate: r.forget, Record: r.record,
		Hash: quickHash, Verify: quickVerify, Now: r.now})
	if err != nil {
		r.t.Fatal(err)
	}
	return r
}

func quickHash(_ context.Context, password string) (string, error) {
	return secret.Bcrypt(password, bcrypt.MinCost)
}

func quickVerify(_ context.Context, hash, password string) (bool, bool, error) {
	return bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) == nil, false, nil
}

func (r *room) now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clock = r.clock.Add(time.Second)
	return r.clock
}

// compile stands in for the decision engine: a policy test holds where the user is
// active and has a role, which is enough to see which users it is shown.
func (r *room) compile(set *model.Set, users UserLookup) (func(), model.Faults) {
	r.compiled++
	var f model.Faults
	for i, e := range set.Expect {
		got := model.PermissionDenied
		if u := users(e.As); u != nil && u.Active && len(u.Roles) > 0 {
			got = model.Allowed
		}
		if got != e.Then {
			f.Add(fmt.Sprintf("expect[%d]", i), "gives "+string(got))
		}
	}
	for i := range set.Routes {
		if strings.HasPrefix(set.Routes[i].Name, "shadowed") {
			f.Add(fmt.Sprintf("routes[%d].paths[0]", i), "is shadowed")
		}
	}
	if len(f) > 0 {
		return nil, f
	}
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.published = append(r.published, set)
	}, nil
}

func (r *room) forget(ids []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forgotten = append(r.forgotten, ids...)
}

func (r *room) record(e model.Event) error {
	r.mu.Lock()
	during := r.during
	r.mu.Unlock()
	if during != nil {
		during(e)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.recordErr != nil {
		return r.recordErr
	}
	r.events = append(r.events, e)
	return nil
}

func (r *room) lastEvent() model.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.events) == 0 {
		r.t.Fatal("no event was recorded")
	}
	return r.events[len(r.events)-1]
}

func (r *room) revision() int64 {
	r.t.Helper()
	set, err := r.CurrentSet(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return set.Revision
}

func (r *room) put(kind, name, body string) *Outcome {
	r.t.Helper()
	out, err := r.tryPut(root, kind, name, body, Condition{})
	if err != nil {
		r.t.Fatalf("putting %s/%s: %v", kind, name, err)
	}
	return out
}

func (r *room) tryPut(a Actor, kind, name, body string, c Condition) (*Outcome, error) {
	r.t.Helper()
	as := kind
	if kind == store.KindSettings {
		as += "/" + name
	}
	v, err := r.Decode(as, []byte(body))
	if err != nil {
		r.t.Fatalf("decoding %s: %v", body, err)
	}
	return r.Put(r.t.Context(), a, kind, name, v, c)
}

func (r *room) user(name string) *model.User {
	r.t.Helper()
	o, err := r.Get(r.t.Context(), KindUsers, name)
	if err != nil {
		r.t.Fatalf("reading the user %s: %v", name, err)
	}
	return o.Value.(*model.User)
}

// stored is a user as the store has it, secrets included; nil where there is none.
func (r *room) stored(name string) *model.User {
	r.t.Helper()
	var u *model.User
	err := r.store.View(r.t.Context(), func(v store.Reader) error {
		rec, err := v.User(r.t.Context(), name)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err == nil {
			u = &rec.User
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return u
}

// export is the whole configuration as text, to compare.
func (r *room) export() string {
	r.t.Helper()
	doc, err := r.Export(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	b, err := json.MarshalIndent(doc, "", " ")
	if err != nil {
		r.t.Fatal(err)
	}
	return string(b)
}

func (r *room) apply(body string, o ApplyOptions) (*Outcome, error) {
	r.t.Helper()
	v, err := r.Decode(KindDocument, []byte(body))
	if err != nil {
		r.t.Fatalf("decoding %s: %v", body, err)
	}
	return r.Apply(r.t.Context(), root, v.(*model.Document), o)
}

func (r *room) mustApply(body string, o ApplyOptions) *Outcome {
	r.t.Helper()
	out, err := r.apply(body, o)
	if err != nil {
		r.t.Fatalf("applying: %v", err)
	}
	return out
}

func code(err error) model.Code {
	if err == nil {
		return model.Allowed
	}
	return model.AsError(err).Code
}

func wantCode(t testing.TB, err error, want model.Code) *model.Error {
	t.Helper()
	if code(err) != want {
		t.Fatalf("got %v, want %s", err, want)
	}
	return model.AsError(err)
}

// wantFault asks for a refusal with a fault at path.
func wantFault(t testing.TB, err error, paths ...string) {
	t.Helper()
	e := wantCode(t, err, model.Invalid)
	for _, p := range paths {
		found := false
		for _, f := range e.Faults {
			found = found || f.Path == p
		}
		if !found {
			t.Errorf("no fault at %q in: %v", p, err)
		}
	}
}

const (
	ordersService = `{"name":"orders","targets":[{"url":"http://10.0.0.5:8080"}],"present":{"header":"X-Backend-Key","value":"backend-secret"}}`
	ordersRoute   = `{"name":"orders-v1","paths":["/1.0/orders"],"service":"orders"}`
	readOnly      = `{"name":"read-only","permissions":[{"routes":["*"],"methods":["GET"]}]}`
	writer        = `{"name":"writer","permissions":[{"routes":["orders-*"],"methods":["POST"]}]}`
)

// furnish puts a small configuration in.
func (r *room) furnish() *room {
	r.t.Helper()
	r.put(store.KindServices, "orders", ordersService)
	r.put(store.KindRoutes, "orders-v1", ordersRoute)
	r.put(store.KindRoles, "read-only", readOnly)
	r.put(store.KindRoles, "writer", writer)
	r.put(store.KindGroups, "staff", `{"name":"staff","roles":["read-only"]}`)
	r.put(store.KindIdentityProviders, "corp", `{"name":"corp","type":"jwt","issuer":"https://idp.example.com","audiences":["api"]}`)
	r.put(KindUsers, "alice", `{"username":"alice","emails":["alice@example.com"],"groups":["staff"],"roles":["writer"],"credentials":[{"type":"password","password":"alice-password"}]}`)
	r.put(KindUsers, "bob", `{"username":"bob","roles":["read-only"]}`)
	return r
}
