//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// smallDisk is a folder on a file system of its own, of size bytes. Only root can
// mount one: elsewhere the test fails and says so.
func smallDisk(t testing.TB, size int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0700,size="+strconv.Itoa(size)); err != nil {
		t.Fatalf("a small file system cannot be mounted: %v; run this test as root", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// fill takes all the room there is.
func fill(t testing.TB, dir string) (release func()) {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1 << 20, 4 << 10, 1} {
		for b := make([]byte, n); ; {
			if _, err := f.Write(b); err != nil {
				break
			}
		}
	}
	_ = f.Close()
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

// contents are the files below a folder as they lie there.
func contents(t testing.TB, dir, pattern string) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	files, _ := filepath.Glob(filepath.Join(dir, pattern))
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		// Read while it is written, a page may be older than the next: what follows
		// filler is not there yet.
		if i := bytes.Index(b, []byte("\n\n")); i >= 0 {
			b = b[:i]
		}
		out[f] = bytes.TrimRight(b, "\n\x00")
	}
	return out
}

// grown fails the test where something that lay in a segment is not there any more.
func grown(t testing.TB, before, after map[string][]byte) {
	t.Helper()
	for name, b := range before {
		if !bytes.HasPrefix(after[name], b) {
			t.Errorf("%s had %d bytes and has %d, which do not begin with those", name, len(b), len(after[name]))
		}
	}
}

// trickle sends requests one after the other and keeps count of what comes of them.
type trickle struct {
	crew
	served, refused, other atomic.Int64
	lastServed             atomic.Int64
}

func (c *trickle) flow(t testing.TB, g *gateway, workers int) {
	long := strings.Repeat("x", 2000)
	c.work(workers, func(w, i int) {
		mods := []mod{header("X-Probe", fmt.Sprintf("%d.%d", w, i))}
		path := "/open/" + long // an event keeps it: the segment fills sooner
		if i%2 == 0 {
			path, mods = "/api/"+long, append(mods, user("alice"))
		}
		a, err := exchange(g.client, "GET", g.url(path), "", mods...)
		switch {
		case err == nil && a.status == 200:
			c.served.Add(1)
			c.lastServed.Store(time.Now().UnixNano())
		case err == nil && a.status == 503 && a.code() == "audit_unavailable":
			c.refused.Add(1)
			if a.header.Get("Retry-After") == "" {
				t.Error("audit_unavailable without Retry-After")
			}
			time.Sleep(2 * time.Millisecond)
		default:
			c.other.Add(1)
			if c.other.Load() < 5 {
				t.Errorf("neither served nor refused for the audit: %v %v", a, err)
			}
		}
	})
}

// resumes waits until requests are served again.
func (c *trickle) resumes(t testing.TB, what string) time.Duration {
	t.Helper()
	begin := time.Now()
	until(t, 20*time.Second, what, func() bool { return c.lastServed.Load() > begin.UnixNano() })
	return time.Since(begin)
}

