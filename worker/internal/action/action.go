// Package action does what a task asks for: delay, block, cpu, http, and the
// failures that can be injected.
//
// A Runner wraps every run in the same safety for both lanes: a deadline, a
// recovered panic, a classified error, metrics. It does not retry, settle or
// log outcomes: that belongs to whoever brought the task.
//
// An action is a handler of tasks, and whoever writes one keeps this contract:
//
//   - It is idempotent by the task's id: run again, it has the effect of one run.
//     A task comes a second time where a worker crashed, or lost its connection,
//     after the work and before the broker knew; the first run may not even have
//     ended by then. An id outlives its task: a dead letter that is replayed has
//     the id it died with. The action http hands the id on as Idempotency-Key.
//   - It returns soon after its context ends: at the task's timeout, or when the
//     worker stops.
//   - Its error says whether another attempt may succeed: see Error. What nobody
//     classified is tried again.
//   - Its output is JSON of at most task.MaxOutputBytes, or nothing.
package action

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/twinlane/twinlane/internal/service"
	"github.com/twinlane/twinlane/internal/task"
)

// Lane says by which way a task came. It is a label of every metric.
type Lane string

// The lanes.
const (
	LaneSync  Lane = "sync"  // over HTTP; the client waits
	LaneAsync Lane = "async" // through the broker
)

// Lanes lists every lane.
func Lanes() []Lane { return []Lane{LaneSync, LaneAsync} }

// overdueAfter is how long past its deadline a run has to last to be reported
// as one that ignores its context.
const overdueAfter = time.Second

// Config is what a Runner needs to know.
type Config struct {
	// DefaultDuration is for tasks that name no duration.
	DefaultDuration time.Duration
	// Timeout bounds one run of a task.
	Timeout time.Duration
	// HTTPURL is where the http action posts to; empty refuses the action.
	HTTPURL string
	// FaultInjection lets tasks ask for failures.
	FaultInjection bool
	// Exit ends the process for an injected exit. It is os.Exit, or a fake.
	Exit func(code int)
	// Tracer makes a span for each run. Nil makes none.
	Tracer trace.Tracer
}

// Task is a message and what came with it.
type Task struct {
	task.Message
	task.Headers
}

// Runner runs tasks, any number of them at once.
type Runner struct {
	cfg     Config
	logger  *slog.Logger
	metrics *metrics
	client  *http.Client
	threads chan struct{} // holds one element for each OS thread that a block holds
}

// NewRunner returns a runner. A nil logger discards.
func NewRunner(cfg Config, reg prometheus.Registerer, logger *slog.Logger) *Runner {
	return &Runner{
		cfg:     cfg,
		logger:  service.OrDiscard(logger).With("component", "action"),
		metrics: newMetrics(reg),
		client:  newHTTPClient(),
		threads: make(chan struct{}, maxBlockedThreads),
	}
}

// Close closes the idle connections of the http action.
func (r *Runner) Close() { r.client.CloseIdleConnections() }

// Run does a task and blocks until it is done, which a task that ignores its
// context can make longer than the timeout. The result says when and which
// attempt; it is completed with an output where the error is nil. Any error is
// an *Error.
func (r *Runner) Run(ctx context.Context, lane Lane, t Task) (task.Result, error) {
	m := r.metrics.lanes[lane]
	m.inFlight.Inc()
	defer m.inFlight.Dec()

	res := task.Result{
		ID: t.ID, Run: t.Run, Attempt: max(t.Attempt, 1),
		AcceptedAt: t.AcceptedAt, StartedAt: time.Now().UTC(),
	}
	ctx, span := r.startSpan(ctx, lane, &t)
	output, err := r.bounded(ctx, t)
	res.FinishedAt = time.Now().UTC()
	if err == nil {
		res.Status, res.Output = task.StatusCompleted, output
	}
	outcome := OutcomeOf(err)
	m.observe(ctx, res, outcome)
	endSpan(span, outcome, err)
	return res, err
}

// bounded runs a task under its deadline and classifies how it ended.
func (r *Runner) bounded(parent context.Context, t Task) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(parent, r.cfg.Timeout)
	defer cancel()
	done := r.watch(t.ID)
	defer done()
	output, err := r.recovered(ctx, t)
	if err == nil {
		return output, nil
	}
	return nil, classify(err, parent.Err(), r.cfg.Timeout)
}

// watch reports a run that outlasts its deadline until the returned func is called.
func (r *Runner) watch(id string) (done func()) {
	timer := time.AfterFunc(r.cfg.Timeout+overdueAfter, func() {
		r.metrics.overdue.Inc()
		r.metrics.overruns.Inc()
		r.logger.Warn("task ignores its deadline and keeps its place", "task_id", id, "timeout", r.cfg.Timeout)
	})
	return func() {
		if !timer.Stop() {
			r.metrics.overdue.Dec()
		}
	}
}

// recovered turns a panic into an error that carries the stack.
func (r *Runner) recovered(ctx context.Context, t Task) (output json.RawMessage, err error) {
	defer func() {
		if v := recover(); v != nil {
			r.metrics.panics.Inc()
			output, err = nil, &Error{Outcome: OutcomePanic, Err: fmt.Errorf("panic: %v", v), Stack: string(debug.Stack())}
		}
	}()
	if t.Fail != nil {
		if err := r.fail(ctx, *t.Fail, t.Attempt); err != nil {
			return nil, err
		}
	}
	return r.act(ctx, t)
}

func (r *Runner) act(ctx context.Context, t Task) (json.RawMessage, error) {
	duration := t.Duration(r.cfg.DefaultDuration)
	switch t.Action {
	case task.ActionDelay:
		return nil, delay(ctx, duration)
	case task.ActionBlock:
		return nil, block(ctx, duration, r.threads)
	case task.ActionCPU:
		return compute(ctx, duration)
	case task.ActionHTTP:
		return r.post(ctx, t)
	default:
		return nil, permanent(fmt.Errorf("action %q is not known to this worker", t.Action))
	}
}
