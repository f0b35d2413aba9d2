package keys

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/goleak"

	"github.com/sallyport/sallyport/internal/model"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// issuer answers in place of an identity provider.
type issuer struct {
	mu      sync.Mutex
	body    map[string]string
	fault   error
	hang    chan struct{}
	fetches atomic.Int32
}

func (i *issuer) set(url, body string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.body == nil {
		i.body = map[string]string{}
	}
	i.body[url], i.fault = body, nil
}

func (i *issuer) fail(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.fault = err
}

func (i *issuer) fetch(ctx context.Context, url string) ([]byte, error) {
	i.fetches.Add(1)
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.hang != nil {
		i.mu.Unlock()
		<-ctx.Done()
		i.mu.Lock()
		return nil, ctx.Err()
	}
	b, ok := i.body[url]
	switch {
	case i.fault != nil:
		return nil, i.fault
	case !ok:
		return nil, fmt.Errorf("%s answered 404", url)
	}
	return []byte(b), nil
}

// clock is moved by hand.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(1_900_000_000, c.at.Load()) }
func (c *clock) advance(d time.Duration) { c.at.Add(int64(d)) }

func ecKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func public(t testing.TB, kid string, key crypto.PublicKey) string {
	t.Helper()
	b, err := json.Marshal(jose.JSONWebKey{Key: key, KeyID: kid, Use: "sig"})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func jwks(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }

const keysURL = "https://idp.example.com/keys"

var byURL = model.IdentityProvider{Name: "idp", Type: model.ProviderJWT, Enabled: true, Issuer: "https://idp.example.com", JWKSURL: keysURL}

func registry(t testing.TB, i *issuer, c *clock, change ...func(*Options)) *Registry {
	t.Helper()
	o := Options{Fetch: i.fetch, Now: c.now}
	for _, f := range change {
		f(&o)
	}
	r := NewRegistry(o)
	t.Cleanup(r.Close)
	return r
}

func TestKeysAreFoundByKidAndAlgorithm(t *testing.T) {
	i, c := &issuer{}, &clock{}
	i.set(keysURL, jwks(public(t, "a", &ecKey(t).PublicKey), public(t, "b", &ecKey(t).PublicKey)))
	s := registry(t, i, c).For(&byURL)
	ctx := context.Background()
	for _, tc := range []struct {
		kid, alg string
		n        int
		err      error
	}{{"a", "ES256", 1, nil}, {"b", "ES256", 1, nil}, {"", "ES256", 2, nil}, {"a", "RS256", 0, ErrAlgorithm}, {"c", "ES256", 0, ErrUnknown}, {"", "RS256", 0, ErrUnknown}} {
		found, err := s.Find(ctx, tc.kid, tc.alg)
		if len(found) != tc.n || !errors.Is(err, tc.err) {
			t.Errorf("kid %q %s: %d keys, %v", tc.kid, tc.alg, len(found), err)
		}
	}
	if n := i.fetches.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
}

// mod_auth_openidc's hardening of 2026: unknown kids must not become fetches.
func TestAFloodOfUnknownKidsCostsOneFetchInTenSeconds(t *testing.T) {
	i, c := &issuer{}, &clock{}
	i.set(keysURL, jwks(public(t, "a", &ecKey(t).PublicKey)))
	s := registry(t, i, c).For(&byURL)
	s.Find(context.Background(), "a", "ES256")
	for interval := range 3 {
		c.advance(10 * time.Second)
		before := i.fetches.Load()
		var wg sync.WaitGroup
		for g := range 20 {
			wg.Go(func() {
				for n := range 50 {
					if _, err := s.Find(context.Background(), fmt.Sprintf("random-%d-%d-%d", interval, g, n), "ES256"); !errors.Is(err, ErrUnknown) {
						t.Errorf("got %v", err)
					}
				}
			})
		}
		wg.Wait()
		if n := i.fetches.Load() - before; n != 1 {
			t.Errorf("1,000 unknown kids cost %d fetches", n)
		}
	}
}

func TestRotationIsFoundByAskingAgain(t *testing.T) {
	i, c := &issuer{}, &clock{}
	old := public(t, "old", &ecKey(t).PublicKey)
	i.set(keysURL, jwks(old))
	r := registry(t, i, c)
	s := r.For(&byURL)
	s.Find(context.Background(), "old", "ES256")
	first := s.Status().Keys[0].FirstSeen
	c.advance(time.Minute)
	i.set(keysURL, jwks(old, public(t, "new", &ecKey(t).PublicKey)))
	if _, err := s.Find(context.Background(), "new", "ES256"); err != nil {
		t.Errorf("the new key: %v", err)
	}
	if _, err := s.Find(context.Background(), "old", "ES256"); err != nil {
		t.Errorf("the old key during the overlap: %v", err)
	}
	if r.Generation() != 0 {
		t.Error("a key that was added ended what others had proven")
	}
	if st := s.Status(); !st.Keys[0].FirstSeen.Equal(first) || !st.Keys[0].LastSeen.After(first) {
		t.Errorf("first and last seen: %+v", st.Keys[0])
	}
	c.advance(time.Minute)
	i.set(keysURL, jwks(public(t, "new", &ecKey(t).PublicKey))) // the same name, another key
	s.Find(context.Background(), "newer", "ES256")
	if _, err := s.Find(context.Background(), "old", "ES256"); !errors.Is(err, ErrUnknown) {
		t.Errorf("a key that was withdrawn: %v", err)
	}
	if r.Generation() == 0 {
		t.Error("what a withdrawn key had proven still stands")
	}
}

func TestOldKeysServeWhileTheIssuerIsDownOrSendsRubbish(t *testing.T) {
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	private, _ := json.Marshal(jose.JSONWebKey{Key: ecKey(t), KeyID: "p"})
	many := make([]string, 101)
	for n := range many {
		many[n] = public(t, fmt.Sprint(n), &ecKey(t).PublicKey)
	}
	for name, body := range map[string]string{
		"an HTML page":               "<!DOCTYPE html><html><body>Down for maintenance</body></html>",
		"nothing":                    "",
		"broken JSON":                `{"keys":[`,
		"an empty set":               `{"keys":[]}`,
		"another document":           `{"error":"x"}`,
		"null":                       `null`,
		"only keys for encryption":   jwks(strings.Replace(public(t, "e", &ecKey(t).PublicKey), `"sig"`, `"enc"`, 1)),
		"only a symmetric key":       `{"keys":[{"kty":"oct","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0","kid":"s"}]}`,
		"only a weak RSA key":        jwks(public(t, "w", &weak.PublicKey)),
		"only a private key":         jwks(string(private)),
		"only a key that is broken":  `{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}`,
		"an RSA key with no modulus": `{"keys":[{"kty":"RSA","n":"","e":"AQAB"}]}`,
		"a key for HS256":            `{"keys":[` + strings.Replace(public(t, "h", &ecKey(t).PublicKey), `"use"`, `"alg":"HS256","use"`, 1) + `]}`,
		"more than a hundred keys":   jwks(many...),
	} {
		t.Run(name, func(t *testing.T) {
			i, c := &issuer{}, &clock{}
			i.set(keysURL, jwks(public(t, "a", &ecKey(t).PublicKey)))
			r := registry(t, i, c)
			s := r.For(&byURL)
			if _, err := s.Find(context.Background(), "a", "ES256"); err != nil {
				t.Fatal(err)
			}
			i.set(keysURL, body)
			c.advance(time.Minute)
			if _, err := s.Find(context.Background(), "b", "ES256"); !errors.Is(err, ErrUnavailable) {
				t.Errorf("an unknown key while nobody can tell: %v", err)
			}
			if _, err := s.Find(context.Background(), "a", "ES256"); err != nil {
				t.Errorf("the known key: %v", err)
			}
			st := s.Status()
			if st.LastError == "" || st.Healthy || len(st.Keys) != 1 || r.Generation() != 0 {
				t.Errorf("status: %+v", st)
			}
			c.advance(time.Minute)
			i.fail(errors.New("connection refused"))
			s.Find(context.Background(), "b", "ES256")
			if _, err := s.Find(context.Background(), "a", "ES256"); err != nil {
				t.Errorf("the known key, with the issuer down: %v", err)
			}
			c.advance(time.Minute)
			i.set(keysURL, jwks(public(t, "b", &ecKey(t).PublicKey)))
			if _, err := s.Find(context.Background(), "b", "ES256"); err != nil || !s.Status().Healthy {
				t.Errorf("the issuer is back, and its keys are not: %v", err)
			}
		})
	}
}

func TestAnIssuerThatWasNeverReachedIsUnavailable(t *testing.T) {
	i, c := &issuer{}, &clock{}
	i.fail(errors.New("connection refused"))
	s := registry(t, i, c).For(&byURL)
	for range 100 {
		if _, err := s.Find(context.Background(), "a", "ES256"); !errors.Is(err, ErrUnavailable) {
			t.Fatal(err)
		}
	}
	if n := i.fetches.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
	if st := s.Status(); !strings.Contains(st.LastError, "connection refused") || st.LastFetch == nil {
		t.Errorf("status: %+v", st)
	}
}

func TestASlowIssuerIsNotWaitedForLong(t *testing.T) {
	i, c := &issuer{hang: make(chan struct{})}, &clock{}
	s := registry(t, i, c, func(o *Options) { o.Patience, o.Timeout = 30*time.Millisecond, 10*time.Second }).For(&byURL)
	start := time.Now()
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := s.Find(context.Background(), "a", "ES256"); !errors.Is(err, ErrUnavailable) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if d := time.Since(start); d > time.Second {
		t.Errorf("waited %v", d)
	}
	if n := i.fetches.Load(); n != 1 {
		t.Errorf("%d fetches at once", n)
	}
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Find(gone, "a", "ES256"); !errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
}

func TestKeysAreRefreshedInTheBackground(t *testing.T) {
	i := &issuer{}
	i.set(keysURL, jwks(public(t, "a", &ecKey(t).PublicKey)))
	r := NewRegistry(Options{Fetch: i.fetch, Refresh: 5 * time.Millisecond})
	defer r.Close()
	r.Retain([]model.IdentityProvider{byURL})
	s := r.For(&byURL)
	s.Find(context.Background(), "a", "ES256")
	i.set(keysURL, jwks(public(t, "b", &ecKey(t).PublicKey)))
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		if list, _ := s.match("b", "ES256"); len(list) == 1 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the new key never came")
		}
	}
}

