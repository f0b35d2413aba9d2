//go:build e2e

package e2e

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// promises are what a gateway has acknowledged, and what it was asked for at most:
// whatever it answers after a kill must lie in between.
type promises struct {
	mu       sync.Mutex
	sent     map[string]int
	answered map[string]int
	passed   []string // probes of requests that were answered with 200
	people   []string // users that a token's first sight has made
	keys     map[string]string
	revoked  []string
	changes  []string // request ids of acknowledged changes
}

func (p *promises) next(slot string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent[slot]++
	return p.sent[slot]
}

func (p *promises) kept(slot string, v int, a *answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answered[slot] = v
	if id := a.header.Get("X-Request-Id"); id != "" {
		p.changes = append(p.changes, id)
	}
}

// holds fails the test where a slot's value is not between what was acknowledged
// and what was asked for.
func (p *promises) holds(t *testing.T, slot string, v int) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if v < p.answered[slot] || v > p.sent[slot] {
		t.Errorf("%s is at %d; %d was acknowledged and %d asked for", slot, v, p.answered[slot], p.sent[slot])
	}
	p.sent[slot], p.answered[slot] = v, v
}

// killing is the work that goes on while the gateway is killed.
type killing struct {
	g     *gateway
	p     promises
	is    *issuer
	round int
	limit int // credentials made in a round
}

func (k *killing) admin(method, path, body string) (*answer, error) {
	return exchange(k.g.client, method, "https://"+k.g.admin+path, body, basic("admin", adminPassword), header("Content-Type", "application/json"))
}

func ok(a *answer, err error) bool { return err == nil && a.status/100 == 2 }

// users rewrites one user after the other.
func (k *killing) users(_, i int) {
	slot := fmt.Sprintf("slot-%d", i%5)
	v := k.p.next(slot)
	a, err := k.admin("PUT", "/v2/users/"+slot, fmt.Sprintf(`{"username":%q,"displayName":"%d"}`, slot, v))
	if ok(a, err) {
		k.p.kept(slot, v, a)
	}
}

// pairs changes two users and a role in one document: all of it or nothing.
func (k *killing) pairs(_, _ int) {
	v := k.p.next("pair")
	a, err := k.admin("POST", "/v2/apply", fmt.Sprintf(`{"users":[{"username":"left","displayName":"%d"},{"username":"right","displayName":"%d"}],
		"roles":[{"name":"middle","permissions":[{"routes":["*"],"methods":["GET"],"paths":["/v%d"]}]}]}`, v, v, v))
	if ok(a, err) {
		k.p.kept("pair", v, a)
	}
}

// settings and one user's right to come in, back and forth.
func (k *killing) settings(_, i int) {
	v := k.p.next("settings")
	a, err := k.admin("PUT", "/v2/config/reverseProxyAuthentication", fmt.Sprintf(`{"enabled":true,"logoutUrl":"https://example.com/%d"}`, v))
	if ok(a, err) {
		k.p.kept("settings", v, a)
	}
	if i%2 == 0 {
		return
	}
	v = k.p.next("toggle")
	if a, err = k.admin("PATCH", "/v2/users/toggle", fmt.Sprintf(`{"active":%v}`, v%2 == 0)); ok(a, err) {
		k.p.kept("toggle", v, a)
	}
}

// credentials makes keys, and takes one of the last round's away.
func (k *killing) credentials(_, i int) {
	if i >= k.limit {
		time.Sleep(20 * time.Millisecond)
		return
	}
	a, err := k.admin("POST", "/v2/users/alice/credentials", `{"type":"apiKey"}`)
	if ok(a, err) {
		var c struct{ ID, Secret string }
		if jsonInto(a.body, &c) {
			k.p.mu.Lock()
			k.p.keys[c.Secret] = c.ID
			k.p.mu.Unlock()
		}
	}
	k.p.mu.Lock()
	var secret, id string
	for secret, id = range k.p.keys {
		break
	}
	delete(k.p.keys, secret) // from now on, nobody knows
	k.p.mu.Unlock()
	if a, err = k.admin("DELETE", "/v2/users/alice/credentials/"+id, ""); ok(a, err) {
		k.p.mu.Lock()
		k.p.revoked = append(k.p.revoked, secret)
		k.p.mu.Unlock()
	}
}

