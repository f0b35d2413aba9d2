package login

import (
	"sync"
	"time"
)

// mostOnce bounds what is remembered. When it is full, nothing more is accepted
// until something has run out: who floods logins must not be able to play an old
// message again.
const mostOnce = 1 << 17

// once remembers what counts once, for as long as it could be played again.
type once struct {
	mu    sync.Mutex
	until map[string]time.Time
	swept time.Time
	now   func() time.Time
}

func newOnce(now func() time.Time) *once { return &once{until: map[string]time.Time{}, now: now} }

// first is true the first time that id is seen.
func (o *once) first(id string, until time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.now()
	if len(o.until) >= mostOnce || now.Sub(o.swept) > time.Minute {
		o.swept = now
		for k, t := range o.until {
			if now.After(t) {
				delete(o.until, k)
			}
		}
	}
	if t, seen := o.until[id]; seen && !now.After(t) || len(o.until) >= mostOnce {
		return false
	}
	o.until[id] = until
	return true
}