func TestDiscoveryMustBeTheIssuersOwn(t *testing.T) {
	const at, document = "https://idp.example.com", "https://idp.example.com/.well-known/openid-configuration"
	p := model.IdentityProvider{Name: "idp", Type: model.ProviderJWT, Issuer: at}
	good := jwks(public(t, "a", &ecKey(t).PublicKey))
	for _, tc := range []struct{ name, doc, fault string }{
		{"the issuer's own", `{"issuer":"https://idp.example.com","jwks_uri":"https://idp.example.com/keys"}`, ""},
		{"keys on another host", `{"issuer":"https://idp.example.com","jwks_uri":"https://keys.example.net/keys"}`, ""},
		{"another issuer's", `{"issuer":"https://evil.example.com","jwks_uri":"https://idp.example.com/keys"}`, "issuer"},
		{"the issuer with a slash more", `{"issuer":"https://idp.example.com/","jwks_uri":"https://idp.example.com/keys"}`, "issuer"},
		{"keys over plain http", `{"issuer":"https://idp.example.com","jwks_uri":"http://idp.example.com/keys"}`, "https"},
		{"keys in a file", `{"issuer":"https://idp.example.com","jwks_uri":"file:///etc/keys"}`, "https"},
		{"no keys", `{"issuer":"https://idp.example.com"}`, "https"},
		{"an HTML page", `<html>`, "HTML"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			i, c := &issuer{}, &clock{}
			i.set(document, tc.doc)
			i.set(keysURL, good)
			i.set("https://keys.example.net/keys", good)
			s := registry(t, i, c).For(&p)
			_, err := s.Find(context.Background(), "a", "ES256")
			if (err == nil) != (tc.fault == "") || !strings.Contains(s.Status().LastError, tc.fault) {
				t.Errorf("%v, %q", err, s.Status().LastError)
			}
		})
	}
}

