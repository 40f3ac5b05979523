package lab

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOrdering(t *testing.T) {
	t.Parallel()
	r := runVirtually(t, ordering(), Full)
	for _, name := range []string{serially, singleWorker} {
		require.Zero(t, r.Rows.Measured(name, outOfOrder), name)
		require.Zero(t, r.Rows.Measured(name, outOfOrderInKey), name)
	}
	for _, name := range []string{tenWorkers, tenAtOnce} {
		require.Greater(t, r.Rows.Measured(name, outOfOrder), 1000.0, name)
		require.InEpsilon(t, r.Rows.Measured(serially, orderingSeconds)/10, r.Rows.Measured(name, orderingSeconds), 0.05, name)
	}
	require.Greater(t, r.Rows.Measured(keyedTen, outOfOrder), 1000.0)
	require.Zero(t, r.Rows.Measured(keyedTen, outOfOrderInKey))
	require.Less(t, r.Rows.Measured(keyedTen, orderingSeconds), r.Rows.Measured(serially, orderingSeconds)/5)
}

func TestDisorder(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		results     []int
		all, within int
	}{
		"in order":               {[]int{0, 1, 2, 3}, 0, 0},
		"one came late":          {[]int{1, 2, 3, 0}, 1, 0},
		"one came early":         {[]int{3, 0, 1, 2}, 3, 0},
		"two of one key":         {[]int{20, 0, 1}, 2, 1},
		"two of each of two":     {[]int{20, 21, 0, 1}, 2, 2},
		"keys in order each":     {[]int{1, 21, 0, 20}, 2, 0},
		"the first of its key":   {[]int{0, 40, 20}, 1, 1},
		"nothing is in disarray": {nil, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all, within := disorder(tt.results)
			require.Equal(t, tt.all, all)
			require.Equal(t, tt.within, within)
		})
	}
}
