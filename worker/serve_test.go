package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/rabbitmq/rabbittest"
	"github.com/twinlane/twinlane/internal/task"
	"github.com/twinlane/twinlane/worker/internal/brokertest"
)

// TestOnABroker holds whole workers, and their tools, against a real broker.
func TestOnABroker(t *testing.T) {
	t.Parallel()
	node := rabbittest.Start(t)
	for name, part := range map[string]func(t *testing.T, v brokertest.VHost){
		"both lanes":              bothLanes,
		"SIGTERM":                 terminated,
		"kill -9":                 killed,
		"a task that ends it":     neighboursOfAnExit,
		"a stuck results stream":  stuckStream,
		"no results connection":   readyWithoutResults,
		"resized":                 resized,
		"depth of a queue":        depthIsFresh,
		"dlq commands":            dlqCommands,
		"dlq replay, killed":      replayKilled,
		"dlq purge, asked for":    purgeAsksForTheCount,
		"dlq without a DLQ":       noDLQ,
		"started before a broker": waitsForItsBroker,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			part(t, brokertest.NewVHost(t, node))
		})
	}
}

// bothLanes runs a worker in this process, on ports that it reports.
func bothLanes(t *testing.T, v brokertest.VHost) {
	t.Helper()
	to := newTarget(t)
	pub, _ := v.Publisher(t, rabbitmq.Tasks())
	var log, out logLines
	stop := brokertest.Run(t, func(ctx context.Context) error {
		code := run(ctx, []string{
			"--amqp-url", v.URL(), "--http-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0", "--http-action-url", to.URL,
		}, streams{strings.NewReader(""), &out, &log})
		if code != 0 {
			return fmt.Errorf("exit code %d", code)
		}
		return nil
	})
	httpAddr, adminAddr := log.addresses(t)

	publish(t, pub, "t-async", "")
	ledger := v.Ledger(t)
	require.Equal(t, task.StatusCompleted, ledger.Await(t, "t-async")["t-async"].Status)
	require.Equal(t, 1, to.counts()["t-async"])

	body := `{"id":"t-sync","accepted_at":"2026-01-02T03:04:05Z","action":"http"}`
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+httpAddr+"/v1/execute", strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultTransport.RoundTrip(r)
	require.NoError(t, err)
	answer, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode, string(answer))
	require.Equal(t, 1, to.counts()["t-sync"])

	require.Eventually(t, func() bool {
		code, _, _ := runWith(t, "", "health", "--admin-addr", adminAddr)
		return code == 0
	}, brokertest.Patience, brokertest.Interval)
	_, metrics := get(t, "http://"+adminAddr+"/metrics")
	for _, line := range []string{
		`worker_tasks_total{lane="async",outcome="completed"} 1`,
		`worker_tasks_total{lane="sync",outcome="completed"} 1`,
		`worker_settlements_total{settlement="completed",source="tasks.v1"} 1`,
		`worker_settlements_total{settlement="moved",source="tasks.v1.suspect"} 0`,
		`worker_results_total{source="tasks.v1",status="completed"} 1`,
		`worker_info{concurrency="1000",executor="goroutine"} 1`,
		`worker_executor_tasks{source="tasks.v1.isolated"} 0`,
		`worker_executor_queued{source="tasks.v1"} 0`,
		`worker_executor_workers{source="tasks.v1"} 0`,
		`worker_executor_saturated_total{policy="abort",source="tasks.v1"} 0`,
		`worker_executor_discarded_total{source="tasks.v1"} 0`,
		`worker_executor_panics_total{source="tasks.v1"} 0`,
		`worker_watchdog_warnings_total 0`,
		`worker_watchdog_blocked_loops 0`,
		`worker_sync_responses_total{code="200"} 1`,
		`worker_publisher_publishes_total{outcome="accepted",publisher="worker-results"} 1`,
		`worker_publisher_publishes_total{outcome="accepted",publisher="worker-publish"} 0`,
		`worker_publisher_channels_open{publisher="worker-results"} 2`,
		`worker_amqp_connection_up{connection="worker-results"} 1`,
	} {
		require.Contains(t, metrics, "\n"+line+"\n")
	}
	plan := workerOf(1000)
	require.EqualValues(t, plan.Channels, sumOf(t, metrics, "worker_publisher_channels_open")+sumOf(t, metrics, "worker_subscription_channels_open"), "what size says of a worker")
	require.EqualValues(t, plan.Connections, sumOf(t, metrics, "worker_amqp_connection_up"))
	problems, err := promlint.New(strings.NewReader(metrics)).Lint()
	require.NoError(t, err)
	require.Empty(t, problems)

	http.DefaultTransport.(*http.Transport).CloseIdleConnections() //nolint:forcetypeassert // It is documented to be one.
	stop()
	require.Empty(t, out.String())
	code, _, _ := runWith(t, "", "health", "--admin-addr", adminAddr)
	require.Equal(t, 1, code)
}

