package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/service"
	"github.com/twinlane/twinlane/internal/service/telemetry"
	"github.com/twinlane/twinlane/internal/task"
	"github.com/twinlane/twinlane/worker/internal/dlq"
)

// connectTimeout is how long a tool tries to reach a broker.
const connectTimeout = 10 * time.Second

// toolPatience is how long a tool waits for a channel to publish on.
const toolPatience = 5 * time.Second

// withQueue connects, calls f and disconnects. A tool declares no queue: a
// broker without them is to be seen as it is.
func (f brokerFlags) withQueue(ctx context.Context, std streams, do func(ctx context.Context, q *dlq.Queue) error) error {
	cfg := f.connection("worker-dlq")
	conn, err := rabbitmq.NewConnection(cfg, rabbitmq.Topology{}, prometheus.NewRegistry(), toolLogger(std))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	return while(ctx, conn.Run, conn.Ready, func(ctx context.Context) error { return do(ctx, dlq.New(conn)) })
}

// withPublisher does the same with a publisher.
func (f brokerFlags) withPublisher(ctx context.Context, std streams, tracer trace.Tracer, do func(ctx context.Context, p *rabbitmq.Publisher) error) error {
	cfg := f.connection("worker-dlq-publish")
	one := rabbitmq.PublisherConfig{Channels: 1, MaxInFlight: 1, AcquireWait: toolPatience, Tracer: tracer}
	publisher, err := rabbitmq.NewPublisher(one, cfg, rabbitmq.Topology{}, prometheus.NewRegistry(), toolLogger(std))
	if err != nil {
		return fmt.Errorf("publisher: %w", err)
	}
	return while(ctx, publisher.Run, publisher.Ready, func(ctx context.Context) error { return do(ctx, publisher) })
}

// toolLogger shows a person what goes wrong, and nothing else.
func toolLogger(std streams) *slog.Logger { return service.NewLogger(std.err, slog.LevelWarn) }

// while calls do while run runs, once ready says that it may. What do has begun
// when ctx ends it can finish: run is stopped after it.
func while(ctx context.Context, run func(context.Context) error, ready func() error, do func(context.Context) error) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var g errgroup.Group
	g.Go(func() error { return run(background) })
	err := service.AwaitReady(ctx, connectTimeout, ready)
	switch {
	case err == nil:
		err = do(ctx)
	case ctx.Err() == nil:
		err = fmt.Errorf("no broker reached within %s: %w", connectTimeout, err)
	}
	stop()
	return errors.Join(err, g.Wait())
}

// filter is what the flags mean at the time now.
func (f filterFlags) filter(now time.Time) dlq.Filter {
	filter := dlq.Filter{ID: f.ID, Reason: f.Reason}
	if f.Since > 0 {
		filter.Since = now.Add(-f.Since)
	}
	return filter
}

// Run lists dead letters. An empty DLQ, or none, is no failure.
func (c *lsCommand) Run(ctx context.Context, std streams) error {
	return c.withQueue(ctx, std, func(ctx context.Context, q *dlq.Queue) error {
		now := time.Now()
		letters, sum, err := q.List(ctx, c.filter(now), dlq.Bounds{Max: c.Max, Scan: c.Scan})
		if err != nil && !errors.Is(err, dlq.ErrNoQueue) {
			return err
		}
		if c.JSON {
			if letters == nil {
				letters = []dlq.Letter{}
			}
			return printJSON(std.out, letters)
		}
		switch {
		case err != nil:
			_, _ = fmt.Fprintf(std.out, "%v: nothing has declared it yet.\n", dlq.ErrNoQueue)
		case sum.Depth == 0:
			_, _ = fmt.Fprintf(std.out, "%s is empty.\n", task.QueueDeadLetter)
		case sum.Matched == 0:
			_, _ = fmt.Fprintf(std.out, "None of the %d looked at matches; %s holds %d.\n", sum.Seen, task.QueueDeadLetter, sum.Depth)
		default:
			if err := dlq.WriteTable(std.out, letters, now); err != nil {
				return err
			}
			_, _ = fmt.Fprintf(std.out, "%d listed; %s holds %d.\n", sum.Matched, task.QueueDeadLetter, sum.Depth)
		}
		return nil
	})
}

// Run shows one dead letter.
func (c *showCommand) Run(ctx context.Context, std streams) error {
	return c.withQueue(ctx, std, func(ctx context.Context, q *dlq.Queue) error {
		letter, err := q.Show(ctx, c.ID, c.Scan)
		if err != nil {
			return fmt.Errorf("show %s: %w", c.ID, err)
		}
		if c.JSON {
			return printJSON(std.out, letter)
		}
		return dlq.WriteLetter(std.out, letter, time.Now())
	})
}

