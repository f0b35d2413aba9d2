package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// profiled are the rows that -profile knows, with the request of each.
func (l *lab) profiled(g *gateway) (map[string]work, error) {
	script, args, err := l.rotate("profile", "X-API-Key", routesInTurn(g))
	return map[string]work{
		"routesInTurn": {url: "http://" + g.plain + routePath(0), conns: l.o.conns, header: []string{"X-API-Key: " + g.keys[0]}, script: script, args: args, least: g.routes},
		"public":       {url: "http://" + g.plain + "/public/orders/42", conns: l.o.conns},
		"apiKey":       {url: "http://" + g.plain + "/key/orders/42", conns: l.o.conns, header: []string{"X-API-Key: " + g.keys[0]}},
		"rs256":        {url: "http://" + g.plain + "/token/orders/42", conns: l.o.conns, header: []string{"Authorization: Bearer " + l.cred.token["RS256"]}},
		"basic":        {url: "http://" + g.plain + "/basic/orders/42", conns: l.o.conns, header: []string{basicHeader(l.cred.user, l.cred.password)}},
		"tls":          {url: "https://" + g.tls + "/public/orders/42", conns: l.o.conns},
		"http2":        {url: "https://" + g.tls + "/public/orders/42", conns: 4, streams: 16},
	}, err
}

// routesInTurn asks for each of a gateway's many routes, in no order.
func routesInTurn(g *gateway) []string {
	out := make([]string, g.routes)
	for i := range out {
		out[i] = routePath(i) + "/orders/42\t" + g.keys[0]
	}
	return shuffled(out)
}

// profile runs the gateway within this program under the load of a row, and prints
// on what its time goes. The profiles stay among the raw results.
func (l *lab) profile(ctx context.Context, chosen []row) error {
	raw := filepath.Join(l.o.results, "raw")
	if err := os.MkdirAll(raw, 0o755); err != nil {
		return err
	}
	for _, r := range chosen {
		for _, kind := range []string{"cpu", "alloc"} {
			out := filepath.Join(raw, r.id+"."+kind+".pprof")
			routes := fewRoutes
			if r.id == "routesInTurn" {
				routes = manyRoutesBeside
			}
			g, err := l.startGateway(ctx, "profile-"+r.id+"-"+kind, l.bin, "own", fewUsers, routes, l.self, "serve", "-"+kind+"profile", out)
			if err != nil {
				return err
			}
			known, err := l.profiled(g)
			w, ok := known[r.id]
			if !ok || err != nil {
				g.stop()
				l.say("%s has no profile: %v", r.id, err)
				break
			}
			if err := errors.Join(l.take(ctx, g, w), l.top(ctx, out, kind)); err != nil {
				return fmt.Errorf("%s: %w", r.id, err)
			}
		}
	}
	return nil
}

// take loads g between the two signals that bound the profile, and ends it.
func (l *lab) take(ctx context.Context, g *gateway, w work) error {
	defer g.stop()
	if err := w.check(ctx); err != nil {
		return err
	}
	if err := w.warm(ctx); err != nil {
		return err
	}
	before, err := g.cpu()
	if err != nil {
		return err
	}
	if err := g.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		return err
	}
	done, err := w.run(ctx, l.o.span())
	if err != nil {
		return err
	}
	after, err := g.cpu()
	if err != nil {
		return err
	}
	fmt.Printf("\n%s: %d requests, %.2f µs of CPU each\n", w.url, done, float64(after-before)/float64(time.Microsecond)/float64(done))
	if err := g.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		return err
	}
	time.Sleep(time.Second) // it writes
	return nil
}

// top prints the functions that take most.
func (l *lab) top(ctx context.Context, path, kind string) error {
	args := []string{"tool", "pprof", "-top", "-nodecount=25"}
	if kind == "alloc" {
		args = append(args, "-sample_index=alloc_objects")
	}
	b, err := exec.CommandContext(ctx, "go", append(args, l.self, path)...).CombinedOutput()
	fmt.Printf("%s\n", b)
	return err
}
