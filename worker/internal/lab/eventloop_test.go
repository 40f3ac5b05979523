package lab

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// runVirtually runs an experiment in virtual time, where whatever waits takes
// as long as it is meant to, and nothing else takes any time.
func runVirtually(t *testing.T, e Experiment, s Size) (r Result) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var err error
		r, err = Run(t.Context(), e, Options{Size: s})
		require.NoError(t, err)
		require.NotEmpty(t, r.Finding)
	})
	return r
}

func TestEventloop(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]Size{"full": Full, "quick": Quick} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := runVirtually(t, eventloop(), size)
			near := func(want float64, name, quantity string) {
				t.Helper()
				require.InEpsilon(t, want, r.Rows.Measured(name, quantity), 0.06, "%s of %s", quantity, name)
			}
			near(200, oneLoop, sentPerMinute)
			near(200, oneLoop, receivedPerMinute)
			near(600, ownLoops, sentPerMinute)
			near(200, ownLoops, receivedPerMinute)
			near(600, workerPool, sentPerMinute)
			near(600, workerPool, receivedPerMinute)
			near(6000, fastWorkers, sentPerMinute)
			near(2000, fastWorkers, receivedPerMinute)
			near(600, orderedCalls, sentPerMinute)
			near(200, orderedCalls, receivedPerMinute)
			require.EqualValues(t, 10, r.Rows.Measured(tooFew, atWorkAtOnce))
			require.EqualValues(t, 5, r.Rows.Measured(tooFew, unreceived))
			require.EqualValues(t, 1, r.Rows.Measured(oneLoop, loopThreads))
			require.EqualValues(t, 2, r.Rows.Measured(ownLoops, loopThreads))
			require.EqualValues(t, 12, r.Rows.Measured(fastWorkers, loopThreads))
		})
	}
}

// The watchdog sees blocked loops, by name, and none where workers block.
func TestEventloopIsWatched(t *testing.T) {
	t.Parallel()
	r := runVirtually(t, eventloop(), Full)
	for name, loop := range map[string]string{oneLoop: "event-loop", ownLoops: "receiver-loop"} {
		blocks := r.Rows.Measured(name, receivedPerMinute) / 60 * 12
		require.GreaterOrEqual(t, r.Rows.Measured(name, watchdogWarnings), blocks, name)
		require.Positive(t, r.Rows.Measured(name, watchdogStacks), name)
		first, _ := r.Rows.figure(name, watchdogFirst)
		require.Contains(t, first.Measured.Words, loop+" blocked for 2")
		longest := r.Rows.Measured(name, watchdogLongest)
		require.Greater(t, longest, 0.2)
		require.LessOrEqual(t, longest, 0.3)
	}
	for _, name := range []string{workerPool, fastWorkers, orderedCalls} {
		require.Zero(t, r.Rows.Measured(name, watchdogWarnings), name)
	}
}
