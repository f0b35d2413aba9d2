package door

import (
	"hash/maphash"
	"sync"
	"time"
)

const (
	shards = 64
	// A decision that began before a cut and registers after it is cut too, so
	// cuts are remembered for longer than any decision takes.
	remembered = 5 * time.Minute
)

// Streams is the register of requests that are being forwarded, by user, so that
// what a user has open ends when the user or the credential does (SPEC 11).
type Streams struct {
	seed maphash.Seed
	now  func() time.Time
	sh   [shards]shard
}

type shard struct {
	mu    sync.Mutex
	open  map[string]*Stream // first of a user's streams
	cuts  map[cutKey]time.Time
	swept time.Time
}

type cutKey struct{ user, credential string } // credential "" = all of the user's

// Stream is one user's part in one request. It lives in the door's own state, so
// that registering allocates nothing, and may be used again once removed.
type Stream struct {
	User, Credential string
	Since            time.Time // when the request arrived
	// Cut ends the stream. It may run more than once, but never after Remove has
	// returned: what the stream belonged to may serve somebody else by then. It is
	// called with the register locked, so it must not wait, nor call the register.
	Cut func()

	prev, next *Stream
	listed     bool
}

// NewStreams makes an empty register.
func NewStreams(now func() time.Time) *Streams {
	s := &Streams{seed: maphash.MakeSeed(), now: now}
	for i := range s.sh {
		s.sh[i].open, s.sh[i].cuts = map[string]*Stream{}, map[cutKey]time.Time{}
	}
	return s
}

func (s *Streams) shard(user string) *shard {
	return &s.sh[maphash.String(s.seed, user)%shards]
}

// Add registers st until Remove. Where its user or credential was cut after the
// request arrived, it is cut at once: its decision may have been made before.
func (s *Streams) Add(st *Stream) {
	sh := s.shard(st.User)
	sh.mu.Lock()
	if first := sh.open[st.User]; first != nil {
		st.next, first.prev = first, st
	}
	sh.open[st.User] = st
	st.listed = true
	cut := false
	if len(sh.cuts) > 0 {
		cut = after(sh.cuts, cutKey{st.User, ""}, st.Since) || after(sh.cuts, cutKey{st.User, st.Credential}, st.Since)
	}
	sh.mu.Unlock()
	if cut {
		st.Cut()
	}
}

func after(cuts map[cutKey]time.Time, k cutKey, since time.Time) bool {
	at, ok := cuts[k]
	return ok && !since.After(at)
}

// Remove ends the registration; removing twice does nothing.
func (s *Streams) Remove(st *Stream) {
	if !st.listed {
		return
	}
	sh := s.shard(st.User)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	switch {
	case st.prev != nil:
		st.prev.next = st.next
	case st.next != nil:
		sh.open[st.User] = st.next
	default:
		delete(sh.open, st.User)
	}
	if st.next != nil {
		st.next.prev = st.prev
	}
	st.prev, st.next, st.listed = nil, nil, false
}

// CutUser ends everything that the user has open and answers how many streams
// that were.
func (s *Streams) CutUser(userID string) int { return s.cut(cutKey{userID, ""}) }

// CutCredential ends what was opened with one credential of the user.
func (s *Streams) CutCredential(userID, credentialID string) int {
	return s.cut(cutKey{userID, credentialID})
}

func (s *Streams) cut(k cutKey) int {
	sh, now := s.shard(k.user), s.now()
	n := 0
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if now.Sub(sh.swept) > remembered {
		for old, at := range sh.cuts {
			if now.Sub(at) > remembered {
				delete(sh.cuts, old)
			}
		}
		sh.swept = now
	}
	sh.cuts[k] = now
	for st := sh.open[k.user]; st != nil; st = st.next {
		if k.credential == "" || k.credential == st.Credential {
			st.Cut()
			n++
		}
	}
	return n
}

// CutUnless ends what the user has open with credentials that do not stand any
// more, and answers how many streams that were.
func (s *Streams) CutUnless(userID string, stands func(credentialID string) bool) int {
	sh, n := s.shard(userID), 0
	gone := map[string]bool{}
	sh.mu.Lock()
	for st := sh.open[userID]; st != nil; st = st.next {
		if st.Credential != "" && !gone[st.Credential] && !stands(st.Credential) {
			gone[st.Credential] = true
		}
	}
	sh.mu.Unlock()
	for c := range gone {
		n += s.CutCredential(userID, c)
	}
	return n
}

// CutAll ends everything: the end of a drain.
func (s *Streams) CutAll() int {
	return s.each(func(st *Stream) { st.Cut() })
}

// Open is how many streams are registered.
func (s *Streams) Open() int { return s.each(func(*Stream) {}) }

// each visits every stream, under its shard's lock, and answers how many there are.
func (s *Streams) each(visit func(*Stream)) int {
	n := 0
	for i := range s.sh {
		sh := &s.sh[i]
		sh.mu.Lock()
		for _, first := range sh.open {
			for st := first; st != nil; st = st.next {
				visit(st)
				n++
			}
		}
		sh.mu.Unlock()
	}
	return n
}
