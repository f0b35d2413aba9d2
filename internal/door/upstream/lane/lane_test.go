package lane

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// target is a listener whose connections the test holds.
type target struct {
	t  *testing.T
	ln net.Listener
}

func listen(t *testing.T) *target {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return &target{t, ln}
}

func (x *target) lane(most int, age time.Duration) *Lane {
	l := New(func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", x.ln.Addr().String())
	}, most, age)
	x.t.Cleanup(l.Close)
	return l
}

// pair gives a connection of the lane and the target's end of it.
func (x *target) pair(l *Lane) (*Conn, *net.TCPConn) {
	x.t.Helper()
	c, err := l.Get(context.Background(), true)
	if err != nil {
		x.t.Fatal(err)
	}
	nc, err := x.ln.Accept()
	if err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(func() { _, _ = nc.Close(), c.Close() })
	return c, nc.(*net.TCPConn)
}

// soon waits for what the kernel does by itself.
func soon(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatal(what)
}

func TestTheLastUsedConnectionIsUsedAgain(t *testing.T) {
	x := listen(t)
	l := x.lane(10, time.Minute)
	a, _ := x.pair(l)
	b, _ := x.pair(l)
	l.Put(a, time.Now())
	l.Put(b, time.Now())
	for _, want := range []*Conn{b, a} {
		if got, err := l.Get(t.Context(), false); err != nil || got != want || !got.Reused {
			t.Error("not the last used")
		}
	}
}

func TestAConnectionThatTheTargetHasClosedIsNotUsed(t *testing.T) {
	x := listen(t)
	l := x.lane(10, time.Minute)
	for name, end := range map[string]func(*net.TCPConn){
		"closed":      func(c *net.TCPConn) { _ = c.Close() },
		"half-closed": func(c *net.TCPConn) { _ = c.CloseWrite() },
		"reset":       func(c *net.TCPConn) { _ = c.SetLinger(0); _ = c.Close() },
		"bytes that nobody asked for: the next answer would not be its own": func(c *net.TCPConn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
		},
	} {
		a, peer := x.pair(l)
		if !a.Alive() {
			t.Fatal("not alive")
		}
		l.Put(a, time.Now())
		end(peer)
		soon(t, name, func() bool { return !a.Alive() })
		got, err := l.Get(t.Context(), false)
		if err != nil || got == a || got.Reused {
			t.Errorf("%s: used all the same (%v)", name, err)
		}
		if nc, err := x.ln.Accept(); err == nil {
			_ = nc.Close()
		}
		_ = got.Close()
	}
}

func TestALaneIsBounded(t *testing.T) {
	x := listen(t)
	l := x.lane(2, time.Minute)
	for range 3 {
		c, _ := x.pair(l)
		defer l.Put(c, time.Now())
	}
	a, _ := x.pair(l)
	b, _ := x.pair(l)
	c, peer := x.pair(l)
	l.Put(a, time.Now())
	l.Put(b, time.Now())
	l.Put(c, time.Now())
	if l.Idle() != 2 {
		t.Errorf("%d idle", l.Idle())
	}
	if _, err := peer.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the third was not closed: %v", err)
	}
}

func TestIdleConnectionsEndByThemselves(t *testing.T) {
	x := listen(t)
	l := x.lane(10, 60*time.Millisecond)
	a, pa := x.pair(l)
	b, pb := x.pair(l)
	l.Put(a, time.Now())
	time.Sleep(30 * time.Millisecond)
	l.Put(b, time.Now())
	for _, p := range []net.Conn{pa, pb} {
		_ = p.SetReadDeadline(time.Now().Add(2 * time.Second))
		if _, err := p.Read(make([]byte, 1)); err != io.EOF {
			t.Error(err)
		}
	}
	soon(t, "still idle", func() bool { return l.Idle() == 0 })
}

func TestAnOldConnectionIsNotUsedEvenWhereNobodySwept(t *testing.T) {
	x := listen(t)
	l := x.lane(10, time.Minute)
	a, _ := x.pair(l)
	l.Put(a, time.Now().Add(-2*time.Minute))
	go func() { _, _ = x.ln.Accept() }()
	if got, err := l.Get(t.Context(), false); err != nil || got == a {
		t.Errorf("used: %v", err)
	} else {
		_ = got.Close()
	}
}

func TestAClosedLaneKeepsNothing(t *testing.T) {
	x := listen(t)
	l := x.lane(10, time.Minute)
	a, _ := x.pair(l)
	b, peer := x.pair(l)
	l.Put(a, time.Now())
	l.Close()
	l.Put(b, time.Now())
	if _, err := peer.Read(make([]byte, 1)); err != io.EOF || l.Idle() != 0 {
		t.Errorf("%v, %d idle", err, l.Idle())
	}
}

func TestARequestThatNobodyTookIsKnown(t *testing.T) {
	x := listen(t)
	const request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
	exchange := func(c *Conn, peer net.Conn) {
		c.Begin()
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
		_, _ = io.ReadFull(peer, make([]byte, len(request)))
		_, _ = io.WriteString(peer, "HTTP/1.1 204 No Content\r\n\r\n")
		_, _ = c.Read(make([]byte, 100))
	}
	fails := func(c *Conn) error {
		t.Helper()
		c.Begin()
		if _, err := io.WriteString(c, request); err != nil {
			return err
		}
		_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
		n, err := c.Read(make([]byte, 1))
		if err == nil {
			t.Fatal("read", n)
		}
		return err
	}
	later := func(f func(p *net.TCPConn)) func(*net.TCPConn) {
		return func(p *net.TCPConn) {
			go func() {
				if _, err := p.Read(make([]byte, 10)); err == nil {
					f(p)
				}
			}()
		}
	}
	for name, c := range map[string]struct {
		prepare func(*net.TCPConn)
		untaken bool
	}{
		"closed before the request":                            {func(p *net.TCPConn) { _ = p.Close() }, true},
		"reset before the request":                             {func(p *net.TCPConn) { _ = p.SetLinger(0); _ = p.Close() }, true},
		"closed, and the rest of the request unread (a reset)": {later(func(p *net.TCPConn) { _ = p.Close() }), false},
		"closed when all was read": {later(func(p *net.TCPConn) {
			_, _ = io.ReadFull(p, make([]byte, len(request)-10))
			_ = p.Close()
		}), false},
		"reset when all was read": {later(func(p *net.TCPConn) {
			_, _ = io.ReadFull(p, make([]byte, len(request)-10))
			_ = p.SetLinger(0)
			_ = p.Close()
		}), false},
		"half-closed before the request, which is read": {func(p *net.TCPConn) {
			_ = p.CloseWrite()
			go func() { _, _ = io.Copy(io.Discard, p) }()
		}, false},
	} {
		for _, used := range []int{0, 1, 3} {
			l := x.lane(10, time.Minute)
			conn, peer := x.pair(l)
			for range used {
				exchange(conn, peer)
			}
			c.prepare(peer)
			time.Sleep(5 * time.Millisecond)
			err := fails(conn)
			if got := conn.Untaken(err); got != c.untaken {
				t.Errorf("%s, after %d requests: untaken %v (%v)", name, used, got, err)
			}
		}
	}
}

func BenchmarkGetAndPut(b *testing.B) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	l := New(func(context.Context) (net.Conn, error) { return net.Dial("tcp", ln.Addr().String()) }, 10, time.Minute)
	defer l.Close()
	b.ReportAllocs()
	for b.Loop() {
		c, err := l.Get(b.Context(), false)
		if err != nil {
			b.Fatal(err)
		}
		l.Put(c, time.Now())
	}
}
