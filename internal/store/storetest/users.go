package storetest

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
)

// full is a user with every field that is kept.
func full() *store.UserRecord {
	ends, used := at(100), at(50)
	r := record("u-full", "Алиса Ames <a&b>",
		model.Credential{ID: "c1", Type: model.Password, Hash: "$argon2id$x", CreatedAt: at(2), Declared: true},
		model.Credential{ID: "c2", Type: model.APIKey, Prefix: "sp_k1", Hash: "sha", CreatedAt: at(3), ExpiresAt: &ends,
			LastUsed: &used, Scopes: []string{"reader", "orders:GET"}, Addresses: []string{"10.0.0.0/8"}},
		model.Credential{ID: "c3", Type: model.Certificate, Fingerprint: "AB:CD", CreatedAt: at(4)},
		model.Credential{ID: "c4", Type: model.Certificate, URI: "spiffe://x/y", CreatedAt: at(4)},
		model.Credential{ID: "c5", Type: model.Certificate, DNS: "Svc.Example.com", CreatedAt: at(4)},
		model.Credential{ID: "c6", Type: model.Certificate, Email: "A@example.com", CreatedAt: at(4)},
		model.Credential{ID: "c7", Type: model.Certificate, Subject: "CN=a,O=b", CreatedAt: at(4)},
		link("c8", "corp", "00u1"),
		model.Credential{ID: "c9", Type: model.PublicKey, PublicKey: "PEM", KeyID: "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs", CreatedAt: at(4)})
	u := &r.User
	u.Kind, u.DisplayName, u.Emails, u.Active = model.ServiceUser, "Alice", []string{"Alice@Example.com", "a2@example.com"}, false
	u.ExpiresAt, u.Groups, u.Roles, u.Origin = &ends, []string{"staff", "ops"}, []string{"reader"}, "jit:corp"
	u.Attributes = map[string]any{"n": 1.5, "list": []any{"a", true, nil}, "deep": map[string]any{"x": "y"}}
	r.Revision, r.Owner = 7, "apply"
	return r
}

// fullKeys lead to full, each by the credential of that id.
func fullKeys() map[string]directory.Key {
	return map[string]directory.Key{
		"c1": {By: directory.ByUsername, A: "АЛИСА ames <A&B>"},
		"c2": {By: directory.ByKeyID, A: "k1"},
		"c3": {By: directory.ByCertificate, A: directory.CertFingerprint, B: "abcd"},
		"c4": {By: directory.ByCertificate, A: directory.CertURI, B: "spiffe://x/y"},
		"c5": {By: directory.ByCertificate, A: directory.CertDNS, B: "svc.example.COM"},
		"c6": {By: directory.ByCertificate, A: directory.CertEmail, B: "A@EXAMPLE.com"},
		"c7": {By: directory.ByCertificate, A: directory.CertSubject, B: "CN=a,O=b"},
		"c8": {By: directory.ByLink, A: "corp", B: "00u1"},
		"c9": {By: directory.ByPublicKey, A: "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"},
	}
}

func users(t *testing.T, s store.Store) {
	want := full()
	put(t, s, want, record("u2", "bob"))
	keys := fullKeys()
	view(t, s, func(r store.Reader) error {
		for id, k := range keys {
			got, credential, err := r.Find(t.Context(), k)
			if err != nil {
				t.Errorf("%v: %v", k, err)
				continue
			}
			same(t, "found by "+id, got, want)
			same(t, "credential", credential, id)
		}
		got, err := r.UserRecordByID(t.Context(), "u-full")
		same(t, "by id", got, want)
		if err != nil {
			return err
		}
		got, err = r.User(t.Context(), "алиса AMES <a&b>")
		same(t, "by username", got, want)
		return err
	})
	for id, k := range keys {
		u, credential, err := s.FindUser(t.Context(), k)
		if err != nil || u == nil || credential != id {
			t.Fatalf("directory, %v: %v %q %v", k, u, credential, err)
		}
		same(t, "directory", u, &want.User)
	}
	u, err := s.UserByID(t.Context(), "u2")
	if err != nil || u == nil || u.Username != "bob" {
		t.Errorf("%v %v", u, err)
	}
	update(t, s, func(w store.Writer) error {
		if err := w.DeleteUser(t.Context(), "u-full"); err != nil {
			return err
		}
		wantErr(t, "deleting again", w.DeleteUser(t.Context(), "u-full"), store.ErrNotFound)
		return nil
	})
	view(t, s, func(r store.Reader) error {
		for _, k := range keys {
			_, _, err := r.Find(t.Context(), k)
			wantErr(t, "after deletion", err, store.ErrNotFound)
		}
		for _, q := range []store.UserQuery{{Group: "staff"}, {Role: "reader"}, {Email: "alice@example.com"}} {
			if n, err := r.CountUsers(t.Context(), q); n != 0 || err != nil {
				t.Errorf("%+v: %d, %v", q, n, err)
			}
		}
		return nil
	})
	put(t, s, full()) // all of its names are free again
}

