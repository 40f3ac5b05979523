package executor

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/panjf2000/ants/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	ants.Release() // what the library starts when it is imported
	goleak.VerifyTestMain(m)
}

func TestNewRefusesAnInvalidConfig(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		config Config
		want   string
	}{
		"unknown model":   {Config{Model: "thread", Concurrency: 1}, `model: "thread" is not allowed; allowed: goroutine, serial, pool, keyed`},
		"no concurrency":  {Config{Model: ModelGoroutine}, "concurrency: 0 is not allowed; allowed: 1 or more"},
		"key queue":       {Config{Model: ModelKeyed, Concurrency: 1, KeyQueue: -1}, "key queue: -1 is not allowed; allowed: 0 or more"},
		"no worker":       {poolOf(0, 0, 0, 0, Block), "max: 0 is not allowed; allowed: 1 or more"},
		"core above max":  {poolOf(6, 5, 0, 0, Block), "core: 6 is not allowed; allowed: 0 to 5"},
		"keep alive":      {poolOf(1, 5, -1, 0, Block), "keep alive: -1ns is not allowed; allowed: 0s or more"},
		"queue":           {poolOf(1, 5, 0, -1, Block), "queue: -1 is not allowed; allowed: 0 or more"},
		"policy":          {poolOf(1, 5, 0, 0, "drop"), `policy: "drop" is not allowed; allowed: abort, caller_runs, discard, discard_oldest, block`},
		"nothing to drop": {poolOf(1, 5, 0, 0, DiscardOldest), "queue: 0 is not allowed with policy discard_oldest, which drops a queued task; allowed: 1 or more"},
		"too many threads": {
			Config{Model: ModelPool, Pool: Cached(Unbounded), OSThreads: true},
			"os threads: 2147483647 tasks at once are not allowed; allowed: 1 to 8000",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := New(tt.config, prometheus.NewRegistry(), nil)
			require.EqualError(t, err, tt.want)
		})
	}
}

func poolOf(core, limit int, keepAlive time.Duration, queue int, policy Policy) Config {
	return Config{Model: ModelPool, Pool: PoolConfig{Core: core, Max: limit, KeepAlive: keepAlive, Queue: queue, Policy: policy}}
}

// TestPresets are those of java.util.concurrent.Executors.
func TestPresets(t *testing.T) {
	t.Parallel()
	for preset, want := range map[PoolConfig]PoolConfig{
		Fixed(3):          {Core: 3, Max: 3, Queue: Unbounded, Policy: Abort},
		Single():          {Core: 1, Max: 1, Queue: Unbounded, Policy: Abort},
		Cached(Unbounded): {Core: 0, Max: Unbounded, KeepAlive: time.Minute, Policy: Abort},
	} {
		require.Equal(t, want, preset)
		require.NoError(t, Config{Model: ModelPool, Pool: preset}.Validate())
	}
}

// TestAQueueWithoutABoundKeepsNoMemory fills one and empties it.
func TestAQueueWithoutABoundKeepsNoMemory(t *testing.T) {
	t.Parallel()
	var r ring
	const tasks = 100_000
	for range 3 {
		for n := range tasks {
			r.push(Task{Key: strconv.Itoa(n)})
		}
		for n := range tasks {
			require.Equal(t, strconv.Itoa(n), r.pop().Key)
		}
		require.Empty(t, r.tasks)
	}
}

func TestParallelism(t *testing.T) {
	t.Parallel()
	require.Equal(t, 7, Config{Model: ModelGoroutine, Concurrency: 7}.Parallelism())
	require.Equal(t, 1, Config{Model: ModelSerial, Concurrency: 7}.Parallelism())
	require.Equal(t, 7, Config{Model: ModelKeyed, Concurrency: 7, KeyQueue: 5}.Parallelism())
	require.Equal(t, 7, poolOf(3, 7, 0, 5, Block).Parallelism())
	require.Equal(t, 7, Config{Model: ModelGoroutine, Concurrency: 7}.Capacity())
	require.Equal(t, 1, Config{Model: ModelSerial, Concurrency: 7}.Capacity())
	require.Equal(t, 12, Config{Model: ModelKeyed, Concurrency: 7, KeyQueue: 5}.Capacity())
	require.Equal(t, 12, poolOf(3, 7, 0, 5, Block).Capacity())
}

// TestMetrics reads the metrics of a pool that is full, and has dropped a task.
func TestMetrics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		exec, err := New(poolOf(1, 2, 0, 1, DiscardOldest), reg, nil)
		require.NoError(t, err)
		for range 4 {
			require.NoError(t, exec.Submit(t.Context(), Task{Run: func() { sleep(time.Second) }}))
		}
		families, err := reg.Gather()
		require.NoError(t, err)
		got := make(map[string]float64)
		for _, f := range families {
			for _, m := range f.GetMetric() {
				name := f.GetName()
				for _, l := range m.GetLabel() {
					name += " " + l.GetValue()
				}
				got[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
		require.Equal(t, map[string]float64{
			"executor_tasks": 3, "executor_queued": 1, "executor_workers": 2,
			"executor_saturated_total abort": 0, "executor_saturated_total block": 0, "executor_saturated_total caller_runs": 0,
			"executor_saturated_total discard": 0, "executor_saturated_total discard_oldest": 1,
			"executor_discarded_total": 1, "executor_panics_total": 0,
		}, got)
		require.Zero(t, exec.Drain(t.Context()))
	})
}

func TestMetricsAreWellNamed(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	_, err := New(Config{Model: ModelSerial, Concurrency: 1}, reg, nil)
	require.NoError(t, err)
	problems, err := testutil.GatherAndLint(reg)
	require.NoError(t, err)
	require.Empty(t, problems)
}
