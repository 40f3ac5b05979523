package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/task"
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

// connection is the configuration of a connection called name.
func (f brokerFlags) connection(name string) (rabbitmq.ConnectionConfig, error) {
	urls, err := rabbitmq.ParseURLs(f.AMQPURL)
	if err != nil {
		return rabbitmq.ConnectionConfig{}, fmt.Errorf("AMQP_URL: %w", err)
	}
	return rabbitmq.ConnectionConfig{URLs: urls, Name: name}, nil
}

type serveCommand struct {
	brokerFlags
	HTTPAddr        string         `name:"http-addr" env:"HTTP_ADDR" default:"127.0.0.1:8090" help:"Where the sync lane listens. Port 0 takes a free one, which is logged."`
	AdminAddr       string         `env:"ADMIN_ADDR" default:"127.0.0.1:8091" help:"Where /metrics, /livez, /readyz and /debug/pprof/ are served."`
	LogLevel        string         `env:"LOG_LEVEL" default:"info" help:"debug, info, warn or error. At debug, every task is logged."`
	Executor        executor.Model `env:"EXECUTOR" default:"goroutine" help:"How tasks of the async lane run: goroutine (one for each, up to CONCURRENCY) or serial (one at a time, on the delivery loop)."`
	Concurrency     int            `env:"CONCURRENCY" default:"1000" help:"How many tasks of the async lane run at once, 1 to 50000."`
	SyncConcurrency int            `env:"SYNC_CONCURRENCY" default:"1024" help:"How many tasks of the sync lane run at once, 1 to 50000; more get a 503."`
	TaskTimeout     time.Duration  `env:"TASK_TIMEOUT" default:"90s" help:"How long one attempt of a task may take, 1ms to 20m."`
	MaxAttempts     int            `env:"MAX_ATTEMPTS" default:"4" help:"How often a task that fails transiently is run in all, 1 to 100."`
	DefaultDuration time.Duration  `env:"DEFAULT_DURATION" default:"1s" help:"How long a task works that names no duration, 0s to 1m."`
	HTTPActionURL   string         `name:"http-action-url" env:"HTTP_ACTION_URL" placeholder:"URL" help:"Where the action http posts to. Without it the action is refused."`
	FaultInjection  bool           `env:"FAULT_INJECTION" help:"Let tasks ask for failures, up to the end of this process. For tests and the lab only."`
	ShutdownGrace   time.Duration  `env:"SHUTDOWN_GRACE" default:"20s" help:"How long started tasks may take to finish on a stop, 0s to 25s. The rest is requeued."`
}

// The bounds of the settings.
const (
	maxConcurrency = 50_000
	maxAttempts    = 100
	// maxTaskTimeout is below the half hour after which a broker takes a message
	// back that nobody has answered for.
	maxTaskTimeout = 20 * time.Minute
	maxDuration    = task.MaxDurationMS * time.Millisecond
	// maxShutdownGrace and stopMargin together stay below the 40 s after which
	// whoever runs the process kills it.
	maxShutdownGrace = 25 * time.Second
	stopMargin       = 14 * time.Second
)

// Validate names the first variable whose value is not allowed. The parser calls it.
func (c *serveCommand) Validate() error {
	if _, err := c.connection(""); err != nil {
		return err
	}
	if err := checkURL("HTTP_ACTION_URL", c.HTTPActionURL); err != nil {
		return err
	}
	if _, err := parseLevel(c.LogLevel); err != nil {
		return err
	}
	if !slices.Contains(executor.Models(), c.Executor) {
		return notAllowed("EXECUTOR", c.Executor, "goroutine, serial")
	}
	for _, addr := range [...]struct{ name, value string }{{"HTTP_ADDR", c.HTTPAddr}, {"ADMIN_ADDR", c.AdminAddr}} {
		if _, _, err := net.SplitHostPort(addr.value); err != nil {
			return notAllowed(addr.name, addr.value, "host:port")
		}
	}
	for _, n := range [...]struct {
		name       string
		value, max int
	}{
		{"CONCURRENCY", c.Concurrency, maxConcurrency},
		{"SYNC_CONCURRENCY", c.SyncConcurrency, maxConcurrency},
		{"MAX_ATTEMPTS", c.MaxAttempts, maxAttempts},
	} {
		if n.value < 1 || n.value > n.max {
			return notAllowed(n.name, n.value, fmt.Sprintf("1 to %d", n.max))
		}
	}
	for _, d := range [...]struct {
		name            string
		value, min, max time.Duration
	}{
		{"TASK_TIMEOUT", c.TaskTimeout, time.Millisecond, maxTaskTimeout},
		{"DEFAULT_DURATION", c.DefaultDuration, 0, maxDuration},
		{"SHUTDOWN_GRACE", c.ShutdownGrace, 0, maxShutdownGrace},
	} {
		if d.value < d.min || d.value > d.max {
			return notAllowed(d.name, d.value, fmt.Sprintf("%s to %s", d.min, d.max))
		}
	}
	return nil
}

