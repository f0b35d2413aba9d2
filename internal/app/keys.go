package app

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// secretFile reads dataDir/keys/name, making it of n random bytes at first use.
func secretFile(dataDir, name string, n int) ([]byte, error) {
	dir := filepath.Join(dataDir, "keys")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder for keys: %w; give the gateway's user write access to dataDir", err)
	}
	path := filepath.Join(dir, name)
	b, err := os.ReadFile(path)
	switch {
	case err == nil && len(b) == n:
		return b, nil
	case err == nil:
		return nil, fmt.Errorf("%s holds %d bytes instead of %d; put the old file back, or delete it to have a new one made", path, len(b), n)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("reading a key: %w", err)
	}
	b = make([]byte, n)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("writing a key: %w", err)
	}
	_, werr := f.Write(b)
	if err := errors.Join(werr, f.Sync(), f.Close()); err != nil {
		return nil, fmt.Errorf("writing a key: %w", err)
	}
	return b, nil
}

// gatewayID names this installation in Via and CDN-Loop.
func gatewayID(dataDir string) (string, error) {
	b, err := secretFile(dataDir, "gateway.id", 6)
	if err != nil {
		return "", err
	}
	return "sallyport-" + hex.EncodeToString(b), nil
}
