package audit

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

func open(t testing.TB, dir string, o Options) *Log {
	t.Helper()
	o.Node = "node-a"
	l, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func numbered(n int) *model.Event {
	return &model.Event{Type: model.EventAccess, Part: PartDecision, Outcome: "allowed", RequestID: "r" + strconv.Itoa(n), User: "alice"}
}

func appendAll(t testing.TB, l *Log, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if err := l.Append(numbered(i)); err != nil {
			t.Fatal(err)
		}
	}
}

// lines reads all segments as a stranger would: line by line, blank ones skipped.
func lines(t testing.TB, dir string) (out []string) {
	t.Helper()
	refs, err := segments(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range refs {
		b, err := os.ReadFile(r.path)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range strings.Split(string(b), "\n") {
			if s != "" {
				out = append(out, s)
			}
		}
	}
	return out
}

// requireRun checks that the log holds exactly the events r0 to r(n-1), whole and in order.
func requireRun(t testing.TB, dir string, n int) {
	t.Helper()
	got := lines(t, dir)
	if len(got) != n {
		t.Fatalf("%d events, want %d", len(got), n)
	}
	for i, s := range got {
		e, ok := decode([]byte(s))
		if !ok || e.RequestID != "r"+strconv.Itoa(i) || e.Seq != uint64(i+1) {
			t.Fatalf("event %d is %q", i, s)
		}
	}
}

func TestTheSequenceGoesOnAfterARestart(t *testing.T) {
	for _, form := range []string{"mapped", "written"} {
		t.Run(form, func(t *testing.T) {
			dir := t.TempDir()
			for run := 0; run < 3; run++ {
				l := open(t, dir, Options{})
				if form == "written" {
					useWritten(t, l)
				}
				appendAll(t, l, run*10, run*10+10)
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
			}
			requireRun(t, dir, 30)
		})
	}
}

func TestSegmentsRollAndStayInOrder(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{SegmentBytes: 1 << 20})
	appendAll(t, l, 0, 20_000)
	l.Close()
	refs, _ := segments(dir)
	if len(refs) < 3 {
		t.Errorf("%d segments", len(refs))
	}
	requireRun(t, dir, 20_000)
}

func TestALineLongerThanASegmentGetsOneOfItsOwn(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{SegmentBytes: 1 << 20})
	big := &model.Event{Type: model.EventAdmin, Changes: []model.Change{{Kind: "users", Name: "x", After: strings.Repeat("x", 3<<20)}}}
	for _, e := range []*model.Event{numbered(0), big, numbered(2)} {
		if err := l.AppendSync(e); err != nil {
			t.Fatal(err)
		}
	}
	l.Close()
	if got := lines(t, dir); len(got) != 3 || len(got[1]) < 3<<20 {
		t.Fatalf("%d lines", len(got))
	}
}

func TestTheOldestSegmentsGoBeyondKeepBytes(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{SegmentBytes: 1 << 20, KeepBytes: 3 << 20, SyncEvery: 20 * time.Millisecond})
	for i := 0; i < 8; i++ {
		appendAll(t, l, i*5000, i*5000+5000)
		time.Sleep(60 * time.Millisecond)
	}
	refs, _ := segments(dir)
	if len(refs) == 0 || len(refs) > 4 || refs[0].first == 1 {
		t.Errorf("segments: %v", refs)
	}
	if _, err := l.Query(context.Background(), Query{RequestID: "r39999"}); err != nil {
		t.Error(err)
	}
}

func TestASecondProcessIsRefusedTheFolder(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, Options{})
	if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("opened twice: %v", err)
	}
}

func TestManyWritersShareSyncsAndLoseNothing(t *testing.T) {
	var syncs atomic.Int64
	d := realDisk()
	slow := d.sync
	d.sync = func(f *os.File) error { syncs.Add(1); time.Sleep(2 * time.Millisecond); return slow(f) }
	dir := t.TempDir()
	l := open(t, dir, Options{disk: d})
	var wg sync.WaitGroup
	for w := 0; w < 16; w++ {
		wg.Go(func() {
			for i := 0; i < 20; i++ {
				e := numbered(i)
				if err := l.AppendSync(e); err != nil || e.ID == "" || e.Seq == 0 {
					t.Errorf("%v %+v", err, e)
				}
			}
		})
	}
	wg.Wait()
	if n := syncs.Load(); n > 160 {
		t.Errorf("%d syncs for 320 events: no group commit", n)
	}
	l.Close()
	if n := len(lines(t, dir)); n != 320 {
		t.Errorf("%d events", n)
	}
}

