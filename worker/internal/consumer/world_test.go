package consumer

import (
	"cmp"
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
	"github.com/twinlane/twinlane/internal/task"
	"github.com/twinlane/twinlane/worker/internal/action"
	"github.com/twinlane/twinlane/worker/internal/brokertest"
	"github.com/twinlane/twinlane/worker/internal/executor"
)

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

// refused begins the ids of tasks that the target refuses when it has done them.
const refused = "refused-"

func newWorld(t *testing.T, v brokertest.VHost) *world {
	t.Helper()
	w := &world{VHost: v, release: make(chan struct{}), done: make(map[string]int)}
	w.target = httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, r *http.Request) {
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
		id := r.Header.Get("Idempotency-Key")
		w.done[id]++
		if strings.HasPrefix(id, refused) {
			answer.WriteHeader(http.StatusGone)
		}
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
	w.putInto(t, task.QueueTasks, p)
}

func (w *world) putInto(t *testing.T, queue string, p amqp.Publishing) {
	t.Helper()
	p.DeliveryMode = amqp.Persistent
	confirm, err := w.raw.PublishWithDeferredConfirmWithContext(t.Context(), "", queue, true, false, p)
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

// startWorker starts a worker that consumes from the task queue alone.
func (w *world) startWorker(t *testing.T, concurrency int, timeout time.Duration) worker {
	t.Helper()
	return w.startLane(t, options{concurrency: concurrency, timeout: timeout, grace: brokertest.Patience})
}

// startLane starts one lane of a worker.
func (w *world) startLane(t *testing.T, o options) worker {
	t.Helper()
	reg := prometheus.NewRegistry()
	o.model, o.concurrency = executor.ModelGoroutine, cmp.Or(o.concurrency, 1)
	lane := laneOf(t, o)
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
		Timeout: o.timeout, HTTPURL: w.target.URL, FaultInjection: true,
		Exit: func(int) { t.Error("the process was told to exit") },
	}, reg, nil)
	cfg := Config{Lane: lane, MaxAttempts: 2, TaskTimeout: o.timeout, Grace: o.grace}
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
