package authn

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestAProofIsFirstOnceForAsLongAsItLives(t *testing.T) {
	const life = time.Minute
	start := time.Unix(1e9, 0)
	for at := time.Duration(0); at < 3*life; at += 7 * time.Second { // wherever in a generation it comes
		r := NewReplay(life, 0)
		for e := time.Duration(0); e < at; e += 5 * time.Second { // others turn the generations meanwhile
			r.First(start.Add(e), "other", fmt.Sprint(e))
		}
		if first, room := r.First(start.Add(at), "p", "1"); !first || !room {
			t.Fatal("not first")
		}
		for later := time.Duration(0); later <= life; later += time.Second {
			if first, _ := r.First(start.Add(at+later), "p", "1"); first {
				t.Fatalf("put at %v, forgotten after %v", at, later)
			}
		}
		if first, _ := r.First(start.Add(at+3*life), "p", "1"); !first {
			t.Error("it is remembered for ever")
		}
	}
}

func TestNamesOfProofsAreHashedWhole(t *testing.T) {
	r := NewReplay(time.Minute, 0)
	now := time.Unix(1e9, 0)
	for _, names := range [][]string{{"a", "bc"}, {"ab", "c"}, {"abc"}, {"", "abc"}, {"a", "b", "c"}} {
		if first, _ := r.First(now, names...); !first {
			t.Errorf("%q is taken for another", names)
		}
	}
}

func TestAFullMemoryOfProofsSaysSoAndForgetsNothing(t *testing.T) {
	r := NewReplay(time.Minute, 10)
	now := time.Unix(1e9, 0)
	for i := range 10 {
		r.First(now, fmt.Sprint(i))
	}
	if first, room := r.First(now, "one more"); first || room {
		t.Error("one more found room")
	}
	if first, room := r.First(now, "3"); first || !room {
		t.Error("a proof was forgotten")
	}
	if first, room := r.First(now.Add(time.Minute), "one more"); !first || !room {
		t.Error("there is no room after its time")
	}
}

func TestOfManyAtOnceOneIsFirst(t *testing.T) {
	r := NewReplay(time.Minute, 0)
	var n atomic.Int32
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if first, _ := r.First(time.Unix(1e9, 0), "p"); first {
				n.Add(1)
			}
		})
	}
	wg.Wait()
	if n.Load() != 1 {
		t.Errorf("%d were first", n.Load())
	}
}
