//go:build e2e

package e2e

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// sockets are open before the gateway is, and outlive it: systemd's way.
func openSockets(t testing.TB, addresses ...string) (files []*os.File) {
	t.Helper()
	for _, a := range addresses {
		l, err := net.Listen("tcp", a)
		if err != nil {
			t.Fatal(err)
		}
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		_ = l.Close() // the file keeps the socket open
		t.Cleanup(func() { _ = f.Close() })
		files = append(files, f)
	}
	return files
}

// slowly sends a megabyte at a time, and says what the whole must hash to.
const pieces = 12

func slowly(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	if !strings.HasSuffix(r.URL.Path, "/download") {
		time.Sleep(2 * time.Millisecond)
		_, _ = io.WriteString(w, "served")
		return
	}
	piece := strings.Repeat("0123456789abcdef", 1<<16)
	for range pieces {
		_, _ = io.WriteString(w, piece)
		_ = http.NewResponseController(w).Flush()
		time.Sleep(100 * time.Millisecond)
	}
}

func slowSum() [32]byte {
	return sha256.Sum256([]byte(strings.Repeat("0123456789abcdef", pieces<<16)))
}

// TestAnEndUnderLoadLosesNothing ends the gateway by SIGTERM under load, and starts
// it again on the same ports: every request that was taken is answered, downloads
// are whole, and the exit code is 0.
func TestAnEndUnderLoadLosesNothing(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		random := seeded(t)
		b := newLedger(t, slowly)
		g := start(t, options{engine: engine, resources: withBackend(everyone, b.URL)})
		for round := range counts(2, 50) {
			g.get(t, "alice", "/api").expect(t, "before", 200, "")
			var downloads sync.WaitGroup
			for name, client := range g.clients() {
				downloads.Go(func() {
					a, err := exchange(client, "GET", g.url("/api/download"), "", user("alice"))
					if err != nil || a.status != 200 || sha256.Sum256([]byte(a.body)) != slowSum() {
						t.Errorf("round %d: a download by %s that was running was cut: %v", round, name, err)
					}
				})
			}
			var total tally
			var mu sync.Mutex
			refused, answered := 0, map[string]bool{}
			var c crew
			down := make(chan struct{})
			c.work(6, func(w, i int) {
				client := g.client
				if w%3 == 2 {
					client = g.h2
				}
				probe, begin := fmt.Sprintf("%d.%d.%d", round, w, i), time.Now()
				a, err := exchange(client, "POST", g.url("/open"), "x", header("X-Probe", probe))
				mu.Lock()
				defer mu.Unlock()
				if errors.Is(err, syscall.ECONNREFUSED) { // nobody took it
					refused++
					time.Sleep(5 * time.Millisecond)
					return
				}
				answered[probe] = err == nil
				if engine == "standard" && err != nil && b.count(probe) == 0 &&
					(strings.Contains(err.Error(), "server closed idle connection") || errors.Is(err, io.EOF)) {
					return // net/http knows no lull for a connection that has just become idle
				}
				total.note(a, err, time.Since(begin))
			})
			time.Sleep(150*time.Millisecond + random.upTo(150*time.Millisecond))
			p, begin := g.program, time.Now()
			p.signal(syscall.SIGTERM)
			go func() { <-p.exited; close(down) }()
			downloads.Wait()
			if code := p.wait(35 * time.Second); code != 0 {
				t.Fatalf("exit code %d after SIGTERM", code)
			}
			took := time.Since(begin)
			<-down
			c.end()
			total.only(t, "requests around SIGTERM", 200)
			for probe, ok := range answered {
				if n := b.count(probe); ok && n != 1 || n > 1 {
					t.Errorf("request %s: answered = %v, seen %d times", probe, ok, n)
				}
			}
			t.Logf("round %d: ended after %v; %v, %d came when nobody listened", round, took.Round(time.Millisecond), &total, refused)
			within(t, "serving again on the same ports", g.again(t), 500*time.Millisecond)
		}
		if out := g.api(t, "GET", "/readyz", ""); out.status != 200 {
			t.Errorf("readyz: %d %s", out.status, out.body)
		}
	})
}

// TestAnotherBinaryTakesOverTheSocketsWithoutLosingARequest hands listening sockets
// from one process to the next, as systemd's socket activation does: connections
// that come in between wait, and none is refused.
func TestAnotherBinaryTakesOverTheSocketsWithoutLosingARequest(t *testing.T) {
	seeded(t)
	b := newLedger(t, slowly)
	g := start(t, options{resources: withBackend(everyone, b.URL)})
	g.stop(t)
	files := openSockets(t, g.proxy, g.admin)
	run := func() {
		t.Helper()
		g.program = launchWith(t, g.dir, files, binary(t), "run", "-c", g.bootFile)
	}
	run()
	g.ready(t)
	var total tally
	var c crew
	c.work(6, func(w, i int) {
		client := g.client
		if w%3 == 2 {
			client = g.h2
		}
		begin := time.Now()
		a, err := exchange(client, "POST", g.url("/open"), "x", header("X-Probe", fmt.Sprintf("%d.%d", w, i)))
		total.note(a, err, time.Since(begin))
	})
	for range counts(3, 100) {
		time.Sleep(200 * time.Millisecond)
		g.signal(syscall.SIGTERM)
		if code := g.wait(35 * time.Second); code != 0 {
			t.Fatalf("exit code %d after SIGTERM", code)
		}
		run()
	}
	time.Sleep(300 * time.Millisecond)
	c.end()
	total.only(t, "requests while one process followed the other", 200)
	t.Logf("%v; the backend saw %d", &total, b.total())
	g.hangUp()
	g.signal(syscall.SIGTERM)
	if code := g.wait(35 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// launchWith starts a gateway that is given open sockets.
func launchWith(t testing.TB, dir string, files []*os.File, path string, args ...string) *program {
	t.Helper()
	p := newProgram(t, dir, "/bin/sh", append([]string{"-c", fmt.Sprintf(`LISTEN_PID=$$ LISTEN_FDS=%d; export LISTEN_PID LISTEN_FDS; exec "$0" "$@"`, len(files)), path}, args...)...)
	p.cmd.ExtraFiles = files
	p.begin(t)
	return p
}
