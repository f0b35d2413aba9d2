package provision

import (
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/secret"
	"github.com/sallyport/sallyport/internal/store"
)

// Grafana CVE-2025-41115: an id taken from outside made its owner the
// administrator of that number.
func TestIDsNeverComeFromOutside(t *testing.T) {
	r := newRoom(t)
	for i, id := range []string{"1", "admin", "0", "alice"} {
		name := "user" + string(rune('a'+i))
		r.put(KindUsers, name, `{"id":"`+id+`","username":"`+name+`","origin":"jit:corp","createdAt":"2001-01-01T00:00:00Z","updatedAt":"2001-01-01T00:00:00Z"}`)
		u := r.user(name)
		if u.ID == id || len(u.ID) != 26 || u.Origin != "" || u.CreatedAt.Year() != 2030 {
			t.Errorf("%+v", u)
		}
		kept := u.ID
		r.put(KindUsers, name, `{"id":"`+id+`","displayName":"changed"}`)
		if u := r.user(name); u.ID != kept || u.DisplayName != "changed" {
			t.Errorf("the id has changed: %+v", u)
		}
	}
}

func TestUsernamesAreOneWhateverTheirCase(t *testing.T) {
	r := newRoom(t).furnish()
	id := r.user("ALICE").ID
	_, err := r.tryPut(root, KindUsers, "Alice", `{"username":"Alice"}`, Condition{IfNoneMatch: true})
	wantCode(t, err, model.Conflict)
	r.put(KindUsers, "aLiCe", `{"username":"Alice","roles":["writer"]}`)
	if u := r.user("alice"); u.ID != id || u.Username != "Alice" {
		t.Errorf("%+v", u)
	}
	if _, err := r.Delete(t.Context(), provisioner, KindUsers, "ALICE", Condition{}); err != nil || r.stored("alice") != nil {
		t.Error(err)
	}
}

func TestAUserIsRenamedByAnotherUsernameInTheBody(t *testing.T) {
	r := newRoom(t).furnish()
	id := r.user("alice").ID
	_, err := r.tryPut(root, KindUsers, "alice", `{"username":"BOB"}`, Condition{})
	wantCode(t, err, model.Conflict)
	_, err = r.tryPut(root, KindUsers, "nobody", `{"username":"somebody"}`, Condition{})
	wantFault(t, err, "username")
	out := r.put(KindUsers, "alice", `{"username":"alicia","roles":["writer"]}`)
	if out.Object.Name != "alicia" || out.Created {
		t.Errorf("%+v", out.Object)
	}
	u := r.stored("alicia")
	if u.ID != id || len(u.Credentials) != 1 || r.stored("alice") != nil {
		t.Errorf("%+v", u)
	}
}

func TestFaultsOfAUserNameTheirPlace(t *testing.T) {
	r := newRoom(t).furnish()
	_, err := r.tryPut(root, KindUsers, "carl", `{"kind":"robot","emails":["a@b@c"],"roles":["writer","none"],"groups":["ghosts"],
		"credentials":[{"type":"password","hash":"plain"},{"type":"token"},{"type":"certificate"},{"type":"link","provider":"none","subject":"x"},{"type":"apiKey"}]}`, Condition{})
	wantFault(t, err, "kind", "emails[0]", "roles[1]", "groups[0]", "credentials[0].hash", "credentials[1].type", "credentials[2]", "credentials[3].provider", "credentials[4]")
	_, err = r.apply(`{"users":[{"username":"carl","roles":["writer","none"]},{"username":"dora","credentials":[{"type":"password","password":"a","hash":"b"}]},{"username":"CARL"}]}`, ApplyOptions{Owner: "apply"})
	wantFault(t, err, "users[0].roles[1]", "users[1].credentials[0]", "users[2].username")
	_, err = r.tryPut(root, KindUsers, "bad\u0007name", `{}`, Condition{})
	wantFault(t, err, "username")
}

func TestADeactivationIsEffectiveOnReturn(t *testing.T) {
	r := newRoom(t).furnish()
	id := r.user("alice").ID
	r.put(KindUsers, "alice", `{"active":false}`)
	if got := r.forgotten[len(r.forgotten)-1]; got != id {
		t.Errorf("forgotten: %v", r.forgotten)
	}
	if u, _, err := r.store.FindUser(t.Context(), byName("alice")); err != nil || u.Active {
		t.Errorf("%+v %v", u, err)
	}
	if e := r.lastEvent(); e.Type != model.EventProvisioning || e.User != "alice" {
		t.Errorf("%+v", e)
	}
}

