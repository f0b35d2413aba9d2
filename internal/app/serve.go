package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/door"
	"github.com/sallyport/sallyport/internal/door/h1"
	"github.com/sallyport/sallyport/internal/door/h2"
	"github.com/sallyport/sallyport/internal/door/standard"
	"github.com/sallyport/sallyport/internal/gate/identity"
	"github.com/sallyport/sallyport/internal/listen"
)

// opened is a listener with what it serves.
type opened struct {
	*listen.Listener
	conf *config.Listener
	h1   *h1.Server // nil where net/http serves HTTP/1.1
	h2   *h2.Server // nil where net/http serves HTTP/2
}

// bind opens all sockets, so that a fault of one is found before anything is served.
func (g *Gateway) bind() error {
	inherited, err := listen.Inherit(os.Getenv, os.Getpid())
	if err != nil {
		return err
	}
	defer inherited.Close()
	lim := g.cfg.Limits
	opt := listen.Options{Cap: listen.NewCap(lim.Connections), Inherited: inherited, Log: g.log}
	for i := range g.cfg.Listeners {
		c := &g.cfg.Listeners[i]
		l, err := listen.Open(listen.Config{Address: c.Address, TLS: g.tls(c.TLS),
			Limits: listen.Limits{HeaderBytes: int(lim.HeaderBytes), HeaderTimeout: lim.HeaderTimeout.D(), IdleTimeout: lim.IdleTimeout.D()}}, opt)
		if err != nil {
			return err
		}
		g.listeners = append(g.listeners, &opened{Listener: l, conf: c})
	}
	return nil
}

func (g *Gateway) tls(t *config.TLS) *listen.TLS {
	if t == nil {
		return nil
	}
	out := &listen.TLS{SelfSigned: t.SelfSigned, Dir: filepath.Join(g.cfg.DataDir, "tls"), ClientCA: t.ClientCA, ClientCRL: t.ClientCRL,
		MinVersion: map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}[t.MinVersion]}
	if g.cfg.External != nil {
		out.Names = []string{g.cfg.External.Hostname()}
	}
	for _, p := range t.Certificates {
		out.Certificates = append(out.Certificates, listen.Pair{Cert: p.Cert, Key: p.Key})
	}
	return out
}

func (g *Gateway) addresses() []netip.AddrPort {
	var out []netip.AddrPort
	for _, l := range g.listeners {
		if l.Listener != nil { // check opens none
			out = append(out, l.AddrPort())
		} else if a, err := netip.ParseAddrPort(l.conf.Address); err == nil {
			out = append(out, a)
		}
	}
	return out
}

func (g *Gateway) asksForCertificates() bool {
	for _, l := range g.listeners {
		if l.conf.Serves(config.ServeProxy) && l.conf.TLS != nil && l.conf.TLS.ClientCA != "" {
			return true
		}
	}
	return false
}

// handlers are who serves a listener's connections.
func (g *Gateway) handlers(l *opened) listen.Handlers {
	switch {
	case l.conf.Serves(config.ServeProxy):
		return g.proxy(l)
	case l.conf.Serves(config.ServeRedirect):
		return listen.Handlers{HTTP: listen.Redirect(g.cfg.External, g.knownHost)}
	}
	mux := http.NewServeMux()
	if l.conf.Serves(config.ServeMetrics) {
		mux.Handle("/metrics", g.metrics.Handler())
	}
	if l.conf.Serves(config.ServeAdmin) {
		mux.Handle("/", g.admin)
	}
	return listen.Handlers{HTTP: mux, ConnContext: func(ctx context.Context, nc net.Conn) context.Context {
		return context.WithValue(ctx, adminListener{}, l)
	}}
}

// adminListener is where an admin request's context says which listener it came to.
type adminListener struct{}

// adminCertificate is the verified client certificate of an admin request.
func (g *Gateway) adminCertificate(r *http.Request) *x509.Certificate {
	l, ok := r.Context().Value(adminListener{}).(*opened)
	if !ok || r.TLS == nil {
		return nil
	}
	return l.Facts(r.TLS).Certificate
}

