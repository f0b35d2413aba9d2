package identity

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-cmp/cmp"
	"github.com/sallyport/sallyport/internal/model"
)

type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time          { c.mu.Lock(); defer c.mu.Unlock(); return c.at }
func (c *clock) advance(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.at = c.at.Add(d) }

var start = time.Date(2026, 3, 1, 12, 0, 0, 300_000_000, time.UTC)

func newTestSigner(t testing.TB, dir string, c *clock) *Signer {
	t.Helper()
	s, err := NewSigner(dir, c.now, "https://api.example.com")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ordersService() *model.Service {
	s := &model.Service{Name: "orders"}
	s.Defaults()
	return s
}

func aliceValues() *Values {
	u := &model.User{ID: "u-1", Username: "zoë, \"z\""}
	return Compile(defaults(), nil).Values(u, []string{"staff"}, nil, "basic", nil)
}

func sign(t testing.TB, s *Signer, v *Values, service *model.Service) string {
	t.Helper()
	text, err := s.Assertion(v, service, "", "basic")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestAnAssertionVerifiesWithALibraryAndByHand(t *testing.T) {
	c := &clock{at: start}
	s := newTestSigner(t, t.TempDir(), c)
	v := Compile(defaults(), nil).Values(&model.User{ID: "u-1", Username: "alice"}, []string{"staff"}, nil, "mtls", &model.User{Username: "app"})
	text, err := s.Assertion(v, ordersService(), "", "basic mtls")
	if err != nil {
		t.Fatal(err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(s.KeySet(), &set); err != nil {
		t.Fatal(err)
	}

	parsed, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]any{}
	if err := parsed.Claims(set, &got); err != nil {
		t.Fatal(err)
	}
	if id, _ := got["jti"].(string); len(id) < 20 {
		t.Errorf("jti %q", id)
	}
	delete(got, "jti")
	// roles is empty, and not null: Pomerium #5393.
	want := map[string]any{"iss": "https://api.example.com", "aud": "orders", "sub": "u-1", "preferred_username": "alice", "client_id": "app",
		"groups": []any{"staff"}, "roles": []any{}, "amr": []any{"basic", "mtls"}, "iat": float64(start.Unix()), "exp": float64(start.Unix() + 60)}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}

	parts := strings.Split(text, ".")
	head, _ := base64.RawURLEncoding.DecodeString(parts[0])
	var h map[string]string
	if err := json.Unmarshal(head, &h); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]string{"alg": "ES256", "typ": "JWT", "kid": set.Keys[0].KeyID}, h); d != "" {
		t.Error(d)
	}
	var raw struct{ Keys []map[string]string }
	if err := json.Unmarshal(s.KeySet(), &raw); err != nil {
		t.Fatal(err)
	}
	coordinate := func(name string) []byte {
		b, err := base64.RawURLEncoding.DecodeString(raw.Keys[0][name])
		if err != nil || len(b) != 32 {
			t.Fatalf("%s: %d bytes, %v", name, len(b), err)
		}
		return b
	}
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append([]byte{4}, append(coordinate("x"), coordinate("y")...)...))
	if err != nil {
		t.Fatal(err)
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || len(signature) != 64 {
		t.Fatal(len(signature), err)
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if !ecdsa.Verify(public, sum[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
		t.Error("the signature does not verify by hand")
	}
}

func TestAnAssertionIsReusedForHalfItsLife(t *testing.T) {
	c := &clock{at: start}
	s := newTestSigner(t, t.TempDir(), c)
	v, orders := aliceValues(), ordersService()
	first := sign(t, s, v, orders)
	c.advance(29 * time.Second)
	if sign(t, s, v, orders) != first {
		t.Error("not reused within half of its life")
	}
	c.advance(time.Second)
	second := sign(t, s, v, orders)
	if second == first {
		t.Error("reused beyond half of its life")
	}
	for name, f := range map[string]func() (string, error){
		"another service": func() (string, error) { return s.Assertion(v, ordersService(), "", "basic") },
		"another session": func() (string, error) { return s.Assertion(v, orders, "s-1", "basic") },
		"another method":  func() (string, error) { return s.Assertion(v, orders, "", "basic mtls") },
		"another caller":  func() (string, error) { return s.Assertion(aliceValues(), orders, "", "basic") },
	} {
		if got, err := f(); err != nil || got == second {
			t.Errorf("%s gets the same assertion (%v)", name, err)
		}
	}
	if sign(t, s, v, orders) != second {
		t.Error("others displaced it")
	}
	for range 2 * maxTokens {
		sign(t, s, v, ordersService())
	}
	if n := len(*v.tokens.Load()); n > maxTokens {
		t.Errorf("%d assertions are remembered", n)
	}
}

func TestAnAssertionIsNeverHandedOutWithoutLife(t *testing.T) {
	c := &clock{at: start}
	s := newTestSigner(t, t.TempDir(), c)
	v, orders := aliceValues(), ordersService()
	sign(t, s, v, orders)
	v.minting.Lock() // somebody is renewing it
	c.advance(40 * time.Second)
	old := sign(t, s, v, orders)
	v.minting.Unlock()
	if exp := expiry(t, old); !c.now().Add(15 * time.Second).Before(exp) {
		t.Errorf("handed out with %v left", exp.Sub(c.now()))
	}
	c.advance(time.Hour)
	if exp := expiry(t, sign(t, s, v, orders)); exp.Sub(c.now()) < 58*time.Second {
		t.Errorf("fresh, yet only %v left", exp.Sub(c.now()))
	}
}

func expiry(t *testing.T, text string) time.Time {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(strings.Split(text, ".")[1])
	var got struct{ Exp int64 }
	if err != nil || json.Unmarshal(b, &got) != nil {
		t.Fatal(text)
	}
	return time.Unix(got.Exp, 0)
}

func kids(t *testing.T, s *Signer) (ids []string) {
	t.Helper()
	var set struct{ Keys []struct{ Kid string } }
	if err := json.Unmarshal(s.KeySet(), &set); err != nil {
		t.Fatal(err)
	}
	for _, k := range set.Keys {
		ids = append(ids, k.Kid)
	}
	return ids
}

func signedBy(t *testing.T, s *Signer) string {
	t.Helper()
	parsed, err := jwt.ParseSigned(sign(t, s, aliceValues(), ordersService()), []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Headers[0].KeyID
}

// The whole timeline, hour by hour for 100 days, with a restart every 5 days: no
// key signs that was not published a day before, and none leaves the set while
// an assertion of its may be valid.
func TestKeysRotateWithOverlap(t *testing.T) {
	dir, c := t.TempDir(), &clock{at: start}
	s := newTestSigner(t, dir, c)
	published, lastSigned := map[string]time.Time{}, map[string]time.Time{}
	for hour := range 100 * 24 {
		if hour%(5*24) == 0 {
			s = newTestSigner(t, dir, c)
		}
		in := map[string]bool{}
		for _, id := range kids(t, s) {
			in[id] = true
			if _, ok := published[id]; !ok {
				published[id] = c.now()
			}
		}
		id := signedBy(t, s)
		if !in[id] {
			t.Fatal("signs with a key that is not published")
		}
		if known := c.now().Sub(published[id]); hour >= 24 && known < 24*time.Hour {
			t.Fatalf("hour %d: signs with a key published %v ago", hour, known)
		}
		lastSigned[id] = c.now()
		for id, last := range lastSigned {
			if !in[id] && c.now().Sub(last) < 24*time.Hour {
				t.Fatalf("hour %d: a key that signed %v ago has left the set", hour, c.now().Sub(last))
			}
		}
		c.advance(time.Hour)
	}
	if len(lastSigned) != 4 {
		t.Errorf("%d keys signed in 100 days", len(lastSigned))
	}
	if n := len(kids(t, s)); n > 3 {
		t.Errorf("%d keys are kept", n)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	if len(files) != len(kids(t, s)) {
		t.Errorf("files %v", files)
	}
}

func TestAKeyThatWasDueWhileTheGatewayWasDownIsAnnouncedFirst(t *testing.T) {
	dir, c := t.TempDir(), &clock{at: start}
	first := signedBy(t, newTestSigner(t, dir, c))
	c.advance(90 * 24 * time.Hour)
	s := newTestSigner(t, dir, c)
	if len(kids(t, s)) != 2 || signedBy(t, s) != first {
		t.Error("the next key signs before anybody could know it")
	}
	c.advance(24 * time.Hour)
	if signedBy(t, s) == first {
		t.Error("the next key does not sign after a day")
	}
	c.advance(25 * time.Hour)
	if ids := kids(t, s); len(ids) != 1 || ids[0] == first {
		t.Errorf("the first key is still there: %v", ids)
	}
}

func TestAFailedRotationKeepsTheOldKey(t *testing.T) {
	dir, c := t.TempDir(), &clock{at: start}
	s := newTestSigner(t, dir, c)
	first := signedBy(t, s)
	if err := os.Rename(dir, dir+"-away"); err != nil {
		t.Fatal(err)
	}
	c.advance(60 * 24 * time.Hour)
	if signedBy(t, s) != first || s.Fault() == nil {
		t.Error("no fault, or another key", s.Fault())
	}
	if err := os.Rename(dir+"-away", dir); err != nil {
		t.Fatal(err)
	}
	c.advance(retry)
	if signedBy(t, s) != first || s.Fault() != nil || len(kids(t, s)) != 2 {
		t.Error("does not recover", s.Fault())
	}
}

func TestTheKeySetNeverHoldsPrivateParts(t *testing.T) {
	c := &clock{at: start}
	s := newTestSigner(t, t.TempDir(), c)
	c.advance(29 * 24 * time.Hour)
	var set struct{ Keys []map[string]string }
	if err := json.Unmarshal(s.KeySet(), &set); err != nil || len(set.Keys) != 2 {
		t.Fatal(err, len(set.Keys))
	}
	for _, k := range set.Keys {
		for name := range k {
			if !strings.Contains(" kty crv x y kid alg use ", " "+name+" ") {
				t.Errorf("has %q", name)
			}
		}
	}
	for _, k := range s.ring.Load().keys {
		d, err := k.private.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(s.KeySet(), []byte(base64.RawURLEncoding.EncodeToString(d))) {
			t.Error("a private key is published")
		}
	}
}

func TestKeyFiles(t *testing.T) {
	dir, c := t.TempDir(), &clock{at: start}
	keys := filepath.Join(dir, "data", "keys")
	first := signedBy(t, newTestSigner(t, keys, c))
	files, _ := filepath.Glob(filepath.Join(keys, "*"))
	if len(files) != 1 || filepath.Base(files[0]) != "assertion-20260301T120000Z.pem" {
		t.Fatal(files)
	}
	if info, _ := os.Stat(files[0]); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	if info, _ := os.Stat(keys); info.Mode().Perm() != 0o700 {
		t.Errorf("folder mode %v", info.Mode())
	}
	good, _ := os.ReadFile(files[0])

	t.Run("survive a restart, beside other files and a half-written one", func(t *testing.T) {
		for _, n := range []string{"other.pem", "assertion-20260401T120000Z.pem.tmp", "assertion-notes.txt"} {
			if err := os.WriteFile(filepath.Join(keys, n), []byte("x"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if signedBy(t, newTestSigner(t, keys, c)) != first {
			t.Error("another key signs after a restart")
		}
		if _, err := os.Stat(filepath.Join(keys, "assertion-20260401T120000Z.pem.tmp")); err == nil {
			t.Error("the half-written file is still there")
		}
	})
	for name, text := range map[string]string{
		"a cut file is refused":       string(good[:len(good)/2]),
		"an empty file is refused":    "",
		"two keys in one are refused": string(good) + string(good),
		"another curve is refused":    "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n",
	} {
		t.Run(name, func(t *testing.T) {
			bad := t.TempDir()
			if err := os.WriteFile(filepath.Join(bad, "assertion-20260301T120000Z.pem"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := NewSigner(bad, c.now, "x"); err == nil || !strings.Contains(err.Error(), "assertion-20260301T120000Z.pem") {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("a file that others may read is refused", func(t *testing.T) {
		if err := os.Chmod(files[0], 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := NewSigner(keys, c.now, "x"); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a name without a time is refused", func(t *testing.T) {
		bad := t.TempDir()
		if err := os.WriteFile(filepath.Join(bad, "assertion-new.pem"), good, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := NewSigner(bad, c.now, "x"); err == nil {
			t.Error("accepted")
		}
	})
}

func TestManyRequestsShareOneAssertion(t *testing.T) {
	c := &clock{at: start}
	s := newTestSigner(t, t.TempDir(), c)
	v, orders := aliceValues(), ordersService()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				text, err := s.Assertion(v, orders, "", "basic")
				if err != nil || text == "" {
					t.Error(err)
				}
				c.advance(time.Second)
				s.KeySet()
			}
		})
	}
	wg.Wait()
}

func TestARepeatedAssertionDoesNotAllocate(t *testing.T) {
	s := newTestSigner(t, t.TempDir(), &clock{at: start})
	h := Compile(defaults(), nil)
	v, orders := aliceValues(), ordersService()
	sign(t, s, v, orders)
	dst := make([]model.Field, 0, 16)
	if n := testing.AllocsPerRun(100, func() {
		dst = h.Append(dst[:0], v)
		_, _ = s.Assertion(v, orders, "", "basic")
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAssertion(b *testing.B) {
	s, err := NewSigner(b.TempDir(), time.Now, "https://api.example.com")
	if err != nil {
		b.Fatal(err)
	}
	orders := ordersService()
	b.Run("repeated", func(b *testing.B) {
		v := aliceValues()
		b.ReportAllocs()
		for b.Loop() {
			_, _ = s.Assertion(v, orders, "", "basic")
		}
	})
	b.Run("minted", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = s.Assertion(aliceValues(), orders, "", "basic")
		}
	})
}