func secrets(t *testing.T, s store.Store) {
	r := record("u1", "alice", model.Credential{ID: "c1", Type: model.Password, Password: "clear text", Hash: "$argon2id$"},
		model.Credential{ID: "c2", Type: model.APIKey, Prefix: "sp_k", Secret: "sp_k_whole", Hash: "sha"})
	put(t, s, r)
	if r.User.Credentials[0].Password == "" || r.User.Credentials[1].Secret == "" {
		t.Error("the caller's record was changed")
	}
	u, err := s.UserByID(t.Context(), "u1")
	if err != nil {
		t.Fatal(err)
	}
	b, _ := json.Marshal(u)
	if strings.Contains(string(b), "clear text") || strings.Contains(string(b), "whole") {
		t.Errorf("kept: %s", b)
	}
	if u.Credentials[0].Hash != "$argon2id$" || u.Credentials[1].Hash != "sha" {
		t.Errorf("hashes are lost: %s", b)
	}
	err = s.Update(t.Context(), func(w store.Writer) error {
		return w.PutUser(t.Context(), record("u2", "bob", model.Credential{ID: "c3", Type: model.Password, Password: "clear text"}))
	})
	if err == nil || strings.Contains(err.Error(), "clear text") {
		t.Errorf("a password without its hash: %v", err)
	}
}

func usernames(t *testing.T, s store.Store) {
	put(t, s, record("u1", "Alice"), record("u2", "bob"))
	for _, taken := range []string{"alice", "ALICE", "Alice"} {
		err := s.Update(t.Context(), func(w store.Writer) error { return w.PutUser(t.Context(), record("u3", taken)) })
		wantErr(t, "adding "+taken, err, store.ErrExists)
	}
	err := s.Update(t.Context(), func(w store.Writer) error { return w.PutUser(t.Context(), record("u2", "aLice")) })
	wantErr(t, "renaming bob", err, store.ErrExists)
	put(t, s, record("u1", "ALICE")) // its own name in another case
	put(t, s, record("u1", "carol"))
	put(t, s, record("u2", "alice")) // free by now
	view(t, s, func(r store.Reader) error {
		got, err := r.User(t.Context(), "Alice")
		if err == nil && got.User.ID != "u2" {
			t.Errorf("alice is %s", got.User.ID)
		}
		return err
	})
}

func credentialNames(t *testing.T, s store.Store) {
	cert := func(id string, set func(*model.Credential)) model.Credential {
		c := model.Credential{ID: id, Type: model.Certificate}
		set(&c)
		return c
	}
	same := []struct {
		name string
		a, b model.Credential
	}{
		{"key id", apiKey("a", "k1"), apiKey("b", "k1")},
		{"public key", model.Credential{ID: "a", Type: model.PublicKey, KeyID: "k"}, model.Credential{ID: "b", Type: model.PublicKey, KeyID: "k"}},
		{"link", link("a", "corp", "s"), link("b", "corp", "s")},
		{"fingerprint in another spelling", cert("a", func(c *model.Credential) { c.Fingerprint = "AA:BB" }), cert("b", func(c *model.Credential) { c.Fingerprint = "aabb" })},
		{"DNS name in another case", cert("a", func(c *model.Credential) { c.DNS = "A.example" }), cert("b", func(c *model.Credential) { c.DNS = "a.example" })},
		{"subject", cert("a", func(c *model.Credential) { c.Subject = "CN=x" }), cert("b", func(c *model.Credential) { c.Subject = "CN=x" })},
	}
	for _, c := range same {
		put(t, s, record("u1", "alice", c.a))
		err := s.Update(t.Context(), func(w store.Writer) error { return w.PutUser(t.Context(), record("u2", "bob", c.b)) })
		wantErr(t, c.name+", for a new user", err, store.ErrExists)
		put(t, s, record("u3", "carol"))
		err = s.Update(t.Context(), func(w store.Writer) error { return w.PutUser(t.Context(), record("u3", "carol", c.b)) })
		wantErr(t, c.name+", for another user", err, store.ErrExists)
		err = s.Update(t.Context(), func(w store.Writer) error { return w.PutUser(t.Context(), record("u1", "alice", c.a, c.b)) })
		wantErr(t, c.name+", twice for one user", err, store.ErrExists)
		put(t, s, record("u1", "alice", c.b)) // its own, replaced
		put(t, s, record("u1", "alice"))
		put(t, s, record("u3", "carol", c.b)) // free by now
		put(t, s, record("u3", "carol"))
	}
	put(t, s, record("u1", "alice", apiKey("a", "k1"), link("b", "corp", "x")),
		record("u2", "bob", apiKey("a", "K1"), link("b", "other", "x"), cert("c", func(c *model.Credential) { c.Subject = "x" }))) // none of these is the same name
}

