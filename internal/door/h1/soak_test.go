package h1

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

// mortal is a target whose kept-alive connections are closed while they are idle,
// at random moments, as a target's own timeouts do.
type mortal struct {
	*target
	mu    sync.Mutex
	count map[string]int    // how often each request was processed
	idle  map[net.Conn]bool // between requests
	kills atomic.Int64
}

func newMortal(t *testing.T) *mortal {
	m := &mortal{count: map[string]int{}, idle: map[net.Conn]bool{}}
	m.target = rawTarget(t, m.serve)
	return m
}

func (m *mortal) serve(c net.Conn) {
	r := bufio.NewReader(c)
	for kept := false; ; kept = true {
		if kept && !m.rest(c) {
			return
		}
		s, err := readRequest(r, func() {})
		if err != nil || s.err != nil {
			return
		}
		m.mu.Lock()
		m.count[s.Header.Get("X-Seq")]++
		m.mu.Unlock()
		_, _ = io.WriteString(c, ok(s.Header.Get("X-Seq")).raw)
	}
}

// rest waits for the next request; false = the connection was killed, or ended.
func (m *mortal) rest(c net.Conn) bool {
	m.mu.Lock()
	m.idle[c] = true
	m.mu.Unlock()
	err := readable(c.(*net.TCPConn))
	m.mu.Lock()
	defer m.mu.Unlock()
	mine := m.idle[c]
	delete(m.idle, c)
	return err == nil && mine
}

// readable waits for bytes, or the end, and leaves them where they are: a request
// that has begun shows.
func readable(c *net.TCPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return err != syscall.EAGAIN
	})
}

// kill closes one connection that is idle: nothing of a request has come to it. A
// request that comes between the look and the close has been acknowledged by the
// kernel, and nobody can tell that it was not read: a POST is answered with 502 then,
// and is not sent again. It is the one case that is left, some microseconds wide.
func (m *mortal) kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for c := range m.idle {
		raw, err := c.(*net.TCPConn).SyscallConn()
		if err != nil {
			continue
		}
		fit := false
		_ = raw.Control(func(fd uintptr) {
			var b [1]byte
			_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
			if fit = err == syscall.EAGAIN; fit {
				// Close waits for the reader; this is at once, and the kernel refuses
				// what comes from here on.
				_ = syscall.Shutdown(int(fd), syscall.SHUT_RDWR)
			}
		})
		if !fit {
			continue
		}
		_ = c.Close()
		delete(m.idle, c)
		m.kills.Add(1)
		return
	}
}

func TestAKeptConnectionThatDiesFailsNothingAndRepeatsNothing(t *testing.T) {
	requests := 600
	if os.Getenv("SALLYPORT_SOAK") != "" {
		requests = 10_000
	}
	m := newMortal(t)
	g := start(t, m.addr(), service(func(s *model.Service) { s.Retries = 1 }))
	stop := make(chan bool)
	var killing, clients sync.WaitGroup
	killing.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(rand.IntN(1500)) * time.Microsecond):
				m.kill()
			}
		}
	})
	var failed, undecided atomic.Int64
	const n = 4
	for i := range n {
		clients.Go(func() {
			c := g.client()
			for k := range requests / n {
				seq := fmt.Sprintf("%d-%d", i, k)
				method, extra := "GET", "\r\n"
				switch k % 4 {
				case 1:
					method, extra = "POST", "Content-Length: 5\r\n\r\n"
				case 2:
					method, extra = "PATCH", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
				case 3:
					method, extra = "PUT", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
				}
				_ = c.SetDeadline(time.Now().Add(10 * time.Second))
				c.send(method + " / HTTP/1.1\r\nHost: x\r\nX-Seq: " + seq + "\r\n" + extra)
				if method == "POST" {
					c.send("hello") // behind its head
				}
				h, err := c.hear(method)
				if err != nil {
					t.Errorf("%s: %v", seq, err)
					return
				}
				m.mu.Lock()
				times := m.count[seq]
				m.mu.Unlock()
				switch {
				case h.StatusCode == http.StatusBadGateway && times == 0 && (method == "POST" || method == "PATCH"):
					undecided.Add(1) // see kill
				case h.StatusCode != 200 || h.body != seq:
					failed.Add(1)
					t.Errorf("%s %s: %s %s", method, seq, h.Status, h.body)
				case times != 1 && (method == "POST" || method == "PATCH"):
					t.Errorf("%s %s was processed %d times", method, seq, times)
				}
				if k%8 == 0 {
					time.Sleep(time.Duration(rand.IntN(500)) * time.Microsecond)
				}
			}
		})
	}
	clients.Wait()
	close(stop)
	killing.Wait()
	t.Logf("%d requests, %d connections killed, %d undecided", requests, m.kills.Load(), undecided.Load())
	if undecided.Load() > int64(2+requests/1000) {
		t.Errorf("%d POSTs were refused", undecided.Load())
	}
}