// resized has a worker run one task at a time, then four.
func resized(t *testing.T, v brokertest.VHost) {
	t.Helper()
	to := newTarget(t)
	pub, _ := v.Publisher(t, rabbitmq.Tasks())
	p := startWorker(t, v, to, "--concurrency=4", "--watchdog-limit=100ms", "--watchdog-interval=50ms")
	_, adminAddr := p.log.addresses(t)
	resize := func(n int) {
		ctx, cancel := context.WithTimeout(t.Context(), brokertest.Patience)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://"+adminAddr+"/executor", strings.NewReader(fmt.Sprintf(`{"concurrency":%d}`, n)))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultTransport.RoundTrip(r)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusOK, resp.StatusCode)
	}
	running := func(n int) {
		require.Eventually(t, func() bool {
			_, state := get(t, "http://"+adminAddr+"/executor")
			return len(to.begunCounts())-len(to.counts()) == n && strings.Contains(state, fmt.Sprintf(`"running":%d,`, n))
		}, brokertest.Patience, brokertest.Interval)
	}
	resize(1)
	for _, id := range ids("t", 8) {
		publishLong(t, pub, id, 5*time.Minute)
	}
	running(1)
	require.Eventually(t, func() bool { return strings.Contains(p.log.String(), "loop is blocked") }, brokertest.Patience, brokertest.Interval)
	resize(4)
	running(4)
	require.Equal(t, -1, p.end(t, os.Kill))
}

// sumOf adds up a metric over its labels.
func sumOf(t *testing.T, metrics, name string) (sum float64) {
	t.Helper()
	for line := range strings.Lines(metrics) {
		if rest, found := strings.CutPrefix(line, name+"{"); found {
			_, value, _ := strings.Cut(rest, "} ")
			v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			require.NoError(t, err)
			sum += v
		}
	}
	return sum
}

// waitsForItsBroker starts a worker whose broker refuses it, and lets it in.
func waitsForItsBroker(t *testing.T, v brokertest.VHost) {
	t.Helper()
	v.Ctl(t, "clear_permissions", rabbittest.User)
	to := newTarget(t)
	p := startWorker(t, v, to)
	_, adminAddr := p.log.addresses(t)
	require.Eventually(t, func() bool { return strings.Contains(p.log.String(), "connection failed") }, brokertest.Patience, brokertest.Interval)
	code, _ := get(t, "http://"+adminAddr+"/livez")
	require.Equal(t, http.StatusOK, code)
	code, reason := get(t, "http://"+adminAddr+"/readyz")
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.NotEmpty(t, reason)

	v.Ctl(t, "set_permissions", rabbittest.User, ".*", ".*", ".*")
	require.Eventually(t, func() bool {
		code, _ := get(t, "http://"+adminAddr+"/readyz")
		return code == http.StatusOK
	}, brokertest.Patience, brokertest.Interval)
	pub, _ := v.Publisher(t, rabbitmq.Tasks())
	publish(t, pub, "t-1", "")
	require.Eventually(t, func() bool { return to.counts()["t-1"] == 1 }, brokertest.Patience, brokertest.Interval)
}

