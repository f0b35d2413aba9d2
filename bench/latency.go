package main

import (
	"context"
	"fmt"
	"time"
)

const (
	steadyRate  = 5000 // requests per second
	steadyConns = 64
	besideRate  = 500
	busyCallers = 8
)

func latencyRows() []row {
	return []row{
		{id: "latency", measure: latencies, result: result{Section: sectionLatency, Title: "p50, p99 and p99.9 at 5,000 requests per second"}},
		{id: "busy", measure: beside, result: result{Section: sectionLatency, Title: "p99 beside busy logins"}},
	}
}

// quantity is one of several results of a row.
type quantity struct {
	*result
	percentile float64
}

func (r *result) quantity(id, title string, asked *bound, percentile float64) quantity {
	return quantity{&result{ID: r.ID + "-" + id, Section: r.Section, Title: title, Unit: "ms", Asked: asked}, percentile}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// place is where a contestant takes a request by API key.
type place struct {
	who, address, basicAt string
	proc                  *process
}

func (l *lab) places(ctx context.Context) ([]place, string, error) {
	n, h, err := l.peers(ctx)
	if err != nil {
		return nil, "", err
	}
	all, err := l.gateways(ctx)
	if err != nil {
		return nil, "", err
	}
	var list []place
	for _, g := range all {
		list = append(list, place{g.who, g.plain, g.plain, g.process})
	}
	return append(list, place{nginx, n.Keyed, n.Basic, n.process}, place{haproxy, h.Keyed, h.Basic, h.process}), all[0].keys[0], nil
}

func keyed(key string) string {
	return "GET /key/orders/42 HTTP/1.1\r\nHost: localhost\r\nX-API-Key: " + key + "\r\n\r\n"
}

func latencies(ctx context.Context, l *lab, r *result) ([]*result, error) {
	list, key, err := l.places(ctx)
	if err != nil {
		return nil, err
	}
	at := fmt.Sprintf("at %d requests per second by API key, ", steadyRate)
	quantities := []quantity{r.quantity("p50", at+"p50", nil, 0.5), r.quantity("p99", at+"p99", &bound{Factor: 1, Of: nginx}, 0.99), r.quantity("p999", at+"p99.9", nil, 0.999)}
	for round := range l.o.rounds {
		for _, p := range list {
			s := &steady{address: p.address, request: keyed(key), rate: steadyRate, conns: steadyConns}
			if round == 0 {
				if err := s.run(ctx, warmUp); err != nil {
					return nil, fmt.Errorf("%s: %w", p.who, err)
				}
			}
			if err := s.run(ctx, l.o.span()); err != nil {
				return nil, fmt.Errorf("%s: %w", p.who, err)
			}
			for _, q := range quantities {
				q.add(p.who, milliseconds(s.percentile(q.percentile)))
			}
			l.say("  %s round %d: %-8s p50 %v  p99 %v  p99.9 %v", r.ID, round+1, p.who, s.percentile(0.5), s.percentile(0.99), s.percentile(0.999))
		}
	}
	l.tidy()
	return results(quantities), nil
}

func results(list []quantity) (out []*result) {
	for _, q := range list {
		out = append(out, q.result)
	}
	return out
}

// beside asks by API key while others log in with passwords that are all wrong and
// all different, so that no cache spares the hash.
func beside(ctx context.Context, l *lab, r *result) ([]*result, error) {
	list, key, err := l.places(ctx)
	if err != nil {
		return nil, err
	}
	at := fmt.Sprintf("%d requests per second by API key, p99, ", besideRate)
	quiet, busy := r.quantity("quiet", at+"nobody logs in", nil, 0.99), r.quantity("logins", at+fmt.Sprintf("%d callers try wrong passwords", busyCallers), nil, 0.99)
	times := r.quantity("ratio", "the second as a multiple of the first", &bound{Units: 2}, 0)
	tried := r.quantity("tries", "passwords tried meanwhile", nil, 0)
	times.Unit, tried.Unit = "×", "/s"
	serial := 0
	for round := range l.o.rounds {
		for _, p := range list {
			s := &steady{address: p.address, request: keyed(key), rate: besideRate, conns: steadyConns}
			if err := s.run(ctx, l.o.span()); err != nil {
				return nil, fmt.Errorf("%s: %w", p.who, err)
			}
			before := milliseconds(s.percentile(0.99))
			s = &steady{address: p.address, request: keyed(key), rate: besideRate, conns: steadyConns, busyAt: p.basicAt, busy: busyCallers, busyNext: func() string {
				serial++
				return "GET /basic/orders/42 HTTP/1.1\r\nHost: localhost\r\n" + basicHeader(l.cred.user, fmt.Sprintf("guess %d", serial)) + "\r\n\r\n"
			}}
			if err := s.run(ctx, l.o.span()); err != nil {
				return nil, fmt.Errorf("%s: %w", p.who, err)
			}
			after := milliseconds(s.percentile(0.99))
			quiet.add(p.who, before)
			busy.add(p.who, after)
			times.add(p.who, after/before)
			tried.add(p.who, float64(s.statuses[401])/l.o.seconds)
			l.say("  %s round %d: %-8s p99 %.3f ms quiet, %.3f ms beside logins answered %v", r.ID, round+1, p.who, before, after, s.statuses)
		}
	}
	l.tidy()
	return results([]quantity{quiet, busy, times, tried}), nil
}
