package consumer

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/rabbitmq/rabbittest"
	"github.com/twinlane/twinlane/internal/task"
	"github.com/twinlane/twinlane/worker/internal/brokertest"
)

// patientlyWaiting is long enough for everything that fails to have come to
// pauses of many seconds, and short enough for no result to be given up.
const patientlyWaiting = 35 * time.Second

// waiting are settlements of one kind that a broker has refused until now.
func waiting(t *testing.T, b *bench, settlements int, fail string) {
	t.Helper()
	b.publisher.fails = func(rabbitmq.Message) error { return rabbitmq.ErrBlocked }
	for n := range settlements {
		b.deliver(taskBody(n, 0, fail), nil)
	}
	sleep(patientlyWaiting)
	require.Equal(t, settlements, value(b.metrics.held[causeUnconfirmed]))
}

// TestARecoveryEndsThePauses has many settlements wait for a broker that lets
// its publishers know when it takes messages again. They are tried again soon,
// and not all at once.
func TestARecoveryEndsThePauses(t *testing.T) {
	t.Parallel()
	const many = 200
	for name, fail := range map[string]string{
		"completed": "", "retried": `,"fail":{"kind":"transient"}`, "dead": `,"fail":{"kind":"permanent"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, options{concurrency: many})
				waiting(t, b, many, fail)
				b.publisher.accept()
				through := publisher(b.settler.results)
				if name != "completed" {
					through = b.settler.tasks
				}
				through.Recovery().Raise()
				synctest.Wait()
				at := make(map[time.Time]bool)
				for before, began := 0, time.Now(); time.Since(began) < rush; sleep(time.Millisecond) {
					synctest.Wait()
					if settled := value(b.metrics.settlements[settlement(name)]); settled > before {
						before, at[time.Now()] = settled, true
					}
				}
				synctest.Wait()
				require.Equal(t, many, value(b.metrics.settlements[settlement(name)]))
				require.Greater(t, len(at), many/4, "spread over the time there is")
				b.stopAndWait(t)
			})
		})
	}
}

// TestARecoveryThatIsNone holds that who has been woken in vain waits as long as
// anybody who has failed as often.
func TestARecoveryThatIsNone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, options{})
		waiting(t, b, 1, `,"fail":{"kind":"permanent"}`)
		tries := value(b.metrics.unconfirmed)
		b.settler.tasks.Recovery().Raise()
		sleep(rush)
		synctest.Wait()
		require.Equal(t, tries+1, value(b.metrics.unconfirmed))
		sleep(maxPause/2 - rush)
		synctest.Wait()
		require.Equal(t, tries+1, value(b.metrics.unconfirmed))
		b.stopAndWait(t)
	})
}

// TestARecoveryAmidATryCounts raises it while a try is under way that fails all
// the same.
func TestARecoveryAmidATryCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, options{})
		waiting(t, b, 1, `,"fail":{"kind":"transient"}`)
		trying := make(chan struct{})
		b.publisher.failWith(func(rabbitmq.Message) error {
			close(trying)
			sleep(time.Second)
			return rabbitmq.ErrOutcomeUnknown
		})
		<-trying
		b.publisher.accept()
		b.settler.tasks.Recovery().Raise()
		sleep(time.Second + rush)
		synctest.Wait()
		require.Equal(t, 1, value(b.metrics.settlements[settlementRetried]))
		b.stopAndWait(t)
	})
}

// TestOneResultThatIsToldEndsThePauses has results fail in many lanes and ways,
// and the next one be confirmed: those that wait are told with it.
func TestOneResultThatIsToldEndsThePauses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const many = 50
		b := newBench(t, options{concurrency: 2 * many})
		isolated := newBench(t, options{queue: task.QueueIsolated, sharing: b})
		b.refuseResults(rabbitmq.ErrOutcomeUnknown)
		for n := range many {
			b.deliver(taskBody(n, 0, ""), nil)
			b.deliver(taskBody(many+n, 0, `,"fail":{"kind":"permanent"}`), nil)
		}
		isolated.deliver(taskBody(2*many, 0, ""), nil)
		sleep(patientlyWaiting)
		b.publisher.accept()
		next := isolated.deliver(taskBody(2*many+1, 0, ""), nil)
		sleep(rush)
		synctest.Wait()
		require.Contains(t, isolated.journal.all(), fmt.Sprintf("ack %d", next))
		require.Equal(t, many, value(b.metrics.settlements[settlementCompleted]))
		require.Equal(t, many, value(b.metrics.settlements[settlementDead]))
		require.Equal(t, 2, value(isolated.metrics.settlements[settlementCompleted]))
		require.Len(t, b.publisher.sent, many, "each dead letter once")
		require.Zero(t, value(b.metrics.resultsLost))
		b.stopAndWait(t)
		isolated.stopAndWait(t)
	})
}

// TestPausesForResultsEndWhenTheyAreLost has the first of many that wait give
// its result up: nobody waits for theirs any longer.
func TestPausesForResultsEndWhenTheyAreLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const many = 50
		b := newBench(t, options{concurrency: 1 + many})
		b.refuseResults(rabbitmq.ErrOutcomeUnknown)
		b.deliver(taskBody(many, 0, ""), nil)
		sleep(resultWithin - patientlyWaiting)
		for n := range many {
			b.deliver(taskBody(n, 0, ""), nil)
		}
		sleep(patientlyWaiting - time.Millisecond)
		synctest.Wait()
		require.Zero(t, value(b.metrics.resultsLost))
		sleep(time.Millisecond + rush)
		synctest.Wait()
		require.Equal(t, 1+many, value(b.metrics.resultsLost))
		require.Equal(t, 1+many, value(b.metrics.settlements[settlementCompleted]))
		b.stopAndWait(t)
	})
}

// TestAFullQueueIsNotRushed has the DLQ refuse while everything else goes on:
// what others get confirmed says nothing about it.
func TestAFullQueueIsNotRushed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const many = 20
		b := newBench(t, options{concurrency: many + 1})
		b.publisher.fails = func(m rabbitmq.Message) error {
			if m.RoutingKey == task.QueueDeadLetter {
				return rabbitmq.ErrNacked
			}
			return nil
		}
		for n := range many {
			b.deliver(taskBody(n, 0, `,"fail":{"kind":"permanent"}`), nil)
		}
		for n := range 300 {
			b.deliver(taskBody(many+n, 0, ""), nil)
			b.deliver(taskBody(many+300+n, 0, `,"fail":{"kind":"transient"}`), nil)
			sleep(100 * time.Millisecond)
		}
		require.Equal(t, 300, value(b.metrics.settlements[settlementRetried]))
		require.LessOrEqual(t, value(b.metrics.unconfirmed), 6*many)
		b.stopAndWait(t)
	})
}

// TestAnAlarmThatIsOver has tasks end, well or not, while a real broker blocks its
// publishers. All are settled soon after, although their pauses are long by then.
func TestAnAlarmThatIsOver(t *testing.T) {
	t.Parallel()
	for as, prefix := range map[settlement]string{settlementCompleted: "t-", settlementDead: refused} {
		t.Run(string(as), func(t *testing.T) {
			t.Parallel()
			const (
				tasks = 20
				// soon is the least that is left of the longest of so many pauses.
				soon = 8 * time.Second
			)
			node := rabbittest.Start(t)
			w := newWorld(t, brokertest.NewVHost(t, node))
			for n := range tasks {
				w.put(t, amqp.Publishing{Body: []byte(httpTask(fmt.Sprintf("%s%d", prefix, n), forEver, ""))})
			}
			worker := w.startWorker(t, tasks, 2*brokertest.Patience)
			require.Eventually(t, func() bool { return value(worker.metrics.first) == tasks }, brokertest.Patience, brokertest.Interval)
			require.NoError(t, node.SetMemoryAlarm(t.Context(), true))
			close(w.release)
			require.Eventually(t, func() bool { return value(worker.metrics.unconfirmed) >= 5*tasks }, brokertest.Patience, brokertest.Interval)
			require.Zero(t, value(worker.metrics.settlements[as]))

			require.NoError(t, node.SetMemoryAlarm(t.Context(), false))
			require.Eventually(t, func() bool { return value(worker.metrics.settlements[as]) == tasks }, soon, brokertest.Interval)
			require.Zero(t, value(worker.metrics.resultsLost))
			worker.stop()
			require.Zero(t, w.depth(t, task.QueueTasks))
		})
	}
}
