package upstream

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	firstRest = time.Second      // how long a target that failed rests at first
	longRest  = 30 * time.Second // and at most
	streak    = 5                // failures in a row, connections apart, before it rests
)

// endpoint is one address of a target, with its connections and its health. It
// outlives the pools that share it, so that a change of configuration elsewhere
// in the service drops no connection.
type endpoint struct {
	key     string // of what it is; equal keys are interchangeable
	url     string
	addr    netip.AddrPort
	hash    uint64
	carrier carrier
	refs    int // guarded by Pools.mu

	inflight atomic.Int64
	served   atomic.Int64
	closed   atomic.Bool
	life     context.Context
	end      context.CancelFunc

	down  atomic.Bool // resting or unhealthy: not chosen while others are up
	shaky atomic.Bool // something failed since the last answer
	mu    sync.Mutex
	health
}

// health is what is known of an endpoint; guarded by endpoint.mu.
type health struct {
	resting   bool   // by what requests met
	unhealthy bool   // by what probes met
	reason    string // of either
	failures  int    // of requests in a row
	rests     int    // in a row, which lengthens the next
	bad, good int    // of probes in a row
}

func (e *endpoint) acquire() { e.inflight.Add(1); e.served.Add(1) }

func (e *endpoint) release() {
	if e.inflight.Add(-1) == 0 && e.closed.Load() {
		e.carrier.close()
	}
}

// shut lets go of the endpoint: what is in flight ends in peace.
func (e *endpoint) shut() {
	e.closed.Store(true)
	e.end()
	e.carrier.close()
}

// answered notes that the target gave an answer: it lives.
func (e *endpoint) answered() {
	if e.shaky.Load() {
		e.mu.Lock()
		e.shaky.Store(false)
		e.failures, e.rests, e.resting = 0, 0, false
		e.judge()
		e.mu.Unlock()
	}
}

// refused notes that no connection could be had. The endpoint rests at once, and
// is woken by a connection that we try ourselves: no caller pays for the attempt.
// Where it is we who are short of something, the target is as good as before.
func (e *endpoint) refused(err error) {
	for _, ours := range [...]error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL} {
		if errors.Is(err, ours) {
			return
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.shaky.Store(true)
	e.reason = err.Error()
	e.rest(true)
}

// failed notes that a request was sent and no answer came. One may be the
// request's fault; several in a row, with no answer between, are the target's.
func (e *endpoint) failed(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.shaky.Store(true)
	e.failures++
	if e.failures >= streak {
		e.reason = err.Error()
		e.failures = streak - 1 // after its rest the next failure sends it back
		e.rest(false)
	}
}

// rest must be called with mu held.
func (e *endpoint) rest(probe bool) {
	if e.resting || e.life.Err() != nil {
		return
	}
	e.resting = true
	e.judge()
	go e.wake(probe)
}

func (e *endpoint) wake(probe bool) {
	for {
		e.mu.Lock()
		pause := min(firstRest<<min(e.rests, 10), longRest)
		e.rests++
		e.mu.Unlock()
		// Jitter keeps many gateways from knocking in step.
		timer := time.NewTimer(pause/2 + rand.N(pause/2))
		select {
		case <-e.life.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		var err error
		if probe {
			err = e.carrier.connect(e.life)
		}
		e.mu.Lock()
		if err == nil || !e.resting {
			e.resting = false
			e.judge()
			e.mu.Unlock()
			return
		}
		e.reason = err.Error()
		e.mu.Unlock()
	}
}

// probed notes the outcome of an active probe; err nil is a good one.
func (e *endpoint) probed(err error, badLimit, goodLimit int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil {
		e.good, e.bad = 0, e.bad+1
		if e.bad >= badLimit {
			e.unhealthy, e.reason = true, err.Error()
		}
	} else {
		e.bad, e.good = 0, e.good+1
		e.resting, e.failures, e.rests = false, 0, 0
		if e.good >= goodLimit {
			e.unhealthy = false
		}
	}
	e.judge()
}

// unprobed forgets what probes found: they are no longer asked for.
func (e *endpoint) unprobed() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.bad, e.good, e.unhealthy = 0, 0, false
	e.judge()
}

func (e *endpoint) judge() {
	e.down.Store(e.resting || e.unhealthy)
	if !e.resting && !e.unhealthy {
		e.reason = ""
	}
}