func writePEM(t testing.TB, path string, key crypto.PublicKey) {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(tmp, path); err != nil {
		t.Fatal(err)
	}
}

func TestKeyFilesAreReadAgainWhenTheyChange(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keys.pem")
	a, b := ecKey(t), ecKey(t)
	writePEM(t, path, &a.PublicKey)
	p := model.IdentityProvider{Name: "idp", Type: model.ProviderJWT, Issuer: "x", KeyFile: "keys.pem"}
	r := NewRegistry(Options{Dir: dir, FileInterval: 5 * time.Millisecond})
	defer r.Close()
	s := r.For(&p)
	holds := func(k *ecdsa.PrivateKey) bool {
		list, err := s.Find(context.Background(), "any kid", "ES256")
		return err == nil && len(list) == 1 && k.PublicKey.Equal(list[0].Public)
	}
	if !holds(a) {
		t.Fatal("the file was not read")
	}
	writePEM(t, path, &b.PublicKey)
	for end := time.Now().Add(5 * time.Second); !holds(b); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the changed file was not read")
		}
	}
	if r.Generation() == 0 {
		t.Error("what the old key had proven still stands")
	}
	os.Remove(path)
	time.Sleep(20 * time.Millisecond)
	if !holds(b) {
		t.Error("a file that goes missing takes its keys with it")
	}
	if err := r.Check(&p); err == nil {
		t.Error("Check finds nothing wrong with a file that is missing")
	}
}