func refusals(t *testing.T, s store.Store) {
	bad := record("u2", "bob", apiKey("new", "k2"), apiKey("stolen", "k1"))
	bad.User.Groups, bad.User.Emails = []string{"staff"}, []string{"bob@example.com"}
	put(t, s, record("u1", "alice", apiKey("a", "k1")), record("u3", "carol", apiKey("c", "k3")))
	var many []model.Credential
	for i := range 30 {
		many = append(many, apiKey(name(i), name(i)))
	}
	many = append(many, apiKey("stolen", "k1"))
	update(t, s, func(w store.Writer) error {
		wantErr(t, "a new user with many keys", w.PutUser(t.Context(), record("u5", "erin", many...)), store.ErrExists)
		wantErr(t, "a user who is given many keys", w.PutUser(t.Context(), record("u3", "carol", many...)), store.ErrExists)
		return nil
	})
	put(t, s, record("u6", "frank", many[:30]...)) // all of them are free
	put(t, s, record("u6", "frank"))
	update(t, s, func(w store.Writer) error {
		wantErr(t, "a new user", w.PutUser(t.Context(), bad), store.ErrExists)
		changed := record("u3", "carol", apiKey("c", "k1"))
		changed.User.Active = false
		wantErr(t, "a changed user", w.PutUser(t.Context(), changed), store.ErrExists)
		wantErr(t, "a name that is taken", w.PutUser(t.Context(), record("u3", "ALICE")), store.ErrExists)
		return w.PutUser(t.Context(), record("u4", "dave", apiKey("d", "k2")))
	})
	view(t, s, func(r store.Reader) error {
		list, err := r.ListUsers(t.Context(), store.UserQuery{})
		same(t, "users", usernamesOf(list), []string{"alice", "carol", "dave", "frank"})
		got, _, err2 := r.Find(t.Context(), directory.Key{By: directory.ByKeyID, A: "k3"})
		if err2 != nil || !got.User.Active {
			t.Errorf("carol was changed: %v %v", got, err2)
		}
		for _, q := range []store.UserQuery{{Group: "staff"}, {Email: "bob@example.com"}} {
			if n, err := r.CountUsers(t.Context(), q); n != 0 || err != nil {
				t.Errorf("%+v: %d, %v", q, n, err)
			}
		}
		return err
	})
}

func changedNames(t *testing.T, s store.Store) {
	r := record("u1", "alice", apiKey("a", "k1"), link("b", "corp", "x"))
	r.User.Groups, r.User.Roles, r.User.Emails = []string{"g1", "g2"}, []string{"r1"}, []string{"a@example.com"}
	put(t, s, r)
	r = record("u1", "alicia", apiKey("a", "k2"))
	r.User.Groups, r.User.Roles, r.User.Emails = []string{"g2", "g3", "g3"}, nil, []string{"B@example.com"}
	put(t, s, r)
	for q, want := range map[*store.UserQuery]int64{{Group: "g1"}: 0, {Group: "g2"}: 1, {Group: "g3"}: 1, {Role: "r1"}: 0,
		{Email: "a@example.com"}: 0, {Email: "b@EXAMPLE.com"}: 1, {Username: "alice"}: 0, {Username: "ALICIA"}: 1, {}: 1} {
		view(t, s, func(r store.Reader) error {
			n, err := r.CountUsers(t.Context(), *q)
			if n != want {
				t.Errorf("%+v: %d, want %d", *q, n, want)
			}
			return err
		})
	}
	for k, want := range map[directory.Key]bool{{By: directory.ByKeyID, A: "k1"}: false, {By: directory.ByKeyID, A: "k2"}: true,
		{By: directory.ByLink, A: "corp", B: "x"}: false, {By: directory.ByUsername, A: "alice"}: false} {
		if u, _, err := s.FindUser(t.Context(), k); err != nil || (u != nil) != want {
			t.Errorf("%v: %v %v", k, u, err)
		}
	}
}

