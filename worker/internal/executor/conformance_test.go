package executor

import (
	"bytes"
	"context"
	"log/slog"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
)

// concurrency is small enough for the tests to fill and large enough to tell
// one task at a time from several.
const concurrency = 4

// models are every model, and the kinds of pool, without and with a queue.
func models() map[string]Config {
	configs := map[string]Config{
		"goroutine":    {Model: ModelGoroutine, Concurrency: concurrency},
		"serial":       {Model: ModelSerial, Concurrency: concurrency},
		"pool, fixed":  {Model: ModelPool, Pool: PoolConfig{Core: concurrency, Max: concurrency}},
		"pool, cached": {Model: ModelPool, Pool: PoolConfig{Max: concurrency, KeepAlive: time.Second}},
		"pool, queue":  {Model: ModelPool, Pool: PoolConfig{Core: 2, Max: concurrency, Queue: 3}},
		"keyed":        {Model: ModelKeyed, Concurrency: concurrency},
		"keyed, queue": {Model: ModelKeyed, Concurrency: concurrency, KeyQueue: 5},
	}
	for name, c := range configs {
		c.Pool.Policy = Block // as the models wait that have no policy
		configs[name] = c
		c.OSThreads = true
		configs[name+", OS threads"] = c
	}
	return configs
}

// TestConformance is what every execution model has to pass. Time is virtual:
// durations are exact.
func TestConformance(t *testing.T) {
	t.Parallel()
	properties := map[string]func(t *testing.T, c Config, exec Executor){
		"runs every task once":             runsEveryTaskOnce,
		"keeps its bound":                  keepsItsBound,
		"uses its bound":                   usesItsBound,
		"waits for room as ctx allows":     waitsForRoomAsContextAllows,
		"refuses an ended context":         refusesAnEndedContext,
		"drain waits for accepted tasks":   drainWaits,
		"drain reports what is unfinished": drainReportsUnfinished,
		"drain of nothing returns at once": drainOfNothing,
		"drain wakes waiting submits":      drainWakesWaitingSubmits,
		"refuses tasks after drain":        refusesAfterDrain,
		"survives panics":                  survivesPanics,
		"survives the end of a goroutine":  survivesGoexit,
		"tells what it does":               tellsWhatItDoes,
		"changes its bound":                changesItsBound,
	}
	for model, c := range models() {
		t.Run(model, func(t *testing.T) {
			t.Parallel()
			for name, property := range properties {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						exec, err := New(c, prometheus.NewRegistry(), nil)
						require.NoError(t, err)
						property(t, c, exec)
						require.Zero(t, exec.Drain(context.Background()))
						idle(t, exec)
					})
				})
			}
		})
	}
}

// sleep passes virtual time.
func sleep(d time.Duration) { time.Sleep(d) } //nolint:forbidigo // Called in synctest bubbles only.

// full is how long a full executor takes where each task takes d.
func full(c Config, d time.Duration) time.Duration {
	rounds := (c.Capacity() + c.Parallelism() - 1) / c.Parallelism()
	return time.Duration(rounds) * d
}

// submitAll submits n tasks from as many goroutines, as several delivery loops
// would, and returns their errors.
func submitAll(ctx context.Context, exec Executor, n int, run func()) <-chan error {
	errs := make(chan error, n)
	for range n {
		go func() { errs <- exec.Submit(ctx, Task{Run: run}) }()
	}
	return errs
}

func runsEveryTaskOnce(t *testing.T, _ Config, exec Executor) {
	t.Helper()
	const tasks = 100
	var ran [tasks]atomic.Int32
	for i := range tasks {
		require.NoError(t, exec.Submit(t.Context(), Task{Run: func() {
			sleep(time.Duration(i%7) * time.Millisecond)
			ran[i].Add(1)
		}}))
	}
	require.Zero(t, exec.Drain(t.Context()))
	for i := range tasks {
		require.EqualValues(t, 1, ran[i].Load(), "task %d", i)
	}
}

func keepsItsBound(t *testing.T, c Config, exec Executor) {
	t.Helper()
	var running, most atomic.Int32
	errs := submitAll(t.Context(), exec, 50, func() {
		now := running.Add(1)
		for seen := most.Load(); now > seen && !most.CompareAndSwap(seen, now); seen = most.Load() {
		}
		sleep(time.Second)
		running.Add(-1)
	})
	for range cap(errs) {
		require.NoError(t, <-errs)
	}
	require.Zero(t, exec.Drain(t.Context()))
	require.EqualValues(t, c.Parallelism(), most.Load())
}

