package main

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/twinlane/twinlane/worker/internal/executor"
)

// registerInfo tells how the tasks of the async lane run, so that a report can
// say what was to be expected of it.
func registerInfo(reg prometheus.Registerer, tasks executor.Config) {
	promauto.With(reg).NewGaugeVec(prometheus.GaugeOpts{
		Name: "info", Help: "How tasks of the async lane run, and how many at once at most; always 1.",
	}, []string{"executor", "concurrency"}).
		WithLabelValues(string(tasks.Model), strconv.Itoa(tasks.Parallelism())).Set(1)
}