func audited(t testing.TB, log *segments, b *ledger) {
	t.Helper()
	seen := map[string]bool{}
	decided(log.next(t), seen)
	lost := 0
	for _, id := range b.taken() {
		if !seen[id] {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("%d requests reached the backend without their decision in the audit", lost)
	}
}

func TestAFullDiskRefusesRatherThanForwardsUnaudited(t *testing.T) {
	random := seeded(t)
	// What is audited stays, and fills a small disk by itself: two rounds on each.
	for n := range counts(1, 25) {
		t.Run(fmt.Sprintf("disk %d", n), func(t *testing.T) { fillTwice(t, random) })
	}
}

func fillTwice(t *testing.T, random *dice) {
	b := newLedger(t, nil)
	dir := smallDisk(t, 24<<20)
	g := start(t, options{dir: dir, resources: withBackend(everyone, b.URL)})
	log := g.segments()
	for round := range 2 {
		var c trickle
		c.flow(t, g, 8)
		time.Sleep(100*time.Millisecond + random.upTo(200*time.Millisecond))
		release := fill(t, dir)
		before := contents(t, dir, "data/audit/*.jsonl")
		// There is room in the segment for some more; then everything is refused.
		until(t, 60*time.Second, "the audit is full", func() bool { return c.refused.Load() > 50 })
		until(t, 5*time.Second, "the gateway's own log says so", func() bool { return strings.Contains(g.log.String(), "audit log cannot be written: refusing") })
		served := c.served.Load()
		time.Sleep(300 * time.Millisecond)
		if n := c.served.Load() - served; n > 8 {
			t.Errorf("%d requests were served while others were refused for the audit", n)
		}
		if a := g.call(t, "GET", "/.sallyport/healthz", ""); a.status != 503 {
			t.Errorf("a load balancer is told %d", a.status)
		}
		change := g.api(t, "PUT", "/v2/roles/full", `{"name":"full","permissions":[]}`)
		if change.status/100 == 2 {
			t.Errorf("a change was acknowledged on a full disk: %d", change.status)
		} else if change.status/100 != 5 || change.code() == "" {
			t.Errorf("a change on a full disk: %d %s", change.status, change.body)
		}
		release()
		within(t, "resuming once there was space", c.resumes(t, "requests are served again"), time.Second)
		c.end()
		t.Logf("round %d: %d served, %d refused for the audit", round, c.served.Load(), c.refused.Load())
		grown(t, before, contents(t, dir, "data/audit/*.jsonl"))
		audited(t, log, b)
		if a := g.api(t, "GET", "/v2/roles/full", ""); a.status != 404 {
			t.Errorf("the refused change is there: %d", a.status)
		}
		g.must(t, 200, "PATCH", "/v2/users/bob", fmt.Sprintf(`{"displayName":"after %d"}`, round))
	}
	before := contents(t, dir, "data/audit/*.jsonl")
	g.kill()
	// A start on the full disk says so, harms nothing, and is whole once there is space.
	release := fill(t, dir)
	g.hangUp()
	g.opt.notReady = true
	g.run(t)
	until(t, 20*time.Second, "the gateway has said that there is no space, or serves in what its segment has left", func() bool {
		if s := g.log.String(); strings.Contains(s, "space") || strings.Contains(s, "full") {
			return true
		}
		a, err := exchange(g.client, "GET", g.url("/.sallyport/healthz"), "")
		return err == nil && a.status == 200
	})
	if !g.running() {
		g.run(t)
	}
	until(t, 10*time.Second, "the gateway answers", func() bool {
		_, err := exchange(g.client, "GET", g.url("/open"), "")
		return err == nil
	})
	release()
	begin := time.Now()
	until(t, 20*time.Second, "requests are served and changes made", func() bool {
		a, err := exchange(g.client, "GET", g.url("/api"), "", user("alice"))
		return err == nil && a.status == 200 && g.api(t, "GET", "/v2/users/bob", "").status == 200
	})
	within(t, "serving all once there was space", time.Since(begin), 2*time.Second)
	grown(t, before, contents(t, dir, "data/audit/*.jsonl"))
	var u struct{ DisplayName string }
	g.must(t, 200, "GET", "/v2/users/bob", "").into(t, &u)
	if !strings.HasPrefix(u.DisplayName, "after ") {
		t.Errorf("the acknowledged change is lost: %q", u.DisplayName)
	}
}

// faulty makes system calls of a running program fail, by strace.
func faulty(t testing.TB, g *gateway, calls, how string) (release func()) {
	t.Helper()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Fatal("strace is not installed: run scripts/install-real-parts, or apt-get install strace")
	}
	p := launch(t, g.dir, nil, "/usr/bin/strace", "-f", "-q", "-o", "/dev/null", "-p", strconv.Itoa(g.pid()), "-e", "trace="+calls, "-e", "inject="+calls+":"+how)
	until(t, 5*time.Second, "strace is attached", func() bool {
		if !p.running() {
			t.Fatalf("strace cannot attach: %s", p.log.String())
		}
		s, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.pid()))
		return !bytes.Contains(s, []byte("TracerPid:\t0\n"))
	})
	return func() {
		p.signal(syscall.SIGINT)
		p.wait(5 * time.Second)
	}
}

func TestAFailingSyncRefusesRatherThanForwardsUnaudited(t *testing.T) {
	seeded(t)
	b := newLedger(t, nil)
	g := start(t, options{resources: withBackend(everyone, b.URL)})
	log := g.segments()
	for round := range counts(1, 20) {
		var c trickle
		c.flow(t, g, 2)
		c.resumes(t, "requests are served")
		before := contents(t, g.dir, "data/audit/*.jsonl")
		release := faulty(t, g, "fsync,fdatasync,msync", "error=EIO")
		begin := time.Now()
		until(t, 20*time.Second, "requests are refused for the audit", func() bool { return c.refused.Load() > 0 })
		within(t, "noticing that nothing can be synced", time.Since(begin), time.Second)
		time.Sleep(300 * time.Millisecond)
		served := c.served.Load()
		time.Sleep(300 * time.Millisecond)
		if n := c.served.Load() - served; n > 4 {
			t.Errorf("%d requests were served although their audit could not be synced", n)
		}
		if a := g.api(t, "PUT", "/v2/roles/unsynced", `{"name":"unsynced","permissions":[]}`); a.status/100 == 2 {
			t.Errorf("a change was acknowledged that could not be synced: %d", a.status)
		} else if a.status/100 != 5 || a.code() == "" {
			t.Errorf("a change that cannot be synced: %d %s", a.status, a.body)
		}
		release()
		within(t, "resuming once syncing works", c.resumes(t, "requests are served again"), time.Second)
		c.end()
		t.Logf("round %d: %d served, %d refused for the audit", round, c.served.Load(), c.refused.Load())
		grown(t, before, contents(t, g.dir, "data/audit/*.jsonl"))
		audited(t, log, b)
		if a := g.api(t, "GET", "/v2/roles/unsynced", ""); a.status != 404 {
			t.Errorf("the refused change is there: %d", a.status)
		}
		g.must(t, 200, "PATCH", "/v2/users/bob", fmt.Sprintf(`{"displayName":"after %d"}`, round))
	}
	g.kill()
	g.again(t)
	if a := g.api(t, "GET", "/v2/roles/unsynced", ""); a.status != 404 {
		t.Errorf("the refused change is there after a start: %d", a.status)
	}
}
