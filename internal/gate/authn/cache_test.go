package authn

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

var t0 = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

func TestCacheRemembersWithinItsTerms(t *testing.T) {
	c := NewCache(100)
	p := &Proof{Subject: "a"}
	k := c.Key(SpaceBearer, 1, "credential")
	if c.Get(k, t0) != nil {
		t.Error("it knows what nobody put in")
	}
	c.Put(k, p, t0.Add(time.Minute))
	if c.Get(c.Key(SpaceBearer, 1, "credential"), t0) != p {
		t.Error("it forgot")
	}
	for name, other := range map[string]CacheKey{
		"another credential":  c.Key(SpaceBearer, 1, "credentiam"),
		"a longer credential": c.Key(SpaceBearer, 1, "credential\x00"),
		"another epoch":       c.Key(SpaceBearer, 2, "credential"),
		"another method":      c.Key(SpaceAPIKey, 1, "credential"),
		"nothing":             c.Key(SpaceBearer, 1, ""),
		"another process":     NewCache(100).Key(SpaceBearer, 1, "credential"),
	} {
		if c.Get(other, t0) != nil {
			t.Errorf("%s finds it", name)
		}
	}
	if c.Get(k, t0.Add(time.Minute-1)) != p {
		t.Error("it ended early")
	}
	if c.Get(k, t0.Add(time.Minute)) != nil || c.Get(k, t0) != nil {
		t.Error("it did not end")
	}
	c.Put(k, p, time.Time{})
	if c.Get(k, t0.Add(1000*time.Hour)) != p {
		t.Error("what has no end ended")
	}
	c.Drop()
	if c.Get(k, t0) != nil {
		t.Error("Drop left something")
	}
}

func TestCacheIsBoundedAndKeepsWhatIsUsed(t *testing.T) {
	c := NewCache(1024)
	hot := c.Key(SpaceAPIKey, 0, "hot")
	c.Put(hot, &Proof{Subject: "hot"}, time.Time{})
	for i := range 100_000 {
		c.Put(c.Key(SpaceAPIKey, 0, fmt.Sprint(i)), &Proof{}, time.Time{})
		if i%100 == 0 && c.Get(hot, t0) == nil {
			t.Fatalf("what is used all the time was thrown out after %d others", i)
		}
	}
	n := 0
	for i := range *c.table.Load() {
		for j := range (*c.table.Load())[i].entries {
			if (*c.table.Load())[i].entries[j].Load() != nil {
				n++
			}
		}
	}
	if n > 1024 {
		t.Errorf("%d entries where 1024 are allowed", n)
	}
}

func TestCacheKeepsOneEntryForACredential(t *testing.T) {
	c := NewCache(8)
	k := c.Key(SpaceBasic, 0, "x")
	for range 3 {
		c.Put(k, &Proof{Subject: "old"}, time.Time{})
	}
	c.Put(k, &Proof{Subject: "new"}, time.Time{})
	if p := c.Get(k, t0); p == nil || p.Subject != "new" {
		t.Errorf("got %+v", p)
	}
}

func TestCacheUnderContention(t *testing.T) {
	c := NewCache(64)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 5000 {
				name := fmt.Sprint((i*7 + g) % 200)
				k := c.Key(SpaceAPIKey, 0, name)
				if p := c.Get(k, t0); p != nil && p.Subject != name {
					t.Errorf("asked for %s, got %s", name, p.Subject)
				}
				c.Put(k, &Proof{Subject: name}, t0.Add(time.Duration(i%3)*time.Second))
				if i%1000 == 0 {
					c.Drop()
				}
			}
		})
	}
	wg.Wait()
}

func TestOnceRunsOnceForAllThatAsk(t *testing.T) {
	c := NewCache(8)
	k := c.Key(SpaceBasic, 0, "x")
	var runs atomic.Int32
	release, began := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	verify := func(ctx context.Context) Result {
		if runs.Add(1) == 1 {
			close(began)
		}
		<-release
		if ctx.Err() != nil {
			t.Error("the verification was cut short when the first caller went away")
		}
		return Result{Outcome: Proven, Proof: &Proof{}}
	}
	first, leave := context.WithCancel(context.Background())
	wg.Go(func() { c.Once(first, k, verify) })
	<-began
	leave()
	for range 10 {
		wg.Go(func() {
			if r := c.Once(context.Background(), k, verify); r.Outcome != Proven {
				t.Errorf("%+v", r)
			}
		})
	}
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if r := c.Once(gone, k, verify); r.Outcome != Bad {
		t.Errorf("one who went away: %+v", r)
	}
	for len(c.flights.calls) == 0 {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(10 * time.Millisecond)
	close(release)
	wg.Wait()
	if n := runs.Load(); n > 2 { // a late starter may come after the end
		t.Errorf("verified %d times", n)
	}
}

func TestOnceRefusesTheOthersWhenItPanics(t *testing.T) {
	c := NewCache(8)
	k := c.Key(SpaceBasic, 0, "x")
	began, release := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer func() { recover() }()
		c.Once(context.Background(), k, func(context.Context) Result { close(began); <-release; panic("broken") })
	})
	<-began
	got := make(chan Result)
	go func() {
		got <- c.Once(context.Background(), k, func(context.Context) Result { return Result{Outcome: Bad, Err: Refusal(model.IdentityUnavailable)} })
	}()
	time.Sleep(10 * time.Millisecond)
	close(release)
	if r := <-got; r.Outcome != Bad || r.Err.Code != model.IdentityUnavailable {
		t.Errorf("%+v", r)
	}
	wg.Wait()
	if len(c.flights.calls) != 0 {
		t.Error("the flight was left behind")
	}
}

func TestEpochDiffersWithEveryPart(t *testing.T) {
	seen := map[uint64]string{}
	for _, parts := range [][]string{{}, {""}, {"a"}, {"a", ""}, {"", "a"}, {"ab"}, {"a", "b"}, {"b", "a"}} {
		e := Epoch(parts...)
		if have, ok := seen[e]; ok {
			t.Errorf("%q and %q have one epoch", have, parts)
		}
		seen[e] = strings.Join(parts, "|")
	}
	if again := Epoch("a"); again != Epoch("a") {
		t.Error("one thing has two epochs")
	}
}

func BenchmarkCacheHit(b *testing.B) {
	for _, n := range []int{50, 1024} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := NewCache(0)
			token := strings.Repeat("t", n)
			c.Put(c.Key(SpaceBearer, 0, token), &Proof{}, time.Time{})
			b.ReportAllocs()
			for b.Loop() {
				if c.Get(c.Key(SpaceBearer, 0, token), t0) == nil {
					b.Fatal("forgotten")
				}
			}
		})
	}
}
