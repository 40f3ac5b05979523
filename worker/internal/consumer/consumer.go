// Package consumer is the worker's side of the async lane: deliveries in,
// settled deliveries out.
//
// It hands each delivery to an executor, runs its task and settles it by the
// one table in settle.go. A worker has a Consumer for each of the lanes in
// lane.go, through which tasks that crash workers are told from their
// neighbours. How a queue is consumed, how connections are kept and
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
	"go.opentelemetry.io/otel/trace"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/service"
	"github.com/twinlane/twinlane/internal/task"
	"github.com/twinlane/twinlane/worker/internal/action"
	"github.com/twinlane/twinlane/worker/internal/executor"
)

// RequeueTime is how long a stop may take beyond the grace time: for tasks
// that were told to give up, and for their requeueing.
const RequeueTime = 3 * time.Second

// Config is what a Consumer needs to know.
type Config struct {
	// Lane is what it consumes. Its source and its executor are those of the lane.
	Lane Lane
	// MaxAttempts is how often a task that fails transiently is run in all.
	MaxAttempts int
	// TaskTimeout is how long one attempt may take. The longer it is, the less is
	// left of the time in which the broker waits for an answer.
	TaskTimeout time.Duration
	// Grace is how long started tasks may take to finish on a stop.
	Grace time.Duration
	// Watchdog watches the delivery loops; none does where it is nil.
	Watchdog *executor.Watchdog
	// Tracer makes the spans of deliveries. Nil makes none.
	Tracer trace.Tracer
}

// source is a *rabbitmq.Subscription, or a fake. It hands each delivery over
// with a context that ends when the delivery need not be worked on any more: on
// a stop, and when its channel is gone, for the broker has it back then.
type source interface {
	Run(ctx context.Context, deliver func(context.Context, amqp.Delivery)) error
}

// publisher is a *rabbitmq.Publisher, or a fake. It returns nil for a message
// that the broker has confirmed, and only then. Its recovery is raised when it is
// worth while to publish again what has failed.
type publisher interface {
	Publish(ctx context.Context, m rabbitmq.Message) error
	Recovery() *service.Signal
}

// Consumer runs the tasks that a source delivers.
type Consumer struct {
	cfg       Config
	insistFor time.Duration
	source    source
	executor  executor.Executor
	runner    *action.Runner
	settler   *settler
	logger    *slog.Logger
	metrics   *metrics

	stopping chan struct{} // closed when Run takes nothing more
	fetched  chan struct{} // closed when the source has returned
	held     crew          // the goroutines of deliveries that are in no executor

	loopsMu sync.Mutex
	loops   map[context.Context]*executor.Loop // by the context of their channel
}

// New returns a consumer that works while Run runs. It moves tasks through pub,
// and tells how they ended to results, which it shares with the other lanes of
// its worker. It drains exec, which nobody else may submit to. A nil logger
// discards.
func New(cfg Config, src source, pub publisher, results *Results, exec executor.Executor, runner *action.Runner, reg prometheus.Registerer, logger *slog.Logger) *Consumer {
	logger = service.OrDiscard(logger).With("component", "consumer", "queue", cfg.Lane.Queue)
	m := newMetrics(reg)
	return &Consumer{
		cfg:       cfg,
		insistFor: insistFor(cfg.TaskTimeout, cfg.Lane.queues()),
		source:    src,
		executor:  exec,
		runner:    runner,
		settler: &settler{
			tasks: pub, results: results, steps: rabbitmq.RetrySteps(), maxAttempts: cfg.MaxAttempts,
			moveTo: cfg.Lane.MoveTo, queue: cfg.Lane.Queue, tracer: cfg.Tracer, logger: logger, metrics: m,
		},
		logger:   logger,
		metrics:  m,
		stopping: make(chan struct{}),
		fetched:  make(chan struct{}),
		loops:    make(map[context.Context]*executor.Loop),
	}
}

