package introspection

import (
	"errors"
	"sync"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

var errPause = errors.New("it failed repeatedly and is left alone for a moment")

// endpoint is how one provider fares: a circuit breaker. A provider that is down
// must not hold up every request for as long as one question may take, and one
// that is coming back must not meet all of them at once.
type endpoint struct {
	slots chan struct{} // one for each question under way

	mu       sync.Mutex
	failures int       // in a row
	until    time.Time // it is left alone
	asked    uint64
	last     time.Time // it was asked
	good     time.Time // it last answered
	fault    error     // of the last question; nil = it was answered
}

// enter says whether the endpoint may be asked now. After a pause one caller tries
// for all.
func (e *endpoint) enter(now time.Time, o *Options) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.failures >= o.Failures {
		if now.Before(e.until) {
			return errPause
		}
		e.until = now.Add(o.Pause)
	}
	e.asked++
	e.last = now
	return nil
}

func (e *endpoint) leave(err error, now time.Time, o *Options) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fault = err
	if err == nil {
		e.failures, e.good = 0, now
		return
	}
	e.failures++
	e.until = now.Add(o.Pause)
}

// Status is how an endpoint fares, for people.
type Status struct {
	Source    string     `json:"source"` // the endpoint's URL
	Asked     uint64     `json:"asked"`  // since it was configured
	LastAsked *time.Time `json:"lastAsked"`
	LastGood  *time.Time `json:"lastGood"`
	LastError string     `json:"lastError,omitempty"`
	Paused    bool       `json:"paused"`  // it failed repeatedly and is left alone for a moment
	Healthy   bool       `json:"healthy"` // the last question was answered, or there was none
}

// Status tells how a provider's endpoint fares.
func (r *Registry) Status(p *model.IdentityProvider) Status {
	e, now := r.of(p), r.o.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	st := Status{Source: p.Endpoint, Asked: e.asked, Healthy: e.fault == nil,
		Paused: e.failures >= r.o.Failures && now.Before(e.until)}
	if last := e.last; !last.IsZero() {
		st.LastAsked = &last
	}
	if good := e.good; !good.IsZero() {
		st.LastGood = &good
	}
	if e.fault != nil {
		st.LastError = e.fault.Error()
	}
	return st
}
