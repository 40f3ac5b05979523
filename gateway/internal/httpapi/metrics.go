package httpapi

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// other stands for the route and the method of requests that match no route,
// so that no client can make up label values.
const other = "other"

type metrics struct {
	duration *prometheus.HistogramVec
	inFlight prometheus.Gauge
	problems *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer, routes []route, problems []problem) *metrics {
	f := promauto.With(reg)
	m := &metrics{
		duration: f.NewHistogramVec(prometheus.HistogramOpts{
			Name:                        "http_request_duration_seconds",
			Help:                        "Time from a request's headers to its answer, by route, method and status code.",
			Buckets:                     durationBuckets(),
			NativeHistogramBucketFactor: 1.1,
		}, []string{"route", "method", "code"}),
		inFlight: f.NewGauge(prometheus.GaugeOpts{
			Name: "http_requests_in_flight", Help: "Requests in flight.",
		}),
		problems: f.NewCounterVec(prometheus.CounterOpts{
			Name: "http_problems_total", Help: "Answers that tell of a problem, by its code.",
		}, []string{"code"}),
	}
	for _, r := range routes {
		for _, status := range r.statuses {
			m.duration.WithLabelValues(r.path, r.method, strconv.Itoa(status))
		}
	}
	m.duration.WithLabelValues(other, other, "404")
	m.duration.WithLabelValues(other, other, "405")
	for _, p := range problems {
		m.problems.WithLabelValues(p.code)
	}
	return m
}

// durationBuckets are fine below 10 ms, where the async lane answers, and
// dense around 1 s, where the sync lane does.
func durationBuckets() []float64 {
	return []float64{
		.0005, .001, .0015, .002, .003, .004, .005, .0075, .01, .025, .05, .1, .25, .5, .75,
		.9, 1, 1.005, 1.01, 1.025, 1.05, 1.1, 1.25, 1.5, 2, 5, 10, 30, 60,
	}
}

func (m *metrics) observe(route, method string, status int, elapsed time.Duration) {
	if route == "" {
		route, method = other, other
	}
	m.duration.WithLabelValues(route, method, strconv.Itoa(status)).Observe(elapsed.Seconds())
}
