package consumer

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/service"
	"github.com/twinlane/twinlane/internal/service/servicetest"
	"github.com/twinlane/twinlane/internal/task"
	"github.com/twinlane/twinlane/worker/internal/executor"
)

const (
	lineLost = `"level":"ERROR","msg":"results are being lost, their tasks are settled without them"`
	lineTold = `"level":"INFO","msg":"results are told again"`
)

// refuseResults has the broker refuse all results and nothing else.
func (b *bench) refuseResults(err error) {
	b.publisher.failWith(func(m rabbitmq.Message) error {
		if isResult(m) {
			return err
		}
		return nil
	})
}

// loseResults brings a worker to where results are lost.
func (b *bench) loseResults(t *testing.T) {
	t.Helper()
	b.refuseResults(rabbitmq.ErrOutcomeUnknown)
	b.deliver(taskBody(1, 0, ""), nil)
	sleep(resultWithin)
	synctest.Wait()
	require.True(t, b.settler.results.areLost())
}

// TestAResultIsGivenUpInTime holds that work which is done is not done again
// for want of its result: nor is a task dead-lettered twice.
func TestAResultIsGivenUpInTime(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"completed", "dead"} {
		for _, why := range []error{rabbitmq.ErrUnroutable, rabbitmq.ErrOutcomeUnknown, rabbitmq.ErrUnavailable} {
			t.Run(name+", "+why.Error(), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t, options{})
					b.refuse(true, why)
					tag := kinds()[name].deliver(b)
					sleep(resultWithin - time.Millisecond)
					require.NotContains(t, b.journal.all(), fmt.Sprintf("ack %d", tag))
					require.Zero(t, value(b.metrics.resultsLost))
					require.NotContains(t, b.logged.String(), lineLost)
					sleep(2 * time.Millisecond)
					require.Equal(t, fmt.Sprintf("ack %d", tag), b.journal.last())
					require.Equal(t, 1, value(b.metrics.resultsLost))
					require.Equal(t, 1, value(b.metrics.settlements[settlement(name)]))
					require.Zero(t, value(b.metrics.results[task.Status(name)]))
					require.Contains(t, b.logged.String(), lineLost)
					require.Contains(t, b.logged.String(), why.Error())
					b.stopAndWait(t)
				})
			})
		}
	}
}

// TestAResultHasItsMinuteAfterTheDeadLetter refuses the dead letter for longer
// than a result is insisted on, and then the result.
func TestAResultHasItsMinuteAfterTheDeadLetter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, options{})
		b.publisher.fails = func(rabbitmq.Message) error { return rabbitmq.ErrNacked }
		tag := kinds()["dead"].deliver(b)
		sleep(5 * resultWithin)
		require.Zero(t, value(b.metrics.resultsLost))
		b.refuseResults(rabbitmq.ErrNacked)
		const buried = "publish t-1 to tasks.v1.dlq"
		for began := time.Now(); !slices.Contains(b.journal.all(), buried) && time.Since(began) < 2*maxPause; {
			sleep(time.Millisecond)
		}
		require.Contains(t, b.journal.all(), buried)
		sleep(resultWithin - time.Second)
		require.NotContains(t, b.journal.all(), fmt.Sprintf("ack %d", tag))
		sleep(2 * time.Second)
		require.Equal(t, fmt.Sprintf("ack %d", tag), b.journal.last())
		require.Equal(t, 1, value(b.metrics.resultsLost))
		b.stopAndWait(t)
	})
}

// TestWhileResultsAreLost holds that no task waits for its result any more, in
// any lane and with any model: not even while a publish of one hangs. Dead
// letters and retries go on, and the log says so once.
func TestWhileResultsAreLost(t *testing.T) {
	t.Parallel()
	for _, model := range executor.Models() {
		t.Run(string(model), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const tasks, hangs = 50, 5 * time.Second
				b := newBench(t, options{model: model, concurrency: 1})
				isolated := newBench(t, options{queue: task.QueueIsolated, sharing: b})
				b.loseResults(t)
				trials := 0
				b.publisher.fails = func(m rabbitmq.Message) error {
					if !isResult(m) {
						return nil
					}
					trials++
					sleep(hangs)
					return rabbitmq.ErrOutcomeUnknown
				}
				start := time.Now()
				tried := b.deliver(taskBody(2, 0, ""), nil)
				synctest.Wait()
				for n := range tasks {
					b.deliver(taskBody(10+n, 0, ""), nil)
				}
				b.deliver(taskBody(3, 0, `,"fail":{"kind":"permanent"}`), nil)
				b.deliver(taskBody(4, 0, `,"fail":{"kind":"transient"}`), nil)
				isolated.deliver(taskBody(5, 0, ""), nil)
				synctest.Wait()
				require.Zero(t, time.Since(start), "nobody waits")
				require.Equal(t, 1, trials, "one at a time")
				require.Equal(t, 1+tasks, value(b.metrics.settlements[settlementCompleted]))
				require.Equal(t, 1, value(b.metrics.settlements[settlementDead]))
				require.Equal(t, 1, value(b.metrics.settlements[settlementRetried]))
				require.Equal(t, 1, value(isolated.metrics.settlements[settlementCompleted]))
				require.Equal(t, 1+tasks+1, value(b.metrics.resultsLost))
				require.Equal(t, 1, value(isolated.metrics.resultsLost))
				unconfirmed := value(b.metrics.unconfirmed)

				require.NotContains(t, b.journal.all(), fmt.Sprintf("ack %d", tried), "it is the one that is tried")
				sleep(hangs)
				synctest.Wait()
				require.Equal(t, fmt.Sprintf("ack %d", tried), b.journal.last(), "and not insisted on")
				require.Equal(t, unconfirmed+1, value(b.metrics.unconfirmed), "what is not published counts as no publish")
				require.Equal(t, 1, strings.Count(b.logged.String(), lineLost))
				require.Equal(t, 1, strings.Count(b.logged.String(), "trying again"), "of the first, before")
				require.NotContains(t, b.logged.String(), `"task_id":"t-2"`)
				require.Zero(t, value(b.metrics.held[causeUnconfirmed]))
				b.stopAndWait(t)
				isolated.stopAndWait(t)
			})
		})
	}
}

