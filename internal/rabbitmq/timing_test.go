package rabbitmq

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBackoffGrowsToItsBoundAndIsSpread(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		spread := make(map[time.Duration]bool)
		for range 50 {
			b := backoff{low: 100 * time.Millisecond, high: time.Second}
			for _, ms := range []int{100, 200, 400, 800, 1000, 1000} {
				want := time.Duration(ms) * time.Millisecond
				began := time.Now()
				b.wait(t.Context())
				took := time.Since(began)
				require.GreaterOrEqual(t, took, want/2)
				require.LessOrEqual(t, took, want)
				spread[took] = true
			}
			b.reset()
			began := time.Now()
			b.wait(t.Context())
			require.LessOrEqual(t, time.Since(began), 100*time.Millisecond, "from the start again")
		}
		require.Greater(t, len(spread), 50, "processes that lost the same broker do not return together")
	})
}

func TestBackoffEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		b := backoff{low: time.Hour, high: time.Hour}
		b.wait(ctx)
		require.Equal(t, time.Second, time.Since(began))
	})
}

func TestSharedDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := sharedDeadline{timeout: 5 * time.Second}
		began := time.Now()
		first := d.context()
		<-time.After(50 * time.Millisecond)
		require.Same(t, first, d.context(), "asked for at about the same time")
		<-time.After(50 * time.Millisecond)
		second := d.context()
		require.NotSame(t, first, second)

		<-first.Done()
		require.Equal(t, 5100*time.Millisecond, time.Since(began))
		require.ErrorIs(t, first.Err(), context.DeadlineExceeded)
		require.NoError(t, second.Err())
		<-second.Done()
		require.Equal(t, 5200*time.Millisecond, time.Since(began), "never earlier than the timeout, at most a fiftieth later")
	})
}
