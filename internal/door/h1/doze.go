package h1

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"os"
	"time"
)

// sleeper is a connection that waits for a request and has nothing but its socket:
// no state, and no goroutine, whose stack would stay as large as a request has made
// it. One poller waits for all of them.
type sleeper struct {
	nc       net.Conn
	peer     netip.Addr
	port     uint16
	deadline int64 // unix nanoseconds; sleeping does not put it off
	onEnd    func()
}

// tire ends the wait of a connection that may sleep: one that has waited for a
// request for some time.
func (c *conn) tire(now int64) {
	d, cfg := c.client.deadline.Load(), &c.s.cfg
	if d == 0 || now < d-int64(cfg.IdleTimeout+tick)+int64(cfg.SleepAfter) || c.s.poller == nil || c.in.sock == nil {
		return
	}
	c.rest.mu.Lock()
	defer c.rest.mu.Unlock()
	if r := &c.rest; r.waits && !r.young && !r.ended && !r.tired && !r.wakeful {
		r.tired = true
		_ = c.nc.SetReadDeadline(past)
	}
}

// sleep says whether it was tire alone that ended the wait.
func (r *rest) sleep(err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.waits || !r.tired || r.ended || r.doomed {
		return false
	}
	r.waits, r.tired = false, false
	return true
}

// doze puts the connection to sleep. Where that is done, it is the poller's from here
// on, and may serve already; else it has to go on waiting.
func (c *conn) doze(deadline int64) bool {
	c.unblock()
	s := c.s
	s.mu.Lock()
	if s.draining.Load() || c.ctx.Err() != nil {
		s.mu.Unlock()
		return false
	}
	s.tickets++
	ticket := s.tickets
	delete(s.conns, c)
	s.asleep[ticket] = &sleeper{c.nc, c.peer, c.port, deadline, c.onEnd}
	s.mu.Unlock()
	if err := s.poller.add(c.in.sock, ticket); err != nil && s.rouse(ticket, c) {
		c.rest.stayAwake() // the kernel has no room: do not ask again and again
		return false
	}
	c.cancel()
	return true
}

func (r *rest) stayAwake() {
	r.mu.Lock()
	r.wakeful = true
	r.mu.Unlock()
}

// rouse makes c the connection of a sleeper; false = that is not asleep any more.
func (s *Server) rouse(ticket uint64, c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asleep[ticket] == nil {
		return false
	}
	delete(s.asleep, ticket)
	s.conns[c] = struct{}{}
	return true
}

// wake lets a connection serve again on which something has come.
func (s *Server) wake(ticket uint64) {
	s.mu.Lock()
	z := s.asleep[ticket]
	s.mu.Unlock()
	if z == nil {
		return
	}
	c := newConn(s, z.nc, z.peer, z.port, z.onEnd)
	c.until = z.deadline
	if !s.rouse(ticket, c) {
		c.cancel()
		return
	}
	s.poller.remove(c.in.sock)
	go s.serve(c)
}

// endAsleep ends the sleepers whose deadline has passed. It does not wait.
func (s *Server) endAsleep(now int64) {
	s.mu.Lock()
	var over []*sleeper
	for ticket, z := range s.asleep {
		if now >= z.deadline {
			delete(s.asleep, ticket)
			over = append(over, z)
		}
	}
	s.closing += len(over)
	s.mu.Unlock()
	for _, z := range over {
		if _, secure := z.nc.(*tls.Conn); secure {
			go s.end(z) // it says goodbye, for which there may be no room
		} else {
			s.end(z)
		}
	}
}

func (s *Server) end(z *sleeper) {
	_ = z.nc.Close()
	s.mu.Lock()
	s.closing--
	s.mu.Unlock()
	z.onEnd()
}

// never is later than any deadline.
const never = 1<<63 - 1

// sleepers are how many sleep.
func (s *Server) sleepers() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asleep)
}

// defaultSleep is when a connection goes to sleep: to sleep and to wake costs some 40 µs,
// which those who ask every second or two should not pay.
const defaultSleep = 5 * time.Second
