package executor

import (
	"bytes"
	"context"
	"log/slog"
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
		"drain waits for running tasks":    drainWaits,
		"drain reports what is unfinished": drainReportsUnfinished,
		"drain of nothing returns at once": drainOfNothing,
		"drain wakes waiting submits":      drainWakesWaitingSubmits,
		"refuses tasks after drain":        refusesAfterDrain,
		"survives panics":                  survivesPanics,
	}
	for _, model := range Models() {
		t.Run(string(model), func(t *testing.T) {
			t.Parallel()
			for name, property := range properties {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						c := Config{Model: model, Concurrency: concurrency, Pool: PoolConfig{Core: 2, Max: concurrency, Policy: Block}}
						exec, err := New(c, prometheus.NewRegistry(), nil)
						require.NoError(t, err)
						property(t, c, exec)
						require.Zero(t, exec.Drain(context.Background()))
					})
				})
			}
		})
	}
}

// sleep passes virtual time.
func sleep(d time.Duration) { time.Sleep(d) } //nolint:forbidigo // Called in synctest bubbles only.

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
	filled := submitAll(t.Context(), exec, c.Parallelism(), func() { sleep(time.Minute) })
	synctest.Wait()

	start := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var ran atomic.Bool
	err := exec.Submit(ctx, Task{Run: func() { ran.Store(true) }})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, time.Second, time.Since(start))

	require.Zero(t, exec.Drain(t.Context()))
	require.Equal(t, time.Minute, time.Since(start))
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
	errs := submitAll(t.Context(), exec, c.Parallelism(), func() {
		sleep(3 * time.Second)
		done.Add(1)
	})
	synctest.Wait()
	require.Zero(t, exec.Drain(t.Context()))
	require.Equal(t, 3*time.Second, time.Since(start))
	require.EqualValues(t, c.Parallelism(), done.Load())
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
	errs := submitAll(t.Context(), exec, c.Parallelism()+waiting, func() { sleep(time.Hour) })
	synctest.Wait()

	start := time.Now()
	grace, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	require.Equal(t, c.Parallelism(), exec.Drain(grace))
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
	require.Equal(t, time.Hour, time.Since(start), "refused tasks did not run")
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
