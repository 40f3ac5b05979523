package lab

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/worker/internal/executor"
)

func TestPools(t *testing.T) {
	t.Parallel()
	const tasks = 300
	r := runVirtually(t, pools(), Tiny)

	order, _ := r.Rows.figure(orderOfUse, poolOrder)
	require.Equal(t, "worker ×3, queued ×200, worker ×2, refused ×1", order.Measured.Words)
	require.Equal(t, order.Predicted, order.Measured)

	for _, row := range r.Rows[1:] {
		measured := func(quantity string) float64 { return r.Rows.Measured(row.Case, quantity) }
		require.EqualValues(t, tasks, measured(poolCompleted)+measured(poolRejected)+measured(poolDiscarded), row.Case)
		require.GreaterOrEqual(t, measured(poolThreads), 1.0, row.Case)
	}
	for policy, want := range map[executor.Policy]struct{ completed, rejected, discarded float64 }{
		executor.Abort:         {205, 95, 0},
		executor.Discard:       {205, 0, 95},
		executor.DiscardOldest: {205, 0, 95},
		executor.CallerRuns:    {tasks, 0, 0},
		executor.Block:         {tasks, 0, 0},
	} {
		name := policyNamed + string(policy)
		require.Equal(t, want.completed, r.Rows.Measured(name, poolCompleted), name)
		require.Equal(t, want.rejected, r.Rows.Measured(name, poolRejected), name)
		require.Equal(t, want.discarded, r.Rows.Measured(name, poolDiscarded), name)
		require.EqualValues(t, 5, r.Rows.Measured(name, poolWorkers), name)
		require.Equal(t, policy == executor.CallerRuns, r.Rows.Measured(name, poolByCaller) > 0, name)
	}
	for name, seconds := range map[string]float64{
		ioDefault: 0.300, "I/O, fixed 10": 0.030, "I/O, cached": 0.001,
		policyNamed + "block": 0.060, policyNamed + "abort": 0.041,
	} {
		require.InDelta(t, seconds, r.Rows.Measured(name, poolSeconds), 1e-9, name)
	}
	require.EqualValues(t, 1, r.Rows.Measured(ioDefault, poolWorkers))
	require.Greater(t, r.Rows.Measured(ioFormula, poolWorkers), 1.0)
	require.EqualValues(t, tasks-30, r.Rows.Measured("I/O, bounded queue", poolWorkers), "a worker for all that found the queue full, and the core")
	require.EqualValues(t, tasks, r.Rows.Measured("I/O, cached", poolWorkers))
	require.Greater(t, r.Rows.Measured("I/O, threads, cached", poolThreads), tasks/2.0)
}

func TestInRuns(t *testing.T) {
	t.Parallel()
	require.Equal(t, "a ×2, b ×1, a ×1", inRuns([]string{"a", "a", "b", "a"}))
	require.Empty(t, inRuns(nil))
}

func TestFormulaOfTheWork(t *testing.T) {
	t.Parallel()
	require.Equal(t, 34, work{service: 50e-6, cores: 2}.formula(), "2 × 0.8 × (1 + 1 ms ÷ 50 µs) = 33.6")
	require.Equal(t, mostFormula, work{service: 1e-6, cores: 2}.formula())
	require.Equal(t, 10, work{service: 1, cores: 12}.formula(), "little waiting: about a thread a core")
}