// requests passes through the proxy.
func (k *killing) requests(w, i int) {
	probe := fmt.Sprintf("%d.%d.%d", k.round, w, i)
	method, body := "GET", ""
	if i%2 == 0 {
		method, body = "POST", probe
	}
	c := k.g.client
	if w%2 == 1 {
		c = k.g.h2
	}
	a, err := exchange(c, method, k.g.url("/api/"+probe), body, user("alice"), header("X-Probe", probe))
	if ok(a, err) {
		k.p.mu.Lock()
		k.p.passed = append(k.p.passed, probe)
		k.p.mu.Unlock()
	}
}

// arrivals are people whom nobody here knows yet.
func (k *killing) arrivals(_, i int) {
	name := fmt.Sprintf("new-%d-%d", k.round, i)
	a, err := exchange(k.g.client, "GET", k.g.url("/api/arrival"), "", bearer(k.is.token(name, nil)), header("X-Probe", name))
	if ok(a, err) {
		k.p.mu.Lock()
		k.p.people, k.p.passed = append(k.p.people, name), append(k.p.passed, name)
		k.p.mu.Unlock()
	}
}

// check compares what the gateway says after a kill with what it had said before.
func (k *killing) check(t *testing.T) {
	t.Helper()
	g, p := k.g, &k.p
	number := func(a *answer) (v int) {
		var u struct{ DisplayName string }
		if a.status == 404 {
			return 0
		}
		a.into(t, &u)
		_, _ = fmt.Sscan(u.DisplayName, &v)
		return v
	}
	for i := range 5 {
		slot := fmt.Sprintf("slot-%d", i)
		p.holds(t, slot, number(g.api(t, "GET", "/v2/users/"+slot, "")))
	}
	left, right := number(g.api(t, "GET", "/v2/users/left", "")), number(g.api(t, "GET", "/v2/users/right", ""))
	middle := 0
	if a := g.api(t, "GET", "/v2/roles/middle", ""); a.status == 200 {
		var r struct{ Permissions []struct{ Paths []string } }
		a.into(t, &r)
		_, _ = fmt.Sscanf(r.Permissions[0].Paths[0], "/v%d", &middle)
	}
	if left != right || left != middle {
		t.Errorf("a change is half there: %d, %d, %d", left, middle, right)
	}
	p.holds(t, "pair", left)
	var s struct{ LogoutURL string }
	g.must(t, 200, "GET", "/v2/config/reverseProxyAuthentication", "").into(t, &s)
	v := 0
	_, _ = fmt.Sscanf(s.LogoutURL, "https://example.com/%d", &v)
	p.holds(t, "settings", v)
	k.checkAccess(t)
}

func (k *killing) checkAccess(t *testing.T) {
	t.Helper()
	g, p := k.g, &k.p
	p.mu.Lock()
	defer p.mu.Unlock()
	status := g.get(t, "toggle", "/api").status
	sure := p.sent["toggle"] == p.answered["toggle"]
	if active := p.answered["toggle"]%2 == 0; sure && active != (status == 200) {
		t.Errorf("a user whose active = %v was acknowledged is answered with %d", active, status)
	} else if status != 200 && status != 401 {
		t.Errorf("the toggled user is answered with %d", status)
	}
	if (status == 200) != (p.sent["toggle"]%2 == 0) { // what was asked for last did not come to be
		p.sent["toggle"]--
	}
	p.answered["toggle"] = p.sent["toggle"]
	for secret := range p.keys {
		if a := g.call(t, "GET", "/api", "", header("X-API-Key", secret)); a.status != 200 {
			t.Errorf("a key that was acknowledged is answered with %d %s", a.status, a.code())
		}
	}
	for _, secret := range p.revoked {
		if a := g.call(t, "GET", "/api", "", header("X-API-Key", secret)); a.status != 401 {
			t.Errorf("a key whose deletion was acknowledged is answered with %d", a.status)
		}
	}
	p.revoked = nil
	for _, name := range p.people[max(0, len(p.people)-10):] {
		if a := g.api(t, "GET", "/v2/users/"+name, ""); a.status != 200 {
			t.Errorf("%s was served, and is unknown after the kill: %d", name, a.status)
		}
	}
	p.people = nil
}

