package consumer

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/task"
	"github.com/twinlane/twinlane/worker/internal/executor"
)

// TestTable holds every row of the table in settle.go, for every execution
// model: what is published where, and that the ack comes after it.
func TestTable(t *testing.T) {
	t.Parallel()
	const (
		retry1  = "tasks.v1.retry.1s"
		retry5  = "tasks.v1.retry.5s"
		retry30 = "tasks.v1.retry.30s"
	)
	fail := func(kind string) string { return taskBody(1, 0, `,"fail":{"kind":"`+kind+`"}`) }
	tests := map[string]struct {
		body    string
		headers amqp.Table
		queue   string // that it is published to
		attempt int64  // in the published headers
		reason  task.Reason
		err     string
	}{
		"completed":              {body: taskBody(1, time.Second, "")},
		"transient, attempt 1":   {body: fail("transient"), queue: retry1, attempt: 2},
		"transient, attempt 2":   {body: fail("transient"), headers: amqp.Table{"x-attempt": int64(2)}, queue: retry5, attempt: 3},
		"transient, attempt 3":   {body: fail("transient"), headers: amqp.Table{"x-attempt": int32(3)}, queue: retry30, attempt: 4},
		"exhausted":              {body: fail("transient"), headers: amqp.Table{"x-attempt": int64(4)}, attempt: 4, reason: task.ReasonExhausted, err: "injected transient failure of attempt 4"},
		"timeout":                {body: fail("hang"), queue: retry1, attempt: 2},
		"timeout, exhausted":     {body: fail("hang"), headers: amqp.Table{"x-attempt": int64(4)}, attempt: 4, reason: task.ReasonExhausted, err: "no result within 1m0s: context deadline exceeded"},
		"permanent":              {body: fail("permanent"), attempt: 1, reason: task.ReasonPermanent, err: "injected permanent failure"},
		"panic":                  {body: fail("panic"), attempt: 1, reason: task.ReasonPanic, err: "panic: injected panic"},
		"undecodable body":       {body: "{", attempt: 1, reason: task.ReasonUndecodable, err: "undecodable: malformed JSON: unexpected end of input"},
		"undecodable header":     {body: taskBody(1, 0, ""), headers: amqp.Table{"x-attempt": "two"}, attempt: 1, reason: task.ReasonUndecodable, err: "undecodable: header x-attempt: two is not allowed; allowed: a whole number from 1 to 1000000"},
		"too large":              {body: strings.Repeat(" ", task.MaxMessageBytes+1), attempt: 1, reason: task.ReasonUndecodable, err: "undecodable: body: 266241 bytes is not allowed; allowed: at most 266240 bytes"},
		"not UTF-8":              {body: "{\"id\":\"\xff\"}", attempt: 1, reason: task.ReasonUndecodable, err: "undecodable: malformed JSON: not valid UTF-8"},
		"died before, completed": {body: taskBody(1, 0, ""), headers: amqp.Table{"x-dlq-reason": "permanent"}},
	}
	for name, tt := range tests {
		for _, model := range executor.Models() {
			t.Run(name+", "+string(model), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t, options{model: model})
					start := time.Now()
					tag := b.deliver(tt.body, tt.headers)
					sleep(2 * time.Minute)
					b.stopAndWait(t)

					ack := fmt.Sprintf("ack %d", tag)
					if tt.queue == "" && tt.reason == "" {
						require.Equal(t, []string{ack}, b.journal.all())
						require.Equal(t, 1, value(b.metrics.settlements[settlementCompleted]))
						return
					}
					require.Len(t, b.publisher.sent, 1)
					m := b.publisher.sent[0]
					require.Len(t, b.journal.all(), 2)
					require.True(t, strings.HasPrefix(b.journal.all()[0], "publish "+m.ID), "published before the ack")
					require.Equal(t, ack, b.journal.all()[1])
					require.Equal(t, tt.body, string(m.Body), "byte for byte")
					require.Equal(t, tt.attempt, m.Headers[task.HeaderAttempt])
					require.NoError(t, task.CheckHeaders(m.Headers))
					if tt.queue != "" {
						require.Empty(t, m.Exchange)
						require.Equal(t, tt.queue, m.RoutingKey)
						require.Equal(t, "t-1", m.ID)
						require.NotContains(t, m.Headers, task.HeaderDeadReason)
						require.Equal(t, 1, value(b.metrics.settlements[settlementRetried]))
						require.Equal(t, 1, value(b.metrics.retries[tt.queue]))
						require.NotContains(t, b.logged.String(), "t-1", "a retry is no news")
						return
					}
					require.Equal(t, task.ExchangeDead, m.Exchange)
					require.Equal(t, string(tt.reason), m.Headers[task.HeaderDeadReason])
					require.Equal(t, tt.err, m.Headers[task.HeaderDeadError])
					died, err := time.Parse(time.RFC3339Nano, fmt.Sprint(m.Headers[task.HeaderDeadAt]))
					require.NoError(t, err)
					require.WithinRange(t, died, start, time.Now())
					require.Equal(t, 1, value(b.metrics.settlements[settlementDead]))
					require.Equal(t, 1, value(b.metrics.dead[tt.reason]))
					require.Equal(t, 1, strings.Count(b.logged.String(), m.ID), "a failure is logged once")
					require.Equal(t, tt.reason == task.ReasonPanic, strings.Contains(b.logged.String(), "fault.go"), "with the stack of a panic")
				})
			})
		}
	}
}

func TestHeadersTravelOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
		b := newBench(t, options{})
		b.deliver(taskBody(1, 0, `,"fail":{"kind":"transient"}`), amqp.Table{
			"traceparent": traceparent, "tracestate": "a=b", "x-request-id": "req-1", "x-replay-count": int64(2),
			"x-foreign": strings.Repeat("x", 100_000), "x-death": []any{amqp.Table{"reason": "expired"}},
			"x-dlq-reason": "permanent", "x-dlq-error": "of an earlier life",
		})
		synctest.Wait()
		b.stopAndWait(t)
		require.Len(t, b.publisher.sent, 1)
		require.Equal(t, map[string]any{
			"traceparent": traceparent, "tracestate": "a=b", "x-request-id": "req-1",
			"x-replay-count": int64(2), "x-attempt": int64(2),
		}, b.publisher.sent[0].Headers)
	})
}

// TestIDOfAMessageThatIsNoTask says under which id it is found in the DLQ.
func TestIDOfAMessageThatIsNoTask(t *testing.T) {
	t.Parallel()
	valid := taskBody(1, 0, "")
	own, err := receive(amqp.Delivery{MessageId: "mine", Body: []byte("{")})
	require.Error(t, err)
	require.Equal(t, "mine", own.id)

	fromBody, err := receive(amqp.Delivery{MessageId: "mine", Body: []byte(valid), Headers: amqp.Table{"x-attempt": "two"}})
	require.Error(t, err)
	require.Equal(t, "t-1", fromBody.id)

	for _, foreign := range []string{"", "with spaces", strings.Repeat("x", task.MaxNameLen+1)} {
		made, err := receive(amqp.Delivery{MessageId: foreign, Body: []byte("{")})
		require.Error(t, err)
		require.True(t, task.ValidName(made.id), made.id)
	}

	decoded, err := receive(amqp.Delivery{MessageId: "mine", Body: []byte(valid)})
	require.NoError(t, err)
	require.Equal(t, "t-1", decoded.id, "a task goes by the id in its body")
}

func TestAnUndecodableMessageKeepsItsTypeInTheDLQ(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, options{})
		b.deliver("hello", nil)
		b.deliver(taskBody(1, 0, `,"fail":{"kind":"permanent"}`), nil)
		synctest.Wait()
		b.stopAndWait(t)
		require.Len(t, b.publisher.sent, 2)
		for _, m := range b.publisher.sent {
			if m.ID == "t-1" {
				require.Equal(t, task.MessageType, m.Type)
				require.Equal(t, task.ContentType, m.ContentType)
			} else {
				require.Equal(t, "property-id", m.ID)
				require.Equal(t, "foreign.type", m.Type)
				require.Equal(t, "text/foreign", m.ContentType)
			}
		}
	})
}

// TestAnUnconfirmedSettlementIsPublishedAgain has a broker that refuses for a
// while. The task runs once all the same, and its neighbours run on.
func TestAnUnconfirmedSettlementIsPublishedAgain(t *testing.T) {
	t.Parallel()
	const refusals = 20
	for _, kind := range []string{"permanent", "transient"} {
		for _, model := range executor.Models() {
			t.Run(kind+", "+string(model), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t, options{model: model, concurrency: 1})
					var tries []time.Time
					var messages []rabbitmq.Message
					b.publisher.fails = func(m rabbitmq.Message) error {
						tries, messages = append(tries, time.Now()), append(messages, m)
						if len(tries) <= refusals {
							return rabbitmq.ErrNacked
						}
						return nil
					}
					failing := b.deliver(taskBody(1, 0, `,"fail":{"kind":"`+kind+`"}`), nil)
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
					last := time.Duration(0)
					for i, at := range tries[1:] {
						pause := at.Sub(tries[i])
						require.GreaterOrEqual(t, pause, max(last, minPause))
						require.LessOrEqual(t, pause, maxPause)
						require.Equal(t, messages[0], messages[i+1], "the same settlement")
						last = pause
					}
					require.Equal(t, maxPause, last)
					require.Equal(t, fmt.Sprintf("ack %d", failing), b.journal.all()[len(b.journal.all())-1])
					require.Equal(t, refusals, value(b.metrics.unconfirmed))
					require.Zero(t, value(b.metrics.held[causeUnconfirmed]))
					require.Zero(t, value(b.metrics.settlements[settlementRequeued]))
					require.Equal(t, 2, b.ran(t), "each task once")
					b.stopAndWait(t)
				})
			})
		}
	}
}

