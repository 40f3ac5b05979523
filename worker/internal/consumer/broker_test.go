package consumer

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/rabbitmq/rabbittest"
	"github.com/twinlane/twinlane/internal/task"
	"github.com/twinlane/twinlane/worker/internal/action"
	"github.com/twinlane/twinlane/worker/internal/brokertest"
	"github.com/twinlane/twinlane/worker/internal/executor"
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
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			part(t, newWorld(t, brokertest.NewVHost(t, node)))
		})
	}
}

// world is a broker, a target for the http action that notes which tasks were
// done, and raw access to the queues.
type world struct {
	brokertest.VHost
	target *httptest.Server
	raw    *amqp.Channel
	ledger *brokertest.Ledger

	release chan struct{} // closed, it lets tasks go on that have forEver for a wait

	mu   sync.Mutex
	done map[string]int // by task id
}

// forEver is the wait of a task that ends when the test says so.
const forEver = time.Duration(math.MaxInt64)

func newWorld(t *testing.T, v brokertest.VHost) *world {
	t.Helper()
	w := &world{VHost: v, release: make(chan struct{}), done: make(map[string]int)}
	w.target = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		wait, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if d, err := time.ParseDuration(strings.Trim(string(wait), `"`)); err == nil {
			timer := time.NewTimer(d)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-w.release:
			case <-r.Context().Done():
				return
			}
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.done[r.Header.Get("Idempotency-Key")]++
	}))
	t.Cleanup(w.target.Close)
	conn, _ := v.Connect(t, rabbitmq.Tasks())
	raw, err := conn.Channel(t.Context())
	require.NoError(t, err)
	require.NoError(t, raw.Confirm(false))
	w.raw, w.ledger = raw, v.Ledger(t)
	return w
}

// httpTask is a message whose task is noted as done by its id, after a wait.
func httpTask(id string, wait time.Duration, extra string) string {
	return fmt.Sprintf(`{"id":%q,"accepted_at":"2026-01-02T03:04:05Z","action":"http","payload":%q%s}`, id, wait, extra)
}

// put puts a message straight into the task queue.
func (w *world) put(t *testing.T, p amqp.Publishing) {
	t.Helper()
	p.DeliveryMode = amqp.Persistent
	confirm, err := w.raw.PublishWithDeferredConfirmWithContext(t.Context(), "", task.QueueTasks, true, false, p)
	require.NoError(t, err)
	ok, err := confirm.WaitContext(t.Context())
	require.NoError(t, err)
	require.True(t, ok)
}

func (w *world) doneCounts() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.done)
}

func (w *world) awaitDone(t *testing.T, ids ...string) {
	t.Helper()
	require.Eventually(t, func() bool {
		done := w.doneCounts()
		return !slices.ContainsFunc(ids, func(id string) bool { return done[id] == 0 })
	}, brokertest.Patience, brokertest.Interval)
}

func (w *world) depth(t *testing.T, queue string) int {
	t.Helper()
	state, err := w.raw.QueueDeclarePassive(queue, true, false, false, false, nil)
	require.NoError(t, err)
	return state.Messages
}

// takeAll waits for n messages and takes everything out of a queue.
func (w *world) takeAll(t *testing.T, queue string, n int) []amqp.Delivery {
	t.Helper()
	require.Eventually(t, func() bool { return w.depth(t, queue) >= n }, brokertest.Patience, brokertest.Interval, "%s", queue)
	var taken []amqp.Delivery
	for {
		d, ok, err := w.raw.Get(queue, true)
		require.NoError(t, err)
		if !ok {
			return taken
		}
		taken = append(taken, d)
	}
}

type worker struct {
	*Consumer
	pubs []*rabbitmq.Publisher
	stop func() // the consumer, then its connections
}

func (w *world) startWorker(t *testing.T, concurrency int, timeout time.Duration) worker {
	t.Helper()
	reg := prometheus.NewRegistry()
	lane := laneOf(t, options{model: executor.ModelGoroutine, concurrency: concurrency})
	conn, stopConn := w.Connect(t, rabbitmq.Tasks())
	tasks, stopTasks := w.Publisher(t, rabbitmq.Tasks())
	results, stopResults := w.Publisher(t, rabbitmq.Tasks())
	sub, err := rabbitmq.NewSubscription(conn, rabbitmq.SubscriptionConfig{
		Queue: lane.Queue, Prefetch: lane.Prefetch, ConsumerTag: "test",
	}, reg, nil)
	require.NoError(t, err)
	exec, err := executor.New(lane.Executor, reg, nil)
	require.NoError(t, err)
	runner := action.NewRunner(action.Config{
		Timeout: timeout, HTTPURL: w.target.URL, FaultInjection: true,
		Exit: func(int) { t.Error("the process was told to exit") },
	}, reg, nil)
	cfg := Config{Lane: lane, MaxAttempts: 2, TaskTimeout: timeout, Grace: brokertest.Patience}
	c := New(cfg, sub, tasks, NewResults(results, nil), exec, runner, reg, nil)
	stopConsumer := brokertest.Run(t, c.Run)
	stop := func() {
		stopConsumer()
		stopResults()
		stopTasks()
		stopConn()
		runner.Close()
	}
	t.Cleanup(stop)
	return worker{c, []*rabbitmq.Publisher{tasks, results}, stop}
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
	for _, pub := range worker.pubs {
		require.Eventually(t, func() bool { return pub.Ready() == nil }, brokertest.Patience, brokertest.Interval)
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
