package lab

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFanout(t *testing.T) {
	t.Parallel()
	result := runTiny(t, fanout())
	const requests, threads, wait = "requests_in_five_minutes", "os_threads", "queue_wait_mean_seconds"
	measured := result.Rows.Measured
	for _, w := range fanoutWays() {
		require.Positive(t, measured(w.name, requests), w.name)
		f, _ := result.Rows.figure(w.name, requests)
		require.LessOrEqual(t, f.Measured.Low, 1.05*f.Predicted.High, "no more than theory allows, %s", w.name)
		if w.threads > 0 {
			// On a busy machine not all calls are under way at once.
			require.Greater(t, measured(w.name, threads), .5*float64(w.threads), "each call holds a thread, %s", w.name)
			require.LessOrEqual(t, measured(w.name, threads), float64(w.threads), w.name)
		}
	}
	require.Less(t, measured(fanoutGoroutines, threads), float64(fanoutUsers), "goroutines hold none")
	small := fanoutPoolName(fanoutPools()[1])
	require.Greater(t, measured(small, wait), measured(fanoutGoroutines, wait))
	f, _ := result.Rows.figure(fanoutPoolName(fanoutPools()[0]), requests)
	require.Equal(t, Number(16_500), f.Published)
	require.InDelta(t, 16_452, f.Predicted.High, 10)
}
