package upstream

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

func endpoints(n int) []*endpoint {
	var out []*endpoint
	for i := range n {
		e := &endpoint{key: fmt.Sprint(i), hash: hash(fmt.Sprint("e", i))}
		e.life, e.end = context.WithCancel(context.Background())
		out = append(out, e)
	}
	return out
}

func TestWeightsShareTheRequests(t *testing.T) {
	for _, how := range []model.Balance{model.RoundRobin, model.HashBalance, model.LeastRequests} {
		eps := endpoints(3)
		v := newView(eps, []float64{1, 3, 0})
		got := map[*endpoint]float64{}
		for i := range 4000 {
			e := v.choose(how, fmt.Sprint("user", i), nil)
			e.inflight.Add(1) // everything stays in flight
			got[e]++
		}
		if got[eps[2]] != 0 {
			t.Errorf("%s: weight 0 got %v", how, got[eps[2]])
		}
		if share := got[eps[1]] / 4000; math.Abs(share-0.75) > 0.03 {
			t.Errorf("%s: weight 3 of 4 got %.3f", how, share)
		}
	}
}

func TestEqualTargetsShareWhenIdle(t *testing.T) {
	eps := endpoints(4)
	v := newView(eps, []float64{1, 1, 1, 1})
	got := map[*endpoint]int{}
	for range 4000 {
		got[v.choose(model.LeastRequests, "", nil)]++
	}
	for _, e := range eps {
		if got[e] < 800 || got[e] > 1200 {
			t.Errorf("%s got %d of 4000", e.key, got[e])
		}
	}
}

func TestAKeyStaysWithItsTargetAndMovesOnlyWhenThatIsGone(t *testing.T) {
	eps := endpoints(5)
	weights := []float64{1, 1, 1, 1, 1}
	all, fewer := newView(eps, weights), newView(eps[:4], weights[:4])
	moved := 0
	for i := range 1000 {
		key := fmt.Sprint("user", i)
		a := all.choose(model.HashBalance, key, nil)
		if a != all.choose(model.HashBalance, key, nil) {
			t.Fatal("a key has two homes")
		}
		if b := fewer.choose(model.HashBalance, key, nil); a != eps[4] && a != b {
			t.Fatalf("%s moved though its target stayed", key)
		} else if a != b {
			moved++
		}
	}
	if moved < 120 || moved > 280 {
		t.Errorf("%d of 1000 moved", moved)
	}
}

func TestWhenAllAreDownAllAreTried(t *testing.T) {
	eps := endpoints(2)
	v := newView(eps, []float64{1, 1})
	eps[0].down.Store(true)
	for range 20 {
		if v.choose(model.LeastRequests, "", nil) != eps[1] {
			t.Fatal("one that is down was chosen while another was up")
		}
	}
	eps[1].down.Store(true)
	if v.choose(model.RoundRobin, "", nil) == nil || v.choose(model.HashBalance, "k", nil) == nil {
		t.Error("nobody was chosen")
	}
	if v.choose(model.LeastRequests, "", eps) != nil {
		t.Error("one that was tried was chosen again")
	}
}

func TestFailuresInARowMakeATargetRestAndAnAnswerForgivesThem(t *testing.T) {
	e := endpoints(1)[0]
	defer e.end()
	for range streak - 1 {
		e.failed(errSlow)
	}
	if e.down.Load() {
		t.Fatal("too soon")
	}
	e.answered()
	e.failed(errSlow)
	if e.down.Load() {
		t.Fatal("the answer in between was forgotten")
	}
	for range streak - 1 {
		e.failed(errSlow)
	}
	if !e.down.Load() {
		t.Fatal("it does not rest")
	}
	for end := time.Now().Add(5 * time.Second); e.down.Load(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it never woke")
		}
	}
	e.failed(errSlow)
	if !e.down.Load() {
		t.Error("after its rest one failure should do")
	}
}

func TestActiveProbesTakeOutAndBringBack(t *testing.T) {
	var sick atomic.Bool
	var probes, served atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/alive" {
			probes.Add(1)
			if r.Header.Get("X-User") != "" || r.Header.Get("User-Agent") != "sallyport-health" {
				t.Errorf("the probe has the fields %v", r.Header)
			}
			if sick.Load() {
				w.WriteHeader(503)
			}
			return
		}
		served.Add(1)
	}))
	defer srv.Close()
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
	defer other.Close()
	s := service(srv.URL, other.URL)
	s.Health = &model.Health{Path: "/alive", Interval: model.Duration(20 * time.Millisecond), Timeout: model.Duration(time.Second), UnhealthyAfter: 3, HealthyAfter: 2}
	p := pools(t, s, Options{})
	health := func(want bool) {
		t.Helper()
		for end := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			for _, c := range p.Status() {
				if c.Target == srv.URL && c.Healthy == want {
					return
				}
			}
			if time.Now().After(end) {
				t.Fatalf("healthy never became %v", want)
			}
		}
	}
	sick.Store(true)
	health(false)
	before := served.Load()
	for range 20 {
		if _, _, err := send(t, p, s, get("/")); err != nil {
			t.Fatal(err)
		}
	}
	if served.Load() != before {
		t.Error("an unhealthy target was used")
	}
	sick.Store(false)
	health(true)
	// Without probes nobody says that it is sick.
	sick.Store(true)
	health(false)
	s2 := *s
	s2.Health = nil
	p.Update([]model.Service{s2})
	health(true)
}

