package lab

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/twinlane/twinlane/worker/internal/executor"
)

// showOrder submits tasks to a pool that do not end, and says where each goes.
func showOrder(ctx context.Context, e *Env) ([]Figure, error) {
	config := examplePool(executor.Abort)
	exec, err := e.newExecutor("", executor.Config{Model: executor.ModelPool, Pool: config})
	if err != nil {
		return nil, err
	}
	release := make(chan struct{})
	const worker, queued, refused = "worker", "queued", "refused"
	var places []string
	for range config.Max + config.Queue + 1 {
		before := exec.Stats()
		err = exec.Submit(ctx, executor.Task{Run: func() { <-release }})
		after := exec.Stats()
		switch {
		case errors.Is(err, executor.ErrSaturated):
			places, err = append(places, refused), nil
		case after.Workers > before.Workers:
			places = append(places, worker)
		case after.Queued > before.Queued:
			places = append(places, queued)
		}
	}
	close(release)
	exec.Drain(context.WithoutCancel(ctx))
	if err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, err
	}
	stats := exec.Stats()
	return []Figure{
		{
			Quantity: poolOrder, Published: Words("core, queue, max, policy"), Measured: Words(inRuns(places)),
			Predicted: Words(fmt.Sprintf("worker ×%d, queued ×%d, worker ×%d, refused ×1", config.Core, config.Queue, config.Max-config.Core)),
		},
		Measured(poolWorkers, float64(stats.LargestWorkers)),
		Measured(poolCompleted, float64(stats.Completed)),
		Measured(poolRejected, float64(stats.Saturated)),
	}, nil
}

// inRuns says equal words that follow each other once, with how many there are.
func inRuns(words []string) string {
	var runs []string
	for i := 0; i < len(words); {
		n := 1
		for i+n < len(words) && words[i+n] == words[i] {
			n++
		}
		runs = append(runs, fmt.Sprintf("%s ×%d", words[i], n))
		i += n
	}
	return strings.Join(runs, ", ")
}

func poolsFinding(t Table) string {
	took := func(name string) string { return Seconds.format(t.Measured(name, poolSeconds)) }
	count := func(p executor.Policy, quantity string) string {
		return Count.format(t.Measured(policyNamed+string(p), quantity))
	}
	return fmt.Sprintf("I/O-bound tasks took %s on one worker and %s on the %s of the formula; CPU-bound ones took %s on a thread a core and %s on up to %s threads, which a bounded queue had made, %s; "+
		"of what found pool and queue full, abort rejected %s, discard dropped %s, discard_oldest dropped %s, the caller ran %s, and block lost %s.",
		took(ioDefault), took(ioFormula), Count.format(t.Measured(ioFormula, poolWorkers)),
		took(cpuFormula), took(cpuBounded), Count.format(t.Measured(cpuBounded, poolWorkers)),
		asPublished(t.Measured(cpuBounded, poolSeconds)/t.Measured(cpuFormula, poolSeconds)),
		count(executor.Abort, poolRejected), count(executor.Discard, poolDiscarded), count(executor.DiscardOldest, poolDiscarded), count(executor.CallerRuns, poolByCaller),
		none(Count.format(t.Measured(policyNamed+string(executor.Block), poolRejected)+t.Measured(policyNamed+string(executor.Block), poolDiscarded))))
}

// asPublished compares the time with a bounded queue to that without.
func asPublished(ratio float64) string {
	switch {
	case ratio > 1.1:
		return fmt.Sprintf("%.1f times as long, slower as published", ratio)
	case ratio > 0.9:
		return "about as long, where slower was published"
	default:
		return "less, where slower was published"
	}
}
