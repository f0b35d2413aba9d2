package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// idleRows: what a connection costs that has asked once and keeps quiet.
func idleRows() []row {
	return []row{
		{id: "idle", measure: idle(false), result: result{Section: sectionMemory, Title: "idle connections, plain", Asked: &bound{Units: 5}}},
		{id: "idleTLS", measure: idle(true), result: result{Section: sectionMemory, Title: "idle connections, TLS 1.3", Asked: &bound{Units: 25}}},
	}
}

// idleRounds bounds the rounds of idle connections: memory scatters little, and
// opening takes time.
const idleRounds = 2

func idle(secure bool) func(context.Context, *lab, *result) ([]*result, error) {
	return func(ctx context.Context, l *lab, r *result) ([]*result, error) {
		r.Unit, r.Title = "KiB", fmt.Sprintf("each of %d %s", l.o.idle, r.Title)
		for round := range min(l.o.rounds, idleRounds) {
			for _, who := range []string{own, standard, nginx, haproxy} {
				if who == standard && !l.o.standard {
					continue
				}
				// Each time a fresh process: one that has worked before has memory to spare.
				p, address, err := l.fresh(ctx, who, secure)
				if err != nil {
					return nil, err
				}
				kib, err := l.hold(ctx, p, address, secure)
				p.stop()
				if ctx.Err() != nil {
					return nil, ctx.Err()
				}
				if err != nil {
					l.say("  %s: %s does not count: %v", r.ID, who, err)
					r.void(who, err)
					continue
				}
				l.say("  %s round %d: %-8s %8.2f KiB", r.ID, round+1, who, kib)
				r.add(who, kib)
			}
		}
		return []*result{r}, nil
	}
}

// fresh starts a proxy that nobody has used.
func (l *lab) fresh(ctx context.Context, who string, secure bool) (*process, string, error) {
	pick := func(plain, tls string) string {
		if secure {
			return tls
		}
		return plain
	}
	switch who {
	case nginx, haproxy:
		start := l.startNginx
		if who == haproxy {
			start = l.startHAProxy
		}
		p, err := start("fresh-"+who, nil)
		if err != nil {
			return nil, "", err
		}
		return p.process, pick(p.Plain, p.TLS), nil
	}
	engine := "own"
	if who == standard {
		engine = "standard"
	}
	g, err := l.startGateway(ctx, "fresh-"+engine, l.bin, engine, fewUsers, fewRoutes)
	if err != nil {
		return nil, "", err
	}
	return g.process, pick(g.plain, g.tls), nil
}

const (
	openers = 32
	// settling is how long a proxy may take to give back what it does not need.
	settling = 10 * time.Second
)

// hold opens idle connections and answers how much each takes, in KiB.
func (l *lab) hold(ctx context.Context, p *process, address string, secure bool) (float64, error) {
	if conns, err := openIdle(ctx, address, secure, openers); err != nil { // what the first ones bring is not theirs
		return 0, err
	} else {
		shut(conns)
	}
	time.Sleep(time.Second)
	before, err := p.rss()
	if err != nil {
		return 0, err
	}
	conns, err := openIdle(ctx, address, secure, l.o.idle)
	defer shut(conns)
	if err != nil {
		return 0, err
	}
	time.Sleep(settling)
	after, err := p.rss()
	return float64(after-before) / 1024 / float64(l.o.idle), err
}

func shut(conns []net.Conn) {
	for _, c := range conns {
		if c != nil {
			_ = c.Close()
		}
	}
}

// openIdle opens n connections, asks once on each, and leaves them open.
func openIdle(ctx context.Context, address string, secure bool, n int) ([]net.Conn, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	conns := make([]net.Conn, n)
	conf := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.X25519}}
	var wg sync.WaitGroup
	for w := range openers {
		wg.Go(func() {
			for i := w; i < n && ctx.Err() == nil; i += openers {
				c, err := openOne(ctx, address, secure, conf, byte(10+i/4000))
				if err != nil {
					cancel(fmt.Errorf("connection %d: %w", i, err))
					return
				}
				conns[i] = c
			}
		})
	}
	wg.Wait()
	return conns, context.Cause(ctx)
}

// openOne opens a connection from a loopback address of its own: one address has
// not enough ports for all.
func openOne(ctx context.Context, address string, secure bool, conf *tls.Config, host byte) (net.Conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, host)}, KeepAlive: -1}
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if secure {
		c = tls.Client(c, conf)
	}
	if _, err := io.WriteString(c, "GET /public/orders/42 HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	b := make([]byte, 8<<10)
	for n := 0; ; {
		k, err := c.Read(b[n:])
		n += k
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		if strings.HasSuffix(string(b[:n]), answer) {
			if status := string(b[9:12]); status != "200" {
				return nil, errors.Join(errors.New("answered "+status), c.Close())
			}
			return c, nil
		}
	}
}
