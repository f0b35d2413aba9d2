package audit

import (
	"os"
	"time"
)

// retryEvery is how often a failed log tries whether it can be written again: a
// disk that has space again must be noticed within a second.
const retryEvery = 100 * time.Millisecond

// How much room is kept ahead of the writer, and how much of it ready to be stored to.
const (
	leastAhead   = 512 << 10
	leastTouched = 16 << 10
)

// keep is the log's one goroutine: it syncs, makes room ahead, writes how often
// coalesced events were repeated, deletes what is too old, and leads out of failure.
func (l *Log) keep() {
	defer close(l.stopped)
	t := time.NewTicker(min(l.o.SyncEvery/2, retryEvery)) // the other half is for the sync itself
	defer t.Stop()
	var before segment
	var was int64 // the end of before, a while ago
	segments := 0
	for {
		select {
		case <-l.stop:
			return
		case <-t.C:
		}
		l.mu.Lock()
		current, n := l.current, len(l.refs)
		l.mu.Unlock()
		if l.failure.Load() != nil {
			l.recover(current)
			continue
		}
		end := current.end()
		grown := end
		if current == before {
			grown -= was
		}
		before, was = current, end
		// A failure to reserve is none yet: the writer meets it if it is still
		// there when the room is used up.
		_ = current.reserve(max(leastAhead, 2*grown))
		if l.syncTo(l.published.Load()) != nil {
			continue
		}
		if grown > 0 {
			current.touch(grown + grown/4 + leastTouched)
		}
		l.flushRepeats(l.o.Now())
		if n != segments {
			l.prune()
			segments = n
		}
	}
}

// recover tries all that has to work, and lifts the failure if it does.
func (l *Log) recover(current segment) {
	if current.reserve(leastAhead) == nil && l.syncTo(l.published.Load()) == nil {
		l.failure.Store(nil)
	}
}

// syncTo returns once event seq is durable. Who waits for the lock finds most
// often that the one before has synced for both.
func (l *Log) syncTo(seq uint64) error {
	l.syncing.Lock()
	defer l.syncing.Unlock()
	if l.synced >= seq && !l.again {
		return nil
	}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return errClosed
	}
	upTo, current, entries, retired := l.seq, l.current, l.entries, l.retired
	l.retired, l.entries = nil, false
	l.mu.Unlock()
	err := l.syncAll(retired, current, entries)
	if err != nil {
		l.again = true
		l.mu.Lock()
		l.entries = l.entries || entries
		l.mu.Unlock()
		return l.fail(err)
	}
	l.synced, l.again = upTo, false
	return nil
}

func (l *Log) syncAll(retired []segment, current segment, entries bool) error {
	for i, s := range retired {
		err := s.sync(l.again)
		if err != nil {
			l.mu.Lock()
			l.retired = append(retired[i:len(retired):len(retired)], l.retired...)
			l.mu.Unlock()
			return err
		}
		_ = s.close() // all is durable; a longer file is tidied at the next start
	}
	if err := current.sync(l.again); err != nil {
		return err
	}
	if !entries {
		return nil
	}
	dir, err := os.Open(l.dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// prune deletes the oldest segments beyond KeepBytes, never the current one.
func (l *Log) prune() {
	if l.o.KeepBytes <= 0 {
		return
	}
	l.mu.Lock()
	refs := l.refs
	l.mu.Unlock()
	var sum int64
	drop := 0
	for i := len(refs) - 1; i >= 0; i-- {
		if info, err := os.Stat(refs[i].path); err == nil {
			sum += info.Size()
		}
		if sum > l.o.KeepBytes && i < len(refs)-1 {
			drop = i + 1
			break
		}
	}
	for _, r := range refs[:drop] {
		_ = os.Remove(r.path)
	}
	if drop > 0 {
		l.mu.Lock()
		l.refs = append([]ref(nil), l.refs[drop:]...)
		l.mu.Unlock()
	}
}
