package upstream

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

// keeping is a backend that answers until it is told of how many requests to die,
// and holds the first answers back until so many connections are open.
func keeping(t *testing.T, connections int) (b *raw, deaths *atomic.Int64) {
	deaths = &atomic.Int64{}
	var together sync.WaitGroup
	together.Add(connections)
	var n atomic.Int64
	b = newRaw(t, func(c net.Conn, _ *bufio.Reader, _ string) {
		if deaths.Add(-1) >= 0 {
			closed(c)
			return
		}
		if n.Add(1) <= int64(connections) {
			together.Done()
			together.Wait()
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	})
	return b, deaths
}

// warm opens connections, which are kept.
func warm(t *testing.T, p *Pools, s *model.Service, connections int) {
	t.Helper()
	var wait sync.WaitGroup
	for range connections {
		wait.Go(func() {
			if _, _, err := send(t, p, s, get("/")); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
}

func TestAKeptConnectionThatDiesIsReplacedOnceAndNoMore(t *testing.T) {
	const kept = 6
	for _, c := range []struct {
		name    string
		method  string
		retries int
		sent    bool // and kept connections have died under it before
		want    int64
	}{
		{"a safe request is sent once more over a fresh connection", "GET", 0, false, 2},
		{"that does not count as a retry, of which there is one", "GET", 1, false, 3},
		{"or two", "HEAD", 2, false, 4},
		{"one that was sent before goes over a fresh one alone", "GET", 0, true, 1},
		{"and its retries too", "GET", 1, true, 2},
		{"PUT is sent again as retries says", "PUT", 1, false, 2},
		{"POST never", "POST", 2, false, 1},
	} {
		b, deaths := keeping(t, kept)
		s := service(b.url())
		s.Retries = c.retries
		p := pools(t, s, Options{})
		warm(t, p, s, kept)
		deaths.Store(100)
		before := b.heads.Load()
		r := get("/")
		r.Method, r.Sent = c.method, c.sent
		_, _, err := send(t, p, s, r)
		if seen := b.heads.Load() - before; code(err) != model.UpstreamInvalid || seen != c.want {
			t.Errorf("%s: %s was seen %d times, want %d: %v", c.name, c.method, seen, c.want, err)
		}
	}
}

func TestAKeptConnectionThatDiesFailsNoSafeRequest(t *testing.T) {
	b, deaths := keeping(t, 3)
	s := service(b.url())
	s.Retries = 0
	p := pools(t, s, Options{})
	warm(t, p, s, 3)
	deaths.Store(1)
	if _, body, err := send(t, p, s, get("/")); err != nil || body != "ok" {
		t.Error(body, err)
	}
}

func TestAFaultOfTheRequestRestsNobody(t *testing.T) {
	b := newRaw(t, func(c net.Conn, _ *bufio.Reader, _ string) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	})
	s := service(b.url())
	p := pools(t, s, Options{})
	for name, r := range map[string]*Request{
		"a target that cannot be written as it was decided on": {Method: "GET", Target: "//%2", Host: "a"},
		"a field name that is no token":                        {Method: "GET", Target: "/", Host: "a", Fields: []model.Field{{Name: "a b", Value: "c"}}},
		"a field value with a line break":                      {Method: "GET", Target: "/", Host: "a", Fields: []model.Field{{Name: "a", Value: "c\r\nd: e"}}},
		"a method that is no token":                            {Method: "G T", Target: "/", Host: "a"},
	} {
		if _, _, err := send(t, p, s, r); code(err) != model.RequestMalformed {
			t.Errorf("%s: %v", name, err)
		}
		if !p.Status()[0].Healthy {
			t.Fatalf("%s: the target rests", name)
		}
	}
	if b.heads.Load() != 0 {
		t.Error("some of it was sent")
	}
	if _, body, err := send(t, p, s, get("/")); err != nil || body != "ok" {
		t.Error(body, err)
	}
}

// A target that takes connections and never shakes hands: no connection is had.
func TestACallerThatLeavesBeforeThereIsAConnectionRestsNobody(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	s := service("https://" + ln.Addr().String())
	p := pools(t, s, Options{})
	for _, body := range []string{"", "x"} {
		ctx, cancel := context.WithCancelCause(context.Background())
		gone := errors.New("the client went away")
		time.AfterFunc(50*time.Millisecond, func() { cancel(gone) })
		r := get("/")
		if body != "" {
			r.Method, r.Body, r.Length = "PUT", strings.NewReader(body), 1
		}
		if _, err := p.Forward(ctx, s, r); !errors.Is(err, gone) {
			t.Error(err)
		}
		if !p.Status()[0].Healthy {
			t.Error("the target rests")
		}
	}
}

func TestOurOwnShortageRestsNobody(t *testing.T) {
	dial := func(errno syscall.Errno) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", errno)}
	}
	for errno, rests := range map[syscall.Errno]bool{
		syscall.EMFILE: false, syscall.ENFILE: false, syscall.ENOBUFS: false, syscall.EADDRNOTAVAIL: false,
		syscall.ECONNREFUSED: true, syscall.ETIMEDOUT: true, syscall.EHOSTUNREACH: true,
	} {
		e := endpoints(1)[0]
		if e.refused(dial(errno)); e.down.Load() != rests {
			t.Errorf("%v: it rests: %v", errno, !rests)
		}
		e.end()
	}
}
