package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

const (
	suffix     = ".jsonl"
	tornSuffix = ".torn"
	filler     = '\n' // what lies ahead of the last line of a mapped segment
)

// errFault says that a mapped segment cannot be stored to.
var errFault = errors.New("the segment was cut short under the gateway, or its disk failed")

// segment is the file that events are being written to.
type segment interface {
	// write appends one line, given in two parts, whole or not at all. One
	// goroutine at a time.
	write(head, body []byte) error
	// reserve allocates room for n bytes ahead of the writer, so that write need not.
	reserve(n int64) error
	// touch readies the next n bytes of that room for being stored to.
	touch(n int64)
	// sync makes durable what was written before it was called. After a sync
	// that failed, again says that all since the last good one must go out anew:
	// the kernel forgets which pages it failed to write.
	sync(again bool) error
	// close cuts the file to its length, syncs and closes it.
	close() error
	// end is the length of the lines written so far.
	end() int64
	// full says that a line of n bytes belongs into the next segment.
	full(n int) bool
}

// disk is the operating system as segments use it: a seam for tests of a disk
// that is full or fails.
type disk struct {
	allocate func(f *os.File, off, n int64) error
	sync     func(f *os.File) error
	write    func(f *os.File, b []byte, off int64) (int, error)
}

func realDisk() disk {
	return disk{
		allocate: allocate,
		sync:     (*os.File).Sync,
		write:    (*os.File).WriteAt,
	}
}

// ref names a segment: its file, and the number of the first event in it.
type ref struct {
	first uint64
	path  string
}

func segmentPath(dir string, first uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%020d", first)+suffix)
}

// segments lists the folder's segments, oldest first.
func segments(dir string) ([]ref, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var refs []ref
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), suffix)
		if !ok || e.IsDir() {
			continue
		}
		first, err := strconv.ParseUint(name, 10, 64)
		if err != nil {
			continue // not ours
		}
		refs = append(refs, ref{first, filepath.Join(dir, e.Name())})
	}
	slices.SortFunc(refs, func(a, b ref) int {
		switch {
		case a.first < b.first:
			return -1
		case a.first > b.first:
			return 1
		}
		return 0
	})
	return refs, nil
}

// written is a segment in which each event is one write.
type written struct {
	f        *os.File
	disk     disk
	capacity int64
	length   atomic.Int64
	buf      []byte
	torn     bool // a write failed half way, and what it left is still there
}

func openWritten(path string, length, capacity int64, d disk) (*written, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	w := &written{f: f, disk: d, capacity: capacity}
	w.length.Store(length)
	return w, nil
}

func (w *written) write(head, body []byte) error {
	at := w.length.Load()
	if w.torn {
		if err := w.f.Truncate(at); err != nil {
			return err
		}
		w.torn = false
	}
	w.buf = append(append(w.buf[:0], head...), body...)
	n, err := w.disk.write(w.f, w.buf, at)
	if err == nil && n < len(w.buf) {
		err = errors.New("short write")
	}
	if err != nil {
		w.torn = n > 0 && w.f.Truncate(at) != nil
		return err
	}
	w.length.Store(at + int64(n))
	return nil
}

func (w *written) reserve(int64) error { return nil }
func (w *written) touch(int64)         {}
func (w *written) sync(bool) error     { return w.disk.sync(w.f) }
func (w *written) end() int64          { return w.length.Load() }
func (w *written) full(n int) bool     { return w.end() > 0 && w.end()+int64(n) > w.capacity }
func (w *written) close() error {
	return errors.Join(shorten(w.f, w.length.Load()), w.disk.sync(w.f), w.f.Close())
}

// shorten cuts the file to length, and never lengthens one that somebody else cut.
func shorten(f *os.File, length int64) error {
	info, err := f.Stat()
	if err != nil || info.Size() <= length {
		return err
	}
	return f.Truncate(length)
}
