package session

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
)

// Options are what a book needs. Store, Key, Settings and Ended are required.
type Options struct {
	Store store.Store
	// Key is 32 bytes that outlive restarts and are the same on every node.
	Key      []byte
	Settings func() model.Sessions
	// Ended is told of each session that was ended, so that what it has open ends too.
	Ended func(userID, id string)
	// Refresh asks the session's provider again; see Renew. nil = none is asked.
	Refresh func(ctx context.Context, r *store.SessionRecord)
	Now     func() time.Time
	Entries int // how many sessions are remembered; 0 = 65,536
	// Patience is how long whoever asks waits for the store; 0 = 2 s.
	Patience time.Duration
}

// Book is all sessions. It is safe for concurrent use.
type Book struct {
	o      Options
	seal   *seal
	mu     sync.RWMutex
	known  map[[32]byte]*entry
	byID   map[string]*entry
	asking map[Which]bool // logins whose provider is being asked again
	done   sync.WaitGroup
}

// entry is a session in memory.
type entry struct {
	hash    [32]byte
	s       *directory.Session
	subject string // at the provider …
	sid     string // … and its name of the session
	stored  int64  // Unix nanoseconds of the last use that the store knows of
	refresh time.Time
	busy    bool // being refreshed
}

// New makes a book. Run keeps it in order.
func New(o Options) (*Book, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Entries <= 0 {
		o.Entries = 1 << 16
	}
	if o.Patience <= 0 {
		o.Patience = 2 * time.Second
	}
	s, err := newSeal(o.Key)
	if err != nil {
		return nil, err
	}
	return &Book{o: o, seal: s, known: map[[32]byte]*entry{}, byID: map[string]*entry{}, asking: map[Which]bool{}}, nil
}

// Login is what a session is begun with.
type Login struct {
	User       *model.User
	Credential string // the credential or link that proved the person
	Provider   string
	Method     string
	Subject    string
	SID        string
	Claims     map[string]any
	Keep       []byte
	Refresh    time.Time // when to ask the provider again; zero = never
	Expires    time.Time // where the provider's word ends sooner than sessions do
	ClientIP   string
	UserAgent  string
}

// Begin begins a session and answers its cookie, which is shown this once. It is in
// the store, synced, when Begin returns.
func (b *Book) Begin(ctx context.Context, l *Login) (cookie string, s *directory.Session, err error) {
	now := b.o.Now()
	cookie, hash := b.seal.newCookie()
	set := b.o.Settings()
	end := now.Add(set.Absolute.D())
	if !l.Expires.IsZero() && l.Expires.Before(end) {
		end = l.Expires
	}
	claims, err := json.Marshal(l.Claims)
	if err != nil {
		return "", nil, fmt.Errorf("keeping the claims of a login: %w", err)
	}
	id := newID()
	r := &store.SessionRecord{Session: model.Session{ID: id, User: l.User.Username, UserID: l.User.ID, Method: l.Method, Provider: l.Provider,
		CreatedAt: now, LastSeenAt: now, ExpiresAt: end, ClientIP: l.ClientIP, UserAgent: clip(l.UserAgent)},
		Hash: hash[:], Credential: l.Credential, Subject: l.Subject, SID: l.SID, Claims: claims, Sealed: b.seal.close(id, l.Keep), Refresh: l.Refresh}
	if err := b.o.Store.Update(ctx, func(w store.Writer) error { return w.PutSession(ctx, r) }); err != nil {
		return "", nil, unavailable(err)
	}
	return cookie, b.remember(r), nil
}

// prefix begins the name of every session.
const prefix = "ses_"

// newID is a session's public name: nothing can be done with it but to end it.
func newID() string {
	var raw [12]byte
	_, _ = rand.Read(raw[:])
	return prefix + base64.RawURLEncoding.EncodeToString(raw[:])
}

// clip bounds what a browser says of itself.
func clip(s string) string {
	if len(s) > 256 {
		return s[:256]
	}
	return s
}

