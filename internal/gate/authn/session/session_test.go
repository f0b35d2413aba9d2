package session

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/gate/authn/authntest"
	"github.com/sallyport/sallyport/internal/model"
)

// book is sessions in memory, by their cookies.
type book struct {
	mu    sync.Mutex
	all   map[string]*directory.Session
	fault error
	asked int
}

func (b *book) Find(_ context.Context, cookie string, now time.Time) (*directory.Session, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked++
	if s := b.all[cookie]; b.fault == nil && s != nil && s.Runs(now) {
		return s, nil
	}
	return nil, b.fault
}

func begun(user, provider string) *directory.Session {
	now := authntest.Now()
	s := &directory.Session{ID: "ses_" + user, UserID: user, Credential: "c1", Provider: provider, Created: now, Expires: now.Add(time.Hour),
		Claims: map[string]any{"sub": "x"}}
	s.SetIdle(15 * time.Minute)
	s.SetSeen(now)
	return s
}

func person(id string) model.User {
	return model.User{ID: id, Username: id, Kind: model.Person, Active: true, Credentials: []model.Credential{{ID: "c1", Type: model.Link}}}
}

var corp = model.IdentityProvider{Name: "corp", Type: model.ProviderOIDC, Enabled: true}

func with(cookie string) func(testing.TB) *model.Request {
	return func(testing.TB) *model.Request { return authntest.Request("Cookie", cookie) }
}

func TestSessionKeepsTheContract(t *testing.T) {
	d := &authntest.Directory{}
	d.Put(person("u1"))
	b := &book{all: map[string]*directory.Session{"good": begun("u1", "corp"), "of nobody": begun("u9", "corp"), "of another provider": begun("u1", "gone")}}
	authntest.Run(t, authntest.Suite{
		Method: func(testing.TB) authn.Method {
			return New(b, d, authn.NewCache(100), []model.IdentityProvider{corp}, authntest.Now)
		},
		Good: with("a=b; " + Cookie + "=good; c=d"),
		Absent: map[string]func(testing.TB) *model.Request{
			"another cookie":                            with("sallyport=good"),
			"a cookie whose name is cased otherwise":    with("__host-sallyport=good"),
			"the prefix misspelt (GHSA-jjmg-x456-w976)": with("Host__sallyport=good"),
			"a longer name":                             with(Cookie + "-csrf=good"),
			"an empty cookie":                           with(Cookie + "="),
			"a cookie that is too long":                 with(Cookie + "=" + strings.Repeat("a", 1000)),
			"garbage (authentik CVE-2026-25748)":        with(Cookie + "=\xff\x00;;;="),
			"a session that never was":                  with(Cookie + "=other"),
			"a session whose user is gone":              with(Cookie + "=of nobody"),
			"a session whose provider is gone":          with(Cookie + "=of another provider"),
			"the session in another field":              func(testing.TB) *model.Request { return authntest.Request("Authorization", Cookie+"=good") },
		},
		Bad: map[string]func(testing.TB) *model.Request{
			"two different cookies in one field": with(Cookie + "=good; " + Cookie + "=other"),
			"two different cookies in two fields": func(testing.TB) *model.Request {
				return authntest.Request("Cookie", Cookie+"=other", "Cookie", Cookie+"=good")
			},
		},
		Secrets:    []string{"good"},
		Fail:       func(err error) { d.Fail(err); b.mu.Lock(); b.fault = err; b.mu.Unlock() },
		Deactivate: func() { u := person("u1"); u.Active = false; d.Put(u) },
	})
}

