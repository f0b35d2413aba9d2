package directory

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sallyport/sallyport/internal/model"
)

// marks is into how many parts a shard's users fall for the memory of when they
// last changed: a change spoils the loads under way of its part alone.
const marks = 64

// mostKeys is how many of a user's keys are remembered.
const mostKeys = 1024

// entry is a user in memory. All but the principal belongs to its shard's lock.
type entry struct {
	principal *Principal
	keys      []Key
	bytes     int64
	place     int // in the ring
}

// userShard holds a part of the users. Its lock is taken before a key shard's,
// never after: a key is bound, and an entry with its keys removed, in one piece,
// so that no key outlives its user.
type userShard struct {
	mu      sync.RWMutex
	entries map[string]*entry
	ring    []*entry // for the clock: whoever was not used for a whole round goes first
	hand    int
	bytes   int64
	limit   int
	most    int64
	changed [marks]uint64 // the number of the last change
	all     uint64
	hits    atomic.Uint64
	d       *Directory
}

func (s *userShard) init(limit int, most int64, d *Directory) {
	s.limit, s.most, s.d = limit, most, d
	s.entries = make(map[string]*entry)
}

// changedSince says whether the user of hash h may have changed after the change
// numbered since.
func (s *userShard) changedSince(h, since uint64) bool {
	return s.all > since || s.changed[h>>32%marks] > since
}

func (s *userShard) invalidate(id string, h, n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := &s.changed[h>>32%marks]
	*m = max(*m, n)
	if e := s.entries[id]; e != nil {
		s.remove(e)
	}
}

func (s *userShard) invalidateAll(n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = max(s.all, n)
	for len(s.ring) > 0 {
		s.remove(s.ring[len(s.ring)-1])
	}
}

// keep registers what a load that began at since has read, and binds key to it.
// A principal is handed out fresh only from here, under the lock that Invalidate
// takes: one that is not registered could never be told that it is stale.
func (s *userShard) keep(key Key, h uint64, u *model.User, credentialID string, since uint64) Found {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[u.ID]
	overtaken := s.changedSince(h, since)
	if e != nil && !overtaken && (credentialID == "" || e.principal.Credential(credentialID) != nil) {
		return s.bind(e, key, credentialID)
	}
	p := NewPrincipal(*u)
	if overtaken {
		p.Expire()
		return found(p, credentialID)
	}
	if e != nil { // a load that saw more than the one before: the change's invalidation is on its way
		s.remove(e)
	}
	e = &entry{principal: p, bytes: weigh(u)}
	s.makeRoom(e.bytes)
	e.place = len(s.ring)
	s.ring = append(s.ring, e)
	s.entries[u.ID] = e
	s.bytes += e.bytes
	return s.bind(e, key, credentialID)
}

func found(p *Principal, credentialID string) Found {
	f := Found{Principal: p}
	if credentialID != "" {
		f.Credential = p.Credential(credentialID)
	}
	return f
}

func (s *userShard) bind(e *entry, key Key, credentialID string) Found {
	f := found(e.principal, credentialID)
	if key.By == byID || len(key.A)+len(key.B) > longestKey {
		return f
	}
	ks := s.d.keyShard(key)
	ks.mu.Lock()
	defer ks.mu.Unlock()
	if old, ok := ks.bound[key]; ok && old.entry == e {
		ks.bound[key] = binding{entry: e, credential: f.Credential}
		return f
	}
	if len(e.keys) >= mostKeys {
		return f
	}
	key = key.clone()
	e.keys = append(e.keys, key)
	ks.bound[key] = binding{entry: e, credential: f.Credential}
	return f
}

// remove takes an entry out with its keys and marks it stale, whatever the
// reason: nothing would tell its holders of a later change.
func (s *userShard) remove(e *entry) {
	e.principal.Expire()
	for _, k := range e.keys {
		ks := s.d.keyShard(k)
		ks.mu.Lock()
		if ks.bound[k].entry == e {
			delete(ks.bound, k)
		}
		ks.mu.Unlock()
	}
	last := len(s.ring) - 1
	s.ring[e.place] = s.ring[last]
	s.ring[e.place].place = e.place
	s.ring = slices.Delete(s.ring, last, last+1)
	delete(s.entries, e.principal.User.ID)
	s.bytes -= e.bytes
}

// makeRoom lets go of whoever has not been used for longest, about.
func (s *userShard) makeRoom(bytes int64) {
	for len(s.ring) > 0 && (len(s.ring) >= s.limit || s.bytes+bytes > s.most) {
		if s.hand >= len(s.ring) {
			s.hand = 0
		}
		e := s.ring[s.hand]
		if e.principal.used.Swap(false) {
			s.hand++
			continue
		}
		s.remove(e)
		s.d.stats.evictions.Add(1)
	}
}

// weigh estimates what a user takes of the memory.
func weigh(u *model.User) int64 {
	n := 512 + len(u.ID) + 2*len(u.Username) + len(u.DisplayName) + 128*len(u.Attributes)
	for _, list := range [][]string{u.Emails, u.Groups, u.Roles} {
		for _, s := range list {
			n += 16 + len(s)
		}
	}
	for i := range u.Credentials {
		c := &u.Credentials[i]
		n += 512 + len(c.Hash) + len(c.Subject) + len(c.URI) + 32*(len(c.Scopes)+len(c.Addresses))
	}
	for k, v := range u.Attributes {
		n += len(k) + weighValue(v)
	}
	return int64(n)
}

func weighValue(v any) int {
	switch v := v.(type) {
	case string:
		return 16 + len(v)
	case []any:
		n := 24
		for _, x := range v {
			n += 16 + weighValue(x)
		}
		return n
	case map[string]any:
		n := 48
		for k, x := range v {
			n += 64 + len(k) + weighValue(x)
		}
		return n
	}
	return 16
}

// keyShard holds a part of the keys.
type keyShard struct {
	mu    sync.RWMutex
	bound map[Key]binding
	hits  atomic.Uint64
}

type binding struct {
	entry      *entry
	credential *model.Credential // of entry's principal
}
