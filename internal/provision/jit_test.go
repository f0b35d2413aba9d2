package provision

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
)

func corp(p model.Provision) *model.IdentityProvider {
	return &model.IdentityProvider{Name: "corp", Type: model.ProviderJWT, Enabled: true, Provision: p}
}

func seen(p *model.IdentityProvider, subject, username string) directory.Outside {
	return directory.Outside{Provider: p, Subject: subject, Username: username}
}

func (r *room) sight(o directory.Outside) (string, []string) {
	r.t.Helper()
	id, dropped, err := r.Provision(r.t.Context(), o)
	if err != nil {
		r.t.Fatal(err)
	}
	return id, dropped
}

func TestFirstSightMakesALinkedUser(t *testing.T) {
	r := newRoom(t).furnish()
	p := corp(model.ProvisionJIT)
	p.Roles = []string{"read-only"}
	p.Mapping.Attributes = map[string]string{"dept": "dept"}
	o := seen(p, "sub-1", "Zoe")
	o.Email, o.DisplayName = "zoe@example.com", "Zoe Z"
	o.Roles, o.Groups = []string{"writer", "root", "admin"}, []string{"staff", "non-admin-readers"}
	o.Attributes = map[string]any{"dept": "x"}
	o.Asserted = directory.Asserted{Email: true, DisplayName: true, Groups: true, Roles: true, Attributes: true}
	revision := r.revision()
	id, dropped := r.sight(o)
	if fmt.Sprint(dropped) != "[role root role admin group non-admin-readers]" {
		t.Errorf("dropped: %v", dropped)
	}
	u := r.stored("zoe")
	if u.ID != id || u.Username != "Zoe" || u.Kind != model.Person || !u.Active || u.Origin != "jit:corp" || u.DisplayName != "Zoe Z" ||
		!slices.Equal(u.Roles, []string{"writer", "read-only"}) || !slices.Equal(u.Groups, []string{"staff"}) || !slices.Equal(u.Emails, []string{"zoe@example.com"}) || u.Attributes["dept"] != "x" {
		t.Errorf("%+v", u)
	}
	if len(u.Credentials) != 1 || u.Credentials[0].Type != model.Link || u.Credentials[0].Subject != "sub-1" || u.Credentials[0].Declared {
		t.Errorf("%+v", u.Credentials)
	}
	if e := r.lastEvent(); e.Type != model.EventProvisioning || e.Actor != "jit:corp" || e.Provider != "corp" || e.User != "Zoe" || e.Revision != revision+1 {
		t.Errorf("%+v", e)
	}
	if !slices.Contains(r.forgotten, id) {
		t.Error("the directory was not told")
	}

	events := len(r.events)
	o.Roles = []string{"read-only", "writer", "root"} // the same in another order
	if again, dropped := r.sight(o); again != id || len(dropped) != 2 || len(r.events) != events || r.revision() != revision+1 {
		t.Errorf("a second sight writes: %s %v", again, dropped)
	}
	o.Roles, o.Groups, o.Email = []string{}, nil, ""
	if again, _ := r.sight(o); again != id {
		t.Error(again)
	}
	if u := r.stored("zoe"); !slices.Equal(u.Roles, []string{"read-only"}) || len(u.Groups) != 0 || len(u.Emails) != 0 {
		t.Errorf("what is no longer asserted is still there: %+v", u)
	}
	o.Asserted = directory.Asserted{}
	o.DisplayName = "other"
	r.put(KindUsers, "zoe", `{"displayName":"By hand","roles":["writer"],"groups":["staff"]}`)
	r.sight(o)
	if u := r.stored("zoe"); u.DisplayName != "By hand" || !slices.Equal(u.Groups, []string{"staff"}) || !slices.Equal(u.Roles, []string{"read-only"}) {
		t.Errorf("%+v", u)
	}
	if _, err := r.Administrator(t.Context(), "zoe"); code(err) != model.NotFound {
		t.Error("a provider made an administrator")
	}
}

