package all

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/gate/authn/authntest"
	"github.com/sallyport/sallyport/internal/gate/authn/introspection"
	"github.com/sallyport/sallyport/internal/gate/authn/keys"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/secret"
)

func deps(t testing.TB, providers ...model.IdentityProvider) Deps {
	r := keys.NewRegistry(keys.Options{})
	t.Cleanup(r.Close)
	return Deps{Lookup: &authntest.Directory{}, Hasher: secret.NewHasher(secret.Options{}), Cache: authn.NewCache(100), Keys: r,
		Asker: introspection.NewRegistry(introspection.Options{}), Providers: providers, Sessions: none{}}
}

// none are sessions of which none runs.
type none struct{}

func (none) Find(context.Context, string, time.Time) (*directory.Session, error) { return nil, nil }

func TestTheTableHasEveryMethodInOrder(t *testing.T) {
	methods, f := New(deps(t))
	if len(f) > 0 {
		t.Fatal(f)
	}
	want := []string{"mtls", "trustedHeader", "bearer", "signature", "apiKey", "basic", "session"}
	if len(methods) != len(want) || len(methods) > authn.MaxMethods {
		t.Fatalf("%d methods", len(methods))
	}
	for i, m := range methods {
		if m.Name() != want[i] || !model.KnownMethod(m.Name()) {
			t.Errorf("%d: %s", i, m.Name())
		}
		if r := m.Authenticate(context.Background(), &model.Request{}); r.Outcome != authn.NotMine { // the clock is set
			t.Errorf("%s: %+v", m.Name(), r)
		}
	}
}

func TestEachMethodRefusesUnderItsOwnName(t *testing.T) {
	methods, _ := New(deps(t))
	r := authntest.Request("Authorization", "Basic x", "Authorization", "Bearer x", "X-API-Key", "x", "Signature-Input", "x",
		"Cookie", "__Host-sallyport=a; __Host-sallyport=b")
	r.TLS = &model.TLSFacts{CertificateFault: "expired"}
	for _, m := range methods {
		want := authn.Bad
		if m.Name() == model.MethodTrustedHeader {
			want = authn.NotMine
		}
		if res := m.Authenticate(context.Background(), r); res.Outcome != want {
			t.Errorf("%s: outcome %d", m.Name(), res.Outcome)
		}
	}
}

func TestOverlapsAreFaultsOfTheSet(t *testing.T) {
	p := model.IdentityProvider{Name: "a", Type: model.ProviderJWT, Issuer: "i", Audiences: []string{"x"}}
	q := p
	q.Name = "b"
	if _, f := New(deps(t, p, q)); len(f) != 1 {
		t.Errorf("faults: %v", f)
	}
}

func TestKeyFilesAreChecked(t *testing.T) {
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken.pem")
	if err := os.WriteFile(broken, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := deps(t)
	f := CheckFiles(d.Keys, []model.IdentityProvider{
		{Name: "a", Type: model.ProviderJWT, KeyFile: filepath.Join(dir, "missing.pem")},
		{Name: "b", Type: model.ProviderJWT, KeyFile: broken},
		{Name: "c", Type: model.ProviderJWT, JWKSURL: "https://idp.example.com/keys"},
	})
	if len(f) != 2 || f[1].Path != "identityProviders[1].keyFile" {
		t.Errorf("faults: %v", f)
	}
}
