package consumer

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/rabbitmq/rabbittest"
	"github.com/twinlane/twinlane/internal/task"
	"github.com/twinlane/twinlane/worker/internal/brokertest"
)

// TestOnABroker is everything that only a real broker can show. Each part has
// the queues for itself.
func TestOnABroker(t *testing.T) {
	t.Parallel()
	node := rabbittest.Start(t)
	for name, part := range map[string]func(t *testing.T, w *world){
		"foreign messages":       foreignMessages,
		"retries wait":           retriesWait,
		"drain":                  drainLosesNothing,
		"unconfirmed settlement": unconfirmedSettlement,
		"connection lost":        connectionLost,
		"results stream deleted": resultsStreamDeleted,
		"stops do not count":     stopsDoNotCount,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			part(t, newWorld(t, brokertest.NewVHost(t, node)))
		})
	}
}

// foreignMessages mixes everything that is no task, and every way for a task
// to fail, with tasks that are well.
func foreignMessages(t *testing.T, w *world) {
	t.Helper()
	fail := func(kind string) string { return httpTask(kind, 0, `,"fail":{"kind":"`+kind+`"}`) }
	poison := map[string]struct {
		publishing amqp.Publishing
		reason     task.Reason
	}{
		"text":        {amqp.Publishing{MessageId: "text", Body: []byte("hello"), ContentType: "text/plain", Type: "greeting"}, task.ReasonUndecodable},
		"empty":       {amqp.Publishing{MessageId: "empty"}, task.ReasonUndecodable},
		"truncated":   {amqp.Publishing{MessageId: "truncated", Body: []byte(httpTask("truncated", 0, ""))[:30]}, task.ReasonUndecodable},
		"binary":      {amqp.Publishing{MessageId: "binary", Body: []byte{0, 255, 27, 128}}, task.ReasonUndecodable},
		"oversized":   {amqp.Publishing{MessageId: "oversized", Body: bytes.Repeat([]byte("x"), 1<<20)}, task.ReasonUndecodable},
		"bad-attempt": {amqp.Publishing{Body: []byte(httpTask("bad-attempt", 0, "")), Headers: amqp.Table{"x-attempt": "one"}}, task.ReasonUndecodable},
		"big-headers": {amqp.Publishing{MessageId: "big-headers", Body: []byte("{"), Headers: amqp.Table{
			"x-big": strings.Repeat("x", 60_000), strings.Repeat("k", 255): "v", "nested": amqp.Table{"a": []any{int8(1), nil}},
		}}, task.ReasonUndecodable},
		"unknown-field": {amqp.Publishing{MessageId: "unknown-field", Body: []byte(httpTask("other", 0, `,"x":1`))}, task.ReasonUndecodable},
		"panic":         {amqp.Publishing{Body: []byte(fail("panic"))}, task.ReasonPanic},
		"permanent":     {amqp.Publishing{Body: []byte(fail("permanent"))}, task.ReasonPermanent},
		"transient":     {amqp.Publishing{Body: []byte(fail("transient"))}, task.ReasonExhausted},
		"hang":          {amqp.Publishing{Body: []byte(fail("hang"))}, task.ReasonExhausted},
	}
	var well []string
	for name, p := range poison {
		w.put(t, p.publishing)
		id := "well-" + name
		well = append(well, id)
		w.put(t, amqp.Publishing{Body: []byte(httpTask(id, 10*time.Millisecond, ""))})
	}
	const idless = "a body without any id"
	w.put(t, amqp.Publishing{MessageId: "not a valid id \x1b[2J", Body: []byte(idless)})

	worker := w.startWorker(t, 8, time.Second)
	w.awaitDone(t, well...)
	for _, res := range w.ledger.Await(t, well...) {
		require.Equal(t, task.StatusCompleted, res.Status)
	}
	letters := w.takeAll(t, task.QueueDeadLetter, len(poison)+1)
	worker.stop()

	require.Len(t, letters, len(poison)+1, "each once")
	for _, d := range letters {
		require.NoError(t, task.CheckHeaders(d.Headers))
		headers, err := task.ParseHeaders(d.Headers)
		require.NoError(t, err)
		require.NotNil(t, headers.Dead)
		require.NotEmpty(t, headers.Dead.Error)
		require.True(t, task.ValidName(d.MessageId), d.MessageId)
		res := w.ledger.Await(t, d.MessageId)[d.MessageId]
		require.Equal(t, task.StatusDead, res.Status)
		require.Equal(t, headers.Dead.Reason, res.Reason)
		require.Equal(t, headers.Dead.Error, res.Error)
		require.Equal(t, headers.Attempt, res.Attempt)
		if string(d.Body) == idless {
			require.Equal(t, task.ReasonUndecodable, headers.Dead.Reason)
			continue
		}
		want, ok := poison[d.MessageId]
		require.True(t, ok, "%s is in the DLQ, and why?", d.MessageId)
		delete(poison, d.MessageId)
		require.Equal(t, want.reason, headers.Dead.Reason, d.MessageId)
		require.Equal(t, string(want.publishing.Body), string(d.Body), "byte for byte")
		if want.reason == task.ReasonExhausted {
			require.Equal(t, 2, headers.Attempt)
		} else {
			require.Equal(t, 1, headers.Attempt)
		}
	}
	require.Empty(t, poison)
	require.Zero(t, w.depth(t, task.QueueTasks))
	for id, n := range w.doneCounts() {
		require.Equal(t, 1, n, "%s ran once", id)
	}
	require.Len(t, w.doneCounts(), len(well), "and no poison did")
}

