// Command rabbitnode runs a private RabbitMQ with its management and Prometheus plugins in the foreground, for the
// local stack. The data in its directory survive a restart. It prints addresses on stdout, the line `ready URL` last
// and only when clients can connect; it logs to stderr. The broker's own log is node.log in the directory.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/twinlane/twinlane/internal/rabbitmq/rabbittest"
)

func main() {
	ctx, release := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, release)                      // a second signal ends the process, and the broker with it, at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr)) //nolint:forbidigo // Here and nowhere else.
}

// The exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// stopGrace bounds the orderly stop of the broker. With its management plugin it takes about six seconds.
const stopGrace = 30 * time.Second

type config struct {
	Dir            string        `required:"" type:"path" placeholder:"DIR" help:"Directory of the broker's data and log; made when missing."`
	Port           int           `default:"0" placeholder:"PORT" help:"AMQP port, on loopback like all the others; 0 takes a free one."`
	ManagementPort int           `default:"0" placeholder:"PORT" help:"Port of the management user interface and API; 0 takes a free one."`
	PrometheusPort int           `default:"0" placeholder:"PORT" help:"Port of /metrics; 0 takes a free one."`
	Definitions    string        `type:"existingfile" placeholder:"FILE" help:"JSON file of users, permissions, policies and the like, loaded at each start. It has to bring the user twinlane: the broker makes no user of its own then."`
	NodeName       string        `default:"twinlane@localhost" placeholder:"NAME@HOST" help:"Erlang node name, default ${default}. The data belong to it: under another name the broker starts empty."`
	StartTimeout   time.Duration `default:"90s" placeholder:"DURATION" help:"How long the start may take. Default ${default}."`
}

// run is the process: it blocks until ctx ends and the broker has stopped, or until the broker fails, and returns
// the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cfg, helped, err := parseConfig(args, stdout)
	switch {
	case helped:
		return exitOK
	case err != nil:
		_, _ = fmt.Fprintf(stderr, "rabbitnode: %s\nSee rabbitnode --help.\n", err)
		return exitUsage
	}
	logger := slog.New(slog.NewJSONHandler(stderr, nil)).With("component", "rabbitnode")
	if err := serve(ctx, cfg, stdout, logger); err != nil {
		_, _ = fmt.Fprintf(stderr, "rabbitnode: %s\n", err)
		return exitFailed
	}
	return exitOK
}

func parseConfig(args []string, stdout io.Writer) (cfg config, helped bool, err error) {
	parser, err := kong.New(&cfg,
		kong.Name("rabbitnode"),
		kong.Description("Runs a private RabbitMQ on loopback until SIGTERM or SIGINT."),
		kong.Writers(stdout, stdout),
		kong.Exit(func(int) { helped = true }),
		kong.ConfigureHelp(kong.HelpOptions{WrapUpperBound: 120}),
	)
	if err != nil {
		return cfg, false, fmt.Errorf("set up flags: %w", err)
	}
	_, err = parser.Parse(args)
	return cfg, helped, err
}

// conf is what the broker's configuration has beyond that of every node.
func (c *config) conf() []string {
	if c.Definitions == "" {
		return nil
	}
	return []string{"load_definitions = " + c.Definitions} // absolute, as the parser made it
}

// serve runs the broker until ctx ends or the broker dies.
func serve(ctx context.Context, cfg config, stdout io.Writer, logger *slog.Logger) error {
	node, err := rabbittest.NewNode(rabbittest.Settings{
		Dir:  cfg.Dir,
		Name: cfg.NodeName,
		Ports: rabbittest.Ports{
			AMQP:       cfg.Port,
			Management: cfg.ManagementPort,
			Prometheus: cfg.PrometheusPort,
		},
		Management: true,
		FullSize:   true,
		Conf:       cfg.conf(),
	})
	if err != nil {
		return err
	}
	defer node.Close()
	if err := start(ctx, node, cfg.StartTimeout, logger); err != nil {
		if ctx.Err() != nil {
			return nil // told to stop while starting
		}
		return err
	}
	if err := announce(stdout, node); err != nil {
		return err
	}
	if err := node.Wait(ctx); ctx.Err() == nil {
		return err
	}
	logger.Info("stopping the broker")
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
	defer cancel()
	node.Stop(stopCtx)
	logger.Info("stopped")
	return nil
}

func start(ctx context.Context, node *rabbittest.Node, timeout time.Duration, logger *slog.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	began := time.Now()
	if err := node.Start(ctx); err != nil {
		return err
	}
	logger.Info("the broker is ready", "pid", node.PID(), "seconds", time.Since(began).Seconds())
	return nil
}

// announce prints the addresses. Scripts wait for the last line and take the broker's URL from it.
func announce(w io.Writer, node *rabbittest.Node) error {
	_, err := fmt.Fprintf(w, "management http://127.0.0.1:%d/\nprometheus http://127.0.0.1:%d/metrics\nready %s\n",
		node.Ports().Management, node.Ports().Prometheus, node.URL())
	if err != nil {
		return fmt.Errorf("announce the broker: %w", err)
	}
	return nil
}
