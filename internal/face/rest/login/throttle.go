package login

import (
	"net/netip"
	"sync"
	"time"
)

// How many failures are free, by address alone and by name at an address, and
// how the wait grows from there: doubling from a second to longestWait, until
// nobody has failed for forgetAfter.
const (
	freeByAddress = 20
	freeByName    = 5
	longestWait   = 5 * time.Minute
	forgetAfter   = 15 * time.Minute
	mostTracked   = 50_000
)

// throttle slows down guessing. It counts by address and by name at an address,
// never by name alone, so that nobody can lock another out from elsewhere.
type throttle struct {
	mu   sync.Mutex
	seen map[string]*failures
	now  func() time.Time
}

type failures struct {
	count       int
	last, until time.Time
}

func newThrottle(now func() time.Time) *throttle {
	return &throttle{seen: map[string]*failures{}, now: now}
}

type limit struct {
	key  string
	free int
}

// limitsOf is what a login counts against. An IPv6 caller owns a whole /64.
func limitsOf(ip netip.Addr, name string) []limit {
	ip = ip.Unmap()
	if ip.Is6() {
		p, _ := ip.WithZone("").Prefix(64)
		ip = p.Addr()
	}
	at := ip.String()
	list := []limit{{at, freeByAddress}}
	if name != "" {
		list = append(list, limit{at + " " + name, freeByName})
	}
	return list
}

// try is called before a password is checked, and counts it as a failure until
// passed or undone says otherwise, so that many tries at once are no way round.
// A wait above zero means: not now, and nothing was counted.
func (t *throttle) try(ip netip.Addr, name string) (wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	limits := limitsOf(ip, name)
	for _, l := range limits {
		if f := t.seen[l.key]; f != nil {
			wait = max(wait, f.until.Sub(now))
		}
	}
	if wait > 0 {
		return wait
	}
	for _, l := range limits {
		f := t.seen[l.key]
		if f == nil || now.Sub(f.last) > forgetAfter {
			t.makeRoom(now)
			f = &failures{}
			t.seen[l.key] = f
		}
		f.count++
		f.last = now
		if over := f.count - l.free; over > 0 {
			f.until = now.Add(min(longestWait, time.Second<<min(over-1, 20)))
		}
	}
	return 0
}

// passed forgets the failures of who has now succeeded.
func (t *throttle) passed(ip netip.Addr, name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range limitsOf(ip, name) {
		delete(t.seen, l.key)
	}
}

// undone takes back a try that could not be judged.
func (t *throttle) undone(ip netip.Addr, name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range limitsOf(ip, name) {
		if f := t.seen[l.key]; f != nil {
			f.count--
			f.until = time.Time{}
		}
	}
}

// makeRoom bounds the memory that an attacker with many addresses can take.
func (t *throttle) makeRoom(now time.Time) {
	if len(t.seen) < mostTracked {
		return
	}
	for k, f := range t.seen {
		if now.Sub(f.last) > forgetAfter {
			delete(t.seen, k)
		}
	}
	for k := range t.seen {
		if len(t.seen) < mostTracked*9/10 {
			return
		}
		delete(t.seen, k)
	}
}
