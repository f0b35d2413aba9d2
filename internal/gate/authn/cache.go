package authn

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/sallyport/sallyport/internal/model"
)

// Space keeps the credentials of one method apart from another's in the cache.
type Space uint8

// The spaces.
const (
	SpaceBasic Space = iota + 1
	SpaceAPIKey
	SpaceBearer
	SpaceCertificate
	SpaceForwarded // certificates that a front end sent on
	SpaceHeader
	SpaceSender
	SpaceSession
	SpaceOpaque // tokens that a provider was asked about
	SpaceSignature
)

// CacheKey stands for a credential: 128 bits under a key that the process drew at
// its start.
type CacheKey struct{ hi, lo uint64 }

// Cache remembers verified credentials, so that a repeated one costs a lookup. It
// holds no credential, only keyed hashes of them; it is bounded, lock-free to
// read, and allocates nothing on a hit.
//
// An entry is as good as the one who asks makes sure: whoever gets a proof of a
// user kept here asks Principal.Fresh, and whoever caches an outside identity puts
// what it depends on (the provider's configuration, its keys) into the epoch.
type Cache struct {
	mac     cipher.AEAD
	scratch sync.Pool
	table   atomic.Pointer[[]bucket]
	mask    uint64
	flights flights
}

const ways = 8

// bucket holds the entries whose keys begin alike. Tags, a part of each key, spare
// most of the jumps to entries that are not meant.
type bucket struct {
	tags    [ways]atomic.Uint32
	entries [ways]atomic.Pointer[cached]
	hand    atomic.Uint32
}

type cached struct {
	key   CacheKey
	proof *Proof
	until int64 // nanoseconds since 1970; 0 = for as long as it is used
	used  atomic.Bool
}

type scratch struct {
	nonce [12]byte
	out   [16]byte
}

// DefaultEntries is how many credentials a cache remembers.
const DefaultEntries = 1 << 16

// NewCache makes a cache of about that many entries; 0 takes the default.
func NewCache(entries int) *Cache {
	if entries <= 0 {
		entries = DefaultEntries
	}
	n := uint64(1) << bits.Len64(uint64(max(entries/ways, 1)-1))
	c := &Cache{mask: n - 1, mac: newMAC()}
	c.scratch.New = func() any { return new(scratch) }
	c.Drop()
	return c
}

// newMAC is AES-GCM used for its authenticator alone. GHASH under a secret key is
// almost-universal by proof: two given credentials collide with a probability of
// at most their length in blocks in 2^128, whoever chose them, as long as nobody
// sees the key or a hash; neither leaves the process. It takes a fifth of
// SHA-256's time.
func newMAC() cipher.AEAD {
	var key [16]byte
	rand.Read(key[:])
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic("AES with a key of 16 bytes: " + err.Error())
	}
	mac, err := cipher.NewGCM(block)
	if err != nil {
		panic("the cache of credentials needs AES-GCM, which this process may not use: " + err.Error())
	}
	return mac
}

// Key hashes a credential. Space and epoch are hashed with it: what was cached
// under another epoch is never found again. The credential is only read.
func (c *Cache) Key(space Space, epoch uint64, credential string) CacheKey {
	s := c.scratch.Get().(*scratch)
	s.nonce[0] = byte(space)
	binary.LittleEndian.PutUint64(s.nonce[1:], epoch)
	c.mac.Seal(s.out[:0], s.nonce[:], nil, unsafe.Slice(unsafe.StringData(credential), len(credential)))
	k := CacheKey{binary.LittleEndian.Uint64(s.out[:8]), binary.LittleEndian.Uint64(s.out[8:])}
	c.scratch.Put(s)
	return k
}

// KeyBytes is Key for bytes, such as a certificate's.
func (c *Cache) KeyBytes(space Space, epoch uint64, b []byte) CacheKey {
	return c.Key(space, epoch, unsafe.String(unsafe.SliceData(b), len(b)))
}

// Get answers the proof of a credential, nil where there is none that still holds
// at now.
func (c *Cache) Get(k CacheKey, now time.Time) *Proof {
	b := &(*c.table.Load())[k.hi&c.mask]
	tag := uint32(k.lo)
	for i := range b.tags {
		if b.tags[i].Load() != tag {
			continue
		}
		e := b.entries[i].Load()
		if e == nil || e.key != k {
			continue
		}
		if e.until != 0 && now.UnixNano() >= e.until {
			b.entries[i].CompareAndSwap(e, nil)
			return nil
		}
		if !e.used.Load() {
			e.used.Store(true)
		}
		return e.proof
	}
	return nil
}

// Put remembers a proof until then; the zero time sets no end. In a full bucket
// the first that was not used since the hand last passed makes room.
func (c *Cache) Put(k CacheKey, p *Proof, until time.Time) {
	e := &cached{key: k, proof: p}
	if !until.IsZero() {
		e.until = until.UnixNano()
	}
	b := &(*c.table.Load())[k.hi&c.mask]
	i := b.place(k)
	// A reader between the two stores sees a tag and an entry that do not fit,
	// compares the whole key, and misses.
	b.entries[i].Store(e)
	b.tags[i].Store(uint32(k.lo))
}

func (b *bucket) place(k CacheKey) int {
	free := -1
	for i := range b.entries {
		switch e := b.entries[i].Load(); {
		case e == nil:
			if free < 0 {
				free = i
			}
		case e.key == k:
			return i
		}
	}
	if free >= 0 {
		return free
	}
	for range ways {
		i := int(b.hand.Add(1) % ways)
		if e := b.entries[i].Load(); e == nil || !e.used.Swap(false) {
			return i
		}
	}
	return int(b.hand.Add(1) % ways)
}

// Drop forgets everything.
func (c *Cache) Drop() {
	t := make([]bucket, c.mask+1)
	c.table.Store(&t)
}

// flights are verifications under way, so that a hundred connections that come
// with one credential at once cost one hash and not a hundred.
type flights struct {
	mu    sync.Mutex
	calls map[CacheKey]*flight
}

type flight struct {
	done   chan struct{}
	result Result
}

// Once runs verify once for all that ask for the same credential meanwhile. It is
// not cut short when the first of them goes away; verify bounds itself.
func (c *Cache) Once(ctx context.Context, k CacheKey, verify func(context.Context) Result) Result {
	f := &c.flights
	f.mu.Lock()
	if call := f.calls[k]; call != nil {
		f.mu.Unlock()
		select {
		case <-call.done:
			return call.result
		case <-ctx.Done():
			return Refuse(model.Overloaded, "the caller went away while its credential was being checked")
		}
	}
	if f.calls == nil {
		f.calls = make(map[CacheKey]*flight)
	}
	// Should verify panic, those who wait are refused, not let through.
	call := &flight{done: make(chan struct{}), result: Refuse(model.IdentityUnavailable, "checking the credential failed")}
	f.calls[k] = call
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.calls, k)
		f.mu.Unlock()
		close(call.done)
	}()
	call.result = verify(context.WithoutCancel(ctx))
	return call.result
}

// Epoch is a number for what a cached proof depends on besides its credential. It
// is the same in every process and differs with any of the parts.
func Epoch(parts ...string) uint64 {
	h := sha256.New()
	var n [8]byte
	for _, p := range parts {
		binary.LittleEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		h.Write([]byte(p))
	}
	return binary.LittleEndian.Uint64(h.Sum(n[:0]))
}

// Epoch makes the key of one thing part of another's.
func (k CacheKey) Epoch() uint64 { return k.lo }
