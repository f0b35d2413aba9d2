package oidc

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sallyport/sallyport/internal/fetch"
	"github.com/sallyport/sallyport/internal/model"
)

// source is one issuer's discovery document: fetched by one at a time, kept while
// it is fresh, and served when it is not until there is a newer one.
type source struct {
	party  *Party
	issuer string

	mu     sync.Mutex
	have   *metadata     // the last good one
	flight chan struct{} // closed when the fetch that is under way ends
	asked  time.Time     // when the last fetch began
	last   time.Time     // when it ended
	err    error         // what came of it
	next   time.Time     // when to fetch again
	skew   time.Duration // the provider's clock against ours
	dated  bool          // whether the provider told its time
}

var errClosed = errors.New("the gateway is shutting down")

// get answers the document, from memory where there is one, else within Patience.
func (s *source) get(ctx context.Context) (*metadata, error) {
	now := s.party.o.Now()
	s.mu.Lock()
	if s.have != nil {
		if !now.Before(s.next) {
			s.beginLocked(now)
		}
		m := s.have
		s.mu.Unlock()
		return m, nil
	}
	if s.flight == nil && s.err != nil && now.Sub(s.asked) < s.party.o.CoolDown {
		err := s.err
		s.mu.Unlock()
		return nil, err
	}
	wait := s.beginLocked(now)
	s.mu.Unlock()
	if err := s.await(ctx, wait); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.have == nil {
		return nil, s.err
	}
	return s.have, nil
}

// renew answers a document that is no older than the cool-down, or else the one
// that is known: for whoever met something that it does not announce. It is nil
// where there is none.
func (s *source) renew(ctx context.Context) *metadata {
	now := s.party.o.Now()
	s.mu.Lock()
	if s.flight == nil && now.Sub(s.asked) < s.party.o.CoolDown {
		defer s.mu.Unlock()
		return s.have
	}
	wait := s.beginLocked(now)
	s.mu.Unlock()
	_ = s.await(ctx, wait) // the older one serves
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.have
}

func (s *source) await(ctx context.Context, wait <-chan struct{}) error {
	t := time.NewTimer(s.party.o.Patience)
	defer t.Stop()
	select {
	case <-wait:
		return nil
	case <-t.C:
		return fmt.Errorf("discovery: no answer yet: %w", context.DeadlineExceeded)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// start has the document fetched where there is none, and waits for nothing.
func (s *source) start() {
	now := s.party.o.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.have == nil && (s.err == nil || now.Sub(s.asked) >= s.party.o.CoolDown) {
		s.beginLocked(now)
	}
}

// tend has the document fetched again if it was fetched, or failed, and that is
// long enough ago.
func (s *source) tend() {
	now := s.party.o.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.last.IsZero() && !now.Before(s.next) {
		s.beginLocked(now)
	}
}

func (s *source) beginLocked(now time.Time) <-chan struct{} {
	if s.flight != nil {
		return s.flight
	}
	done := make(chan struct{})
	s.flight, s.asked = done, now
	if !s.party.launch(func() { s.fetch(done) }) {
		s.flight, s.err = nil, errClosed
		close(done)
	}
	return done
}

func (s *source) fetch(done chan struct{}) {
	defer close(done)
	m, answer, err := discover(s.party.ctx, s.party.http, s.issuer)
	o, now := &s.party.o, s.party.o.Now()
	d := o.Retry
	if err == nil {
		d = freshness(answer.Header, o.MinFresh, o.MaxFresh)
	}
	d += time.Duration(rand.Int64N(int64(d)/10 + 1)) // so that nodes do not ask in step
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flight, s.last, s.err, s.next = nil, now, err, now.Add(d)
	if err == nil {
		s.have = m
	}
	if answer != nil {
		if off, ok := clockOf(answer.Header, now); ok {
			s.skew, s.dated = off, true
		}
	}
}

func documentURL(issuer string) string {
	return strings.TrimSuffix(issuer, "/") + "/.well-known/openid-configuration"
}

// discover fetches and reads an issuer's document.
func discover(ctx context.Context, by *fetch.Client, issuer string) (*metadata, *fetch.Answer, error) {
	answer, err := by.Document(ctx, documentURL(issuer))
	if err != nil {
		return nil, nil, fmt.Errorf("fetching the discovery document: %w", err)
	}
	m, err := readMetadata(issuer, answer.Body)
	if err != nil {
		return nil, answer, fmt.Errorf("the discovery document at %s %w", documentURL(issuer), err)
	}
	return m, answer, nil
}

// freshness is how long an answer asks to be kept, within bounds.
func freshness(h http.Header, least, most time.Duration) time.Duration {
	d := most
	for part := range strings.SplitSeq(h.Get("Cache-Control"), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch strings.ToLower(name) {
		case "no-store", "no-cache":
			return least
		case "max-age":
			if n, err := strconv.ParseInt(strings.Trim(value, `"`), 10, 32); err == nil {
				d = time.Duration(n) * time.Second
			}
		}
	}
	return min(max(d, least), most)
}

// clockOf is how far the sender of an answer is ahead of now, to the second.
func clockOf(h http.Header, now time.Time) (time.Duration, bool) {
	at, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return 0, false
	}
	if age, err := strconv.ParseInt(h.Get("Age"), 10, 32); err == nil && age > 0 {
		at = at.Add(time.Duration(age) * time.Second) // it waited in somebody's cache
	}
	return at.Sub(now).Round(time.Second), true
}

// announced are the algorithms by which the provider may sign. One that is missing
// may have come since the document did, with a new key: so the provider is asked
// again, within the cool-down.
func (r *Party) announced(ctx context.Context, p *model.IdentityProvider, m *metadata, algorithm string) []string {
	if !slices.Contains(m.algorithms, algorithm) && slices.Contains(model.JWTAlgorithms(), algorithm) {
		if newer := r.source(p).renew(ctx); newer != nil {
			m = newer
		}
	}
	return m.algorithms
}

// metadata is the provider's document, or what a person is told in its place.
func (r *Party) metadata(ctx context.Context, p *model.IdentityProvider) (*metadata, error) {
	m, err := r.source(p).get(ctx)
	if err != nil {
		return nil, unavailable(p, "discovery", err)
	}
	return m, nil
}
