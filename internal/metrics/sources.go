package metrics

import (
	"regexp"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Sources are what is asked at a scrape. Each may be nil, and then has no metric.
type Sources struct {
	Version   string
	Revision  func() int64            // of the configuration being served
	Providers func() []State          // identity providers, by name
	Targets   func() []TargetState    // targets of services
	Audit     func() error            // why the audit cannot be written
	Streams   func() int              // streams open, WebSockets and the like
	Expiry    func() []CertificateEnd // certificates served
	Caches    func() []CacheState     // counted since the start
}

// CacheState is how often a cache had the answer, and how often not.
type CacheState struct {
	Name         string
	Hits, Misses uint64
}

// State says whether something that has a name works.
type State struct {
	Name string
	Up   bool
}

// TargetState says whether a service's target is fit to be sent requests.
type TargetState struct {
	Service, URL string
	Up           bool
}

// CertificateEnd says when a listener's certificate expires.
type CertificateEnd struct {
	Listener, Name string
	NotAfter       time.Time
}

func (s Sources) register(r *prometheus.Registry) {
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "sallyport_build_info", Help: "Always 1; the labels tell what is running.",
		ConstLabels: prometheus.Labels{"version": s.Version, "go": runtime.Version()}})
	info.Set(1)
	r.MustRegister(info, asked{s},
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		// Memory and goroutines, without the some hundred series of the runtime.
		collectors.NewGoCollector(collectors.WithGoCollectorMemStatsMetricsDisabled(),
			collectors.WithGoCollectorRuntimeMetrics(
				collectors.GoRuntimeMetricsRule{Matcher: memory}, collectors.GoRuntimeMetricsRule{Matcher: collections})))
}

var (
	memory      = regexp.MustCompile(`^/memory/classes/(heap/objects|total):bytes$`)
	collections = regexp.MustCompile(`^/gc/(cycles/total:gc-cycles|heap/allocs:bytes)$`)
)

// asked collects what has a state by asking for it.
type asked struct{ s Sources }

var (
	revisionDesc    = prometheus.NewDesc("sallyport_config_revision", "The revision of the configuration being served.", nil, nil)
	providerDesc    = prometheus.NewDesc("sallyport_identity_provider_up", "1 if the identity provider can be asked, or its keys are fresh.", []string{"provider"}, nil)
	targetDesc      = prometheus.NewDesc("sallyport_target_up", "1 if the target is fit to be sent requests.", []string{"service", "target"}, nil)
	auditDesc       = prometheus.NewDesc("sallyport_audit_up", "1 if the audit can be written; 0 refuses every request.", nil, nil)
	streamsDesc     = prometheus.NewDesc("sallyport_streams", "Open streams: WebSockets and answers without end.", nil, nil)
	cacheDesc       = prometheus.NewDesc("sallyport_cache_requests_total", "Look-ups in the gateway's caches by result.", []string{"cache", "result"}, nil)
	certificateDesc = prometheus.NewDesc("sallyport_certificate_expiry_seconds", "When the certificate expires, in Unix time.", []string{"listener", "name"}, nil)
)

// Describe sends nothing: which series there are is known only when asked.
func (asked) Describe(chan<- *prometheus.Desc) {}

// Collect asks the sources.
func (a asked) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	if a.s.Revision != nil {
		gauge(revisionDesc, float64(a.s.Revision()))
	}
	if a.s.Audit != nil {
		gauge(auditDesc, truth(a.s.Audit() == nil))
	}
	if a.s.Streams != nil {
		gauge(streamsDesc, float64(a.s.Streams()))
	}
	if a.s.Providers != nil {
		for _, p := range a.s.Providers() {
			gauge(providerDesc, truth(p.Up), p.Name)
		}
	}
	if a.s.Targets != nil {
		for _, t := range a.s.Targets() {
			gauge(targetDesc, truth(t.Up), t.Service, t.URL)
		}
	}
	if a.s.Caches != nil {
		for _, c := range a.s.Caches() {
			ch <- prometheus.MustNewConstMetric(cacheDesc, prometheus.CounterValue, float64(c.Hits), c.Name, "hit")
			ch <- prometheus.MustNewConstMetric(cacheDesc, prometheus.CounterValue, float64(c.Misses), c.Name, "miss")
		}
	}
	if a.s.Expiry != nil {
		for _, c := range a.s.Expiry() {
			gauge(certificateDesc, float64(c.NotAfter.Unix()), c.Listener, c.Name)
		}
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
