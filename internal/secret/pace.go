package secret

import (
	"context"
	"sync"
	"time"
)

// pace evens out the time of refusals where hashes of several kinds are stored:
// a user whose imported bcrypt hash takes 60 ms could else be told from a name
// that is unknown here, which takes the 30 ms of argon2id. With one kind alone it
// does nothing.
type pace struct {
	mu   sync.Mutex
	mean map[string]time.Duration
}

// mostKinds bounds the memory; parameters are data.
const mostKinds = 16

// saw notes how long one hash of a kind took.
func (p *pace) saw(kind string, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mean == nil {
		p.mean = make(map[string]time.Duration)
	}
	old, ok := p.mean[kind]
	switch {
	case ok:
		p.mean[kind] = old + (took-old)/8
	case len(p.mean) < mostKinds:
		p.mean[kind] = took
	}
}

// least is how long a refusal takes: somewhat over the dearest kind's mean; 0 if
// there is but one kind.
func (p *pace) least() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.mean) < 2 {
		return 0
	}
	var most time.Duration
	for _, d := range p.mean {
		most = max(most, d)
	}
	return min(most+most/4, 2*time.Second)
}

// hold waits, without taking any of the machine, until a refusal that began at
// start may be told.
func (p *pace) hold(ctx context.Context, start time.Time) {
	d := p.least() - time.Since(start)
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
