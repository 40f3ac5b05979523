// Package lab holds the experiments of `worker lab`: the published ones on
// what it costs to block and how to run blocking work, one a file, each with
// what was published, what theory predicts and what is measured here, side by
// side.
//
// An Experiment is a list of cases. Run measures one after the other, tells a
// Watcher how far it is, and makes a Result of the figures, which this package
// prints as text, JSON, CSV, a page of HTML, and into docs/experiments.md.
//
// The experiments drive the project's own machinery, the executor and the
// publisher, and not models of it. They leave out what one machine cannot
// show: what is measured shares its processors with what measures it, so
// ratios within a run say more than figures do.
package lab

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Experiments lists every experiment, in the order in which to read them.
func Experiments() []Experiment {
	return []Experiment{
		publishers(),
		eventloop(),
		pools(),
		consume(),
		fanout(),
		starvation(),
		ordering(),
		overload(),
	}
}

// Names lists the names of the experiments.
func Names() []string {
	var names []string
	for _, e := range Experiments() {
		names = append(names, e.Name)
	}
	return names
}

// Experiment is one question and how to find its answer.
type Experiment struct {
	// Name is what it is called on the command line.
	Name string
	// Part is where it was published: the letter, and the number, in EXPERIMENTS.
	Part string
	// Question is what it asks, one sentence that needs no other.
	Question string
	// Method says what is done, in a few sentences, for a reader who knows none
	// of the write-ups: what the cases are, what is held the same.
	Method string
	// Notes are what a reader has to know of the figures, such as where Go differs
	// from what was published. A sentence or two each.
	Notes []string
	// Broker says that the cases need RabbitMQ.
	Broker bool
	// Quantities are what the cases are measured by, in the order of the table.
	Quantities []Quantity
	// Cases returns the cases in their order. It is called once a run, so that
	// later cases may use what earlier ones have found.
	Cases func(Size) []Case
	// Finding is one plain sentence on what the figures show. It is computed from
	// them, and says so where they contradict what was published.
	Finding func(Table) string
}

// Case is one arrangement that is measured: a row of the table for each of the
// experiment's quantities that it returns.
type Case struct {
	Name string
	// Takes is about how long Measure takes. The progress is made of it.
	Takes time.Duration
	// Measure runs the case. It returns within a second of the end of ctx, with
	// its error, and leaves nothing running. Its figures are of the experiment's
	// quantities, in their order; some may be left out.
	Measure func(ctx context.Context, e *Env) ([]Figure, error)
}

// Env is what a case has at hand.
type Env struct {
	Size   Size
	Logger *slog.Logger
	// Metrics are those of the case, served while it runs: their names get the
	// prefix lab_, and the labels experiment and case. What a case has several of
	// registers with MetricsOf.
	Metrics prometheus.Registerer
	// Broker is nil unless the experiment needs one.
	Broker *Broker

	metrics *caseMetrics
}

// MetricsOf is Metrics for a part of the case, with its name added to that of
// the case in the label.
func (e *Env) MetricsOf(part string) prometheus.Registerer { return e.metrics.of(part) }

// Size is how much an experiment does.
type Size int

// The sizes.
const (
	Full  Size = iota // all experiments in about ten minutes
	Quick             // in about two
	Tiny              // a second or so each, for tests: do they work at all?
)

// Pick chooses a value by size.
func Pick[T any](s Size, full, quick, tiny T) T {
	switch s {
	case Quick:
		return quick
	case Tiny:
		return tiny
	default:
		return full
	}
}
