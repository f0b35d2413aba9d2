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
	"sync/atomic"
	"time"
)

// shake is a row in which every request has a connection of its own.
type shake struct {
	id, title string
	secure    bool
	resume    bool
	hybrid    bool // X25519MLKEM768, which the peers' OpenSSL does not know
}

var shakes = []shake{
	{id: "connect", title: "plain connection, one request"},
	{id: "handshake", title: "TLS 1.3 full handshake (X25519, ECDSA P-256), one request", secure: true},
	{id: "resumed", title: "TLS 1.3 resumed handshake, one request", secure: true, resume: true},
	{id: "hybrid", title: "TLS 1.3 full handshake with X25519MLKEM768, one request", secure: true, hybrid: true},
}

func connectionRows() (list []row) {
	for _, s := range shakes {
		list = append(list, row{id: s.id, measure: s.measure, result: result{Section: sectionShake, Title: s.title}})
	}
	return list
}

func (s shake) measure(ctx context.Context, l *lab, r *result) ([]*result, error) {
	n, h, err := l.peers(ctx)
	if err != nil {
		return nil, err
	}
	all, err := l.gateways(ctx)
	if err != nil {
		return nil, err
	}
	contest := func(who string, p *process, plain, secure string) contestant {
		address := plain
		if s.secure {
			address = secure
		}
		return contestant{who: who, proc: p, check: func(ctx context.Context) error { return s.one(ctx, address, nil, s.caches()) },
			warm: func(ctx context.Context) error { _, err := s.load(ctx, address, warmUp); return err },
			run:  func(ctx context.Context, span time.Duration) (int64, error) { return s.load(ctx, address, span) }}
	}
	var list []contestant
	for _, g := range all {
		list = append(list, contest(g.who, g.process, g.plain, g.tls))
	}
	r.Beside = "nginx, the same"
	if s.hybrid {
		r.Note = "what Go's clients and current browsers ask for; the peers' OpenSSL 3.0 has only X25519"
		return []*result{r}, l.interleave(ctx, r, list)
	}
	list = append([]contestant{contest(base, n.process, n.Plain, n.TLS)}, append(list, contest(haproxy, h.process, h.Plain, h.TLS))...)
	return []*result{r}, l.interleave(ctx, r, list)
}

// handshakers is how many connections are opened at a time.
const handshakers = 8

func (s shake) caches() *tls.Config {
	c := &tls.Config{InsecureSkipVerify: true, ServerName: "localhost", MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.X25519}}
	if s.hybrid {
		c.CurvePreferences = []tls.CurveID{tls.X25519MLKEM768}
	}
	if s.resume {
		c.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	}
	return c
}

// load opens connections for a while, each with one request.
func (s shake) load(ctx context.Context, address string, span time.Duration) (int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	end := time.Now().Add(span)
	var done atomic.Int64
	var wg sync.WaitGroup
	for i := range handshakers {
		wg.Go(func() {
			conf := s.caches()
			from := &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(10+i))}
			for first := true; time.Now().Before(end) && ctx.Err() == nil; first = false {
				if err := s.one(ctx, address, from, conf); err != nil && (!errors.Is(err, errFull) || !first) {
					cancel(err)
					return
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return 0, err
	}
	return done.Load(), nil
}

var errFull = errors.New("the handshake was not resumed")

// one opens a connection, asks once and reads to the end of the connection.
func (s shake) one(ctx context.Context, address string, from *net.TCPAddr, conf *tls.Config) error {
	d := net.Dialer{Timeout: 5 * time.Second}
	if from != nil {
		d.LocalAddr = from
	}
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if s.secure {
		t := tls.Client(c, conf)
		if err := t.HandshakeContext(ctx); err != nil {
			return err
		}
		c = t
	}
	if _, err := io.WriteString(c, "GET /public/orders/42 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	b, err := io.ReadAll(c)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(string(b), "HTTP/1.1 200 ") || !strings.HasSuffix(string(b), answer) {
		return fmt.Errorf("%s answers %.60q", address, b)
	}
	if t, ok := c.(*tls.Conn); ok && s.resume && conf.ClientSessionCache != nil && from != nil && !t.ConnectionState().DidResume {
		return errFull
	}
	return nil
}
