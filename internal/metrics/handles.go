package metrics

import (
	"maps"
	"sync"
	"sync/atomic"
)

// handles finds the series of a key: without a lock once it has settled. New keys
// wait in fresh, behind the lock, and are taken over in bulk, so that ten thousand
// routes cost a copy now and then and not one each.
type handles[K comparable, V any] struct {
	stable atomic.Pointer[map[K]V]

	mu    sync.Mutex
	fresh map[K]V
	asked int // how often fresh has answered since it was taken over last
}

func newHandles[K comparable, V any]() *handles[K, V] {
	h := &handles[K, V]{fresh: map[K]V{}}
	h.stable.Store(&map[K]V{})
	return h
}

// find is the value of k where it has settled.
func (h *handles[K, V]) find(k K) (V, bool) {
	v, ok := (*h.stable.Load())[k]
	return v, ok
}

// add is the value of k, made by get where there is none yet. Beyond maxSeries all
// further keys share the value of rest. k must not be a view into a buffer.
func (h *handles[K, V]) add(k, rest K, get func(K) V) V {
	h.mu.Lock()
	defer h.mu.Unlock()
	old := *h.stable.Load()
	if v, ok := old[k]; ok {
		return v
	}
	v, ok := h.fresh[k]
	if !ok {
		if len(old)+len(h.fresh) >= maxSeries {
			return get(rest)
		}
		v = get(k)
		h.fresh[k] = v
	}
	if h.asked++; h.asked >= len(old)/2 {
		grown := maps.Clone(old)
		maps.Copy(grown, h.fresh)
		h.stable.Store(&grown)
		h.fresh, h.asked = map[K]V{}, 0
	}
	return v
}
