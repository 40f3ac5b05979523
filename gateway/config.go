package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"go.opentelemetry.io/otel/trace"

	"github.com/twinlane/twinlane/gateway/internal/httpapi"
	"github.com/twinlane/twinlane/gateway/internal/outcomes"
	"github.com/twinlane/twinlane/gateway/internal/taskid"
	"github.com/twinlane/twinlane/gateway/internal/workerclient"
	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/service"
	"github.com/twinlane/twinlane/internal/service/telemetry"
	"github.com/twinlane/twinlane/internal/task"
)

// config is the whole configuration. Every value is a flag and a variable of
// the environment; the flag wins.
type config struct {
	HTTPAddr     string `name:"http-addr" env:"HTTP_ADDR" default:"127.0.0.1:8080" group:"Servers" placeholder:"HOST:PORT" help:"Address of the API; port 0 takes a free one. Default ${default}."`
	AdminAddr    string `env:"ADMIN_ADDR" default:"127.0.0.1:8081" group:"Servers" placeholder:"HOST:PORT" help:"Address of /metrics, /livez, /readyz and /debug/pprof/. Default ${default}."`
	MaxBodyBytes int64  `env:"MAX_BODY_BYTES" default:"33554432" group:"Servers" placeholder:"BYTES" help:"What the bodies of all requests in flight may have together, ${min_body_bytes} to ${max_body_bytes}; a request that does not fit is answered with 429. Default ${default}, 32 MiB."`

	WorkerURL       string        `name:"worker-url" env:"WORKER_URL" default:"http://127.0.0.1:8090" group:"Sync lane" placeholder:"URL" help:"Base URL of the worker. Default ${default}."`
	SyncMaxInFlight int           `env:"SYNC_MAX_IN_FLIGHT" default:"1024" group:"Sync lane" placeholder:"N" help:"Calls to the worker in flight, 1 to ${max_sync_in_flight}; one more is answered with 503. Default ${default}."`
	SyncTimeout     time.Duration `env:"SYNC_TIMEOUT" default:"65s" group:"Sync lane" placeholder:"DURATION" help:"Longest call to the worker, 100ms to 10m. Default ${default}."`

	AsyncMaxInFlight      int           `env:"ASYNC_MAX_IN_FLIGHT" default:"1024" group:"Async lane" placeholder:"N" help:"Tasks that are being published, 1 to ${max_async_in_flight}; one more is answered with 429. Default ${default}."`
	AMQPURL               string        `name:"amqp-url" env:"AMQP_URL" default:"amqp://twinlane:twinlane@127.0.0.1:5672/" group:"Async lane" placeholder:"URL,..." help:"Brokers, tried in turn. Default ${default}."`
	PublishStrategy       string        `env:"PUBLISH_STRATEGY" default:"pooled" group:"Async lane" placeholder:"NAME" help:"How publishes share AMQP channels: pooled, exclusive, shared or per_request. Default ${default}; the others are there to be compared with it."`
	PublishConnections    int           `env:"PUBLISH_CONNECTIONS" default:"1" group:"Async lane" placeholder:"N" help:"Connections to publish on, 1 to ${max_connections}. Default ${default}."`
	PublishChannels       int           `env:"PUBLISH_CHANNELS" default:"4" group:"Async lane" placeholder:"N" help:"Channels on each connection, 1 to ${max_channels}. Default ${default}."`
	PublishMaxInFlight    int           `env:"PUBLISH_MAX_IN_FLIGHT" default:"1024" group:"Async lane" placeholder:"N" help:"Publishes that wait for their confirm, 1 to ${max_in_flight}; one more is answered with 429. Default ${default}."`
	PublishAcquireWait    time.Duration `env:"PUBLISH_ACQUIRE_WAIT" default:"100ms" group:"Async lane" placeholder:"DURATION" help:"How long a publish may wait for its turn, 1ms to 10s. Default ${default}."`
	PublishConfirmTimeout time.Duration `env:"PUBLISH_CONFIRM_TIMEOUT" default:"5s" group:"Async lane" placeholder:"DURATION" help:"How long a publish may wait for its confirm, 10ms to 1m. Default ${default}."`

	SigningKeys     string `env:"SIGNING_KEYS" group:"Results" placeholder:"KEY,..." help:"What task ids are signed with, the same for all gateways: keys of ${min_key_bytes} bytes and more. The first signs, all are accepted, so that a key can be replaced. Without one, a random key is taken, and the ids are unknown to other gateways and after a restart."`
	WaitMaxInFlight int    `env:"WAIT_MAX_IN_FLIGHT" default:"1024" group:"Results" placeholder:"N" help:"Requests that wait for a result as they prefer to, 1 to ${max_wait_in_flight}; one more is answered without a wait. Default ${default}."`
	ResultsMaxTasks int    `env:"RESULTS_MAX_TASKS" default:"${default_results_tasks}" group:"Results" placeholder:"N" help:"Tasks whose outcome is kept in memory, ${min_results_tasks} to ${max_results_tasks}; beyond, the oldest are forgotten. Default ${default}."`
	ResultsMaxBytes int64  `env:"RESULTS_MAX_BYTES" default:"${default_results_bytes}" group:"Results" placeholder:"BYTES" help:"What those outcomes may take, ${min_results_bytes} to ${max_results_bytes}. Default ${default}, 128 MiB."`

	Links      string `env:"LINKS" group:"Page" placeholder:"NAME=URL,..." help:"What the page at / points to, such as Grafana=http://grafana.example/ or, on the page's own host, Grafana=:3000. Of the one called Traces, TRACE_ID stands for the trace of a task."`
	ReportsDir string `env:"REPORTS_DIR" group:"Page" placeholder:"FOLDER" help:"Folder of the reports of sweeps, which are then served to everybody below /reports/ and named on the page. For the lab."`

	TraceEndpoint    string  `name:"otel-exporter-otlp-endpoint" env:"OTEL_EXPORTER_OTLP_ENDPOINT" group:"Traces" placeholder:"URL" help:"Base URL of an OpenTelemetry collector that takes spans by OTLP over HTTP, such as http://127.0.0.1:4318. Without one there are no traces. With one, the other OTEL_EXPORTER_OTLP_… variables of its exporter and OTEL_RESOURCE_ATTRIBUTES have their usual meaning."`
	TraceSampleRatio float64 `env:"TRACE_SAMPLE_RATIO" default:"1" group:"Traces" placeholder:"RATIO" help:"How many of the traces that begin here are kept, 0 to 1. Of a request that names a trace its sender has decided. Default ${default}."`

	LogLevel       string        `env:"LOG_LEVEL" default:"info" group:"Process" placeholder:"LEVEL" help:"debug, info, warn or error; debug logs every request. Default ${default}."`
	FaultInjection bool          `env:"FAULT_INJECTION" group:"Process" negatable:"" help:"Let clients ask for failures with the field fail. Default false."`
	DrainDelay     time.Duration `env:"DRAIN_DELAY" default:"0s" group:"Process" placeholder:"DURATION" help:"On stop, how long to serve on while /readyz says no, 0s to 5m. Default ${default}."`
	ShutdownGrace  time.Duration `env:"SHUTDOWN_GRACE" default:"20s" group:"Process" placeholder:"DURATION" help:"On stop, how long requests in flight may take, 0s to ${max_shutdown_grace}. Default ${default}. A publish under way gets its confirm in any case, and one that waits for a result is answered at once. A stop takes DRAIN_DELAY + the longer of SHUTDOWN_GRACE and 2 x (PUBLISH_ACQUIRE_WAIT + PUBLISH_CONFIRM_TIMEOUT) + 2 x PUBLISH_CONFIRM_TIMEOUT + ${rest_of_stop} at most."`
}

