package login

import (
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

func TestFailedLoginsAreThrottledByAddress(t *testing.T) {
	now := time.Now()
	th := newThrottle(func() time.Time { return now })
	ip := netip.MustParseAddr("2001:db8::1")
	for i := range freeByAddress + 1 {
		if w := th.try(ip, "name"+strconv.Itoa(i)); w != 0 {
			t.Fatalf("try %d waits %v", i, w)
		}
	}
	if th.try(netip.MustParseAddr("2001:db8::ffff"), "x") == 0 {
		t.Error("the same /64 is another caller")
	}
	if th.try(netip.MustParseAddr("2001:db8:0:1::1"), "x") != 0 {
		t.Error("another network waits")
	}
	longest := time.Duration(0)
	for range 40 {
		w := th.try(ip, "")
		longest = max(longest, w)
		now = now.Add(w)
	}
	if longest != longestWait {
		t.Errorf("the longest wait is %v", longest)
	}
	now = now.Add(forgetAfter + longestWait)
	if w := th.try(ip, "a"); w != 0 {
		t.Error("failures are never forgotten")
	}
	if w := th.try(netip.Addr{}, "a"); w != 0 {
		t.Error("an unknown address waits")
	}
}

func TestManyTriesAtOnceAreNoWayRound(t *testing.T) {
	now := time.Now()
	th := newThrottle(func() time.Time { return now })
	ip := netip.MustParseAddr("192.0.2.1")
	free := 0
	for range 100 { // none of them has failed yet
		if th.try(ip, "olga") == 0 {
			free++
		}
	}
	if free != freeByName+1 {
		t.Errorf("%d of 100 tries went through", free)
	}
	th.undone(ip, "olga")
	if th.try(ip, "olga") != 0 {
		t.Error("a try that could not be judged counts")
	}
}

func TestTheThrottleTakesBoundedMemory(t *testing.T) {
	now := time.Now()
	th := newThrottle(func() time.Time { return now })
	for i := range 2 * mostTracked {
		th.try(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), "n")
	}
	if len(th.seen) > mostTracked {
		t.Errorf("%d entries", len(th.seen))
	}
	p := newProven(time.Now)
	for i := range 2 * mostProven {
		p.add("n", strconv.Itoa(i), "h")
	}
	if len(p.m) > mostProven {
		t.Errorf("%d entries", len(p.m))
	}
	if p.has("n", "x", "h") || !p.has("n", strconv.Itoa(2*mostProven-1), "h") || p.has("n"+strconv.Itoa(2*mostProven-1), "", "h") {
		t.Error("what is remembered is not what was proven")
	}
}

func TestScopesNarrowATokenAndNeverWiden(t *testing.T) {
	roles := narrowed([]model.AdminRole{model.AdminOperator, model.AdminAuditor}, []string{"auditor", "admin"})
	if len(roles) != 1 || roles[0] != model.AdminAuditor {
		t.Error(roles)
	}
	if r := narrowed([]model.AdminRole{model.AdminAll}, nil); len(r) != 1 {
		t.Error(r)
	}
}
