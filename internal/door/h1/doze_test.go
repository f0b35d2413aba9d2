//go:build linux

package h1

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// tired connections sleep as soon as the clock has looked at them twice.
func tired(s *setup) { s.cfg.SleepAfter = time.Millisecond }

// asleep waits until so many connections sleep.
func (g *rig) asleep(n int) {
	g.T.Helper()
	for end := time.Now().Add(5 * time.Second); g.s.sleepers() != n; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			g.T.Fatalf("%d connections sleep, not %d; %d are open", g.s.sleepers(), n, g.s.Open())
		}
	}
}

// shaken is a client whose connection serves already.
func (g *rig) shaken() *client {
	g.T.Helper()
	c := g.client()
	if t, ok := c.Conn.(*tls.Conn); ok {
		if err := t.Handshake(); err != nil {
			g.T.Fatal(err)
		}
	}
	return c
}

func asking(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n" }

func TestAConnectionThatSleepsWakesForItsNextRequest(t *testing.T) {
	both(t, func(t *testing.T, o ...option) {
		x := newTarget(t, func(_ int, s seen) answer { return ok(s.URL.Path + s.body) })
		g := start(t, x.addr(), append(o, tired)...)
		c := g.shaken()
		g.asleep(1) // it may sleep before its first request, too
		for i, send := range []string{
			asking("/0"),
			asking("/1") + asking("/1"), // the second is in hand before the first is answered
			"\r\n" + asking("/2"),
			"POST /3 HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody",
		} {
			c.send(send)
			want := fmt.Sprint("/", i)
			if strings.HasSuffix(send, "body") {
				want += "body"
			}
			for range strings.Count(send, "HTTP/1.1") {
				if h := c.must("GET"); h.StatusCode != 200 || h.body != want {
					t.Errorf("%s %q, want %q", h.Status, h.body, want)
				}
			}
			g.asleep(1)
		}
		// A head that comes in pieces: half of it wakes, and it is the head's time from then on.
		c.send("GET /slow HT")
		g.asleep(0)
		time.Sleep(3 * tick)
		c.send("TP/1.1\r\nHost: x\r\n\r\n")
		if h := c.must("GET"); h.body != "/slow" {
			t.Errorf("%s %q", h.Status, h.body)
		}
		// The record knows the same client as before.
		if h := c.Conn.LocalAddr().String(); !strings.HasPrefix(h, "127.0.0.1") || g.s.Open() != 1 {
			t.Errorf("%d connections are open", g.s.Open())
		}
	})
}

func TestWhoSleepsHasNoGoroutine(t *testing.T) {
	x := newTarget(t, nil)
	g := start(t, x.addr(), tired)
	before := runtime.NumGoroutine()
	const n = 50
	for range n {
		c := g.shaken()
		c.send(asking("/"))
		c.must("GET")
	}
	g.asleep(n)
	if now := runtime.NumGoroutine(); now >= before+n {
		t.Errorf("%d goroutines for %d who sleep; there were %d", now, n, before)
	}
}

func TestSleepPutsNoDeadlineOff(t *testing.T) {
	both(t, func(t *testing.T, o ...option) {
		x := newTarget(t, nil)
		g := start(t, x.addr(), append(o, limits(Config{IdleTimeout: 1200 * time.Millisecond}), tired)...)
		c := g.shaken()
		c.send(asking("/"))
		c.must("GET")
		began := time.Now()
		g.asleep(1)
		go func() { // an empty line wakes, but begins no request
			for {
				if _, err := io.WriteString(c.Conn, "\r\n"); err != nil {
					return
				}
				time.Sleep(tick)
			}
		}()
		_, _ = io.Copy(io.Discard, c.Conn)
		if took := time.Since(began); took < time.Second || took > 3*time.Second {
			t.Errorf("ended after %v", took)
		}
		soon(t, "it is open still", func() bool { return g.s.Open() == 0 })
	})
}

func TestAClientThatGoesWhileItsConnectionSleeps(t *testing.T) {
	both(t, func(t *testing.T, o ...option) {
		x := newTarget(t, nil)
		g := start(t, x.addr(), append(o, tired)...)
		gone, reset, half := g.shaken(), g.shaken(), g.shaken()
		g.asleep(3)
		_ = gone.Close()
		if c, ok := reset.Conn.(*net.TCPConn); ok {
			_ = c.SetLinger(0)
		}
		_ = reset.Close()
		_ = half.Conn.(interface{ CloseWrite() error }).CloseWrite()
		if err := half.ended(); err != nil {
			t.Errorf("who has ended its side hears %v", err)
		}
		soon(t, "one is open still", func() bool { return g.s.Open() == 0 })
	})
}

func TestADrainEndsSleepersAfterALull(t *testing.T) {
	both(t, func(t *testing.T, o ...option) {
		x := newTarget(t, nil)
		g := start(t, x.addr(), append(o, tired)...)
		quiet, late := g.shaken(), g.shaken()
		g.asleep(2)
		began := time.Now()
		g.s.Drain()
		late.send(asking("/")) // on its way when the drain began
		if h := late.must("GET"); h.StatusCode != 200 || !h.Close {
			t.Errorf("%s, close %v", h.Status, h.Close)
		}
		if err := quiet.ended(); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took < lull-50*time.Millisecond || took > lull+2*time.Second {
			t.Errorf("ended after %v", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := g.s.Shutdown(ctx); err != nil || g.s.Open() != 0 {
			t.Errorf("%v, %d are open", err, g.s.Open())
		}
	})
}

func TestShutdownEndsSleepers(t *testing.T) {
	both(t, func(t *testing.T, o ...option) {
		x := newTarget(t, nil)
		g := start(t, x.addr(), append(o, tired)...)
		c := g.shaken()
		g.asleep(1)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := g.s.Shutdown(ctx); err != nil || g.s.Open() != 0 {
			t.Errorf("%v, %d are open", err, g.s.Open())
		}
		if err := c.ended(); err != nil {
			t.Error(err)
		}
	})
}

// A request that begins in the moment in which its connection is to sleep has the
// deadline of that taken away, and nobody ends the connection for it.
func TestARequestThatBeginsAsItsConnectionTiresGoesOn(t *testing.T) {
	var r rest
	r.begin(false)
	r.tired = true
	if !r.end() {
		t.Error("the deadline that was to end the wait stays")
	}
	r.begin(false)
	if r.sleep(os.ErrDeadlineExceeded) {
		t.Error("it sleeps though nobody wants it to")
	}
	for name, change := range map[string]func(){"ended": func() { r.ended = true }, "aborted": func() { r.ended, r.doomed = false, true }} {
		r.tired = true
		change()
		if r.sleep(os.ErrDeadlineExceeded) {
			t.Errorf("%s: it sleeps", name)
		}
	}
	r.ended, r.doomed = false, false
	if r.sleep(io.EOF) || !r.sleep(os.ErrDeadlineExceeded) || r.sleep(os.ErrDeadlineExceeded) {
		t.Error("it sleeps once, and not when the client has gone")
	}
}

// Requests come at all moments of falling asleep and waking, and each is answered once.
func TestNoRequestIsLostToSleep(t *testing.T) {
	both(t, func(t *testing.T, o ...option) {
		x := newTarget(t, func(_ int, s seen) answer { return ok(s.URL.Path) })
		g := start(t, x.addr(), append(o, tired, limits(Config{IdleTimeout: 20 * time.Second, HeaderTimeout: 20 * time.Second, SleepAfter: time.Millisecond}))...)
		var wg sync.WaitGroup
		end := time.Now().Add(4 * time.Second)
		for i := range 40 {
			c := g.shaken()
			_ = c.SetDeadline(time.Now().Add(20 * time.Second))
			wg.Go(func() {
				for n := 0; time.Now().Before(end); n++ {
					time.Sleep(tick - 10*time.Millisecond + rand.N(20*time.Millisecond) + tick*rand.N(time.Duration(2)))
					path := fmt.Sprint("/", i, "/", n)
					whole := asking(path) + asking(path+"/again")
					cut := rand.N(len(whole))
					if _, err := io.WriteString(c, whole[:cut]); err != nil {
						t.Error(err)
						return
					}
					time.Sleep(rand.N(2 * time.Millisecond))
					if _, err := io.WriteString(c, whole[cut:]); err != nil {
						t.Error(err)
						return
					}
					for _, want := range []string{path, path + "/again"} {
						if h, err := c.hear("GET"); err != nil || h.StatusCode != 200 || h.body != want {
							t.Errorf("%q: %v %q", want, err, h.body)
							return
						}
					}
				}
			})
		}
		wg.Wait()
		g.s.mu.Lock()
		t.Logf("slept %d times", g.s.tickets)
		if g.s.tickets < 40 {
			t.Error("hardly any slept: this shows nothing")
		}
		g.s.mu.Unlock()
	})
}

func TestAConnectionThatCannotSleepStaysAwake(t *testing.T) {
	x := newTarget(t, nil)
	g := start(t, x.addr(), tired)
	g.s.poller.close() // as where the kernel has no room
	c := g.shaken()
	for range 2 {
		time.Sleep(3 * tick)
		c.send(asking("/"))
		if h := c.must("GET"); h.StatusCode != 200 {
			t.Error(h.Status)
		}
	}
	g.s.mu.Lock()
	defer g.s.mu.Unlock()
	if len(g.s.asleep) != 0 || len(g.s.conns) != 1 || g.s.tickets != 1 {
		t.Errorf("%d sleep, %d are awake after %d attempts", len(g.s.asleep), len(g.s.conns), g.s.tickets)
	}
}

// What is left of a connection that sleeps is what net and crypto/tls keep. The
// client's end is measured with it.
func TestAConnectionThatSleepsIsLittleMoreThanItsSocket(t *testing.T) {
	if raced {
		t.Skip("the race detector allocates")
	}
	for name, c := range map[string]struct {
		options []option
		most    int64
	}{"plain": {nil, 6 << 10}, "TLS": {[]option{secure}, 16 << 10}} {
		asleep := func(g *rig, n int) { g.asleep(n) }
		if cost := idleCost(t, name, asleep, append(c.options, tired)...); cost > c.most {
			t.Errorf("%s: more than %d", name, c.most)
		}
	}
}
