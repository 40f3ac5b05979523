package main

import (
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/service"
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

type serveCommand struct {
	brokerFlags
	HTTPAddr        string         `name:"http-addr" env:"HTTP_ADDR" default:"127.0.0.1:8090" help:"Where the sync lane listens. Port 0 takes a free one, which is logged."`
	AdminAddr       string         `env:"ADMIN_ADDR" default:"127.0.0.1:8091" help:"Where /metrics, /livez, /readyz and /debug/pprof/ are served."`
	LogLevel        string         `env:"LOG_LEVEL" default:"info" help:"debug, info, warn or error. At debug, every task is logged."`
	Executor        executor.Model `env:"EXECUTOR" default:"goroutine" help:"How tasks of the async lane run: ${executors}. With goroutine there is one for each, up to CONCURRENCY; with serial they run one at a time, on the delivery loop. Tasks that may have crashed a worker run apart, however this is set."`
	Concurrency     int            `env:"CONCURRENCY" default:"1000" help:"How many tasks of the async lane run at once, 1 to ${max_concurrency}. Of tasks that may have crashed a worker ${suspects} more run beside them."`
	SyncConcurrency int            `env:"SYNC_CONCURRENCY" default:"1024" help:"How many tasks of the sync lane run at once, 1 to ${max_concurrency}; more get a 503."`
	TaskTimeout     time.Duration  `env:"TASK_TIMEOUT" default:"90s" help:"How long one attempt of a task may take, ${min_task_timeout} to ${max_task_timeout}. A task may have to wait for two others of that length, and the broker takes it back after 30 minutes."`
	MaxAttempts     int            `env:"MAX_ATTEMPTS" default:"4" help:"How often a task that fails transiently is run in all, 1 to ${max_attempts}."`
	DefaultDuration time.Duration  `env:"DEFAULT_DURATION" default:"1s" help:"How long a task works that names no duration, 0s to ${max_duration}."`
	HTTPActionURL   string         `name:"http-action-url" env:"HTTP_ACTION_URL" placeholder:"URL" help:"Where the action http posts to. Without it the action is refused."`
	FaultInjection  bool           `env:"FAULT_INJECTION" help:"Let tasks ask for failures, up to the end of this process. For tests and the lab only."`
	ShutdownGrace   time.Duration  `env:"SHUTDOWN_GRACE" default:"20s" help:"How long started tasks may take to finish on a stop, 0s to ${max_shutdown_grace}. The rest is requeued."`
}

// The bounds of the settings.
const (
	maxConcurrency = 50_000
	maxAttempts    = 100
	minTaskTimeout = time.Millisecond
	maxDuration    = task.MaxDurationMS * time.Millisecond
	// stopMargin and service.MaxShutdownGrace together stay below the 90 s after
	// which whoever runs the process kills it.
	stopMargin = 14 * time.Second
)

// bounds are the values that help texts name in ${…}.
func bounds() kong.Vars {
	return kong.Vars{
		"executors":          anyOf(executor.Models()),
		"reasons":            anyOf(dlq.Reasons()),
		"max_concurrency":    strconv.Itoa(maxConcurrency),
		"suspects":           strconv.Itoa(consumer.Suspects),
		"max_attempts":       strconv.Itoa(maxAttempts),
		"min_task_timeout":   minTaskTimeout.String(),
		"max_task_timeout":   consumer.MaxTaskTimeout.String(),
		"max_duration":       maxDuration.String(),
		"max_shutdown_grace": service.MaxShutdownGrace.String(),
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
		c.validate(),
		service.Address("HTTP_ADDR", c.HTTPAddr),
		service.Address("ADMIN_ADDR", c.AdminAddr),
		level,
		service.OneOf("EXECUTOR", c.Executor, executor.Models()...),
		service.Between("CONCURRENCY", c.Concurrency, 1, maxConcurrency),
		service.Between("SYNC_CONCURRENCY", c.SyncConcurrency, 1, maxConcurrency),
		service.Between("TASK_TIMEOUT", c.TaskTimeout, minTaskTimeout, consumer.MaxTaskTimeout),
		service.Between("MAX_ATTEMPTS", c.MaxAttempts, 1, maxAttempts),
		service.Between("DEFAULT_DURATION", c.DefaultDuration, 0, maxDuration),
		action,
		service.Between("SHUTDOWN_GRACE", c.ShutdownGrace, 0, service.MaxShutdownGrace),
	)
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
