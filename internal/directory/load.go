package directory

import (
	"context"
	"fmt"
	"hash/maphash"
	"sync"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

// flights are the loads under way, one for each key.
type flights struct {
	mu    sync.Mutex
	byKey map[Key]*flight
	slots chan struct{} // how many may ask the source at once
}

type flight struct {
	since uint64          // the number of changes before it read
	ctx   context.Context // done when its time is over, or when it is finished
	done  chan struct{}
	found Found
	err   error
}

func (f *flights) init(slots int) {
	f.byKey = make(map[Key]*flight)
	f.slots = make(chan struct{}, slots)
}

// miss answers what is not in memory: from what is known of nobody, from the
// source, or while that fails from what was primed.
func (d *Directory) miss(ctx context.Context, key Key) (Found, error) {
	now := d.o.Now()
	if d.nobody.knows(key, d.changes.Load(), now) {
		d.stats.nobodies.Add(1)
		return Found{}, nil
	}
	if d.primed.failing.Load() {
		if f, ok := d.primed.find(key); ok {
			d.stats.outage.Add(1)
			if d.primed.probes(now, d.o.Retry) {
				d.probe(key)
			}
			return f, nil
		}
	}
	f, err := d.load(ctx, key)
	if err != nil {
		if p, ok := d.primed.find(key); ok {
			d.stats.outage.Add(1)
			return p, nil
		}
	}
	return f, err
}

// load waits for the source.
func (d *Directory) load(ctx context.Context, key Key) (Found, error) {
	if err := ctx.Err(); err != nil {
		return Found{}, err
	}
	f := d.flight(key)
	select {
	case <-f.done:
		return f.found, f.err
	case <-ctx.Done():
		return Found{}, ctx.Err()
	case <-f.ctx.Done():
	}
	select {
	case <-f.done: // both were ready
		return f.found, f.err
	default:
		d.primed.failed(d.o.Now())
		return Found{}, ErrUnavailable
	}
}

// flight joins the load of the key that is under way, or begins one. It joins
// none that began before the last change: whoever asks now may be asking because
// of it.
func (d *Directory) flight(key Key) *flight {
	d.flights.mu.Lock()
	defer d.flights.mu.Unlock()
	since := d.changes.Load()
	f := d.flights.byKey[key]
	if f == nil || f.since != since || f.ctx.Err() != nil {
		f = d.begin(key.clone(), since)
	}
	return f
}

// probe asks the source whether it is back, and makes nobody wait for it.
func (d *Directory) probe(key Key) { d.flight(key) }

// begin starts a load that outlives the request which asked first: others wait
// for it, and a client that hangs up must not fail them. The caller holds the lock.
func (d *Directory) begin(key Key, since uint64) *flight {
	ctx, cancel := context.WithTimeout(context.Background(), d.o.Timeout)
	f := &flight{since: since, ctx: ctx, done: make(chan struct{})}
	d.flights.byKey[key] = f
	d.stats.loads.Add(1)
	go func() {
		defer cancel()
		defer d.land(key, f)
		select {
		case d.flights.slots <- struct{}{}:
			defer func() { <-d.flights.slots }()
			f.found, f.err = d.read(ctx, key, since)
		case <-ctx.Done():
			f.err = ErrUnavailable
		}
	}()
	return f
}

// land takes the load off the list and answers whoever waits. A panic of the
// source is an error like any other, not the end of the gateway.
func (d *Directory) land(key Key, f *flight) {
	if r := recover(); r != nil {
		f.found, f.err = Found{}, fmt.Errorf("looking up a user: %v", r)
	}
	if f.err != nil {
		d.stats.failures.Add(1)
		d.primed.failed(d.o.Now())
	}
	d.flights.mu.Lock()
	if d.flights.byKey[key] == f { // first, that nobody joins what is over and meets an old error
		delete(d.flights.byKey, key)
	}
	d.flights.mu.Unlock()
	close(f.done)
}

func (d *Directory) read(ctx context.Context, key Key, since uint64) (Found, error) {
	var u *model.User
	var credentialID string
	var err error
	if key.By == byID {
		u, err = d.src.UserByID(ctx, key.A)
	} else {
		u, credentialID, err = d.src.FindUser(ctx, key)
	}
	if err != nil {
		return Found{}, fmt.Errorf("looking up a user: %w", err)
	}
	d.primed.answered(key, u)
	if u == nil {
		d.nobody.remember(key, since, d.o.Now().Add(d.o.Negative))
		return Found{}, nil
	}
	if u.ID == "" {
		return Found{}, fmt.Errorf("looking up a user: %q has no id", u.Username)
	}
	h := maphash.String(d.seed, u.ID)
	return d.userShard(h).keep(key, h, u, credentialID, since), nil
}

// nobody remembers for a short while, and until anything changes, which keys
// lead to no user. It is a bounded ring of its own, so that guesses do not drive
// known users out.
type nobody struct {
	mu   sync.RWMutex
	keys map[Key]time.Time // until when
	ring []Key
	next int
	at   uint64 // the number of changes that keys belong to
}

func (n *nobody) init(size int) {
	n.keys = make(map[Key]time.Time)
	n.ring = make([]Key, 0, size)
}

func (n *nobody) knows(key Key, changes uint64, now time.Time) bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	until, ok := n.keys[key]
	return ok && n.at == changes && now.Before(until)
}

// remember notes what a load that began at since has found. What is older than
// the notes there are is dropped: a change came between.
func (n *nobody) remember(key Key, since uint64, until time.Time) {
	if len(key.A)+len(key.B) > longestKey {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if since < n.at {
		return
	}
	if since > n.at {
		clear(n.keys)
		n.ring, n.next, n.at = n.ring[:0], 0, since
	}
	if _, ok := n.keys[key]; ok {
		n.keys[key] = until
		return
	}
	if len(n.ring) < cap(n.ring) {
		n.ring = append(n.ring, key)
	} else {
		delete(n.keys, n.ring[n.next])
		n.ring[n.next] = key
		n.next = (n.next + 1) % len(n.ring)
	}
	n.keys[key] = until
}