// retriesWait has a task fail once and come back through a real retry queue.
func retriesWait(t *testing.T, w *world) {
	t.Helper()
	w.startWorker(t, 1, brokertest.Patience)
	start := time.Now()
	w.put(t, amqp.Publishing{Body: []byte(httpTask("t-1", 0, `,"fail":{"kind":"transient","count":1}`))})
	w.awaitDone(t, "t-1")
	require.GreaterOrEqual(t, time.Since(start), rabbitmq.RetrySteps()[0].Delay)
	require.Equal(t, 2, w.ledger.Await(t, "t-1")["t-1"].Attempt)
	require.Zero(t, w.depth(t, task.QueueDeadLetter))
}

// drainLosesNothing stops a worker in the middle of its work: what it has done
// is gone from the queue, and what it has not is there.
func drainLosesNothing(t *testing.T, w *world) {
	t.Helper()
	const tasks = 100
	for n := range tasks {
		w.put(t, amqp.Publishing{Body: []byte(httpTask(fmt.Sprintf("t-%d", n), 50*time.Millisecond, ""))})
	}
	worker := w.startWorker(t, 10, brokertest.Patience)
	require.Eventually(t, func() bool { return len(w.doneCounts()) >= tasks/4 }, brokertest.Patience, brokertest.Interval)
	worker.stop()

	done := w.doneCounts()
	left := w.takeAll(t, task.QueueTasks, tasks-len(done))
	require.Len(t, left, tasks-len(done), "nothing is lost")
	require.NotEmpty(t, left)
	for _, d := range left {
		headers, err := receive(d)
		require.NoError(t, err)
		require.Zero(t, done[headers.id], "%s was done and came back", headers.id)
		require.LessOrEqual(t, deliveryCount(d), 1, "a stop counts once against the delivery limit")
	}
	for id, n := range done {
		require.Equal(t, 1, n, "%s ran once", id)
	}
}

// unconfirmedSettlement has a DLQ that refuses: the task waits, done, and
// reaches the DLQ once it can. It runs once.
func unconfirmedSettlement(t *testing.T, w *world) {
	t.Helper()
	w.Ctl(t, "set_policy", "--apply-to", "queues", "full", "^"+task.QueueDeadLetter+"$", `{"max-length":1}`)
	// A policy takes effect a moment later: when the queue refuses.
	require.Eventually(t, func() bool {
		confirm, err := w.raw.PublishWithDeferredConfirmWithContext(t.Context(), "", task.QueueDeadLetter, true, false, amqp.Publishing{})
		require.NoError(t, err)
		ok, err := confirm.WaitContext(t.Context())
		require.NoError(t, err)
		return !ok
	}, brokertest.Patience, brokertest.Interval)
	fillers := w.depth(t, task.QueueDeadLetter)

	worker := w.startWorker(t, 2, brokertest.Patience)
	w.put(t, amqp.Publishing{Body: []byte(httpTask("t-1", 0, `,"fail":{"kind":"permanent"}`))})
	require.Eventually(t, func() bool { return value(worker.metrics.unconfirmed) >= 2 }, brokertest.Patience, brokertest.Interval)
	w.put(t, amqp.Publishing{Body: []byte(httpTask("t-2", 0, ""))})
	w.awaitDone(t, "t-2")

	require.Len(t, w.takeAll(t, task.QueueDeadLetter, fillers), fillers)
	letters := w.takeAll(t, task.QueueDeadLetter, 1)
	require.Len(t, letters, 1)
	require.Equal(t, "t-1", letters[0].MessageId)
	require.Equal(t, 2, value(worker.metrics.first))
	require.Zero(t, value(worker.metrics.again), "never requeued")
	worker.stop()
	require.Zero(t, w.depth(t, task.QueueTasks))
}

