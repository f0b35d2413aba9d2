//go:build unix

package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

// patience is how long Open waits for another process to let go of the file: a
// gateway that is restarted may meet the last moments of its predecessor.
const patience = 2 * time.Second

// lock takes the file beside the database that says whose it is. It is a file of
// its own: to open and close the database itself would drop SQLite's locks in
// this process. The kernel releases it however the process ends.
func lock(ctx context.Context, path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the database: %w; make the directory writable for the user that runs sallyport", err)
	}
	give := time.Now().Add(patience)
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) || ctx.Err() != nil || time.Now().After(give) {
			defer f.Close()
			return nil, lockFault(f, path, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err := f.Truncate(0); err == nil {
		fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	return f, nil
}

func lockFault(f *os.File, path string, err error) error {
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("locking %s: %w; the data directory must lie on a local file system", path, err)
	}
	b := make([]byte, 20)
	n, _ := f.ReadAt(b, 0)
	who := "another process"
	if pid := strings.TrimSpace(string(b[:n])); pid != "" {
		who = "process " + pid
	}
	return fmt.Errorf("the database %s is in use by %s; stop it, or give this gateway a data directory of its own",
		strings.TrimSuffix(path, lockSuffix), who)
}
