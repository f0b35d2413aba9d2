//go:build !unix

package audit

import (
	"os"
	"path/filepath"
)

func lockFolder(dir string) (*os.File, error) {
	return os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
}
