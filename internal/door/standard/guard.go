package standard

import (
	"sync"
	"time"
)

// guard bounds how long one read or write may wait, and counts no time between
// them. Deadlines of the connection would not do: HTTP/2 ends a stream at its
// deadline whether somebody waits or not.
type guard struct {
	limit time.Duration // 0 = none
	act   func()        // ends the wait; never called between waits

	mu    sync.Mutex
	busy  bool
	since time.Time
	timer *time.Timer
}

func (g *guard) begin() {
	if g.limit <= 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.busy, g.since = true, time.Now()
	if g.timer == nil {
		g.timer = time.AfterFunc(g.limit, g.check)
	}
}

// end leaves the timer running: it finds nobody waiting, or starts again.
func (g *guard) end() {
	if g.limit <= 0 {
		return
	}
	g.mu.Lock()
	g.busy = false
	g.mu.Unlock()
}

func (g *guard) check() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.timer == nil {
		return
	}
	if !g.busy {
		g.timer = nil
		return
	}
	if left := g.limit - time.Since(g.since); left > 0 {
		g.timer.Reset(left)
		return
	}
	g.timer = nil
	g.act()
}

// stop ends the guard; nothing is acted on afterwards.
func (g *guard) stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.busy = false
	if g.timer != nil {
		g.timer.Stop()
		g.timer = nil
	}
}
