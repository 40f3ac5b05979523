package workerclient

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	outcomes    []outcome
	calls       *prometheus.CounterVec
	connections prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, slots chan struct{}) *metrics {
	f := promauto.With(reg)
	m := &metrics{
		outcomes: outcomes(),
		calls: f.NewCounterVec(prometheus.CounterOpts{
			Name: "worker_calls_total", Help: "Calls of the sync lane to a worker, by how they ended.",
		}, []string{"outcome"}),
		connections: f.NewCounter(prometheus.CounterOpts{
			Name: "worker_connections_opened_total", Help: "Connections opened to a worker.",
		}),
	}
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "worker_calls_in_flight", Help: "Calls to a worker in flight.",
	}, func() float64 { return float64(len(slots)) })
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "worker_calls_limit", Help: "Calls to a worker that may be in flight.",
	}, func() float64 { return float64(cap(slots)) })

	m.calls.WithLabelValues(outcomeCompleted)
	m.calls.WithLabelValues(outcomeOther)
	for _, o := range m.outcomes {
		m.calls.WithLabelValues(o.name)
	}
	return m
}

// The outcomes that are not told by an error of their own.
const (
	outcomeCompleted = "completed"
	outcomeOther     = "other"
)

type outcome struct {
	name string
	is   func(error) bool
}

// outcomes names the errors of Execute for the label outcome.
func outcomes() []outcome {
	sentinel := func(target error) func(error) bool {
		return func(err error) bool { return errors.Is(err, target) }
	}
	return []outcome{
		{"task_failed", func(err error) bool { _, ok := errors.AsType[*TaskError](err); return ok }},
		{"saturated", sentinel(ErrSaturated)},
		{"busy", sentinel(ErrBusy)},
		{"unavailable", sentinel(ErrUnavailable)},
		{"timeout", sentinel(ErrTimeout)},
		{"broken", sentinel(ErrBroken)},
		{"bad_answer", sentinel(ErrBadAnswer)},
		{"closed", sentinel(ErrClosed)},
		{"canceled", sentinel(context.Canceled)},
	}
}

// count counts a call and returns how it ended.
func (m *metrics) count(err error) string {
	outcome := m.outcomeOf(err)
	m.calls.WithLabelValues(outcome).Inc()
	return outcome
}

func (m *metrics) outcomeOf(err error) string {
	if err == nil {
		return outcomeCompleted
	}
	for _, o := range m.outcomes {
		if o.is(err) {
			return o.name
		}
	}
	return outcomeOther
}
