package consumer

import (
	"cmp"
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
	fail := func(kind string) string { return taskBody(1, 0, `,"run":"r-1","fail":{"kind":"`+kind+`"}`) }
	tests := map[string]struct {
		body    string
		headers amqp.Table
		queue   string // that it is published to
		attempt int64  // in the published headers
		reason  task.Reason
		err     string
	}{
		"completed":              {body: taskBody(1, time.Second, `,"run":"r-1"`)},
		"completed at last":      {body: taskBody(1, time.Second, `,"run":"r-1"`), headers: amqp.Table{"x-attempt": int64(4)}, attempt: 4},
		"transient, attempt 1":   {body: fail("transient"), queue: retry1, attempt: 2},
		"transient, attempt 2":   {body: fail("transient"), headers: amqp.Table{"x-attempt": int64(2)}, queue: retry5, attempt: 3},
		"transient, attempt 3":   {body: fail("transient"), headers: amqp.Table{"x-attempt": int32(3)}, queue: retry30, attempt: 4},
		"exhausted":              {body: fail("transient"), headers: amqp.Table{"x-attempt": int64(4)}, attempt: 4, reason: task.ReasonExhausted, err: "injected transient failure of attempt 4"},
		"timeout":                {body: fail("hang"), queue: retry1, attempt: 2},
		"timeout, exhausted":     {body: fail("hang"), headers: amqp.Table{"x-attempt": int64(4)}, attempt: 4, reason: task.ReasonExhausted, err: "no result within 1m0s: context deadline exceeded"},
		"permanent":              {body: fail("permanent"), attempt: 1, reason: task.ReasonPermanent, err: "injected permanent failure"},
		"panic":                  {body: fail("panic"), attempt: 1, reason: task.ReasonPanic, err: "panic: injected panic"},
		"undecodable body":       {body: "{", attempt: 1, reason: task.ReasonUndecodable, err: "undecodable: malformed JSON: unexpected end of input"},
		"undecodable header":     {body: taskBody(1, 0, `,"run":"r-1"`), headers: amqp.Table{"x-attempt": "two"}, attempt: 1, reason: task.ReasonUndecodable, err: "undecodable: header x-attempt: two is not allowed; allowed: a whole number from 1 to 1000000"},
		"too large":              {body: strings.Repeat(" ", task.MaxMessageBytes+1), attempt: 1, reason: task.ReasonUndecodable, err: "undecodable: body: 266241 bytes is not allowed; allowed: at most 266240 bytes"},
		"not UTF-8":              {body: "{\"id\":\"\xff\"}", attempt: 1, reason: task.ReasonUndecodable, err: "undecodable: malformed JSON: not valid UTF-8"},
		"died before, completed": {body: taskBody(1, time.Second, `,"run":"r-1"`), headers: amqp.Table{"x-dlq-reason": "permanent"}},
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

					settled := settlementCompleted
					switch {
					case tt.queue != "":
						settled = settlementRetried
					case tt.reason != "":
						settled = settlementDead
					}
					require.Equal(t, 1, value(b.metrics.settlements[settled]))
					var want []string
					if settled != settlementCompleted {
						require.Len(t, b.publisher.sent, 1)
						m := b.publisher.sent[0]
						requireMoved(t, m, tt.body, tt.attempt)
						want = append(want, fmt.Sprintf("publish %s to %s", m.ID, cmp.Or(tt.queue, task.QueueDeadLetter)))
					}
					if settled != settlementRetried {
						require.Len(t, b.publisher.results, 1)
						want = append(want, fmt.Sprintf("result %s %s", b.publisher.results[0].ID, settled))
					}
					require.Equal(t, append(want, fmt.Sprintf("ack %d", tag)), b.journal.all(), "the ack comes last")
					switch settled {
					case settlementCompleted:
						requireCompleted(t, b, max(tt.attempt, 1))
					case settlementRetried:
						requireRetried(t, b, tt.queue)
					default:
						requireDead(t, b, tt.reason, tt.err, start)
					}
				})
			})
		}
	}
}

// requireMoved checks what every message that moves on keeps.
func requireMoved(t *testing.T, m rabbitmq.Message, body string, attempt int64) {
	t.Helper()
	require.Equal(t, body, string(m.Body), "byte for byte")
	require.Equal(t, attempt, m.Headers[task.HeaderAttempt])
	require.NoError(t, task.CheckHeaders(m.Headers))
}

