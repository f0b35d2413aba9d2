package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
)

func login(n int, user, provider string) *store.SessionRecord {
	return &store.SessionRecord{Session: model.Session{ID: fmt.Sprintf("s%03d", n), User: "name of " + user, UserID: user, Method: "oidc",
		Provider: provider, CreatedAt: at(0), LastSeenAt: at(int64(n)), ExpiresAt: at(int64(100 + n)), ClientIP: "192.0.2.1", UserAgent: "curl/8"},
		Hash: []byte(fmt.Sprintf("hash-%d", n)), Credential: "c-" + user, Subject: "sub-" + user, SID: fmt.Sprintf("sid-%d", n),
		Claims: []byte(`{"sub":"x"}`), Sealed: []byte{0, 1, 2}, Refresh: at(50)}
}

// signedIn are sessions that are in a store, as they should be there.
type signedIn struct {
	t    *testing.T
	s    store.Store
	want map[string]*store.SessionRecord
}

// signIn puts four sessions of three users into a store; the last is of no provider.
func signIn(t *testing.T, s store.Store) *signedIn {
	in := &signedIn{t, s, map[string]*store.SessionRecord{}}
	update(t, s, func(w store.Writer) error {
		for n, user := range []string{"u1", "u1", "u2", "u3"} {
			r := login(n, user, "corp")
			if n == 3 {
				r.Provider, r.Subject, r.SID, r.Refresh, r.Claims, r.Sealed = "", "", "", time.Time{}, nil, nil
			}
			in.want[r.ID] = r
			if err := w.PutSession(t.Context(), r); err != nil {
				return err
			}
		}
		return nil
	})
	return in
}

// ids are the sessions that a query finds, each of which must be whole.
func (in *signedIn) ids(q store.SessionQuery) (out []string) {
	in.t.Helper()
	view(in.t, in.s, func(r store.Reader) error {
		list, err := r.ListSessions(in.t.Context(), q)
		for i := range list {
			out = append(out, list[i].ID)
			if d := cmp.Diff(*in.want[list[i].ID], list[i]); d != "" {
				in.t.Error(d)
			}
		}
		return err
	})
	return out
}

func sessions(t *testing.T, s store.Store) {
	in := signIn(t, s)
	in.areFound()
	in.end()
}

// areFound finds them by all that they can be found by.
func (in *signedIn) areFound() {
	t := in.t
	for name, c := range map[string]struct {
		q    store.SessionQuery
		want []string
	}{
		"all":                  {store.SessionQuery{}, []string{"s000", "s001", "s002", "s003"}},
		"a page":               {store.SessionQuery{After: "s000", Limit: 2}, []string{"s001", "s002"}},
		"a user's":             {store.SessionQuery{UserID: "u1"}, []string{"s000", "s001"}},
		"one":                  {store.SessionQuery{ID: "s002"}, []string{"s002"}},
		"a subject's":          {store.SessionQuery{Provider: "corp", Subject: "sub-u2"}, []string{"s002"}},
		"another provider's":   {store.SessionQuery{Provider: "other", Subject: "sub-u2"}, nil},
		"a provider's session": {store.SessionQuery{Provider: "corp", SID: "sid-1"}, []string{"s001"}},
		"run out":              {store.SessionQuery{ExpiredBefore: at(101)}, []string{"s000", "s001"}},
		"left alone":           {store.SessionQuery{ExpiredBefore: at(12), Idle: 10 * time.Second}, []string{"s000", "s001", "s002"}},
	} {
		if d := cmp.Diff(c.want, in.ids(c.q)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	view(t, in.s, func(r store.Reader) error {
		got, err := r.SessionByHash(t.Context(), []byte("hash-2"))
		if err != nil || got.ID != "s002" {
			t.Errorf("by its hash: %+v %v", got, err)
		}
		if _, err := r.SessionByHash(t.Context(), []byte("hash")); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("an unknown hash: %v", err)
		}
		return nil
	})
}

// end uses one, and ends all: some by a query, and the others with their users.
func (in *signedIn) end() {
	t, s, ctx := in.t, in.s, in.t.Context()
	update(t, s, func(w store.Writer) error {
		in.want["s002"].LastSeenAt = at(40)
		for _, when := range []int64{40, 30} { // a later word is not taken back by an earlier one
			if err := w.SeeSession(ctx, "s002", at(when)); err != nil {
				return err
			}
		}
		return w.SeeSession(ctx, "gone", at(1))
	})
	update(t, s, func(w store.Writer) error {
		gone, err := w.DeleteSessions(ctx, store.SessionQuery{UserID: "u1"})
		if d := cmp.Diff([]string{"s000", "s001"}, gone); d != "" {
			t.Error(d)
		}
		return err
	})
	if d := cmp.Diff([]string{"s002", "s003"}, in.ids(store.SessionQuery{})); d != "" {
		t.Error(d)
	}
	// Who leaves is not signed in when he comes back.
	update(t, s, func(w store.Writer) error {
		for _, id := range []string{"u2", "u3"} {
			u := store.UserRecord{User: model.User{ID: id, Username: id, Kind: model.Person, Active: id != "u2"}, Revision: 1}
			if err := w.PutUser(ctx, &u); err != nil {
				return err
			}
		}
		return w.DeleteUser(ctx, "u3")
	})
	if got := in.ids(store.SessionQuery{}); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
}
