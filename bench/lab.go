package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// lab is everything that one run has started.
type lab struct {
	o                 *options
	self, bin, dir    string
	cred              *credentials
	ports             map[int]bool
	backendAt, sinkAt string
	running           []*process
	prepared          map[string]*gateway

	// the usual proxies, started when first asked for
	ours           []*gateway
	nginx, haproxy *peer
}

func newLab(o *options) (l *lab, err error) {
	l = &lab{o: o, dir: o.dir, ports: map[int]bool{}, prepared: map[string]*gateway{}}
	if l.self, err = os.Executable(); err != nil {
		return nil, err
	}
	if l.bin, err = filepath.Abs(o.bin); err != nil {
		return nil, err
	}
	if _, err := os.Stat(l.bin); err != nil {
		return nil, fmt.Errorf("the gateway is not built: run make build (%w)", err)
	}
	if l.dir == "" {
		if l.dir, err = os.MkdirTemp("", "sallyport-bench-"); err != nil {
			return nil, err
		}
	} else if l.dir, err = filepath.Abs(l.dir); err != nil {
		return nil, err
	} else if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return nil, err
	}
	if l.cred, err = makeCredentials(l.dir); err != nil {
		return nil, err
	}
	return l, l.startBackend()
}

// say tells a person what goes on; results go to standard output.
func (l *lab) say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func (l *lab) started(p *process) { l.running = append(l.running, p) }

func (l *lab) close() {
	for i := len(l.running) - 1; i >= 0; i-- {
		l.running[i].stop()
	}
	if !l.o.keepFiles && l.o.dir == "" {
		_ = os.RemoveAll(l.dir)
	} else {
		l.say("configurations and logs are in %s", l.dir)
	}
}

func (l *lab) address() (string, error) {
	p, err := freePort(l.ports)
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(p)), err
}

// The usual store: few users, few routes beside those of the rows.
const (
	fewUsers  = 100
	fewRoutes = 5
)

// gateway is the one on the usual store.
func (l *lab) gateway(ctx context.Context) (*gateway, error) {
	all, err := l.gateways(ctx)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// gateways are the builds and engines to compare, the product first.
func (l *lab) gateways(ctx context.Context) ([]*gateway, error) {
	if l.ours != nil {
		return l.ours, nil
	}
	add := func(who, bin, engine string) error {
		g, err := l.startGateway(ctx, who, bin, engine, fewUsers, fewRoutes)
		if err == nil {
			g.who = who
			l.ours = append(l.ours, g)
		}
		return err
	}
	if err := add(own, l.bin, "own"); err != nil {
		return nil, err
	}
	if l.o.standard {
		if err := add(standard, l.bin, "standard"); err != nil {
			return nil, err
		}
	}
	if l.o.rival != "" {
		if err := add(rival, l.o.rival, "own"); err != nil {
			return nil, err
		}
	}
	return l.ours, nil
}

func (l *lab) peers(ctx context.Context) (nginx, haproxy *peer, err error) {
	files, err := l.gatewayFiles(ctx, fewUsers, fewRoutes)
	if err != nil {
		return nil, nil, err
	}
	if l.nginx == nil {
		if l.nginx, err = l.startNginx("nginx", files.keys); err != nil {
			return nil, nil, err
		}
	}
	if l.haproxy == nil {
		if l.haproxy, err = l.startHAProxy("haproxy", files.keys); err != nil {
			return nil, nil, err
		}
	}
	return l.nginx, l.haproxy, nil
}

// tidy empties the logs that a row has filled: disks are finite. The gateway keeps
// writing to its newest segments, which stay.
func (l *lab) tidy() {
	for _, p := range []*peer{l.nginx, l.haproxy} {
		if p != nil {
			for _, f := range p.logs {
				_ = os.Truncate(f, 0)
			}
		}
	}
	segments, _ := filepath.Glob(filepath.Join(l.dir, "gateway-*", "*", "data", "audit", "*.jsonl"))
	for i, s := range segments {
		if i+2 < len(segments) && filepath.Dir(segments[i+2]) == filepath.Dir(s) {
			_ = os.Remove(s)
		}
	}
}

// firstAnswer asks until url answers 200, and fails when the process ends.
func firstAnswer(ctx context.Context, p *process, client *http.Client, url string, header http.Header, limit time.Duration) error {
	for end := time.Now().Add(limit); ; time.Sleep(time.Millisecond) {
		status, _, err := ask(ctx, client, url, header)
		if err == nil && status == http.StatusOK {
			return nil
		}
		if !p.running() || time.Now().After(end) {
			return errors.Join(fmt.Errorf("%s answers %d", url, status), err)
		}
	}
}
