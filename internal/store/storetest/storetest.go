package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
)

// checker is a store that can look for damage in itself.
type checker interface {
	Check(ctx context.Context) error
}

// Run holds the stores that open makes, each of them empty, to the interface.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	for _, c := range []struct {
		name string
		test func(*testing.T, store.Store)
	}{
		{"objects are written, read, listed by name and deleted", objects},
		{"bodies are kept byte for byte", bodies},
		{"users are written, read and deleted with all that is in them", users},
		{"secrets that must not be kept are not", secrets},
		{"a username is unique in any case", usernames},
		{"a credential's public name leads to one user", credentialNames},
		{"whether anybody has a public key is known", publicKeys},
		{"a refused user leaves nothing behind and the transaction may go on", refusals},
		{"a changed user is found by its new names and not by its old ones", changedNames},
		{"nobody is no error to the directory", nobody},
		{"odd strings are told apart", oddStrings},
		{"pages are stable, whole and in order", pages},
		{"filters select exactly whom they name", filters},
		{"revisions only grow", revisions},
		{"sessions are written, found, seen and deleted by what they are of", sessions},
		{"a view sees one state from beginning to end", isolation},
		{"an update that fails changes nothing", rollback},
		{"an update that panics changes nothing and blocks nobody", panics},
		{"a reader or writer is dead after its transaction", escape},
		{"a context that is over ends reads and writes", contexts},
		{"fifty writers follow one another", writers},
		{"lookups go on beside a long view and a long update", lookups},
		{"a closed store says so", closed},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t)
			t.Cleanup(func() { s.Close() })
			c.test(t, s)
			if ch, ok := s.(checker); ok && c.name != "a closed store says so" {
				if err := ch.Check(context.Background()); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// at is a time as stores keep it: to the microsecond.
func at(n int64) time.Time {
	return time.Unix(1_800_000_000, 123_456_000).Add(time.Duration(n) * time.Second).UTC()
}

func update(t *testing.T, s store.Store, fn func(store.Writer) error) {
	t.Helper()
	if err := s.Update(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func view(t *testing.T, s store.Store, fn func(store.Reader) error) {
	t.Helper()
	if err := s.View(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, s store.Store, records ...*store.UserRecord) {
	t.Helper()
	update(t, s, func(w store.Writer) error {
		for _, r := range records {
			if err := w.PutUser(t.Context(), r); err != nil {
				return err
			}
		}
		return nil
	})
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// record is a small user.
func record(id, username string, credentials ...model.Credential) *store.UserRecord {
	return &store.UserRecord{Revision: 1, User: model.User{ID: id, Username: username, Kind: model.Person, Active: true,
		CreatedAt: at(0), UpdatedAt: at(1), Credentials: credentials}}
}

func apiKey(id, key string) model.Credential {
	return model.Credential{ID: id, Type: model.APIKey, Prefix: "sp_" + key, Hash: "x", CreatedAt: at(2)}
}

func link(id, provider, subject string) model.Credential {
	return model.Credential{ID: id, Type: model.Link, Provider: provider, Subject: subject, CreatedAt: at(2)}
}

func usernamesOf(list []store.UserRecord) []string {
	names := make([]string, 0, len(list))
	for i := range list {
		names = append(names, list[i].User.Username)
	}
	return names
}

func name(i int) string { return fmt.Sprintf("user%05d", i) }