// Find answers the session of a cookie; nil = there is none that runs. A cookie
// that was not made here costs no look-up.
func (b *Book) Find(ctx context.Context, cookie string, now time.Time) (*directory.Session, error) {
	hash, ok := b.seal.hash(cookie)
	if !ok {
		return nil, nil
	}
	b.mu.RLock()
	e := b.known[hash]
	b.mu.RUnlock()
	if e != nil {
		if e.s.Runs(now) {
			return e.s, nil
		}
		return nil, nil
	}
	var r *store.SessionRecord
	err := b.view(ctx, func(ctx context.Context, tx store.Reader) (err error) {
		r, err = tx.SessionByHash(ctx, hash[:])
		return err
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	}
	if s := b.remember(r); s.Runs(now) {
		return s, nil
	}
	return nil, nil
}

// view reads the store, and gives up where that hangs: a look-up under other
// programs' locks may heed no context, and nobody at a browser is to wait for it.
// What read fills in counts only if there is no error.
func (b *Book) view(ctx context.Context, read func(context.Context, store.Reader) error) error {
	ctx, cancel := context.WithTimeout(ctx, b.o.Patience)
	done := make(chan error, 1)
	go func() {
		defer cancel()
		defer func() {
			if r := recover(); r != nil { // of the store's: an error like any other, and not the end of the gateway
				done <- fmt.Errorf("reading the store: %v", r)
			}
		}()
		done <- b.o.Store.View(ctx, func(tx store.Reader) error { return read(ctx, tx) })
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done: // both were ready
		return err
	default:
		return fmt.Errorf("the store does not answer: %w", context.Cause(ctx))
	}
}

// remember brings a stored session into memory, where it may be already.
func (b *Book) remember(r *store.SessionRecord) *directory.Session {
	s := b.session(r)
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.known[[32]byte(r.Hash)]; e != nil {
		return e.s
	}
	if len(b.known) >= b.o.Entries {
		b.forgetSome()
	}
	e := &entry{hash: [32]byte(r.Hash), s: s, subject: r.Subject, sid: r.SID, stored: r.LastSeenAt.UnixNano(), refresh: r.Refresh}
	b.known[e.hash], b.byID[r.ID] = e, e
	return s
}

func (b *Book) session(r *store.SessionRecord) *directory.Session {
	s := &directory.Session{ID: r.ID, UserID: r.UserID, Credential: r.Credential, Provider: r.Provider, Method: r.Method,
		Created: r.CreatedAt, Expires: r.ExpiresAt}
	_ = json.Unmarshal(r.Claims, &s.Claims) // it was JSON when it was stored; without claims, conditions on them fail
	s.SetSeen(r.LastSeenAt)
	s.SetIdle(b.o.Settings().Idle.D())
	return s
}

// forgetSome makes room: sessions whose last use the store knows are found there
// again. With b.mu held.
func (b *Book) forgetSome() {
	room := b.o.Entries / 16
	for hash, e := range b.known {
		if room <= 0 {
			return
		}
		if !e.busy && !e.s.Ended() && e.s.Seen().UnixNano() <= e.stored {
			delete(b.known, hash)
			delete(b.byID, e.s.ID)
			room--
		}
	}
}

// drop ends sessions in memory. They are remembered as ended until forget: the
// store may not know yet, and must not bring them back.
func (b *Book) drop(ids []string) (dropped []*entry) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, id := range ids {
		if e := b.byID[id]; e != nil && !e.s.Ended() {
			e.s.End()
			dropped = append(dropped, e)
		}
	}
	return dropped
}

// forget lets go of sessions that the store no longer has.
func (b *Book) forget(ids []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range ids {
		if e := b.byID[id]; e != nil {
			delete(b.known, e.hash)
			delete(b.byID, id)
		}
	}
}

// unavailable says that sessions cannot be kept at the moment.
func unavailable(err error) error {
	return (&model.Error{Code: model.IdentityUnavailable, RetryAfter: 5,
		Message: "Logins cannot be kept or ended at the moment."}).WithCause(err)
}

// seen is a hash that a test or an operator can compare; the cookie stays secret.
func sum(cookie string) [32]byte { return sha256.Sum256([]byte(cookie)) }
