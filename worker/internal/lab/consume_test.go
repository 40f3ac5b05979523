package lab

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestConsume(t *testing.T) {
	t.Parallel()
	result := runTiny(t, consume())
	const key = "stored_messages_per_second"
	for _, l := range consumeLoads() {
		waiting, inFlight := result.Rows.Measured(l.waitingName(), key), result.Rows.Measured(l.inFlightName(), key)
		require.InDelta(t, inFlight/waiting, result.Rows.Measured(l.inFlightName(), "ratio_to_waiting"), 1e-9)
		if l.delay > 0 {
			require.Less(t, waiting, 1/l.delay.Seconds(), "it waits")
			require.Greater(t, inFlight, 1.5*waiting, "it does not, and the delay is the same for both")
		}
		require.Equal(t, !l.backlog, result.Rows.Has(l.inFlightName(), "stored_share_of_arrivals"))
	}
	f, _ := result.Rows.figure("many in flight, 2,500/s arrive", "ratio_to_waiting")
	require.Equal(t, Number(1.47), f.Published)
}
