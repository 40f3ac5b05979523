package lab

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/twinlane/twinlane/worker/internal/executor"
)

// The quantities of overload.
const (
	goodPerSecond   = "good_results_per_second"
	longestWait     = "longest_wait_seconds"
	heldBytes       = "held_memory_bytes"
	refusedShare    = "refused_share"
	overloadDone    = "done_tasks_count"
	overloadWaiting = "waiting_tasks_count"
	sourceBehind    = "source_behind_seconds"
)

// The sizes of overload: twice as much arrives as can be done.
const (
	overloadPlaces   = 20
	overloadWork     = 20 * time.Millisecond
	overloadInterval = 500 * time.Microsecond
	overloadQueue    = 200
	overloadPayload  = 8 << 10
	patience         = 500 * time.Millisecond
)

// overload is experiment D5: arrivals above capacity.
func overload() Experiment {
	return Experiment{
		Name:     "overload",
		Part:     "D5",
		Question: "What happens when more arrives than can be done, with and without a bound?",
		Method: "2,000 tasks a second arrive, each with 8 KiB of payload, and 20 at once of 20 ms each can be done: 1,000 a second. Whoever sent one waits for 500 ms: " +
			"a result is good if its task began before that. Without a bound, tasks wait in an unbounded queue, or on a goroutine each for one of 20 connections. " +
			"With a bound, 200 wait, and a saturation policy decides on the rest: abort refuses it, discard_oldest drops the one that has waited longest, block has the source wait, which is back-pressure.",
		Notes: []string{
			"Memory is what is live at the end of the overload, beyond what was before. At 8 KiB a task and 1,000 tasks a second too many it grows by 8 MiB a second for as long as the overload lasts. It is the heap: the stack of a goroutine that waits, 2 KiB or more, comes on top.",
			"Back-pressure protects the worker and not those who wait: what the source cannot hand over waits there, as messages wait in RabbitMQ behind a prefetch. Only a refusal, early and cheap, keeps the wait short: the gateway's 429.",
			"A consumer that gets an error from abort must not drop the message: the worker of this project has it come back later.",
		},
		Quantities: []Quantity{
			{Key: goodPerSecond, Name: "good results", Unit: PerSecond},
			{Key: longestWait, Name: "longest wait", Unit: Seconds},
			{Key: heldBytes, Name: "memory", Unit: Bytes},
			{Key: refusedShare, Name: "refused or dropped", Unit: Share},
			{Key: overloadDone, Name: "done", Unit: Count, Aside: true},
			{Key: overloadWaiting, Name: "waiting at the end", Unit: Count, Aside: true},
			{Key: sourceBehind, Name: "source behind by", Unit: Seconds, Aside: true},
		},
		Cases:   overloadCases,
		Finding: overloadFinding,
	}
}

// The cases of overload.
const (
	unboundedQueue      = "unbounded queue"
	unboundedGoroutines = "unbounded goroutines"
	boundedAbort        = "bounded, abort"
	boundedOldest       = "bounded, discard_oldest"
	boundedBlock        = "bounded, block"
)

func overloadCases(size Size) []Case {
	length := Pick(size, 10*time.Second, 3*time.Second, 500*time.Millisecond)
	bounded := func(p executor.Policy) executor.Config {
		return executor.Config{Model: executor.ModelPool, Pool: executor.PoolConfig{Core: overloadPlaces, Max: overloadPlaces, Queue: overloadQueue, Policy: p}}
	}
	pool := executor.Config{Model: executor.ModelPool, Pool: executor.Fixed(overloadPlaces)}
	goroutines := executor.Config{Model: executor.ModelGoroutine, Concurrency: executor.Unbounded}
	var cases []Case
	for _, c := range []struct {
		name        string
		config      executor.Config
		connections int
		published   string
		expect      func(length time.Duration) []Figure
	}{
		{name: unboundedQueue, config: pool, published: "out of memory", expect: expectPile},
		{name: unboundedGoroutines, config: goroutines, connections: overloadPlaces, published: "out of memory", expect: expectPile},
		{name: boundedAbort, config: bounded(executor.Abort), expect: expectRefusals},
		{name: boundedOldest, config: bounded(executor.DiscardOldest), expect: expectDrops},
		{name: boundedBlock, config: bounded(executor.Block), expect: expectPileElsewhere},
	} {
		cases = append(cases, Case{Name: c.name, Takes: length, Measure: func(ctx context.Context, e *Env) ([]Figure, error) {
			f := flood{connections: make(chan struct{}, c.connections)}
			if err := f.run(ctx, e, c.config, length); err != nil {
				return nil, err
			}
			return f.figures(c.expect(length), c.published), nil
		}})
	}
	return cases
}

// The rates of overload, in tasks a second.
const (
	overloadCapacity = float64(overloadPlaces) * float64(time.Second/overloadWork)
	overloadRate     = float64(time.Second / overloadInterval)
)

// expectPile is what to expect where everything that arrives is kept here.
func expectPile(length time.Duration) []Figure {
	// What can be done of it is what came first.
	wait := length.Seconds() * (1 - overloadCapacity/overloadRate)
	inTime := min(1, overloadRate*patience.Seconds()/(overloadRate/overloadCapacity-1)/(overloadCapacity*length.Seconds()))
	return []Figure{
		{Quantity: goodPerSecond, Predicted: Number(overloadCapacity * inTime), Theory: "only what arrives in the first 0.5 s begins within 0.5 s"},
		{Quantity: longestWait, Predicted: Number(wait), Theory: "time × (1 − 1,000 ÷ 2,000): it grows by half a second each second"},
		{Quantity: heldBytes, Predicted: Number(overloadPayload * (overloadRate - overloadCapacity) * length.Seconds()), Theory: "time × (2,000/s − 1,000/s) × 8 KiB"},
		{Quantity: refusedShare, Predicted: Number(0)},
	}
}

