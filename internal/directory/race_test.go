package directory

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

// versions is a source whose users carry, as display name, the number of their
// last committed change, and which takes a random while to answer what it read.
type versions struct {
	version [20]atomic.Int64
	slow    bool
}

func (v *versions) FindUser(_ context.Context, k Key) (*model.User, string, error) {
	var i int
	if _, err := fmt.Sscanf(k.A, "user%d", &i); err != nil || i >= len(v.version) {
		return nil, "", nil
	}
	n := v.version[i].Load()
	if v.slow {
		time.Sleep(time.Duration(rand.Int64N(int64(200 * time.Microsecond))))
	}
	if n%5 == 4 { // deleted for the moment
		return nil, "", nil
	}
	u := user(fmt.Sprint("user", i), fmt.Sprint("user", i))
	u.DisplayName = fmt.Sprint(n)
	return &u, "", nil
}

func (v *versions) UserByID(ctx context.Context, id string) (*model.User, error) {
	u, _, err := v.FindUser(ctx, Key{A: id})
	return u, err
}

// Whatever a lookup answers must be at least as new as the last change that was
// acknowledged before the lookup began; a principal that says it is fresh must
// be so too, however long it is held. Small sizes make evictions part of it.
func TestNoLookupIsOlderThanAnAcknowledgedChange(t *testing.T) {
	for _, size := range []int{3, 10, 1000} {
		t.Run(fmt.Sprintf("with room for %d of 20 users", size), func(t *testing.T) {
			src := &versions{slow: true}
			d := New(src, Options{Size: size, Negative: time.Hour})
			var acked [20]atomic.Int64
			ctx, cancel := context.WithTimeout(context.Background(), 700*time.Millisecond)
			defer cancel()
			var wg sync.WaitGroup
			for range 3 {
				wg.Go(func() {
					for ctx.Err() == nil {
						i := rand.IntN(20)
						n := src.version[i].Add(1) // commit
						if rand.IntN(200) == 0 {
							d.InvalidateAll()
						} else {
							d.Invalidate(fmt.Sprint("user", i))
						}
						for a := acked[i].Load(); a < n && !acked[i].CompareAndSwap(a, n); a = acked[i].Load() {
						}
						time.Sleep(time.Duration(rand.Int64N(int64(300 * time.Microsecond))))
					}
				})
			}
			var lookups atomic.Int64
			for range 6 {
				wg.Go(func() { look(ctx, t, d, src, &acked, &lookups) })
			}
			wg.Wait()
			t.Logf("%d lookups, %+v", lookups.Load(), d.Stats())
			for i := range acked { // all quiet: nothing old was left behind
				f := must(d.Find(context.Background(), Key{By: ByUsername, A: fmt.Sprint("user", i)}))
				n := src.version[i].Load()
				check(t, f.Principal, n, n)
			}
		})
	}
}

func look(ctx context.Context, t *testing.T, d *Directory, src *versions, acked *[20]atomic.Int64, lookups *atomic.Int64) {
	held := map[int]*Principal{}
	for ctx.Err() == nil {
		i := rand.IntN(20)
		least := acked[i].Load()
		p := held[i]
		if p != nil && p.Fresh() {
			check(t, p, least, src.version[i].Load())
			continue
		}
		name := fmt.Sprint("user", i)
		var err error
		if rand.IntN(2) == 0 {
			p, err = d.User(context.Background(), name)
		} else {
			var f Found
			f, err = d.Find(context.Background(), Key{By: ByUsername, A: name})
			p = f.Principal
		}
		if err != nil {
			t.Error(err)
			return
		}
		check(t, p, least, src.version[i].Load())
		held[i] = p
		lookups.Add(1)
	}
}

func check(t *testing.T, p *Principal, least, newest int64) {
	t.Helper()
	if p == nil { // true only of the versions 4, 9, 14…
		if deleted := least + (9-least%5)%5; deleted > newest {
			t.Errorf("nobody, while changes %d to %d have somebody", least, newest)
		}
		return
	}
	var n int64
	fmt.Sscan(p.User.DisplayName, &n)
	if n < least {
		t.Errorf("%s is of change %d, and %d was acknowledged before", p.User.ID, n, least)
	}
}

func BenchmarkFindByKeyID(b *testing.B) {
	d := New(newSource(alice), Options{})
	key := Key{By: ByKeyID, A: "abc"}
	must(d.Find(b.Context(), key))
	b.ReportAllocs()
	for b.Loop() {
		must(d.Find(b.Context(), key))
	}
}

func BenchmarkFindByUsername(b *testing.B) {
	d := New(newSource(alice), Options{})
	key := Key{By: ByUsername, A: "alice"}
	must(d.Find(b.Context(), key))
	b.ReportAllocs()
	for b.Loop() {
		must(d.Find(b.Context(), key))
	}
}

func BenchmarkUser(b *testing.B) {
	d := New(newSource(alice), Options{})
	d.User(b.Context(), "u1")
	b.ReportAllocs()
	for b.Loop() {
		d.User(b.Context(), "u1")
	}
}

func BenchmarkFindAmong100000(b *testing.B) {
	d := New(everybody{}, Options{})
	keys := make([]Key, 100_000)
	for i := range keys {
		keys[i] = Key{By: ByUsername, A: fmt.Sprintf("user%d", 2*i)}
		must(d.Find(b.Context(), keys[i]))
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		must(d.Find(b.Context(), keys[i%len(keys)]))
		i += 7919
	}
}

func BenchmarkMiss(b *testing.B) {
	d := New(everybody{}, Options{Size: 100})
	keys := make([]Key, 100_000)
	for i := range keys {
		keys[i] = Key{By: ByUsername, A: fmt.Sprintf("user%d", 2*i)}
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		must(d.Find(b.Context(), keys[i%len(keys)]))
		i++
	}
}