// maxInFlight is the upper bound of what is counted in requests. Those of the
// publisher are its own.
const maxInFlight = 65_536

// minBodyBytes has room for one request of the largest size.
const (
	minBodyBytes = task.MaxRequestBytes
	maxBodyBytes = 1 << 30
)

// The bounds of what is kept of outcomes.
const (
	minResultsTasks = 1000
	maxResultsTasks = 10_000_000
	minResultsBytes = 1 << 20
	maxResultsBytes = 16 << 30
)

// bounds are the values that the help texts above name in ${…}.
func bounds() kong.Vars {
	return kong.Vars{
		"max_sync_in_flight":    strconv.Itoa(maxInFlight),
		"max_async_in_flight":   strconv.Itoa(maxInFlight),
		"max_wait_in_flight":    strconv.Itoa(maxInFlight),
		"max_connections":       strconv.Itoa(rabbitmq.MaxConnections),
		"max_channels":          strconv.Itoa(rabbitmq.MaxChannels),
		"max_in_flight":         strconv.Itoa(rabbitmq.MaxInFlight),
		"max_shutdown_grace":    service.MaxShutdownGrace.String(),
		"rest_of_stop":          restOfStop.String(),
		"min_body_bytes":        strconv.Itoa(minBodyBytes),
		"max_body_bytes":        strconv.Itoa(maxBodyBytes),
		"min_key_bytes":         strconv.Itoa(taskid.MinKeyBytes),
		"default_results_tasks": strconv.Itoa(outcomes.DefaultMaxTasks),
		"default_results_bytes": strconv.Itoa(outcomes.DefaultMaxBytes),
		"min_results_tasks":     strconv.Itoa(minResultsTasks),
		"max_results_tasks":     strconv.Itoa(maxResultsTasks),
		"min_results_bytes":     strconv.Itoa(minResultsBytes),
		"max_results_bytes":     strconv.Itoa(maxResultsBytes),
	}
}

