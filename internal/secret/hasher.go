package secret

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// The refusals. None of them holds a secret or a hash.
var (
	// ErrBusy says that too many passwords wait to be hashed: try again later.
	ErrBusy = errors.New("too many passwords are being hashed")
	// ErrHash says that a stored hash is of no known form, or asks for more work
	// than a hash may.
	ErrHash = errors.New("the stored hash is not of a known form, or its cost is out of bounds")
	// ErrTooLong says that a password is longer than can be hashed whole.
	ErrTooLong = errors.New("the password is longer than this hash takes in")
)

// MaxPassword is the longest password, in bytes.
const MaxPassword = 1024

// Options bound a Hasher. Zero values take the defaults.
type Options struct {
	// Parallel is how many hashes may be computed at once. Default: half of
	// GOMAXPROCS, at least 1, so that hashing never starves what needs no hash.
	Parallel int
	// Queue is how many may wait for their turn. Default 256.
	Queue int
	// Wait is the longest that one waits. Default 10 s.
	Wait time.Duration
}

// Hasher computes and checks password hashes, bounded in parallel. It is safe for
// concurrent use.
type Hasher struct {
	slots   chan *arena // one for each hash that may be computed at once
	waiting atomic.Int64
	queue   int64
	wait    time.Duration
	nobody  string // a well-formed hash that no password has
	pace    pace
	later   sync.WaitGroup
	pending atomic.Int64
}

// NewHasher makes a hasher.
func NewHasher(o Options) *Hasher {
	if o.Parallel <= 0 {
		o.Parallel = max(1, runtime.GOMAXPROCS(0)/2)
	}
	if o.Queue <= 0 {
		o.Queue = 256
	}
	if o.Wait <= 0 {
		o.Wait = 10 * time.Second
	}
	h := &Hasher{slots: make(chan *arena, o.Parallel), queue: int64(o.Queue), wait: o.Wait, nobody: impossibleHash()}
	for range o.Parallel {
		h.slots <- new(arena)
	}
	return h
}

// Hash makes the argon2id hash of a password, in PHC form. Errors: ErrBusy,
// ErrTooLong, or the context's.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	if len(password) > MaxPassword {
		return "", ErrTooLong
	}
	m, err := h.enter(ctx)
	if err != nil {
		return "", err
	}
	defer h.leave(m)
	return newArgon2id(m, password), nil
}

// Verify compares a password with a stored hash. An empty hash stands for nobody:
// it does one hash of the usual kind and answers false, so that a name that is
// unknown here, or has no password, costs what a wrong password does. upgrade
// says that the password is right and its hash weaker than those made today.
// Errors: ErrBusy, ErrHash, or the context's; ok is false with each.
func (h *Hasher) Verify(ctx context.Context, hash, password string) (ok, upgrade bool, err error) {
	m, err := h.enter(ctx)
	if err != nil {
		return false, false, err
	}
	start := time.Now()
	want, readErr := readHash(hash)
	if hash == "" || readErr != nil {
		want, _ = readHash(h.nobody)
	}
	// Passwords that are too long still cost their hash: the answer to one must
	// not tell by its speed whether the name exists.
	fits := len(password) <= want.longest()
	ok = want.matches(m, clip(password, want.longest())) && fits
	if !ok && want.cheap() {
		nobody, _ := readHash(h.nobody)
		nobody.matches(m, clip(password, MaxPassword))
		want = nobody
	}
	h.pace.saw(want.kind(), time.Since(start))
	h.leave(m)
	switch {
	case hash == "":
		ok = false
	case readErr != nil:
		ok, err = false, ErrHash
	}
	if !ok {
		h.pace.hold(ctx, start)
		return false, false, err
	}
	return true, want.weak(), nil
}

// Later hashes a password in the background and hands the hash to done: the
// upgrade of an old hash must not make its login wait twice. Where many are
// pending already it does nothing; the next login tries again.
func (h *Hasher) Later(password string, done func(hash string)) {
	const most = 16
	if h.pending.Add(1) > most {
		h.pending.Add(-1)
		return
	}
	h.later.Go(func() {
		defer h.pending.Add(-1)
		if hash, err := h.Hash(context.Background(), password); err == nil {
			done(hash)
		}
	})
}

// Close waits until what was left for later is done.
func (h *Hasher) Close() { h.later.Wait() }

func (h *Hasher) enter(ctx context.Context) (*arena, error) {
	select {
	case m := <-h.slots:
		return m, nil
	default:
	}
	if h.waiting.Add(1) > h.queue {
		h.waiting.Add(-1)
		return nil, ErrBusy
	}
	defer h.waiting.Add(-1)
	t := time.NewTimer(h.wait)
	defer t.Stop()
	select {
	case m := <-h.slots:
		return m, nil
	case <-t.C:
		return nil, ErrBusy
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (h *Hasher) leave(m *arena) { h.slots <- m }

func clip(s string, n int) string { return s[:min(len(s), n)] }
