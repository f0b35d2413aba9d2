package provision

import (
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/secret"
	"github.com/sallyport/sallyport/internal/store"
)

func byName(s string) directory.Key { return directory.Key{By: directory.ByUsername, A: s} }
func byKey(s string) directory.Key  { return directory.Key{By: directory.ByKeyID, A: s} }

func TestSomebodyCanAlwaysAdminister(t *testing.T) {
	r := newRoom(t)
	r.put(store.KindAdministrators, "root", `{"roles":["admin"],"credentials":[{"type":"password","password":"pw"}]}`)
	r.put(store.KindAdministrators, "oscar", `{"roles":["operator"],"credentials":[{"type":"password","password":"pw"}]}`)
	refused := func(t *testing.T, err error) {
		t.Helper()
		wantCode(t, err, model.Conflict)
	}
	try := func(body string) error {
		_, err := r.tryPut(root, store.KindAdministrators, "root", body, Condition{})
		return err
	}
	_, err := r.Delete(t.Context(), root, store.KindAdministrators, "root", Condition{})
	refused(t, err)
	refused(t, try(`{"roles":["admin"],"active":false}`))
	refused(t, try(`{"roles":["operator"]}`))
	refused(t, try(`{"roles":["admin"],"credentials":[]}`))
	refused(t, r.DeleteCredential(t.Context(), root, store.KindAdministrators, "root", r.admin("root").Credentials[0].ID))

	// A second admin without a way in does not count, and one with does.
	r.put(store.KindAdministrators, "second", `{"roles":["admin"]}`)
	refused(t, try(`{"roles":["admin"],"credentials":[]}`))
	token, err := r.AddCredential(t.Context(), root, store.KindAdministrators, "second", model.Credential{Type: model.AdminToken})
	if err != nil || !strings.HasPrefix(token.Secret, "spa_") {
		t.Fatal(token, err)
	}
	if err := try(`{"roles":["operator"]}`); err != nil {
		t.Fatal(err)
	}
	refused(t, r.DeleteCredential(t.Context(), root, store.KindAdministrators, "second", token.ID))
	if _, err := r.Delete(t.Context(), root, store.KindAdministrators, "oscar", Condition{}); err != nil {
		t.Errorf("another administrator cannot be deleted: %v", err)
	}
}

func (r *room) admin(name string) *model.Administrator {
	r.t.Helper()
	a, err := r.Administrator(r.t.Context(), name)
	if err != nil {
		r.t.Fatal(err)
	}
	return a
}

func TestAnAdministratorIsFoundByWhatALoginShows(t *testing.T) {
	r := newRoom(t)
	finger := strings.Repeat("0a", 32)
	r.put(store.KindAdministrators, "root", `{"roles":["admin"],"credentials":[{"type":"password","password":"pw"},{"type":"certificate","fingerprint":"`+finger+`"},{"type":"certificate","uri":"spiffe://x/root"}]}`)
	token, err := r.AddCredential(t.Context(), root, store.KindAdministrators, "root", model.Credential{Type: model.AdminToken})
	if err != nil {
		t.Fatal(err)
	}
	id, hash, _ := secret.ParseAdminToken(token.Secret)
	for _, name := range []string{"root", id, "token:" + id, "fingerprint:" + strings.ToUpper(finger), "uri:spiffe://x/root"} {
		a := r.admin(name)
		if a.Name != "root" || a.Credentials[3].Hash != hash {
			t.Errorf("%s: %+v", name, a)
		}
	}
	for _, name := range []string{"", "Root", "token:", "uri:", "fingerprint:", "password", "token:root", a62(id), "dns:spiffe://x/root"} {
		_, err := r.Administrator(t.Context(), name)
		if code(err) != model.NotFound {
			t.Errorf("%q: %v", name, err)
		}
	}
	o, _ := r.Get(t.Context(), store.KindAdministrators, "root")
	for _, c := range o.Value.(*model.Administrator).Credentials {
		if c.Hash != "" && c.Hash != model.Mask {
			t.Errorf("a hash is shown: %+v", c)
		}
	}
}

// a62 is another id of the same length.
func a62(id string) string { return "x" + id[1:] + "x" }

func TestAdministratorsCredentialsAreTheirOwn(t *testing.T) {
	r := newRoom(t).furnish()
	r.put(store.KindAdministrators, "root", `{"roles":["admin"],"credentials":[{"type":"certificate","dns":"Ops.Example.com"}]}`)
	_, err := r.tryPut(root, store.KindAdministrators, "other", `{"roles":["auditor"],"credentials":[{"type":"certificate","dns":"ops.example.com"}]}`, Condition{})
	wantCode(t, err, model.Conflict)
	_, err = r.tryPut(root, store.KindAdministrators, "other", `{"roles":["king"],"credentials":[{"type":"apiKey"},{"type":"password","password":"a","scopes":["writer"]}]}`, Condition{})
	wantFault(t, err, "roles[0]", "credentials[0].type", "credentials[1].scopes")
	// The same certificate may be a user's: the two sides never meet.
	if _, err := r.AddCredential(t.Context(), root, KindUsers, "bob", model.Credential{Type: model.Certificate, DNS: "ops.example.com"}); err != nil {
		t.Error(err)
	}
	_, err = r.AddCredential(t.Context(), root, "services", "orders", model.Credential{Type: model.Password, Password: "x"})
	wantCode(t, err, model.NotFound)
	_, err = r.ListCredentials(t.Context(), "services", "orders")
	wantCode(t, err, model.NotFound)
}

func TestAnUnchangedAdministratorMakesNoRevision(t *testing.T) {
	r := newRoom(t)
	body := `{"roles":["admin"],"credentials":[{"type":"password","password":"pw"}]}`
	r.put(store.KindAdministrators, "root", body)
	revision := r.revision()
	out := r.put(store.KindAdministrators, "root", body)
	if out.Object == nil || out.Object.ETag != etag(revision) || r.revision() != revision {
		t.Errorf("%+v", out)
	}
	o, _ := r.Get(t.Context(), store.KindAdministrators, "root")
	a := o.Value.(*model.Administrator)
	if _, err := r.Put(t.Context(), root, store.KindAdministrators, "root", a, Condition{IfMatch: o.ETag}); err != nil || r.revision() != revision {
		t.Errorf("putting what was read: %v", err)
	}
	if a.CreatedAt.IsZero() || a.UpdatedAt.IsZero() {
		t.Errorf("%+v", a)
	}
	if e := r.lastEvent(); e.Type != model.EventAdmin || e.User != "" {
		t.Errorf("%+v", e)
	}
}

func TestTheLastAdminsExpiredCredentialCanBeReplaced(t *testing.T) {
	r := newRoom(t)
	r.put(store.KindAdministrators, "root", `{"roles":["admin"],"credentials":[{"type":"password","password":"pw","expiresAt":"2030-06-01T00:00:00Z"}]}`)
	r.clock = time.Date(2030, 7, 1, 0, 0, 0, 0, time.UTC)
	r.put(store.KindAdministrators, "root", `{"roles":["admin"],"credentials":[{"type":"password","password":"new"}]}`)
	if a := r.admin("root"); len(a.Credentials) != 1 || a.Credentials[0].ExpiresAt != nil {
		t.Errorf("%+v", a)
	}
}