func TestNamesAreFollowedAsTheirRecordsChange(t *testing.T) {
	a := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "a") }))
	defer a.Close()
	u, _ := url.Parse(a.URL)
	// The same port on another address of loopback.
	b := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "b") }))
	_ = b.Listener.Close()
	var err error
	if b.Listener, err = newListener("127.0.0.2:" + u.Port()); err != nil {
		t.Skip("there is no second loopback address here")
	}
	b.Start()
	defer b.Close()

	var mu sync.Mutex
	records, fail := []netip.Addr{netip.MustParseAddr("127.0.0.1")}, false
	lookup := func(context.Context, string) ([]netip.Addr, error) {
		mu.Lock()
		defer mu.Unlock()
		if fail {
			return nil, context.DeadlineExceeded
		}
		return append([]netip.Addr(nil), records...), nil
	}
	set := func(f bool, addrs ...string) {
		mu.Lock()
		defer mu.Unlock()
		records, fail = nil, f
		for _, s := range addrs {
			records = append(records, netip.MustParseAddr(s))
		}
	}
	s := service("http://backend.test:" + u.Port())
	p := pools(t, s, Options{Lookup: lookup, Refresh: 10 * time.Millisecond})
	until := func(want string) {
		t.Helper()
		seen := map[string]bool{}
		for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
			_, body, err := send(t, p, s, get("/"))
			if err != nil {
				t.Fatal(err)
			}
			seen[body] = true
			if len(want) == 1 && body == want || len(want) == 2 && seen["a"] && seen["b"] {
				return
			}
		}
		t.Fatalf("never saw %q", want)
	}
	until("a")
	set(false, "127.0.0.1", "127.0.0.2")
	until("ab")
	set(false, "127.0.0.2")
	until("b")
	time.Sleep(50 * time.Millisecond)
	for range 10 { // kept-alive connections to the old address are not used
		if _, body, _ := send(t, p, s, get("/")); body != "b" {
			t.Fatal("the old address was used")
		}
	}
	set(true)
	time.Sleep(50 * time.Millisecond)
	until("b") // a resolver that is away takes nothing away
	if len(p.endpoints) != 1 {
		t.Errorf("%d endpoints are kept", len(p.endpoints))
	}
}

func TestAChangeElsewhereDropsNoConnection(t *testing.T) {
	var conns atomic.Int64
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	srv.Config.ConnState = func(_ netConn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	s := service(srv.URL)
	p := pools(t, s, Options{})
	for i := range 20 {
		next := *s
		next.Present = model.Present{Header: "X-Token", Value: fmt.Sprint(i)} // not the way's business
		next.Balance = []model.Balance{model.RoundRobin, model.HashBalance}[i%2]
		next.Targets = append([]model.Target{{URL: srv.URL, Weight: i + 1}}, model.Target{URL: "http://127.0.0.1:1", Weight: 0})
		p.Update([]model.Service{next, *service("http://127.0.0.1:2")}[:1])
		if _, _, err := send(t, p, &next, get("/")); err != nil {
			t.Fatal(err)
		}
	}
	if conns.Load() != 1 {
		t.Errorf("%d connections were made", conns.Load())
	}
}

func TestAnOlderPlanIsForwardedAsItSays(t *testing.T) {
	mk := func(name string) *httptest.Server {
		return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, name) }))
	}
	a, b := mk("a"), mk("b")
	defer a.Close()
	defer b.Close()
	older, newer := service(a.URL), service(b.URL)
	p := pools(t, older, Options{})
	p.Update([]model.Service{*newer})
	if _, body, err := send(t, p, newer, get("/")); body != "b" {
		t.Errorf("%q, %v", body, err)
	}
	if _, body, err := send(t, p, older, get("/")); body != "a" {
		t.Errorf("%q, %v", body, err)
	}
	p.Update(nil)
	if _, body, err := send(t, p, older, get("/")); body != "a" { // a service that was deleted meanwhile
		t.Errorf("%q, %v", body, err)
	}
	p.mu.Lock()
	p.clear(time.Now().Add(2 * linger))
	n := len(p.endpoints)
	p.mu.Unlock()
	if n != 0 {
		t.Errorf("%d endpoints are left", n)
	}
}

func TestADownloadFromATargetThatWasRemovedEndsWhole(t *testing.T) {
	half := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(strings.Repeat("x", 1000)))
		w.(http.Flusher).Flush()
		<-half
		_, _ = w.Write([]byte(strings.Repeat("y", 1000)))
	}))
	defer srv.Close()
	s := service(srv.URL)
	p := New([]model.Service{*s}, Options{})
	res, err := p.Forward(context.Background(), s, get("/"))
	if err != nil {
		t.Fatal(err)
	}
	p.Update(nil)
	p.Close()
	close(half)
	n := 0
	for buf := make([]byte, 512); ; {
		m, err := res.Body.Read(buf)
		n += m
		if err != nil {
			if n != 2000 || err.Error() != "EOF" {
				t.Errorf("%d bytes, %v", n, err)
			}
			break
		}
	}
	_ = res.Body.Close()
}

func TestUpdatesUnderLoadLoseNothing(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
	defer srv.Close()
	s := service(srv.URL)
	p := pools(t, s, Options{})
	var current atomic.Pointer[model.Service]
	current.Store(s)
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, _, err := send(t, p, current.Load(), post("x")); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 200 {
		next := *s
		next.Retries = i % 5
		list := []model.Service{next}
		p.Update(list)
		current.Store(&list[0])
		time.Sleep(time.Millisecond)
	}
	close(stop)
	all.Wait()
}
