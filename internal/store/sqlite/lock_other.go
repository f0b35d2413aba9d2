//go:build !unix

package sqlite

import (
	"context"
	"os"
)

// lock only makes the file: without flock, whoever runs two gateways on one
// directory is not stopped.
func lock(_ context.Context, path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
}
