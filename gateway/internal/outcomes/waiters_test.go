package outcomes

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/task"
)

func received(t *testing.T, results <-chan task.Result) task.Result {
	t.Helper()
	select {
	case r := <-results:
		return r
	default:
		require.Fail(t, "not woken")
		return task.Result{}
	}
}

func requireAsleep(t *testing.T, results <-chan task.Result) {
	t.Helper()
	select {
	case r, ok := <-results:
		require.Fail(t, "woken", "with %v %t", r, ok)
	default:
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	s := newStream(t, Config{})
	now := time.Now().UTC()
	id := idAt(now, 1)
	first, stopFirst := s.Watch(id)
	second, stopSecond := s.Watch(id)
	third, stopThird := s.Watch(id)
	other, stopOther := s.Watch("other")
	require.Equal(t, 4.0, s.metric("outcomes_watches"))
	stopSecond()
	stopSecond()
	require.Equal(t, 3.0, s.metric("outcomes_watches"))

	s.write(acceptanceMessage(t, acceptanceOf(id, "run", now)))
	requireAsleep(t, first)
	want := died(id, "run", now)
	s.outcome(want)
	require.Equal(t, want, received(t, first))
	require.Equal(t, want, received(t, third))
	require.Equal(t, 1.0, s.metric("outcomes_watches"))
	s.replay(0)
	s.outcome(done(id, "run", now))
	for _, results := range []<-chan task.Result{first, second, third, other} {
		requireAsleep(t, results)
	}
	for _, stop := range []func(){stopFirst, stopSecond, stopThird, stopOther, stopOther} {
		stop()
	}
	require.Zero(t, s.metric("outcomes_watches"))
	require.Empty(t, s.waiters.byID)
}

func TestWatchWhatIsKnown(t *testing.T) {
	t.Parallel()
	s := newStream(t, Config{})
	want := done("a", "", time.Now().UTC())
	s.outcome(want)
	results, stop := s.Watch("a")
	require.Equal(t, want, received(t, results))
	require.Zero(t, s.metric("outcomes_watches"))
	stop()
}

// TestConcurrentUse is for the race detector, and holds that nobody who watches
// before an outcome is read misses it.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	const tasks, watchers = 2000, 4
	s := newStream(t, Config{MaxTasks: tasks / 4})
	now := time.Now().UTC()
	var watching, all sync.WaitGroup
	watching.Add(watchers)
	for w := range watchers {
		all.Go(func() {
			results := make([]<-chan task.Result, tasks)
			for n := range tasks {
				var stop func()
				results[n], stop = s.Watch(idAt(now, n))
				defer stop()
			}
			watching.Done()
			for n := range tasks {
				require.Equal(t, idAt(now, n), (<-results[n]).ID)
				s.Lookup(idAt(now, n), now)
				s.Run("run")
				if n%50 == w {
					s.Accepted(acceptanceOf(keyedID(n), "run", now))
					s.Acceptance(keyedID(n))
					s.AcceptedHere("run")
					s.sweep(time.Now())
					_, err := s.reg.Gather()
					require.NoError(t, err)
				}
			}
		})
	}
	all.Go(func() {
		watching.Wait()
		for n := range tasks {
			s.outcome(done(idAt(now, n), "run", now))
		}
	})
	all.Wait()
	require.Zero(t, s.metric("outcomes_watches"))
	require.EqualValues(t, tasks, s.Run("run").Completed)
}
