package app

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/sallyport/sallyport/internal/audit"
	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/door"
	"github.com/sallyport/sallyport/internal/door/upstream"
	"github.com/sallyport/sallyport/internal/face/rest"
	"github.com/sallyport/sallyport/internal/fetch"
	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/gate/authn"
	"github.com/sallyport/sallyport/internal/gate/authn/all"
	"github.com/sallyport/sallyport/internal/gate/authn/introspection"
	"github.com/sallyport/sallyport/internal/gate/authn/keys"
	"github.com/sallyport/sallyport/internal/gate/csrf"
	"github.com/sallyport/sallyport/internal/gate/identity"
	"github.com/sallyport/sallyport/internal/ldap"
	"github.com/sallyport/sallyport/internal/login"
	"github.com/sallyport/sallyport/internal/login/oidc"
	"github.com/sallyport/sallyport/internal/login/saml"
	"github.com/sallyport/sallyport/internal/metrics"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/provision"
	"github.com/sallyport/sallyport/internal/record"
	"github.com/sallyport/sallyport/internal/secret"
	"github.com/sallyport/sallyport/internal/session"
)

// Options are what a gateway is started with beside its boot file.
type Options struct {
	Version string
	// Standard serves HTTP/1.1 by net/http instead of the gateway's own engine: a
	// second implementation for tests.
	Standard bool
	Log      *slog.Logger
	// Tell is told what a person at the terminal should know, such as the first
	// administrator's password.
	Tell func(format string, args ...any)
	// Events takes the events of requests in the audit's place: for benchmarks alone,
	// which ask what the audit costs. The program sallyport has no way to set it.
	Events record.Log
}

// Gateway is all parts joined. Make one with New, then Run it.
type Gateway struct {
	cfg     *config.Config
	opt     Options
	log     *slog.Logger
	started time.Time

	store     *lateStore
	audit     *audit.Log
	metrics   *metrics.Metrics
	directory *directory.Directory
	signers   publicKeys
	provision *provision.Service
	hasher    *secret.Hasher
	signer    *identity.Signer
	plans     *plans
	pools     *upstream.Pools
	streams   *door.Streams
	sessions  *session.Book
	desk      *login.Desk
	party     *oidc.Party
	saml      *saml.ServiceProvider
	csrf      *csrf.Check
	journey   *journey
	gate      *gate.Gate
	asking    *fetch.Client // of introspection endpoints
	ldap      *ldap.Registry
	admin     http.Handler
	listeners []*opened
	late      lateness
	bootstrap bootstrap
	failed    chan error // what ends the serving: a listener, or the first administrator
}

// New makes the parts of a gateway in the order in which they need each other,
// binds its sockets, and brings the stored configuration in force.
func New(ctx context.Context, cfg *config.Config, opt Options) (_ *Gateway, err error) {
	g := &Gateway{cfg: cfg, opt: opt, log: opt.Log, started: time.Now(), store: &lateStore{}, failed: make(chan error, len(cfg.Listeners)+1)}
	defer func() {
		if err != nil {
			g.close()
		}
	}()
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("making dataDir: %w; give the gateway's user write access there, or name another folder", err)
	}
	if g.audit, err = audit.Open(filepath.Join(cfg.DataDir, "audit"), audit.Options{}); err != nil {
		return nil, fmt.Errorf("opening the audit log: %w", err)
	}
	if err := g.bind(); err != nil {
		return nil, err
	}
	if err := g.join(); err != nil {
		return nil, err
	}
	if err := g.begin(ctx); err != nil {
		return nil, err
	}
	return g, nil
}

