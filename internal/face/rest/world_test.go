package rest

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/provision"
	"github.com/sallyport/sallyport/internal/secret"
	"github.com/sallyport/sallyport/internal/store"
	"github.com/sallyport/sallyport/internal/store/sqlite"
)

var update = flag.Bool("update", false, "write docs/reference/openapi.json")

// world is the API over a real write side and a real store.
type world struct {
	t        *testing.T
	h        *Handler
	api      *broken
	verified *counted
	audit    *events
	clock    *clock
}

type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time          { c.mu.Lock(); defer c.mu.Unlock(); return c.t }
func (c *clock) forward(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.t = c.t.Add(d) }

// broken is the write side until err says otherwise.
type broken struct {
	provision.API
	err error
}

func (b *broken) Administrator(ctx context.Context, name string) (*model.Administrator, error) {
	if b.err != nil {
		return nil, b.err
	}
	return b.API.Administrator(ctx, name)
}

type counted struct {
	*secret.Hasher
	n    atomic.Int64
	busy atomic.Bool
}

func (c *counted) Verify(ctx context.Context, hash, password string) (bool, bool, error) {
	c.n.Add(1)
	if c.busy.Load() {
		return false, false, secret.ErrBusy
	}
	return c.Hasher.Verify(ctx, hash, password)
}

// events is an audit record in memory.
type events struct {
	mu   sync.Mutex
	list []model.Event
	more chan model.Event
	fail error
}

func (e *events) record(x model.Event) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.fail != nil {
		return e.fail
	}
	e.list = append(e.list, x)
	return nil
}

func (e *events) last() model.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.list) == 0 {
		return model.Event{}
	}
	return e.list[len(e.list)-1]
}

func (e *events) Query(_ context.Context, q AuditQuery) ([]model.Event, string, error) {
	if q.Filter == "nonsense" {
		return nil, "", model.Faults{{Path: "filter", Message: "cannot be read"}}.Err()
	}
	if id, ok := strings.CutPrefix(q.Filter, `id eq "`); ok {
		if q.Cursor == "" {
			return nil, "2", nil // a page may be empty and not the last
		}
		if id == `e1"` {
			return []model.Event{{ID: "e1", Type: model.EventLogin}}, "", nil
		}
		return nil, "", nil
	}
	return e.list, "", nil
}

func (e *events) Follow(ctx context.Context, _ AuditQuery, send func(model.Event) error) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case x := <-e.more:
			if err := send(x); err != nil {
				return err
			}
		}
	}
}

type explainer struct{ asked ExplainRequest }

func (x *explainer) Explain(_ context.Context, r ExplainRequest) (*model.Decision, error) {
	x.asked = r
	return &model.Decision{Outcome: "denied", Status: 403, Code: model.PermissionDenied, User: r.User}, nil
}

const (
	adminPassword = "correct horse battery"
)

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, verified: &counted{Hasher: secret.NewHasher(secret.Options{Parallel: 2})},
		audit: &events{more: make(chan model.Event)}, clock: &clock{t: time.Now()}}
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s, err := provision.New(provision.Deps{Store: db, Record: w.audit.record, Hash: w.verified.Hash, Invalidate: func([]string) {},
		Compile: func(set *model.Set, _ provision.UserLookup) (func(), model.Faults) { return func() {}, set.Validate() }})
	if err != nil {
		t.Fatal(err)
	}
	w.api = &broken{API: s}
	w.h = New(Deps{Provision: w.api, Passwords: w.verified, Record: w.audit.record, Now: w.clock.now, Audit: w.audit, Explain: &explainer{},
		Status: func(context.Context) any { return map[string]string{"node": "n1"} }, Version: "1.2.3"})
	for name, role := range map[string]model.AdminRole{"admin": model.AdminAll, "olga": model.AdminOperator, "paul": model.AdminProvisioner, "anna": model.AdminAuditor} {
		w.administrator(name, role)
	}
	return w
}

var boot = provision.Actor{Name: "boot", Roles: []model.AdminRole{model.AdminAll}}

func (w *world) administrator(name string, roles ...model.AdminRole) {
	w.t.Helper()
	_, err := w.api.Put(w.t.Context(), boot, store.KindAdministrators, name, &model.Administrator{Name: name, Roles: roles, Active: true,
		Credentials: []model.Credential{{Type: model.Password, Password: adminPassword}}}, provision.Condition{})
	if err != nil {
		w.t.Fatal(err)
	}
}

// as is a request's edit that logs in.
func as(name string) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth(name, adminPassword) }
}

func header(kv ...string) func(*http.Request) {
	return func(r *http.Request) {
		for i := 0; i < len(kv); i += 2 {
			r.Header.Add(kv[i], kv[i+1])
		}
	}
}

type answer struct {
	*httptest.ResponseRecorder
	t *testing.T
}

// do sends a request as admin, unless an edit says otherwise.
func (w *world) do(method, target, body string, edits ...func(*http.Request)) answer {
	w.t.Helper()
	var b io.Reader
	if body != "" {
		b = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, target, b)
	r.RemoteAddr = "192.0.2.1:1234"
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	as("admin")(r)
	for _, e := range edits {
		e(r)
	}
	rec := httptest.NewRecorder()
	w.h.ServeHTTP(rec, r)
	return answer{rec, w.t}
}

func nobody(r *http.Request) { r.Header.Del("Authorization") }

func (a answer) json() map[string]any {
	a.t.Helper()
	var m map[string]any
	if err := json.Unmarshal(a.Body.Bytes(), &m); err != nil {
		a.t.Fatalf("%d %s: %v", a.Code, a.Body, err)
	}
	return m
}

// want checks the status and, for refusals, the code.
func (a answer) want(status int, code ...model.Code) answer {
	a.t.Helper()
	if a.Code != status {
		a.t.Fatalf("status %d, want %d: %s", a.Code, status, a.Body)
	}
	if a.Header().Get("X-Request-Id") == "" || a.Header().Get("Cache-Control") != "no-store" {
		a.t.Errorf("headers %v", a.Header())
	}
	for n := range maps.Keys(a.Header()) {
		if strings.HasPrefix(n, "Access-Control-") {
			a.t.Errorf("the admin API speaks to other origins: %s", n)
		}
	}
	if len(code) > 0 {
		if got := a.json()["code"]; got != string(code[0]) {
			a.t.Fatalf("code %v, want %s: %s", got, code[0], a.Body)
		}
		if a.Header().Get("Content-Type") != "application/problem+json" {
			a.t.Errorf("content type %s", a.Header().Get("Content-Type"))
		}
	}
	return a
}

// faults are the paths of a 422's entries.
func (a answer) faults() string {
	a.t.Helper()
	var paths []string
	list, _ := a.json()["errors"].([]any)
	for _, e := range list {
		paths = append(paths, e.(map[string]any)["path"].(string))
	}
	return strings.Join(paths, " ")
}

var errDown = errors.New("the store is down")