// TestAKillAtAnyMomentLosesNothingThatWasAcknowledged is the row "kill -9 at any
// moment" of the faults: K ⊆ U ⊆ A, changes whole, and serving again at once.
func TestAKillAtAnyMomentLosesNothingThatWasAcknowledged(t *testing.T) {
	rounds, random := counts(10, 1000), seeded(t)
	b, is := newLedger(t, nil), newIssuer(t, "https://idp.example.com", "k1")
	dir := t.TempDir()
	write(t, filepath.Join(dir, "keys.pem"), is.pem(t))
	g := start(t, options{dir: dir, resources: withBackend(everyone, b.URL) + `
identityProviders: [{name: idp, type: jwt, issuer: "https://idp.example.com", audiences: [api], keyFile: keys.pem, roles: [writer]}]
`})
	g.must(t, 201, "POST", "/v2/users", `{"username":"toggle","roles":["writer"],"credentials":[{"type":"password","password":"toggles-password"}]}`)
	k := &killing{g: g, is: is, limit: 3, p: promises{sent: map[string]int{}, answered: map[string]int{}, keys: map[string]string{}}}
	log, audited := g.segments(), map[string]bool{}
	var starts []time.Duration
	all, written, twice := 0, 0, 0
	for k.round = range rounds {
		var c crew
		c.work(4, k.requests)
		c.work(1, k.arrivals)
		c.work(1, k.users)
		c.work(1, k.pairs)
		c.work(1, k.settings)
		c.work(1, k.credentials)
		time.Sleep(random.upTo(500 * time.Millisecond))
		g.kill()
		c.end()
		if random.n(4) == 0 { // and once more while it starts
			g.hangUp()
			g.opt.notReady = true
			g.run(t)
			time.Sleep(random.upTo(150 * time.Millisecond))
			g.kill()
			twice++
		}
		starts = append(starts, g.again(t))
		seenBy, passed, acknowledged := b.taken(), k.p.passed, k.p.changes
		k.p.passed, k.p.changes = nil, nil
		k.check(t)
		all, written = all+len(seenBy), written+len(acknowledged)
		recorded := log.next(t)
		decided(recorded, audited)
		for _, id := range seenBy {
			if !audited[id] {
				t.Errorf("round %d: the backend saw request %s, whose decision is not in the audit", k.round, id)
			}
			delete(audited, id)
		}
		for _, probe := range passed {
			if n := b.count(probe); n != 1 {
				t.Errorf("round %d: request %s was answered, and the backend saw it %d times", k.round, probe, n)
			}
		}
		changed := map[string]bool{}
		for _, e := range recorded {
			if e.Type != "access" {
				changed[e.RequestID] = true
			}
		}
		for _, id := range acknowledged {
			if !changed[id] {
				t.Errorf("round %d: change %s was acknowledged, and is not in the audit", k.round, id)
			}
		}
		if t.Failed() {
			t.Fatalf("after %d kills", k.round+1)
		}
	}
	t.Logf("%d kills (%d of them twice): the backend saw %d requests, %d changes were acknowledged; serving again: %s", rounds, twice, all, written, spread(starts))
	within(t, "serving again after a kill (median)", percentile(starts, 0.5), 500*time.Millisecond)
	within(t, "serving again after a kill (longest)", percentile(starts, 1), 500*time.Millisecond*time.Duration(counts(1, 3)))
	if all == 0 || written == 0 {
		t.Error("nothing was going on when it was killed")
	}
}
