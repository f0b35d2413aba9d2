package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// gateway is the built binary on a prepared store.
type gateway struct {
	*process
	who, bin   string
	dir, boot  string
	plain, tls string   // host:port
	keys       []string // of those who call
	imported   time.Duration
	importRSS  int64 // the import's peak, bytes
	users      int
	routes     int
}

// document is what the gateway is told of backend, callers and routes. Beside the
// routes of single rows stand as many more as are asked for.
func (l *lab) document(routes int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `settings: {reverseProxyAuthentication: {enabled: true}, sessions: {passwordLogin: true}}
services:
  - {name: backend, targets: [{url: "http://%s"}]}
  - {name: sink, targets: [{url: "http://%s"}]}
roles: [{name: caller, permissions: [{routes: ["*"], methods: [GET, POST]}]}]
groups: [{name: staff, roles: [caller]}]
identityProviders:
`, l.backendAt, l.sinkAt)
	for _, alg := range []string{"RS256", "ES256"} {
		fmt.Fprintf(&b, "  - {name: %s, type: jwt, issuer: %q, audiences: [%s], keyFile: %q, algorithms: [%s], roles: [caller]}\n",
			strings.ToLower(alg), issuer(alg), audience, l.cred.public[alg], alg)
	}
	b.WriteString(`routes:
  - {name: public, paths: [/public], service: backend, access: public}
  - {name: upload, paths: [/upload], service: sink, access: public, bodyBytes: 0}
  - {name: key, paths: [/key], service: backend, authenticate: {anyOf: [apiKey]}}
  - {name: token, paths: [/token], service: backend, authenticate: {anyOf: [bearer]}}
  - {name: basic, paths: [/basic], service: backend, authenticate: {anyOf: [basic]}}
  - {name: session, paths: [/session], service: backend, authenticate: {anyOf: [session]}}
`)
	for i := range routes {
		fmt.Fprintf(&b, "  - {name: r%05d, paths: [%s], service: backend, authenticate: {anyOf: [apiKey]}}\n", i, routePath(i))
	}
	return b.String()
}

// routePath is the path of one of many routes: APIs differ early and late.
func routePath(i int) string { return fmt.Sprintf("/api/team-%02d/v1/resource-%04d", i%40, i) }

// gatewayFiles prepares a store with its boot file, or finds the one that this run
// prepared before.
func (l *lab) gatewayFiles(ctx context.Context, users, routes int) (*gateway, error) {
	name := fmt.Sprintf("gateway-%d-%d", users, routes)
	if g := l.prepared[name]; g != nil {
		return g, nil
	}
	g := &gateway{dir: filepath.Join(l.dir, name), users: users, routes: routes}
	if err := errors.Join(os.RemoveAll(g.dir), os.MkdirAll(g.dir, 0o700)); err != nil { // an earlier run's
		return nil, err
	}
	document, keys, store := filepath.Join(g.dir, "resources.yaml"), filepath.Join(g.dir, "keys.txt"), filepath.Join(g.dir, "store.db")
	if err := os.WriteFile(document, []byte(l.document(routes)), 0o600); err != nil {
		return nil, err
	}
	l.say("preparing a store of %d users and %d routes", users, routes)
	cmd := exec.CommandContext(ctx, l.self, "prepare", "-store", store, "-document", document, "-keys", keys, "-users", strconv.Itoa(users),
		"-basic", l.cred.user, "-hash", l.cred.bcrypt)
	// The import is no proxy and no load: it may use both cores.
	cmd = exec.CommandContext(ctx, "taskset", append([]string{"-c", fmt.Sprintf("%d,%d", l.o.loadCPU, l.o.proxyCPU)}, cmd.Args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("preparing a store: %w", err)
	}
	ms, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		return nil, err
	}
	g.imported = time.Duration(ms) * time.Millisecond
	g.importRSS = cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
	if g.keys, err = lines(keys); err != nil {
		return nil, err
	}
	l.prepared[name] = g
	return g, nil
}

func lines(path string) (out []string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for s := bufio.NewScanner(f); s.Scan(); {
		out = append(out, s.Text())
	}
	return out, err
}

// startGateway runs the binary over prepared files. Each process has a dataDir of
// its own; those of one store never run at the same time.
func (l *lab) startGateway(ctx context.Context, name, bin, engine string, users, routes int, with ...string) (*gateway, error) {
	files, err := l.gatewayFiles(ctx, users, routes)
	if err != nil {
		return nil, err
	}
	g := *files
	g.bin = bin
	g.dir = filepath.Join(files.dir, name)
	if g.plain, err = l.address(); err != nil {
		return nil, err
	}
	if g.tls, err = l.address(); err != nil {
		return nil, err
	}
	g.boot = filepath.Join(g.dir, "sallyport.yaml")
	if err := errors.Join(os.RemoveAll(g.dir), os.MkdirAll(g.dir, 0o700)); err != nil {
		return nil, err
	}
	if err := copyFile(filepath.Join(files.dir, "store.db"), filepath.Join(g.dir, "store.db")); err != nil {
		return nil, err
	}
	boot := fmt.Sprintf("externalURL: https://bench.example.com\ndataDir: data\nstore: sqlite:store.db\nlog: {level: warn}\nlisteners:\n"+
		"  - {address: %q, serve: [proxy]}\n  - {address: %q, serve: [proxy], tls: {certificates: [{cert: %q, key: %q}]}}\n", g.plain, g.tls, l.cred.cert, l.cred.key)
	if err := os.WriteFile(g.boot, []byte(boot), 0o600); err != nil {
		return nil, err
	}
	if err := g.run(l, engine, with...); err != nil {
		return nil, err
	}
	return &g, g.answers(g.plain, 30*time.Second)
}

// run starts the process on its files; with is another program and its verb.
func (g *gateway) run(l *lab, engine string, with ...string) (err error) {
	command := []string{g.bin, "run", "-c", g.boot, "--engine=" + engine}
	if len(with) > 0 {
		command = append(with, "-c", g.boot, "-engine="+engine)
	}
	g.process, err = launch(l.o.proxyCPU, []string{"GOMAXPROCS=1", "SALLYPORT_ADMIN_PASSWORD=of-this-run-alone"}, filepath.Join(g.dir, "log"), command[0], command[1:]...)
	if err == nil {
		l.started(g.process)
	}
	return err
}

func copyFile(from, to string) error {
	// A prepared store may have its write-ahead log beside it; closing the store
	// has folded it in.
	return exec.Command("cp", "--sparse=auto", from, to).Run()
}
