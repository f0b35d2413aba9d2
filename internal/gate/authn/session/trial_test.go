package session

import (
	"context"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/model"
)

type one struct {
	session *directory.Session
	user    *directory.Principal
}

func (o one) Find(context.Context, string, time.Time) (*directory.Session, error) {
	return o.session, nil
}
func (o one) User(context.Context, string) (*directory.Principal, error) { return o.user, nil }

// What is only asked about does not count as a use: else explaining a request with
// somebody's cookie would keep the session alive.
func TestExplainingDoesNotExtendASession(t *testing.T) {
	began := time.Unix(1_000_000, 0)
	s := &directory.Session{ID: "s1", UserID: "1", Created: began, Expires: began.Add(8 * time.Hour)}
	s.SetIdle(15 * time.Minute)
	s.SetSeen(began)
	all := one{s, directory.NewPrincipal(model.User{ID: "1", Username: "alice", Active: true})}
	m := New(all, all, authn.NewCache(0), nil, time.Now)
	ask := func(after time.Duration, trial bool) {
		t.Helper()
		r := &model.Request{Time: began.Add(after), Trial: trial, Fields: []model.Field{{Name: "Cookie", Value: Cookie + "=x"}}}
		if got := m.Authenticate(context.Background(), r); got.Outcome != authn.Proven {
			t.Fatalf("%+v", got)
		}
	}
	ask(time.Minute, true)
	if !s.Seen().Equal(began) {
		t.Error("found by a trial, it was used")
	}
	ask(2*time.Minute, false)
	ask(3*time.Minute, true)
	if !s.Seen().Equal(began.Add(2 * time.Minute)) {
		t.Errorf("known, it was used at %v", s.Seen())
	}
}
