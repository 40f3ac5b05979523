package main

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/service"
	"github.com/twinlane/twinlane/internal/service/telemetry"
	"github.com/twinlane/twinlane/internal/task"
	"github.com/twinlane/twinlane/worker/internal/action"
	"github.com/twinlane/twinlane/worker/internal/consumer"
	"github.com/twinlane/twinlane/worker/internal/control"
	"github.com/twinlane/twinlane/worker/internal/executor"
	"github.com/twinlane/twinlane/worker/internal/httpapi"
)

const (
	// settleWait is how long a settlement waits for its turn to be published. It
	// is in no hurry: a refusal costs a pause.
	settleWait = time.Second
	// answerMargin is how much longer than its task an answer may take.
	answerMargin = 10 * time.Second
	// adminGrace is how long a scrape may still take on a stop.
	adminGrace = time.Second
)

// Run does tasks until ctx ends. It reads from top to bottom as the worker is
// built; the components start in the order at the end and stop in the opposite
// one, so that whatever settles a task outlives it.
func (c *serveCommand) Run(ctx context.Context, std streams) error {
	logger := service.NewLogger(std.err, c.level())
	registry := service.NewRegistry()
	reg := prometheus.WrapRegistererWithPrefix("worker_", registry)

	traces, err := telemetry.New(ctx, c.traces("twinlane-worker"), reg, logger)
	if err != nil {
		return fmt.Errorf("traces: %w", err)
	}
	defer traces.Close(ctx)
	tracer := traces.Tracer()

	models := c.config()
	registerInfo(reg, models)
	warnOfMemory(logger, debug.SetMemoryLimit(-1), consumer.Held(models))
	broker, err := c.newBroker(tracer, reg, logger)
	if err != nil {
		return err
	}

	// The work: the same actions for both lanes.
	runner := action.NewRunner(c.actions(tracer), reg, logger)
	defer runner.Close()

	// The lanes, and the servers.
	watchdog := executor.NewWatchdog(executor.WatchdogConfig{Limit: c.WatchdogLimit, Interval: c.WatchdogInterval}, reg, logger)
	lanes, err := c.newLanes(models, watchdog, broker, runner, tracer, reg, logger)
	if err != nil {
		return err
	}
	handler := httpapi.NewHandler(httpapi.Config{Concurrency: c.SyncConcurrency, Tracer: tracer}, runner, reg, logger)
	readiness := broker.readiness()

	adminListener, err := service.Listen(ctx, c.AdminAddr)
	if err != nil {
		return fmt.Errorf("ADMIN_ADDR: %w", err)
	}
	httpListener, err := service.Listen(ctx, c.HTTPAddr)
	if err != nil {
		_ = adminListener.Close()
		return fmt.Errorf("HTTP_ADDR: %w", err)
	}
	sync := service.NewHTTPServer(httpListener, handler, c.TaskTimeout+answerMargin, c.ShutdownGrace, logger)
	adminHandler := control.NewHandler(models, lanes.tasks, service.AdminHandler(registry, readiness.Ready), logger)
	admin := service.NewHTTPServer(adminListener, adminHandler, service.AdminWriteTimeout, adminGrace, logger)

	logger.Info("starting", "executor", string(c.Executor), "concurrency", models.Parallelism(), "capacity", models.Capacity(), "os_threads", c.OSThreads,
		"sync_concurrency", c.SyncConcurrency, "task_timeout", c.TaskTimeout.String(),
		"max_attempts", c.MaxAttempts, "fault_injection", c.FaultInjection)
	logger.Info("listening", "server", "admin", "addr", admin.Addr())
	logger.Info("listening", "server", "http", "addr", sync.Addr())
	return service.Run(
		ctx, logger, c.ShutdownGrace+stopMargin,
		service.Component{Name: "traces", Run: traces.Run},
		service.Component{Name: "admin", Run: admin.Run},
		service.Component{Name: "consume connection", Run: broker.conn.Run},
		service.Component{Name: "publishers", Run: service.Together(broker.tasks.Run, broker.results.Run)},
		service.Component{Name: "watchdog", Run: watchdog.Run},
		service.Component{Name: "lanes", Run: service.Together(append(lanes.runs, sync.Run)...)},
		readiness.Component(0),
	)
}

// actions is the configuration of what tasks do.
func (c *serveCommand) actions(tracer trace.Tracer) action.Config {
	return action.Config{
		DefaultDuration: c.DefaultDuration,
		Timeout:         c.TaskTimeout,
		HTTPURL:         c.HTTPActionURL,
		FaultInjection:  c.FaultInjection,
		Tracer:          tracer,
		Exit:            os.Exit, //nolint:forbidigo // An injected exit has to be a real one.
	}
}

