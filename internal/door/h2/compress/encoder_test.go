package compress

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"
)

// reader is the second reading: the library's decoder.
type reader struct {
	t   testing.TB
	dec *hpack.Decoder
	got []string
}

func newReader(t testing.TB) *reader {
	r := &reader{t: t}
	r.dec = hpack.NewDecoder(Most, func(f hpack.HeaderField) { r.got = append(r.got, f.Name+": "+f.Value) })
	return r
}

func (r *reader) read(block []byte) string {
	r.t.Helper()
	r.got = nil
	if _, err := r.dec.Write(block); err != nil {
		r.t.Fatalf("%x: %v", block, err)
	}
	if err := r.dec.Close(); err != nil {
		r.t.Fatalf("%x: %v", block, err)
	}
	return strings.Join(r.got, "\n")
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	e, r := New(), newReader(t)
	long := strings.Repeat("x", 3000)
	for i := range 200 {
		b := e.Begin(nil)
		b = e.Status(b, 200+i)
		b = e.Field(b, "Content-Type", "application/json")
		b = e.Once(b, "X-Request-Id", fmt.Sprint(i))
		b = e.Field(b, "Date", fmt.Sprint(i/50))
		b = e.Secret(b, "Set-Cookie", "a=b")
		b = e.Field(b, "x-empty", "")
		b = e.Field(b, "x-long", long)
		want := fmt.Sprintf(":status: %d\ncontent-type: application/json\nx-request-id: %d\ndate: %d\nset-cookie: a=b\nx-empty: \nx-long: %s", 200+i, i, i/50, long)
		if got := r.read(b); got != want {
			t.Fatalf("block %d:\n%s\nwant\n%s", i, got, want)
		}
	}
}

func TestAFieldSeenTwiceCostsAByte(t *testing.T) {
	e := New()
	size := func() int { return len(e.Field(nil, "X-Served-By", "backend one")) }
	first, second, third := size(), size(), size()
	if first < 20 || second < 20 || third != 1 {
		t.Errorf("%d, %d, %d bytes", first, second, third)
	}
}

func TestWhatNeverComesAgainIsNotKept(t *testing.T) {
	e := New()
	for i := range 1000 {
		e.Field(nil, "X-Trace", fmt.Sprint("unique ", i))
		e.Once(nil, "X-Request-Id", "same")
		e.Secret(nil, "Set-Cookie", "same")
	}
	if e.inserted != 0 {
		t.Errorf("%d fields were kept", e.inserted)
	}
}

func TestTheLimitOfThePeerIsKeptAndSaid(t *testing.T) {
	e, r := New(), newReader(t)
	e.SetLimit(100)
	e.SetLimit(1 << 30)
	b := e.Begin(nil)
	if want := []byte{0x20, 0x20 | 31, 0xe1, 0x1f}; string(b) != string(want) {
		t.Fatalf("%x, want %x", b, want)
	}
	r.read(b)
	if b = e.Begin(nil); len(b) != 0 {
		t.Errorf("said twice: %x", b)
	}
	e.SetLimit(0)
	r.dec.SetAllowedMaxDynamicTableSize(0)
	r.read(e.Begin(nil))
	for range 3 {
		if got := r.read(e.Field(nil, "server", "x")); got != "server: x" {
			t.Error(got)
		}
	}
	if e.inserted != 0 {
		t.Error("a table of no size was used")
	}
}

func TestAnyOrderOfFieldsAndLimitsIsRead(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		e, r := New(), newReader(t)
		for range 100 {
			if rnd.IntN(20) == 0 {
				n := uint32(rnd.IntN(5000))
				e.SetLimit(n)
				r.dec.SetAllowedMaxDynamicTableSize(n)
			}
			b := e.Begin(nil)
			var want []string
			for range rnd.IntN(12) {
				name := []string{"Vary", "x-a", "X-B", "cache-control", "etag", "set-cookie"}[rnd.IntN(6)]
				value := strings.Repeat("v", rnd.IntN(3)*rnd.IntN(400)) + fmt.Sprint(rnd.IntN(30))
				want = append(want, strings.ToLower(name)+": "+value)
				b = e.Field(b, name, value)
			}
			if got := r.read(b); got != strings.Join(want, "\n") {
				t.Fatalf("seed %d: %q, want %q", seed, got, want)
			}
			if e.size > e.limit {
				t.Fatalf("%d bytes in a table of %d", e.size, e.limit)
			}
		}
	}
}

func TestStaticNamesAreThoseOfTheStandard(t *testing.T) {
	for _, list := range known {
		for _, k := range list {
			r := newReader(t)
			if got := r.read(literal(nil, 0, 4, k.name, "v")); got != k.name+": v" || static(k.name) != k.index {
				t.Errorf("%s: %s", k.name, got)
			}
		}
	}
}

func BenchmarkAnswer(b *testing.B) {
	e := New()
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		buf = e.Begin(buf[:0])
		buf = e.Status(buf, 200)
		buf = e.Field(buf, "Server", "nginx")
		buf = e.Field(buf, "Content-Type", "application/json")
		buf = e.Field(buf, "Date", "Mon, 02 Jan 2006 15:04:05 GMT")
		buf = e.Field(buf, "Content-Length", "785")
		buf = e.Field(buf, "Vary", "Origin")
		buf = e.Once(buf, "X-Request-Id", "0123456789abcdef0123456789abcdef")
	}
}
