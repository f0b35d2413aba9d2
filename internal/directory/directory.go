package directory

import (
	"context"
	"errors"
	"hash/maphash"
	"math/bits"
	"sync/atomic"
	"time"
)

// ErrUnavailable says that the source could not answer in time. Whoever asked
// cannot tell whether there is such a user.
var ErrUnavailable = errors.New("the user store does not answer")

// byID marks a lookup by the user's id among the keys of loads.
const byID By = 0

// Options bound the directory. Zero values take the defaults.
type Options struct {
	Size         int           // users kept; 100,000
	Bytes        int64         // of them, about; 256 MiB
	Negative     time.Duration // how long nobody is remembered; 5 s, below 0 not at all
	NegativeSize int           // keys remembered so; 8,192
	Timeout      time.Duration // for one load; 2 s
	Loads        int           // at once; 64
	Retry        time.Duration // how often the source is asked about primed users while it fails, in the background; 1 s
	Now          func() time.Time
}

func (o *Options) defaults() {
	if o.Size <= 0 {
		o.Size = 100_000
	}
	if o.Bytes <= 0 {
		o.Bytes = 256 << 20
	}
	if o.Negative == 0 {
		o.Negative = 5 * time.Second
	}
	if o.NegativeSize <= 0 {
		o.NegativeSize = 8192
	}
	if o.Timeout <= 0 {
		o.Timeout = 2 * time.Second
	}
	if o.Loads <= 0 {
		o.Loads = 64
	}
	if o.Retry <= 0 {
		o.Retry = time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// longestKey is how many bytes a key may have to be remembered: longer ones are
// looked up each time, so that hostile names cannot fill the memory.
const longestKey = 1024

// Directory is a bounded cache in front of a Source. Its entries do not end with
// time but with an invalidation, so that a store that is down takes no known
// user with it.
//
// What makes it safe to cache at all is an order: a writer commits, then calls
// Invalidate, then acknowledges. Invalidate takes the next number of changes;
// a load notes that number before it reads the source, and what it read is
// kept only if its user has not changed since. So a request that begins after
// the acknowledgement never meets what was true before it.
type Directory struct {
	src     Source
	o       Options
	seed    maphash.Seed
	changes atomic.Uint64
	users   []userShard
	keys    []keyShard
	nobody  nobody
	flights flights
	primed  primed
	stats   counters
}

// New makes an empty directory in front of src.
func New(src Source, o Options) *Directory {
	o.defaults()
	// Few users need few shards: each holds at least 64 of them, so that an
	// uneven spread does not matter.
	n := 1 << min(6, max(0, bits.Len(uint(o.Size/64))-1))
	d := &Directory{src: src, o: o, seed: maphash.MakeSeed(),
		users: make([]userShard, n), keys: make([]keyShard, 64)}
	for i := range d.users {
		d.users[i].init((o.Size+n-1)/n, o.Bytes/int64(n), d)
	}
	for i := range d.keys {
		d.keys[i].bound = make(map[Key]binding)
	}
	d.nobody.init(o.NegativeSize)
	d.flights.init(o.Loads)
	return d
}

// Find answers who is behind key: from memory without allocating, else from the
// source. An error means that it cannot tell. The key's strings may be views.
func (d *Directory) Find(ctx context.Context, key Key) (Found, error) {
	if key.By == byID || !key.plausible() { // an id is no credential
		return Found{}, nil
	}
	key = key.Normal()
	s := d.keyShard(key)
	s.mu.RLock()
	b, ok := s.bound[key]
	s.mu.RUnlock()
	if ok && b.entry.principal.Fresh() {
		s.hits.Add(1)
		return Found{Principal: b.entry.principal, Credential: b.credential}, nil
	}
	return d.miss(ctx, key)
}

// User answers the user of that id; nil and no error where there is nobody.
func (d *Directory) User(ctx context.Context, id string) (*Principal, error) {
	h := maphash.String(d.seed, id)
	s := d.userShard(h)
	s.mu.RLock()
	e := s.entries[id]
	s.mu.RUnlock()
	if e != nil && e.principal.Fresh() {
		s.hits.Add(1)
		return e.principal, nil
	}
	key := Key{By: byID, A: id}
	if !key.plausible() {
		return nil, nil
	}
	f, err := d.miss(ctx, key)
	return f.Principal, err
}

// Invalidate marks the users' principals stale, forgets every key that led to
// them, and all that is known of nobody, for a change may have made somebody of
// them. It is called after the change is committed and before it is acknowledged.
func (d *Directory) Invalidate(userIDs ...string) {
	n := d.changes.Add(1)
	for _, id := range userIDs {
		h := maphash.String(d.seed, id)
		d.userShard(h).invalidate(id, h, n)
	}
	d.primed.forget(userIDs)
	d.stats.invalidations.Add(uint64(len(userIDs)))
}

// InvalidateAll forgets everything.
func (d *Directory) InvalidateAll() {
	n := d.changes.Add(1)
	for i := range d.users {
		d.users[i].invalidateAll(n)
	}
	d.primed.clear()
	d.stats.invalidations.Add(1)
}

// The shards take the hash's lowest bits, and a shard's marks the ones above.
func (d *Directory) userShard(h uint64) *userShard { return &d.users[h&uint64(len(d.users)-1)] }

func (d *Directory) keyShard(k Key) *keyShard {
	h := maphash.String(d.seed, k.A)
	if k.B != "" {
		h ^= bits.RotateLeft64(maphash.String(d.seed, k.B), 17)
	}
	return &d.keys[h&uint64(len(d.keys)-1)]
}
