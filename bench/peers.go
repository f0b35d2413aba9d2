package main

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"
)

// The peers' configurations: the same work as the gateway's, by what their manuals
// say of a proxy that keeps connections alive on both sides.
var (
	//go:embed conf/backend.conf
	backendConf string
	//go:embed conf/nginx.conf
	nginxConf string
	//go:embed conf/haproxy.cfg
	haproxyConf string
)

// peer is a proxy to compare with: an address (host:port) for each way in. nginx
// tells by the path what HAProxy is better told by the address.
type peer struct {
	*process
	Plain, TLS, H2, Upload, Keyed, Basic, JWT string
	logs                                      []string
}

// conf is what the templates of configurations are told.
type conf struct {
	*peer
	Dir, Backend, Sink, Answer    string
	Cert, Key, Both, Htpasswd     string
	RS256, ES256, User, Bcrypt    string
	IssuerRS256, IssuerES256, Aud string
	Keys                          []string
	Root                          bool
}

func (l *lab) conf(dir string, p *peer, keys []string) *conf {
	c := l.cred
	return &conf{peer: p, Dir: dir, Backend: l.backendAt, Sink: l.sinkAt, Answer: answer, Cert: c.cert, Key: c.key, Both: c.both,
		RS256: c.public["RS256"], ES256: c.public["ES256"], User: c.user, Bcrypt: c.bcrypt, IssuerRS256: issuer("RS256"), IssuerES256: issuer("ES256"),
		Aud: audience, Keys: keys, Root: os.Geteuid() == 0}
}

func render(path, text string, c *conf) error {
	t, err := template.New(filepath.Base(path)).Parse(text)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(t.Execute(f, c), f.Close())
}

// startBackend runs the backends on the load's core: nginx that answers from
// memory and from two files, and the sink.
func (l *lab) startBackend() (err error) {
	dir := filepath.Join(l.dir, "backend")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for name, size := range map[string]int{"64k": 64 << 10, "10m": 10 << 20} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.Repeat("0123456789abcdef", size/16)), 0o600); err != nil {
			return err
		}
	}
	if l.backendAt, err = l.address(); err != nil {
		return err
	}
	if l.sinkAt, err = l.address(); err != nil {
		return err
	}
	nginx, err := program("nginx")
	if err != nil {
		return err
	}
	if err := render(filepath.Join(dir, "nginx.conf"), backendConf, l.conf(dir, nil, nil)); err != nil {
		return err
	}
	b, err := launch(-1, nil, filepath.Join(dir, "log"), nginx, "-p", dir, "-c", filepath.Join(dir, "nginx.conf"))
	if err != nil {
		return err
	}
	l.started(b)
	s, err := launch(-1, nil, filepath.Join(dir, "sink.log"), l.self, "sink", "-address", l.sinkAt)
	if err != nil {
		return err
	}
	l.started(s)
	return errors.Join(b.answers(l.backendAt, 5*time.Second), s.answers(l.sinkAt, 5*time.Second))
}

// newPeer gives a peer its folder and its addresses.
func (l *lab) newPeer(name string) (*peer, string, error) {
	p, dir := &peer{}, filepath.Join(l.dir, name)
	var err error
	for _, a := range []*string{&p.Plain, &p.TLS, &p.H2, &p.Upload, &p.Keyed, &p.Basic, &p.JWT} {
		if *a, err = l.address(); err != nil {
			return nil, "", err
		}
	}
	return p, dir, os.MkdirAll(dir, 0o700)
}

func (l *lab) startNginx(name string, keys []string) (*peer, error) {
	p, dir, err := l.newPeer(name)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "nginx.conf")
	p.logs = []string{filepath.Join(dir, "access.log")}
	if err := errors.Join(render(file, nginxConf, l.conf(dir, p, keys)),
		os.WriteFile(filepath.Join(dir, "htpasswd"), []byte(l.cred.user+":"+l.cred.bcrypt+"\n"), 0o644)); err != nil {
		return nil, err
	}
	path, err := program("nginx")
	if err != nil {
		return nil, err
	}
	if p.process, err = launch(l.o.proxyCPU, nil, filepath.Join(dir, "log"), path, "-p", dir, "-c", file); err != nil {
		return nil, err
	}
	l.started(p.process)
	if err := p.answers(p.Plain, 5*time.Second); err != nil {
		return nil, err
	}
	p.Upload, p.Keyed, p.Basic = p.Plain, p.Plain, p.Plain
	p.worker, err = child(p.worker)
	return p, err
}

func (l *lab) startHAProxy(name string, keys []string) (*peer, error) {
	p, dir, err := l.newPeer(name)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "haproxy.cfg")
	var known strings.Builder
	for i, k := range keys {
		fmt.Fprintf(&known, "%s caller-%d\n", k, i)
	}
	if err := errors.Join(render(file, haproxyConf, l.conf(dir, p, nil)), os.WriteFile(filepath.Join(dir, "keys.map"), []byte(known.String()), 0o600)); err != nil {
		return nil, err
	}
	path, err := program("haproxy")
	if err != nil {
		return nil, err
	}
	log := filepath.Join(dir, "access.log") // HAProxy writes its access log to standard output here
	p.logs = []string{log}
	if p.process, err = launch(l.o.proxyCPU, nil, log, path, "-db", "-f", file); err != nil {
		return nil, err
	}
	l.started(p.process)
	return p, p.answers(p.Plain, 5*time.Second)
}
