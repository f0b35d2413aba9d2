package provision

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
)

// The kinds that API names beside the store's.
const (
	KindUsers       = "users"
	KindCredentials = "credentials" // Decode alone
	KindDocument    = "document"    // Decode alone
)

// Service is the write side. Its methods may be called from many goroutines;
// changes are made, recorded and published one after another.
type Service struct {
	deps    Deps
	writing chan struct{} // holds one token while a change is made and published
	sights  singleflight.Group
	touches touches
}

var _ API = (*Service)(nil)

// New is the write side over a store.
func New(deps Deps) (*Service, error) {
	if deps.Store == nil || deps.Compile == nil || deps.Invalidate == nil || deps.Record == nil {
		return nil, errors.New("provision: Store, Compile, Invalidate and Record are required")
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	s := &Service{deps: deps, writing: make(chan struct{}, 1)}
	s.touches.flush = s.FlushTouches
	return s, nil
}

// now is the time in the precision that every store keeps.
func (s *Service) now() time.Time { return s.deps.Now().UTC().Truncate(time.Microsecond) }

// newID makes an opaque id. Nothing from outside goes into it: an id that a
// directory or a caller could choose could be another user's (CVE-2025-41115).
// Its first 48 bits are milliseconds, and it sorts as they do: a store then adds
// ids at the end of its index, and not all over it. The other 80 are random.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[6:]) // never fails (crypto/rand)
	ms := uint64(time.Now().UnixMilli())
	binary.BigEndian.PutUint16(b[:], uint16(ms>>32))
	binary.BigEndian.PutUint32(b[2:], uint32(ms))
	return strings.ToLower(base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:]))
}

// unavailable is what a store that fails looks like to a client.
func unavailable(err error) error {
	var e *model.Error
	if errors.As(err, &e) {
		return err
	}
	return &model.Error{Code: model.ConfigurationUnavailable, Message: "The store cannot be used at the moment; nothing was changed.", RetryAfter: 5, Err: err}
}

func notFound(kind, name string) error {
	return model.NewError(model.NotFound, "There is no "+quote(name)+" among "+kind+".")
}

// absent turns the store's "not found" into nil, so that callers tell nobody
// from not knowing by the error alone.
func absent[T any](v *T, err error) (*T, error) {
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return v, err
}

func (s *Service) view(ctx context.Context, fn func(store.Reader) error) error {
	if err := s.deps.Store.View(ctx, fn); err != nil {
		var e *model.Error
		if errors.As(err, &e) {
			return err
		}
		return &model.Error{Code: model.ConfigurationUnavailable, Message: "The store cannot be read at the moment.", RetryAfter: 5, Err: err}
	}
	return nil
}
