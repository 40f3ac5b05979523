package lab

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/twinlane/twinlane/worker/internal/executor"
)

// The quantities of pools.
const (
	poolSeconds    = "took_seconds"
	poolOrder      = "order_of_use"
	poolSubmitting = "submitting_seconds"
	poolWorkers    = "largest_workers_count"
	poolThreads    = "largest_os_threads_count"
	poolCompleted  = "completed_tasks_count"
	poolRejected   = "rejected_tasks_count"
	poolDiscarded  = "discarded_tasks_count"
	poolByCaller   = "run_by_caller_count"
)

// What the tasks of pools do.
const (
	poolComputes = 500 // hashes
	poolWaits    = time.Millisecond
	// poolUtilisation is how much of the cores a pool is sized for.
	poolUtilisation = 0.8
	// mostThreads bounds pools without a bound where each worker is a thread, so
	// that the machine stays usable.
	mostThreads = 2000
	// mostFormula bounds what the formula says where computing takes no time.
	mostFormula = 200
)

// pools is experiment C: how to size a pool of threads.
func pools() Experiment {
	return Experiment{
		Name:     "pools",
		Part:     "C",
		Question: "How many threads does a pool need, what does a bound on its queue cost, and what becomes of tasks when both are full?",
		Method: "10,000 tasks are submitted as fast as they are taken (1,000 with --quick, where the bounded queue has 100 places). An I/O task computes 500 hashes and then waits for 1 ms; a CPU task computes as much and does not wait. " +
			"The pool is the executor of the model pool, with the order of use of a ThreadPoolExecutor. default: core 1, queue and max without bound. formula: core = cores × 0.8 × (1 + wait ÷ service); for CPU tasks, a core each. " +
			"bounded queue: the same core, 1,000 places, max without bound. cached: no queue, a worker for each task. fixed and single: 10 workers and one, queue without bound. " +
			"Workers are goroutines, or have an OS thread each, of which there are at most 2,000: submits beyond that wait. Each policy is that of a pool of core 3, max 5 and 200 places.",
		Notes: []string{
			"Published is that default and formula are about the same, because there the formula comes to 4 × 0.2 × (1 + 0.4) = 1.12: the one thread that there is by default. Where tasks wait for longer than they compute, it comes to more, and that makes the difference.",
			"Goroutines are no threads: they cost some KiB and less than a microsecond, so that a bounded queue with an unbounded max costs little with them. With an OS thread for each, it costs what a thread costs. The write-up does not say what its tasks did: what it says of a bounded queue stands beside those that only compute, which can gain nothing by more threads.",
			"Predicted times take the tasks' times as they are when one runs alone. A timer of 1 ms is late by some tenths on a busy machine.",
		},
		Quantities: []Quantity{
			{Key: poolOrder, Name: "used", Unit: Count},
			{Key: poolSeconds, Name: "took", Unit: Seconds},
			{Key: poolSubmitting, Name: "submitting", Unit: Seconds, Aside: true},
			{Key: poolWorkers, Name: "workers", Unit: Count, Aside: true},
			{Key: poolThreads, Name: "OS threads", Unit: Count, Aside: true},
			{Key: poolCompleted, Name: "completed", Unit: Count, Aside: true},
			{Key: poolRejected, Name: "rejected", Unit: Count, Aside: true},
			{Key: poolDiscarded, Name: "discarded", Unit: Count, Aside: true},
			{Key: poolByCaller, Name: "by caller", Unit: Count, Aside: true},
		},
		Cases:   poolCases,
		Finding: poolsFinding,
	}
}

// The cases of pools that its finding and its tests speak of.
const (
	orderOfUse  = "order of use"
	ioDefault   = "I/O, default"
	ioFormula   = "I/O, formula"
	cpuFormula  = "CPU, threads, formula"
	cpuBounded  = "CPU, threads, bounded queue"
	policyNamed = "policy " // and the name of the policy
)

// poolCases lists the configurations under both kinds of work, and the policies.
func poolCases(size Size) []Case {
	count := Pick(size, 10_000, 1000, 300)
	w := measureWork(Pick(size, poolComputes, poolComputes, 5))
	bound := count / 10
	var cases []Case
	for _, t := range poolTrials(w, count, bound) {
		cases = append(cases, Case{Name: t.name, Takes: seconds(max(t.predicted, 0.05)), Measure: func(ctx context.Context, e *Env) ([]Figure, error) {
			return t.measure(ctx, e, count)
		}})
	}
	order := Case{Name: orderOfUse, Takes: 50 * time.Millisecond, Measure: showOrder}
	return append([]Case{order}, cases...)
}

// measure submits count tasks.
func (t trial) measure(ctx context.Context, e *Env, count int) ([]Figure, error) {
	exec, err := e.newExecutor("", executor.Config{Model: executor.ModelPool, Pool: t.pool, OSThreads: t.osThreads})
	if err != nil {
		return nil, err
	}
	before := readProcess().threads
	stopWatching := watchThreads()
	start := time.Now()
	var settled sync.WaitGroup // each task: run, discarded or refused
	rejected, err := submitAll(ctx, exec, count, &settled, t.run(ctx))
	submitted := time.Since(start)
	settled.Wait() // not by a drain, with which workers, and their threads, end
	took := time.Since(start)
	threads := stopWatching()
	exec.Drain(context.WithoutCancel(ctx))
	awaitThreads(ctx, before+float64(runtime.GOMAXPROCS(0))) // which are not those of the next case
	if err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, err
	}
	stats := exec.Stats()
	predicted := Number(t.predicted)
	if t.atLeast {
		predicted = AtLeast(t.predicted)
	}
	byCaller := 0.0
	if t.pool.Policy == executor.CallerRuns {
		byCaller = float64(stats.Saturated)
	}
	return []Figure{
		{Quantity: poolSeconds, Published: t.published, Predicted: predicted, Theory: t.theory, Measured: Number(took.Seconds())},
		Measured(poolSubmitting, submitted.Seconds()),
		Measured(poolWorkers, float64(stats.LargestWorkers)),
		Measured(poolThreads, threads),
		Measured(poolCompleted, float64(stats.Completed)),
		Measured(poolRejected, float64(rejected)),
		Measured(poolDiscarded, float64(stats.Discarded)),
		Measured(poolByCaller, byCaller),
	}, nil
}

// run is what a task does.
func (t trial) run(ctx context.Context) func() {
	if t.cpu {
		return func() { compute(t.work.hashes) }
	}
	return func() {
		compute(t.work.hashes)
		_ = pause(ctx, poolWaits)
	}
}

// submitAll submits so many tasks, and returns how many were refused.
func submitAll(ctx context.Context, exec executor.Executor, count int, settled *sync.WaitGroup, run func()) (refused int, err error) {
	t := executor.Task{Discard: settled.Done, Run: func() {
		defer settled.Done()
		run()
	}}
	for range count {
		settled.Add(1)
		err := exec.Submit(ctx, t)
		if err == nil {
			continue
		}
		settled.Done()
		if !errors.Is(err, executor.ErrSaturated) {
			return refused, err
		}
		refused++
	}
	return refused, nil
}

// some says a number of things.
func some(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
