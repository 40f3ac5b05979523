package sizing

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/worker/internal/executor"
)

func TestTrialIsTheSameQueueInOtherUnits(t *testing.T) {
	t.Parallel()
	for _, q := range []Queue{
		{Rate: 0.5, TaskSeconds: 1, Servers: 1},
		{Rate: 90, TaskSeconds: 1, Servers: 100},
		{Rate: 20_000, TaskSeconds: 0.001, Servers: 30},
		{Rate: 0.01, TaskSeconds: 3600, Servers: 40},
	} {
		trial := NewTrial(q, 6*time.Second)
		require.Equal(t, q.Servers, trial.Queue.Servers)
		require.InEpsilon(t, q.Utilisation(), trial.Queue.Utilisation(), 1e-9)
		want, got := q.Waits(), trial.Queue.Waits()
		require.InEpsilon(t, float64(want.Mean)/q.TaskSeconds, float64(got.Mean)/trial.Queue.TaskSeconds, 1e-9)
		requireRunnable(t, trial)
	}
}

func TestTrialOfAHugeQueueIsAPartOfIt(t *testing.T) {
	t.Parallel()
	q := Queue{Rate: 8000, TaskSeconds: 1, Servers: 8100}
	trial := NewTrial(q, 6*time.Second)
	require.Less(t, trial.Queue.Servers, q.Servers)
	require.InEpsilon(t, q.Utilisation(), trial.Queue.Utilisation(), 1e-9)
	requireRunnable(t, trial)
}

func requireRunnable(t *testing.T, trial Trial) {
	t.Helper()
	require.LessOrEqual(t, trial.Queue.Rate, trialRate*1.001)
	require.GreaterOrEqual(t, trial.Queue.TaskSeconds, trialTask)
	require.GreaterOrEqual(t, float64(trial.Length)/trial.Queue.TaskSeconds, trialLengths*0.999)
}

// The executor that workers use, in virtual time: it has to be the ideal waiting
// line, to the nanosecond, and to agree with the formulas.
func TestTheExecutorIsTheQueueOfTheFormulas(t *testing.T) {
	t.Parallel()
	for _, q := range []Queue{
		{Rate: 0.5, TaskSeconds: 1, Servers: 1, Tasks: Exponential},
		{Rate: 8, TaskSeconds: 1, Servers: 10, Tasks: Exponential},
		{Rate: 8, TaskSeconds: 1, Servers: 10, Tasks: Constant},
		{Rate: 17, TaskSeconds: 1, Servers: 20, Tasks: Exponential},
	} {
		t.Run(fmt.Sprintf("%s on %d", q.Tasks, q.Servers), func(t *testing.T) {
			t.Parallel()
			trial := NewTrial(q, time.Minute)
			trial.Length = Seconds(10_000 / trial.Queue.Rate)
			trial.Warmup = trial.Length / 10
			want := trial.simulate(rand.New(rand.NewPCG(3, 4)), 95)
			synctest.Test(t, func(t *testing.T) {
				got := measureTrial(t, trial, q.Servers)
				require.Equal(t, want, got.Measured)
				require.Equal(t, want.Figures, got.Ideal)
				require.Positive(t, got.Chance.Mean)
				require.Equal(t, Agrees, got.Verdict, "%+v", got)
			})
		})
	}
}

// An executor of another size is not what is predicted, and that is noticed.
func TestAnotherSizeDisagrees(t *testing.T) {
	t.Parallel()
	for _, places := range []int{9, 12} {
		synctest.Test(t, func(t *testing.T) {
			trial := NewTrial(Queue{Rate: 9, TaskSeconds: 1, Servers: 10, Tasks: Exponential}, 10*time.Second)
			got := measureTrial(t, trial, places)
			require.Equal(t, Disagrees, got.Verdict, "%+v", got)
		})
	}
}

func TestVerdict(t *testing.T) {
	t.Parallel()
	alike := Figures{Mean: 1, AtPercentile: 3}
	good := Comparison{Measured: Measured{Counted: 100, Figures: alike}, Ideal: alike, Had: alike}
	require.Equal(t, Agrees, good.verdict())

	byChance := good
	byChance.Had = Figures{Mean: 1.2, AtPercentile: 3}
	require.Equal(t, Disagrees, byChance.verdict(), "the formula is off by more than a tenth")
	byChance.Chance.Mean = 0.1
	require.Equal(t, Agrees, byChance.verdict())
	byChance.Chance.AtPercentile = 1.6
	require.Equal(t, Unclear, byChance.verdict())

	late := byChance
	late.Ideal.AtPercentile = 2.6
	require.Equal(t, Disagrees, late.verdict(), "chance does not explain a difference to the same tasks")

	busy := good
	busy.Late = 0.4
	require.Equal(t, Agrees, busy.verdict())
	busy.Ideal.Mean = 3
	require.Equal(t, Unclear, busy.verdict(), "the machine may be why")

	full := good
	full.Had.Mean = Seconds(math.Inf(1))
	require.Equal(t, Unclear, full.verdict())
	require.Equal(t, Unclear, Trial{}.compare(Trial{}.evaluate(nil, 95), Figures{}, 95, nil).verdict())
}

func TestAnEndedContextEndsAMeasurement(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		trial := NewTrial(Queue{Rate: 9, TaskSeconds: 1, Servers: 10, Tasks: Exponential}, 20*time.Second)
		start := time.Now()
		exec := newExecutor(t, 10)
		_, err := trial.Measure(ctx, exec, 95, rand.New(rand.NewPCG(3, 4)))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(start))
		require.Zero(t, exec.Drain(t.Context()))
	})
}

func measureTrial(t *testing.T, trial Trial, places int) Comparison {
	t.Helper()
	exec := newExecutor(t, places)
	c, err := trial.Measure(t.Context(), exec, 95, rand.New(rand.NewPCG(3, 4)))
	require.NoError(t, err)
	return c
}

func newExecutor(t *testing.T, places int) executor.Executor {
	t.Helper()
	exec, err := executor.New(executor.Config{Model: executor.ModelGoroutine, Concurrency: places}, prometheus.NewRegistry(), nil)
	require.NoError(t, err)
	return exec
}