func usesItsBound(t *testing.T, c Config, exec Executor) {
	t.Helper()
	const rounds = 5
	start := time.Now()
	errs := submitAll(t.Context(), exec, rounds*c.Parallelism(), func() { sleep(time.Second) })
	for range cap(errs) {
		require.NoError(t, <-errs)
	}
	require.Zero(t, exec.Drain(t.Context()))
	require.Equal(t, rounds*time.Second, time.Since(start))
}

func waitsForRoomAsContextAllows(t *testing.T, c Config, exec Executor) {
	t.Helper()
	filled := submitAll(t.Context(), exec, c.Capacity(), func() { sleep(time.Minute) })
	synctest.Wait()

	start := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var ran atomic.Bool
	err := exec.Submit(ctx, Task{Run: func() { ran.Store(true) }})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, time.Second, time.Since(start))

	require.Zero(t, exec.Drain(t.Context()))
	require.Equal(t, full(c, time.Minute), time.Since(start))
	require.False(t, ran.Load(), "a refused task must not run")
	for range cap(filled) {
		require.NoError(t, <-filled)
	}
}

func refusesAnEndedContext(t *testing.T, _ Config, exec Executor) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 { // a race between room and context would let some pass
		err := exec.Submit(ctx, Task{Run: func() { t.Error("a refused task ran") }})
		require.ErrorIs(t, err, context.Canceled)
	}
}

func drainWaits(t *testing.T, c Config, exec Executor) {
	t.Helper()
	var done atomic.Int32
	start := time.Now()
	errs := submitAll(t.Context(), exec, c.Capacity(), func() {
		sleep(3 * time.Second)
		done.Add(1)
	})
	synctest.Wait()
	require.Zero(t, exec.Drain(t.Context()))
	require.Equal(t, full(c, 3*time.Second), time.Since(start))
	require.EqualValues(t, c.Capacity(), done.Load())
	for range cap(errs) {
		require.NoError(t, <-errs)
	}
}

func drainReportsUnfinished(t *testing.T, c Config, exec Executor) {
	t.Helper()
	work, cancelWork := context.WithCancel(t.Context())
	errs := submitAll(t.Context(), exec, c.Parallelism(), func() { <-work.Done() })
	synctest.Wait()

	start := time.Now()
	grace, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	require.Equal(t, c.Parallelism(), exec.Drain(grace))
	require.Equal(t, 2*time.Second, time.Since(start))

	cancelWork()
	require.Zero(t, exec.Drain(t.Context()), "a second drain waits for the rest")
	for range cap(errs) {
		require.NoError(t, <-errs)
	}
}

func drainOfNothing(t *testing.T, _ Config, exec Executor) {
	t.Helper()
	start := time.Now()
	require.Zero(t, exec.Drain(t.Context()))
	require.Zero(t, exec.Drain(t.Context()))
	require.Zero(t, time.Since(start))
}

func drainWakesWaitingSubmits(t *testing.T, c Config, exec Executor) {
	t.Helper()
	const waiting = 10
	errs := submitAll(t.Context(), exec, c.Capacity()+waiting, func() { sleep(time.Hour) })
	synctest.Wait()

	start := time.Now()
	grace, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	require.Equal(t, c.Capacity(), exec.Drain(grace))
	require.Equal(t, time.Second, time.Since(start))

	refused := 0
	for range len(errs) { // at once, and not when there is room
		if err := <-errs; err != nil {
			require.ErrorIs(t, err, ErrStopped)
			refused++
		}
	}
	require.Equal(t, waiting, refused)
	require.Zero(t, exec.Drain(t.Context()))
	require.Equal(t, full(c, time.Hour), time.Since(start), "refused tasks did not run")
}

func refusesAfterDrain(t *testing.T, _ Config, exec Executor) {
	t.Helper()
	require.Zero(t, exec.Drain(t.Context()))
	err := exec.Submit(t.Context(), Task{Run: func() { t.Error("a refused task ran") }})
	require.ErrorIs(t, err, ErrStopped)
}

func survivesPanics(t *testing.T, c Config, exec Executor) {
	t.Helper()
	var done atomic.Int32
	for range 3 * c.Parallelism() {
		require.NoError(t, exec.Submit(t.Context(), Task{Run: func() { panic("poison") }}))
		require.NoError(t, exec.Submit(t.Context(), Task{Run: func() { done.Add(1) }}))
	}
	require.Zero(t, exec.Drain(t.Context()), "a panic keeps no slot")
	require.EqualValues(t, 3*c.Parallelism(), done.Load())
}

