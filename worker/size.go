package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/worker/internal/consumer"
	"github.com/twinlane/twinlane/worker/internal/executor"
	"github.com/twinlane/twinlane/worker/internal/lab"
	"github.com/twinlane/twinlane/worker/internal/sizing"
)

// sized is what the command prints. What was not asked for is nil.
type sized struct {
	Pool     *sizing.Pool       `json:"pool,omitempty"`
	Plan     *sizing.Plan       `json:"plan,omitempty"`
	Measured *sizing.Comparison `json:"measured,omitempty"`
}

// Run recommends sizes, and measures if asked to.
func (c *sizeCommand) Run(ctx context.Context, std streams) error {
	var s sized
	if c.Wait != nil && c.Service != nil {
		s.Pool = c.pool()
	}
	if c.Rate != nil {
		plan := sizing.NewPlan(c.demand(), workerOf)
		s.Plan = &plan
	}
	if c.JSON {
		if err := c.measure(ctx, std, &s); err != nil {
			return err
		}
		return printJSON(std.out, s)
	}
	return c.print(ctx, std, &s)
}

// print shows each part as soon as it is known.
func (c *sizeCommand) print(ctx context.Context, std streams, s *sized) error {
	if s.Pool != nil {
		if err := s.Pool.Write(std.out); err != nil {
			return err
		}
	}
	if s.Plan == nil {
		return nil
	}
	separate(std.out, s.Pool != nil)
	if err := s.Plan.Write(std.out); err != nil {
		return err
	}
	if err := c.measure(ctx, std, s); err != nil || s.Measured == nil {
		return err
	}
	separate(std.out, true)
	return s.Measured.Write(std.out, c.Percentile)
}

func separate(w io.Writer, needed bool) {
	if needed {
		_, _ = fmt.Fprintln(w)
	}
}

func (c *sizeCommand) pool() *sizing.Pool {
	exact := sizing.Threads(c.Cores, c.Utilisation, *c.Wait, *c.Service)
	return &sizing.Pool{
		Cores: c.Cores, Utilisation: c.Utilisation, Spindles: c.Spindles,
		WaitSeconds: c.Wait.Seconds(), ServiceSeconds: c.Service.Seconds(),
		ExactThreads:        exact,
		Threads:             max(1, int(math.Ceil(exact-1e-9))),
		DatabaseConnections: sizing.DatabaseConnections(c.Cores, c.Spindles),
	}
}

func (c *sizeCommand) demand() sizing.Demand {
	d := sizing.Demand{
		Rate: *c.Rate, Task: c.taskTime(), Tasks: c.Tasks,
		Percentile: c.Percentile, PerReplica: c.PerReplica,
		Cores: c.Cores, Utilisation: c.Utilisation,
	}
	if c.MaxWait != nil {
		d.MaxWait = *c.MaxWait
	}
	if c.Concurrency != nil {
		d.Concurrency = *c.Concurrency
	}
	if c.Service != nil {
		d.Service = *c.Service
	}
	return d
}

// workerOf is what a worker holds and opens that runs so many tasks at once.
func workerOf(concurrency int) sizing.Replica {
	tasks := executor.Config{Model: executor.ModelGoroutine, Concurrency: concurrency}
	lanes := consumer.Lanes(tasks, consumer.MaxTaskTimeout)
	channels := rabbitmq.DefaultChannels + resultChannels
	for _, lane := range lanes {
		channels += rabbitmq.SubscriptionConfig{Prefetch: lane.Prefetch}.Channels()
	}
	return sizing.Replica{
		Concurrency: concurrency,
		Prefetch:    lanes[0].Prefetch,
		Connections: brokerConnections,
		Channels:    channels,
	}
}

// measure runs a trial of the plan, if that was asked for.
func (c *sizeCommand) measure(ctx context.Context, std streams, s *sized) error {
	if !c.Measure {
		return nil
	}
	if s.Plan.Utilisation >= 1 {
		return fmt.Errorf("measure: at a utilisation of %.0f %% the wait has no end that could be measured", 100*s.Plan.Utilisation)
	}
	trial := sizing.NewTrial(s.Plan.Queue, c.MeasureFor)
	exec, err := executor.New(executor.Config{Model: executor.ModelGoroutine, Concurrency: trial.Queue.Servers}, prometheus.NewRegistry(), nil)
	if err != nil {
		return fmt.Errorf("measure: %w", err)
	}
	progress := watcher(std.err)
	progress.Begin(lab.Experiment{Name: "size"}, []lab.Case{{Name: "measuring", Takes: c.MeasureFor}})
	defer progress.End()
	progress.Case(0)
	random := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())) //nolint:gosec // Tasks are not secret.
	comparison, err := trial.Measure(ctx, exec, c.Percentile, random)
	s.Measured = &comparison
	return err
}