// checkURL accepts an absolute HTTP URL, or none. Its error does not repeat the
// value, which may hold a secret.
func checkURL(name, value string) error {
	if value == "" {
		return nil
	}
	if u, err := url.Parse(value); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return fmt.Errorf("%s: the value is not allowed; allowed: http://host/path or https://host/path", name)
	}
	return nil
}

func parseLevel(name string) (slog.Level, error) {
	levels := []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
	for _, level := range levels {
		if strings.ToLower(level.String()) == name {
			return level, nil
		}
	}
	return 0, notAllowed("LOG_LEVEL", name, "debug, info, warn, error")
}

// notAllowed is how every wrong setting is reported.
func notAllowed(name string, value any, allowed string) error {
	return fmt.Errorf("%s: %q is not allowed; allowed: %s", name, fmt.Sprint(value), allowed)
}

type healthCommand struct {
	AdminAddr string `env:"ADMIN_ADDR" default:"127.0.0.1:8091" help:"Where the worker serves /readyz."`
}

// dlqCommand is the tools for dead letters. While one looks at messages, others
// do not see them; they come back when it ends.
type dlqCommand struct {
	Ls     lsCommand     `cmd:"" aliases:"list" help:"List dead letters in the order of the queue."`
	Show   showCommand   `cmd:"" help:"Show one dead letter with its headers and body."`
	Replay replayCommand `cmd:"" help:"Put dead letters back into the task queue, as first attempts."`
	Purge  purgeCommand  `cmd:"" help:"Delete dead letters after writing them to a file."`
}

// scanFlags bound how much of the DLQ a command looks at.
type scanFlags struct {
	brokerFlags
	Scan int `default:"10000" help:"How many messages to look at, from the head of the queue on."`
}

// filterFlags say which dead letters are meant.
type filterFlags struct {
	ID     string        `name:"id" help:"Only the letter of this task."`
	Reason string        `help:"Only letters with this reason: permanent, exhausted, panic, undecodable, delivery_limit or unknown."`
	Since  time.Duration `placeholder:"DURATION" help:"Only letters that died in the last so many, such as 1h30m."`
}

func (f filterFlags) isSet() bool { return f != filterFlags{} }

type lsCommand struct {
	scanFlags
	filterFlags
	Max  int  `default:"50" help:"How many to list; 0 for all."`
	JSON bool `name:"json" help:"Print a JSON array."`
}

type showCommand struct {
	scanFlags
	ID   string `arg:"" help:"The task's id."`
	JSON bool   `name:"json" help:"Print JSON, which has every byte of the body."`
}

type replayCommand struct {
	scanFlags
	filterFlags
	All    bool    `help:"Replay all."`
	Max    int     `placeholder:"N" help:"Replay so many at most."`
	Rate   float64 `placeholder:"N" help:"Replay so many a second at most; without it, as fast as the broker confirms."`
	DryRun bool    `help:"Only print what would be replayed."`
}

// Validate makes sure that nobody replays everything by accident.
func (c *replayCommand) Validate() error {
	if !c.All && c.Max == 0 && !c.isSet() {
		return fmt.Errorf("say which letters to replay: --id, --reason, --since, --max or --all")
	}
	return nil
}

type purgeCommand struct {
	scanFlags
	filterFlags
	Backup string `placeholder:"FILE" help:"The file to write first; it must not exist. By default its name is made of the queue and the time."`
	Count  int    `placeholder:"N" help:"How many letters you expect to delete; if it differs, none is. Without it you are asked."`
}
