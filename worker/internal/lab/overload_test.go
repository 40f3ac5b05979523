package lab

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// It runs alone: other tests would allocate memory meanwhile.
func TestOverload(t *testing.T) { //nolint:paralleltest // As it says.
	r := runVirtually(t, overload(), Quick)
	for _, row := range r.Rows {
		for _, f := range row.Figures {
			if f.Quantity != heldBytes && f.Predicted.Known() { // memory is not virtual
				require.InDelta(t, f.Predicted.Low, f.Measured.Low, 0.03*f.Predicted.Low+0.01, "%s of %s", f.Quantity, row.Case)
			}
		}
	}
	for _, name := range []string{unboundedQueue, unboundedGoroutines} {
		require.InEpsilon(t, 3000, r.Rows.Measured(name, overloadWaiting), 0.01, name)
		require.Greater(t, r.Rows.Measured(name, heldBytes), 3000*8192*0.9, name)
	}
	for _, name := range []string{boundedAbort, boundedOldest, boundedBlock} {
		require.LessOrEqual(t, r.Rows.Measured(name, overloadWaiting), 200.0, name)
		require.Less(t, r.Rows.Measured(name, heldBytes), 3000*8192/3.0, name)
	}
	require.InDelta(t, 1.5-0.11, r.Rows.Measured(boundedBlock, sourceBehind), 0.01, "what is inside waits here")
	require.InDelta(t, 0, r.Rows.Measured(unboundedQueue, sourceBehind), 0.01)
}