// TestASettlementIsGivenUpInTime holds that the broker never has to wait so
// long for an answer that it closes the channel.
func TestASettlementIsGivenUpInTime(t *testing.T) {
	t.Parallel()
	for timeout, want := range map[time.Duration]time.Duration{
		time.Minute:      insistAtMost,
		14 * time.Minute: time.Minute,
		time.Hour:        0,
	} {
		t.Run(timeout.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, options{timeout: timeout})
				b.publisher.fails = func(rabbitmq.Message) error { return rabbitmq.ErrUnavailable }
				tag := b.deliver("no task", nil)
				requeued := fmt.Sprintf("requeue %d", tag)
				if want > 0 {
					sleep(want - time.Millisecond)
					require.NotContains(t, b.journal.all(), requeued)
				}
				sleep(2 * time.Millisecond)
				require.Contains(t, b.journal.all(), requeued)
				require.NotContains(t, b.journal.all(), fmt.Sprintf("ack %d", tag))
				require.Zero(t, value(b.metrics.dead[task.ReasonUndecodable]))
				b.stopAndWait(t)
			})
		})
	}
}

func TestAStopRequeuesAnUnconfirmedSettlementAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, options{})
		b.publisher.fails = func(rabbitmq.Message) error { return rabbitmq.ErrBlocked }
		tag := b.deliver(taskBody(1, 0, `,"fail":{"kind":"transient"}`), nil)
		sleep(time.Minute)
		start := time.Now()
		b.stopAndWait(t)
		require.Zero(t, time.Since(start))
		require.Contains(t, b.journal.all(), fmt.Sprintf("requeue %d", tag))
	})
}

// TestADeliveryWhoseChannelIsGoneIsLetGo holds that nothing is done any more
// about what the broker has back: it is not run, and not settled.
func TestADeliveryWhoseChannelIsGoneIsLetGo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, options{})
		b.publisher.fails = func(rabbitmq.Message) error { return rabbitmq.ErrUnavailable }
		b.deliver(taskBody(1, 0, `,"fail":{"kind":"transient"}`), nil)
		b.deliver(taskBody(2, 0, ""), amqp.Table{"x-delivery-count": int64(20)})
		synctest.Wait()
		b.acks.err = amqp.ErrClosed
		b.source.lose <- struct{}{}
		synctest.Wait()
		require.Equal(t, 2, value(b.metrics.ackErrors))
		require.Equal(t, 1, b.ran(t))

		b.acks.err = nil
		b.publisher.fails = nil
		b.deliver(taskBody(1, 0, `,"fail":{"kind":"transient"}`), nil)
		sleep(insistAtMost)
		synctest.Wait()
		require.Len(t, b.publisher.sent, 1)
		require.Equal(t, "ack 3", b.journal.all()[len(b.journal.all())-1])
		b.stopAndWait(t)
	})
}

func TestAnAckErrorIsCountedAndNoMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, options{})
		b.acks.err = amqp.ErrClosed
		b.deliver(taskBody(1, 0, ""), nil)
		synctest.Wait()
		b.acks.err = nil
		b.deliver(taskBody(2, 0, ""), nil)
		synctest.Wait()
		b.stopAndWait(t)
		require.Equal(t, 1, value(b.metrics.ackErrors))
		require.Equal(t, 1, value(b.metrics.settlements[settlementCompleted]))
	})
}

// TestAPanicOfTheWorkerItself stands for an error in code that no action runs
// in: the message goes back, and the worker goes on.
func TestAPanicOfTheWorkerItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, options{concurrency: 1})
		b.publisher.fails = func(rabbitmq.Message) error { panic("an error of ours") }
		tag := b.deliver(taskBody(1, 0, `,"fail":{"kind":"permanent"}`), nil)
		sleep(minPause + time.Millisecond)
		require.Equal(t, []string{fmt.Sprintf("requeue %d", tag)}, b.journal.all())
		require.Contains(t, b.logged.String(), "an error of ours")
		next := b.deliver(taskBody(2, 0, ""), nil)
		synctest.Wait()
		b.stopAndWait(t)
		require.Contains(t, b.journal.all(), fmt.Sprintf("ack %d", next))
	})
}

func TestAnyErrorOfAPublishCounts(t *testing.T) {
	t.Parallel()
	for _, err := range []error{
		rabbitmq.ErrUnavailable, rabbitmq.ErrBlocked, rabbitmq.ErrSaturated, rabbitmq.ErrUnroutable,
		rabbitmq.ErrNacked, rabbitmq.ErrOutcomeUnknown, errors.New("any other"),
	} {
		t.Run(err.Error(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, options{})
				b.publisher.fails = func(rabbitmq.Message) error { return err }
				tag := b.deliver("no task", nil)
				synctest.Wait()
				b.stopAndWait(t)
				require.Equal(t, []string{"publish property-id failed", fmt.Sprintf("requeue %d", tag)}, b.journal.all())
			})
		})
	}
}

func TestMetricsAreWellNamed(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	newMetrics(reg)
	problems, err := testutil.GatherAndLint(reg)
	require.NoError(t, err)
	require.Empty(t, problems)
}
