package audit

import (
	"context"
	"fmt"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

func typical() *model.Event {
	return &model.Event{
		Time: time.Date(2026, 11, 22, 10, 33, 0, 123456000, time.UTC), Type: model.EventAccess, Part: "decision", Outcome: "allowed", Step: "identify", Code: model.Allowed,
		RequestID: "01JD9Z8M6E3X5T7R9V1B3N5M7Q", User: "alice", Credential: "k_0123456789", Service: "orders", Route: "orders-v1",
		Rule: "orders-writer", Method: "POST", Host: "api.example.com", Path: "/1.0/orders/12345/lines", ClientIP: "203.0.113.77",
		UserAgent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36", Revision: 42,
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, form := range []string{"mapped", "written"} {
		b.Run(form, func(b *testing.B) {
			l, err := Open(b.TempDir(), Options{Node: "a"})
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			if form == "written" {
				useWritten(b, l)
			}
			e := typical()
			b.ReportAllocs()
			var before, after syscall.Rusage
			_ = syscall.Getrusage(syscall.RUSAGE_SELF, &before)
			for b.Loop() {
				if err := l.Append(e); err != nil {
					b.Fatal(err)
				}
			}
			_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
			// Other work on the machine and the disk's pace count in ns/op, not here.
			cpu := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
			b.ReportMetric(float64(cpu)/float64(b.N), "cpu-ns/op")
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	e, h := typical(), newHead("a", 1)
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		buf = appendBody(buf[:0], e)
		buf = append(buf, h.bytes("", e.Time, 12345)...)
	}
}

func BenchmarkAppendSyncParallel(b *testing.B) {
	l, err := Open(b.TempDir(), Options{Node: "a"})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		e := typical()
		for pb.Next() {
			e.ID = ""
			if err := l.AppendSync(e); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// useWritten swaps the log's segment for one that writes each event by itself.
func useWritten(t testing.TB, l *Log) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	path := l.refs[len(l.refs)-1].path
	end := l.current.end()
	if err := l.current.close(); err != nil {
		t.Fatal(err)
	}
	w, err := openWritten(path, end, 64<<20, l.o.disk)
	if err != nil {
		t.Fatal(err)
	}
	l.current = w
}

// BenchmarkQuery looks for one request in a hundred thousand.
func BenchmarkQuery(b *testing.B) {
	l, err := Open(b.TempDir(), Options{Node: "a"})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	e := typical()
	for i := 0; i < 100_000; i++ {
		e.RequestID = "r" + strconv.Itoa(i)
		if err := l.Append(e); err != nil {
			b.Fatal(err)
		}
	}
	for _, joined := range []bool{false, true} {
		b.Run(fmt.Sprintf("joined=%v", joined), func(b *testing.B) {
			for b.Loop() {
				if p, err := l.Query(context.Background(), Query{RequestID: "r0", Joined: joined}); err != nil || len(p.Items) != 1 {
					b.Fatal(err, p)
				}
			}
		})
	}
}
