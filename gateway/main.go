// Command gateway accepts tasks over HTTP and either has a worker do them at
// once or puts them into a queue with a confirmed publish.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/twinlane/twinlane/gateway/internal/httpapi"
	"github.com/twinlane/twinlane/gateway/internal/workerclient"
	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/service"
	"github.com/twinlane/twinlane/internal/service/telemetry"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)                         // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr)) //nolint:forbidigo // Here and nowhere else.
}

// The exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// run is the process: it blocks until ctx ends and everything has stopped, and
// returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cfg, command, err := parseConfig(args, stdout)
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "gateway: %s\nSee gateway --help.\n", err)
		return exitUsage
	}
	switch command {
	case commandHelp:
		return exitOK
	case commandHealth:
		err = service.CheckHealth(ctx, cfg.AdminAddr)
	default:
		err = serve(ctx, cfg, service.NewLogger(stderr, cfg.level()))
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "gateway: %s\n", err)
		return exitFailed
	}
	return exitOK
}

// serve builds the gateway and runs it until ctx ends.
func serve(ctx context.Context, cfg config, logger *slog.Logger) error {
	registry := service.NewRegistry()
	registerer := prometheus.WrapRegistererWithPrefix("gateway_", registry)

	traces, err := telemetry.New(ctx, cfg.traces(), registerer, logger)
	if err != nil {
		return fmt.Errorf("set up traces: %w", err)
	}
	defer traces.Close(ctx)
	tracer := traces.Tracer()
	publisher, err := rabbitmq.NewPublisher(cfg.publisher(tracer), cfg.connection("gateway-publish"), rabbitmq.Tasks(), registerer, logger)
	if err != nil {
		return fmt.Errorf("set up publisher: %w", err)
	}
	results, err := newResults(cfg, tracer, registerer, logger)
	if err != nil {
		return fmt.Errorf("set up results: %w", err)
	}
	ids, err := newSigner(cfg, logger)
	if err != nil {
		return fmt.Errorf("set up task ids: %w", err)
	}
	worker := workerclient.New(cfg.worker(tracer), registerer)
	waits, waitsEnd := newWaits()
	settings := cfg.api()
	settings.Publisher, settings.Records = publisher, results.publisher
	settings.Worker, settings.IDs = worker, ids
	settings.Outcomes, settings.CaughtUp = results.index, results.follower.Known
	settings.WaitsEnd = waitsEnd
	settings.Tracer, settings.Registerer, settings.Logger = tracer, registerer, logger
	api, err := httpapi.New(settings)
	if err != nil {
		return fmt.Errorf("set up API: %w", err)
	}
	readiness := service.NewReadiness(publisher.Ready, results.follower.Ready)

	adminListener, httpListener, err := listen(ctx, cfg)
	if err != nil {
		return err
	}
	admin := service.NewHTTPServer(adminListener, service.AdminHandler(registry, readiness.Ready), service.AdminWriteTimeout, adminGrace, logger)
	server := service.NewHTTPServer(httpListener, api, cfg.writeTimeout(), cfg.grace()+answerMargin, logger)
	logger.Info("listening", "server", "admin", "addr", admin.Addr())
	logger.Info("listening", "server", "http", "addr", server.Addr())

	// Stopped in the opposite order: first not ready, then nobody waits for a
	// result any more, then no more requests while those in flight get their
	// confirm, then the reading of results, then the publishers, then this; the
	// spans of all of it are sent at last.
	return service.Run(ctx, logger, cfg.stopTime(),
		service.Component{Name: "traces", Run: traces.Run},
		service.Component{Name: "admin server", Run: admin.Run},
		service.Component{Name: "consume connection", Run: results.conn.Run},
		service.Component{Name: "publishers", Run: service.Together(publisher.Run, results.publisher.Run)},
		service.Component{Name: "results", Run: results.follower.Run},
		service.Component{Name: "HTTP server", Run: serveHTTP(server, worker, cfg.ShutdownGrace)},
		waits,
		readiness.Component(cfg.DrainDelay),
	)
}

// listen binds both addresses, or none.
func listen(ctx context.Context, cfg config) (admin, api net.Listener, err error) {
	if admin, err = service.Listen(ctx, cfg.AdminAddr); err != nil {
		return nil, nil, err
	}
	if api, err = service.Listen(ctx, cfg.HTTPAddr); err != nil {
		_ = admin.Close()
		return nil, nil, err
	}
	return admin, api, nil
}

const (
	// writeMargin is what a request may take beside its call to the worker, or
	// its publish and its wait for a result: most of it is the time a client has
	// to send its body.
	writeMargin = 20 * time.Second
	// answerMargin is the time to answer the requests that outlast the grace.
	answerMargin = time.Second
	// closeMargin is the time to hang up on a broker that does not answer.
	closeMargin = 5 * time.Second
	// adminGrace is how long a scrape may still take.
	adminGrace = time.Second
)

// serveHTTP runs the server so that on stop every request is answered: one
// that still waits for a worker when the grace time is over is given up and
// told so, rather than cut off.
func serveHTTP(server *service.HTTPServer, worker *workerclient.Client, grace time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		defer worker.Close()
		stopped := make(chan struct{})
		defer close(stopped)
		context.AfterFunc(ctx, func() {
			giveUp := time.NewTimer(grace)
			defer giveUp.Stop()
			select {
			case <-giveUp.C:
				worker.Close()
			case <-stopped:
			}
		})
		return server.Run(ctx)
	}
}
