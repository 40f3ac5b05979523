package consumer

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/task"
	"github.com/twinlane/twinlane/worker/internal/executor"
)

// TestLanes holds that each task queue has its lane, that a chain of moves
// leads through all of them, and that it is short enough: in each lane a task
// moves on before the broker would give it up, but for the last one.
func TestLanes(t *testing.T) {
	t.Parallel()
	tasks := executor.Config{Model: executor.ModelGoroutine, Concurrency: 1000}
	lanes := Lanes(tasks, time.Minute)
	queues := rabbitmq.TaskQueues()
	require.Len(t, lanes, len(queues))
	held := 0
	for i, lane := range lanes {
		require.Equal(t, queues[i].Name, lane.Queue)
		require.NoError(t, lane.Executor.Validate())
		require.GreaterOrEqual(t, lane.Prefetch, lane.Executor.Parallelism())
		require.Equal(t, i > 0, lane.ReturnAnew)
		if i > 0 {
			require.Equal(t, lane.Prefetch, lane.Executor.Parallelism(), "or some would wait one after the other")
		}
		held += lane.Prefetch
		if i == len(lanes)-1 {
			require.Zero(t, lane.MoveFrom)
			require.Empty(t, lane.MoveTo)
			continue
		}
		require.Equal(t, queues[i+1].Name, lane.MoveTo)
		require.Less(t, lane.MoveFrom, queues[i].DeliveryLimit/2)
	}
	require.Equal(t, held, Held(tasks))
	require.Equal(t, tasks, lanes[0].Executor)

	last := lanes[len(lanes)-1]
	require.Equal(t, 1, last.Prefetch, "or a crash would count for more than one")
	require.Equal(t, 1, last.Executor.Parallelism())
}

func TestPrefetchIsATenthMore(t *testing.T) {
	t.Parallel()
	for parallelism, want := range map[int]int{1: 2, 10: 11, 11: 13, 1000: 1100} {
		lanes := Lanes(executor.Config{Model: executor.ModelGoroutine, Concurrency: parallelism}, time.Minute)
		require.Equal(t, want, lanes[0].Prefetch, "%d", parallelism)
	}
	for want, tasks := range map[int]executor.Config{
		22: {Model: executor.ModelPool, Pool: executor.PoolConfig{Core: 3, Max: 5, Queue: 15}},
		33: {Model: executor.ModelKeyed, Concurrency: 20, KeyQueue: 10},
		2:  {Model: executor.ModelSerial, Concurrency: 20},
	} {
		require.Equal(t, want, Lanes(tasks, time.Minute)[0].Prefetch, "what is queued has to be delivered")
	}
	largest := executor.Config{Model: executor.ModelKeyed, Concurrency: MaxOrdered}
	require.LessOrEqual(t, Lanes(largest, time.Minute)[0].Prefetch, rabbitmq.MaxChannelPrefetch, "one channel delivers in order")
	require.Zero(t, Capacity(0))
	for held := Suspects; held < 2000; held++ {
		fits := Capacity(held)
		require.LessOrEqual(t, Held(executor.Config{Model: executor.ModelGoroutine, Concurrency: fits}), held)
		require.Greater(t, Held(executor.Config{Model: executor.ModelGoroutine, Concurrency: fits + 1}), held)
	}
}

// TestMoves holds from which delivery on a task moves to the next lane instead
// of being run, and that all of it moves along.
func TestMoves(t *testing.T) {
	t.Parallel()
	const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, tt := range []struct {
		queue string
		count int64
		to    string // where it runs
	}{
		{task.QueueTasks, 2, ""},
		{task.QueueTasks, 3, task.QueueSuspect},
		{task.QueueTasks, 19, task.QueueSuspect},
		{task.QueueSuspect, 0, ""},
		{task.QueueSuspect, 1, task.QueueIsolated},
		{task.QueueIsolated, 1, ""},
		{task.QueueIsolated, 3, ""},
	} {
		t.Run(fmt.Sprintf("%s %d", tt.queue, tt.count), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, options{queue: tt.queue})
				headers := amqp.Table{
					"x-delivery-count": tt.count, "x-attempt": int64(2), "x-replay-count": int64(1), "x-request-id": "req-1",
					"traceparent": traceparent, "x-first-death-reason": "expired", "x-death": []any{amqp.Table{"reason": "expired"}},
				}
				body := taskBody(1, 0, "")
				tag := b.deliver(body, headers)
				synctest.Wait()
				b.stopAndWait(t)
				ack := fmt.Sprintf("ack %d", tag)
				if tt.to == "" {
					require.Equal(t, []string{"result t-1 completed", ack}, b.journal.all())
					return
				}
				require.Equal(t, []string{"publish t-1 to " + tt.to, ack}, b.journal.all())
				require.Zero(t, b.ran(t))
				require.Empty(t, b.publisher.results)
				m := b.publisher.sent[0]
				require.Equal(t, body, string(m.Body))
				require.Equal(t, task.MessageType, m.Type)
				require.Equal(t, map[string]any{
					"x-attempt": int64(2), "x-replay-count": int64(1), "x-request-id": "req-1", "traceparent": traceparent,
				}, m.Headers)
				require.Equal(t, 1, value(b.metrics.settlements[settlementMoved]))
				require.Contains(t, b.logged.String(), tt.to)
			})
		})
	}
}

// TestWhatHasLostItsChannelDoesNotMove has the delivery loop come to a delivery
// when its channel is gone.
func TestWhatHasLostItsChannelDoesNotMove(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, options{})
		channel, lost := context.WithCancel(t.Context())
		lost()
		b.take(channel, t.Context(), amqp.Delivery{
			Acknowledger: b.acks, DeliveryTag: 1, Headers: suspicious(), Redelivered: true, Body: []byte(taskBody(1, 0, "")),
		})
		synctest.Wait()
		require.Equal(t, []string{"requeue 1"}, b.journal.all(), "the answer fails, and says so")
		b.stopAndWait(t)
	})
}

// TestWhatIsNoTaskDoesNotMove holds that it is dead-lettered wherever it is met.
func TestWhatIsNoTaskDoesNotMove(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, options{})
		tag := b.deliver("no task", suspicious())
		synctest.Wait()
		b.stopAndWait(t)
		require.Equal(t, []string{
			"publish property-id to tasks.v1.dlq", "result property-id dead", fmt.Sprintf("ack %d", tag),
		}, b.journal.all())
	})
}

// TestMovesDoNotHoldUpTheDeliveryLoop has the broker take its time with them.
func TestMovesDoNotHoldUpTheDeliveryLoop(t *testing.T) {
	t.Parallel()
	for _, model := range executor.Models() {
		t.Run(string(model), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const moving = 20
				b := newBench(t, options{model: model, concurrency: 1})
				b.publisher.fails = func(m rabbitmq.Message) error {
					if !isResult(m) {
						sleep(5 * time.Second)
					}
					return nil
				}
				start := time.Now()
				for n := range moving {
					b.deliver(taskBody(100+n, 0, ""), suspicious())
				}
				next := b.deliver(taskBody(1, 0, ""), nil)
				synctest.Wait()
				require.Zero(t, time.Since(start))
				require.Equal(t, []string{"result t-1 completed", fmt.Sprintf("ack %d", next)}, b.journal.all())
				require.Equal(t, moving, value(b.metrics.held[causeMoving]))
				sleep(5 * time.Second)
				synctest.Wait()
				require.Equal(t, moving, value(b.metrics.settlements[settlementMoved]))
				require.Zero(t, value(b.metrics.held[causeMoving]))
				b.stopAndWait(t)
			})
		})
	}
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