// Run puts dead letters back into the task queue.
func (c *replayCommand) Run(ctx context.Context, std streams) error {
	traces, err := telemetry.New(ctx, c.traces("twinlane-dlq"), prometheus.NewRegistry(), toolLogger(std))
	if err != nil {
		return fmt.Errorf("traces: %w", err)
	}
	tracer := traces.Tracer()
	return while(ctx, traces.Run, func() error { return nil }, func(ctx context.Context) error { return c.replay(ctx, std, tracer) })
}

func (c *replayCommand) replay(ctx context.Context, std streams, tracer trace.Tracer) error {
	return c.withQueue(ctx, std, func(ctx context.Context, q *dlq.Queue) error {
		return c.withPublisher(ctx, std, tracer, func(ctx context.Context, p *rabbitmq.Publisher) error {
			warnInvisible(std)
			verb := "replayed"
			if c.DryRun {
				verb = "would be replayed"
			}
			sum, err := q.Replay(ctx, p, dlq.ReplayOptions{
				Filter: c.filter(time.Now()),
				Bounds: dlq.Bounds{Max: c.Max, Scan: c.Scan},
				Rate:   c.Rate,
				DryRun: c.DryRun,
				Tracer: tracer,
				Each:   func(l dlq.Letter) { _, _ = fmt.Fprintf(std.out, "%s %s\n", dlq.Printable(l.ID), verb) },
			})
			_, _ = fmt.Fprintf(std.out, "%d of %d matching letters replayed; %d of %d looked at.\n", sum.Moved, sum.Matched, sum.Seen, sum.Depth)
			return err
		})
	})
}

// Run deletes dead letters.
func (c *purgeCommand) Run(ctx context.Context, std streams) error {
	backup := c.Backup
	if backup == "" {
		backup = task.QueueDeadLetter + "-" + time.Now().UTC().Format("20060102T150405Z") + ".ndjson"
	}
	return c.withQueue(ctx, std, func(ctx context.Context, q *dlq.Queue) error {
		warnInvisible(std)
		sum, err := q.Purge(ctx, dlq.PurgeOptions{
			Filter: c.filter(time.Now()),
			Scan:   c.Scan,
			Backup: backup,
			Confirm: func(ctx context.Context, count int) error {
				_, _ = fmt.Fprintf(std.out, "%d letters written to %s\n", count, backup)
				return c.confirm(ctx, std, count)
			},
		})
		if sum.Matched == 0 && err == nil {
			_, _ = fmt.Fprintf(std.out, "Nothing to delete; %s holds %d.\n", task.QueueDeadLetter, sum.Depth)
			return nil
		}
		_, _ = fmt.Fprintf(std.out, "%d of %d letters deleted; %d of %d looked at.\n", sum.Moved, sum.Matched, sum.Seen, sum.Depth)
		return err
	})
}

// confirm compares count with what the operator expects, or asks.
func (c *purgeCommand) confirm(ctx context.Context, std streams, count int) error {
	if c.Count != 0 {
		if c.Count != count {
			return fmt.Errorf("--count is %d, and %d letters match: nothing deleted, the backup is removed", c.Count, count)
		}
		return nil
	}
	_, _ = fmt.Fprint(std.out, "Type the number of letters to delete them: ")
	answer, err := readLine(ctx, std.in)
	if err != nil {
		return fmt.Errorf("no answer, nothing deleted: %w", err)
	}
	if answer != strconv.Itoa(count) {
		return fmt.Errorf("the answer is not %d: nothing deleted, the backup is removed", count)
	}
	return nil
}

// readLine reads a line unless ctx ends before. The read itself cannot be
// stopped; it ends with the process.
func readLine(ctx context.Context, r io.Reader) (string, error) {
	type line struct {
		text string
		err  error
	}
	read := make(chan line, 1)
	go func() {
		text, err := bufio.NewReader(r).ReadString('\n')
		read <- line{strings.TrimSpace(text), err}
	}()
	select {
	case l := <-read:
		if l.text != "" {
			return l.text, nil
		}
		return "", l.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// warnInvisible says what a command does to others while it runs.
func warnInvisible(std streams) {
	_, _ = fmt.Fprintln(std.err, "The letters looked at are out of sight for others until this command ends; those left come back then.")
}

func printJSON(w io.Writer, value any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(value); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}