// TestResultsAreToldAgain has the broker confirm again, fail once more, and
// confirm again: each change is one line in the log.
func TestResultsAreToldAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, options{})
		for n := range 2 {
			b.loseResults(t)
			b.publisher.accept()
			for range 3 {
				b.deliver(taskBody(2, 0, ""), nil)
				synctest.Wait()
			}
			require.False(t, b.settler.results.areLost())
			require.Equal(t, n+1, strings.Count(b.logged.String(), lineLost))
			require.Equal(t, n+1, strings.Count(b.logged.String(), lineTold))
			require.Equal(t, n+1, value(b.metrics.resultsLost))
			require.Equal(t, 3*(n+1), value(b.metrics.results[task.StatusCompleted]))
		}
		// A failure is worth insisting on again.
		b.refuseResults(rabbitmq.ErrNacked)
		tag := b.deliver(taskBody(3, 0, ""), nil)
		sleep(resultWithin / 6)
		b.publisher.accept()
		sleep(resultWithin)
		synctest.Wait()
		require.Equal(t, fmt.Sprintf("ack %d", tag), b.journal.last())
		require.Equal(t, 2, value(b.metrics.resultsLost))
		b.stopAndWait(t)
	})
}

// TestInsistingEndsWhenResultsAreLost has two tasks wait for their results: once
// the first is given up, so is the second, at its next failure.
func TestInsistingEndsWhenResultsAreLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, options{})
		b.refuseResults(rabbitmq.ErrUnavailable)
		b.deliver(taskBody(1, 0, ""), nil)
		sleep(resultWithin - minPause/10)
		second := b.deliver(taskBody(2, 0, ""), nil)
		synctest.Wait()
		require.NotContains(t, b.journal.all(), fmt.Sprintf("ack %d", second))
		sleep(2 * minPause)
		require.Equal(t, fmt.Sprintf("ack %d", second), b.journal.last())
		require.Equal(t, 2, value(b.metrics.resultsLost))
		require.Equal(t, 1, strings.Count(b.logged.String(), lineLost))
		b.stopAndWait(t)
	})
}

// TestAPanicWhileResultsAreLost holds that the next result is tried all the same.
func TestAPanicWhileResultsAreLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, options{})
		b.loseResults(t)
		b.publisher.fails = func(rabbitmq.Message) error { panic("an error of ours") }
		tag := b.deliver(taskBody(2, 0, ""), nil)
		synctest.Wait()
		require.Equal(t, fmt.Sprintf("ack %d", tag), b.journal.last())
		b.publisher.accept()
		b.deliver(taskBody(3, 0, ""), nil)
		synctest.Wait()
		require.False(t, b.settler.results.areLost())
		b.stopAndWait(t)
	})
}

// TestResultsSayWhatTheirPublisherSays holds that only those that were given up
// turn a failure into another one.
func TestResultsSayWhatTheirPublisherSays(t *testing.T) {
	t.Parallel()
	refused := errors.New("refused")
	pub := &fakePublisher{journal: &journal{}, fails: func(rabbitmq.Message) error { return refused }}
	var logged servicetest.Log
	r := NewResults(oneKind{pub, t, false, &service.Signal{}}, slog.New(slog.NewJSONHandler(&logged, nil)))
	require.Equal(t, refused, r.Publish(t.Context(), rabbitmq.Message{}))
	require.False(t, r.areLost())
	r.giveUp(refused)
	r.giveUp(refused)
	require.Equal(t, refused, r.Publish(t.Context(), rabbitmq.Message{}), "tried")
	r.trying.Store(true)
	require.Equal(t, errResultsLost, r.Publish(t.Context(), rabbitmq.Message{}), "another one is")
	require.Equal(t, 1, strings.Count(logged.String(), "\n"))
}
