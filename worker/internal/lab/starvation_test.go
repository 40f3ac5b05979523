package lab

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestStarvation(t *testing.T) {
	t.Parallel()
	r := runVirtually(t, starvation(), Full)
	for name, want := range map[string]struct {
		calls, done, wait float64
	}{
		blockingCalls: {10, 13, 10},
		asyncCalls:    {100, 4, 0},
		separatePool:  {20, 8, 0},
	} {
		require.Equal(t, want.calls, r.Rows.Measured(name, callsAtOnce), name)
		require.Equal(t, want.done, r.Rows.Measured(name, allDone), name)
		require.InDelta(t, want.wait, r.Rows.Measured(name, fastWait), 0.021, name)
		require.Greater(t, r.Rows.Measured(name, fastDone), 100.0, name)
		for _, f := range []string{callsAtOnce, allDone} {
			figure, _ := r.Rows.figure(name, f)
			require.Equal(t, figure.Predicted, figure.Measured, "%s of %s", f, name)
		}
	}
}