func TestExpiryOfAUserMayLieInThePast(t *testing.T) {
	r := newRoom(t).furnish()
	r.put(KindUsers, "alice", `{"expiresAt":"2020-01-01T00:00:00.123456789+02:00"}`)
	if u := r.user("alice"); !u.ExpiresAt.Equal(time.Date(2019, 12, 31, 22, 0, 0, 123456000, time.UTC)) {
		t.Errorf("%v", u.ExpiresAt)
	}
	revision := r.revision()
	r.put(KindUsers, "alice", `{"expiresAt":"2020-01-01T00:00:00.123456789+02:00"}`)
	if r.revision() != revision {
		t.Error("the same time counts as a change")
	}
}

func TestPolicyTestsSeeUsersAsTheyWillBe(t *testing.T) {
	r := newRoom(t).furnish()
	r.put(store.KindExpect, "expect", `[{"as":"alice","request":"POST /1.0/orders","then":"allowed"}]`)
	_, err := r.tryPut(provisioner, KindUsers, "Alice", `{"roles":[]}`, Condition{})
	wantFault(t, err, "expect[0]")
	_, err = r.tryPut(provisioner, KindUsers, "alice", `{"username":"alicia","roles":["writer"]}`, Condition{})
	wantFault(t, err, "expect[0]")
	_, err = r.Delete(t.Context(), provisioner, KindUsers, "alice", Condition{})
	wantFault(t, err, "expect[0]")
	compiled := r.compiled
	r.put(KindUsers, "bob", `{"displayName":"Bob"}`)
	if r.compiled != compiled {
		t.Error("a user that no policy test names makes the configuration compile again")
	}
}

func TestAUserIsNoAdministrator(t *testing.T) {
	r := newRoom(t)
	r.put(KindUsers, "admin", `{"username":"admin","credentials":[{"type":"password","password":"pw"}]}`)
	_, err := r.Administrator(t.Context(), "admin")
	wantCode(t, err, model.NotFound)
	r.put(store.KindAdministrators, "root", `{"roles":["admin"]}`)
	_, err = r.Get(t.Context(), KindUsers, "root")
	wantCode(t, err, model.NotFound)
}

func TestCredentialsOfAPutReplaceTheDeclaredAndNoOthers(t *testing.T) {
	r := newRoom(t).furnish()
	r.put(KindUsers, "svc", `{"kind":"service","credentials":[{"type":"password","password":"one"},{"type":"certificate","uri":"spiffe://x/svc"}]}`)
	key, err := r.AddCredential(t.Context(), provisioner, KindUsers, "svc", model.Credential{Type: model.APIKey})
	if err != nil {
		t.Fatal(err)
	}
	types := func() string {
		var s []string
		for _, c := range r.stored("svc").Credentials {
			s = append(s, string(c.Type))
		}
		return strings.Join(s, " ")
	}
	r.put(KindUsers, "svc", `{"kind":"service","displayName":"untouched"}`)
	if got := types(); got != "password certificate apiKey" {
		t.Errorf("left out: %s", got)
	}
	before := r.stored("svc").Credentials
	r.put(KindUsers, "svc", `{"kind":"service","credentials":[{"type":"certificate","uri":"spiffe://x/svc","scopes":["writer"]}]}`)
	if got := types(); got != "certificate apiKey" {
		t.Errorf("one given: %s", got)
	}
	if c := r.stored("svc").Credentials[0]; c.ID != before[1].ID || len(c.Scopes) != 1 {
		t.Errorf("%+v, was %+v", c, before[1])
	}
	r.put(KindUsers, "svc", `{"kind":"service","credentials":[]}`)
	if got := types(); got != "apiKey" {
		t.Errorf("none given: %s", got)
	}
	if c := r.stored("svc").Credentials[0]; c.ID != key.ID || c.Declared {
		t.Errorf("%+v", c)
	}
}

