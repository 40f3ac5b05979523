package consumer

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/task"
	"github.com/twinlane/twinlane/worker/internal/executor"
)

// small is a pool that runs one task and queues one.
func small(policy executor.Policy) options {
	return options{model: executor.ModelPool, pool: executor.PoolConfig{Core: 1, Max: 1, Queue: 1, Policy: policy}}
}

// fill has a pool of that size run t-1 for ten seconds, and queue t-2.
func fill(b *bench) {
	b.deliver(taskBody(1, 10*time.Second, ""), nil)
	b.deliver(taskBody(2, 0, ""), nil)
	synctest.Wait()
}

// TestEveryPolicySettles holds what becomes of the third task of a pool that
// takes two, and of the others.
func TestEveryPolicySettles(t *testing.T) {
	t.Parallel()
	for policy, tt := range map[executor.Policy]struct {
		atOnce  []string // when the third one is there
		after   []string // when the first one is done
		settled settlement
		times   int
	}{
		executor.Abort: {
			[]string{"publish t-3 to tasks.v1.retry.1s", "ack 3"},
			[]string{"result t-1 completed", "ack 1", "result t-2 completed", "ack 2"},
			settlementRefused, 1,
		},
		executor.Discard: {
			[]string{"result t-3 discarded", "ack 3"},
			[]string{"result t-1 completed", "ack 1", "result t-2 completed", "ack 2"},
			settlementDiscarded, 1,
		},
		executor.DiscardOldest: {
			[]string{"result t-2 discarded", "ack 2"},
			[]string{"result t-1 completed", "ack 1", "result t-3 completed", "ack 3"},
			settlementDiscarded, 1,
		},
		executor.CallerRuns: {
			[]string{"result t-3 completed", "ack 3"},
			[]string{"result t-1 completed", "ack 1", "result t-2 completed", "ack 2"},
			settlementCompleted, 3,
		},
		executor.Block: {
			nil,
			[]string{"result t-1 completed", "ack 1", "result t-2 completed", "ack 2", "result t-3 completed", "ack 3"},
			settlementCompleted, 3,
		},
	} {
		t.Run(string(policy), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, small(policy))
				fill(b)
				b.deliver(taskBody(3, 0, ""), nil)
				sleep(time.Second) // more than the pause before a refusal
				synctest.Wait()
				require.Equal(t, tt.atOnce, b.journal.all())
				require.Zero(t, value(b.metrics.held[causeSaturated]))
				sleep(11 * time.Second)
				synctest.Wait()
				require.Equal(t, append(tt.atOnce, tt.after...), b.journal.all())
				require.Equal(t, tt.times, value(b.metrics.settlements[tt.settled]))
				b.stopAndWait(t)
			})
		})
	}
}

// TestADiscardedTaskIsToldOf holds what its result says.
func TestADiscardedTaskIsToldOf(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, small(executor.Discard))
		fill(b)
		b.deliver(taskBody(3, 0, `,"run":"r-1"`), amqp.Table{"x-attempt": int64(2)})
		synctest.Wait()
		told := b.publisher.told()
		require.Len(t, told, 1)
		now := time.Now().UTC()
		require.Equal(t, task.Result{
			ID: "t-3", Run: "r-1", Status: task.StatusDiscarded, Attempt: 2, Error: "dropped by a full worker",
			AcceptedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), StartedAt: now, FinishedAt: now,
		}, told[0])
		require.Equal(t, 1, value(b.metrics.results[task.StatusDiscarded]))
		require.Contains(t, b.logged.String(), "task discarded")
		b.stopAndWait(t)
	})
}

