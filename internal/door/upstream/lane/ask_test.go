package lane

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

type room []byte

func (r room) Room() []byte { return r }

func TestWhatIsAskedIsAnswered(t *testing.T) {
	x := listen(t)
	c, peer := x.pair(x.lane(10, time.Minute))
	buf := make(room, 64)
	for _, reused := range []bool{false, true} {
		c.Reused = reused
		go func() {
			b := make([]byte, 64)
			n, _ := peer.Read(b)
			time.Sleep(5 * time.Millisecond) // the asker waits by then
			_, _ = peer.Write(append([]byte("heard "), b[:n]...))
		}()
		n, werr, rerr := c.Ask([]byte("a question"), buf)
		if werr != nil || rerr != nil || string(buf[:n]) != "heard a question" {
			t.Fatalf("%q %v %v", buf[:n], werr, rerr)
		}
	}
}

func TestNothingIsAskedOverAConnectionThatWasGivenUp(t *testing.T) {
	x := listen(t)
	l := x.lane(10, time.Minute)
	for name, end := range map[string]func(*net.TCPConn){
		"closed":                       func(c *net.TCPConn) { _ = c.Close() },
		"half-closed":                  func(c *net.TCPConn) { _ = c.CloseWrite() },
		"reset":                        func(c *net.TCPConn) { _ = c.SetLinger(0); _ = c.Close() },
		"bytes that nobody asked for":  func(c *net.TCPConn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n") },
		"bytes, and then it is closed": func(c *net.TCPConn) { _, _ = io.WriteString(c, "x"); _ = c.Close() },
	} {
		a, peer := x.pair(l)
		l.Put(a, time.Now())
		end(peer)
		soon(t, name, func() bool { return !a.Alive() })
		c, err := l.Take(t.Context(), time.Now())
		if err != nil || c != a || !c.Reused {
			t.Fatalf("%s: Take looks, and is not to (%v)", name, err)
		}
		n, werr, rerr := c.Ask([]byte("secret"), make(room, 64))
		if n != 0 || !errors.Is(werr, ErrStale) || rerr != nil || !c.Untaken(werr) {
			t.Errorf("%s: %d %v %v", name, n, werr, rerr)
		}
		if peer.CloseWrite() == nil {
			_ = peer.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
			if b, _ := io.ReadAll(peer); len(b) > 0 {
				t.Errorf("%s: it was sent %q", name, b)
			}
		}
		_ = c.Close()
	}
}

func TestAnEndInsteadOfAnAnswerIsNoticedHoweverItComes(t *testing.T) {
	x := listen(t)
	l := x.lane(10, time.Minute)
	for name, end := range map[string]func(*net.TCPConn){
		"closed":      func(c *net.TCPConn) { _ = c.Close() },
		"half-closed": func(c *net.TCPConn) { _ = c.CloseWrite() },
		"reset":       func(c *net.TCPConn) { _ = c.SetLinger(0); _ = c.Close() },
	} {
		c, peer := x.pair(l)
		go func() { _, _ = peer.Read(make([]byte, 64)); end(peer) }()
		_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
		n, werr, rerr := c.Ask([]byte("q"), make(room, 64))
		if n != 0 || werr != nil || rerr == nil || errors.Is(rerr, os.ErrDeadlineExceeded) {
			t.Errorf("%s: %d %v %v", name, n, werr, rerr)
		}
	}
}

func TestADeadlineEndsTheWaitForAnAnswer(t *testing.T) {
	x := listen(t)
	c, _ := x.pair(x.lane(10, time.Minute))
	_ = c.SetDeadline(time.Now().Add(20 * time.Millisecond))
	if n, werr, rerr := c.Ask([]byte("q"), make(room, 64)); n != 0 || werr != nil || !errors.Is(rerr, os.ErrDeadlineExceeded) {
		t.Error(n, werr, rerr)
	}
}

func TestARequestThatTheKernelDoesNotTakeAtOnceIsWrittenWhole(t *testing.T) {
	x := listen(t)
	c, peer := x.pair(x.lane(10, time.Minute))
	request := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	sum := make(chan [32]byte)
	go func() {
		time.Sleep(20 * time.Millisecond)
		b := make([]byte, len(request))
		_, _ = io.ReadFull(peer, b)
		sum <- sha256.Sum256(b)
	}()
	n, werr, rerr := c.Ask(request, make(room, 64))
	if n != 0 || werr != nil || rerr != nil {
		t.Fatal(n, werr, rerr)
	}
	if <-sum != sha256.Sum256(request) || c.written != uint64(len(request)) {
		t.Error("it came otherwise")
	}
}

func TestAskingCostsNoAllocation(t *testing.T) {
	x := listen(t)
	c, peer := x.pair(x.lane(10, time.Minute))
	go func() {
		b := make([]byte, 64)
		for {
			n, err := peer.Read(b)
			if err != nil {
				return
			}
			_, _ = peer.Write(b[:n])
		}
	}()
	q, r := []byte("question"), make(room, 64)
	var into Roomer = &r
	if n := testing.AllocsPerRun(100, func() { _, _, _ = c.Ask(q, into) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
