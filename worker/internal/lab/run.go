package lab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/twinlane/twinlane/internal/service"
)

// Options are what experiments run with.
type Options struct {
	Size Size
	// AMQPURL is the broker of the experiments that need one.
	AMQPURL string
	// Registry gets the metrics of the case that runs. It may be nil.
	Registry *prometheus.Registry
	// Watcher is told how far an experiment is. It may be nil.
	Watcher Watcher
	Logger  *slog.Logger
}

// Watcher is told what runs. Its methods are called one after the other.
type Watcher interface {
	// Begin announces an experiment with its cases.
	Begin(e Experiment, cases []Case)
	// Case announces the case with that index.
	Case(i int)
	// End follows the last case, or the failure of one.
	End()
}

// Run runs an experiment to its end, or until ctx ends or a case fails. It
// leaves nothing behind, no goroutine and no queue, or says ErrLeftBehind.
func Run(ctx context.Context, e Experiment, o Options) (result Result, err error) {
	cases := e.Cases(o.Size)
	o.Logger = service.OrDiscard(o.Logger)
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	if o.Watcher == nil {
		o.Watcher = nobody{}
	}
	env := Env{Size: o.Size, Logger: o.Logger.With("component", "lab", "experiment", e.Name)}
	result = Result{Experiment: e, Size: o.Size, Started: time.Now()}
	if e.Broker {
		if env.Broker, err = openBroker(ctx, o.AMQPURL, e.Name); err != nil {
			return result, err
		}
		defer func() { err = errors.Join(err, env.Broker.close(ctx)) }()
		result.RabbitMQ = env.Broker.Version
	}
	o.Watcher.Begin(e, cases)
	defer o.Watcher.End()
	for i, c := range cases {
		o.Watcher.Case(i)
		figures, err := measure(ctx, e, c, env, o.Registry)
		if err != nil {
			return result, fmt.Errorf("%s: %s: %w", e.Name, c.Name, err)
		}
		result.Rows = append(result.Rows, Row{Case: c.Name, Figures: figures})
	}
	result.Finding = e.Finding(result.Rows)
	result.Seconds = time.Since(result.Started).Seconds()
	return result, nil
}

// measure runs one case with metrics of its own, which go when it ends.
func measure(ctx context.Context, e Experiment, c Case, env Env, reg prometheus.Registerer) ([]Figure, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	env.metrics = &caseMetrics{Registerer: reg, experiment: e.Name, name: c.Name}
	defer env.metrics.unregisterAll()
	env.Metrics = env.metrics.of("")
	debug.FreeOSMemory() // what earlier cases have left is not this one's
	env.Logger = env.Logger.With("case", c.Name)
	figures, err := c.Measure(ctx, &env)
	if err == nil {
		err = check(e, figures)
	}
	return figures, err
}

// check holds a case to the quantities of its experiment and to their order.
func check(e Experiment, figures []Figure) error {
	last := -1
	for _, f := range figures {
		i := slices.IndexFunc(e.Quantities, func(q Quantity) bool { return q.Key == f.Quantity })
		if i <= last {
			return fmt.Errorf("the figure %q is unknown or not in its place", f.Quantity)
		}
		last = i
	}
	return nil
}

// nobody watches.
type nobody struct{}

// Begin implements Watcher.
func (nobody) Begin(Experiment, []Case) {}

// Case implements Watcher.
func (nobody) Case(int) {}

// End implements Watcher.
func (nobody) End() {}

// caseMetrics registers the metrics of a case and remembers them, to take them
// back when it ends. A case registers on one goroutine at a time.
type caseMetrics struct {
	prometheus.Registerer
	experiment, name string
	registered       []prometheus.Collector
}

// of returns the registerer of a part of the case, or of the case itself.
func (m *caseMetrics) of(part string) prometheus.Registerer {
	name := m.name
	if part != "" {
		name += ", " + part
	}
	labels := prometheus.Labels{"experiment": m.experiment, "case": name}
	return prometheus.WrapRegistererWithPrefix("lab_", prometheus.WrapRegistererWith(labels, m))
}

// Register implements prometheus.Registerer.
func (m *caseMetrics) Register(c prometheus.Collector) error {
	if err := m.Registerer.Register(c); err != nil {
		return err
	}
	m.registered = append(m.registered, c)
	return nil
}

// MustRegister implements prometheus.Registerer.
func (m *caseMetrics) MustRegister(all ...prometheus.Collector) {
	for _, c := range all {
		if err := m.Register(c); err != nil {
			panic(err)
		}
	}
}

func (m *caseMetrics) unregisterAll() {
	for _, c := range m.registered {
		m.Unregister(c)
	}
}