func requireCompleted(t *testing.T, b *bench, attempt int64) {
	t.Helper()
	require.Equal(t, 1, value(b.metrics.results[task.StatusCompleted]))
	res := b.publisher.results[0]
	require.Equal(t, "t-1", res.ID)
	require.Equal(t, "r-1", res.Run)
	require.EqualValues(t, attempt, res.Attempt)
	require.Empty(t, res.Reason)
	require.Empty(t, res.Error)
	require.Equal(t, "2026-01-02T03:04:05Z", res.AcceptedAt.Format(time.RFC3339))
	require.Equal(t, time.Second, res.ServiceTime())
}

func requireRetried(t *testing.T, b *bench, queue string) {
	t.Helper()
	m := b.publisher.sent[0]
	require.Empty(t, m.Exchange)
	require.Equal(t, queue, m.RoutingKey)
	require.Equal(t, "t-1", m.ID)
	require.NotContains(t, m.Headers, task.HeaderDeadReason)
	require.Equal(t, 1, value(b.metrics.retries[queue]))
	require.Empty(t, b.publisher.results, "it has no result yet")
	require.NotContains(t, b.logged.String(), "t-1", "a retry is no news")
}

func requireDead(t *testing.T, b *bench, reason task.Reason, why string, start time.Time) {
	t.Helper()
	m, res := b.publisher.sent[0], b.publisher.results[0]
	require.Empty(t, m.Exchange, "straight to the DLQ")
	require.Equal(t, task.QueueDeadLetter, m.RoutingKey)
	require.Equal(t, string(reason), m.Headers[task.HeaderDeadReason])
	require.Equal(t, why, m.Headers[task.HeaderDeadError])
	died, err := time.Parse(time.RFC3339Nano, fmt.Sprint(m.Headers[task.HeaderDeadAt]))
	require.NoError(t, err)
	require.WithinRange(t, died, start, time.Now())

	require.Equal(t, m.ID, res.ID, "both go by the same id")
	require.Equal(t, reason, res.Reason)
	require.Equal(t, why, res.Error)
	require.EqualValues(t, m.Headers[task.HeaderAttempt], res.Attempt)
	require.Equal(t, died, res.FinishedAt)
	require.WithinRange(t, res.StartedAt, start, res.FinishedAt)
	if _, err := task.DecodeMessage(m.Body); err == nil {
		require.Equal(t, "r-1", res.Run)
		require.Equal(t, "2026-01-02T03:04:05Z", res.AcceptedAt.Format(time.RFC3339))
	} else {
		require.Zero(t, res.AcceptedAt)
	}
	require.Equal(t, 1, value(b.metrics.results[task.StatusDead]))
	require.Equal(t, 1, value(b.metrics.dead[reason]))
	require.Equal(t, 1, strings.Count(b.logged.String(), m.ID), "a failure is logged once")
	require.Equal(t, reason == task.ReasonPanic, strings.Contains(b.logged.String(), "fault.go"), "with the stack of a panic")
}

// TestAResultHasTheOutput of an action that returns one.
func TestAResultHasTheOutput(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, options{})
		b.deliver(`{"id":"t-1","accepted_at":"2026-01-02T03:04:05Z","action":"cpu","duration_ms":0}`, amqp.Table{"x-attempt": int64(3)})
		synctest.Wait()
		b.stopAndWait(t)
		require.Len(t, b.publisher.results, 1)
		require.NotEmpty(t, b.publisher.results[0].Output)
		require.Equal(t, 3, b.publisher.results[0].Attempt)
	})
}

// TestAResultWithoutAnEncoding stands for an action that breaks its promise:
// the task is settled, and the loss is seen.
func TestAResultWithoutAnEncoding(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, options{})
		r, err := receive(amqp.Delivery{Acknowledger: b.acks, DeliveryTag: 7, Body: []byte(taskBody(1, 0, ""))})
		require.NoError(t, err)
		a := b.settler.judge(r, task.Result{ID: r.id, Status: task.StatusCompleted, Output: []byte("{")}, nil)
		require.NoError(t, b.settler.settle(t.Context(), &a))
		b.stopAndWait(t)
		require.Equal(t, []string{"ack 7"}, b.journal.all())
		require.Equal(t, 1, value(b.metrics.resultsLost))
		require.Contains(t, b.logged.String(), "result lost")
	})
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
		require.Equal(t, 1, value(b.metrics.ackErrors[settlementCompleted]))
		require.Equal(t, 1, value(b.metrics.settlements[settlementCompleted]))
		require.Equal(t, 2, value(b.metrics.results[task.StatusCompleted]), "one more than was settled")
	})
}

func TestMetricsAreWellNamed(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	newMetrics(reg)
	problems, err := testutil.GatherAndLint(reg)
	require.NoError(t, err)
	require.Empty(t, problems)
}
