package executor

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	panics prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, running func() int) *metrics {
	f := promauto.With(reg)
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "executor_tasks",
		Help: "Tasks that the executor has accepted and not finished.",
	}, func() float64 { return float64(running()) })
	return &metrics{
		panics: f.NewCounter(prometheus.CounterOpts{
			Name: "executor_panics_total",
			Help: "Panics that reached the executor: errors of the worker itself, as those of an action are caught before.",
		}),
	}
}