// Run consumes until ctx ends. Then it takes nothing more, lets started tasks
// finish within the grace time, tells those that are left to give up, requeues
// them, and returns. What does not even give up is left to the broker, which
// has it back when the connection closes. It runs once.
func (c *Consumer) Run(ctx context.Context) error {
	own := context.WithoutCancel(ctx)
	fetch, stopFetching := context.WithCancel(own)
	defer stopFetching()
	work, stopWorking := context.WithCancel(own)
	defer stopWorking()

	var err error // of the source, to be read once fetched is closed
	go func() {
		defer close(c.fetched)
		c.cfg.Lane.room.begin(fetch, c.cfg.Lane.Queue)
		err = c.source.Run(fetch, func(fetch context.Context, d amqp.Delivery) { c.take(fetch, work, d) })
	}()
	select {
	case <-ctx.Done():
	case <-c.fetched:
	}
	close(c.stopping)
	stopFetching()
	c.drain(ctx, stopWorking)
	if !c.finish(ctx) {
		return nil
	}
	return err
}

// finish waits until the source has returned, which only a task that ignores
// its context on the delivery loop itself can prevent, and until everything
// that is held is answered, which a publish that hangs can. It returns whether
// the source has.
func (c *Consumer) finish(ctx context.Context) bool {
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), RequeueTime)
	defer cancel()
	select {
	case <-c.fetched:
	case <-late.Done():
		c.logger.Error("the delivery loop is blocked and left behind")
		return false
	}
	if left := c.held.wait(late); left > 0 {
		c.logger.Error("deliveries are left unanswered, the broker will deliver them again", "deliveries", left)
	}
	return true
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

// enter waits for room, and returns what gives it back.
func (c *Consumer) enter(fetch context.Context, d amqp.Delivery) (leave func(), err error) {
	stay, err := c.cfg.Lane.room.enter(fetch, c.cfg.Lane.Queue, d)
	if stay.crowded {
		c.metrics.crowded.Inc()
		c.logger.Warn("running an isolated task beside others, which did not end in time",
			"task_id", d.MessageId, "waited", pauseWithin.String())
	}
	return stay.leave, err
}

// process runs one task and settles its delivery. It runs where the executor
// runs it.
func (c *Consumer) process(fetch, work context.Context, d amqp.Delivery, read func() (*received, error)) {
	answered := false
	defer func() {
		if !answered { // a panic of the worker itself is on its way to the executor
			c.giveBackLater(fetch, d)
		}
	}()
	r, err := read()
	fetch, work, span := c.startSpan(fetch, work, r)
	defer end(span)
	var res task.Result
	if err == nil {
		res, err = c.runner.Run(work, action.LaneAsync, r.task())
	} else {
		res = r.unrun()
	}
	a := c.settler.judge(r, res, err)
	noteAnswer(span, a)
	c.answer(fetch, a)
	answered = true
}

// answer settles a delivery, or sees to it that it will be. It outlives fetch
// and the work: what is done must not be lost for a stop.
func (c *Consumer) answer(fetch context.Context, a answer) {
	if a.settlement == settlementRequeued {
		c.giveBack(fetch, a.Delivery)
		return
	}
	if a.result != nil && c.settler.results.areLost() {
		// The executor has better to do than to wait for what will hardly be confirmed.
		c.hold(fetch, causeUnconfirmed, a.Delivery, func() { c.settle(fetch, a) })
		return
	}
	c.settle(fetch, a)
}

func (c *Consumer) settle(fetch context.Context, a answer) {
	ctx := context.WithoutCancel(fetch)
	err := c.settler.settle(ctx, &a)
	switch {
	case err == nil:
	case a.onlyResultMissing() && c.settler.results.areLost():
		c.settler.settleWithoutResult(ctx, &a, err)
	default:
		c.logger.Warn("settlement not confirmed, trying again", "task_id", a.id, "settlement", string(a.settlement), "err", err)
		c.insist(fetch, a, err)
	}
}
