package metrics

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func requireLines(t *testing.T, text string, want ...string) {
	t.Helper()
	have := map[string]bool{}
	for _, l := range strings.Split(text, "\n") {
		have[l] = true
	}
	for _, l := range want {
		if !have[l] {
			t.Errorf("no line %q", l)
		}
	}
	if t.Failed() {
		for _, l := range strings.Split(text, "\n") {
			if strings.HasPrefix(l, "sallyport") {
				t.Log(l)
			}
		}
	}
}

func TestRequestsAreCountedByRouteStepAndCode(t *testing.T) {
	m := New(Sources{})
	m.Observe("orders-v1", "orders", "complete", "allowed", 20*time.Microsecond, 3*time.Millisecond)
	m.Observe("orders-v1", "orders", "complete", "allowed", 20*time.Microsecond, 3*time.Millisecond)
	m.Observe("orders-v1", "orders", "authorise", "permission_denied", 5*time.Microsecond, 0)
	m.Observe("", "", "match", "route_not_found", time.Microsecond, 0)
	m.Begin()
	m.Begin()
	m.End()
	m.Security("forged_header")
	requireLines(t, scrape(t, m),
		`sallyport_requests_total{code="allowed",route="orders-v1",step="complete"} 2`,
		`sallyport_requests_total{code="permission_denied",route="orders-v1",step="authorise"} 1`,
		`sallyport_requests_total{code="route_not_found",route="",step="match"} 1`,
		`sallyport_request_duration_seconds_count{route="orders-v1"} 3`,
		`sallyport_request_duration_seconds_bucket{route="orders-v1",le="1e-05"} 1`,
		`sallyport_target_duration_seconds_count{service="orders"} 2`,
		`sallyport_inflight 1`,
		`sallyport_security_events_total{kind="forged_header"} 1`)
}

func TestStatesAreAskedForAtTheScrape(t *testing.T) {
	revision := int64(41)
	m := New(Sources{
		Version:   "1.2.3",
		Revision:  func() int64 { return revision },
		Providers: func() []State { return []State{{"tokens", true}, {"edge", false}} },
		Targets:   func() []TargetState { return []TargetState{{"orders", "http://10.0.0.5:8080", false}} },
		Audit:     func() error { return errors.New("disk full") },
		Streams:   func() int { return 3 },
		Expiry:    func() []CertificateEnd { return []CertificateEnd{{":8443", "api.example.com", time.Unix(1234567, 0)}} },
		Caches:    func() []CacheState { return []CacheState{{"directory", 2, 1}} },
	})
	revision = 42
	text := scrape(t, m)
	requireLines(t, text,
		`sallyport_config_revision 42`,
		`sallyport_identity_provider_up{provider="tokens"} 1`,
		`sallyport_identity_provider_up{provider="edge"} 0`,
		`sallyport_target_up{service="orders",target="http://10.0.0.5:8080"} 0`,
		`sallyport_audit_up 0`, `sallyport_streams 3`,
		`sallyport_cache_requests_total{cache="directory",result="hit"} 2`,
		`sallyport_cache_requests_total{cache="directory",result="miss"} 1`,
		`sallyport_certificate_expiry_seconds{listener=":8443",name="api.example.com"} 1.234567e+06`)
	if !strings.Contains(text, `version="1.2.3"`) || !strings.Contains(text, "go_goroutines") || !strings.Contains(text, "process_resident_memory_bytes") {
		t.Error("build, runtime or process metrics are missing")
	}
	if n := strings.Count(text, "\ngo_"); n > 30 {
		t.Errorf("%d series of the runtime", n)
	}
}

func TestSeriesAreBounded(t *testing.T) {
	if testing.Short() {
		t.Skip()
	}
	m := New(Sources{})
	grown := map[string]bool{}
	full := *m.securitys.stable.Load()
	for i := 0; i < maxSeries; i++ {
		full[fmt.Sprint(i)] = nil
	}
	m.Security("one more")
	for _, l := range strings.Split(scrape(t, m), "\n") {
		if strings.HasPrefix(l, "sallyport_security") {
			grown[l] = true
		}
	}
	if !grown[`sallyport_security_events_total{kind="other"} 1`] {
		t.Errorf("%v", grown)
	}
}

func TestCountingFromManyGoroutines(t *testing.T) {
	m := New(Sources{})
	var wg sync.WaitGroup
	for g := 0; g < 8; g++ {
		wg.Go(func() {
			for i := 0; i < 500; i++ {
				m.Observe("r"+fmt.Sprint(i%50), "s", "complete", "allowed", 1, 1)
			}
		})
	}
	wg.Wait()
	requireLines(t, scrape(t, m), `sallyport_requests_total{code="allowed",route="r7",step="complete"} 80`, `sallyport_target_duration_seconds_count{service="s"} 4000`)
}

func TestObservingAllocatesNothing(t *testing.T) {
	m := New(Sources{})
	if n := testing.AllocsPerRun(1000, func() {
		m.Begin()
		m.Observe("orders-v1", "orders", "complete", "allowed", 20*time.Microsecond, 3*time.Millisecond)
		m.End()
	}); n > 0 {
		t.Errorf("%v allocations per request", n)
	}
}

func BenchmarkObserve(b *testing.B) {
	m := New(Sources{})
	b.ReportAllocs()
	for b.Loop() {
		m.Observe("orders-v1", "orders", "complete", "allowed", 20*time.Microsecond, 3*time.Millisecond)
	}
}
