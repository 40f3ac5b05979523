package consumer

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/task"
	"github.com/twinlane/twinlane/worker/internal/executor"
)

// kind is a way for the task t-1 to end that has something published.
type kind struct {
	fail    string
	headers amqp.Table
}

func (k kind) deliver(b *bench) uint64 {
	if k.fail == "" {
		return b.deliver(taskBody(1, 0, ""), k.headers)
	}
	return b.deliver(taskBody(1, 0, `,"fail":{"kind":"`+k.fail+`"}`), k.headers)
}

func kinds() map[string]kind {
	return map[string]kind{
		"completed": {}, "retried": {fail: "transient"}, "dead": {fail: "permanent"}, "moved": {headers: suspicious()},
	}
}

// refuse has the broker refuse the task t-1, its results or its messages.
func (b *bench) refuse(results bool, err error) {
	b.publisher.fails = func(m rabbitmq.Message) error {
		if m.ID == "t-1" && isResult(m) == results {
			return err
		}
		return nil
	}
}

// TestAnUnconfirmedSettlementIsPublishedAgain has a broker that refuses for a
// while. The task runs once all the same, and its neighbours run on.
func TestAnUnconfirmedSettlementIsPublishedAgain(t *testing.T) {
	t.Parallel()
	for name, kind := range kinds() {
		refusals := 20
		if name == "completed" {
			refusals = 4 // there is less time for a result
		}
		for _, model := range executor.Models() {
			t.Run(name+", "+string(model), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t, options{model: model, concurrency: 1})
					var tries []time.Time
					var messages []rabbitmq.Message
					b.publisher.fails = func(m rabbitmq.Message) error {
						if m.ID != "t-1" || len(tries) > refusals {
							return nil
						}
						tries, messages = append(tries, time.Now()), append(messages, m)
						if len(tries) <= refusals {
							return rabbitmq.ErrNacked
						}
						return nil
					}
					tag := kind.deliver(b)
					synctest.Wait()
					require.Equal(t, []string{"publish t-1 failed"}, b.journal.all())
					require.Equal(t, 1, value(b.metrics.held[causeUnconfirmed]))

					// The only place of the executor and the delivery loop are free meanwhile.
					next := b.deliver(taskBody(2, 0, ""), nil)
					synctest.Wait()
					require.Contains(t, b.journal.all(), fmt.Sprintf("ack %d", next))

					sleep(insistAtMost)
					synctest.Wait()
					require.Len(t, tries, refusals+1)
					want := minPause
					for i, at := range tries[1:] {
						require.Equal(t, messages[0], messages[i+1], "the same settlement")
						pause := at.Sub(tries[i])
						if i > 0 || name != "completed" { // that the neighbour's result was told is worth another try
							require.GreaterOrEqual(t, pause, want/2)
						}
						require.Less(t, pause, want+want/2)
						want = min(2*want, maxPause)
					}
					require.Equal(t, fmt.Sprintf("ack %d", tag), b.journal.last())
					settled := map[settlement]int{settlement(name): 1}
					settled[settlementCompleted]++ // the neighbour
					for as, n := range settled {
						require.Equal(t, n, value(b.metrics.settlements[as]), "%s", as)
					}
					require.Equal(t, refusals, value(b.metrics.unconfirmed))
					require.Zero(t, value(b.metrics.held[causeUnconfirmed]))
					require.Zero(t, value(b.metrics.settlements[settlementRequeued]))
					require.Zero(t, value(b.metrics.resultsLost))
					b.stopAndWait(t)
				})
			})
		}
	}
}

// TestRepeatsAreSpread holds that what failed together is not repeated together.
func TestRepeatsAreSpread(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const tasks = 20
		b := newBench(t, options{concurrency: tasks})
		began := time.Now()
		var mu sync.Mutex
		var repeats []time.Duration
		b.publisher.fails = func(rabbitmq.Message) error {
			since := time.Since(began)
			if since == 0 {
				return rabbitmq.ErrUnavailable
			}
			mu.Lock()
			defer mu.Unlock()
			repeats = append(repeats, since)
			return nil
		}
		for n := range tasks {
			b.deliver(taskBody(n, 0, ""), nil)
		}
		sleep(2 * minPause)
		b.stopAndWait(t)
		require.Len(t, repeats, tasks)
		require.Greater(t, len(slices.Compact(repeats)), tasks/2)
	})
}

