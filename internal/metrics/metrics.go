package metrics

import (
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Bounds of the histograms, in seconds. The gateway's own work is microseconds,
// and a password's some hundred milliseconds; a target's is what it is.
var (
	gatewayBounds = []float64{.00001, .000025, .00005, .0001, .00025, .0005, .001, .0025, .01, .05, .25, 1, 5}
	targetBounds  = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
)

// maxSeries bounds the series of one name, should a label ever turn out not to
// be of a closed set: what comes beyond is counted as "other".
const maxSeries = 50_000

const other = "other"

// Metrics counts. Its methods may be called from anywhere, and those on the path
// of a request allocate nothing once their labels were seen.
type Metrics struct {
	registry *prometheus.Registry

	requests *prometheus.CounterVec
	gateway  *prometheus.HistogramVec
	target   *prometheus.HistogramVec
	inflight prometheus.Gauge
	security *prometheus.CounterVec

	mu        sync.Mutex // of who adds a handle
	counters  atomic.Pointer[map[requestKey]prometheus.Counter]
	gateways  atomic.Pointer[map[string]prometheus.Observer]
	targets   atomic.Pointer[map[string]prometheus.Observer]
	securitys atomic.Pointer[map[string]prometheus.Counter]
}

type requestKey struct{ route, step, code string }

// New makes the metrics of one gateway.
func New(s Sources) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sallyport_requests_total",
			Help: "Requests by route, by the step that ended them and by the code of the outcome."}, []string{"route", "step", "code"}),
		gateway: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "sallyport_request_duration_seconds",
			Help: "The gateway's own time per request, without waiting for the target.", Buckets: gatewayBounds}, []string{"route"}),
		target: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "sallyport_target_duration_seconds",
			Help: "Time until a service's target had answered.", Buckets: targetBounds}, []string{"service"}),
		inflight: prometheus.NewGauge(prometheus.GaugeOpts{Name: "sallyport_inflight", Help: "Requests being served."}),
		security: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sallyport_security_events_total",
			Help: "Security events by kind, such as attempts to forge an identity header."}, []string{"kind"}),
	}
	m.counters.Store(&map[requestKey]prometheus.Counter{})
	m.gateways.Store(&map[string]prometheus.Observer{})
	m.targets.Store(&map[string]prometheus.Observer{})
	m.securitys.Store(&map[string]prometheus.Counter{})
	m.registry.MustRegister(m.requests, m.gateway, m.target, m.inflight, m.security)
	s.register(m.registry)
	return m
}

// Handler answers scrapes.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
}

// Observe counts one request that is over. Route is "" where none was matched;
// code is one of the closed set, or allowed. gateway is the gateway's own time;
// target, the time until the service's target had answered, is 0 for a request
// that was not forwarded.
func (m *Metrics) Observe(route, service, step, code string, gateway, target time.Duration) {
	k := requestKey{route, step, code}
	c, ok := (*m.counters.Load())[k]
	if !ok {
		c = handle(m, &m.counters, requestKey{strings.Clone(route), strings.Clone(step), strings.Clone(code)}, requestKey{other, other, other},
			func(k requestKey) prometheus.Counter { return m.requests.WithLabelValues(k.route, k.step, k.code) })
	}
	c.Inc()
	m.observer(&m.gateways, m.gateway, route).Observe(gateway.Seconds())
	if target > 0 && service != "" {
		m.observer(&m.targets, m.target, service).Observe(target.Seconds())
	}
}

func (m *Metrics) observer(cache *atomic.Pointer[map[string]prometheus.Observer], vec *prometheus.HistogramVec, label string) prometheus.Observer {
	if o, ok := (*cache.Load())[label]; ok {
		return o
	}
	return handle(m, cache, strings.Clone(label), other, func(l string) prometheus.Observer { return vec.WithLabelValues(l) })
}

// handle adds a handle to a cache that is read without a lock.
func handle[K comparable, V any](m *Metrics, cache *atomic.Pointer[map[K]V], k, rest K, get func(K) V) V {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := *cache.Load()
	if v, ok := old[k]; ok {
		return v
	}
	if len(old) >= maxSeries {
		return get(rest)
	}
	v := get(k)
	grown := maps.Clone(old)
	grown[k] = v
	cache.Store(&grown)
	return v
}

// Begin counts a request as being served, until End.
func (m *Metrics) Begin() { m.inflight.Inc() }

// End ends what Begin began.
func (m *Metrics) End() { m.inflight.Dec() }

// Security counts a security event. Kind is of a closed set: forged_header and the like.
func (m *Metrics) Security(kind string) {
	c, ok := (*m.securitys.Load())[kind]
	if !ok {
		c = handle(m, &m.securitys, strings.Clone(kind), other, func(k string) prometheus.Counter { return m.security.WithLabelValues(k) })
	}
	c.Inc()
}
