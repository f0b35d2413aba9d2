package sqlite

import (
	"bufio"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/store/storetest"
)

// TestPowerLoss drops what was not synced (MEASURES, "power loss"). A child's
// system calls are recorded; then, for random moments, the disk is rebuilt as a
// power loss would have left it: what was synced is there, and of every write
// since then any part, by sectors, in any order. kill -9 cannot show this.
func TestPowerLoss(t *testing.T) {
	rounds, random := storetest.Rounds(t, 40)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	const changes = 80 // enough for the log to be brought into the file, and begun anew, more than once
	events := record(t, dir, changes)
	crashes := map[int]int{}
	for range rounds {
		crashes[random.IntN(len(events))]++
	}
	d := &disk{files: map[string]*file{}, synced: map[string]*file{}}
	var acknowledged int64
	for i, e := range events {
		for range crashes[i] {
			left := t.TempDir()
			d.lose(t, left, random)
			s, err := Open(t.Context(), filepath.Join(left, "db"))
			if err != nil {
				t.Fatalf("before call %d (%s): %v", i, e.call, err)
			}
			storetest.Whole(t, s, acknowledged)
			if err := s.Check(t.Context()); err != nil {
				t.Fatalf("before call %d (%s): %v", i, e.call, err)
			}
			update(t, s, 1) // and goes on
			s.Close()
		}
		if n := d.do(e, dir); n > 0 {
			acknowledged = n
		}
	}
	t.Logf("%d calls, %d changes acknowledged, %d syncs", len(events), acknowledged, d.syncs)
	if acknowledged != changes || d.syncs < changes {
		t.Error("the record is not whole")
	}
}

