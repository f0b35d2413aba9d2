package audit

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// chunk is by how much a mapped segment grows at a time.
const chunk = 1 << 20

// mapped is a segment that is written through a shared mapping.
type mapped struct {
	f         *os.File
	disk      disk
	data      []byte       // the whole capacity; touched only below limit
	length    atomic.Int64 // end of the last line
	limit     atomic.Int64 // end of what is allocated and filled
	synced    int64        // what the last good sync covered; the syncer's own
	forgotten int64        // what need not be in memory any more; the syncer's own
	grow      sync.Mutex   // one at a time moves limit
}

// openSegment opens the segment at path, whose lines end at length, for capacity
// bytes, or for need if that is more.
func openSegment(path string, length, capacity int64, need int, d disk) (segment, error) {
	if n := length + int64(need); n > capacity {
		capacity = n
	}
	m, err := openMapped(path, length, capacity, need, d)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENOSYS) {
		return openWritten(path, length, capacity, d)
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

func openMapped(path string, length, capacity int64, need int, d disk) (_ *mapped, err error) {
	capacity = (capacity + chunk - 1) / chunk * chunk
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = f.Truncate(length)
			f.Close()
		}
	}()
	// Whatever lies behind the lines is filler of an earlier run; it goes, so
	// that what is allocated anew is known to be empty.
	if err = f.Truncate(length); err != nil {
		return nil, err
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(capacity), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("mapping %s: %w", path, err)
	}
	m := &mapped{f: f, disk: d, data: data, synced: length}
	m.length.Store(length)
	m.limit.Store(length)
	if err = m.extend(length + int64(need)); err != nil {
		_ = unix.Munmap(data)
		return nil, err
	}
	m.touch(leastTouched)
	return m, nil
}

func allocate(f *os.File, off, n int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), 0, off, n)
		if err != unix.EINTR {
			return err
		}
	}
}

// extend moves the limit to a chunk's end beyond to, or as far as a disk that is
// nearly full allows.
func (m *mapped) extend(to int64) error {
	m.grow.Lock()
	defer m.grow.Unlock()
	from := m.limit.Load()
	if from >= to {
		return nil
	}
	if to > int64(len(m.data)) {
		return errors.New("the segment is full")
	}
	var err error
	for _, step := range []int64{chunk, 64 << 10, 4 << 10} {
		limit := min((to+step-1)/step*step, int64(len(m.data)))
		if err = m.disk.allocate(m.f, from, limit-from); err != nil {
			if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
				continue
			}
			return err
		}
		for at := from; at < limit; {
			n := min(int64(len(filling)), limit-at)
			if _, err = m.disk.write(m.f, filling[:n], at); err != nil {
				return err
			}
			at += n
		}
		m.limit.Store(limit)
		return nil
	}
	return err
}

// filling is a piece of a chunk's filler. It is written, not stored: a write makes one
// large page in the cache, a store many small ones at five times the cost. It is not
// larger either, for each first store to a part of a page costs as much as it has parts.
var filling = bytes.Repeat([]byte{filler}, 64<<10)

// touch maps the pages by a system call: a fault that a store takes costs more, and
// holds up every goroutine of its processor. Old kernels refuse; then the stores fault.
// A sync protects every page against storing that it has written, so this is called
// behind it, and for no more than is going to be written until the next: a page that
// is touched is written to disk again, whether it was stored to or not.
func (m *mapped) touch(n int64) {
	at := m.length.Load()
	page, to := at&^(int64(os.Getpagesize())-1), min(at+n, m.limit.Load())
	if page < to {
		_ = unix.Madvise(m.data[page:to], unix.MADV_POPULATE_WRITE)
	}
}

func (m *mapped) write(head, body []byte) error {
	at := m.length.Load()
	end := at + int64(len(head)+len(body))
	if end > m.limit.Load() {
		if err := m.extend(end); err != nil {
			return err
		}
		m.touch(chunk)
	}
	if err := m.store(head, body, at); err != nil {
		return err
	}
	m.length.Store(end)
	return nil
}

// store copies the line and then, last, its first byte: a process that dies in
// between leaves no line that could be taken for a whole one. A file that someone
// else cut short is a fault at the store, which becomes an error here.
func (m *mapped) store(head, body []byte, at int64) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer recoverFault(&err)
	line := m.data[at : at+int64(len(head)+len(body))]
	copy(line[1:], head[1:])
	copy(line[len(head):], body)
	line[0] = head[0]
	return nil
}

// guarded runs fn and turns a memory fault within it into an error.
func guarded(fn func()) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer recoverFault(&err)
	fn()
	return nil
}

func recoverFault(err *error) {
	switch r := recover().(type) {
	case nil:
	case interface{ Addr() uintptr }:
		*err = errFault
	default:
		panic(r)
	}
}

func (m *mapped) reserve(n int64) error {
	at, limit := m.length.Load(), m.limit.Load()
	if limit-at >= n || limit == int64(len(m.data)) {
		return nil
	}
	if m.extend(min(at+n, int64(len(m.data)))) == nil {
		return nil
	}
	return m.extend(limit + 1) // what a disk has that is nearly full
}

func (m *mapped) sync(again bool) error {
	end := m.length.Load()
	if again {
		// A page whose write failed is clean to the kernel; storing anything
		// makes it dirty again. The bytes are final: only the writer stores, and
		// it stores behind end.
		err := guarded(func() {
			for at := m.synced; at < end; at += 512 {
				b := (*uint8)(&m.data[at])
				*b = load(b)
			}
		})
		if err != nil {
			return err
		}
	}
	if err := m.disk.sync(m.f); err != nil {
		return err
	}
	m.synced = end
	m.forget()
	return nil
}

// behind is how much of what was written last stays in memory for readers.
const behind = 4 << 20

// forget gives the memory of what is on disk back, a piece at a time, so that the
// pages ahead can be made of it: a cache that only grows costs more to grow than
// the writing does, and pushes out what others need.
func (m *mapped) forget() {
	upTo := (m.synced - behind) / chunk * chunk
	if upTo <= m.forgotten {
		return
	}
	_ = unix.Madvise(m.data[m.forgotten:upTo], unix.MADV_DONTNEED)
	_ = unix.Fadvise(int(m.f.Fd()), m.forgotten, upTo-m.forgotten, unix.FADV_DONTNEED)
	m.forgotten = upTo
}

// load keeps the compiler from seeing that a byte is stored over itself.
//
//go:noinline
func load(b *uint8) uint8 { return *b }

func (m *mapped) close() error {
	return errors.Join(unix.Munmap(m.data), shorten(m.f, m.length.Load()), m.disk.sync(m.f), m.f.Close())
}

func (m *mapped) end() int64 { return m.length.Load() }

func (m *mapped) full(n int) bool {
	return m.end() > 0 && m.end()+int64(n) > int64(len(m.data))
}