func TestAnEventIsSyncedWithinTheInterval(t *testing.T) {
	l := open(t, t.TempDir(), Options{})
	appendAll(t, l, 0, 1)
	time.Sleep(200 * time.Millisecond)
	l.syncing.Lock()
	defer l.syncing.Unlock()
	if l.synced != 1 {
		t.Error("not synced after 200 ms")
	}
}

// A process killed at any moment loses no event that Append returned for.
func TestKill9LosesNoEvent(t *testing.T) {
	if dir := os.Getenv("AUDIT_KILLED"); dir != "" {
		l, err := Open(dir, Options{Node: "node-a", SegmentBytes: 1 << 20})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		from, _ := strconv.Atoi(os.Getenv("AUDIT_FROM"))
		w := bufio.NewWriterSize(os.Stdout, 16)
		for i := from; ; i++ {
			if err := l.Append(numbered(i)); err != nil {
				os.Exit(1)
			}
			fmt.Fprintln(w, i) // acknowledged
		}
	}
	dir, next := t.TempDir(), 0
	for round := 0; round < 8; round++ {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKill9LosesNoEvent$")
		cmd.Env = append(os.Environ(), "AUDIT_KILLED="+dir, "AUDIT_FROM="+strconv.Itoa(next))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Duration(15+round*7)*time.Millisecond, func() { _ = cmd.Process.Signal(syscall.SIGKILL) })
		acknowledged := next - 1
		for s := bufio.NewScanner(out); s.Scan(); {
			if n, err := strconv.Atoi(s.Text()); err == nil && n > acknowledged {
				acknowledged = n
			}
		}
		_ = cmd.Wait()
		l := open(t, dir, Options{})
		have := int(l.Seq())
		l.Close()
		if have < acknowledged { // the number read last may itself be cut short
			t.Fatalf("round %d: %d events acknowledged, %d there", round, acknowledged+1, have)
		}
		requireRun(t, dir, have)
		next = have
	}
	t.Logf("%d events over 8 kills", next)
}

func TestTornAndMissingPartsAreSetAside(t *testing.T) {
	line := func(seq int) string {
		return string(encode(&model.Event{Time: at, Type: "access", RequestID: "r" + strconv.Itoa(seq-1)}, uint64(seq)))
	}
	for name, c := range map[string]struct {
		content string
		want    int
		torn    bool
	}{
		"whole":                                       {line(1) + line(2), 2, false},
		"filler at the end":                           {line(1) + strings.Repeat("\n", 5000), 1, false},
		"pages never written at the end":              {line(1) + strings.Repeat("\x00", 200_000), 1, false},
		"half a line":                                 {line(1) + line(2)[:40], 1, true},
		"a line without its line feed":                {line(1) + strings.TrimSuffix(line(2), "\n"), 2, false},
		"a line whose first byte is still filler":     {line(1) + "\n" + line(2)[1:] + "\n\n", 1, true},
		"a line with a hole":                          {line(1) + line(2)[:40] + "\x00\x00\x00" + line(2)[43:], 1, true},
		"a hole in the middle, whole lines behind it": {line(1) + line(2)[:30] + strings.Repeat("\x00", 8192) + "\n" + line(3), 2, true},
		"a nested object that looks like an event":    {line(1) + "\n\n" + `{"id":"forged","x":1}` + "\n", 1, true},
		"a number that was there before":              {line(1) + line(2) + line(1), 2, true},
		"nothing":                                     {"", 0, false},
		"nothing but filler":                          {strings.Repeat("\n", 70_000), 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := segmentPath(dir, 1)
			if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			l := open(t, dir, Options{})
			if err := l.Append(&model.Event{Type: "access", RequestID: "next"}); err != nil {
				t.Fatal(err)
			}
			l.Close()
			got := lines(t, dir)
			if len(got) != c.want+1 {
				t.Fatalf("%d lines: %q", len(got), got)
			}
			for i, s := range got {
				if e, ok := decode([]byte(s)); !ok || i == c.want && e.RequestID != "next" {
					t.Errorf("line %d is %q", i, s)
				}
			}
			_, err := os.Stat(filepath.Join(dir, fmt.Sprintf("%020d.torn", 1)))
			if c.torn != (err == nil) {
				t.Errorf("set aside: %v, want %v", err == nil, c.torn)
			}
		})
	}
}

// failing is a disk that can be told to fail.
type failing struct {
	full, broken atomic.Bool
}

