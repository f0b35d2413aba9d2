package oidc

import (
	"time"

	"github.com/sallyport/sallyport/internal/fetch"
	"github.com/sallyport/sallyport/internal/model"
)

// Status is how a provider stands, for people.
type Status struct {
	Healthy   bool           `json:"healthy"` // logins can be had: a document, and keys
	Discovery DocumentStatus `json:"discovery"`
	Keys      KeysStatus     `json:"keys"`
	// ClockSkew is how many seconds the provider's clock is ahead of ours (negative =
	// behind), by its latest answer; null = it did not tell.
	ClockSkew *float64 `json:"clockSkewSeconds"`
}

// DocumentStatus is how the discovery document stands.
type DocumentStatus struct {
	Source      string      `json:"source"`
	LastFetch   *time.Time  `json:"lastFetch"` // null = never
	NextRefresh *time.Time  `json:"nextRefresh,omitempty"`
	LastError   string      `json:"lastError,omitempty"`
	Cause       fetch.Cause `json:"cause,omitempty"` // of the last error
}

// KeysStatus is how the keys of a provider stand.
type KeysStatus struct {
	Source      string      `json:"source"`
	Keys        []KeyStatus `json:"keys"`
	LastFetch   *time.Time  `json:"lastFetch"` // null = never
	NextRefresh *time.Time  `json:"nextRefresh,omitempty"`
	LastError   string      `json:"lastError,omitempty"`
	Cause       fetch.Cause `json:"cause,omitempty"` // of the last error
}

// KeyStatus is one key.
type KeyStatus struct {
	KID       string    `json:"kid"`
	Type      string    `json:"type"`
	Algorithm string    `json:"algorithm,omitempty"`
	FirstSeen time.Time `json:"firstSeen"`
	LastSeen  time.Time `json:"lastSeen"`
}

// Status tells how a provider stands, and waits for nobody. Where it is time to ask
// the provider again it has that begun, so that what is told stays true while
// nobody signs in.
func (r *Party) Status(p *model.IdentityProvider) Status {
	st := Status{Discovery: DocumentStatus{Source: documentURL(p.Issuer)}, Keys: r.o.Keys.Status(p)}
	s := r.source(p)
	if p.Enabled {
		s.tend()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.last.IsZero() {
		last, next := s.last, s.next
		st.Discovery.LastFetch, st.Discovery.NextRefresh = &last, &next
	}
	if s.err != nil {
		st.Discovery.LastError, st.Discovery.Cause = s.err.Error(), fetch.CauseOf(s.err)
	}
	if s.dated {
		seconds := s.skew.Seconds()
		st.ClockSkew = &seconds
	}
	st.Healthy = s.have != nil && s.err == nil && len(st.Keys.Keys) > 0 && st.Keys.LastError == ""
	return st
}
