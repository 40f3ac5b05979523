// Package consumer is the worker's side of the async lane: deliveries in,
// settled deliveries out.
//
// It hands each delivery to an executor, runs its task and settles it by the
// one table in settle.go. Which queue is consumed, how connections are kept and
// how messages are confirmed is the business of package rabbitmq; how many tasks
// run at once, and where, is that of package executor.
package consumer

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/service"
	"github.com/twinlane/twinlane/worker/internal/action"
	"github.com/twinlane/twinlane/worker/internal/executor"
)

// RequeueTime is how long a stop may take beyond the grace time: for tasks
// that were told to give up, and for their requeueing.
const RequeueTime = 3 * time.Second

// Config is what a Consumer needs to know.
type Config struct {
	// MaxAttempts is how often a task that fails transiently is run in all.
	MaxAttempts int
	// Grace is how long started tasks may take to finish on a stop.
	Grace time.Duration
}

// source is a *rabbitmq.Subscription, or a fake.
type source interface {
	Run(ctx context.Context, deliver func(context.Context, amqp.Delivery)) error
}

// publisher is a *rabbitmq.Publisher, or a fake. It returns nil for a message
// that the broker has confirmed, and only then.
type publisher interface {
	Publish(ctx context.Context, m rabbitmq.Message) error
}

// Consumer runs the tasks that a source delivers.
type Consumer struct {
	cfg      Config
	source   source
	executor executor.Executor
	runner   *action.Runner
	settler  *settler
	logger   *slog.Logger
	metrics  *metrics

	held sync.WaitGroup // the goroutines of hold
}

// New returns a consumer that works while Run runs. It drains exec, which
// nobody else may submit to. A nil logger discards.
func New(cfg Config, src source, pub publisher, exec executor.Executor, runner *action.Runner, reg prometheus.Registerer, logger *slog.Logger) *Consumer {
	logger = service.OrDiscard(logger).With("component", "consumer")
	m := newMetrics(reg)
	return &Consumer{
		cfg:      cfg,
		source:   src,
		executor: exec,
		runner:   runner,
		settler: &settler{
			publisher: pub, steps: rabbitmq.RetrySteps(), maxAttempts: cfg.MaxAttempts, logger: logger, metrics: m,
		},
		logger:  logger,
		metrics: m,
	}
}

// Prefetch is how many deliveries to hold for a number of tasks that run at
// once: a tenth more, so that the next task is there when one ends. Not much
// more, because what is held when a worker crashes is delivered once again.
func Prefetch(parallelism int) int { return parallelism + (parallelism+9)/10 }

// Run consumes until ctx ends. Then it takes nothing more, lets started tasks
// finish within the grace time, tells those that are left to give up, requeues
// them, and returns. What does not even give up is left to the broker, which
// has it back when the connection closes.
func (c *Consumer) Run(ctx context.Context) error {
	fetch, stopFetching := context.WithCancel(ctx)
	defer stopFetching()
	work, stopWorking := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWorking()

	fetched := make(chan error, 1)
	go func() {
		fetched <- c.source.Run(fetch, func(fetch context.Context, d amqp.Delivery) { c.take(fetch, work, d) })
	}()
	var err error
	returned := false
	select {
	case <-ctx.Done():
	case err = <-fetched:
		returned = true
	}
	stopFetching()
	c.drain(ctx, stopWorking)
	if !returned {
		err = c.awaitSource(fetched)
	}
	c.held.Wait()
	return err
}

// drain lets started tasks finish within the grace time, and then makes the
// rest give up.
func (c *Consumer) drain(ctx context.Context, stopWorking context.CancelFunc) {
	began := time.Now()
	if unfinished := c.drainWithin(ctx, c.cfg.Grace); unfinished > 0 {
		c.logger.Warn("grace time is over, requeueing unfinished tasks", "tasks", unfinished)
		stopWorking()
		if lost := c.drainWithin(ctx, RequeueTime); lost > 0 {
			c.logger.Error("tasks ignore that they have to stop, the broker will deliver them again", "tasks", lost)
		}
	}
	c.logger.Info("drained", "seconds", time.Since(began).Seconds())
}

func (c *Consumer) drainWithin(ctx context.Context, limit time.Duration) int {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	return c.executor.Drain(ctx)
}

// awaitSource waits for the source, which only a task that ignores its context
// on the delivery loop itself can keep from returning.
func (c *Consumer) awaitSource(fetched <-chan error) error {
	late := time.NewTimer(RequeueTime)
	defer late.Stop()
	select {
	case err := <-fetched:
		return err
	case <-late.C:
		c.logger.Error("the delivery loop is blocked and left behind")
		return nil
	}
}

// take runs on a delivery loop, which waits while the executor is full.
func (c *Consumer) take(fetch, work context.Context, d amqp.Delivery) {
	c.metrics.delivered(d.Redelivered)
	if wait := suspectWait(d); wait > 0 {
		c.hold(fetch, causeSuspect, wait, func() { c.submit(fetch, work, d) })
		return
	}
	c.submit(fetch, work, d)
}

func (c *Consumer) submit(fetch, work context.Context, d amqp.Delivery) {
	err := c.executor.Submit(fetch, executor.Task{Run: func() { c.process(fetch, work, d) }})
	if err != nil { // the process is stopping, and the task has not started
		c.settler.requeue(d)
	}
}

// process runs one task and settles its delivery. It runs where the executor
// runs it.
func (c *Consumer) process(fetch, work context.Context, d amqp.Delivery) {
	settled := false
	defer func() {
		if !settled { // or a panic of the worker itself is on its way to the executor
			c.hold(fetch, causeUnconfirmed, unconfirmedPause(deliveryCount(d)), func() { c.settler.requeue(d) })
		}
	}()
	r, err := receive(d)
	if err == nil {
		_, err = c.runner.Run(work, action.LaneAsync, r.task)
	}
	// A settlement outlives the work: what is done must not be lost for a stop.
	settled = c.settler.settle(context.WithoutCancel(work), r, err)
}

// hold does something with a delivery after a wait, or at once when the fetch
// context ends. It occupies neither the delivery loop nor the executor; how
// many deliveries it holds is bounded by the prefetch.
func (c *Consumer) hold(fetch context.Context, cause holdCause, wait time.Duration, then func()) {
	c.held.Go(func() {
		held := c.metrics.held[cause]
		held.Inc()
		defer held.Dec()
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-fetch.Done():
		}
		then()
	})
}
