package upstream

import (
	"context"
	"sync"
	"time"
)

// watch bounds the waiting for an answer. Time in which the client's own body is
// being waited for does not count: a slow upload is the client's, a target that
// takes nothing more is not.
type watch struct {
	limit  time.Duration
	body   *attempt
	cancel context.CancelCauseFunc

	mu    sync.Mutex
	start time.Time
	timer *time.Timer
	over  bool
}

func startWatch(limit time.Duration, body *attempt, cancel context.CancelCauseFunc) *watch {
	if limit <= 0 {
		return nil
	}
	w := &watch{limit: limit, body: body, cancel: cancel, start: time.Now()}
	w.mu.Lock()
	w.timer = time.AfterFunc(limit, w.check)
	w.mu.Unlock()
	return w
}

func (w *watch) check() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return
	}
	busy, last := w.body.waiting()
	if last.Before(w.start) {
		last = w.start
	}
	switch left := w.limit - time.Since(last); {
	case busy:
		w.timer.Reset(w.limit)
	case left > 0:
		w.timer.Reset(left)
	default:
		w.cancel(errSlow)
	}
}

func (w *watch) stop() {
	if w == nil {
		return
	}
	w.mu.Lock()
	w.over = true
	w.timer.Stop()
	w.mu.Unlock()
}
