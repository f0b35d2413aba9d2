package mtls

import (
	"context"
	"errors"

	"github.com/sallyport/sallyport/internal/directory"
	"github.com/sallyport/sallyport/internal/gate/authn/authntest"
)

// half is a directory that knows fingerprints while its store is down.
type half struct{ d *authntest.Directory }

func (h half) Find(ctx context.Context, key directory.Key) (directory.Found, error) {
	if key.A != directory.CertFingerprint {
		return directory.Found{}, errors.New("the store is down")
	}
	return h.d.Find(ctx, key)
}
