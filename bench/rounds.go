package main

import (
	"context"
	"fmt"
	"time"
)

// contestant is one proxy at one kind of work.
type contestant struct {
	who   string
	proc  *process
	check func(context.Context) error
	warm  func(context.Context) error
	run   func(ctx context.Context, span time.Duration) (done int64, err error)
}

// requests is a contestant that is asked by wrk or h2load.
func requests(who string, p *process, w work) contestant {
	if w.conns == 0 {
		w.conns = 32
	}
	return contestant{who: who, proc: p, check: w.check, warm: w.warm, run: w.run}
}

// warmUp is how long a contestant works before it is measured.
const warmUp = time.Second

// warm runs the load until caches and pools are what they are in long service. A
// list begins anew with each run, so one run must come to its end.
func (w *work) warm(ctx context.Context) error {
	for span := warmUp; ; span *= 2 {
		done, err := w.run(ctx, span)
		if err != nil || done > int64(w.least) {
			return err
		}
	}
}

// interleave measures CPU time per completed piece of work: in each round all
// contestants in turn, the base first.
func (l *lab) interleave(ctx context.Context, r *result, list []contestant) error {
	r.Unit = "µs"
	var ready []contestant
	for _, c := range list {
		err := c.check(ctx)
		if err == nil {
			err = c.warm(ctx)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			l.say("  %s: %s does not count: %v", r.ID, c.who, err)
			r.void(c.who, err)
			continue
		}
		ready = append(ready, c)
	}
	for round := range l.o.rounds {
		for _, c := range ready {
			perUnit, rate, err := l.once(ctx, c)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				l.say("  %s: %s does not count: %v", r.ID, c.who, err)
				r.void(c.who, err)
				continue
			}
			r.add(c.who, perUnit)
			l.say("  %s round %d: %-8s %10.2f µs  %8.0f /s", r.ID, round+1, c.who, perUnit, rate)
		}
	}
	l.tidy()
	return nil
}

// once is one measurement: microseconds of the proxy's CPU for each piece of work.
func (l *lab) once(ctx context.Context, c contestant) (perUnit, rate float64, err error) {
	before, err := c.proc.cpu()
	if err != nil {
		return 0, 0, err
	}
	start := time.Now()
	done, err := c.run(ctx, l.o.span())
	if err != nil {
		return 0, 0, err
	}
	took := time.Since(start)
	after, err := c.proc.cpu()
	if err != nil {
		return 0, 0, err
	}
	if after == before {
		return 0, 0, fmt.Errorf("%s used no CPU time: is it the right process?", c.proc.name)
	}
	return float64(after-before) / float64(time.Microsecond) / float64(done), float64(done) / took.Seconds(), nil
}
