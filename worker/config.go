package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/service"
	"github.com/twinlane/twinlane/internal/service/telemetry"
	"github.com/twinlane/twinlane/internal/task"
	"github.com/twinlane/twinlane/worker/internal/consumer"
	"github.com/twinlane/twinlane/worker/internal/dlq"
	"github.com/twinlane/twinlane/worker/internal/executor"
)

// cli is every command with its settings. Its help texts are the reference.
type cli struct {
	Serve  serveCommand  `cmd:"" default:"withargs" help:"Do tasks until told to stop."`
	Health healthCommand `cmd:"" help:"Ask a running worker whether it is ready; the exit code is the answer."`
	DLQ    dlqCommand    `cmd:"" name:"dlq" help:"List, show, replay and purge dead letters."`
	Lab    labCommand    `cmd:"" help:"Run the published experiments on how to run work, each beside what was published and predicted."`
	Size   sizeCommand   `cmd:"" help:"Recommend how many tasks at once, workers and threads, and predict how long tasks wait."`
}

// brokerFlags are for every command that connects to a broker.
type brokerFlags struct {
	AMQPURL string `name:"amqp-url" env:"AMQP_URL" default:"amqp://twinlane:twinlane@127.0.0.1:5672/" help:"Brokers to try in turn, separated by commas."`
}

func (f brokerFlags) validate() error {
	if _, err := rabbitmq.ParseURLs(f.AMQPURL); err != nil {
		return fmt.Errorf("AMQP_URL: %w", err)
	}
	return nil
}

// connection is the configuration of a connection called name.
func (f brokerFlags) connection(name string) rabbitmq.ConnectionConfig {
	urls, _ := rabbitmq.ParseURLs(f.AMQPURL) // validated
	return rabbitmq.ConnectionConfig{URLs: urls, Name: name}
}

// traceFlags are for every command that makes spans.
type traceFlags struct {
	TraceEndpoint    string  `name:"otel-exporter-otlp-endpoint" env:"OTEL_EXPORTER_OTLP_ENDPOINT" placeholder:"URL" help:"Base URL of an OpenTelemetry collector that takes spans by OTLP over HTTP, such as http://127.0.0.1:4318. Without one there are no traces. With one, the other OTEL_EXPORTER_OTLP_… variables of its exporter and OTEL_RESOURCE_ATTRIBUTES have their usual meaning."`
	TraceSampleRatio float64 `env:"TRACE_SAMPLE_RATIO" default:"1" help:"How many of the traces that begin here are kept, 0 to 1. Of a task that brings a trace along its sender has decided."`
}

func (f traceFlags) collector() (*url.URL, error) {
	return telemetry.ParseEndpoint("OTEL_EXPORTER_OTLP_ENDPOINT", f.TraceEndpoint)
}

func (f traceFlags) validate() error {
	_, collector := f.collector()
	return errors.Join(collector, service.Between("TRACE_SAMPLE_RATIO", f.TraceSampleRatio, 0, 1))
}

// traces is the configuration of the spans of a process called name.
func (f traceFlags) traces(name string) telemetry.Config {
	endpoint, _ := f.collector() // validated
	return telemetry.Config{Service: name, Endpoint: endpoint, Ratio: f.TraceSampleRatio}
}

type serveCommand struct {
	brokerFlags
	traceFlags
	executorFlags
	HTTPAddr        string        `name:"http-addr" env:"HTTP_ADDR" default:"127.0.0.1:8090" help:"Where the sync lane listens. Port 0 takes a free one, which is logged."`
	AdminAddr       string        `env:"ADMIN_ADDR" default:"127.0.0.1:8091" help:"Where /metrics, /livez, /readyz, /debug/pprof/ and /executor, the sizes of the executor, are served."`
	LogLevel        string        `env:"LOG_LEVEL" default:"info" help:"debug, info, warn or error. At debug, every task is logged."`
	SyncConcurrency int           `env:"SYNC_CONCURRENCY" default:"1024" help:"How many tasks of the sync lane run at once, 1 to ${max_concurrency}; more get a 503."`
	TaskTimeout     time.Duration `env:"TASK_TIMEOUT" default:"90s" help:"How long one attempt of a task may take, ${min_task_timeout} to ${max_task_timeout}. A task may have to wait for two others of that length, and the broker takes it back after 30 minutes."`
	MaxAttempts     int           `env:"MAX_ATTEMPTS" default:"4" help:"How often a task that fails transiently is run in all, 1 to ${max_attempts}."`
	DefaultDuration time.Duration `env:"DEFAULT_DURATION" default:"1s" help:"How long a task works that names no duration, 0s to ${max_duration}."`
	HTTPActionURL   string        `name:"http-action-url" env:"HTTP_ACTION_URL" placeholder:"URL" help:"Where the action http posts to. Without it the action is refused."`
	FaultInjection  bool          `env:"FAULT_INJECTION" help:"Let tasks ask for failures, up to the end of this process. For tests and the lab only."`
	ShutdownGrace   time.Duration `env:"SHUTDOWN_GRACE" default:"20s" help:"How long started tasks may take to finish on a stop, 0s to ${max_shutdown_grace}. The rest is requeued."`
}

