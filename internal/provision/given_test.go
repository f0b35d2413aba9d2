package provision

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
)

// beside is a room where alice (group staff, role writer) is linked to corp, which
// maps groups and roles, and says what it is told to.
func beside(t *testing.T, p model.Provision) (r *room, says func(groups, roles []string)) {
	t.Helper()
	r = newRoom(t).furnish()
	r.put(store.KindRoles, "auditor", `{"permissions":[{"routes":["*"],"methods":["GET"]}]}`)
	r.put(store.KindGroups, "guests", `{"roles":[]}`)
	if p == model.ProvisionOff {
		if _, err := r.AddCredential(t.Context(), root, KindUsers, "alice", model.Credential{Type: model.Link, Provider: "corp", Subject: "sub",
			Given: &model.Given{Roles: []string{"writer"}}}); err != nil { // read only
			t.Fatal(err)
		}
	}
	return r, func(groups, roles []string) {
		t.Helper()
		o := seen(corp(p), "sub", "alice")
		o.Groups, o.Roles, o.Asserted = groups, roles, directory.Asserted{Groups: true, Roles: true}
		if id, _ := r.sight(o); id != r.stored("alice").ID {
			t.Fatal("not linked")
		}
	}
}

func (r *room) has(name string, groups, roles []string) {
	r.t.Helper()
	u := r.stored(name)
	if slices.Sort(u.Groups); !slices.Equal(u.Groups, groups) {
		r.t.Errorf("%s is in the groups %q, want %q", name, u.Groups, groups)
	}
	if slices.Sort(u.Roles); !slices.Equal(u.Roles, roles) {
		r.t.Errorf("%s has the roles %q, want %q", name, u.Roles, roles)
	}
}

func none(names ...string) []string { return append([]string{}, names...) }

// A provider that maps no role of a user, or none any more, must not take away what
// was given here; nor may what it gave outlive its word.
func TestWhatAProviderGivesComesAndGoesBesideWhatIsGivenHere(t *testing.T) {
	for _, p := range []model.Provision{model.ProvisionMatch, model.ProvisionOff} {
		r, says := beside(t, p)
		says(nil, nil)
		r.has("alice", none("staff"), none("writer"))
		says(none("guests"), none("read-only", "auditor"))
		r.has("alice", none("guests", "staff"), none("auditor", "read-only", "writer"))
		revision := r.revision()
		says(none("guests"), none("auditor", "read-only"))
		if r.revision() != revision {
			t.Error("the same in another order writes")
		}
		says(none("guests"), none("auditor"))
		r.has("alice", none("guests", "staff"), none("auditor", "writer"))

		says(none("staff", "guests"), none("writer", "auditor")) // it has these of its own, too
		says(nil, nil)
		r.has("alice", none("staff"), none("writer"))
		if g := r.stored("alice").Credentials; slices.ContainsFunc(g, func(c model.Credential) bool { return c.Given != nil }) {
			t.Errorf("%+v", g)
		}
	}
}

func TestRolesOfTheProviderItselfGoWithThem(t *testing.T) {
	r := newRoom(t).furnish()
	p := corp(model.ProvisionMatch)
	p.Roles = none("read-only")
	r.sight(seen(p, "sub", "alice"))
	r.has("alice", none("staff"), none("read-only", "writer"))
	p.Roles = nil
	r.sight(seen(p, "sub", "alice"))
	r.has("alice", none("staff"), none("writer"))
}

func TestWhatIsGivenEndsWithItsLink(t *testing.T) {
	for name, end := range map[string]func(r *room) error{
		"the link is deleted": func(r *room) error {
			c := r.stored("alice").Credentials
			i := slices.IndexFunc(c, func(c model.Credential) bool { return c.Type == model.Link })
			return r.DeleteCredential(r.t.Context(), root, KindUsers, "alice", c[i].ID)
		},
		"the provider is deleted": func(r *room) error {
			_, err := r.Delete(r.t.Context(), root, store.KindIdentityProviders, "corp", Condition{})
			return err
		},
	} {
		r, says := beside(t, model.ProvisionMatch)
		says(none("guests"), none("auditor"))
		if err := end(r); err != nil {
			t.Fatal(name, err)
		}
		t.Log(name)
		r.has("alice", none("staff"), none("writer"))
	}
}

func TestWritingAUserTakesAwayWhatIsLeftOut(t *testing.T) {
	r, says := beside(t, model.ProvisionMatch)
	says(none("guests"), none("auditor", "read-only"))
	out := r.put(KindUsers, "alice", `{"groups":["staff","guests"],"roles":["writer","auditor"]}`) // as it was read, but for read-only
	r.has("alice", none("guests", "staff"), none("auditor", "writer"))
	if len(out.Warnings) != 1 {
		t.Errorf("%q", out.Warnings)
	}
	r.put(KindUsers, "alice", `{"groups":["staff","guests"],"roles":["writer","auditor","read-only"]}`) // given here, from now on
	says(nil, nil)
	r.has("alice", none("staff"), none("read-only", "writer"))
}

func TestADocumentSaysWhatUsersHaveOfTheirOwn(t *testing.T) {
	r, says := beside(t, model.ProvisionMatch)
	says(none("guests"), none("auditor", "read-only"))
	doc, err := r.Export(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(doc.Users, func(u model.User) bool { return u.Username == "alice" })
	if u := doc.Users[i]; !slices.Equal(u.Roles, none("writer")) || !slices.Equal(u.Groups, none("staff")) ||
		slices.ContainsFunc(u.Credentials, func(c model.Credential) bool { return c.Given != nil }) {
		t.Errorf("exported: %+v", u)
	}
	body, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	if out := r.mustApply(string(body), ApplyOptions{}); len(out.Changes) != 0 {
		t.Errorf("what was exported is no change: %+v", out.Changes)
	}
	r.has("alice", none("guests", "staff"), none("auditor", "read-only", "writer"))
	r.mustApply(`{"users":[{"username":"alice","groups":["staff"],"roles":["writer","auditor"]}]}`, ApplyOptions{}) // of its own, from now on
	says(nil, nil)
	r.has("alice", none("staff"), none("auditor", "writer"))
}
