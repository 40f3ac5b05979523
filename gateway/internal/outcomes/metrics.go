package outcomes

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/twinlane/twinlane/internal/service"
)

// evicted says why a task was forgotten.
type evicted string

const (
	evictedCount evicted = "count"
	evictedBytes evicted = "bytes"
	evictedAge   evicted = "age"
)

type metrics struct {
	read       map[status]prometheus.Counter
	skipped    map[skip]prometheus.Counter
	evicted    map[evicted]prometheus.Counter
	duplicates prometheus.Counter
	visible    prometheus.Histogram
	restarts   prometheus.Counter
	markers    prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, x *Index) *metrics {
	f := promauto.With(reg)
	m := &metrics{
		read:    make(map[status]prometheus.Counter),
		skipped: make(map[skip]prometheus.Counter),
		evicted: make(map[evicted]prometheus.Counter),
		duplicates: f.NewCounter(prometheus.CounterOpts{
			Name: "outcomes_duplicates_total", Help: "Executions of tasks that were completed already.",
		}),
		visible: f.NewHistogram(service.DurationHistogram(
			"outcomes_visible_seconds", "Time from the end of a task to when its outcome is known here.",
		)),
		restarts: f.NewCounter(prometheus.CounterOpts{
			Name: "outcomes_restarts_total", Help: "Readings of the results stream that were begun anew because not everything came.",
		}),
		markers: f.NewCounter(prometheus.CounterOpts{
			Name: "outcomes_marker_failures_total", Help: "Markers for the results stream that were not confirmed.",
		}),
	}
	read := f.NewCounterVec(prometheus.CounterOpts{
		Name: "outcomes_read_total", Help: "Outcomes read for the first time, by status.",
	}, []string{"status"})
	for _, s := range []status{completed, dead, discarded} {
		m.read[s] = read.WithLabelValues(string(s.name()))
	}
	skipped := f.NewCounterVec(prometheus.CounterOpts{
		Name: "outcomes_skipped_total", Help: "Messages of the results stream that changed nothing, by reason.",
	}, []string{"reason"})
	for _, s := range skips() {
		m.skipped[s] = skipped.WithLabelValues(string(s))
	}
	evictions := f.NewCounterVec(prometheus.CounterOpts{
		Name: "outcomes_evicted_total", Help: "Tasks forgotten, by the bound that they exceeded.",
	}, []string{"bound"})
	for _, e := range []evicted{evictedCount, evictedBytes, evictedAge} {
		m.evicted[e] = evictions.WithLabelValues(string(e))
	}
	m.addGauges(f, x)
	return m
}

func (m *metrics) addGauges(f promauto.Factory, x *Index) {
	gauge := func(name, help string, value func() float64) {
		f.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	held := func(value func() float64) func() float64 {
		return func() float64 {
			x.mu.RLock()
			defer x.mu.RUnlock()
			return value()
		}
	}
	gauge("outcomes_tasks", "Tasks held.", held(func() float64 { return float64(x.entries.len) }))
	gauge("outcomes_tasks_limit", "Tasks that may be held.", func() float64 { return float64(x.cfg.MaxTasks) })
	gauge("outcomes_bytes", "Memory that the tasks held take, roughly.", held(func() float64 { return float64(x.bytes) }))
	gauge("outcomes_bytes_limit", "Memory that the tasks held may take.", func() float64 { return float64(x.cfg.MaxBytes) })
	gauge("outcomes_runs", "Runs held.", held(func() float64 { return float64(x.runs.len()) }))
	gauge("outcomes_watches", "Watches for an outcome that are not over.", held(func() float64 { return float64(x.waiters.count) }))
	gauge("outcomes_caught_up", "1 while everything in the results stream is known here.", func() float64 {
		if x.caughtUp.Load() {
			return 1
		}
		return 0
	})
	gauge("outcomes_behind_seconds", "For how long the results stream has not been known in full; 0 while it is.",
		func() float64 { return x.behindFor().Seconds() })
}
