package introspection

import (
	"time"

	"github.com/sallyport/sallyport/internal/gate/authn"
)

// mostRefusals is how many refusals are remembered.
const mostRefusals = 1 << 13

// Refused answers a refusal that is remembered. The key stands for the token and
// the configuration under which it was refused.
func (r *Registry) Refused(key authn.CacheKey, now time.Time) (authn.Result, bool) {
	return r.refusals.Get(key, now)
}

// Refuse remembers a refusal.
func (r *Registry) Refuse(key authn.CacheKey, result authn.Result, now time.Time) {
	r.refusals.Put(key, result, now.Add(r.o.No))
}
