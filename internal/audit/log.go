package audit

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

// Options say how the log is kept. The zero value is good for a single node.
type Options struct {
	Node         string           // named in each event; "" = the host's name
	SegmentBytes int64            // how long a segment grows; 0 = 64 MiB
	SyncEvery    time.Duration    // how long an event may stay unsynced; 0 = 200 ms
	KeepBytes    int64            // delete the oldest segments beyond this; 0 = keep all
	Now          func() time.Time // nil = time.Now

	disk disk
}

func (o *Options) defaults() {
	if o.Node == "" {
		o.Node, _ = os.Hostname()
	}
	if o.SegmentBytes <= 0 {
		o.SegmentBytes = 64 << 20
	}
	if o.SyncEvery <= 0 {
		o.SyncEvery = 200 * time.Millisecond
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	real := realDisk()
	if o.disk.allocate == nil {
		o.disk.allocate = real.allocate
	}
	if o.disk.sync == nil {
		o.disk.sync = real.sync
	}
	if o.disk.write == nil {
		o.disk.write = real.write
	}
}

// Log is the audit log of one node. Its methods may be called from anywhere.
type Log struct {
	dir  string
	o    Options
	lock *os.File
	pool sync.Pool // *[]byte, for bodies

	mu      sync.Mutex // guards what follows, and the writing itself
	head    *head
	current segment // nil once closed
	refs    []ref   // all segments, oldest first; the last is current's
	retired []segment
	seq     uint64 // of the last event written
	entries bool   // the folder has entries that are not synced
	closing bool
	closed  bool

	published atomic.Uint64 // seq, for followers
	failure   atomic.Pointer[model.Error]

	syncing sync.Mutex // one sync at a time; taken before mu
	synced  uint64     // seq up to which all is durable
	again   bool       // the last sync failed

	repeats repeats
	stop    chan struct{}
	stopped chan struct{}
}

// Open opens the log in dir, which it makes if need be. What a crash left torn at
// the end of a segment is set aside in a file beside it; no whole line is lost.
func Open(dir string, o Options) (*Log, error) {
	o.defaults()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the audit folder: %w", err)
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return nil, err
	}
	l := &Log{dir: dir, o: o, lock: lock, stop: make(chan struct{}), stopped: make(chan struct{})}
	if err := l.start(); err != nil {
		lock.Close()
		return nil, fmt.Errorf("opening the audit log in %s: %w", dir, err)
	}
	go l.keep()
	return l, nil
}

func (l *Log) start() error {
	l.pool.New = func() any { b := make([]byte, 0, 1024); return &b }
	var random [4]byte
	if _, err := rand.Read(random[:]); err != nil {
		return err
	}
	l.head = newHead(l.o.Node, binary.BigEndian.Uint32(random[:]))
	refs, err := segments(l.dir)
	if err != nil {
		return err
	}
	var last tail
	for i, r := range refs {
		if i < len(refs)-1 {
			if err := tidy(r); err != nil {
				return err
			}
			continue
		}
		if last, err = repair(r); err != nil {
			return err
		}
	}
	l.refs, l.seq, l.synced = refs, last.seq, last.seq
	l.published.Store(l.seq)
	if len(refs) > 0 && last.length < l.o.SegmentBytes {
		l.current, err = openSegment(refs[len(refs)-1].path, last.length, l.o.SegmentBytes, 1, l.o.disk)
		return err
	}
	return l.roll(1)
}

// roll opens the next segment, for a first line of need bytes.
func (l *Log) roll(need int) error {
	first := l.seq + 1
	path := segmentPath(l.dir, first)
	next, err := openSegment(path, 0, l.o.SegmentBytes, need, l.o.disk)
	if err != nil {
		return err
	}
	if l.current != nil {
		l.retired = append(l.retired, l.current)
	}
	l.current, l.entries = next, true
	if n := len(l.refs); n == 0 || l.refs[n-1].first != first {
		l.refs = append(l.refs, ref{first, path})
	}
	return nil
}

// Append writes the event into the segment, so that killing the process does not
// lose it; it is durable within SyncEvery. It fills in Time where it is zero, Node
// and Seq. Nothing of the event is kept. An error is a *model.Error with the code
// audit_unavailable, and nothing was written.
func (l *Log) Append(e *model.Event) error {
	_, err := l.append(e)
	return err
}

// AppendSync is Append for changes and logins: the event is durable once it
// returns nil. Calls that wait at one time share one sync. It fills in ID too.
func (l *Log) AppendSync(e *model.Event) error {
	seq, err := l.append(e)
	if err != nil {
		return err
	}
	if e.ID == "" {
		e.ID = string(appendID(nil, e.Time, seq, l.head.random))
	}
	if err := l.syncTo(seq); err != nil {
		return unavailable(err)
	}
	return nil
}

func (l *Log) append(e *model.Event) (uint64, error) {
	if f := l.failure.Load(); f != nil {
		return 0, f
	}
	if e.Type == model.EventSecurity && l.repeats.swallow(e, l.o.Now()) {
		e.Seq = l.published.Load()
		return e.Seq, nil
	}
	buf := l.pool.Get().(*[]byte)
	body := appendBody((*buf)[:0], e)
	if e.Time.IsZero() {
		e.Time = l.o.Now()
	}
	seq, err := l.write(e, body)
	if cap(body) <= 64<<10 {
		*buf = body
		l.pool.Put(buf)
	}
	if err != nil {
		return 0, l.fail(err)
	}
	e.Node, e.Seq = l.o.Node, seq
	return seq, nil
}

var errClosed = errors.New("the audit log is closed")

func (l *Log) write(e *model.Event, body []byte) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return 0, errClosed
	}
	head := l.head.bytes(e.ID, e.Time, l.seq+1)
	n := len(head) + len(body)
	if l.current.full(n) {
		if err := l.roll(n); err != nil {
			return 0, err
		}
	}
	err := l.current.write(head, body)
	if errors.Is(err, errFault) {
		// The file shrank under us: leave it, and go on in a new one.
		if err = l.roll(n); err == nil {
			err = l.current.write(head, body)
		}
	}
	if err != nil {
		return 0, err
	}
	l.seq++
	l.published.Store(l.seq)
	return l.seq, nil
}

func unavailable(cause error) *model.Error {
	return &model.Error{Code: model.AuditUnavailable, Message: "The audit log cannot be written at the moment.", RetryAfter: 1, Err: cause}
}

// fail closes the log to further events until the keeper finds that it can be
// written again.
func (l *Log) fail(cause error) error {
	f := unavailable(cause)
	l.failure.Store(f)
	return f
}

// Healthy is nil while events can be written, else why they cannot.
func (l *Log) Healthy() error {
	if f := l.failure.Load(); f != nil {
		return f
	}
	return nil
}

// Seq is the number of the last event.
func (l *Log) Seq() uint64 { return l.published.Load() }

// Close writes what is still to be written, syncs and closes the log.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closing {
		l.mu.Unlock()
		return nil
	}
	l.closing = true
	l.mu.Unlock()
	close(l.stop)
	<-l.stopped
	l.flushRepeats(time.Time{})
	l.syncing.Lock()
	defer l.syncing.Unlock()
	l.mu.Lock()
	l.closed = true
	all := append(l.retired, l.current)
	l.current, l.retired = nil, nil
	l.mu.Unlock()
	l.failure.Store(unavailable(errClosed))
	var errs []error
	for _, s := range all {
		errs = append(errs, s.close())
	}
	return errors.Join(append(errs, l.lock.Close())...)
}
