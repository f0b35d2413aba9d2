package introspection

import (
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/internal/gate/authn"
)

// mostRefusals is how many refusals are remembered. A flood of made-up tokens
// displaces others' refusals, and never a proof, which is kept elsewhere.
const mostRefusals = 1 << 13

// refusals remembers for a short while that a token was refused, so that a client
// that repeats it does not become the provider's problem.
type refusals [mostRefusals]atomic.Pointer[refusal]

type refusal struct {
	key    authn.CacheKey
	until  time.Time
	result authn.Result
}

// Refused answers a refusal that is remembered. The key stands for the token and
// the configuration under which it was refused.
func (r *Registry) Refused(key authn.CacheKey, now time.Time) (authn.Result, bool) {
	e := r.refusals[key.Epoch()%mostRefusals].Load()
	if e == nil || e.key != key || !now.Before(e.until) {
		return authn.Result{}, false
	}
	return e.result, true
}

// Refuse remembers a refusal.
func (r *Registry) Refuse(key authn.CacheKey, result authn.Result, now time.Time) {
	r.refusals[key.Epoch()%mostRefusals].Store(&refusal{key, now.Add(r.o.No), result})
}