// terminated stops a worker in the middle of its work: it finishes what it has
// begun, gives back the rest, and ends well.
func terminated(t *testing.T, v brokertest.VHost) {
	t.Helper()
	const tasks = 200
	to := newTarget(t)
	pub, _ := v.Publisher(t, rabbitmq.Tasks())
	for _, id := range ids("t", tasks) {
		publish(t, pub, id, "")
	}
	p := startWorker(t, v, to, "--concurrency", "10")
	require.Eventually(t, func() bool { return len(to.counts()) >= tasks/4 }, brokertest.Patience, brokertest.Interval)
	require.Zero(t, p.end(t, syscall.SIGTERM), "%s", p.log)

	done, left := to.counts(), take(t, v, task.QueueTasks)
	require.Equal(t, to.begunCounts(), done, "what had begun was given the time to finish")
	require.NotEmpty(t, left)
	require.Len(t, left, tasks-len(done), "nothing is lost")
	for id, n := range done {
		require.Equal(t, 1, n, "%s ran once", id)
		require.NotContains(t, left, id)
	}
}

// killed ends workers without warning, again and again, while they work on
// tasks of which some fail: in the end each is done or in the DLQ.
func killed(t *testing.T, v brokertest.VHost) {
	t.Helper()
	const kills = 5
	to := newTarget(t)
	pub, _ := v.Publisher(t, rabbitmq.Tasks())
	well, failing, panicking := ids("well", 300), ids("failing", 10), ids("panicking", 10)
	for i, id := range well {
		publish(t, pub, id, "")
		if i < len(failing) {
			publish(t, pub, failing[i], "permanent")
			publish(t, pub, panicking[i], "panic")
		}
	}
	for range kills {
		p := startWorker(t, v, to, "--concurrency", "20")
		before := len(to.counts())
		enough := before + rand.N(len(well)/kills/2)
		require.Eventually(t, func() bool { return len(to.counts()) > enough }, brokertest.Patience, time.Millisecond)
		require.Equal(t, -1, p.end(t, os.Kill))
	}
	p := startWorker(t, v, to, "--concurrency", "20")
	require.Eventually(t, func() bool { return len(to.counts()) == len(well) }, brokertest.Patience, brokertest.Interval)
	awaitEmpty(t, v)
	require.Zero(t, p.end(t, syscall.SIGTERM), "%s", p.log)

	letters := take(t, v, task.QueueDeadLetter)
	for _, id := range append(failing, panicking...) {
		require.Contains(t, letters, id)
	}
	require.Len(t, letters, len(failing)+len(panicking))
	repeated := 0
	for _, n := range to.counts() {
		repeated += n - 1
	}
	require.LessOrEqual(t, repeated, kills*22, "no more than were in flight")
}

// awaitEmpty waits until the task queues hold nothing, in flight or not.
func awaitEmpty(t *testing.T, v brokertest.VHost) {
	t.Helper()
	require.Eventually(t, func() bool {
		held := v.Held(t)
		for _, queue := range rabbitmq.TaskQueues() {
			if n, ok := held[queue.Name]; !ok || n > 0 {
				return false
			}
		}
		return true
	}, brokertest.Patience, 200*time.Millisecond)
}

// depthIsFresh holds what awaitEmpty relies on: a message is counted as soon as
// it is confirmed, and while a consumer holds it, and in its virtual host alone.
func depthIsFresh(t *testing.T, v brokertest.VHost) {
	t.Helper()
	pub, _ := v.Publisher(t, rabbitmq.Tasks())
	for i, id := range ids("t", 3) {
		publish(t, pub, id, "")
		require.Equal(t, i+1, v.Held(t)[task.QueueTasks])
	}
	conn, _ := v.Connect(t, rabbitmq.Tasks())
	ch, err := conn.Channel(t.Context())
	require.NoError(t, err)
	d, ok, err := ch.Get(task.QueueTasks, false)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, 3, v.Held(t)[task.QueueTasks])
	require.NoError(t, d.Ack(false))
	require.Eventually(t, func() bool { return v.Held(t)[task.QueueTasks] == 2 }, brokertest.Patience, brokertest.Interval)
	require.Zero(t, v.Held(t)[task.QueueIsolated])
}
