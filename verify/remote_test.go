package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// keyServer is a key set whose answer the test changes as it goes.
type keyServer struct {
	*httptest.Server
	hits   atomic.Int64
	mu     sync.Mutex
	answer func(w http.ResponseWriter)
}

func (s *keyServer) set(f func(w http.ResponseWriter)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = f
}

func serveKeys(t testing.TB) *keyServer {
	t.Helper()
	s := &keyServer{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.hits.Add(1)
		s.mu.Lock()
		f := s.answer
		s.mu.Unlock()
		f(w)
	}))
	t.Cleanup(s.Close)
	return s
}

func keySet(t testing.TB, keys map[string]any) func(http.ResponseWriter) {
	t.Helper()
	var set jose.JSONWebKeySet
	for id, k := range keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: k, KeyID: id, Use: "sig", Algorithm: "ES256"})
	}
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return func(w http.ResponseWriter) { _, _ = w.Write(text) }
}

func down(w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway) }

type fakeClock struct {
	mu sync.Mutex
	at time.Time
}

func (c *fakeClock) now() time.Time          { c.mu.Lock(); defer c.mu.Unlock(); return c.at }
func (c *fakeClock) advance(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.at = c.at.Add(d) }

func TestRemoteKeys(t *testing.T) {
	k1, k2 := p256(t), p256(t)
	type world struct {
		*keyServer
		*fakeClock
		v *Verifier
	}
	begin := func(t *testing.T, answer func(http.ResponseWriter)) *world {
		w := &world{keyServer: serveKeys(t), fakeClock: &fakeClock{at: now}}
		w.set(answer)
		w.v = newVerifier(t, Config{Issuer: gatewayURL, Audience: "orders", JWKSURL: w.URL, Now: w.now})
		return w
	}
	with := func(w *world, kid string, key any) http.Header {
		at := w.now()
		return http.Header{DefaultHeader: {signed(t, jose.ES256, key, map[string]any{"kid": kid, "typ": "JWT"},
			assertionClaims(map[string]any{"iat": at.Unix(), "exp": at.Add(time.Minute).Unix()}))}}
	}
	want := func(t *testing.T, w *world, h http.Header, want string, hits int64) {
		t.Helper()
		if got := code(t, ask(w.v, "GET", "/", h)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if n := w.hits.Load(); n != hits {
			t.Errorf("%d fetches, want %d", n, hits)
		}
	}
	set1, set2 := keySet(t, map[string]any{"k1": k1.Public()}), keySet(t, map[string]any{"k1": k1.Public(), "k2": k2.Public()})

	t.Run("are fetched once and reused", func(t *testing.T) {
		w := begin(t, set1)
		for range 5 {
			want(t, w, with(w, "k1", k1), "ok client1", 1)
		}
	})
	t.Run("are fetched again for a kid that is new", func(t *testing.T) {
		w := begin(t, set1)
		want(t, w, with(w, "k1", k1), "ok client1", 1)
		w.set(set2)
		want(t, w, with(w, "k2", k2), "credential_invalid", 1) // within the pause
		w.advance(fetchEvery)
		want(t, w, with(w, "k2", k2), "ok client1", 2)
	})
	t.Run("never seen and never had are not the caller's fault", func(t *testing.T) {
		w := begin(t, down)
		want(t, w, with(w, "k1", k1), "identity_unavailable", 1)
		want(t, w, with(w, "k1", k1), "identity_unavailable", 1)
		w.set(set1)
		w.advance(firstEvery)
		want(t, w, with(w, "k1", k1), "ok client1", 2)
	})
	t.Run("that are known serve while the set cannot be fetched", func(t *testing.T) {
		w := begin(t, set1)
		want(t, w, with(w, "k1", k1), "ok client1", 1)
		w.set(down)
		w.advance(refreshUsual + time.Minute)
		if got := code(t, ask(w.v, "GET", "/", with(w, "k1", k1))); got != "ok client1" {
			t.Error(got)
		}
		waitFor(t, func() bool { return w.hits.Load() == 2 })
		w.advance(fetchEvery)
		want(t, w, with(w, "k2", k2), "identity_unavailable", 3)
		want(t, w, with(w, "k1", k1), "ok client1", 3)
		w.advance(keysServe)
		want(t, w, with(w, "k1", k1), "identity_unavailable", 4)
	})
	t.Run("that were withdrawn stop serving with the next fetch", func(t *testing.T) {
		w := begin(t, set2)
		want(t, w, with(w, "k2", k2), "ok client1", 1)
		w.set(set1)
		w.advance(refreshUsual + time.Minute)
		_ = ask(w.v, "GET", "/", with(w, "k1", k1)) // starts the fetch
		waitFor(t, func() bool { return code(t, ask(w.v, "GET", "/", with(w, "k2", k2))) == "credential_invalid" })
	})
	for name, answer := range map[string]func(http.ResponseWriter){
		"HTML":         func(w http.ResponseWriter) { _, _ = w.Write([]byte("<html>")) },
		"an empty set": func(w http.ResponseWriter) { _, _ = w.Write([]byte(`{"keys":[]}`)) },
		"only a secret": func(w http.ResponseWriter) {
			_, _ = w.Write([]byte(`{"keys":[{"kty":"oct","kid":"k1","k":"c2VjcmV0"}]}`))
		},
		"a redirect":       func(w http.ResponseWriter) { w.Header().Set("Location", "http://evil.example/"); w.WriteHeader(302) },
		"more than enough": func(w http.ResponseWriter) { _, _ = w.Write([]byte(strings.Repeat(" ", 2<<20))) },
	} {
		t.Run("are kept when the answer is "+name, func(t *testing.T) {
			w := begin(t, set1)
			want(t, w, with(w, "k1", k1), "ok client1", 1)
			w.set(answer)
			w.advance(fetchEvery)
			want(t, w, with(w, "k2", k2), "identity_unavailable", 2)
			want(t, w, with(w, "k1", k1), "ok client1", 2)
		})
	}
	// mod_auth_openidc, 2026: a flood of unknown kids is a flood of fetches.
	t.Run("are fetched at most once a pause under a flood of unknown kids", func(t *testing.T) {
		w := begin(t, set1)
		want(t, w, with(w, "k1", k1), "ok client1", 1)
		for second := range 30 {
			var wg sync.WaitGroup
			for i := range 20 {
				h := with(w, fmt.Sprintf("x-%d-%d", second, i), k2)
				wg.Go(func() { _ = ask(w.v, "GET", "/", h) })
			}
			wg.Wait()
			w.advance(time.Second)
		}
		if n := w.hits.Load(); n > 4 {
			t.Errorf("%d fetches in 30 s", n)
		}
	})
	t.Run("are waited for together, and one caller may leave", func(t *testing.T) {
		hold := make(chan struct{})
		w := begin(t, func(rw http.ResponseWriter) { <-hold; set1(rw) })
		ctx, cancel := context.WithCancel(context.Background())
		left := make(chan error)
		go func() {
			r := httptest.NewRequestWithContext(ctx, "GET", "/", nil)
			r.Header = with(w, "k1", k1)
			_, err := w.v.Verify(r)
			left <- err
		}()
		waitFor(t, func() bool { return w.hits.Load() == 1 })
		cancel()
		if err := <-left; err == nil {
			t.Error("verified without keys")
		}
		var wg sync.WaitGroup
		for range 10 {
			h := with(w, "k1", k1)
			wg.Go(func() {
				if got := ask(w.v, "GET", "/", h); got.Code != 200 {
					t.Error(got.Code)
				}
			})
		}
		close(hold)
		wg.Wait()
		if n := w.hits.Load(); n != 1 {
			t.Errorf("%d fetches", n)
		}
	})
}

func waitFor(t *testing.T, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain")
		}
	}
}

func TestLifeOfAKeySet(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"": refreshUsual, "no-store": refreshUsual, "public, max-age=3600": time.Hour, "MAX-AGE=120": 2 * time.Minute,
		"max-age=0": refreshLeast, "max-age=99999999": refreshMost, "max-age=x": refreshUsual, "max-age=99999999999999": refreshUsual,
	} {
		if got := life(in); got != want {
			t.Errorf("%q: %v, want %v", in, got, want)
		}
	}
}
