package consumer

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/worker/internal/executor"
)

func TestTasksRunSideBySide(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, options{concurrency: 8})
		start := time.Now()
		for n := range 8 {
			b.deliver(taskBody(n, time.Second, ""), nil)
		}
		require.Zero(t, time.Since(start), "the delivery loop does not wait for tasks")
		b.deliver(taskBody(8, time.Second, ""), nil)
		synctest.Wait()
		require.Empty(t, b.journal.all())
		sleep(time.Second)
		synctest.Wait()
		require.Len(t, b.journal.all(), 16, "a result and an ack each")
		b.stopAndWait(t)
		require.Len(t, b.journal.all(), 18)
	})
}

func TestAStopLetsStartedTasksFinish(t *testing.T) {
	t.Parallel()
	for _, model := range executor.Models() {
		t.Run(string(model), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, options{model: model, concurrency: 1})
				started := b.deliver(taskBody(1, grace-time.Second, ""), nil)
				synctest.Wait()
				start := time.Now()
				b.stopAndWait(t)
				require.Equal(t, grace-time.Second, time.Since(start))
				require.Equal(t, []string{"result t-1 completed", fmt.Sprintf("ack %d", started)}, b.journal.all())
			})
		})
	}
}

// TestAStopRequeuesWhatHasNotStarted has one task run and the next one wait
// for its place, which is taken from the queue but not begun.
func TestAStopRequeuesWhatHasNotStarted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, options{concurrency: 1})
		started := b.deliver(taskBody(1, 5*time.Second, ""), nil)
		waiting := b.deliver(taskBody(2, 5*time.Second, ""), nil)
		synctest.Wait()
		b.stop()
		synctest.Wait()
		require.Equal(t, []string{fmt.Sprintf("requeue %d", waiting)}, b.journal.all(), "at once")
		require.NoError(t, <-b.done)
		require.Equal(t, []string{fmt.Sprintf("requeue %d", waiting), "result t-1 completed", fmt.Sprintf("ack %d", started)}, b.journal.all())
	})
}

func TestAStopRequeuesWhatDoesNotFinishInTime(t *testing.T) {
	t.Parallel()
	for _, model := range executor.Models() {
		t.Run(string(model), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, options{model: model, concurrency: 1})
				tag := b.deliver(taskBody(1, grace+time.Second, ""), nil)
				synctest.Wait()
				start := time.Now()
				b.stopAndWait(t)
				require.Equal(t, grace, time.Since(start))
				require.Equal(t, []string{fmt.Sprintf("requeue %d", tag)}, b.journal.all())
				require.Empty(t, b.publisher.sent, "an interruption is no failure of the task")
				require.Empty(t, b.publisher.results, "and no end of it")
			})
		})
	}
}

// TestAStopRequeuesAfterTheLastConsumerHasEnded has a source that takes its
// time: what is requeued before it has returned could come back to this worker.
func TestAStopRequeuesAfterTheLastConsumerHasEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, options{concurrency: 1})
		b.source.returns = RequeueTime / 2
		b.publisher.fails = func(m rabbitmq.Message) error {
			if isResult(m) {
				return nil
			}
			return rabbitmq.ErrNacked
		}
		b.deliver(taskBody(1, 0, `,"fail":{"kind":"permanent"}`), nil)
		synctest.Wait()
		b.deliver(taskBody(2, 0, ""), suspicious())
		synctest.Wait()
		b.deliver(taskBody(3, time.Second/4, ""), nil)
		b.deliver(taskBody(4, 0, ""), nil)
		synctest.Wait()
		b.stopAndWait(t)
		require.Equal(t, []string{
			"publish t-1 failed", "publish t-2 failed", "result t-3 completed", "ack 3", "source returned",
		}, b.journal.all()[:5])
		require.ElementsMatch(t, []string{"requeue 1", "requeue 2", "requeue 4"}, b.journal.all()[5:])
	})
}

