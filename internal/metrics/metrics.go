package metrics

import (
	"net/http"
	"strings"
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

	counters  *handles[requestKey, prometheus.Counter]
	gateways  *handles[string, prometheus.Observer]
	targets   *handles[string, prometheus.Observer]
	securitys *handles[string, prometheus.Counter]
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
	m.counters = newHandles[requestKey, prometheus.Counter]()
	m.gateways, m.targets = newHandles[string, prometheus.Observer](), newHandles[string, prometheus.Observer]()
	m.securitys = newHandles[string, prometheus.Counter]()
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
	c, ok := m.counters.find(k)
	if !ok {
		c = m.counters.add(requestKey{strings.Clone(route), strings.Clone(step), strings.Clone(code)}, requestKey{other, other, other},
			func(k requestKey) prometheus.Counter { return m.requests.WithLabelValues(k.route, k.step, k.code) })
	}
	c.Inc()
	observer(m.gateways, m.gateway, route).Observe(gateway.Seconds())
	if target > 0 && service != "" {
		observer(m.targets, m.target, service).Observe(target.Seconds())
	}
}

func observer(h *handles[string, prometheus.Observer], vec *prometheus.HistogramVec, label string) prometheus.Observer {
	if o, ok := h.find(label); ok {
		return o
	}
	return h.add(strings.Clone(label), other, func(l string) prometheus.Observer { return vec.WithLabelValues(l) })
}

// Begin counts a request as being served, until End.
func (m *Metrics) Begin() { m.inflight.Inc() }

// End ends what Begin began.
func (m *Metrics) End() { m.inflight.Dec() }

// Security counts a security event. Kind is of a closed set: forged_header and the like.
func (m *Metrics) Security(kind string) {
	c, ok := m.securitys.find(kind)
	if !ok {
		c = m.securitys.add(strings.Clone(kind), other, func(k string) prometheus.Counter { return m.security.WithLabelValues(k) })
	}
	c.Inc()
}
