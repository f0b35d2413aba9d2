package identity

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// The timeline of keys. The next key is in the key set a day before it signs, and
// the last one a day after its last assertion has expired, so that whoever keeps
// a copy of the set for some hours never meets an unknown key.
const (
	signs     = 30 * 24 * time.Hour
	announced = 24 * time.Hour
	// retained is the longest life of an assertion (model.Service) and a day.
	retained = time.Hour + 24*time.Hour
	// retry is how long a failed rotation waits; the current key goes on signing.
	retry = time.Minute
	// CacheControl is what the key set is served with.
	CacheControl = "public, max-age=300"
)

// Signer signs assertions with ES256 keys that it makes, keeps and rotates. It
// is safe for concurrent use, and one process owns its folder.
type Signer struct {
	dir    string
	now    func() time.Time
	issuer string

	ring atomic.Pointer[ring]
	mu   sync.Mutex // held while the ring turns
}

// ring is the keys at one time.
type ring struct {
	keys   []*key // in the order in which they sign
	active *key
	next   time.Time // when to look again
	set    []byte    // JWKS
	fault  error     // why the last rotation failed
}

// NewSigner opens the folder of keys, making it and the first key where there is
// none. Keys that cannot be read, or that others could read, are errors: a
// gateway that signed with a new key instead would be believed by nobody.
func NewSigner(dir string, now func() time.Time, issuer string) (*Signer, error) {
	keys, err := loadKeys(dir)
	if err != nil {
		return nil, err
	}
	at := now()
	if len(keys) == 0 {
		k, err := makeKey(dir, at)
		if err != nil {
			return nil, fmt.Errorf("making the first assertion key: %w", err)
		}
		keys = []*key{k}
	}
	s := &Signer{dir: dir, now: now, issuer: issuer}
	r, err := s.turn(keys, at)
	if err != nil {
		return nil, err
	}
	s.ring.Store(r)
	return s, nil
}

// KeySet is the JWK set (RFC 7517) that verifies the assertions. It must not be
// changed; serve it with CacheControl.
func (s *Signer) KeySet() []byte { return s.current(s.now()).set }

// Fault says why the last rotation failed, while the previous key goes on
// signing; nil where nothing is wrong.
func (s *Signer) Fault() error { return s.current(s.now()).fault }

// current is the ring at a time, turned if that is due. While one caller turns
// it the others go on with the old one, which is good for a day yet.
func (s *Signer) current(now time.Time) *ring {
	r := s.ring.Load()
	if now.Before(r.next) || !s.mu.TryLock() {
		return r
	}
	defer s.mu.Unlock()
	r = s.ring.Load()
	if now.Before(r.next) {
		return r
	}
	turned, err := s.turn(r.keys, now)
	if err != nil {
		turned = &ring{keys: r.keys, active: r.active, set: r.set, next: now.Add(retry), fault: err}
	}
	s.ring.Store(turned)
	return turned
}

// turn makes the next key when it is due, forgets those that are over, and says
// which one signs.
func (s *Signer) turn(keys []*key, now time.Time) (*ring, error) {
	r := &ring{keys: slices.Clone(keys)}
	if newest := r.keys[len(r.keys)-1]; !now.Before(newest.from.Add(signs - announced)) {
		from := newest.from.Add(signs)
		if earliest := now.Add(announced); from.Before(earliest) {
			from = earliest // the gateway was not running when it was due
		}
		k, err := makeKey(s.dir, from)
		if err != nil {
			r.fault = fmt.Errorf("making the next assertion key: %w", err)
		} else {
			r.keys = append(r.keys, k)
		}
	}
	for len(r.keys) > 1 && !now.Before(r.keys[1].from.Add(retained)) {
		if err := r.keys[0].remove(); err != nil && r.fault == nil {
			r.fault = fmt.Errorf("removing an old assertion key: %w", err)
		}
		r.keys = r.keys[1:]
	}
	r.active = r.keys[0]
	r.next = r.keys[len(r.keys)-1].from.Add(signs - announced)
	for i, k := range r.keys {
		if !k.from.After(now) {
			r.active = k
		}
		if i > 0 {
			r.soonest(k.from, now)
			r.soonest(k.from.Add(retained), now)
		}
	}
	if r.fault != nil {
		r.next = now.Add(retry)
	}
	return r, r.publish()
}

func (r *ring) soonest(t, now time.Time) {
	if t.After(now) && t.Before(r.next) {
		r.next = t
	}
}

// publish writes the key set: public halves, whatever becomes of the keys.
func (r *ring) publish() (err error) {
	set := jose.JSONWebKeySet{Keys: make([]jose.JSONWebKey, len(r.keys))}
	for i, k := range r.keys {
		set.Keys[i] = jose.JSONWebKey{Key: k.private.Public(), KeyID: k.id, Algorithm: string(jose.ES256), Use: "sig"}
	}
	r.set, err = json.Marshal(set)
	return err
}