func TestNobodyBecomesAnotherByChoosingAName(t *testing.T) {
	r := newRoom(t).furnish()
	revision := r.revision()
	for _, name := range []string{"alice", "ALICE", "Bob"} {
		id, _, err := r.Provision(t.Context(), seen(corp(model.ProvisionJIT), "sub-"+name, name))
		if e := wantCode(t, err, model.CredentialInvalid); id != "" || strings.Contains(e.Message, "alice") {
			t.Errorf("%s: %s %v", name, id, err)
		}
	}
	for _, name := range []string{"", "a\x00b", strings.Repeat("x", 255)} {
		_, _, err := r.Provision(t.Context(), seen(corp(model.ProvisionJIT), "sub", name))
		wantCode(t, err, model.CredentialInvalid)
	}
	if r.revision() != revision {
		t.Error("a refused sight wrote")
	}
	// The same subject of another provider is another user.
	other := corp(model.ProvisionJIT)
	other.Name = "other"
	r.put(store.KindIdentityProviders, "other", `{"type":"jwt","issuer":"https://b.example.com","audiences":["b"]}`)
	a, _ := r.sight(seen(corp(model.ProvisionJIT), "sub", "yan"))
	if _, _, err := r.Provision(t.Context(), seen(other, "sub", "yan")); code(err) != model.CredentialInvalid {
		t.Errorf("another provider's subject is %s too: %v", a, err)
	}
}

func TestMatchLinksAUserOnce(t *testing.T) {
	r := newRoom(t).furnish()
	p := corp(model.ProvisionMatch)
	id, _ := r.sight(seen(p, "sub-a", "Alice"))
	if id != r.stored("alice").ID {
		t.Errorf("%s", id)
	}
	if u := r.stored("alice"); !slices.Equal(u.Roles, []string{"writer"}) || u.Origin != "" || len(u.Credentials) != 2 {
		t.Errorf("%+v", u)
	}
	if again, _ := r.sight(seen(p, "sub-a", "bob")); again != id {
		t.Error("the username outweighs the link")
	}
	_, _, err := r.Provision(t.Context(), seen(p, "sub-b", "alice"))
	wantCode(t, err, model.CredentialInvalid)
	if id, _ := r.sight(seen(p, "sub-c", "nobody")); id != "" || r.stored("nobody") != nil {
		t.Error("match made a user")
	}
	r.put(KindUsers, "bob", `{"active":false}`)
	_, _, err = r.Provision(t.Context(), seen(p, "sub-d", "bob"))
	wantCode(t, err, model.CredentialInvalid)
}

func TestMatchByEmailNeedsATrustedAndUnambiguousAddress(t *testing.T) {
	r := newRoom(t).furnish()
	p := corp(model.ProvisionMatch)
	p.MatchBy = "email"
	o := seen(p, "sub", "bob")
	o.Email = "Alice@Example.com"
	if id, _ := r.sight(o); id != "" {
		t.Error("an address that is not trusted linked a user")
	}
	p.TrustEmail = true
	for _, bad := range []string{"", "alice@example.com@evil.example", "alice@evil.example"} {
		o.Email = bad
		if id, _ := r.sight(o); id != "" {
			t.Errorf("%q linked a user", bad)
		}
	}
	r.put(KindUsers, "twin", `{"emails":["twin@example.com"]}`)
	r.put(KindUsers, "twin2", `{"emails":["TWIN@example.com"]}`)
	o.Email = "twin@example.com"
	_, _, err := r.Provision(t.Context(), o)
	wantCode(t, err, model.CredentialInvalid)
	o.Email = "Alice@Example.com"
	if id, _ := r.sight(o); id != r.stored("alice").ID {
		t.Error("not linked")
	}
}

func TestOffKnowsOnlyLinks(t *testing.T) {
	r := newRoom(t).furnish()
	p := corp(model.ProvisionOff)
	if id, _ := r.sight(seen(p, "sub", "alice")); id != "" {
		t.Error("linked")
	}
	if _, err := r.AddCredential(t.Context(), root, KindUsers, "alice", model.Credential{Type: model.Link, Provider: "corp", Subject: "sub"}); err != nil {
		t.Fatal(err)
	}
	if id, _ := r.sight(seen(p, "sub", "x")); id != r.stored("alice").ID {
		t.Error("the link is not known")
	}
	p.Enabled = false
	if id, _ := r.sight(seen(p, "sub", "x")); id != "" {
		t.Error("a disabled provider vouches (Keycloak CVE-2026-2603)")
	}
	if id, _ := r.sight(seen(corp(model.ProvisionJIT), "", "x")); id != "" {
		t.Error("an identity without a subject is somebody")
	}
}

