package snapshot

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// keyPath is the key of the file at path: in the data directory's keys.
func keyPath(path string) string {
	return filepath.Join(filepath.Dir(path), "keys", "snapshot.key")
}

func readKey(path string) ([]byte, error) {
	key, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("cannot be read without its key %s; put the key back, or start with the store", path)
	case err != nil:
		return nil, fmt.Errorf("cannot be read: %w", err)
	case len(key) != keySize:
		return nil, fmt.Errorf("cannot be read: its key %s is damaged (%d bytes, not %d); put the key back, or start with the store", path, len(key), keySize)
	}
	return key, nil
}

// ensureKey reads the key, or makes it where there is none. A damaged one is
// replaced: nothing but a snapshot, which is about to be replaced too, needs it.
func ensureKey(path string) ([]byte, error) {
	key, err := os.ReadFile(path)
	if err == nil && len(key) == keySize {
		return key, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	key = make([]byte, keySize)
	rand.Read(key)
	if err := replace(path, key, func(string) error { return nil }); err != nil {
		return nil, err
	}
	return key, nil
}

// replace puts content in the place of path: written aside, synced, renamed, and
// the directory synced, so that the name survives a power loss too.
func replace(path string, content []byte, step func(string) error) (err error) {
	dir := filepath.Dir(path)
	if err := step("create"); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, filepath.Base(path)+".*.new") // 0600
	if err != nil {
		return fmt.Errorf("%w; make the data directory writable for the user that runs sallyport", err)
	}
	defer func() {
		f.Close()
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	for _, do := range []struct {
		name string
		fn   func() error
	}{
		{"write", func() error { _, err := f.Write(content); return err }},
		{"sync", f.Sync},
		{"close", f.Close},
		{"rename", func() error { return os.Rename(f.Name(), path) }},
	} {
		if err := step(do.name); err != nil {
			return err
		}
		if err := do.fn(); err != nil {
			return err
		}
	}
	if err := step("sync directory"); err != nil {
		return err
	}
	if err := syncDir(dir); err != nil {
		return err
	}
	sweep(path)
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// sweep removes what crashes have left aside.
func sweep(path string) {
	dir, base := filepath.Split(path)
	left, _ := os.ReadDir(filepath.Clean(dir))
	for _, f := range left {
		if strings.HasPrefix(f.Name(), base+".") && strings.HasSuffix(f.Name(), ".new") {
			os.Remove(filepath.Join(dir, f.Name()))
		}
	}
}