// join makes the parts and gives each what it needs.
func (g *Gateway) join() error {
	id, err := gatewayID(g.cfg.DataDir)
	if err != nil {
		return err
	}
	csrfKey, err := secretFile(g.cfg.DataDir, "csrf.key", 32)
	if err != nil {
		return err
	}
	if g.signer, err = identity.NewSigner(filepath.Join(g.cfg.DataDir, "keys"), time.Now, g.cfg.ExternalURL); err != nil {
		return fmt.Errorf("the keys of assertions: %w", err)
	}
	g.hasher = secret.NewHasher(secret.Options{})
	g.directory = directory.New(g.store, directory.Options{})
	g.streams = door.NewStreams(time.Now)
	g.pools = upstream.New(nil, upstream.Options{Log: g.log})
	registry := keys.NewRegistry(keys.Options{Fetch: fetch.New(fetch.Options{}).Get, Dir: filepath.Dir(g.cfg.File)})
	g.asking = fetch.New(fetch.Options{Idle: 16, MaxBytes: 256 << 10})
	asker := introspection.NewRegistry(introspection.Options{Post: g.introspect})
	g.ldap = ldap.NewRegistry(ldap.Options{})
	g.plans = &plans{keys: registry, asker: asker, pools: g.pools, log: g.log, save: make(chan struct{}, 1),
		file: filepath.Join(g.cfg.DataDir, "last-good"), recent: g.directory.Recent,
		retain: []func([]model.IdentityProvider){g.ldap.Retain}}
	g.plans.since = newSince(g.plans.file)
	g.metrics = metrics.New(g.sources())
	recorder := &record.Recorder{Log: g.audit, Meter: g.metrics}
	if g.opt.Events != nil {
		recorder.Log = g.opt.Events
	}
	if g.provision, err = provision.New(provision.Deps{Store: g.store, Compile: g.plans.compile, Invalidate: g.invalidate,
		Record: func(e model.Event) error { return g.audit.AppendSync(&e) },
		Hash:   g.hasher.Hash, Verify: g.hasher.Verify}); err != nil {
		return err
	}
	g.csrf = csrf.New(csrfKey)
	g.gate = gate.New(gate.Deps{Directory: g.directory, Provisioner: g.provision, Signer: g.signer,
		CSRF: g.csrf, Recorder: recorder, Now: time.Now})
	g.plans.gate = g.gate
	g.plans.auth = all.Deps{Lookup: g.directory, Hasher: g.hasher, Cache: authn.NewCache(0), Keys: registry, Asker: asker, Replay: authn.NewReplay(all.ProofLife, 0),
		Signatures: authn.NewReplay(all.SignatureLife, 1<<20), AnyPublicKey: g.signers.Any, Passwords: directories{g.ldap},
		VerifyClientCert: g.verifyClientCert, Upgrade: g.upgrade}
	g.plans.env = gate.Env{ID: id, ExternalURL: g.cfg.ExternalURL, BodyBytes: int64(g.cfg.Limits.BodyBytes),
		TrustedProxies: g.cfg.Trusted, Own: g.addresses(), ClientCA: g.asksForCertificates(), Methods: g.plans.methods}
	g.journey = newJourney(g.gate, g.plans.holder.Load, recorder, g.metrics, g.provision.TouchCredential)
	if err := g.browsers(); err != nil {
		return err
	}
	g.admin = rest.New(rest.Deps{Provision: afterBootstrap{g.provision, &g.bootstrap}, Passwords: g.hasher, Explain: explainer{g}, Audit: auditor{g.audit}, Sessions: sessions{g}, Providers: checker{g},
		Status: g.status, Ready: g.ready, Record: func(e model.Event) error { return g.audit.Append(&e) },
		Certificate: g.adminCertificate, Log: g.log, Version: g.opt.Version})
	return nil
}

// invalidate makes a change of users felt: the directory forgets them, and what
// they have open ends, unless they may still act.
func (g *Gateway) invalidate(userIDs []string) {
	g.directory.Invalidate(userIDs...)
	g.signers.count(g.store)
	g.plans.since.note(userIDs...)
	for _, id := range userIDs {
		g.cut(id)
	}
	g.plans.changed()
}

// cut ends the streams of a user that may no longer act, and those opened with a
// credential that it no longer has.
func (g *Gateway) cut(id string) {
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	p, err := g.directory.User(ctx, id)
	if err != nil || p == nil || !p.User.Active || p.User.ExpiresAt != nil && !time.Now().Before(*p.User.ExpiresAt) {
		g.endSessions(ctx, id)
		g.streams.CutUser(id)
		return
	}
	g.streams.CutUnless(id, func(credential string) bool {
		if session.IsName(credential) {
			began := g.sessions.Credential(credential)
			return g.sessions.Runs(credential) && (began == "" || p.Credential(began) != nil)
		}
		c := p.Credential(credential)
		return c != nil && (c.ExpiresAt == nil || time.Now().Before(*c.ExpiresAt))
	})
}

// upgrade stores a stronger hash of a password that has just been proven.
func (g *Gateway) upgrade(userID, credentialID, hash string) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := g.provision.UpgradeHash(ctx, userID, credentialID, hash); err != nil {
		g.log.Warn("a password's hash could not be upgraded", "user", userID, "cause", err)
	}
}

func (g *Gateway) verifyClientCert(leaf *x509.Certificate, intermediates []*x509.Certificate) error {
	err := errors.New("no listener has a clientCA")
	for _, l := range g.listeners {
		if l.conf.TLS == nil || l.conf.TLS.ClientCA == "" {
			continue
		}
		if err = l.Listener.VerifyClient(leaf, intermediates); err == nil {
			return nil
		}
	}
	return err
}

// close ends what New and Run have started, the last first.
func (g *Gateway) close() {
	for _, l := range g.listeners {
		_ = l.Listener.Close()
	}
	_ = g.bootstrap.wait(context.Background()) // it needs what is closed below
	if g.pools != nil {
		g.pools.Close()
	}
	if g.party != nil {
		g.party.Close()
		g.saml.Close()
	}
	if g.plans != nil {
		g.plans.keys.Close()
	}
	if g.asking != nil {
		g.asking.Close()
	}
	if g.ldap != nil {
		g.ldap.Close()
	}
	if g.hasher != nil {
		g.hasher.Close()
	}
	if g.provision != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		_ = g.provision.Close(ctx)
		cancel()
	}
	if g.audit != nil {
		_ = g.audit.Close()
	}
	_ = g.store.Close()
}
