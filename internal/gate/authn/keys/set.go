package keys

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Why a key was not found.
var (
	// ErrUnknown says that the issuer was asked, and has no such key.
	ErrUnknown = errors.New("the issuer has no such key")
	// ErrAlgorithm says that there is such a key, for other algorithms.
	ErrAlgorithm = errors.New("the key is not for this algorithm")
	// ErrUnavailable says that the issuer could not be asked: nobody can tell.
	ErrUnavailable = errors.New("the issuer's keys cannot be had")
)

// mostCandidates bounds how many signatures are computed for one token.
const mostCandidates = 16

// mostWaiting bounds how many requests wait for one fetch; the rest are told at
// once that the keys cannot be had.
const mostWaiting = 512

// Set is the keys of one issuer. It is safe for concurrent use. It does nothing
// until it is started: by its first Find, or when its provider is published.
type Set struct {
	source source
	o      *Options
	bump   func() // a key that was has gone: what it vouched for must be judged anew

	keys    atomic.Pointer[[]Key]
	waiting atomic.Int64

	mu      sync.Mutex
	kick    chan struct{}
	cancel  context.CancelFunc
	ended   chan struct{}
	closed  bool
	fetched chan struct{} // closed when the fetch that is under way, or asked for, ends
	began   time.Time     // when the last fetch was asked for
	last    time.Time     // when the last fetch ended
	lastErr error
	next    time.Time
}

func newSet(src source, o *Options, bump func()) *Set {
	return &Set{source: src, o: o, bump: bump, kick: make(chan struct{}, 1)}
}

// Find answers the keys that may have signed a token with this kid ("" = none) and
// algorithm. For a kid that is not known the issuer is asked again, within the
// cool-down, for at most Options.Patience. Errors: ErrUnknown, ErrAlgorithm,
// ErrUnavailable.
func (s *Set) Find(ctx context.Context, kid, algorithm string) ([]*Key, error) {
	if found, other := s.match(kid, algorithm); len(found) > 0 {
		return found, nil
	} else if other {
		return nil, ErrAlgorithm
	}
	if err := s.ask(ctx); err != nil {
		return nil, err
	}
	found, other := s.match(kid, algorithm)
	switch {
	case len(found) > 0:
		return found, nil
	case other:
		return nil, ErrAlgorithm
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lastErr != nil || s.last.IsZero() {
		return nil, ErrUnavailable
	}
	return nil, ErrUnknown
}

// match finds the keys for a kid and an algorithm. Keys without a name, such as
// PEM files hold, may stand for any kid. other says that a key of that name is
// there, but for another algorithm.
func (s *Set) match(kid, algorithm string) (found []*Key, other bool) {
	list := s.keys.Load()
	if list == nil {
		return nil, false
	}
	for i := range *list {
		k := &(*list)[i]
		if kid != "" && k.ID != "" && k.ID != kid {
			continue
		}
		if !k.Fits(algorithm) {
			other = other || kid != "" && k.ID == kid
			continue
		}
		if len(found) < mostCandidates {
			found = append(found, k)
		}
	}
	return found, other
}

// ask has the keys fetched, unless that was done within the cool-down, and waits
// for the end of it. It answers nil when the caller may look again.
func (s *Set) ask(ctx context.Context) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.startLocked()
	wait := s.fetched
	if wait == nil {
		if s.o.Now().Sub(s.began) < s.source.coolDown(s.o) {
			s.mu.Unlock()
			return nil
		}
		wait = s.beginLocked()
		select {
		case s.kick <- struct{}{}:
		default:
		}
	}
	s.mu.Unlock()
	if s.waiting.Add(1) > mostWaiting {
		s.waiting.Add(-1)
		return ErrUnavailable
	}
	defer s.waiting.Add(-1)
	t := time.NewTimer(s.o.Patience)
	defer t.Stop()
	select {
	case <-wait:
		return nil
	case <-t.C:
		return ErrUnavailable
	case <-ctx.Done():
		return ErrUnavailable
	}
}

// Start has the keys fetched now and kept fresh from now on.
func (s *Set) Start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.startLocked()
}

func (s *Set) startLocked() {
	if s.cancel != nil || s.closed {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel, s.ended = cancel, make(chan struct{})
	s.beginLocked()
	go s.run(ctx)
}

// beginLocked marks a fetch as asked for.
func (s *Set) beginLocked() chan struct{} {
	if s.fetched == nil {
		s.fetched, s.began = make(chan struct{}), s.o.Now()
	}
	return s.fetched
}

// Close ends the refreshing; the keys that are there go on serving.
func (s *Set) Close() {
	s.mu.Lock()
	s.closed = true
	cancel, ended := s.cancel, s.ended
	s.mu.Unlock()
	if cancel != nil {
		cancel()
		<-ended
	}
}

// run is the only one that fetches.
func (s *Set) run(ctx context.Context) {
	defer close(s.ended)
	for {
		select {
		case <-s.kick: // answered by the fetch that follows; a second one would break the cool-down
		default:
		}
		d := s.fetch(ctx)
		t := time.NewTimer(d)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-s.kick:
			t.Stop()
		case <-t.C:
			s.mu.Lock()
			s.beginLocked()
			s.mu.Unlock()
		}
	}
}

// fetch loads the keys once and answers when to do so again. A set that is broken
// or empty never takes a good one's place.
func (s *Set) fetch(ctx context.Context) time.Duration {
	limit, cancel := context.WithTimeout(ctx, s.o.Timeout)
	list, unchanged, err := s.source.load(limit, s.o)
	cancel()
	now := s.o.Now()
	if err == nil {
		s.replace(list, unchanged, now)
	}
	d := s.source.interval(s.o, err)
	d += time.Duration(rand.Int64N(int64(d)/5 + 1)) // so that nodes do not ask in step
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last, s.lastErr, s.next = now, err, now.Add(d)
	if s.fetched != nil {
		close(s.fetched)
		s.fetched = nil
	}
	return d
}

// replace publishes a fetched list, with what is remembered of keys that stay.
func (s *Set) replace(list []Key, unchanged bool, now time.Time) {
	var old []Key
	if p := s.keys.Load(); p != nil {
		old = *p
	}
	if unchanged {
		list = append([]Key(nil), old...)
	}
	kept := 0
	for i := range list {
		list[i].FirstSeen, list[i].LastSeen = now, now
		for j := range old {
			if old[j].same(&list[i]) {
				list[i].FirstSeen = old[j].FirstSeen
				kept++
				break
			}
		}
	}
	s.keys.Store(&list)
	if kept < len(old) {
		s.bump()
	}
}