func TestASessionEndsForItsNextRequest(t *testing.T) {
	for name, end := range map[string]func(s *directory.Session, d *authntest.Directory, now *time.Time){
		"ended":        func(s *directory.Session, _ *authntest.Directory, _ *time.Time) { s.End() },
		"left alone":   func(_ *directory.Session, _ *authntest.Directory, now *time.Time) { *now = now.Add(16 * time.Minute) },
		"user deleted": func(_ *directory.Session, d *authntest.Directory, _ *time.Time) { d.Remove("u1") },
		"link revoked": func(_ *directory.Session, d *authntest.Directory, _ *time.Time) {
			u := person("u1")
			u.Credentials = nil
			d.Put(u)
		},
		"shorter still": func(s *directory.Session, _ *authntest.Directory, now *time.Time) {
			s.SetIdle(time.Second)
			*now = now.Add(2 * time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			d, s, now := &authntest.Directory{}, begun("u1", "corp"), authntest.Now()
			d.Put(person("u1"))
			m := New(&book{all: map[string]*directory.Session{"good": s}}, d, authn.NewCache(100), []model.IdentityProvider{corp}, func() time.Time { return now })
			r := authntest.Request("Cookie", Cookie+"=good")
			ask := func() authn.Result { r.Time = now; return m.Authenticate(context.Background(), r) }
			for range 2 {
				if res := ask(); res.Outcome != authn.Proven || res.Proof.Session != s || !res.Proof.Ambient || res.Proof.Credential.ID != s.ID {
					t.Fatalf("%+v", res)
				}
			}
			end(s, d, &now)
			if res := ask(); res.Outcome != authn.NotMine || res.Detail == "" {
				t.Errorf("%+v", res)
			}
		})
	}
}

// Keycloak CVE-2026-2603: a provider that is switched off takes its sessions along.
func TestAProviderThatIsSwitchedOffTakesItsSessionsAlong(t *testing.T) {
	d := &authntest.Directory{}
	d.Put(person("u1"))
	cache, b := authn.NewCache(100), &book{all: map[string]*directory.Session{"good": begun("u1", "corp")}}
	off := corp
	off.Enabled = false
	for _, c := range []struct {
		provider model.IdentityProvider
		want     authn.Outcome
	}{{corp, authn.Proven}, {off, authn.NotMine}, {corp, authn.Proven}} {
		m := New(b, d, cache, []model.IdentityProvider{c.provider}, authntest.Now)
		if res := m.Authenticate(context.Background(), authntest.Request("Cookie", Cookie+"=good")); res.Outcome != c.want {
			t.Errorf("enabled %v: %+v", c.provider.Enabled, res)
		}
	}
}

func TestAChangeOfTheUserIsReadAnew(t *testing.T) {
	d := &authntest.Directory{}
	d.Put(person("u1"))
	m := New(&book{all: map[string]*directory.Session{"good": begun("u1", "corp")}}, d, authn.NewCache(100), []model.IdentityProvider{corp}, authntest.Now)
	ask := func() authn.Result {
		return m.Authenticate(context.Background(), authntest.Request("Cookie", Cookie+"=good"))
	}
	before := ask().Proof.Principal
	u := person("u1")
	u.Roles = []string{"more"}
	d.Put(u)
	if after := ask().Proof.Principal; after == before || len(after.User.Roles) != 1 {
		t.Error("the old user is still in use (CVE-2021-41230)")
	}
	d.Fail(errors.New("away"))
	if res := ask(); res.Outcome != authn.Proven {
		t.Errorf("a known session fails while the store is away: %+v", res)
	}
}

// A narrowed password opens no more by a login page than by itself.
func TestALoginGivesNoMoreThanTheCredentialItWasBegunWith(t *testing.T) {
	d := &authntest.Directory{}
	u := person("u1")
	end := authntest.Now().Add(10 * time.Minute)
	u.Credentials[0].ExpiresAt, u.Credentials[0].Scopes, u.Credentials[0].Addresses = &end, []string{"reader"}, []string{"10.0.0.0/8"}
	d.Put(u)
	b := &book{all: map[string]*directory.Session{"good": begun("u1", "corp")}}
	now := authntest.Now()
	m := New(b, d, authn.NewCache(100), []model.IdentityProvider{corp}, func() time.Time { return now })
	for range 2 { // looked up, and from the cache
		r := m.Authenticate(t.Context(), authntest.Request("Cookie", Cookie+"=good"))
		if r.Outcome != authn.Proven || !r.Proof.Narrow || len(r.Proof.Scopes) != 1 || len(r.Proof.Credential.Addresses) != 1 || !r.Proof.Expires.Equal(end) {
			t.Fatalf("%+v %+v", r, r.Proof)
		}
	}
	now = end
	r := authntest.Request("Cookie", Cookie+"=good")
	r.Time = now
	if res := m.Authenticate(t.Context(), r); res.Outcome != authn.NotMine {
		t.Errorf("after the credential's end: %+v", res)
	}
}
