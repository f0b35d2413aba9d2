package app

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/model"
	"github.com/sallyport/sallyport/internal/store"
)

// lateStore is a store that may come after the start: until it is there, nothing
// can be told, which is an error and never "nobody".
type lateStore struct{ there atomic.Pointer[store.Store] }

var errNoStore = errors.New("the store is not available")

func (l *lateStore) get() (store.Store, error) {
	if s := l.there.Load(); s != nil {
		return *s, nil
	}
	return nil, errNoStore
}

func (l *lateStore) set(s store.Store) { l.there.Store(&s) }

func (l *lateStore) FindUser(ctx context.Context, key directory.Key) (*model.User, string, error) {
	s, err := l.get()
	if err != nil {
		return nil, "", err
	}
	return s.FindUser(ctx, key)
}

func (l *lateStore) UserByID(ctx context.Context, id string) (*model.User, error) {
	s, err := l.get()
	if err != nil {
		return nil, err
	}
	return s.UserByID(ctx, id)
}

func (l *lateStore) View(ctx context.Context, fn func(store.Reader) error) error {
	s, err := l.get()
	if err != nil {
		return err
	}
	return s.View(ctx, fn)
}

func (l *lateStore) Update(ctx context.Context, fn func(store.Writer) error) error {
	s, err := l.get()
	if err != nil {
		return err
	}
	return s.Update(ctx, fn)
}

func (l *lateStore) Close() error {
	s, err := l.get()
	if err != nil {
		return nil
	}
	return s.Close()
}