// TestRefusalsBackOff holds that a refused task comes back ever later, that its
// attempt is what it was, however often that happens, and that an attempt that
// is made begins with no refusals.
func TestRefusalsBackOff(t *testing.T) {
	t.Parallel()
	for refusals, want := range map[int64]string{0: "1s", 1: "5s", 2: "30s", 3: "30s", 1000: "30s"} {
		t.Run(fmt.Sprint(refusals), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, small(executor.Abort))
				fill(b)
				headers := amqp.Table{"x-attempt": int64(4)} // the last one
				if refusals > 0 {
					headers["x-refusals"] = refusals
				}
				body := taskBody(3, 0, `,"fail":{"kind":"transient"}`)
				b.deliver(body, headers)
				synctest.Wait()
				require.Empty(t, b.journal.all(), "a full worker is slow to refuse")
				require.Equal(t, 1, value(b.metrics.held[causeSaturated]))
				sleep(time.Second)
				synctest.Wait()
				require.Equal(t, []string{"publish t-3 to tasks.v1.retry." + want, "ack 3"}, b.journal.all())
				m := b.publisher.sent[0]
				require.Equal(t, body, string(m.Body))
				require.Equal(t, map[string]any{"x-attempt": int64(4), "x-refusals": refusals + 1}, m.Headers)
				require.Equal(t, 1, value(b.metrics.retries[m.RoutingKey]))

				sleep(11 * time.Second)
				b.deliver(taskBody(4, 0, `,"fail":{"kind":"transient"}`), amqp.Table{"x-refusals": refusals})
				synctest.Wait()
				require.Equal(t, map[string]any{"x-attempt": int64(2)}, b.publisher.sent[1].Headers)
				b.stopAndWait(t)
			})
		})
	}
}

// TestWhatIsNoTaskIsNeverDropped holds that it is dead-lettered where there is
// no room for it either.
func TestWhatIsNoTaskIsNeverDropped(t *testing.T) {
	t.Parallel()
	for _, policy := range []executor.Policy{executor.Abort, executor.Discard} {
		t.Run(string(policy), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, small(policy))
				fill(b)
				b.deliver("no task", nil)
				sleep(time.Second)
				synctest.Wait()
				require.Equal(t, []string{"publish property-id to tasks.v1.dlq", "result property-id dead", "ack 3"}, b.journal.all())
				b.stopAndWait(t)
			})
		})
	}
}

// queueing are executors that hold one task back behind another one.
func queueing() map[string]options {
	return map[string]options{
		"pool":  small(executor.Block),
		"keyed": {model: executor.ModelKeyed, concurrency: 1, keyQueue: 1},
	}
}

// TestQueuedTasksAreGivenBackOnAStop holds that they do not wait for those that
// run, and do not run.
func TestQueuedTasksAreGivenBackOnAStop(t *testing.T) {
	t.Parallel()
	for name, o := range queueing() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, o)
				b.deliver(taskBody(1, 5*time.Second, ""), nil)
				b.deliver(taskBody(2, 0, ""), nil)
				b.deliver(taskBody(3, 0, ""), nil) // blocks the loop
				synctest.Wait()
				b.stop()
				synctest.Wait()
				require.ElementsMatch(t, []string{"requeue 2", "requeue 3"}, b.journal.all())
				require.NoError(t, <-b.done)
				require.Equal(t, []string{"result t-1 completed", "ack 1"}, b.journal.all()[2:])
				require.Equal(t, 1, b.ran(t))
			})
		})
	}
}

// TestRefusedTasksAreGivenBackOnAStop holds that a stop does not wait for them.
func TestRefusedTasksAreGivenBackOnAStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, small(executor.Abort))
		fill(b)
		b.deliver(taskBody(3, 0, ""), nil)
		b.stop()
		synctest.Wait()
		require.ElementsMatch(t, []string{"requeue 2", "requeue 3"}, b.journal.all())
		require.NoError(t, <-b.done)
	})
}

// TestQueuedTasksOfALostChannelDoNotRun has the broker deliver them again: what
// runs then is the second delivery alone.
func TestQueuedTasksOfALostChannelDoNotRun(t *testing.T) {
	t.Parallel()
	for name, o := range queueing() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, o)
				b.deliver(taskBody(1, 5*time.Second, ""), nil)
				b.deliver(taskBody(2, 0, ""), nil)
				synctest.Wait()
				b.source.lose <- struct{}{}
				synctest.Wait()
				require.Equal(t, []string{"requeue 2"}, b.journal.all(), "the answer fails, and says so")
				sleep(6 * time.Second)
				synctest.Wait()
				require.Equal(t, 1, b.ran(t))
				b.deliver(taskBody(2, 0, ""), amqp.Table{"x-delivery-count": int64(1)})
				synctest.Wait()
				require.Equal(t, 2, b.ran(t))
				b.stopAndWait(t)
			})
		})
	}
}

