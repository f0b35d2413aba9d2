package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/store"
	"github.com/sallyport/sallyport/internal/store/sqlite"
)

// first is a gateway on a folder of its own, not running yet.
func first(t *testing.T, dir, password string, tell func(string, ...any)) (*Gateway, error) {
	t.Helper()
	t.Setenv("SALLYPORT_ADMIN_PASSWORD", password)
	path := filepath.Join(dir, "sallyport.yaml")
	write(t, path, "externalURL: https://api.example.com\ndataDir: data\nlisteners: [{address: 127.0.0.1:0, serve: [proxy]}]\n")
	cfg, faults := config.Load(path)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	return New(t.Context(), cfg, Options{Version: "test", Log: slog.New(slog.DiscardHandler), Tell: tell})
}

func run(t *testing.T, g *Gateway, ctx context.Context) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	select {
	case err := <-done:
		return err
	case <-time.After(10 * time.Second):
		t.Fatal("the gateway does not end")
		return nil
	}
}

func TestALoginThatComesBeforeTheFirstAdministratorIsThereWaitsForIt(t *testing.T) {
	r := start(t, "", "")
	if code, body := r.api("GET", "/v2/status", ""); code != 200 { // at once: the hash takes longer
		t.Errorf("%d %s", code, body)
	}
	if code, _, _ := r.do("GET", "https://"+r.admin+"/v2/status", "", basic("admin", "wrong")); code != 401 {
		t.Errorf("a wrong password: %d", code)
	}
}

func TestBootstrapHoldsNobodyUpButThoseWhoWait(t *testing.T) {
	var b bootstrap
	if err := b.wait(t.Context()); err != nil {
		t.Errorf("with nobody being made: %v", err)
	}
	release := make(chan struct{})
	b.begin(func() { <-release })
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := b.wait(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a wait that should have been given up: %v", err)
	}
	close(release)
	if err := b.wait(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAFirstPasswordThatIsRefusedEndsTheStart(t *testing.T) {
	g, err := first(t, t.TempDir(), strings.Repeat("x", 5000), t.Logf)
	if err == nil || !strings.Contains(err.Error(), "first administrator") {
		t.Errorf("%v", err)
	}
	if g != nil {
		t.Error("a gateway without an administrator")
	}
}

func TestAGatewayThatIsEndedAtOnceHasItsAdministratorAllTheSame(t *testing.T) {
	dir := t.TempDir()
	told := make(chan string, 2)
	tell := func(format string, args ...any) { told <- fmt.Sprintf(format, args...) }
	for _, want := range []int{1, 0} {
		g, err := first(t, dir, "", tell)
		if err != nil {
			t.Fatal(err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := run(t, g, ended); err != nil {
			t.Error(err)
		}
		if len(told) != want {
			t.Errorf("told %d passwords, want %d", len(told), want)
		}
		for range len(told) {
			<-told
		}
	}
}

// full takes one change, and then none.
type full struct {
	store.Store
	changes int
}

func (f *full) Update(ctx context.Context, fn func(store.Writer) error) error {
	if f.changes++; f.changes > 1 {
		return errors.New("the disk is full")
	}
	return f.Store.Update(ctx, fn)
}

func TestAnAdministratorThatCannotBeStoredEndsTheGateway(t *testing.T) {
	dir := t.TempDir()
	g, err := first(t, dir, "correct horse battery", t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.bootstrap.wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	empty, err := sqlite.Open(t.Context(), filepath.Join(dir, "empty.db"))
	if err != nil {
		t.Fatal(err)
	}
	_ = g.store.Close()
	g.store.set(&full{Store: empty}) // it takes the trial
	if err := g.firstAdministrator(t.Context(), func(err error) { g.failed <- err }); err != nil {
		t.Fatal(err)
	}
	if err := run(t, g, t.Context()); err == nil || !strings.Contains(err.Error(), "first administrator") {
		t.Errorf("%v", err)
	}
}