// TestAStopGivesUpOnAHeldDelivery has a publish hang that repeats another.
func TestAStopGivesUpOnAHeldDelivery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, options{})
		stuck := make(chan struct{})
		defer close(stuck)
		tries := 0
		b.publisher.fails = func(rabbitmq.Message) error {
			if tries++; tries > 1 {
				<-stuck
			}
			return rabbitmq.ErrOutcomeUnknown
		}
		b.deliver("no task", nil)
		sleep(2 * minPause)
		start := time.Now()
		b.stopAndWait(t)
		require.Equal(t, RequeueTime, time.Since(start))
		require.Contains(t, b.logged.String(), "deliveries are left unanswered")
	})
}

// TestALostSourceEndsTheConsumerInOrder has the source end by itself, which
// stops the worker: what is held goes back all the same.
func TestALostSourceEndsTheConsumerInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, options{})
		b.publisher.fails = func(rabbitmq.Message) error { return rabbitmq.ErrNacked }
		held := b.deliver(taskBody(1, 0, ""), suspicious())
		synctest.Wait()
		start := time.Now()
		close(b.source.deliveries)
		require.ErrorIs(t, <-b.done, errSourceLost)
		require.Zero(t, time.Since(start), "at once")
		require.Equal(t, []string{"publish t-1 failed", fmt.Sprintf("requeue %d", held)}, b.journal.all())
		b.stop()
	})
}

// TestASettlementOutlivesTheWork has a publish begin within the grace time and
// end after it.
func TestASettlementOutlivesTheWork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, options{})
		b.publisher.fails = func(m rabbitmq.Message) error {
			if !isResult(m) {
				sleep(grace + time.Second)
			}
			return nil
		}
		tag := b.deliver(taskBody(1, 0, `,"fail":{"kind":"permanent"}`), nil)
		synctest.Wait()
		b.stopAndWait(t)
		require.Equal(t, []string{"publish t-1 to tasks.v1.dlq", "result t-1 dead", fmt.Sprintf("ack %d", tag)}, b.journal.all())
	})
}

// TestAStopGivesUpOnATaskThatNeverEnds has one hold the executor for ever:
// Run returns all the same, and the broker keeps the message.
func TestAStopGivesUpOnATaskThatNeverEnds(t *testing.T) {
	t.Parallel()
	for _, model := range executor.Models() {
		t.Run(string(model), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, options{model: model, concurrency: 1})
				stuck := make(chan struct{})
				defer close(stuck)
				b.publisher.fails = func(rabbitmq.Message) error {
					<-stuck
					return nil
				}
				b.deliver("no task", nil)
				synctest.Wait()
				start := time.Now()
				b.stopAndWait(t)
				require.LessOrEqual(t, time.Since(start), grace+2*RequeueTime)
				require.Empty(t, b.journal.all())
			})
		})
	}
}

// TestPoisonDoesNotHarmItsNeighbours mixes every kind of poison that leaves
// the process alive with tasks that are well.
func TestPoisonDoesNotHarmItsNeighbours(t *testing.T) {
	t.Parallel()
	for _, model := range executor.Models() {
		t.Run(string(model), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, options{model: model, concurrency: 3, timeout: 2 * time.Second})
				var well []uint64
				for n := range 10 {
					b.deliver(taskBody(100+n, 0, `,"fail":{"kind":"panic"}`), nil)
					b.deliver(taskBody(200+n, 0, `,"fail":{"kind":"hang"}`), nil)
					b.deliver("poison", nil)
					well = append(well, b.deliver(taskBody(n, time.Second, ""), nil))
				}
				sleep(time.Minute)
				b.stopAndWait(t)
				for _, tag := range well {
					require.Contains(t, b.journal.all(), fmt.Sprintf("ack %d", tag))
				}
				published := 0
				for _, entry := range b.journal.all() {
					if strings.HasPrefix(entry, "publish ") {
						published++
					}
				}
				require.Equal(t, 30, published, "each poison once")
				require.Len(t, b.publisher.results, 10+10+10, "but for those that are retried")
				require.Len(t, slices.Compact(slices.Sorted(slices.Values(b.journal.all()))), len(b.journal.all())-2*9, "nothing is answered twice")
			})
		})
	}
}
