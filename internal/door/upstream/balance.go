package upstream

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/sallyport/sallyport/internal/model"
)

// view is the endpoints of a service at one moment: immutable but for the turns
// of the round.
type view struct {
	endpoints []*endpoint
	weights   []float64 // of each: its target's, shared among the target's addresses

	mu    sync.Mutex
	turns []float64 // smooth weighted round robin: what each has saved up
}

func newView(eps []*endpoint, weights []float64) *view {
	return &view{endpoints: eps, weights: weights, turns: make([]float64, len(eps))}
}

// choose picks an endpoint that was not tried yet: one that is up, else any, for
// when all are down trying is all that is left. nil = there is none.
func (v *view) choose(how model.Balance, key string, tried []*endpoint) *endpoint {
	fit := func(i int) bool { return v.weights[i] > 0 && !slices.Contains(tried, v.endpoints[i]) }
	up := func(i int) bool { return fit(i) && !v.endpoints[i].down.Load() }
	for _, ok := range []func(int) bool{up, fit} {
		var e *endpoint
		switch how {
		case model.RoundRobin:
			e = v.round(ok)
		case model.HashBalance:
			e = v.hashed(key, ok)
		default:
			e = v.least(ok)
		}
		if e != nil {
			return e
		}
	}
	return nil
}

// least picks the fewest requests in flight by weight, starting anywhere, so that
// equals share.
func (v *view) least(ok func(int) bool) (best *endpoint) {
	n := len(v.endpoints)
	if n == 0 {
		return nil
	}
	start, lowest := 0, math.Inf(1)
	if n > 1 {
		start = rand.IntN(n)
	}
	for j := range n {
		i := (start + j) % n
		if !ok(i) {
			continue
		}
		if load := float64(v.endpoints[i].inflight.Load()+1) / v.weights[i]; load < lowest {
			best, lowest = v.endpoints[i], load
		}
	}
	return best
}

func (v *view) round(ok func(int) bool) *endpoint {
	v.mu.Lock()
	defer v.mu.Unlock()
	best, total := -1, 0.0
	for i := range v.endpoints {
		if !ok(i) {
			continue
		}
		v.turns[i] += v.weights[i]
		total += v.weights[i]
		if best < 0 || v.turns[i] > v.turns[best] {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	v.turns[best] -= total
	return v.endpoints[best]
}

// hashed is weighted rendezvous hashing: a key stays with its endpoint as long as
// that is there, on every node alike, and only its keys move when it is not.
func (v *view) hashed(key string, ok func(int) bool) (best *endpoint) {
	h, highest := hash(key), math.Inf(-1)
	for i, e := range v.endpoints {
		if !ok(i) {
			continue
		}
		unit := (float64(mix(h^e.hash)>>11) + 0.5) / (1 << 53)
		if score := -v.weights[i] / math.Log(unit); score > highest {
			best, highest = e, score
		}
	}
	return best
}

// hash is FNV-1a; it must be the same on every node and after every start.
func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := 0; i < len(s); i++ {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// mix spreads the bits of x (the finaliser of SplitMix64).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
