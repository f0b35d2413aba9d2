package upstream

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

// probe asks every endpoint of the pool for its health path, over and over.
func (p *Pools) probe(ctx context.Context, pl *pool) {
	h := pl.service.Health
	pause := time.Duration(0) // the first round at once: a dead target should not wait for its first caller
	for {
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		var all sync.WaitGroup
		for _, e := range pl.view.Load().endpoints {
			all.Go(func() {
				err := ask(ctx, e, h)
				if ctx.Err() != nil {
					return
				}
				was := e.down.Load()
				e.probed(err, h.UnhealthyAfter, h.HealthyAfter)
				if is := e.down.Load(); is != was {
					p.opt.Log.Info("the health of a target changed", "service", pl.service.Name, "target", e.url,
						"address", e.addr.String(), "healthy", !is, "cause", fmt.Sprint(err))
				}
			})
		}
		all.Wait()
		pause = h.Interval.D() - h.Interval.D()/10 + rand.N(h.Interval.D()/5+1)
	}
}

// ask makes one probe. Any answer of 200 to 399 is good.
func ask(ctx context.Context, e *endpoint, h *model.Health) error {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout.D())
	defer cancel()
	r := &Request{Method: "GET", Target: h.Path, Fields: []model.Field{{Name: "User-Agent", Value: "sallyport-health"}}}
	res, err := e.carrier.send(ctx, r, nil, &progress{})
	if err != nil {
		return fmt.Errorf("health check: %w", err)
	}
	_, err = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10))
	_ = res.Body.Close()
	switch {
	case err != nil:
		return fmt.Errorf("health check: %w", err)
	case res.Status < 200 || res.Status > 399:
		return fmt.Errorf("health check: status %d", res.Status)
	}
	return nil
}

// Condition is the state of one address of a target.
type Condition struct {
	Service  string `json:"service"`
	Target   string `json:"target"`
	Address  string `json:"address,omitempty"` // "" where the name has not been resolved
	Healthy  bool   `json:"healthy"`
	Cause    string `json:"cause,omitempty"`
	InFlight int64  `json:"inFlight"`
	Requests int64  `json:"requests"` // since the address was first seen
}

// Status is the state of every current target.
func (p *Pools) Status() []Condition {
	var out []Condition
	for name, pl := range *p.current.Load() {
		pl.mu.Lock()
		for _, t := range pl.targets {
			at := t.base.Scheme + "://" + t.base.Host
			if len(t.endpoints) == 0 {
				out = append(out, Condition{Service: name, Target: at, Cause: fmt.Sprint(t.fault)})
			}
			for _, e := range t.endpoints {
				e.mu.Lock()
				out = append(out, Condition{Service: name, Target: at, Address: e.addr.String(), Healthy: !e.down.Load(),
					Cause: e.reason, InFlight: e.inflight.Load(), Requests: e.served.Load()})
				e.mu.Unlock()
			}
		}
		pl.mu.Unlock()
	}
	return out
}

func json3(v ...any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}
