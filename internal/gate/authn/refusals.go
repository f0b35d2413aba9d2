package authn

import (
	"sync/atomic"
	"time"
)

// Refusals remembers for a short while that a credential was refused, so that a
// client that repeats it does not become somebody else's problem. It is bounded: a
// flood of made-up credentials displaces others' refusals, and never a proof, which
// is kept elsewhere.
type Refusals []atomic.Pointer[refused]

type refused struct {
	key    CacheKey
	until  time.Time
	result Result
}

// NewRefusals makes room for that many.
func NewRefusals(n int) Refusals { return make(Refusals, n) }

// Get answers a refusal that is remembered. The key stands for the credential and
// the configuration under which it was refused.
func (r Refusals) Get(key CacheKey, now time.Time) (Result, bool) {
	e := r[key.lo%uint64(len(r))].Load()
	if e == nil || e.key != key || !now.Before(e.until) {
		return Result{}, false
	}
	return e.result, true
}

// Put remembers a refusal until then.
func (r Refusals) Put(key CacheKey, result Result, until time.Time) {
	r[key.lo%uint64(len(r))].Store(&refused{key, until, result})
}