func TestANewPasswordTakesTheOldOnesPlaceUnderANewID(t *testing.T) {
	r := newRoom(t).furnish()
	old := r.stored("alice").Credentials[0]
	r.put(KindUsers, "alice", `{"credentials":[{"id":"`+old.ID+`","type":"password","password":"new-password"}]}`)
	now := r.stored("alice").Credentials
	if len(now) != 1 || now[0].ID == old.ID || now[0].Hash == old.Hash || now[0].Password != "" {
		t.Errorf("%+v", now)
	}
	if _, err := r.AddCredential(t.Context(), provisioner, KindUsers, "alice", model.Credential{Type: model.Password, Password: "third"}); err != nil {
		t.Fatal(err)
	}
	if now := r.stored("alice").Credentials; len(now) != 1 || now[0].Declared {
		t.Errorf("%+v", now)
	}
	r.put(KindUsers, "alice", `{"credentials":[{"type":"password","password":"fourth"}]}`)
	if now := r.stored("alice").Credentials; len(now) != 1 || !now[0].Declared {
		t.Errorf("%+v", now)
	}
	_, err := r.tryPut(root, KindUsers, "alice", `{"credentials":[{"type":"password","password":"a"},{"type":"password","password":"b"}]}`, Condition{})
	wantFault(t, err, "credentials[1]")
}

func TestHashesThatCannotBeCheckedAreRefused(t *testing.T) {
	r := newRoom(t)
	for hash, want := range map[string]model.Code{
		"$apr1$fakesalt$tnuPfB3yeAyWXfm8bK4Ke0": model.Allowed,
		"{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=":     model.Allowed,
		"plain":                                 model.Invalid,
		"$argon2id$v=19$m=99999999,t=1,p=1$c2FsdHNhbHQ$c3Vtc3Vtc3Vtc3Vtc3Vtc3Vtc3VtcwA": model.Invalid,
		"5f4dcc3b5aa765d61d8327deb882cf99":                                              model.Invalid,
	} {
		if want == model.Allowed && secret.CheckHash(hash) != nil {
			t.Fatalf("%s is no example", hash)
		}
		_, err := r.tryPut(root, KindUsers, "x", `{"credentials":[{"type":"password","hash":"`+hash+`"}]}`, Condition{})
		if code(err) != want {
			t.Errorf("%s: %v", hash, err)
		}
	}
	_, err := r.tryPut(root, KindUsers, "x", `{"credentials":[{"type":"password","password":"`+strings.Repeat("x", 1025)+`"}]}`, Condition{})
	wantFault(t, err, "credentials[0].password")
}

func TestAPIKeysAreShownOnce(t *testing.T) {
	r := newRoom(t).furnish()
	end := time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC)
	c, err := r.AddCredential(t.Context(), provisioner, KindUsers, "bob", model.Credential{Type: model.APIKey, ExpiresAt: &end, Scopes: []string{"writer", "orders-v1:GET", "orders-*:*"}, ID: "chosen"})
	if err != nil {
		t.Fatal(err)
	}
	id, hash, ok := secret.ParseAPIKey(c.Secret)
	if !ok || id != c.ID || c.Prefix != "sp_"+id || c.ID == "chosen" || c.CreatedAt.IsZero() || !c.ExpiresAt.Equal(end) || len(c.Scopes) != 3 {
		t.Errorf("%+v", c)
	}
	kept := r.stored("bob").Credentials[0]
	if kept.Hash != hash || kept.Secret != "" {
		t.Errorf("%+v", kept)
	}
	list, err := r.ListCredentials(t.Context(), KindUsers, "BOB")
	if err != nil || len(list) != 1 || list[0].Secret != "" || list[0].Hash != model.Mask || list[0].Prefix != c.Prefix {
		t.Errorf("%+v %v", list, err)
	}
	u, credential, err := r.store.FindUser(t.Context(), byKey(id))
	if err != nil || u.Username != "bob" || credential != c.ID {
		t.Errorf("%+v %s %v", u, credential, err)
	}
	if err := r.DeleteCredential(t.Context(), provisioner, KindUsers, "bob", c.ID); err != nil {
		t.Fatal(err)
	}
	wantCode(t, r.DeleteCredential(t.Context(), provisioner, KindUsers, "bob", c.ID), model.NotFound)
	wantCode(t, r.DeleteCredential(t.Context(), provisioner, KindUsers, "nobody", c.ID), model.NotFound)
	if u, _, _ := r.store.FindUser(t.Context(), byKey(id)); u != nil {
		t.Error("the key still finds its user")
	}
	list, err = r.ListCredentials(t.Context(), KindUsers, "bob")
	if err != nil || list == nil || len(list) != 0 {
		t.Errorf("%+v %v", list, err)
	}
}