// executorFlags say how the tasks of the async lane run. What a model does not
// have is nil where it is not set.
type executorFlags struct {
	Executor         executor.Model   `env:"EXECUTOR" default:"goroutine" help:"How tasks of the async lane run: ${executors}. With goroutine there is one for each, up to CONCURRENCY; with serial they run one at a time, on the delivery loop; with pool on workers that stay, with a queue and a policy; with keyed those of one key one after the other. Tasks that may have crashed a worker run apart, however this is set."`
	Concurrency      int              `env:"CONCURRENCY" default:"1000" help:"How many tasks of the async lane run at once, 1 to ${max_concurrency}. Of tasks that may have crashed a worker ${suspects} more run beside them."`
	PoolCore         *int             `env:"POOL_CORE" placeholder:"POOL_MAX" help:"pool: up to how many workers a task has a new one, though others be idle; 0 to POOL_MAX."`
	PoolMax          *int             `env:"POOL_MAX" placeholder:"CONCURRENCY" help:"pool: up to how many workers a task has a new one when the queue is full."`
	PoolKeepAlive    *time.Duration   `env:"POOL_KEEP_ALIVE" placeholder:"1m0s" help:"pool: how long a worker above POOL_CORE may be idle, 0s to ${max_keep_alive}."`
	PoolQueue        *int             `env:"POOL_QUEUE" placeholder:"0" help:"pool: how many tasks wait in the worker when all of POOL_CORE are busy; together with POOL_MAX ${max_concurrency} at most."`
	PoolPolicy       *executor.Policy `env:"POOL_POLICY" placeholder:"block" help:"pool: what becomes of a task when all workers are busy and the queue is full: ${policies}. abort puts it into a retry queue, its attempt not counted; caller_runs has the delivery loop run it; discard and discard_oldest end it, or the one that waits longest, as discarded; block has the delivery loop wait."`
	KeyQueue         *int             `env:"KEY_QUEUE" placeholder:"CONCURRENCY" help:"keyed: how many tasks wait in the worker, as for the one before them of their key; together with CONCURRENCY ${max_keyed} at most, so that one channel delivers all of them in order."`
	OSThreads        bool             `name:"os-threads" env:"OS_THREADS" help:"Give every goroutine that runs tasks of the async lane an OS thread to itself, to see what threads cost. At most ${max_os_threads} tasks run at once then."`
	WatchdogLimit    time.Duration    `env:"WATCHDOG_LIMIT" default:"2s" help:"How long the delivery loop may be blocked before it is reported: by a task that it runs, or because it waits for room. 0s reports nothing."`
	WatchdogInterval time.Duration    `env:"WATCHDOG_INTERVAL" default:"1s" help:"The time between two looks at the delivery loop, ${min_watchdog_interval} to ${max_watchdog_interval}. It is reported at each of them while it is blocked."`
}

// The bounds of the settings.
const (
	maxConcurrency = 50_000
	maxWait        = 24 * time.Hour
	minInterval    = 10 * time.Millisecond
	maxInterval    = time.Minute
	maxAttempts    = 100
	minTaskTimeout = time.Millisecond
	maxDuration    = task.MaxDurationMS * time.Millisecond
	// stopMargin and service.MaxShutdownGrace together stay below the 90 s after
	// which whoever runs the process kills it.
	stopMargin = 15 * time.Second
)

// bounds are the values that help texts name in ${…}.
func bounds() kong.Vars {
	return kong.Vars{
		"executors":             anyOf(executor.Models()),
		"policies":              anyOf(executor.Policies()),
		"reasons":               anyOf(dlq.Reasons()),
		"max_concurrency":       strconv.Itoa(maxConcurrency),
		"max_keyed":             strconv.Itoa(consumer.MaxOrdered),
		"max_os_threads":        strconv.Itoa(executor.MaxOSThreads),
		"max_keep_alive":        maxWait.String(),
		"min_watchdog_interval": minInterval.String(),
		"max_watchdog_interval": maxInterval.String(),
		"suspects":              strconv.Itoa(consumer.Suspects),
		"max_attempts":          strconv.Itoa(maxAttempts),
		"min_task_timeout":      minTaskTimeout.String(),
		"max_task_timeout":      consumer.MaxTaskTimeout.String(),
		"max_duration":          maxDuration.String(),
		"max_shutdown_grace":    service.MaxShutdownGrace.String(),
	}
}

