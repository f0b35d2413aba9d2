package app

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/internal/store"
)

// publicKeys knows whether any user has a public key. Where nobody has one,
// message signatures are neither judged nor asked for, by default or otherwise:
// users are data, and no plan need be compiled when the first key comes or the
// last one goes. Not knowing is taken for yes, which only means that signatures
// are judged.
type publicKeys struct {
	none atomic.Bool
	turn sync.Mutex // an older reading must not be the last word
}

// Any is asked by every request.
func (k *publicKeys) Any() bool { return !k.none.Load() }

// count asks the store: at the start, and after every change of users before it is
// acknowledged.
func (k *publicKeys) count(s store.Store) {
	k.turn.Lock()
	defer k.turn.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	any := true
	err := s.View(ctx, func(r store.Reader) (err error) {
		any, err = r.AnyPublicKey(ctx)
		return err
	})
	k.none.Store(err == nil && !any)
}