func TestBadCredentialsAreRefused(t *testing.T) {
	r := newRoom(t).furnish()
	past := time.Date(2029, 1, 1, 0, 0, 0, 0, time.UTC)
	finger := strings.Repeat("AB:", 31) + "AB"
	if _, err := r.AddCredential(t.Context(), root, KindUsers, "alice", model.Credential{Type: model.Certificate, Fingerprint: finger}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.AddCredential(t.Context(), root, KindUsers, "alice", model.Credential{Type: model.Link, Provider: "corp", Subject: "s"}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.AddCredential(t.Context(), root, KindUsers, "alice", model.Credential{Type: model.PublicKey, PublicKey: publicJWK}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		c    model.Credential
		want model.Code
		path string
	}{
		"an end in the past":             {model.Credential{Type: model.APIKey, ExpiresAt: &past}, model.Invalid, "expiresAt"},
		"an unknown role as scope":       {model.Credential{Type: model.APIKey, Scopes: []string{"writer", "none"}}, model.Invalid, "scopes[1]"},
		"an unknown route as scope":      {model.Credential{Type: model.APIKey, Scopes: []string{"none:GET"}}, model.Invalid, "scopes[0]"},
		"a scope of no method":           {model.Credential{Type: model.APIKey, Scopes: []string{"orders-v1:G T"}}, model.Invalid, "scopes[0]"},
		"a network that is none":         {model.Credential{Type: model.APIKey, Addresses: []string{"10.0.0.0/99"}}, model.Invalid, "addresses[0]"},
		"a key that is brought along":    {model.Credential{Type: model.APIKey, Hash: "x"}, model.Invalid, "hash"},
		"a certificate without a name":   {model.Credential{Type: model.Certificate}, model.Invalid, ""},
		"a certificate of a bad name":    {model.Credential{Type: model.Certificate, Fingerprint: "abc"}, model.Invalid, "fingerprint"},
		"a certificate that is taken":    {model.Credential{Type: model.Certificate, Fingerprint: strings.ToLower(finger)}, model.Conflict, ""},
		"a link that is taken":           {model.Credential{Type: model.Link, Provider: "corp", Subject: "s"}, model.Conflict, ""},
		"a link to an unknown provider":  {model.Credential{Type: model.Link, Provider: "none", Subject: "s"}, model.Invalid, "provider"},
		"a link without a subject":       {model.Credential{Type: model.Link, Provider: "corp"}, model.Invalid, "subject"},
		"a password that is none":        {model.Credential{Type: model.Password}, model.Invalid, "password"},
		"a public key that is none":      {model.Credential{Type: model.PublicKey, PublicKey: "x"}, model.Invalid, "publicKey"},
		"a public key that is missing":   {model.Credential{Type: model.PublicKey}, model.Invalid, "publicKey"},
		"a public key that is taken":     {model.Credential{Type: model.PublicKey, PublicKey: publicPEM}, model.Conflict, ""},
		"a key with another type":        {model.Credential{Type: model.APIKey, PublicKey: publicPEM}, model.Invalid, "publicKey"},
		"an administrator's token":       {model.Credential{Type: model.AdminToken}, model.Invalid, "type"},
		"a type that does not exist yet": {model.Credential{Type: "clientSecret"}, model.Invalid, "type"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := r.AddCredential(t.Context(), root, KindUsers, "bob", c.c)
			wantCode(t, err, c.want)
			if c.want == model.Invalid {
				wantFault(t, err, c.path)
			}
		})
	}
	_, err := r.AddCredential(t.Context(), root, KindUsers, "nobody", model.Credential{Type: model.APIKey})
	wantCode(t, err, model.NotFound)
	_, err = r.AddCredential(t.Context(), root, KindUsers, "alice", model.Credential{Type: model.Link, Provider: "corp", Subject: "s"})
	wantCode(t, err, model.Conflict)
	if len(r.stored("bob").Credentials) != 0 {
		t.Error("a refused credential was stored")
	}
}

func TestAnExpiredCredentialDoesNotStandInTheWayOfAPut(t *testing.T) {
	r := newRoom(t).furnish()
	end := time.Date(2030, 1, 2, 4, 0, 0, 0, time.UTC)
	if _, err := r.AddCredential(t.Context(), root, KindUsers, "bob", model.Credential{Type: model.APIKey, ExpiresAt: &end}); err != nil {
		t.Fatal(err)
	}
	r.clock = end.Add(time.Hour)
	u := r.user("bob")
	u.DisplayName = "Bob"
	if _, err := r.Put(t.Context(), root, KindUsers, "bob", u, Condition{}); err != nil {
		t.Error(err)
	}
}
