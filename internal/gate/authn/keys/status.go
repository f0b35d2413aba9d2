package keys

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"strconv"
	"time"
)

// Status is what is known of a set, for people.
type Status struct {
	Source      string      `json:"source"` // the file or URL
	Keys        []KeyStatus `json:"keys"`
	LastFetch   *time.Time  `json:"lastFetch"` // null = never
	LastError   string      `json:"lastError,omitempty"`
	Err         error       `json:"-"` // what LastError is of, for whoever asks for its cause
	NextRefresh *time.Time  `json:"nextRefresh,omitempty"`
	Healthy     bool        `json:"healthy"` // there are keys, and the last fetch succeeded
}

// KeyStatus is one key.
type KeyStatus struct {
	KID       string    `json:"kid"`
	Type      string    `json:"type"`
	Algorithm string    `json:"algorithm,omitempty"`
	FirstSeen time.Time `json:"firstSeen"`
	LastSeen  time.Time `json:"lastSeen"`
}

// Status tells how the set stands.
func (s *Set) Status() Status {
	st := Status{Source: s.source.String(), Keys: []KeyStatus{}}
	if list := s.keys.Load(); list != nil {
		st.Keys = show(*list)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.last.IsZero() {
		last, next := s.last, s.next
		st.LastFetch, st.NextRefresh = &last, &next
	}
	if s.lastErr != nil {
		st.LastError, st.Err = s.lastErr.Error(), s.lastErr
	}
	st.Healthy = len(st.Keys) > 0 && s.lastErr == nil
	return st
}

func show(list []Key) []KeyStatus {
	out := make([]KeyStatus, 0, len(list))
	for i := range list {
		k := &list[i]
		out = append(out, KeyStatus{KID: k.name(), Type: k.kind(), Algorithm: k.Algorithm, FirstSeen: k.FirstSeen, LastSeen: k.LastSeen})
	}
	return out
}

func (k *Key) kind() string {
	switch pub := k.Public.(type) {
	case *rsa.PublicKey:
		return "RSA " + strconv.Itoa(pub.N.BitLen())
	case *ecdsa.PublicKey:
		return pub.Curve.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return ""
}