// TestWhatIsConfirmedIsNotPublishedAgain refuses the result of a task whose
// dead letter is confirmed: only the result is repeated.
func TestWhatIsConfirmedIsNotPublishedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, options{})
		b.refuse(true, rabbitmq.ErrUnroutable)
		tag := kinds()["dead"].deliver(b)
		sleep(10 * time.Second)
		require.NotContains(t, b.journal.all(), fmt.Sprintf("ack %d", tag))
		b.publisher.accept()
		sleep(time.Minute)
		b.stopAndWait(t)
		require.Len(t, b.publisher.sent, 1, "the dead letter once")
		require.Len(t, b.publisher.results, 1)
		require.Greater(t, len(b.journal.all()), 5)
		require.Equal(t, []string{"result t-1 dead", fmt.Sprintf("ack %d", tag)}, b.journal.all()[len(b.journal.all())-2:])
		require.Equal(t, 1, value(b.metrics.dead[task.ReasonPermanent]))
	})
}

// TestASettlementIsGivenUpInTime holds that the broker never has to wait so
// long for an answer that it closes the channel.
func TestASettlementIsGivenUpInTime(t *testing.T) {
	t.Parallel()
	for timeout, want := range map[time.Duration]time.Duration{
		time.Minute:    insistAtMost,
		MaxTaskTimeout: 90 * time.Second,
		time.Hour:      0,
	} {
		for name, kind := range kinds() {
			if name == "completed" {
				continue
			}
			t.Run(name+" "+timeout.String(), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t, options{timeout: timeout})
					b.refuse(false, rabbitmq.ErrUnavailable)
					tag := kind.deliver(b)
					requeued := fmt.Sprintf("requeue %d", tag)
					if want > 0 {
						sleep(want - time.Millisecond)
						require.NotContains(t, b.journal.all(), requeued)
					}
					sleep(2 * time.Millisecond)
					require.Contains(t, b.journal.all(), requeued)
					require.NotContains(t, b.journal.all(), fmt.Sprintf("ack %d", tag))
					require.Empty(t, b.publisher.results, "not before the dead letter")
					require.Zero(t, value(b.metrics.dead[task.ReasonPermanent]))
					require.Zero(t, value(b.metrics.resultsLost))
					b.stopAndWait(t)
				})
			})
		}
	}
}

// TestAStopRequeuesAnUnconfirmedSettlementAtOnce holds as well for a task of
// which only the result is missing: the next worker can still publish one.
func TestAStopRequeuesAnUnconfirmedSettlementAtOnce(t *testing.T) {
	t.Parallel()
	for name, kind := range kinds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, options{})
				b.refuse(name == "completed", rabbitmq.ErrBlocked)
				tag := kind.deliver(b)
				sleep(resultWithin / 2)
				start := time.Now()
				b.stopAndWait(t)
				require.Zero(t, time.Since(start))
				require.Equal(t, fmt.Sprintf("requeue %d", tag), b.journal.last())
				require.Zero(t, value(b.metrics.resultsLost))
			})
		})
	}
}

// TestADeliveryWhoseChannelIsGoneIsLetGo holds that nothing is done any more
// about what the broker has back: it is not run, and not settled.
func TestADeliveryWhoseChannelIsGoneIsLetGo(t *testing.T) {
	t.Parallel()
	for name, kind := range kinds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, options{})
				b.publisher.fails = func(rabbitmq.Message) error { return rabbitmq.ErrUnavailable }
				kind.deliver(b)
				synctest.Wait()
				b.acks.err = amqp.ErrClosed
				b.source.lose <- struct{}{}
				synctest.Wait()
				require.Equal(t, 1, value(b.metrics.ackErrors[settlementRequeued]))
				require.Zero(t, value(b.metrics.resultsLost))

				b.acks.err = nil
				b.publisher.accept()
				again := kind.deliver(b)
				sleep(insistAtMost)
				synctest.Wait()
				require.Equal(t, fmt.Sprintf("ack %d", again), b.journal.last())
				published := len(b.publisher.sent) + len(b.publisher.results)
				require.Equal(t, 1, min(published, 1))
				require.LessOrEqual(t, published, 2, "of the first delivery nothing more")
				b.stopAndWait(t)
			})
		})
	}
}

func TestAnyErrorOfAPublishCounts(t *testing.T) {
	t.Parallel()
	for _, err := range []error{
		rabbitmq.ErrUnavailable, rabbitmq.ErrBlocked, rabbitmq.ErrSaturated, rabbitmq.ErrUnroutable,
		rabbitmq.ErrNacked, rabbitmq.ErrOutcomeUnknown, errors.New("any other"),
	} {
		for name, kind := range kinds() {
			t.Run(name+" "+err.Error(), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t, options{})
					b.publisher.fails = func(rabbitmq.Message) error { return err }
					tag := kind.deliver(b)
					synctest.Wait()
					b.stopAndWait(t)
					require.Equal(t, []string{"publish t-1 failed", fmt.Sprintf("requeue %d", tag)}, b.journal.all())
				})
			})
		}
	}
}