// commands are what the program does.
type commands struct {
	config `embed:""`

	Serve  struct{} `cmd:"" default:"1" help:"Serve the API until SIGTERM or SIGINT (the default)."`
	Health struct{} `cmd:"" help:"Ask the gateway at ADMIN_ADDR whether it is ready; exit with 0 if it is, else with 1."`
}

const (
	commandHelp   = "help"
	commandHealth = "health"
)

// parseConfig reads the arguments and the environment and returns the
// configuration and the command. The help goes to stdout.
func parseConfig(args []string, stdout io.Writer) (config, string, error) {
	var c commands
	helped := false
	parser, err := kong.New(&c,
		kong.Name("gateway"),
		kong.Description("Takes tasks in over HTTP, and has a worker do them at once or queues them with a confirmed publish."),
		kong.Writers(stdout, stdout),
		kong.Exit(func(int) { helped = true }),
		bounds(),
		kong.ConfigureHelp(kong.HelpOptions{WrapUpperBound: 120}),
	)
	if err != nil {
		return config{}, "", fmt.Errorf("set up flags: %w", err)
	}
	parsed, err := parser.Parse(args)
	if helped {
		return config{}, commandHelp, nil
	}
	if err != nil {
		return config{}, "", err
	}
	return c.config, parsed.Command(), c.validate()
}

// validate reports every value that is not allowed.
func (c *config) validate() error {
	_, brokers := rabbitmq.ParseURLs(c.AMQPURL)
	if brokers != nil {
		brokers = fmt.Errorf("AMQP_URL: %w", brokers)
	}
	_, worker := c.workerURL()
	_, level := service.LogLevel("LOG_LEVEL", c.LogLevel)
	_, keys := c.signingKeys()
	_, collector := c.collector()
	_, links := c.links()
	return errors.Join(
		service.Address("HTTP_ADDR", c.HTTPAddr),
		service.Address("ADMIN_ADDR", c.AdminAddr),
		worker,
		service.Between("SYNC_MAX_IN_FLIGHT", c.SyncMaxInFlight, 1, maxInFlight),
		service.Between("SYNC_TIMEOUT", c.SyncTimeout, 100*time.Millisecond, 10*time.Minute),
		service.Between("ASYNC_MAX_IN_FLIGHT", c.AsyncMaxInFlight, 1, maxInFlight),
		brokers,
		service.OneOf("PUBLISH_STRATEGY", rabbitmq.Strategy(c.PublishStrategy), rabbitmq.Strategies()...),
		service.Between("PUBLISH_CONNECTIONS", c.PublishConnections, 1, rabbitmq.MaxConnections),
		service.Between("PUBLISH_CHANNELS", c.PublishChannels, 1, rabbitmq.MaxChannels),
		service.Between("PUBLISH_MAX_IN_FLIGHT", c.PublishMaxInFlight, 1, rabbitmq.MaxInFlight),
		service.Between("PUBLISH_ACQUIRE_WAIT", c.PublishAcquireWait, time.Millisecond, 10*time.Second),
		service.Between("PUBLISH_CONFIRM_TIMEOUT", c.PublishConfirmTimeout, 10*time.Millisecond, time.Minute),
		keys,
		service.Between("WAIT_MAX_IN_FLIGHT", c.WaitMaxInFlight, 1, maxInFlight),
		service.Between("RESULTS_MAX_TASKS", c.ResultsMaxTasks, minResultsTasks, maxResultsTasks),
		service.Between("RESULTS_MAX_BYTES", c.ResultsMaxBytes, minResultsBytes, maxResultsBytes),
		links,
		c.reports(),
		collector,
		service.Between("TRACE_SAMPLE_RATIO", c.TraceSampleRatio, 0, 1),
		level,
		service.Between("MAX_BODY_BYTES", c.MaxBodyBytes, minBodyBytes, maxBodyBytes),
		service.Between("DRAIN_DELAY", c.DrainDelay, 0, 5*time.Minute),
		service.Between("SHUTDOWN_GRACE", c.ShutdownGrace, 0, service.MaxShutdownGrace),
	)
}

