package rest

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/sallyport/sallyport/internal/face/rest/login"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/provision"
)

// Deps are what the API needs from outside. Provision, Passwords and Record are
// required; an endpoint whose dependency is nil answers 404.
type Deps struct {
	Provision provision.API
	Passwords login.Passwords
	Explain   Explainer
	Audit     Audit
	// Sessions are the logins by browsers; nil = there are none.
	Sessions Sessions
	// Providers asks identity providers; nil = they cannot be asked.
	Providers Checker
	// Status is the answer to GET /v2/status.
	Status func(ctx context.Context) any
	// Ready says why the gateway cannot serve; nil = it can.
	Ready func(ctx context.Context) error
	// Record writes the event of a refused login. Changes are recorded by provision.
	Record func(model.Event) error

	// ClientIP is who sent the request, as far as front ends are trusted. Nil
	// takes the peer's address.
	ClientIP func(*http.Request) netip.Addr
	// Certificate is the client's, verified for chain, time, usage and
	// revocation. Nil takes what crypto/tls verified.
	Certificate func(*http.Request) *x509.Certificate
	RequestID   func() string
	Now         func() time.Time
	Log         *slog.Logger
	Version     string // of the gateway, for the OpenAPI document
}

// Explainer decides a hypothetical request and changes nothing.
type Explainer interface {
	Explain(ctx context.Context, r ExplainRequest) (*model.Decision, error)
}

// ExplainRequest is the request that POST /v2/explain asks about.
type ExplainRequest struct {
	Method   string            `json:"method"`
	URL      string            `json:"url"` // absolute, or a path
	Headers  map[string]string `json:"headers,omitempty"`
	ClientIP string            `json:"clientIP,omitempty"`
	// User is whom the request is taken to be authenticated as; "" judges the
	// credentials in Headers.
	User string `json:"user,omitempty"`
}

// Defaults sets what a left-out field means.
func (r *ExplainRequest) Defaults() { r.Method = http.MethodGet }

// Audit reads the record of what happened.
type Audit interface {
	// Query answers a page of events, newest first, and the cursor of the next
	// page, "" = none. A page may be short, even empty, and still have a next one.
	// A filter that cannot be read is an Invalid *model.Error.
	Query(ctx context.Context, q AuditQuery) (items []model.Event, next string, err error)
	// Follow hands on every event from now on that q selects, until ctx ends or
	// send fails.
	Follow(ctx context.Context, q AuditQuery, send func(model.Event) error) error
}

// AuditQuery selects events.
type AuditQuery struct {
	Filter string // field eq "value" [and …]
	Cursor string
	Limit  int // 1 to 1000; 0 = 100
}

// Handler serves the admin API.
type Handler struct {
	Deps
	operations []operation
	logins     *login.Logins
	document   func() []byte
}

// New makes the API's handler.
func New(d Deps) *Handler {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.RequestID == nil {
		d.RequestID = rand.Text
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.ClientIP == nil {
		d.ClientIP = peer
	}
	if d.Certificate == nil {
		d.Certificate = verified
	}
	h := &Handler{Deps: d, logins: login.New(login.Deps{Find: d.Provision.Administrator, Passwords: d.Passwords,
		Certificate: d.Certificate, Record: d.Record, Now: d.Now, Log: d.Log})}
	h.operations = h.mount()
	h.document = sync.OnceValue(func() []byte { return h.describe() })
	return h
}

func peer(r *http.Request) netip.Addr {
	a, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return a.Addr().Unmap()
}

// verified is the certificate that crypto/tls verified itself; one that was only
// asked for, and left to others to verify, does not count.
func verified(r *http.Request) *x509.Certificate {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 || len(r.TLS.PeerCertificates) == 0 {
		return nil
	}
	return r.TLS.PeerCertificates[0]
}
