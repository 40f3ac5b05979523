package consumer

import (
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/task"
)

// hanging is a task that takes as long as its timeout allows.
func hanging(n int) string { return taskBody(n, 0, `,"fail":{"kind":"hang"}`) }

// TestAnAnswerComesInTime has everything come together that a delivery can wait
// for, with the longest timeout, and a settlement that is not confirmed: it is
// answered all the same before the broker closes the channel.
func TestAnAnswerComesInTime(t *testing.T) {
	t.Parallel()
	const timeout = MaxTaskTimeout
	require.GreaterOrEqual(t, insistFor(timeout, false), resultWithin)
	require.GreaterOrEqual(t, insistFor(timeout, true), resultWithin)
	for name, deliver := range map[string]func(w workerBench) *bench{
		"task": func(w workerBench) *bench {
			w.tasks.deliver(hanging(2), nil) // has the only place
			synctest.Wait()
			w.tasks.deliver(taskBody(3, pauseWithin-time.Second, ""), nil) // waits for it
			synctest.Wait()
			time.AfterFunc(timeout-time.Second/2, func() { w.isolated.deliver(hanging(4), suspicious()) }) // and for that the isolated one
			go w.tasks.deliver(hanging(1), nil)
			return w.tasks
		},
		"suspect": func(w workerBench) *bench {
			w.suspects.deliver(hanging(2), nil)
			synctest.Wait()
			w.isolated.deliver(hanging(4), suspicious())
			synctest.Wait()
			w.suspects.deliver(hanging(1), nil)
			time.AfterFunc(timeout-time.Second, func() { w.tasks.deliver(taskBody(3, pauseWithin, ""), nil) })
			return w.suspects
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorkerBench(t, 1, timeout)
				w.tasks.refuse(false, rabbitmq.ErrUnavailable)
				w.suspects.refuse(false, rabbitmq.ErrUnavailable)
				b := deliver(w)
				ran := 3*timeout + pauseWithin - time.Second
				sleep(ran - time.Second)
				require.NotContains(t, b.journal.all(), "publish t-1 failed", "it has waited for all of that")
				sleep(2 * time.Second)
				require.Contains(t, b.journal.all(), "publish t-1 failed")
				sleep(answerWithin - ran - time.Second)
				synctest.Wait()
				require.Contains(t, b.journal.last(), "requeue ")
				w.stop(t)
			})
		})
	}
}

// TestSuspectsWaitSideBySide has as many as are held wait for an isolated task,
// and the next isolated one come before they can run: it waits for all of them,
// and none of them for it.
func TestSuspectsWaitSideBySide(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorkerBench(t, 4, time.Minute)
		w.isolated.deliver(taskBody(1, time.Second, ""), nil)
		synctest.Wait()
		go func() {
			for n := range w.suspects.cfg.Lane.Prefetch {
				w.suspects.deliver(taskBody(100+n, time.Second, ""), nil)
			}
		}()
		synctest.Wait()
		began := time.Now()
		next, err := w.isolated.cfg.Lane.room.enter(t.Context(), task.QueueIsolated, amqp.Delivery{})
		require.NoError(t, err)
		require.Equal(t, 2*time.Second, time.Since(began), "the first isolated one, then all suspects at once")
		synctest.Wait()
		require.Len(t, w.suspects.publisher.results, w.suspects.cfg.Lane.Prefetch)
		next.leave()
		w.stop(t)
	})
}
