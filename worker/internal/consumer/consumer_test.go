package consumer

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/worker/internal/executor"
)

func TestPrefetchIsATenthMore(t *testing.T) {
	t.Parallel()
	for parallelism, want := range map[int]int{1: 2, 10: 11, 11: 13, 1000: 1100} {
		require.Equal(t, want, Prefetch(parallelism), "%d", parallelism)
	}
	for prefetch := range 2000 {
		fits := Parallelism(prefetch)
		require.LessOrEqual(t, Prefetch(fits), prefetch)
		require.Greater(t, Prefetch(fits+1), prefetch)
	}
}

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
		require.Len(t, b.journal.all(), 8)
		b.stopAndWait(t)
		require.Len(t, b.journal.all(), 9)
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
				require.Equal(t, []string{fmt.Sprintf("ack %d", started)}, b.journal.all())
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
		require.Equal(t, []string{fmt.Sprintf("requeue %d", waiting), fmt.Sprintf("ack %d", started)}, b.journal.all())
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
		b.publisher.fails = func(rabbitmq.Message) error { return rabbitmq.ErrNacked }
		b.deliver(taskBody(1, 0, `,"fail":{"kind":"permanent"}`), nil)
		synctest.Wait()
		b.deliver(taskBody(2, 0, ""), amqp.Table{"x-delivery-count": int64(20)})
		b.deliver(taskBody(3, time.Second, ""), nil)
		b.deliver(taskBody(4, 0, ""), nil)
		synctest.Wait()
		b.stopAndWait(t)
		require.Equal(t, []string{"publish t-1 failed", "ack 3", "source returned"}, b.journal.all()[:3])
		require.ElementsMatch(t, []string{"requeue 1", "requeue 2", "requeue 4"}, b.journal.all()[3:])
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
		sleep(minPause + time.Millisecond)
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
		held := b.deliver(taskBody(1, 0, ""), amqp.Table{"x-delivery-count": int64(20)})
		start := time.Now()
		close(b.source.deliveries)
		require.ErrorIs(t, <-b.done, errSourceLost)
		require.Zero(t, time.Since(start), "at once")
		require.Equal(t, []string{fmt.Sprintf("requeue %d", held)}, b.journal.all())
		b.stop()
	})
}

// TestASettlementOutlivesTheWork has a publish begin within the grace time and
// end after it.
func TestASettlementOutlivesTheWork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, options{})
		b.publisher.fails = func(rabbitmq.Message) error {
			sleep(grace + time.Second)
			return nil
		}
		tag := b.deliver(taskBody(1, 0, `,"fail":{"kind":"permanent"}`), nil)
		synctest.Wait()
		b.stopAndWait(t)
		require.Equal(t, fmt.Sprintf("ack %d", tag), b.journal.all()[1])
		require.Len(t, b.publisher.sent, 1)
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

func TestASuspectIsHeldBackAloneAndThenRuns(t *testing.T) {
	t.Parallel()
	for _, model := range executor.Models() {
		t.Run(string(model), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, options{model: model, concurrency: 1})
				suspect := b.deliver(taskBody(1, 0, ""), amqp.Table{"x-delivery-count": int64(suspectFrom)})
				synctest.Wait()
				require.Equal(t, 1, value(b.metrics.held[causeSuspect]))
				next := b.deliver(taskBody(2, 0, ""), amqp.Table{"x-delivery-count": int64(suspectFrom - 1)})
				synctest.Wait()
				require.Equal(t, fmt.Sprintf("ack %d", next), b.journal.all()[0])
				sleep(suspectFrom * suspectStep)
				synctest.Wait()
				require.Contains(t, b.journal.all(), fmt.Sprintf("ack %d", suspect))
				require.Zero(t, value(b.metrics.held[causeSuspect]))

				held := b.deliver(taskBody(3, 0, ""), amqp.Table{"x-delivery-count": int64(20)})
				b.stopAndWait(t)
				require.Contains(t, b.journal.all(), fmt.Sprintf("requeue %d", held))
			})
		})
	}
}

// TestNeighboursOfACrashingTaskFinish plays the lives of a worker that one of
// its tasks ends whenever it starts. All others take a second; the culprit has
// to reach the broker's delivery limit without them.
func TestNeighboursOfACrashingTaskFinish(t *testing.T) {
	t.Parallel()
	const (
		trials        = 200
		deliveryLimit = 20
		neighbours    = 50
		service       = time.Second
	)
	start := func(count int) time.Duration {
		return suspectWait(amqp.Delivery{Redelivered: count > 0, Headers: amqp.Table{"x-delivery-count": int64(count)}})
	}
	died := 0
	for range trials {
		left := neighbours
		for count := range deliveryLimit + 1 {
			crash := start(count)
			unfinished := 0
			for range left {
				if start(count)+service >= crash {
					unfinished++
				}
			}
			left = unfinished
		}
		died += left
	}
	require.Less(t, died, trials*neighbours/100, "neighbours that died with the culprit, of %d", trials*neighbours)
}

func TestDeliveryCountOfForeignHeaders(t *testing.T) {
	t.Parallel()
	for value, want := range map[any]int{
		int64(3): 3, int32(3): 3, int64(-1): 0, int64(1 << 40): maxDeliveryCount, "3": 0, nil: 0,
	} {
		d := amqp.Delivery{Redelivered: true, Headers: amqp.Table{"x-delivery-count": value}}
		require.Equal(t, want, deliveryCount(d), "%v", value)
	}
	require.Zero(t, deliveryCount(amqp.Delivery{Headers: amqp.Table{"x-delivery-count": int64(9)}}), "not redelivered")
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
				require.Len(t, slices.Compact(slices.Sorted(slices.Values(b.journal.all()))), len(b.journal.all())-9, "nothing is answered twice")
			})
		})
	}
}