// anyOf lists names as a sentence does.
func anyOf[T ~string](names []T) string {
	var b strings.Builder
	for i, name := range names {
		switch {
		case i > 0 && i == len(names)-1:
			b.WriteString(" or ")
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(string(name))
	}
	return b.String()
}

// Validate reports every value that is not allowed. The parser calls it.
func (c *serveCommand) Validate() error {
	var action error
	if c.HTTPActionURL != "" {
		_, action = service.HTTPURL("HTTP_ACTION_URL", c.HTTPActionURL)
	}
	_, level := service.LogLevel("LOG_LEVEL", c.LogLevel)
	return errors.Join(
		c.brokerFlags.validate(),
		c.traceFlags.validate(),
		service.Address("HTTP_ADDR", c.HTTPAddr),
		service.Address("ADMIN_ADDR", c.AdminAddr),
		level,
		c.executorFlags.validate(),
		service.Between("SYNC_CONCURRENCY", c.SyncConcurrency, 1, maxConcurrency),
		service.Between("TASK_TIMEOUT", c.TaskTimeout, minTaskTimeout, consumer.MaxTaskTimeout),
		service.Between("MAX_ATTEMPTS", c.MaxAttempts, 1, maxAttempts),
		service.Between("DEFAULT_DURATION", c.DefaultDuration, 0, maxDuration),
		action,
		service.Between("SHUTDOWN_GRACE", c.ShutdownGrace, 0, service.MaxShutdownGrace),
	)
}

// validate reports every value that is not allowed, and every one that the model
// does not have.
func (f *executorFlags) validate() error {
	if err := service.OneOf("EXECUTOR", f.Executor, executor.Models()...); err != nil {
		return err
	}
	c := f.config()
	errs := []error{
		service.Between("CONCURRENCY", f.Concurrency, 1, maxConcurrency),
		f.only(executor.ModelPool, "POOL_CORE", f.PoolCore != nil),
		f.only(executor.ModelPool, "POOL_MAX", f.PoolMax != nil),
		f.only(executor.ModelPool, "POOL_KEEP_ALIVE", f.PoolKeepAlive != nil),
		f.only(executor.ModelPool, "POOL_QUEUE", f.PoolQueue != nil),
		f.only(executor.ModelPool, "POOL_POLICY", f.PoolPolicy != nil),
		f.only(executor.ModelKeyed, "KEY_QUEUE", f.KeyQueue != nil),
		service.Between("WATCHDOG_LIMIT", f.WatchdogLimit, 0, maxWait),
		service.Between("WATCHDOG_INTERVAL", f.WatchdogInterval, minInterval, maxInterval),
	}
	switch f.Executor {
	case executor.ModelPool:
		errs = append(errs, validatePool(c.Pool))
	case executor.ModelKeyed:
		errs = append(errs,
			service.Between("CONCURRENCY with EXECUTOR=keyed", c.Concurrency, 1, consumer.MaxOrdered),
			service.Between("KEY_QUEUE", c.KeyQueue, 0, max(consumer.MaxOrdered-c.Concurrency, 0)))
	default: // the others have nothing else
	}
	if c.OSThreads && c.Parallelism() > executor.MaxOSThreads {
		errs = append(errs, fmt.Errorf("OS_THREADS: %d tasks at once are not allowed with it; allowed: 1 to %d", c.Parallelism(), executor.MaxOSThreads))
	}
	return errors.Join(errs...)
}

func validatePool(p executor.PoolConfig) error {
	if err := service.Between("POOL_MAX", p.Max, 1, maxConcurrency); err != nil {
		return err
	}
	fewest := 0
	if p.Policy == executor.DiscardOldest { // it drops a queued task
		fewest = 1
	}
	return errors.Join(
		service.Between("POOL_CORE", p.Core, 0, p.Max),
		service.Between("POOL_KEEP_ALIVE", p.KeepAlive, 0, maxWait),
		service.OneOf("POOL_POLICY", p.Policy, executor.Policies()...),
		service.Between("POOL_QUEUE", p.Queue, fewest, maxConcurrency-p.Max),
	)
}

// only refuses a setting of another model.
func (f *executorFlags) only(model executor.Model, name string, set bool) error {
	if !set || f.Executor == model {
		return nil
	}
	return fmt.Errorf("%s: not allowed with EXECUTOR=%s; allowed: with EXECUTOR=%s", name, f.Executor, model)
}

// config has what is not set filled in.
func (f *executorFlags) config() executor.Config {
	c := executor.Config{Model: f.Executor, Concurrency: f.Concurrency, OSThreads: f.OSThreads}
	switch f.Executor {
	case executor.ModelPool:
		c.Pool.Max = or(f.PoolMax, f.Concurrency)
		c.Pool.Core = or(f.PoolCore, c.Pool.Max)
		c.Pool.KeepAlive = or(f.PoolKeepAlive, time.Minute)
		c.Pool.Queue = or(f.PoolQueue, 0)
		c.Pool.Policy = or(f.PoolPolicy, executor.Block)
	case executor.ModelKeyed:
		c.KeyQueue = or(f.KeyQueue, min(f.Concurrency, max(consumer.MaxOrdered-f.Concurrency, 0)))
	default: // the others have nothing else
	}
	return c
}

// or is what is set, or the default.
func or[T any](set *T, otherwise T) T {
	if set != nil {
		return *set
	}
	return otherwise
}

func (c *serveCommand) level() slog.Level {
	level, _ := service.LogLevel("LOG_LEVEL", c.LogLevel) // validated
	return level
}

type healthCommand struct {
	AdminAddr string `env:"ADMIN_ADDR" default:"127.0.0.1:8091" help:"Where the worker serves /readyz."`
}

// Validate checks the address. The parser calls it.
func (c *healthCommand) Validate() error { return service.Address("ADMIN_ADDR", c.AdminAddr) }
