package upstream

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// keep is how much of a request's body is remembered, so that a request that
// reached nobody can be sent to somebody else.
const keep = 64 << 10

var (
	errOver  = errors.New("the attempt is over")
	errTorn  = errors.New("the body can no longer be sent from its beginning")
	errShort = errors.New("the client ended the body before its declared length")
)

// source is a request's body over all its attempts. A read of an old attempt may
// still be under way when the next begins: what it reads is remembered, not lost.
type source struct {
	length int64       // declared; -1 = unknown
	torn   atomic.Bool // more was read than is kept
	end    atomic.Pointer[error]

	mu   sync.Mutex // held while the client is being waited for
	from io.Reader
	kept []byte
	read int64
}

// attempt is one attempt's view of the body. A nil attempt has no body.
type attempt struct {
	src  *source
	pos  int64
	done atomic.Bool

	state sync.Mutex // guards the two below, which the watch reads
	busy  bool       // waiting for the client
	last  time.Time  // when it last stopped waiting
}

func newSource(r *Request) *source {
	if r.Body == nil || r.Length == 0 {
		return nil
	}
	return &source{from: r.Body, length: r.Length}
}

// attempt starts at the beginning; ask whole first.
func (s *source) attempt() *attempt {
	if s == nil {
		return nil
	}
	return &attempt{src: s}
}

// whole says whether the body can be sent from its beginning.
func (s *source) whole() bool { return s == nil || !s.torn.Load() }

// fault is the error that the client's body ended with; nil for a good end, or
// where it has not ended.
func (s *source) fault() error {
	if s == nil {
		return nil
	}
	if err := s.end.Load(); err != nil && *err != io.EOF {
		return *err
	}
	return nil
}

// Read gives the attempt what is kept, then what the client sends.
func (a *attempt) Read(p []byte) (int, error) {
	a.mark(true)
	defer a.mark(false)
	s := a.src
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case a.done.Load():
		return 0, errOver
	case a.pos < int64(len(s.kept)):
		n := copy(p, s.kept[a.pos:])
		a.pos += int64(n)
		return n, nil
	case a.pos != s.read:
		return 0, errTorn
	}
	if err := s.end.Load(); err != nil {
		return 0, *err
	}
	n, err := s.from.Read(p)
	s.remember(p[:n])
	a.pos += int64(n)
	if err == io.EOF && s.length >= 0 && s.read < s.length {
		err = errShort
	}
	if err != nil {
		s.end.Store(&err)
	}
	return n, err
}

func (s *source) remember(b []byte) {
	s.read += int64(len(b))
	switch {
	case len(b) == 0 || s.torn.Load():
	case s.length > keep || len(s.kept)+len(b) > keep:
		s.torn.Store(true)
		s.kept = nil
	default:
		s.kept = append(s.kept, b...)
	}
}

// Close ends the attempt, not the body. It waits for nobody.
func (a *attempt) Close() error {
	a.done.Store(true)
	return nil
}

func (a *attempt) mark(busy bool) {
	a.state.Lock()
	a.busy = busy
	if !busy {
		a.last = time.Now()
	}
	a.state.Unlock()
}

// waiting says whether the attempt waits for the client, and when it last did.
func (a *attempt) waiting() (bool, time.Time) {
	if a == nil {
		return false, time.Time{}
	}
	a.state.Lock()
	defer a.state.Unlock()
	return a.busy, a.last
}
