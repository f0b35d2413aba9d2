package snapshot

import "sync/atomic"

// Holder is where a published T is found: a reader takes it once for a whole
// journey, and sees all of it or all of the one before. The zero value holds nil.
type Holder[T any] struct {
	current atomic.Pointer[T]
}

// Load takes what is being served; nil = nothing yet, and then nothing may be.
func (h *Holder[T]) Load() *T { return h.current.Load() }

// Publish puts next in its place, for every request that begins from now on.
// next must not be changed afterwards.
func (h *Holder[T]) Publish(next *T) { h.current.Store(next) }
