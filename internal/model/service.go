package model

import (
	"net/netip"
	"net/url"
	"time"
)

// Service is a backend API and the targets that serve it.
type Service struct {
	Name             string        `json:"name"`
	Targets          []Target      `json:"targets"`
	Balance          Balance       `json:"balance"`
	Protocol         Protocol      `json:"protocol"`
	Host             HostMode      `json:"host"`
	Health           *Health       `json:"health,omitempty"`
	TLS              ServiceTLS    `json:"tls"`
	Timeouts         Timeouts      `json:"timeouts"`
	Retries          int           `json:"retries"`
	CallerCredential CallerMode    `json:"callerCredential"`
	Present          Present       `json:"present"`
	Assertion        AssertionSpec `json:"assertion"`
}

// Target is one URL that serves a service.
type Target struct {
	URL    string `json:"url"`
	Weight int    `json:"weight"`
}

// Defaults sets what a left-out field means.
func (t *Target) Defaults() { t.Weight = 1 }

// Balance is how a target is chosen.
type Balance string

// The ways to balance.
const (
	LeastRequests Balance = "leastRequests"
	RoundRobin    Balance = "roundRobin"
	HashBalance   Balance = "hash"
)

// Protocol is what is spoken to the targets.
type Protocol string

// The protocols.
const (
	ProtocolAuto Protocol = "auto" // by ALPN
	HTTP1        Protocol = "http1"
	HTTP2        Protocol = "http2" // with prior knowledge on http://
)

// HostMode is which Host the backend sees.
type HostMode string

// The host modes.
const (
	HostPreserve HostMode = "preserve"
	HostTarget   HostMode = "target"
)

// CallerMode is what becomes of the caller's own credential.
type CallerMode string

// The caller modes.
const (
	CallerStrip   CallerMode = "strip"
	CallerForward CallerMode = "forward"
)

// Health is active probing; without it health is judged by traffic alone.
type Health struct {
	Path           string   `json:"path"`
	Interval       Duration `json:"interval"`
	Timeout        Duration `json:"timeout"`
	UnhealthyAfter int      `json:"unhealthyAfter"`
	HealthyAfter   int      `json:"healthyAfter"`
}

// Defaults sets what a left-out field means.
func (h *Health) Defaults() {
	*h = Health{Path: "/healthz", Interval: Duration(5 * time.Second), Timeout: Duration(time.Second), UnhealthyAfter: 3, HealthyAfter: 2}
}

// ServiceTLS is how https targets are trusted and met; all are PEM text.
type ServiceTLS struct {
	CA         string `json:"ca"`
	Cert       string `json:"cert"`
	Key        string `json:"key"`
	ServerName string `json:"serverName"`
}

// Timeouts bound the waiting for a target. Response 0 waits for ever.
type Timeouts struct {
	Connect  Duration `json:"connect"`
	Response Duration `json:"response"`
}

// Defaults sets what a left-out field means.
func (t *Timeouts) Defaults() {
	*t = Timeouts{Connect: Duration(2 * time.Second), Response: Duration(30 * time.Second)}
}

// Present is the gateway's own credential for this backend, set after stripping.
type Present struct {
	Header string `json:"header"`
	Value  string `json:"value"`
}

// AssertionSpec is the audience and life of the signed assertion.
type AssertionSpec struct {
	Audience string   `json:"audience"` // "" = the service's name
	Lifetime Duration `json:"lifetime"`
}

// Defaults sets what a left-out field means.
func (a *AssertionSpec) Defaults() { a.Lifetime = Duration(60 * time.Second) }

// Defaults sets what a left-out field means.
func (s *Service) Defaults() {
	s.Balance, s.Protocol, s.Host, s.CallerCredential = LeastRequests, ProtocolAuto, HostPreserve, CallerStrip
	s.Retries = 1
	s.Timeouts.Defaults()
	s.Assertion.Defaults()
}

// Audience is the aud of the service's assertions.
func (s *Service) Audience() string {
	if s.Assertion.Audience != "" {
		return s.Assertion.Audience
	}
	return s.Name
}

// Validate reports what is wrong with the service by itself.
func (s *Service) Validate(path string) (f Faults) {
	if !ValidName(s.Name) {
		f.Add(path+".name", NameFault)
	}
	if len(s.Targets) == 0 {
		f.Add(path+".targets", "is empty; a service needs at least one target")
	}
	for i, t := range s.Targets {
		p := index(path+".targets", i)
		if msg := targetFault(t.URL); msg != "" {
			f.Add(p+".url", msg)
		}
		if t.Weight < 0 || t.Weight > 1000 {
			f.Add(p+".weight", "is 0 to 1000")
		}
	}
	oneOf(&f, path+".balance", s.Balance, LeastRequests, RoundRobin, HashBalance)
	oneOf(&f, path+".protocol", s.Protocol, ProtocolAuto, HTTP1, HTTP2)
	oneOf(&f, path+".host", s.Host, HostPreserve, HostTarget)
	oneOf(&f, path+".callerCredential", s.CallerCredential, CallerStrip, CallerForward)
	if s.Retries < 0 || s.Retries > 10 {
		f.Add(path+".retries", "is 0 to 10")
	}
	if (s.TLS.Cert == "") != (s.TLS.Key == "") {
		f.Add(path+".tls", "has one of cert and key; give both or neither")
	}
	if s.Timeouts.Connect <= 0 {
		f.Add(path+".timeouts.connect", "is more than 0")
	}
	if l := s.Assertion.Lifetime.D(); l < time.Second || l > time.Hour {
		f.Add(path+".assertion.lifetime", "is 1s to 1h")
	}
	if h := s.Health; h != nil {
		if h.Path == "" || h.Path[0] != '/' || !plainTarget(h.Path) {
			f.Add(path+".health.path", "is a path that starts with /")
		}
		if h.Interval.D() < 100*time.Millisecond || h.Timeout <= 0 || h.UnhealthyAfter < 1 || h.HealthyAfter < 1 {
			f.Add(path+".health", "interval is 100ms or more, timeout more than 0, unhealthyAfter and healthyAfter 1 or more")
		}
	}
	if (s.Present.Header == "") != (s.Present.Value == "") {
		f.Add(path+".present", "has one of header and value; give both or neither")
	}
	if !ValidFieldValue(s.Present.Value) {
		f.Add(path+".present.value", "has control characters or outer white space, and cannot be sent as a header")
	}
	return f
}

func targetFault(s string) string {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return "is not a target; write http://host:port or https://host:port"
	case u.User != nil:
		return "carries user information; use present for the gateway's own credential"
	case u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/":
		return "has a path, query or fragment; use the route's rewrite for paths"
	}
	return ""
}

func plainTarget(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// SecureURL says whether u is https, or http on loopback.
func SecureURL(u *url.URL) bool {
	if u.Scheme == "https" {
		return u.Host != ""
	}
	if u.Scheme != "http" {
		return false
	}
	h := u.Hostname()
	if h == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(h)
	return err == nil && a.Unmap().IsLoopback()
}

func oneOf[T ~string](f *Faults, path string, v T, allowed ...T) {
	msg := "is one of "
	for i, a := range allowed {
		if v == a {
			return
		}
		if i > 0 {
			msg += ", "
		}
		msg += string(a)
	}
	f.Add(path, msg)
}