// better-auth #10419, #11111: a sight must not bring back who was deactivated.
func TestADeactivatedUserStaysSoHoweverOftenSeen(t *testing.T) {
	r := newRoom(t).furnish()
	p := corp(model.ProvisionJIT)
	o := seen(p, "sub", "zoe")
	o.Asserted.Roles = true
	id, _ := r.sight(o)
	r.put(KindUsers, "zoe", `{"active":false}`)
	revision := r.revision()
	o.Roles = []string{"writer"}
	if again, _ := r.sight(o); again != id || r.stored("zoe").Active || r.revision() != revision {
		t.Error("a sight changes a deactivated user")
	}
	// Deleted and seen again is a new user of the same name, with another id.
	if _, err := r.Delete(t.Context(), root, KindUsers, "zoe", Condition{}); err != nil {
		t.Fatal(err)
	}
	if again, _ := r.sight(o); again == id || again == "" {
		t.Errorf("%s", again)
	}
}

func TestOnlyOneProviderDescribesAUser(t *testing.T) {
	r := newRoom(t).furnish()
	r.put(store.KindIdentityProviders, "other", `{"type":"jwt","issuer":"https://b.example.com","audiences":["b"]}`)
	a := seen(corp(model.ProvisionJIT), "sub", "zoe")
	a.Roles, a.Asserted.Roles = []string{"writer"}, true
	r.sight(a)
	if _, err := r.AddCredential(t.Context(), root, KindUsers, "zoe", model.Credential{Type: model.Link, Provider: "other", Subject: "s"}); err != nil {
		t.Fatal(err)
	}
	revision := r.revision()
	b := a
	b.Provider, b.Subject, b.Roles = &model.IdentityProvider{Name: "other", Enabled: true, Provision: model.ProvisionOff}, "s", []string{"read-only"}
	for range 3 {
		r.sight(a)
		r.sight(b)
	}
	if r.revision() != revision || !slices.Equal(r.stored("zoe").Roles, []string{"writer"}) {
		t.Error("two providers rewrite the user in turn")
	}
}

func TestAProviderThatIsGoneMakesNoMoreUsers(t *testing.T) {
	r := newRoom(t).furnish()
	r.put(store.KindIdentityProviders, "corp", `{"enabled":false,"type":"jwt","issuer":"https://idp.example.com","audiences":["api"]}`)
	if id, _ := r.sight(seen(corp(model.ProvisionJIT), "sub", "zoe")); id != "" {
		t.Error("disabled since, it made a user")
	}
	if _, err := r.Delete(t.Context(), root, store.KindIdentityProviders, "corp", Condition{}); err != nil {
		t.Fatal(err)
	}
	for _, p := range []model.Provision{model.ProvisionJIT, model.ProvisionMatch} {
		if id, _ := r.sight(seen(corp(p), "sub", "alice")); id != "" {
			t.Error("deleted since, it linked a user")
		}
	}
}

func TestConcurrentFirstSightsMakeOneUser(t *testing.T) {
	r := newRoom(t).furnish()
	revision := r.revision()
	ids := make([]string, 50)
	var wait sync.WaitGroup
	for i := range ids {
		wait.Go(func() {
			id, _, err := r.Provision(t.Context(), seen(corp(model.ProvisionJIT), "sub", "zoe"))
			if err != nil {
				t.Error(err)
			}
			ids[i] = id
		})
	}
	wait.Wait()
	for _, id := range ids {
		if id == "" || id != ids[0] {
			t.Fatalf("%v", ids)
		}
	}
	if r.revision() != revision+1 {
		t.Errorf("%d revisions", r.revision()-revision)
	}
}

func TestASightThatCannotBeRecordedOrStoredIsNoRefusal(t *testing.T) {
	r := newRoom(t).furnish()
	r.recordErr = errors.New("disk full")
	_, _, err := r.Provision(t.Context(), seen(corp(model.ProvisionJIT), "sub", "zoe"))
	wantCode(t, err, model.AuditUnavailable)
	r.recordErr = nil
	r.over(&failing{Store: r.store, fail: true})
	_, _, err = r.Provision(t.Context(), seen(corp(model.ProvisionJIT), "sub", "zoe"))
	wantCode(t, err, model.IdentityUnavailable)
	r.store.Close()
	_, _, err = r.Provision(t.Context(), seen(corp(model.ProvisionJIT), "sub", "zoe"))
	wantCode(t, err, model.IdentityUnavailable)
}
