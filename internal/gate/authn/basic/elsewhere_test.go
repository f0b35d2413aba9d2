package basic

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/gate/authn/authntest"
	"github.com/sallyport/sallyport/internal/model"
)

// directories answers for providers: passwords by "provider/username".
type directories struct {
	mu        sync.Mutex
	passwords map[string]string
	down      map[string]bool
	asked     []string
	block     chan struct{}
}

func (d *directories) Ask(_ context.Context, p *model.IdentityProvider, username, password string) (authn.PasswordAnswer, error) {
	d.mu.Lock()
	d.asked = append(d.asked, p.Name+"/"+username)
	want, known := d.passwords[p.Name+"/"+username]
	down, block := d.down[p.Name], d.block
	d.mu.Unlock()
	if block != nil {
		<-block
	}
	switch {
	case down:
		return authn.PasswordAnswer{}, errors.New("no route to host")
	case !known:
		return authn.PasswordAnswer{Refusal: "no user of that name"}, nil
	case want != password:
		return authn.PasswordAnswer{Known: true, Refusal: "the password is wrong"}, nil
	}
	subject := p.Name + "-" + username
	return authn.PasswordAnswer{Known: true, Subject: subject, Claims: map[string]any{"sub": subject, "preferred_username": username}}, nil
}

func (d *directories) questions() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := strings.Join(d.asked, " ")
	d.asked = nil
	return s
}

func ldaps(names ...string) (list []model.IdentityProvider) {
	for _, n := range names {
		list = append(list, model.IdentityProvider{Name: n, Type: model.ProviderLDAP, Enabled: !strings.HasPrefix(n, "off")})
	}
	return list
}

func elsewhere(t testing.TB, d *authntest.Directory, asker authn.Passwords) *Method {
	t.Helper()
	m := method(d)
	m.Elsewhere = NewElsewhere(asker, ldaps("second", "first", "off"))
	return m
}

func TestADirectorysUsersKeepTheContract(t *testing.T) {
	d, asker := &authntest.Directory{}, &directories{passwords: map[string]string{"first/carol": password}}
	d.Put(alice(hashed(t, "local")), model.User{ID: "u2", Username: "carol", Active: true})
	good := field("carol", password)
	bad := func(value string) func(testing.TB) *model.Request { return request("Authorization", value) }
	authntest.Run(t, authntest.Suite{
		Method: func(testing.TB) authn.Method { return elsewhere(t, d, asker) },
		Good:   request("Authorization", good),
		Absent: map[string]func(testing.TB) *model.Request{"a bearer token": bad("Bearer abc")},
		Bad: map[string]func(testing.TB) *model.Request{
			"a wrong password":   bad(field("carol", "wrong")),
			"an empty password":  bad(field("carol", "")),
			"nobody anywhere":    bad(field("mallory", password)),
			"another's password": bad(field("alice", password)),
		},
		Secrets: []string{password, good[6:]},
		Fail:    d.Fail,
	})
}

func TestWhoHasAPasswordHereIsJudgedByThatAlone(t *testing.T) {
	d := &authntest.Directory{}
	d.Put(alice(hashed(t, "local")))
	asker := &directories{passwords: map[string]string{"first/alice": "theirs", "first/carol": "theirs"}}
	m := elsewhere(t, d, asker)
	if r := ask(m, "Authorization", field("alice", "theirs")); r.Outcome != authn.Bad || r.Err.Code != model.CredentialInvalid {
		t.Errorf("a directory's password for a local user: %+v", r)
	}
	if r := ask(m, "Authorization", field("alice", "local")); r.Outcome != authn.Proven || r.Proof.Provider != "" {
		t.Errorf("the local password: %+v", r)
	}
	if q := asker.questions(); q != "" {
		t.Errorf("a local user's name was told to %s", q)
	}
	d.Put(model.User{ID: "u3", Username: "carol", Active: true})
	r := ask(m, "Authorization", field("carol", "theirs"))
	if r.Outcome != authn.Proven || r.Proof.Provider != "first" || r.Proof.Principal != nil || r.Proof.Subject != "first-carol" || !r.Proof.Ambient {
		t.Fatalf("a user without a password here: %+v", r)
	}
	// The gate has found the user behind it; then the user gets a password here.
	who, _ := d.User(t.Context(), "u3")
	r.Proof.WithPrincipal(who)
	d.Put(model.User{ID: "u3", Username: "carol", Active: true,
		Credentials: []model.Credential{{ID: "c9", Type: model.Password, Hash: hashed(t, "local")}}})
	if r := ask(m, "Authorization", field("carol", "theirs")); r.Outcome != authn.Bad {
		t.Errorf("after there is one: %+v", r)
	}
}

func TestDirectoriesAreAskedInOrderOfName(t *testing.T) {
	asker := &directories{passwords: map[string]string{"first/a": "one", "second/a": "two", "second/b": "two"}, down: map[string]bool{}}
	m := elsewhere(t, &authntest.Directory{}, asker)
	for _, c := range []struct {
		user, pass, provider, asked string
		down                        string
		code                        model.Code
	}{
		{"a", "one", "first", "first/a", "", ""},
		{"a", "two", "", "first/a", "", model.CredentialInvalid},
		{"b", "two", "second", "first/b second/b", "", ""},
		{"c", "two", "", "first/c second/c", "", model.CredentialInvalid},
		{"b", "two", "second", "first/b second/b", "first", ""},
		{"b", "no", "", "first/b second/b", "first", model.IdentityUnavailable},
		{"c", "x", "", "first/c second/c", "second", model.IdentityUnavailable},
		{"a", "no", "", "first/a", "second", model.CredentialInvalid},
	} {
		m.Cache.Drop()
		asker.down = map[string]bool{c.down: true}
		r := ask(m, "Authorization", field(c.user, c.pass))
		got := model.Code("")
		if r.Err != nil {
			got = r.Err.Code
		}
		if q := asker.questions(); got != c.code || q != c.asked || c.code == "" && r.Proof.Provider != c.provider {
			t.Errorf("%s with %s, %s down: %v %q, asked %s", c.user, c.pass, c.down, got, r.Detail, q)
		}
	}
}