// TestSyncError makes the kernel answer a sync with EIO: the change is refused
// with that reason, and what was acknowledged before is there. strace counts the
// calls of each thread by itself, so the moment is not exact.
func TestSyncError(t *testing.T) {
	strace := straceOrSkip(t)
	rounds, random := storetest.Rounds(t, 6)
	for range rounds {
		path := filepath.Join(t.TempDir(), "db")
		cmd := exec.Command(strace, "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync",
			"-e", "inject=fsync:error=EIO:when="+strconv.Itoa(4+random.IntN(16))+"+", os.Args[0], "-test.run=^$")
		cmd.Env = storetest.ChildEnv(path, 1000)
		var said, refused strings.Builder
		cmd.Stdout, cmd.Stderr = &said, &refused
		if err := cmd.Run(); err == nil || !strings.Contains(refused.String(), "the disk failed") {
			t.Fatalf("%v: %s", err, refused.String())
		}
		lines := strings.Fields(said.String())
		acknowledged, _ := strconv.ParseInt(append([]string{"0"}, lines...)[len(lines)], 10, 64)
		s := open(t, path)
		storetest.Whole(t, s, acknowledged)
		if err := s.Check(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// straceOrSkip finds an strace that may trace.
func straceOrSkip(t *testing.T) string {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed")
	}
	if out, err := exec.Command(strace, "-f", "-o", "/dev/null", "true").CombinedOutput(); err != nil {
		t.Skipf("strace may not trace here: %s", out)
	}
	return strace
}

// event is one system call that succeeded.
type event struct {
	call, path string
	data       []byte
	offset     int64
}

var traced = regexp.MustCompile(`^(\w+)\((?:AT_FDCWD<[^>]*>, )?(?:\d+<([^>]*)>)?(?:(?:, )?"([^"]*)")?(?:, (\d+))?(?:, (\d+))?.*\) += (\d+)(?:<([^>]*)>)?$`)

// record runs a child under strace and reads what it did in dir.
func record(t *testing.T, dir string, changes int) []event {
	t.Helper()
	trace := filepath.Join(t.TempDir(), "trace")
	cmd := exec.Command(straceOrSkip(t), "-f", "--seccomp-bpf", "-qq", "-y", "-xx", "-s", "1048576", "-o", trace, "-e", "signal=none",
		"-e", "trace=openat,pwrite64,write,fsync,fdatasync,ftruncate,unlink,rename", os.Args[0], "-test.run=^$")
	cmd.Env = storetest.ChildEnv(filepath.Join(dir, "db"), changes)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	f, err := os.Open(trace)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var events []event
	begun := map[string]string{} // calls that another thread's interrupted in the record
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		thread, call, _ := strings.Cut(lines.Text(), " ")
		call = strings.TrimSpace(call)
		if head, ok := strings.CutSuffix(call, " <unfinished ...>"); ok {
			begun[thread] = head
			continue
		}
		if strings.HasPrefix(call, "<... ") {
			_, tail, _ := strings.Cut(call, " resumed>")
			call = begun[thread] + tail
		}
		m := traced.FindStringSubmatch(call)
		if m == nil || m[1] == "openat" && !strings.Contains(call, "O_CREAT") {
			continue // failed, or of no consequence
		}
		e := event{call: m[1], path: plain(m[2]), data: []byte(plain(m[3]))}
		switch e.call {
		case "openat":
			e.path = plain(m[7])
		case "unlink", "rename":
			e.path = string(e.data)
		case "ftruncate":
			e.offset, _ = strconv.ParseInt(m[4], 10, 64)
		case "pwrite64":
			e.offset, _ = strconv.ParseInt(m[5], 10, 64)
		}
		events = append(events, e)
	}
	return events
}

// plain undoes strace's \x41.
func plain(s string) string {
	b, err := hex.DecodeString(strings.ReplaceAll(s, `\x`, ""))
	if err != nil {
		return ""
	}
	return string(b)
}

// disk is the data directory: files as the kernel shows them, and the names that
// are on the disk.
type disk struct {
	files, synced map[string]*file
	syncs         int
}

// file is what is on the disk, and what was written since.
type file struct {
	durable []byte
	pending []event
}

// do plays one call, and answers the change that it acknowledged, or 0.
func (d *disk) do(e event, dir string) int64 {
	if e.call == "write" && !strings.HasPrefix(e.path, "/") { // the pipe
		n, _ := strconv.ParseInt(strings.TrimSpace(string(e.data)), 10, 64)
		return n
	}
	if e.path == dir && e.call == "fsync" {
		d.synced = map[string]*file{}
		for name, f := range d.files {
			d.synced[name] = f
		}
		return 0
	}
	if filepath.Dir(e.path) != dir || strings.HasSuffix(e.path, "-shm") || strings.HasSuffix(e.path, lockSuffix) {
		return 0 // of no use to another start
	}
	name := filepath.Base(e.path)
	f := d.files[name]
	if f == nil {
		f = &file{}
		d.files[name] = f
	}
	switch e.call {
	case "unlink":
		delete(d.files, name)
	case "fsync", "fdatasync":
		d.syncs++
		for _, p := range f.pending {
			f.durable = p.apply(f.durable, 0, len(p.data))
		}
		f.pending = nil
	case "pwrite64", "ftruncate":
		f.pending = append(f.pending, e)
	}
	return 0
}

// apply writes the part of the event's data from a to b, or cuts the file.
func (e event) apply(content []byte, a, b int) []byte {
	if e.call == "ftruncate" {
		if int64(len(content)) > e.offset {
			return content[:e.offset:e.offset]
		}
		return append(content, make([]byte, e.offset-int64(len(content)))...)
	}
	if end := int(e.offset) + b; end > len(content) {
		content = append(content, make([]byte, end-len(content))...)
	}
	copy(content[int(e.offset)+a:], e.data[a:b])
	return content
}

// lose writes to dir what a power loss could leave at this moment.
func (d *disk) lose(t *testing.T, dir string, random *rand.Rand) {
	t.Helper()
	names := map[string]*file{}
	for name, f := range d.synced {
		if d.files[name] == f || random.IntN(2) == 0 { // else its removal may have come through
			names[name] = f
		}
	}
	for name, f := range d.files {
		if d.synced[name] == nil && random.IntN(2) == 0 {
			names[name] = f
		}
	}
	chance := []float64{0, 0.1, 0.5, 0.9, 1}[random.IntN(5)]
	for name, f := range names {
		content := append([]byte(nil), f.durable...)
		for _, p := range f.pending {
			if p.call == "ftruncate" {
				if random.Float64() < chance {
					content = p.apply(content, 0, 0)
				}
				continue
			}
			for a := 0; a < len(p.data); a += 512 {
				if random.Float64() < chance {
					content = p.apply(content, a, min(a+512, len(p.data)))
				}
			}
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