func (f *failing) disk() disk {
	d := realDisk()
	allocate, sync, write := d.allocate, d.sync, d.write
	d.allocate = func(file *os.File, off, n int64) error {
		if f.full.Load() {
			return syscall.ENOSPC
		}
		return allocate(file, off, n)
	}
	d.sync = func(file *os.File) error {
		if f.broken.Load() {
			return syscall.EIO
		}
		return sync(file)
	}
	d.write = func(file *os.File, b []byte, off int64) (int, error) {
		if f.full.Load() {
			n, _ := write(file, b[:len(b)/2], off)
			return n, syscall.ENOSPC
		}
		return write(file, b, off)
	}
	return d
}

func requireUnavailable(t *testing.T, err error) {
	t.Helper()
	var e *model.Error
	if !errors.As(err, &e) || e.Code != model.AuditUnavailable {
		t.Fatalf("%v is not audit_unavailable", err)
	}
}

func TestAFullDiskRefusesAndResumesWithinASecond(t *testing.T) {
	for _, form := range []string{"mapped", "written"} {
		t.Run(form, func(t *testing.T) {
			f, dir := &failing{}, t.TempDir()
			l := open(t, dir, Options{disk: f.disk()})
			if form == "written" {
				useWritten(t, l)
			}
			n := 0
			f.full.Store(true)
			var err error
			for ; err == nil; n++ {
				err = l.Append(numbered(n))
				if n > 100_000 {
					t.Fatal("never full")
				}
			}
			n--
			requireUnavailable(t, err)
			requireUnavailable(t, l.Healthy())
			time.Sleep(250 * time.Millisecond)
			if l.Append(numbered(n)) == nil {
				t.Fatal("written although the disk is full")
			}
			f.full.Store(false)
			deadline := time.Now().Add(time.Second)
			for l.Append(numbered(n)) != nil {
				if time.Now().After(deadline) {
					t.Fatal("not resumed within a second")
				}
				time.Sleep(10 * time.Millisecond)
			}
			if err := l.Healthy(); err != nil {
				t.Error(err)
			}
			l.Close()
			requireRun(t, dir, n+1)
		})
	}
}

func TestAFailedSyncRefusesUntilAllIsDurableAgain(t *testing.T) {
	f, dir := &failing{}, t.TempDir()
	l := open(t, dir, Options{disk: f.disk()})
	appendAll(t, l, 0, 10)
	f.broken.Store(true)
	requireUnavailable(t, l.AppendSync(numbered(10)))
	requireUnavailable(t, l.Append(numbered(11)))
	f.broken.Store(false)
	deadline := time.Now().Add(time.Second)
	for l.AppendSync(numbered(11)) != nil {
		if time.Now().After(deadline) {
			t.Fatal("not resumed within a second")
		}
		time.Sleep(10 * time.Millisecond)
	}
	l.Close()
	requireRun(t, dir, 12)
}

func TestAFileCutShortUnderTheGatewayDoesNotKillIt(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{})
	appendAll(t, l, 0, 10)
	if err := os.Truncate(segmentPath(dir, 1), 0); err != nil { // as logrotate's copytruncate does
		t.Fatal(err)
	}
	appendAll(t, l, 10, 20)
	if err := l.Healthy(); err != nil {
		t.Error(err)
	}
	l.Close()
	if got := lines(t, dir); len(got) != 10 {
		t.Errorf("%d events", len(got))
	}
}

func TestAClosedLogRefuses(t *testing.T) {
	l := open(t, t.TempDir(), Options{})
	l.Close()
	requireUnavailable(t, l.Append(numbered(0)))
	if _, err := l.Query(context.Background(), Query{}); err == nil {
		t.Error("a closed log answers queries")
	}
}

func TestRepeatedSecurityEventsAreCounted(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{})
	for i := 0; i < 50; i++ {
		for _, user := range []string{"alice", "bob"} {
			if err := l.Append(&model.Event{Type: model.EventSecurity, Outcome: "denied", Reason: "forged X-User", User: user, RequestID: strconv.Itoa(i)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	l.Close()
	var got []string
	for _, s := range lines(t, dir) {
		e, _ := decode([]byte(s))
		got = append(got, fmt.Sprintf("%s %d", e.User, e.Count))
	}
	if len(got) != 4 || got[0] != "alice 0" || got[1] != "bob 0" || !strings.HasSuffix(got[2], " 49") || !strings.HasSuffix(got[3], " 49") {
		t.Errorf("%q", got)
	}
}