func TestAnAnswerIsBelievedForItsTimeAndANoForAMoment(t *testing.T) {
	asker := &directories{passwords: map[string]string{"first/a": "one"}, down: map[string]bool{}}
	m := elsewhere(t, &authntest.Directory{}, asker)
	at := func(after time.Duration, pass string, anew bool) authn.Result {
		r := authntest.Request("Authorization", field("a", pass))
		r.Time, r.Anew = authntest.Time.Add(after), anew
		return m.Authenticate(context.Background(), r)
	}
	for range 5 {
		if r := at(0, "one", false); r.Outcome != authn.Proven {
			t.Fatal(r.Detail)
		}
		if r := at(0, "no", false); r.Outcome != authn.Bad {
			t.Fatal("accepted")
		}
	}
	if q := asker.questions(); q != "first/a first/a" {
		t.Errorf("asked %s", q)
	}
	asker.down["first"], asker.down["second"] = true, true
	if r := at(Positive-time.Second, "one", false); r.Outcome != authn.Proven {
		t.Errorf("known, while the directory is down: %+v", r)
	}
	if r := at(time.Second, "one", true); r.Outcome != authn.Bad || r.Err.Code != model.IdentityUnavailable {
		t.Errorf("a sign-in while the directory is down: %+v", r)
	}
	if r := at(Positive, "one", false); r.Outcome != authn.Bad || r.Err.Code != model.IdentityUnavailable {
		t.Errorf("known too long ago: %+v", r)
	}
	asker.down = nil
	if r := at(Positive, "one", false); r.Outcome != authn.Proven {
		t.Errorf("back: %+v", r)
	}
	asker.mu.Lock()
	delete(asker.passwords, "first/a")
	asker.mu.Unlock()
	asker.questions()
	if r := at(Positive+time.Second, "one", false); r.Outcome != authn.Proven {
		t.Errorf("removed, and still within the time: %+v", r)
	}
	if r := at(Positive+time.Second, "one", true); r.Outcome != authn.Bad || r.Err.Code != model.CredentialInvalid {
		t.Errorf("a sign-in of one who was removed: %+v", r)
	}
	if r := at(Positive+time.Second, "one", false); r.Outcome != authn.Bad {
		t.Errorf("after a sign-in showed that the user is gone: %+v", r)
	}
	if q := asker.questions(); q != "first/a second/a" {
		t.Errorf("asked %s", q)
	}
}

// TestAnotherConfigurationForgets: CVE-2026-33496, CVE-2021-32701.
func TestAnotherConfigurationForgets(t *testing.T) {
	d, asker := &authntest.Directory{}, &directories{passwords: map[string]string{"first/a": "one"}}
	m := elsewhere(t, d, asker)
	ask(m, "Authorization", field("a", "one"))
	list := ldaps("first")
	list[0].UserFilter = "(&(active=TRUE)(uid={username}))"
	for _, e := range []*Elsewhere{NewElsewhere(asker, list), NewElsewhere(asker, ldaps("off")), nil} {
		asker.mu.Lock()
		asker.passwords = nil
		asker.mu.Unlock()
		m.Elsewhere = e
		if r := ask(m, "Authorization", field("a", "one")); r.Outcome != authn.Bad {
			t.Errorf("%+v: %+v", e, r)
		}
	}
	if NewElsewhere(nil, ldaps("first")) != nil {
		t.Error("directories with nobody to ask them")
	}
}

func TestAQuestionAboutARequestLeavesNoTrace(t *testing.T) {
	asker := &directories{passwords: map[string]string{"first/a": "one"}}
	m := elsewhere(t, &authntest.Directory{}, asker)
	for _, pass := range []string{"one", "no"} {
		for range 2 {
			r := authntest.Request("Authorization", field("a", pass))
			r.Trial = true
			m.Authenticate(context.Background(), r)
		}
	}
	if q := asker.questions(); q != "first/a first/a first/a first/a" {
		t.Errorf("asked %s", q)
	}
}

func TestManyWithOnePasswordAskOnce(t *testing.T) {
	asker := &directories{passwords: map[string]string{"first/a": "one"}, block: make(chan struct{})}
	m := elsewhere(t, &authntest.Directory{}, asker)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if r := ask(m, "Authorization", field("a", "one")); r.Outcome != authn.Proven {
				t.Errorf("%+v", r)
			}
		})
	}
	time.Sleep(100 * time.Millisecond)
	close(asker.block)
	wg.Wait()
	if q := asker.questions(); q != "first/a" {
		t.Errorf("asked %s", q)
	}
}

// TestWithDirectoriesUnknownUsersStillCostAHash measures that a directory has not
// made the time tell who has a password here.
func TestWithDirectoriesUnknownUsersStillCostAHash(t *testing.T) {
	d := &authntest.Directory{}
	d.Put(alice(hashed(t, password)))
	m := elsewhere(t, d, &directories{})
	if known, unknown := cost(t, m, "alice"), cost(t, m, "mallory"); unknown < known/2 || unknown > known*2 {
		t.Errorf("an unknown user is refused in %v, a wrong password in %v", unknown, known)
	}
}