// expectPileElsewhere is the same where there is a bound here, and the pile
// grows at the source.
func expectPileElsewhere(length time.Duration) []Figure {
	figures := expectPile(length)
	figures[2].Predicted, figures[2].Theory = boundedMemory()
	return figures
}

// expectRefusals is what to expect where there is a bound, and no more is taken
// in than that.
func expectRefusals(length time.Duration) []Figure {
	memory, of := boundedMemory()
	inside := (overloadQueue + overloadPlaces) / (overloadRate * length.Seconds())
	return []Figure{
		{Quantity: goodPerSecond, Predicted: Number(overloadCapacity), Theory: "capacity: 20 ÷ 20 ms"},
		{Quantity: longestWait, Predicted: Number(overloadQueue / overloadCapacity), Theory: "200 tasks ÷ 1,000/s"},
		{Quantity: heldBytes, Predicted: memory, Theory: of},
		{Quantity: refusedShare, Predicted: Number(1 - overloadCapacity/overloadRate - inside), Theory: "1 − 1,000 ÷ 2,000, but for the 220 that are inside at the end"},
	}
}

// expectDrops is the same where all that arrives passes through the queue.
func expectDrops(length time.Duration) []Figure {
	figures := expectRefusals(length)
	figures[1].Predicted, figures[1].Theory = Number(overloadQueue/overloadRate), "200 tasks ÷ 2,000/s, as half of them is dropped"
	return figures
}

func boundedMemory() (Value, string) {
	return Number(overloadPayload * (overloadQueue + overloadPlaces)), "(200 + 20) × 8 KiB"
}

// flood is one run.
type flood struct {
	// connections holds an element for each one in use. Where there are none,
	// tasks are bound by their executor alone.
	connections chan struct{}

	arrived, refused, dropped atomic.Int64
	done, good, longestWait   atomic.Int64
	end                       struct {
		elapsed time.Duration
		memory  float64
		waiting int64
		behind  time.Duration
	}
}

// run lets tasks arrive for length.
func (f *flood) run(ctx context.Context, e *Env, config executor.Config, length time.Duration) error {
	exec, err := e.newExecutor("", config)
	if err != nil {
		return err
	}
	before := liveHeap()
	arriving, stopArriving := context.WithTimeout(ctx, length)
	defer stopArriving()
	working, stopWorking := context.WithCancel(ctx)
	defer stopWorking()
	start := time.Now()
	err = arrive(arriving, int(length/overloadInterval), overloadInterval, func(i int) error {
		at := start.Add(time.Duration(i) * overloadInterval)
		f.end.behind = time.Since(at)
		return f.arrive(arriving, working, exec, at)
	})
	f.end.elapsed = time.Since(start)
	f.end.waiting = f.arrived.Load() - f.refused.Load() - f.dropped.Load() - f.done.Load() - min(int64(exec.Stats().Running), overloadPlaces)
	f.end.memory = max(0, liveHeap()-before)
	stopWorking() // what still waits has nothing to do
	exec.Drain(context.WithoutCancel(ctx))
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = nil // the source was held back until the time was over
	}
	return errors.Join(err, context.Cause(ctx))
}

// arrive hands over a task that has arrived at a time, which may be some time ago.
func (f *flood) arrive(ctx, working context.Context, exec executor.Executor, at time.Time) error {
	payload := make([]byte, overloadPayload)
	err := exec.Submit(ctx, executor.Task{
		Run: func() {
			f.work(working, at)
			runtime.KeepAlive(payload)
		},
		Discard: func() { f.dropped.Add(1) },
	})
	if err == nil || errors.Is(err, executor.ErrSaturated) {
		f.arrived.Add(1)
	}
	if errors.Is(err, executor.ErrSaturated) {
		f.refused.Add(1)
		return nil
	}
	return err
}

// work is a task.
func (f *flood) work(ctx context.Context, arrived time.Time) {
	if cap(f.connections) > 0 {
		select {
		case f.connections <- struct{}{}:
			defer func() { <-f.connections }()
		case <-ctx.Done():
			return
		}
	}
	if ctx.Err() != nil {
		return
	}
	waited := time.Since(arrived)
	raise(&f.longestWait, int64(waited))
	if pause(ctx, overloadWork) != nil {
		return
	}
	f.done.Add(1)
	if waited <= patience {
		f.good.Add(1)
	}
}

// figures puts what was measured beside what was predicted.
func (f *flood) figures(figures []Figure, published string) []Figure {
	arrived := max(1, float64(f.arrived.Load()))
	for i, measured := range []float64{
		float64(f.good.Load()) / f.end.elapsed.Seconds(),
		time.Duration(f.longestWait.Load()).Seconds(),
		f.end.memory,
		float64(f.refused.Load()+f.dropped.Load()) / arrived,
	} {
		figures[i].Measured = Number(measured)
	}
	figures[2].Published = Words(published)
	return append(figures,
		Measured(overloadDone, float64(f.done.Load())),
		Measured(overloadWaiting, float64(max(0, f.end.waiting))),
		Measured(sourceBehind, f.end.behind.Seconds()))
}

// liveHeap is how much memory is in use that is still needed.
func liveHeap() float64 {
	runtime.GC()
	return readProcess().heap
}