func (g *Gateway) proxy(l *opened) listen.Handlers {
	lim := g.cfg.Limits
	deps := door.Deps{Gate: g.journey, Streams: g.streams, Local: g.local, Now: time.Now, Log: g.log,
		Panicked: func() { g.metrics.Security("panic") }}
	if l.Secure() {
		deps.TLS = l.Listener
	}
	d := standard.New(standard.Config{IdleTimeout: lim.IdleTimeout.D()}, standard.Deps{Deps: deps, Pools: g.pools})
	h := listen.Handlers{HTTP: d, ConnContext: d.ConnContext, Drain: d.Drain}
	if g.opt.Standard {
		return h
	}
	l.h1 = h1.New(h1.Config{HeaderBytes: int(lim.HeaderBytes), HeaderTimeout: lim.HeaderTimeout.D(), IdleTimeout: lim.IdleTimeout.D()},
		h1.Deps{Deps: deps, Ways: g.pools})
	l.h2 = h2.New(h2.Config{HeaderBytes: int(lim.HeaderBytes), HeaderTimeout: lim.HeaderTimeout.D(), IdleTimeout: lim.IdleTimeout.D()},
		h2.Deps{Deps: deps, Ways: g.pools})
	h.Conn, h.Conn2 = l.h1.ServeConn, l.h2.ServeConn
	h.Drain = func() { d.Drain(); l.h1.Drain(); l.h2.Drain() }
	return h
}

// local are the gateway's own paths.
func (g *Gateway) local(host, path string) http.Handler {
	switch path {
	case "/.sallyport/healthz":
		return http.HandlerFunc(g.healthz)
	case "/.well-known/jwks.json":
		if g.cfg.External != nil && strings.EqualFold(hostname(host), g.cfg.External.Hostname()) {
			return http.HandlerFunc(g.keySet)
		}
	}
	return g.desk.Handler(path)
}

func hostname(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		return h
	}
	return strings.TrimSuffix(host, ".")
}

func (g *Gateway) healthz(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if err := g.ready(r.Context()); err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte("unavailable\n"))
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}

func (g *Gateway) keySet(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/jwk-set+json")
	w.Header().Set("Cache-Control", identity.CacheControl)
	_, _ = w.Write(g.signer.KeySet())
}

// knownHost says whether a host may be redirected to.
func (g *Gateway) knownHost(host string) bool {
	plan := g.plans.holder.Load()
	if plan == nil {
		return false
	}
	for i := range plan.Set.Routes {
		for _, h := range plan.Set.Routes[i].Hosts {
			if strings.EqualFold(h, host) {
				return true
			}
		}
	}
	return false
}

// drainTime is how long what is in flight may take to finish after SIGTERM.
const drainTime = 30 * time.Second

// Run serves until ctx ends, then drains.
func (g *Gateway) Run(ctx context.Context) error {
	defer g.close()
	work, stop := context.WithCancel(context.Background())
	var background sync.WaitGroup
	defer func() {
		stop()
		background.Wait()
	}()
	background.Go(func() { g.plans.keepLastGood(work) })
	background.Go(func() { g.watchStore(work) })
	background.Go(func() { g.sessions.Run(work) })
	for _, l := range g.listeners {
		h := g.handlers(l)
		go func() { g.failed <- l.Serve(h) }()
		g.log.Info("listening", "address", l.Addr().String(), "serve", strings.Join(l.conf.Serve, ","), "tls", l.Secure())
	}
	select {
	case <-ctx.Done():
	case err := <-g.failed:
		if err != nil {
			return err
		}
	}
	g.log.Info("draining: finishing what is in flight", "limit", drainTime.String())
	return g.drain()
}

func (g *Gateway) drain() error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	var wg sync.WaitGroup
	errs := make([]error, len(g.listeners))
	for i, l := range g.listeners {
		wg.Go(func() {
			errs[i] = l.Drain(ctx)
			if l.h1 != nil {
				errs[i] = errors.Join(errs[i], l.h1.Shutdown(ctx))
			}
			if l.h2 != nil {
				errs[i] = errors.Join(errs[i], l.h2.Shutdown(ctx))
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		g.log.Warn("not everything finished in time", "cause", err)
	}
	return nil
}

// Reload reads certificates again, and says what of the boot file needs a restart.
func (g *Gateway) Reload() {
	for _, l := range g.listeners {
		if err := l.Reload(); err != nil {
			g.log.Error("certificates were not reloaded; the old ones stay", "listener", l.conf.Address, "cause", err)
		}
	}
}

// Addresses tells where what is served, for those who started the gateway on free ports.
func (g *Gateway) Addresses(what string) (string, error) {
	for _, l := range g.listeners {
		if l.conf.Serves(what) {
			return l.Addr().String(), nil
		}
	}
	return "", fmt.Errorf("no listener serves %s", what)
}
