package login

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/gate/csrf"
	"github.com/sallyport/sallyport/internal/login/flow"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/session"
)

// The gateway's own paths for browsers, the same on every host.
const (
	pathLogin       = gate.LoginPath
	pathCallback    = "/.sallyport/callback"
	pathSAML        = "/.sallyport/saml/"
	pathLogout      = "/.sallyport/logout"
	pathBackchannel = "/.sallyport/backchannel-logout/"
	pathHandover    = "/.sallyport/session"
	pathAccount     = "/.sallyport/account"
)

// The names of the cookies.
const (
	sessionCookie = "__Host-sallyport"
	loginCookie   = "__Host-sallyport-login" // binds logins under way to their browser; one for all tabs
)

// Backchannel is a protocol whose providers end sessions by a call of their own.
type Backchannel interface {
	Logout(ctx context.Context, p *model.IdentityProvider, token string) (*flow.Ended, error)
}

// Metadata is a protocol that describes the gateway to its providers.
type Metadata interface {
	Metadata(p *model.IdentityProvider, base *url.URL) ([]byte, error)
}

// Deps are what the desk needs; all are required but Log and Now.
type Deps struct {
	Sessions  *session.Book
	Plan      func() *gate.Plan
	Gate      Gate
	Protocols map[model.ProviderType]flow.Protocol
	CSRF      *csrf.Check
	Key       []byte // 32 bytes that outlive restarts
	// External is the gateway's own URL, at which providers know it.
	External *url.URL
	// Users finds the user of a session.
	Users func(ctx context.Context, id string) (*directory.Principal, error)
	// Record writes a login down, synced; its failure fails the login.
	Record func(model.Event) error
	Log    *slog.Logger
	Now    func() time.Time
}

// Gate says who signs in.
type Gate interface {
	SignIn(ctx context.Context, p *gate.Plan, proof *Proof, at time.Time) (*gate.SignedIn, error)
	Password(ctx context.Context, p *gate.Plan, username, password string, at time.Time) (*gate.SignedIn, error)
}

// Desk serves the pages.
type Desk struct {
	Deps
	states   *states
	used     *once // attempts, assertions and messages that count once
	relays   *relays
	handover *handovers
}

// New makes a desk.
func New(d Deps) (*Desk, error) {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	s, err := newStates(d.Key, d.Now)
	if err != nil {
		return nil, err
	}
	return &Desk{Deps: d, states: s, used: newOnce(d.Now), relays: newRelays(), handover: newHandovers(d.Now)}, nil
}

// Handler is who answers a path of the gateway's own; nil = it is not the desk's.
func (d *Desk) Handler(path string) http.Handler {
	h, ok := d.route(path)
	if !ok || d.External == nil {
		return nil
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := &visit{desk: d, w: w, r: r, plan: d.Plan(), now: d.Now()}
		v.headers()
		if v.plan == nil {
			v.fail(&model.Error{Code: model.ConfigurationUnavailable, RetryAfter: 5, Message: "The gateway has no configuration yet."})
			return
		}
		v.findClient()
		if err := v.parse(); err != nil {
			v.fail(err)
			return
		}
		if err := h(v); err != nil {
			v.fail(err)
		}
	})
}

func (d *Desk) route(path string) (func(*visit) error, bool) {
	switch path {
	case pathLogin:
		return (*visit).login, true
	case pathCallback:
		return (*visit).callback, true
	case pathLogout:
		return (*visit).logout, true
	case pathHandover:
		return (*visit).arrive, true
	case pathAccount:
		return (*visit).account, true
	}
	if name, ok := strings.CutPrefix(path, pathBackchannel); ok && model.ValidName(name) {
		return func(v *visit) error { return v.backchannel(name) }, true
	}
	if rest, ok := strings.CutPrefix(path, pathSAML); ok {
		name, what, _ := strings.Cut(rest, "/")
		if !model.ValidName(name) {
			return nil, false
		}
		switch what {
		case "metadata":
			return func(v *visit) error { return v.metadata(name) }, true
		case "acs":
			return (*visit).callback, true
		case "slo":
			return func(v *visit) error { return v.singleLogout(name) }, true
		}
	}
	return nil, false
}
