package directory

import "sync/atomic"

// Stats are counts since the start, and what is held now.
type Stats struct {
	Hits          uint64 // answered from memory
	Nobodies      uint64 // answered from memory: nobody
	Loads         uint64 // asked of the source
	Failures      uint64 // loads that could not tell
	Outage        uint64 // answered from primed users while the source failed
	Evictions     uint64 // users let go for want of room
	Invalidations uint64
	Users         int
	Keys          int
	Bytes         int64 // about, of the users
	Primed        int
}

type counters struct {
	nobodies, loads, failures, outage, evictions, invalidations atomic.Uint64
}

// Stats counts.
func (d *Directory) Stats() Stats {
	st := Stats{
		Nobodies: d.stats.nobodies.Load(), Loads: d.stats.loads.Load(), Failures: d.stats.failures.Load(),
		Outage: d.stats.outage.Load(), Evictions: d.stats.evictions.Load(),
		Invalidations: d.stats.invalidations.Load(), Primed: int(d.primed.count.Load()),
	}
	for i := range d.users {
		s := &d.users[i]
		s.mu.RLock()
		st.Users, st.Bytes = st.Users+len(s.ring), st.Bytes+s.bytes
		s.mu.RUnlock()
		st.Hits += s.hits.Load()
	}
	for i := range d.keys {
		s := &d.keys[i]
		s.mu.RLock()
		st.Keys += len(s.bound)
		s.mu.RUnlock()
		st.Hits += s.hits.Load()
	}
	return st
}