func nobody(t *testing.T, s store.Store) {
	for _, k := range []directory.Key{{By: directory.ByUsername, A: "x"}, {By: directory.ByKeyID, A: "x"}, {By: directory.ByLink, A: "x", B: "y"},
		{By: directory.ByCertificate, A: "dns", B: "x"}, {}, {By: 99, A: "x"}} {
		if u, c, err := s.FindUser(t.Context(), k); u != nil || c != "" || err != nil {
			t.Errorf("%v: %v %q %v", k, u, c, err)
		}
	}
	if u, err := s.UserByID(t.Context(), "x"); u != nil || err != nil {
		t.Errorf("%v %v", u, err)
	}
	view(t, s, func(r store.Reader) error {
		_, _, err := r.Find(t.Context(), directory.Key{By: directory.ByKeyID, A: "x"})
		wantErr(t, "Find", err, store.ErrNotFound)
		_, err = r.User(t.Context(), "x")
		wantErr(t, "User", err, store.ErrNotFound)
		_, err = r.UserRecordByID(t.Context(), "x")
		wantErr(t, "UserRecordByID", err, store.ErrNotFound)
		return nil
	})
}

// Strings that a store might confuse: quotes and wildcards of its language, NUL,
// names that differ in one unseen byte.
func oddStrings(t *testing.T, s store.Store) {
	odd := []string{"a", "a ", "a\x00", "a\x00b", "a%", "a_", "a'", `a"`, "a;--", "á", "a\u0301", "ａ", "ß", "ss"}
	for _, name := range odd {
		r := record(name+"-id", name, link("c", "p", name), apiKey("k", name))
		r.User.Groups = []string{name}
		r.User.CreatedAt = time.Time{}
		put(t, s, r)
	}
	for _, name := range odd {
		for _, k := range []directory.Key{{By: directory.ByUsername, A: name}, {By: directory.ByLink, A: "p", B: name}, {By: directory.ByKeyID, A: name}} {
			u, _, err := s.FindUser(t.Context(), k)
			if err != nil || u == nil || u.Username != name || u.ID != name+"-id" {
				t.Errorf("%q by %v: %v %v", name, k.By, u, err)
			}
		}
		view(t, s, func(r store.Reader) error {
			list, err := r.ListUsers(t.Context(), store.UserQuery{Group: name})
			same(t, "group "+name, usernamesOf(list), []string{name})
			return err
		})
	}
	err := s.Update(t.Context(), func(w store.Writer) error {
		return w.PutUser(t.Context(), record("u-bad", "x", link("c", "p", "\xff")))
	})
	if err == nil {
		t.Error("a name that is not UTF-8 was taken, and would have been altered")
	}
}

func publicKeys(t *testing.T, s store.Store) {
	any := func() (any bool) {
		view(t, s, func(r store.Reader) (err error) {
			any, err = r.AnyPublicKey(t.Context())
			return err
		})
		return any
	}
	key := func(id string) model.Credential { return model.Credential{ID: "a", Type: model.PublicKey, KeyID: id} }
	put(t, s, record("u1", "alice", apiKey("a", "publicKey"), link("b", "publicKey", "x")), record("u2", "bob"))
	if any() {
		t.Error("nobody has one")
	}
	put(t, s, record("u1", "alice", key("k1")), record("u2", "bob", key("k2")))
	if !any() {
		t.Error("two have one")
	}
	put(t, s, record("u1", "alice"))
	if !any() {
		t.Error("bob has one")
	}
	if err := s.Update(t.Context(), func(w store.Writer) error { return w.DeleteUser(t.Context(), "u2") }); err != nil {
		t.Fatal(err)
	}
	if any() {
		t.Error("nobody has one any more")
	}
}
