//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// troubled is the key endpoint of an issuer, that can be made to misbehave.
type troubled struct {
	*issuer
	ledger  *ledger
	how     atomic.Value // of the misbehaviours; "" = none
	fetches atomic.Int64
}

func newTroubled(t testing.TB, name string) *troubled {
	i := &troubled{}
	i.how.Store("")
	i.ledger = newLedger(t, i.serve)
	i.issuer = newIssuer(t, "https://"+name+".example.com", "k1")
	return i
}

func (i *troubled) serve(w http.ResponseWriter, r *http.Request) {
	i.fetches.Add(1)
	good := i.jwks()
	switch i.how.Load() {
	case "is down":
		panic(http.ErrAbortHandler)
	case "hangs":
		<-r.Context().Done()
	case "is slow":
		for _, c := range []byte(good) {
			if _, err := w.Write([]byte{c}); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
			time.Sleep(50 * time.Millisecond)
		}
	case "answers 500":
		http.Error(w, good, 500)
	case "answers 404":
		http.NotFound(w, r)
	case "answers HTML":
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<!DOCTYPE html><title>Please sign in</title><h1>Please sign in</h1>")
	case "answers 100 MB":
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"padding":"`)
		for piece := strings.Repeat("x", 1<<20); ; {
			if i.ledger.total(); r.Context().Err() != nil {
				return
			}
			if _, err := io.WriteString(w, piece); err != nil {
				return
			}
		}
	case "has no keys":
		_, _ = io.WriteString(w, `{"keys":[]}`)
	case "has secret keys only":
		_, _ = io.WriteString(w, `{"keys":[{"kty":"oct","kid":"k1","k":"c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA","alg":"HS256"}]}`)
	case "has broken keys":
		_, _ = io.WriteString(w, `{"keys":[{"kty":"RSA","kid":"k1","n":"AQAB","e":"!!"},{"kty":"EC","crv":"P-256","kid":"k2","x":"AA","y":"AA"}]}`)
	case "redirects elsewhere":
		http.Redirect(w, r, "http://127.0.0.2:1/keys", http.StatusFound)
	case "redirects for ever":
		http.Redirect(w, r, r.URL.Path+"x", http.StatusFound)
	default:
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, good)
	}
}

var troubles = []string{"is down", "hangs", "is slow", "answers 500", "answers 404", "answers HTML", "answers 100 MB", "has no keys",
	"has secret keys only", "has broken keys", "redirects elsewhere", "redirects for ever"}

// TestAnIssuerInTroubleTakesNobodyWithIt lets issuers misbehave whose keys are
// known, and others whose keys never were.
func TestAnIssuerInTroubleTakesNobodyWithIt(t *testing.T) {
	t.Parallel()
	seeded(t)
	b := newLedger(t, nil)
	document, known, unknown := withBackend(everyone, b.URL)+"identityProviders:\n", []*troubled{}, []*troubled{}
	add := func(name string) *troubled {
		i := newTroubled(t, name)
		document += fmt.Sprintf("  - {name: %s, type: jwt, issuer: %q, audiences: [api], jwksURL: %q, roles: [writer]}\n", name, i.name, i.ledger.URL+"/keys")
		return i
	}
	for n, how := range troubles {
		known = append(known, add(fmt.Sprint("known-", n)))
		u := add(fmt.Sprint("unknown-", n))
		u.how.Store(how)
		unknown = append(unknown, u)
	}
	g := start(t, options{resources: document})
	begin := time.Now()
	call := func(token string) (*answer, time.Duration) {
		at := time.Now()
		a := g.call(t, "GET", "/api", "", bearer(token))
		return a, time.Since(at)
	}
	stranger := func(i *troubled) string {
		return sign("RS256", i.key, map[string]any{"kid": fmt.Sprint("unknown-", time.Now().UnixNano())}, i.claims("mallory", nil))
	}
	for n, i := range known {
		until(t, 5*time.Second, "the keys are there", func() bool { a, _ := call(i.token("ann@"+i.name, nil)); return a.status == 200 })
		if a, _ := call(stranger(i)); a.status != 401 || a.code() != "credential_invalid" {
			t.Errorf("a key that the issuer does not have: %d %s", a.status, a.code())
		}
		u := unknown[n]
		a, took := call(u.token("zoe@"+u.name, nil))
		if a.status != 503 || a.code() != "identity_unavailable" || a.header.Get("Retry-After") == "" {
			t.Errorf("an issuer that %s and never was asked: %d %s", u.how.Load(), a.status, a.body)
		}
		within(t, "the answer where an issuer "+u.how.Load().(string), took, 2*time.Second)
	}
	time.Sleep(time.Until(begin.Add(10500 * time.Millisecond))) // the cool-down
	for n, i := range known {
		i.how.Store(troubles[n])
	}
	// From here on, floods of keys that nobody has heard of, and good tokens among them.
	var c crew
	var strangers, friends tally
	c.work(len(known), func(w, n int) {
		i := known[w]
		at := time.Now()
		if n%4 == 3 {
			a, err := exchange(g.client, "GET", g.url("/api"), "", bearer(i.token(fmt.Sprint("friend-", w), map[string]any{"jti": n})))
			friends.note(a, err, time.Since(at))
			if err != nil || a.status != 200 {
				t.Errorf("a known key of an issuer that %s: %v %v", i.how.Load(), a, err)
			}
			return
		}
		a, err := exchange(g.client, "GET", g.url("/api"), "", bearer(stranger(i)))
		strangers.note(a, err, time.Since(at))
		if took := time.Since(at); took > stretched(2*time.Second) {
			t.Errorf("an unknown key of an issuer that %s was answered after %v", i.how.Load(), took)
		}
		time.Sleep(time.Millisecond)
	})
	time.Sleep(time.Duration(counts(4, 60)) * time.Second)
	c.end()
	friends.only(t, "tokens with known keys", 200)
	strangers.only(t, "tokens with unknown keys", 401, 503)
	most := 2 + int64(time.Since(begin)/(10*time.Second))
	for _, i := range known {
		limit := most
		if h := i.how.Load().(string); strings.HasPrefix(h, "redirects for") {
			limit *= 4 // each fetch follows a few
		}
		if f := i.fetches.Load(); f > limit {
			t.Errorf("the issuer that %s was asked %d times in %v", i.how.Load(), f, time.Since(begin).Round(time.Second))
		}
	}
	u := usageOf(t, g.pid())
	t.Logf("known keys: %v; unknown keys: %v; %d MiB at most", &friends, &strangers, u.peak>>20)
	if u.peak > 256<<20 {
		t.Errorf("%d MiB were used", u.peak>>20)
	}
	// All are well again, with new keys.
	for _, i := range append(known, unknown...) {
		i.kid = "k2"
		i.how.Store("")
	}
	well := time.Now()
	for _, i := range append(known, unknown...) {
		until(t, 40*time.Second, "an issuer's new key is known", func() bool {
			a, _ := call(i.token("ann@"+i.name, nil))
			if a.status != 200 {
				time.Sleep(100 * time.Millisecond)
			}
			return a.status == 200
		})
	}
	within(t, "knowing new keys once the issuers were well", time.Since(well), 11*time.Second)
	if a := g.get(t, "alice", "/api"); a.status != 200 {
		t.Errorf("alice: %d", a.status)
	}
}