// TestATaskDoesNotWaitForEver has one wait in the queue, and another one for the
// queue, for longer than the broker's patience would allow.
func TestATaskDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	for name, o := range queueing() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				o.timeout = MaxTaskTimeout
				b := newBench(t, o)
				b.deliver(hanging(1), nil)
				b.deliver(taskBody(2, 0, ""), nil)
				b.deliver(taskBody(3, 0, ""), nil) // blocks the loop
				sleep(waitFor(o.timeout) - time.Second)
				synctest.Wait()
				require.Empty(t, b.journal.all())
				sleep(2 * time.Second)
				synctest.Wait()
				require.ElementsMatch(t, []string{"publish t-2 to tasks.v1", "ack 2", "publish t-3 to tasks.v1", "ack 3"}, b.journal.all())
				require.Equal(t, 2, value(b.metrics.settlements[settlementReturned]))
				sleep(MaxTaskTimeout)
				b.deliver(taskBody(4, 0, ""), nil)
				synctest.Wait()
				require.Equal(t, 2, b.ran(t), "the one that hung, and the last one")
				b.stopAndWait(t)
			})
		})
	}
}

// TestKeyedRunsInOrder delivers tasks of two keys and of none.
func TestKeyedRunsInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, options{model: executor.ModelKeyed, concurrency: 3, keyQueue: 10})
		for n, key := range []string{"a", "a", "b", "a"} {
			b.deliver(taskBody(n+1, time.Duration(4-n)*time.Second, `,"key":"`+key+`"`), nil)
		}
		b.deliver(taskBody(5, 500*time.Millisecond, ""), nil)
		b.deliver("no task", nil) // has no key
		sleep(time.Minute)
		b.stopAndWait(t)
		var order []string
		for _, entry := range b.journal.all() {
			if result, ok := strings.CutPrefix(entry, "result "); ok {
				order = append(order, strings.Fields(result)[0])
			}
		}
		require.Equal(t, []string{"t-5", "property-id", "t-3", "t-1", "t-2", "t-4"}, order)
	})
}

// TestABlockedDeliveryLoopIsReported has one run a task of four seconds itself.
func TestABlockedDeliveryLoopIsReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, options{model: executor.ModelSerial, watched: true})
		b.deliver(taskBody(1, time.Second, ""), nil)
		b.deliver(taskBody(2, time.Second, ""), nil)
		b.deliver(taskBody(3, 0, ""), nil)
		sleep(10 * time.Second)
		require.NotContains(t, b.logged.String(), "blocked", "what has nothing to do is not")
		b.deliver(taskBody(4, 4200*time.Millisecond, ""), nil)
		sleep(5 * time.Second)
		log := b.logged.String()
		require.Equal(t, 2, strings.Count(log, `"msg":"loop is blocked","component":"watchdog","loop":"tasks.v1"`), log)
		require.Contains(t, log, "consumer.(*Consumer).process", "the stack of the loop")
		b.source.lose <- struct{}{} // the next channel has a loop of its own
		b.deliver(taskBody(5, 2700*time.Millisecond, ""), nil)
		sleep(3 * time.Second)
		require.Equal(t, 3, strings.Count(b.logged.String(), "loop is blocked"))
		b.stopAndWait(t)
		synctest.Wait()
		require.Empty(t, b.loops)
	})
}

// TestQueuedTasksWaitForAnIsolatedOne has the worker pause for one: those that
// run end, those that are queued do not begin.
func TestQueuedTasksWaitForAnIsolatedOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lanes := Lanes(executor.Config{Model: executor.ModelPool, Pool: executor.PoolConfig{Core: 1, Max: 1, Queue: 2, Policy: executor.Block}}, time.Minute)
		tasks := newBench(t, options{lanes: lanes})
		isolated := newBench(t, options{lanes: lanes, queue: task.QueueIsolated})
		tasks.deliver(taskBody(1, 2*time.Second, ""), nil)
		tasks.deliver(taskBody(2, 0, ""), nil)
		synctest.Wait()
		isolated.deliver(taskBody(3, 3*time.Second, ""), suspicious())
		sleep(4 * time.Second)
		synctest.Wait()
		require.Equal(t, []string{"result t-1 completed", "ack 1"}, tasks.journal.all())
		sleep(2 * time.Second)
		synctest.Wait()
		require.Contains(t, isolated.journal.all(), "result t-3 completed")
		require.Contains(t, tasks.journal.all(), "result t-2 completed")
		isolated.stopAndWait(t)
		tasks.stopAndWait(t)
	})
}
