package authn

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"
)

// Replay remembers proofs that are good for one request, for as long as they could
// be shown again. It is bounded: where it is full it says so, and whoever asks
// refuses, for a proof that cannot be remembered could be used twice. Only proofs
// that are otherwise good are put into it, so that filling it takes a good
// credential.
//
// It is this process's memory: another node, or the same after a restart, knows
// nothing of it for the seconds that a proof lives.
type Replay struct {
	life time.Duration
	most int

	mu         sync.Mutex
	young, old map[[16]byte]struct{}
	turned     time.Time
}

// Defaults of a Replay.
const (
	// ReplayEntries is how many proofs each of two generations holds.
	ReplayEntries = 1 << 19
)

// NewReplay remembers each proof for at least life, and most of them in each half
// of its memory; 0 takes the default.
func NewReplay(life time.Duration, most int) *Replay {
	if most <= 0 {
		most = ReplayEntries
	}
	return &Replay{life: life, most: most}
}

// First says whether a proof of that name is seen for the first time, and room
// whether that could be told at all. Names are hashed whole, with their lengths.
func (r *Replay) First(now time.Time, names ...string) (first, room bool) {
	key := nameOf(names)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn(now)
	if r.seen(key) {
		return false, true
	}
	if len(r.young) >= r.most {
		return false, false
	}
	if r.young == nil {
		r.young = make(map[[16]byte]struct{})
	}
	r.young[key] = struct{}{}
	return true, true
}

// Seen says whether a proof of that name was seen before, and does not note it: for
// a request that is only asked about.
func (r *Replay) Seen(now time.Time, names ...string) bool {
	key := nameOf(names)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn(now)
	return r.seen(key)
}

func nameOf(names []string) [16]byte {
	h := sha256.New()
	var n [8]byte
	for _, s := range names {
		binary.LittleEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	var sum [32]byte
	h.Sum(sum[:0])
	return [16]byte(sum[:16])
}

// turn forgets what is too old to be shown again; with mu held.
func (r *Replay) turn(now time.Time) {
	if age := now.Sub(r.turned); age >= r.life {
		// What the younger half holds was put there up to a life ago; it is kept for
		// another one, unless nothing came for so long that none of it counts.
		r.old, r.young, r.turned = r.young, nil, now
		if age >= 2*r.life {
			r.old = nil
		}
	}
}

// seen asks both halves; with mu held.
func (r *Replay) seen(key [16]byte) bool {
	if _, seen := r.young[key]; seen {
		return true
	}
	_, seen := r.old[key]
	return seen
}
