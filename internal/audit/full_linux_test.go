package audit

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A real file system of one and a half megabytes, filled by a neighbour.
func TestARealFullDiskLosesNothing(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1536k"); err != nil {
		t.Skip("mounting a small tmpfs:", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	log := filepath.Join(dir, "audit")
	ballast := filepath.Join(dir, "ballast")
	l := open(t, log, Options{})
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	for { // to the last page
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			break
		}
	}
	f.Close()
	n := 0
	for err = nil; err == nil; n++ {
		err = l.Append(numbered(n))
	}
	n--
	requireUnavailable(t, err)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(time.Second)
	for l.Append(numbered(n)) != nil {
		if time.Now().After(deadline) {
			t.Fatal("not resumed within a second")
		}
		time.Sleep(10 * time.Millisecond)
	}
	appendAll(t, l, n+1, n+100)
	l.Close()
	requireRun(t, log, n+100)
	t.Logf("full after %d events", n)
}
