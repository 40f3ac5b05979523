package httpapi

import (
	"context"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/twinlane/twinlane/internal/service"
	"github.com/twinlane/twinlane/internal/tracing"
)

// other stands for the route and the method of requests that match no route,
// so that no client can make up label values.
const other = "other"

type metrics struct {
	duration *prometheus.HistogramVec
	inFlight prometheus.Gauge
	problems *prometheus.CounterVec
	waiting  prometheus.Gauge
	waits    map[waitOutcome]prometheus.Counter
	repeats  prometheus.Counter
}

// waitOutcome says how a request's wait for a result ended.
type waitOutcome string

// The ends of a wait. A wait that is refused is one beyond the bound of those
// who wait; one that is ended is ended by the gateway's stop or by its client.
const (
	waitAnswered waitOutcome = "answered"
	waitExpired  waitOutcome = "expired"
	waitEnded    waitOutcome = "ended"
	waitRefused  waitOutcome = "refused"
)

func newMetrics(reg prometheus.Registerer, routes []route, problems []problem) *metrics {
	f := promauto.With(reg)
	m := &metrics{
		duration: f.NewHistogramVec(service.DurationHistogram(
			"http_request_duration_seconds", "Time from a request's headers to its answer, by route, method and status code.",
		), []string{"route", "method", "code"}),
		inFlight: f.NewGauge(prometheus.GaugeOpts{
			Name: "http_requests_in_flight", Help: "Requests in flight.",
		}),
		problems: f.NewCounterVec(prometheus.CounterOpts{
			Name: "http_problems_total", Help: "Answers that tell of a problem, by its code.",
		}, []string{"code"}),
		waiting: f.NewGauge(prometheus.GaugeOpts{
			Name: "http_waits_in_flight", Help: "Requests that may wait for a result, from their headers to their answer.",
		}),
		waits: map[waitOutcome]prometheus.Counter{},
		repeats: f.NewCounter(prometheus.CounterOpts{
			Name: "http_repeats_total", Help: "Requests whose Idempotency-Key had its task already, so that nothing was published.",
		}),
	}
	waits := f.NewCounterVec(prometheus.CounterOpts{
		Name: "http_waits_total", Help: "Waits for a result that clients preferred, by their outcome.",
	}, []string{"outcome"})
	for _, outcome := range []waitOutcome{waitAnswered, waitExpired, waitEnded, waitRefused} {
		m.waits[outcome] = waits.WithLabelValues(string(outcome))
	}
	for _, r := range routes {
		for _, status := range r.statuses {
			m.duration.WithLabelValues(r.path, r.method, strconv.Itoa(status))
		}
	}
	m.duration.WithLabelValues(other, other, "404")
	m.duration.WithLabelValues(other, other, "405")
	for _, p := range problems {
		m.problems.WithLabelValues(string(p.code))
	}
	return m
}

func (m *metrics) observe(ctx context.Context, route, method string, status int, elapsed time.Duration) {
	if route == "" {
		route, method = other, other
	}
	tracing.Observe(ctx, m.duration.WithLabelValues(route, method, strconv.Itoa(status)), elapsed.Seconds())
}
