// Package executor holds the execution models: how a worker runs what it is
// given, one model per file, all behind one small interface.
//
// A model decides when, where and how many tasks run at once. What a task is,
// how its outcome is settled and how long it may take is the business of the
// caller: this package knows neither brokers nor HTTP.
package executor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// ErrStopped is what Submit returns once Drain has begun.
var ErrStopped = errors.New("executor stopped")

// Task is one piece of work.
type Task struct {
	// Run does the work. A panic in it ends this task alone: it is logged and
	// counted, and the process lives.
	Run func()
}

// Executor runs tasks under one execution model. Its methods may be called
// from any goroutine.
type Executor interface {
	// Submit hands a task over. It blocks while the model has no room for it;
	// a model that runs tasks on the submitting goroutine blocks until the task
	// is done. The task runs exactly once if Submit returns nil, and never if it
	// returns an error: that of ctx, or ErrStopped.
	Submit(ctx context.Context, t Task) error
	// Drain refuses further tasks and waits until all that were accepted are
	// done or ctx ends. It returns how many are not done. It may be called again
	// to wait for those.
	Drain(ctx context.Context) (unfinished int)
}

// Model names an execution model.
type Model string

// The execution models.
const (
	ModelGoroutine Model = "goroutine" // a goroutine for each task, up to a bound
	ModelSerial    Model = "serial"    // one task at a time, on the submitting goroutine
)

// Models lists every model, in the order used in messages to people.
func Models() []Model { return []Model{ModelGoroutine, ModelSerial} }

// Config says which model runs tasks and how many at once.
type Config struct {
	Model Model
	// Concurrency bounds how many tasks run at once. ModelSerial always runs one.
	Concurrency int
}

// Validate names the first field whose value is not allowed.
func (c Config) Validate() error {
	if !slices.Contains(Models(), c.Model) {
		return fmt.Errorf("model: %q is not allowed; allowed: %s", c.Model, join(Models()))
	}
	if c.Concurrency < 1 {
		return fmt.Errorf("concurrency: %d is not allowed; allowed: 1 or more", c.Concurrency)
	}
	return nil
}

// Parallelism is how many tasks run at once at most.
func (c Config) Parallelism() int {
	if c.Model == ModelSerial {
		return 1
	}
	return c.Concurrency
}

// New returns an executor of the configured model.
func New(c Config, reg prometheus.Registerer, logger *slog.Logger) (Executor, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	gate := newGate(c.Parallelism())
	guard := &guard{logger: logger.With("component", "executor"), metrics: newMetrics(reg, gate.count)}
	switch c.Model {
	case ModelSerial:
		return &serial{gate: gate, guard: guard}, nil
	default: // Validate has let no other pass
		return &goroutine{gate: gate, guard: guard}, nil
	}
}

// guard runs tasks so that no panic escapes from one.
type guard struct {
	logger  *slog.Logger
	metrics *metrics
}

func (g *guard) run(t Task) {
	defer func() {
		if v := recover(); v != nil {
			g.metrics.panics.Inc()
			g.logger.Error("task panicked", "err", fmt.Sprint(v), "stack", string(debug.Stack()))
		}
	}()
	t.Run()
}

func join(models []Model) string {
	names := make([]string, len(models))
	for i, m := range models {
		names[i] = string(m)
	}
	return strings.Join(names, ", ")
}
