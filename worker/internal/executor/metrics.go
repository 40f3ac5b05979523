package executor

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

func newPanics(reg prometheus.Registerer) prometheus.Counter {
	return promauto.With(reg).NewCounter(prometheus.CounterOpts{
		Name: "executor_panics_total",
		Help: "Panics that reached the executor: errors of the worker itself, as those of an action are caught before.",
	})
}

// observe registers what an executor tells of itself, which has the policy for
// when it is full.
func observe(reg prometheus.Registerer, policy Policy, stats func() Stats) {
	f := promauto.With(reg)
	gauge := func(name, help string, read func(Stats) int) {
		f.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(read(stats())) })
	}
	gauge("executor_tasks", "Tasks that the executor has accepted and not finished.",
		func(s Stats) int { return s.Running + s.Queued })
	gauge("executor_queued", "Tasks that the executor has accepted and not started.",
		func(s Stats) int { return s.Queued })
	gauge("executor_workers", "Goroutines that the executor has for tasks, idle ones as well. A task that a delivery loop runs has none.",
		func(s Stats) int { return s.Workers })
	for _, p := range Policies() {
		f.NewCounterFunc(prometheus.CounterOpts{
			Name:        "executor_saturated_total",
			Help:        "Submits that met a full executor, by the policy that decided on them. Where a model has none they wait, as with block.",
			ConstLabels: prometheus.Labels{"policy": string(p)},
		}, func() float64 {
			if p != policy {
				return 0
			}
			return float64(stats().Saturated)
		})
	}
	f.NewCounterFunc(prometheus.CounterOpts{
		Name: "executor_discarded_total",
		Help: "Accepted tasks that a saturation policy has dropped.",
	}, func() float64 { return float64(stats().Discarded) })
}
