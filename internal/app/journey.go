package app

import (
	"context"
	"sync"
	"time"

	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/metrics"
	"github.com/sallyport/sallyport/internal/record"
)

// journey is the gate as the doors see it: exchanges that are used again, each
// under the plan of the moment it began.
type journey struct {
	gate     *gate.Gate
	plan     func() *gate.Plan
	recorder *record.Recorder
	metrics  *metrics.Metrics
	touch    func(userID, credentialID string, at time.Time) // notes a credential's last use
	pool     sync.Pool
}

func newJourney(g *gate.Gate, plan func() *gate.Plan, r *record.Recorder, m *metrics.Metrics, touch func(string, string, time.Time)) *journey {
	return &journey{gate: g, plan: plan, recorder: r, metrics: m, touch: touch, pool: sync.Pool{New: func() any { return new(gate.Exchange) }}}
}

// Acquire gives an exchange under the plan of this moment.
func (j *journey) Acquire() *gate.Exchange {
	ex := j.pool.Get().(*gate.Exchange)
	ex.Plan = j.plan()
	j.metrics.Begin()
	return ex
}

// Release takes the exchange back.
func (j *journey) Release(ex *gate.Exchange) {
	ex.Reset()
	j.pool.Put(ex)
	j.metrics.End()
}

// Decide walks the gate's steps and records the outcome.
func (j *journey) Decide(ctx context.Context, ex *gate.Exchange) {
	if ex.Time.IsZero() {
		ex.Time = time.Now()
	}
	j.gate.Decide(ctx, ex)
	if user, credential := ex.Used(time.Minute); credential != "" {
		j.touch(user, credential, ex.Time)
	}
}

// Challenges are the values of WWW-Authenticate that go with a 401.
func (j *journey) Challenges(ex *gate.Exchange) []string { return ex.Challenges() }

// Complete records what became of the request.
func (j *journey) Complete(ex *gate.Exchange, c record.Completion) { j.recorder.Completed(ex, c) }