// broker is what the worker has to do with RabbitMQ: a connection to consume
// on, another to move tasks from queue to queue on, and one more to tell
// results on. Where the stream of results is stuck, so is that connection alone.
type broker struct {
	conn           *rabbitmq.Connection
	tasks, results *rabbitmq.Publisher
}

// brokerConnections is how many these are.
const brokerConnections = 3

// resultChannels share the connection for results. They are for one stream.
const resultChannels = 2

// resultsInFlight is how many results wait for their confirm at once. Tasks that
// began together end together, and none of them should wait for another.
const resultsInFlight = 4096

func (c *serveCommand) newBroker(tracer trace.Tracer, reg prometheus.Registerer, logger *slog.Logger) (b broker, err error) {
	b.conn, err = rabbitmq.NewConnection(c.connection("worker-consume"), rabbitmq.Tasks(), reg, logger)
	if err != nil {
		return broker{}, fmt.Errorf("consume connection: %w", err)
	}
	patient := rabbitmq.PublisherConfig{AcquireWait: settleWait, Tracer: tracer}
	b.tasks, err = rabbitmq.NewPublisher(patient, c.connection("worker-publish"), rabbitmq.Tasks(), reg, logger.With("publisher", "tasks"))
	if err != nil {
		return broker{}, fmt.Errorf("publisher of tasks: %w", err)
	}
	patient.Channels, patient.MaxInFlight = resultChannels, resultsInFlight
	b.results, err = rabbitmq.NewPublisher(patient, c.connection("worker-results"), rabbitmq.Tasks(), reg, logger.With("publisher", "results"))
	if err != nil {
		return broker{}, fmt.Errorf("publisher of results: %w", err)
	}
	return b, nil
}

// readiness is that of the worker, which does its work without telling results
// if it must.
func (b broker) readiness() *service.Readiness {
	return service.NewReadiness(b.conn.Ready, b.tasks.Ready)
}

// lanes are the async lanes: what runs them, and the executor of the first one.
type lanes struct {
	tasks executor.Executor
	runs  []func(context.Context) error
}

// newLanes returns what consumes the task queues, one after the other in the
// table of lanes. The metrics of each have its queue as a label. The delivery
// loop of the first one is watched: those for suspects take their time.
func (c *serveCommand) newLanes(
	tasks executor.Config, watchdog *executor.Watchdog, b broker, runner *action.Runner, tracer trace.Tracer,
	reg prometheus.Registerer, logger *slog.Logger,
) (all lanes, err error) {
	results := consumer.NewResults(b.results, logger)
	for _, lane := range consumer.Lanes(tasks, c.TaskTimeout) {
		own := prometheus.WrapRegistererWith(prometheus.Labels{"source": lane.Queue}, reg)
		subscription, err := rabbitmq.NewSubscription(b.conn, rabbitmq.SubscriptionConfig{
			Queue: lane.Queue, Prefetch: lane.Prefetch, ConsumerTag: "worker",
		}, reg, logger)
		if err != nil {
			return lanes{}, fmt.Errorf("subscription to %s: %w", lane.Queue, err)
		}
		exec, err := executor.New(lane.Executor, own, logger.With("queue", lane.Queue))
		if err != nil {
			return lanes{}, fmt.Errorf("executor of %s: %w", lane.Queue, err)
		}
		cfg := consumer.Config{
			Lane: lane, MaxAttempts: c.MaxAttempts, TaskTimeout: c.TaskTimeout, Grace: c.ShutdownGrace, Tracer: tracer,
		}
		if all.tasks == nil {
			all.tasks = exec
			if c.WatchdogLimit > 0 {
				cfg.Watchdog = watchdog
			}
		}
		all.runs = append(all.runs, consumer.New(cfg, subscription, b.tasks, results, exec, runner, own, logger).Run)
	}
	return all, nil
}

// warnOfMemory says so where the deliveries that a worker may hold do not fit
// into limit, which is GOMEMLIMIT, and what number of tasks would. Without a
// limit it says nothing.
func warnOfMemory(logger *slog.Logger, limit int64, held int) {
	if limit == math.MaxInt64 || int64(held)*task.MaxMessageBytes <= limit {
		return
	}
	logger.Warn("messages of the largest size do not fit into GOMEMLIMIT, have fewer tasks in the worker or raise the limit",
		"limit_bytes", limit, "held", held, "message_bytes", task.MaxMessageBytes,
		"tasks_that_fit", consumer.Capacity(int(limit/task.MaxMessageBytes)))
}

// Run asks the worker at the admin address whether it is ready.
func (c *healthCommand) Run(ctx context.Context) error { return service.CheckHealth(ctx, c.AdminAddr) }