// survivesGoexit has tasks end the goroutine that they run on.
func survivesGoexit(t *testing.T, c Config, exec Executor) {
	t.Helper()
	for range 3 * c.Parallelism() {
		go func() { _ = exec.Submit(t.Context(), Task{Run: runtime.Goexit}) }()
	}
	synctest.Wait()
	usesItsBound(t, c, exec)
}

func tellsWhatItDoes(t *testing.T, c Config, exec Executor) {
	t.Helper()
	stats := exec.(Observed).Stats //nolint:forcetypeassert // Every model is.
	errs := submitAll(t.Context(), exec, c.Capacity()+2, func() { sleep(time.Minute) })
	synctest.Wait()
	workers := c.Parallelism()
	if c.Model == ModelSerial {
		workers = 0
	}
	require.Equal(t, Stats{
		Running: c.Parallelism(), Queued: c.Capacity() - c.Parallelism(), Waiting: 2,
		Workers: workers, LargestWorkers: workers, Saturated: 2,
	}, stats())
	for range cap(errs) {
		require.NoError(t, <-errs)
	}
	require.Zero(t, exec.Drain(t.Context()))
	require.Equal(t, Stats{LargestWorkers: workers, Saturated: 2, Completed: uint64(cap(errs))}, stats())
}

// changesItsBound has tasks run four at once, then two, then eight.
func changesItsBound(t *testing.T, c Config, exec Executor) {
	t.Helper()
	r, ok := exec.(Resizer)
	require.Equal(t, c.Model != ModelSerial, ok)
	if !ok {
		return
	}
	resize := func(n int) {
		s := Sizes{Concurrency: n}
		if c.Model == ModelPool {
			s = Sizes{Core: n, Max: n}
		}
		require.NoError(t, r.Resize(s))
		require.Equal(t, s, r.Sizes())
	}
	running := exec.(Observed) //nolint:forcetypeassert // Every model is.
	_ = submitAll(t.Context(), exec, 100, func() { sleep(time.Minute) })
	sleep(time.Second)
	require.Equal(t, concurrency, running.Stats().Running)
	resize(2)
	require.Equal(t, concurrency, running.Stats().Running, "none is interrupted")
	sleep(time.Minute)
	require.Equal(t, 2, running.Stats().Running)
	resize(8)
	synctest.Wait()
	require.Equal(t, 8, running.Stats().Running, "at once")
	sleep(2 * time.Minute)
	require.Equal(t, 8, running.Stats().Running)
	require.ErrorContains(t, r.Resize(Sizes{Concurrency: -1, Core: -1, Max: -1}), "not allowed")
	require.ErrorContains(t, r.Resize(Sizes{}), "not allowed")
}

// idle holds that a drained executor has nothing left.
func idle(t *testing.T, exec Executor) {
	t.Helper()
	synctest.Wait()
	s := exec.(Observed).Stats() //nolint:forcetypeassert // Every model is.
	require.Zero(t, s.Running+s.Queued+s.Waiting+s.Workers, "%+v", s)
}

func TestAPanicIsLoggedAndCounted(t *testing.T) {
	t.Parallel()
	for _, model := range Models() {
		t.Run(string(model), func(t *testing.T) {
			t.Parallel()
			var logged bytes.Buffer
			reg := prometheus.NewRegistry()
			exec, err := New(Config{Model: model, Concurrency: 1, Pool: Single()}, reg, slog.New(slog.NewJSONHandler(&logged, nil)))
			require.NoError(t, err)

			require.NoError(t, exec.Submit(t.Context(), Task{Run: func() { panic("poison") }}))
			require.Zero(t, exec.Drain(t.Context()))

			require.Contains(t, logged.String(), `"err":"poison"`)
			require.Contains(t, logged.String(), "conformance_test.go", "the stack shows where")
			expected := "# HELP executor_panics_total Panics that reached the executor: errors of the worker itself, as those of an action are caught before.\n" +
				"# TYPE executor_panics_total counter\nexecutor_panics_total 1\n"
			require.NoError(t, testutil.GatherAndCompare(reg, bytes.NewBufferString(expected), "executor_panics_total"))
		})
	}
}

// TestSerialRunsOnTheSubmittingGoroutine holds what sets the model apart: the
// delivery loop itself does the work, so Submit returns when it is done.
func TestSerialRunsOnTheSubmittingGoroutine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		exec, err := New(Config{Model: ModelSerial, Concurrency: concurrency}, prometheus.NewRegistry(), nil)
		require.NoError(t, err)
		start := time.Now()
		for n := range 3 {
			require.NoError(t, exec.Submit(t.Context(), Task{Run: func() { sleep(time.Second) }}))
			require.Equal(t, time.Duration(n+1)*time.Second, time.Since(start))
		}
	})
}
