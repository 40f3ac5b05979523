package action

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/twinlane/twinlane/internal/service"
	"github.com/twinlane/twinlane/internal/task"
	"github.com/twinlane/twinlane/internal/tracing"
)

type metrics struct {
	lanes    map[Lane]*laneMetrics
	panics   prometheus.Counter
	overdue  prometheus.Gauge
	overruns prometheus.Counter
}

// laneMetrics are the metrics of one lane with their labels resolved, as they
// are touched by every task.
type laneMetrics struct {
	outcomes    map[Outcome]prometheus.Counter
	inFlight    prometheus.Gauge
	queueWait   prometheus.Observer
	serviceTime prometheus.Observer
	endToEnd    prometheus.Observer
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	m := &metrics{
		lanes: make(map[Lane]*laneMetrics),
		panics: f.NewCounter(prometheus.CounterOpts{
			Name: "task_panics_total",
			Help: "Tasks whose action panicked.",
		}),
		overdue: f.NewGauge(prometheus.GaugeOpts{
			Name: "tasks_overdue",
			Help: "Tasks that still run although their deadline has passed: they ignore their context and keep their place.",
		}),
		overruns: f.NewCounter(prometheus.CounterOpts{
			Name: "task_overruns_total",
			Help: "Tasks that ran on after their deadline had passed.",
		}),
	}
	outcomes := f.NewCounterVec(prometheus.CounterOpts{
		Name: "tasks_total",
		Help: "Runs of tasks by how they ended. A task that is retried runs several times.",
	}, []string{"lane", "outcome"})
	inFlight := f.NewGaugeVec(prometheus.GaugeOpts{
		Name: "tasks_in_flight",
		Help: "Tasks that run now.",
	}, []string{"lane"})
	queueWait := f.NewHistogramVec(service.DurationHistogram("task_queue_wait_seconds",
		"Time from acceptance by the gateway to the start of a first attempt."), []string{"lane"})
	serviceTime := f.NewHistogramVec(service.DurationHistogram("task_service_time_seconds",
		"How long a run took, however it ended."), []string{"lane"})
	endToEnd := f.NewHistogramVec(service.DurationHistogram("task_end_to_end_seconds",
		"Time from acceptance by the gateway to completion, waits and earlier attempts included."), []string{"lane"})
	for _, lane := range Lanes() {
		l := &laneMetrics{
			outcomes:    make(map[Outcome]prometheus.Counter),
			inFlight:    inFlight.WithLabelValues(string(lane)),
			queueWait:   queueWait.WithLabelValues(string(lane)),
			serviceTime: serviceTime.WithLabelValues(string(lane)),
			endToEnd:    endToEnd.WithLabelValues(string(lane)),
		}
		for _, outcome := range Outcomes() {
			l.outcomes[outcome] = outcomes.WithLabelValues(string(lane), string(outcome))
		}
		m.lanes[lane] = l
	}
	return m
}

// observe books a finished run. Where the clocks of gateway and worker differ,
// a wait below zero counts as none.
func (l *laneMetrics) observe(ctx context.Context, res task.Result, outcome Outcome) {
	l.outcomes[outcome].Inc()
	tracing.Observe(ctx, l.serviceTime, res.ServiceTime().Seconds())
	if res.Attempt == 1 {
		tracing.Observe(ctx, l.queueWait, max(res.QueueWait(), 0).Seconds())
	}
	if outcome == OutcomeCompleted {
		tracing.Observe(ctx, l.endToEnd, max(res.EndToEnd(), 0).Seconds())
	}
}
