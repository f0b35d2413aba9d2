package provision

import (
	"testing"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
)

// One key, in two spellings (RFC 9421, B.1.4), and its name.
const (
	publicPEM = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=\n-----END PUBLIC KEY-----\n"
	publicJWK = `{"kty":"OKP","crv":"Ed25519","x":"JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs"}`
	publicID  = "poqkLGiymh_W0uP6PZFw-dvez3QJT5SolqXBCW38r0U"
)

func TestAPublicKeyIsKeptInOneSpellingAndFoundByItsThumbprint(t *testing.T) {
	r := newRoom(t).furnish()
	c, err := r.AddCredential(t.Context(), provisioner, KindUsers, "bob", model.Credential{Type: model.PublicKey, PublicKey: publicJWK, KeyID: "mine"})
	if err != nil || c.PublicKey != publicPEM || c.KeyID != publicID || c.Secret != "" || c.ID == "" {
		t.Fatalf("%+v %v", c, err)
	}
	u, id, err := r.store.FindUser(t.Context(), directory.Key{By: directory.ByPublicKey, A: publicID})
	if err != nil || u == nil || u.Username != "bob" || id != c.ID {
		t.Errorf("%+v %s %v", u, id, err)
	}
	_, err = r.AddCredential(t.Context(), provisioner, KindUsers, "bob", model.Credential{Type: model.PublicKey, PublicKey: publicPEM})
	wantCode(t, err, model.Conflict)
	if f := credentialFaults(store.KindAdministrators, "", []model.Credential{{Type: model.PublicKey, PublicKey: publicPEM}}); len(f) == 0 {
		t.Error("an administrator has a public key, which nothing would ask for")
	}

	// It is public: shown and exported whole, and applied again it is the same one.
	doc, err := r.Export(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	shown := false
	for _, u := range doc.Users {
		for _, e := range u.Credentials {
			shown = shown || e.PublicKey == publicPEM && e.KeyID == publicID
		}
	}
	if !shown {
		t.Error("the export lacks the key")
	}
	if _, err := r.Apply(t.Context(), root, doc, ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	list, err := r.ListCredentials(t.Context(), KindUsers, "bob")
	if err != nil || len(list) != 1 || list[0].ID != c.ID || list[0].PublicKey != publicPEM {
		t.Errorf("%+v %v", list, err)
	}
	if err := r.DeleteCredential(t.Context(), provisioner, KindUsers, "bob", c.ID); err != nil {
		t.Fatal(err)
	}
	if u, _, _ := r.store.FindUser(t.Context(), directory.Key{By: directory.ByPublicKey, A: publicID}); u != nil {
		t.Error("the key still finds its user")
	}
}
