package door

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/model"
)

func TestTheGatewaysOwnPathsAreKnownInEverySpelling(t *testing.T) {
	for target, want := range map[string]bool{
		"/.sallyport": true, "/.sallyport/": true, "/.sallyport/login?x": true, "//.sallyport/x": true, "/./.sallyport/x": true,
		"/%2Esallyport/x": true, "/%2e%73allyport/x": true, "/a/../.sallyport/x": true,
		"/": false, "/.sallyportal": false, "/a/.sallyport": false, "/?/.sallyport/": false, "/.well-known/x": false,
	} {
		if got := Reserved(target); got != want {
			t.Errorf("%s: %v", target, got)
		}
	}
}

func TestOnlyOPTIONSCountsItsForwards(t *testing.T) {
	for _, c := range []struct {
		method, name, value, passed string
		last                        bool
	}{
		{"OPTIONS", "Max-Forwards", "0", "0", true},
		{"OPTIONS", "max-forwards", "00", "00", true},
		{"OPTIONS", "Max-Forwards", "1", "0", false},
		{"OPTIONS", "Max-Forwards", "9223372036854775807", "9223372036854775806", false},
		{"OPTIONS", "Max-Forwards", "9223372036854775808", "9223372036854775808", false},
		{"OPTIONS", "Max-Forwards", "-1", "-1", false},
		{"OPTIONS", "Max-Forwards", "", "", false},
		{"OPTIONS", "X-Max-Forwards", "0", "0", false},
		{"GET", "Max-Forwards", "0", "0", false},
	} {
		ex := &gate.Exchange{}
		ex.Method, ex.Fields = c.method, []model.Field{{Name: c.name, Value: c.value}}
		if last := LastStop(ex); last != c.last || ex.Fields[0].Value != c.passed {
			t.Errorf("%+v: %v, and passes %q on", c, last, ex.Fields[0].Value)
		}
	}
	ex := &gate.Exchange{}
	ex.Method, ex.Fields = "OPTIONS", []model.Field{{Name: "Max-Forwards", Value: "0", Dropped: true}}
	if LastStop(ex) {
		t.Error("a field that was taken away counts")
	}
}

func TestIDsAreUniqueAndPlain(t *testing.T) {
	seen := map[string]bool{}
	for range 10_000 {
		id := NewID()
		if len(id) != 32 || seen[id] {
			t.Fatal(id)
		}
		seen[id] = true
	}
}

func TestStreamsAreCutByUserAndCredential(t *testing.T) {
	now := time.Now()
	s := NewStreams(func() time.Time { return now })
	cuts := map[string]int{}
	add := func(user, credential string) *Stream {
		st := &Stream{User: user, Credential: credential, Since: now.Add(time.Second), Cut: func() { cuts[user+"/"+credential]++ }}
		s.Add(st)
		return st
	}
	a1, a2, b1 := add("a", "1"), add("a", "2"), add("b", "1")
	if n := s.CutCredential("a", "1"); n != 1 || cuts["a/1"] != 1 {
		t.Errorf("%d %v", n, cuts)
	}
	if n := s.CutUser("a"); n != 2 || cuts["a/2"] != 1 || cuts["b/1"] != 0 {
		t.Errorf("%d %v", n, cuts)
	}
	for _, st := range []*Stream{a2, a1, a1, b1} {
		s.Remove(st)
	}
	if s.Open() != 0 || s.CutUser("a") != 0 {
		t.Error("something is left")
	}
}

func TestACutReachesWhatRegistersLateAndNothingNewer(t *testing.T) {
	now := time.Now()
	s := NewStreams(func() time.Time { return now })
	s.CutUser("a")
	s.CutCredential("b", "1")
	for _, c := range []struct {
		user, credential string
		since            time.Time
		want             bool
	}{
		{"a", "1", now.Add(-time.Second), true}, {"a", "1", now, true}, {"a", "1", now.Add(time.Millisecond), false},
		{"b", "1", now, true}, {"b", "2", now, false}, {"c", "1", now, false},
	} {
		cut := false
		st := &Stream{User: c.user, Credential: c.credential, Since: c.since, Cut: func() { cut = true }}
		s.Add(st)
		s.Remove(st)
		if cut != c.want {
			t.Errorf("%+v: cut %v", c, cut)
		}
	}
	old := s.shard("a")
	now = now.Add(2 * remembered)
	s.CutUser("a")
	if len(old.cuts) > 2 {
		t.Errorf("%d cuts are remembered for ever", len(old.cuts))
	}
}

func TestTheRegisterHoldsUnderConcurrency(t *testing.T) {
	s := NewStreams(time.Now)
	var all sync.WaitGroup
	var cuts atomic.Int64
	for range 8 {
		all.Go(func() {
			for range 2000 {
				st := &Stream{User: fmt.Sprint(rand.IntN(4)), Credential: "c", Since: time.Now(), Cut: func() { cuts.Add(1) }}
				s.Add(st)
				if rand.IntN(50) == 0 {
					s.CutUser(st.User)
				}
				s.Remove(st)
			}
		})
	}
	all.Wait()
	if s.Open() != 0 || cuts.Load() == 0 {
		t.Errorf("%d open, %d cuts", s.Open(), cuts.Load())
	}
}

func BenchmarkStreams(b *testing.B) {
	s := NewStreams(time.Now)
	st := &Stream{User: "user", Credential: "c", Since: time.Now(), Cut: func() {}}
	b.ReportAllocs()
	for b.Loop() {
		s.Add(st)
		s.Remove(st)
	}
}