// connectionLost cuts the worker off in the middle of a task: its ack goes
// nowhere, the task is delivered again, and the worker goes on by itself.
func connectionLost(t *testing.T, w *world) {
	t.Helper()
	worker := w.startWorker(t, 1, 2*brokertest.Patience)
	w.put(t, amqp.Publishing{Body: []byte(httpTask("t-1", forEver, ""))})
	require.Eventually(t, func() bool { return value(worker.metrics.first) == 1 }, brokertest.Patience, brokertest.Interval)
	w.Ctl(t, "close_all_connections", "closed by the test")
	require.Eventually(t, func() bool { return value(worker.metrics.again) == 1 }, brokertest.Patience, brokertest.Interval)
	for _, pub := range worker.pubs { // Ready may not have noticed yet
		require.Eventually(t, func() bool {
			return pub.Publish(t.Context(), rabbitmq.MarkerMessage("probe", time.Now())) == nil
		}, brokertest.Patience, brokertest.Interval)
	}
	close(w.release)

	require.Eventually(t, func() bool { return value(worker.metrics.settlements[settlementCompleted]) == 1 }, brokertest.Patience, brokertest.Interval)
	require.Eventually(t, func() bool { return value(worker.metrics.ackErrors[settlementCompleted]) == 1 }, brokertest.Patience, brokertest.Interval)
	require.Equal(t, map[string]int{"t-1": 2}, w.doneCounts())
	require.Eventually(t, func() bool { return len(w.ledger.Results(t, "t-1")) == 2 }, brokertest.Patience, brokertest.Interval)
	require.Equal(t, 2, value(worker.metrics.results[task.StatusCompleted]))
	worker.stop()

	conn, _ := w.Connect(t, rabbitmq.Tasks()) // the raw channel was closed as well
	raw, err := conn.Channel(context.WithoutCancel(t.Context()))
	require.NoError(t, err)
	state, err := raw.QueueDeclarePassive(task.QueueTasks, true, false, false, false, nil)
	require.NoError(t, err)
	require.Zero(t, state.Messages)
}

// resultsStreamDeleted takes the results stream away: a task waits, done, until
// its result has a place again. It runs once.
func resultsStreamDeleted(t *testing.T, w *world) {
	t.Helper()
	worker := w.startWorker(t, 1, brokertest.Patience)
	w.put(t, amqp.Publishing{Body: []byte(httpTask("t-1", 0, ""))})
	w.ledger.Await(t, "t-1")
	_, err := w.raw.QueueDelete(task.QueueResults, false, false, false)
	require.NoError(t, err)
	w.put(t, amqp.Publishing{Body: []byte(httpTask("t-2", 0, ""))})
	w.ledger.Await(t, "t-2")
	require.Eventually(t, func() bool { return value(worker.metrics.settlements[settlementCompleted]) == 2 }, brokertest.Patience, brokertest.Interval)
	require.Equal(t, map[string]int{"t-1": 1, "t-2": 1}, w.doneCounts())
	require.Zero(t, value(worker.metrics.resultsLost))
	worker.stop()
	require.Zero(t, w.depth(t, task.QueueTasks))
}

// stopsDoNotCount stops a worker over the same suspect more often than the
// limit of any queue allows, at work and while it waits: it is still where it
// was, and nothing has been counted against it.
func stopsDoNotCount(t *testing.T, w *world) {
	t.Helper()
	for _, queue := range []string{task.QueueIsolated, task.QueueSuspect} {
		w.putInto(t, queue, amqp.Publishing{Body: []byte(httpTask("t-1", forEver, ""))})
		for range 5 {
			worker := w.startLane(t, options{queue: queue, timeout: brokertest.Patience})
			require.Eventually(t, func() bool { return value(worker.metrics.first) == 1 }, brokertest.Patience, brokertest.Interval)
			require.Zero(t, value(worker.metrics.again))
			worker.stop()
			require.Equal(t, 1, value(worker.metrics.settlements[settlementReturned]))
		}
		left := w.takeAll(t, queue, 1)
		require.Len(t, left, 1)
		require.Zero(t, deliveryCount(left[0]))
	}
	require.Empty(t, w.doneCounts())
	require.Zero(t, w.depth(t, task.QueueDeadLetter))
}
