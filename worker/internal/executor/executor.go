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
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	// ErrStopped is what Submit returns once Drain has begun.
	ErrStopped = errors.New("executor stopped")
	// ErrSaturated is what Submit returns under Abort when the pool and its
	// queue are full.
	ErrSaturated = errors.New("executor saturated")
)

// Task is one piece of work.
type Task struct {
	// Run does the work. A panic in it ends this task alone: it is logged and
	// counted, and the process lives.
	Run func()
	// Key is read by ModelKeyed: tasks of one key run one after the other, in the
	// order of their submits. Tasks without a key have no order.
	Key string
	// Discard is called exactly once, instead of Run, where a saturation policy
	// drops a task that was accepted. It runs on the goroutine of the submit that
	// found the pool full. It may be nil.
	Discard func()
}

// Executor runs tasks under one execution model. Its methods may be called
// from any goroutine. Every model is also an Observed, and those whose sizes can
// change while they run are a Resizer.
type Executor interface {
	// Submit hands a task over. It blocks while the model has no room for it,
	// unless a saturation policy says otherwise; a model that runs tasks on the
	// submitting goroutine blocks until the task is done. If Submit returns nil,
	// the task runs exactly once or is discarded exactly once. It does neither if
	// Submit returns an error: that of ctx, ErrStopped or ErrSaturated.
	Submit(ctx context.Context, t Task) error
	// Drain refuses further tasks and waits until all that were accepted are
	// done, those in a queue as well, or ctx ends. Submits that wait for room are
	// refused at once. It returns how many tasks are not done. It may be called
	// again to wait for those.
	Drain(ctx context.Context) (unfinished int)
}

// Observed is an executor that says what it is doing.
type Observed interface {
	Stats() Stats
}

// Stats is what an executor is doing, at one moment, and what it has done.
type Stats struct {
	// Running tasks are under way, those that a submitting goroutine runs as well.
	Running int `json:"running"`
	// Queued tasks are accepted and not under way.
	Queued int `json:"queued"`
	// Waiting submits have found no room and block.
	Waiting int `json:"waiting"`
	// Workers are goroutines that the model has for tasks, idle ones as well.
	Workers int `json:"workers"`
	// LargestWorkers is the most Workers there have been at once.
	LargestWorkers int `json:"largest_workers"`
	// Completed tasks have run, to whatever end.
	Completed uint64 `json:"completed"`
	// Saturated submits found no room.
	Saturated uint64 `json:"saturated"`
	// Discarded tasks were accepted and dropped by a saturation policy.
	Discarded uint64 `json:"discarded"`
}

// Resizer is an executor whose sizes can change while it runs. ModelSerial has
// none.
type Resizer interface {
	// Sizes are those that hold now.
	Sizes() Sizes
	// Resize changes all sizes at once, or says which is not allowed. More is
	// used at once: by tasks that wait. Less takes effect as tasks end: none is
	// interrupted.
	Resize(s Sizes) error
}

// Sizes are what can change while an executor runs. Those that its model does
// not have are zero.
type Sizes struct {
	Concurrency int `json:"concurrency,omitempty"` // of ModelGoroutine and ModelKeyed
	Core        int `json:"core,omitempty"`        // of ModelPool
	Max         int `json:"max,omitempty"`         // of ModelPool
}

// New returns an executor of the configured model. A nil registerer registers
// nothing, and a nil logger discards.
func New(c Config, reg prometheus.Registerer, logger *slog.Logger) (Executor, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	r := &runner{osThreads: c.OSThreads, logger: logger.With("component", "executor"), panics: newPanics(reg)}
	var exec interface {
		Executor
		Observed
	}
	switch c.Model {
	case ModelSerial:
		exec = newSerial(r)
	case ModelPool:
		exec = newPool(c.Pool, r)
	case ModelKeyed:
		exec = newKeyed(c.Concurrency, c.KeyQueue, r)
	default: // Validate has let no other pass
		exec = newGoroutine(c.Concurrency, r)
	}
	observe(reg, c.policy(), exec.Stats)
	return exec, nil
}
