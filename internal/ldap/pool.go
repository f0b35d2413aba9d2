package ldap

import (
	"sync"
	"time"
)

// pool keeps connections that are not in use at the moment, the latest used first.
type pool struct {
	o      *Options
	mu     sync.Mutex
	idle   []*conn // by last use
	timer  *time.Timer
	closed bool
}

// get takes a connection that seems to live; nil where there is none.
func (p *pool) get() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n := len(p.idle); n > 0; n = len(p.idle) {
		c := p.idle[n-1]
		p.idle = p.idle[:n-1]
		if !c.IsClosing() {
			return c
		}
		go c.close()
	}
	return nil
}

// put gives a connection back.
func (p *pool) put(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || c.IsClosing() || len(p.idle) >= p.o.Spare {
		go c.close()
		return
	}
	c.used = time.Now()
	p.idle = append(p.idle, c)
	if p.timer == nil {
		p.timer = time.AfterFunc(p.o.Idle, p.sweep)
	}
}

// sweep closes what has not been used for long, and comes back while there is any.
func (p *pool) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := time.Now().Add(-p.o.Idle)
	n := 0
	for n < len(p.idle) && !p.idle[n].used.After(old) {
		go p.idle[n].close()
		n++
	}
	p.idle = append([]*conn(nil), p.idle[n:]...)
	p.timer = nil
	if len(p.idle) > 0 {
		p.timer = time.AfterFunc(time.Until(p.idle[0].used.Add(p.o.Idle))+time.Millisecond, p.sweep)
	}
}

// drain closes what is kept: where one connection turned out dead, so are they.
func (p *pool) drain() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.idle {
		go c.close()
	}
	p.idle = nil
}

func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
	p.mu.Unlock()
	p.drain()
}

func (p *pool) size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.idle)
}