// workerURL parses WORKER_URL. It is a base, to which the routes are added.
func (c *config) workerURL() (*url.URL, error) {
	u, err := service.HTTPURL("WORKER_URL", c.WorkerURL)
	if err == nil && (u.User != nil || u.RawQuery != "" || u.Fragment != "") {
		return nil, service.NotAllowed("WORKER_URL", "a user, a query or a fragment", "http://host:port or https://host:port, with a path or without")
	}
	return u, err
}

// signingKeys splits SIGNING_KEYS. Its error tells of a key no more than its
// length. Without any there are none.
func (c *config) signingKeys() ([][]byte, error) {
	if c.SigningKeys == "" {
		return nil, nil
	}
	var keys [][]byte
	for key := range strings.SplitSeq(c.SigningKeys, ",") {
		key = strings.TrimSpace(key)
		if len(key) < taskid.MinKeyBytes {
			return nil, service.NotAllowed("SIGNING_KEYS", fmt.Sprintf("a key of %d bytes", len(key)),
				fmt.Sprintf("keys of at least %d bytes each, separated by commas", taskid.MinKeyBytes))
		}
		keys = append(keys, []byte(key))
	}
	return keys, nil
}

// collector parses the address that spans are sent to, nil for none.
func (c *config) collector() (*url.URL, error) {
	return telemetry.ParseEndpoint("OTEL_EXPORTER_OTLP_ENDPOINT", c.TraceEndpoint)
}

func (c *config) traces() telemetry.Config {
	endpoint, _ := c.collector() // validated
	return telemetry.Config{Service: "twinlane-gateway", Endpoint: endpoint, Ratio: c.TraceSampleRatio}
}

func (c *config) level() slog.Level {
	level, _ := service.LogLevel("LOG_LEVEL", c.LogLevel) // validated
	return level
}

func (c *config) worker(tracer trace.Tracer) workerclient.Config {
	u, _ := c.workerURL() // validated
	return workerclient.Config{URL: u, MaxInFlight: c.SyncMaxInFlight, Timeout: c.SyncTimeout, Tracer: tracer}
}

// connection is the configuration of a connection to the broker.
func (c *config) connection(name string) rabbitmq.ConnectionConfig {
	urls, _ := rabbitmq.ParseURLs(c.AMQPURL) // validated
	return rabbitmq.ConnectionConfig{URLs: urls, Name: name}
}

func (c *config) publisher(tracer trace.Tracer) rabbitmq.PublisherConfig {
	return rabbitmq.PublisherConfig{
		Strategy:       rabbitmq.Strategy(c.PublishStrategy),
		Connections:    c.PublishConnections,
		Channels:       c.PublishChannels,
		MaxInFlight:    c.PublishMaxInFlight,
		AcquireWait:    c.PublishAcquireWait,
		ConfirmTimeout: c.PublishConfirmTimeout,
		Tracer:         tracer,
	}
}

func (c *config) outcomes() outcomes.Config {
	return outcomes.Config{MaxTasks: c.ResultsMaxTasks, MaxBytes: c.ResultsMaxBytes}
}

// api is the part of the API's configuration that is settings.
func (c *config) api() httpapi.Config {
	links, _ := c.links() // validated
	return httpapi.Config{
		Links:            links,
		ReportsDir:       c.ReportsDir,
		FaultInjection:   c.FaultInjection,
		MaxBodyBytes:     c.MaxBodyBytes,
		AsyncMaxInFlight: c.AsyncMaxInFlight,
		WaitMaxInFlight:  c.WaitMaxInFlight,
	}
}

// publishTime is how long a request may take to have its task confirmed. With
// an Idempotency-Key that is two publishes.
func (c *config) publishTime() time.Duration {
	return 2 * (c.PublishAcquireWait + c.PublishConfirmTimeout)
}

// writeTimeout is how long the API may take to answer.
func (c *config) writeTimeout() time.Duration {
	return max(c.SyncTimeout, c.publishTime()+httpapi.MaxWait) + writeMargin
}

// grace is how long requests in flight may take on a stop: a publish that is
// under way always gets its confirm.
func (c *config) grace() time.Duration { return max(c.ShutdownGrace, c.publishTime()) }

// stopTime is how long a stop may take in all.
func (c *config) stopTime() time.Duration {
	return c.DrainDelay + c.grace() + 2*c.PublishConfirmTimeout + restOfStop
}

// restOfStop is what a stop may take beside what the settings say.
const restOfStop = answerMargin + closeMargin + adminGrace + telemetry.FlushTime + time.Second
