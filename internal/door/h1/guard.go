package h1

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// guard is one deadline. Its owner sets and clears it, the server's clock fires it:
// two stores a request instead of a timer set and unset.
type guard struct {
	deadline atomic.Int64 // unix nanoseconds; 0 = none
	mu       sync.Mutex
	nc       net.Conn // nil = nothing to end
	reads    bool     // ends reading alone
	fired    bool
}

// set arms the guard for nc; at 0 leaves it to fire alone.
func (g *guard) set(nc net.Conn, at int64) { g.arm(nc, at, false) }

// setRead is set, but ends reading alone: an answer can still be written.
func (g *guard) setRead(nc net.Conn, at int64) { g.arm(nc, at, true) }

func (g *guard) arm(nc net.Conn, at int64, reads bool) {
	g.mu.Lock()
	g.nc, g.reads, g.fired = nc, reads, false
	g.mu.Unlock()
	g.deadline.Store(at)
}

// clear disarms the guard and tells whether it has fired. It never fires after.
func (g *guard) clear() bool {
	g.deadline.Store(0)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.nc = nil
	return g.fired
}

// fire ends what is guarded, now.
func (g *guard) fire() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.end()
}

// check fires the guard where its deadline has passed.
func (g *guard) check(now int64) {
	d := g.deadline.Load()
	if d == 0 || now < d {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.deadline.Load() == d { // else it was set anew meanwhile
		g.end()
	}
}

func (g *guard) end() {
	if g.nc == nil {
		return
	}
	g.fired = true
	if g.reads {
		_ = g.nc.SetReadDeadline(past)
	} else {
		_ = g.nc.SetDeadline(past)
	}
}

var past = time.Unix(1, 0)
