//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// packages are what to install for a program, on Debian and its like.
var packages = map[string]string{"curl": "curl", "nginx": "nginx-light", "node": "nodejs", "openssl": "openssl", "h2load": "nghttp2-client",
	"apache2": "apache2-bin", "php": "php-cli", "slapd": "slapd", "slapadd": "slapd", "chromium": "chromium", "slowhttptest": "slowhttptest"}

// need finds a program. A missing one is a failure, never a skip: a test that did
// not run has shown nothing.
func need(t testing.TB, program string) string {
	t.Helper()
	if p, err := exec.LookPath(program); err == nil {
		return p
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/local/sbin"} {
		if p := filepath.Join(dir, program); executable(p) {
			return p
		}
	}
	t.Fatalf("%s is not installed: run scripts/install-real-parts, or apt-get install %s", program, packages[program])
	return ""
}

func executable(p string) bool {
	info, err := os.Stat(p)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// nodeModule is the path of a file of an npm package.
func nodeModule(t testing.TB, path string) string {
	t.Helper()
	p, err := filepath.Abs(filepath.Join("node", "node_modules", path))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(p); err != nil {
		t.Fatalf("the npm packages are not installed: run scripts/install-real-parts, or npm ci in test/e2e/node (%v)", err)
	}
	return p
}

// freePort is a port that nothing listens on. It lies below the range from which
// the kernel gives ports to clients, so that no connection of a neighbour takes it
// before its server does.
func freePort(t testing.TB) int {
	t.Helper()
	for range 200 {
		p := 10000 + rand.IntN(20000)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", p))
		if err != nil {
			continue
		}
		_ = l.Close()
		if _, taken := handedOut.LoadOrStore(p, true); !taken {
			return p
		}
	}
	t.Fatal("no free port found")
	return 0
}

var handedOut sync.Map

func freeAddress(t testing.TB) string { return fmt.Sprintf("127.0.0.1:%d", freePort(t)) }

// program is a process that a test started and ends.
type program struct {
	t      testing.TB
	name   string
	cmd    *exec.Cmd
	log    *lockedBuffer
	exited chan struct{}
	err    error // of Wait, once exited is closed
}

// launch starts a program whose output is kept for when the test fails. It is
// killed at the end of the test, if it still runs.
func launch(t testing.TB, dir string, env []string, path string, args ...string) *program {
	t.Helper()
	p := &program{t: t, name: filepath.Base(path), cmd: exec.Command(path, args...), log: &lockedBuffer{}, exited: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env = dir, append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("starting %s: %v", p.name, err)
	}
	go func() { p.err = p.cmd.Wait(); close(p.exited) }()
	t.Cleanup(func() {
		p.kill()
		if said := p.log.String(); strings.Contains(said, "WARNING: DATA RACE") { // of a build with -race
			t.Errorf("%s has a data race:\n%s", p.name, said[strings.Index(said, "WARNING: DATA RACE"):])
		}
		if t.Failed() {
			t.Logf("%s said:\n%s", p.name, tail(p.log.String(), 8000))
		}
	})
	return p
}

func (p *program) pid() int { return p.cmd.Process.Pid }

func (p *program) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

func (p *program) running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// kill ends the process at once, as kill -9 does, and waits until it is gone.
func (p *program) kill() {
	if p.running() {
		_ = p.cmd.Process.Kill()
	}
	<-p.exited
}

// wait waits for the process to end by itself and answers its exit code.
func (p *program) wait(limit time.Duration) int {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(limit):
		p.t.Errorf("%s has not ended after %v", p.name, limit)
		_ = p.cmd.Process.Signal(syscall.SIGABRT) // Go programs then print their goroutines
		select {
		case <-p.exited:
		case <-time.After(2 * time.Second):
			p.kill()
		}
		return -1
	}
	return p.cmd.ProcessState.ExitCode()
}

// until waits for a condition that nobody announces.
func until(t testing.TB, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("after %v still not: %s", limit, what)
		}
	}
}

// listens waits until something accepts connections at the address.
func (p *program) listens(address string) {
	p.t.Helper()
	until(p.t, 20*time.Second, p.name+" listens on "+address, func() bool {
		if !p.running() {
			p.t.Fatalf("%s ended instead of serving: %v\n%s", p.name, p.err, tail(p.log.String(), 4000))
		}
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}

// runs a program to its end.
func runProgram(t testing.TB, limit time.Duration, env []string, path string, args ...string) (out string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), env...)
	b, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
	case errors.As(err, &exit):
		code = exit.ExitCode()
	default:
		t.Fatalf("%s: %v", filepath.Base(path), err)
	}
	return string(b), code
}

// usage is what the operating system says of a process.
type usage struct {
	rss, peak int64 // bytes
	cpu       time.Duration
	threads   int
	files     int
}

func usageOf(t testing.TB, pid int) (u usage) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(b), "\n") {
		name, rest, _ := strings.Cut(line, ":")
		n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		switch name {
		case "VmRSS":
			u.rss = n << 10
		case "VmHWM":
			u.peak = n << 10
		case "Threads":
			u.threads = int(n)
		}
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	u.cpu = time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100 on Linux
	if fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid)); err == nil {
		u.files = len(fds)
	}
	return u
}

// lockedBuffer is written by a process and read by a test.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}

func write(t testing.TB, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func readAll(t testing.TB, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("reading a body: %v (after %q)", err, tail(string(b), 200))
	}
	return string(b)
}
