package h2

import (
	"net"
	"sync"
	"time"
)

// guard is the deadline of a stream's connection to its target. The worker sets and
// clears it; the server's clock fires it, and so does whoever ends the stream.
type guard struct {
	mu    sync.Mutex
	nc    net.Conn
	at    int64 // Unix nanoseconds; 0 = none
	fired bool
}

// set guards nc, within limit where that is not 0.
func (g *guard) set(nc net.Conn, now time.Time, limit time.Duration) {
	g.mu.Lock()
	g.nc, g.at, g.fired = nc, 0, false
	if limit > 0 {
		g.at = now.Add(limit).UnixNano()
	}
	g.mu.Unlock()
}

// relax takes the limit away and leaves nc guarded.
func (g *guard) relax() {
	g.mu.Lock()
	g.at = 0
	g.mu.Unlock()
}

// clear ends the guard and tells whether it has fired: nc is of no use then.
func (g *guard) clear() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.nc = nil
	return g.fired
}

// fire ends whatever waits for nc.
func (g *guard) fire() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.nc != nil {
		g.fired = true
		_ = g.nc.SetDeadline(past)
	}
}

func (g *guard) check(now int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.nc != nil && g.at > 0 && now >= g.at && !g.fired {
		g.fired = true
		_ = g.nc.SetDeadline(past)
	}
}