func TestKeyFilesOfEachForm(t *testing.T) {
	k := ecKey(t)
	der, _ := x509.MarshalPKIXPublicKey(&k.PublicKey)
	private, _ := x509.MarshalECPrivateKey(k)
	for _, tc := range []struct{ name, body, fault string }{
		{"a PEM public key", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), ""},
		{"a JWK set", jwks(public(t, "a", &k.PublicKey)), ""},
		{"a single JWK", public(t, "a", &k.PublicKey), ""},
		{"a private key", string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private})), "private key"},
		{"a broken PEM block", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "reading a PEM block"},
		{"a PEM block cut short", "-----BEGIN PUBLIC KEY-----\nAAAA\n", "no key"},
		{"nothing", "", "nothing"},
		{"something else", "ssh-ed25519 AAAA", "not a JWK set"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			list, err := parseFile([]byte(tc.body))
			if (err == nil) != (tc.fault == "") || err != nil && !strings.Contains(err.Error(), tc.fault) || err == nil && len(list) != 1 {
				t.Errorf("%d keys, %v", len(list), err)
			}
		})
	}
}

func TestSetsOutlivePlansAndEndWithTheirProvider(t *testing.T) {
	i, c := &issuer{}, &clock{}
	i.set(keysURL, jwks(public(t, "a", &ecKey(t).PublicKey)))
	r := registry(t, i, c)
	s := r.For(&byURL)
	changed := byURL
	changed.Audiences, changed.Algorithms, changed.Name = []string{"x"}, []string{"ES256"}, "renamed"
	if r.For(&changed) != s {
		t.Error("a change that is none of the keys' made another set")
	}
	changed.JWKSURL += "2"
	if r.For(&changed) == s {
		t.Error("another URL has the same set")
	}
	r.Retain([]model.IdentityProvider{byURL})
	if r.For(&byURL) != s {
		t.Error("publishing made another set")
	}
	if _, err := s.Find(context.Background(), "a", "ES256"); err != nil {
		t.Error(err)
	}
	r.Retain(nil)
	if _, err := s.Find(context.Background(), "a", "ES256"); err != nil {
		t.Errorf("a set that has ended no longer serves requests under way: %v", err)
	}
	if r.For(&byURL) == s {
		t.Error("the set did not end")
	}
	r.Close()
	if _, err := r.For(&byURL).Find(context.Background(), "a", "ES256"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("after Close: %v", err)
	}
}

func FuzzKeyFile(f *testing.F) {
	k := ecKey(f)
	der, _ := x509.MarshalPKIXPublicKey(&k.PublicKey)
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	f.Add([]byte(jwks(public(f, "a", &k.PublicKey))))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := parseFile(b)
		if (err == nil) != (len(list) > 0) {
			t.Fatalf("%d keys, %v", len(list), err)
		}
		for _, k := range list {
			if k.Fits("HS256") || k.Fits("none") || k.Fits("") || usable(k.Public) != nil {
				t.Fatalf("%+v", k)
			}
		}
	})
}
