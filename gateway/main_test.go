package main

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/rabbitmq/rabbittest"
	"github.com/twinlane/twinlane/internal/service/servicetest"
	"github.com/twinlane/twinlane/internal/task"
)

const smallest = `{"action":"delay","duration_ms":1}`

func TestBothLanes(t *testing.T) {
	t.Parallel()
	g := startGateway(t, "--amqp-url="+rabbittest.URL(t), "--worker-url="+startFreeWorker(t).URL)
	g.awaitReady(t)

	a := g.post(t, "/v1/sync", smallest)
	require.Equal(t, http.StatusOK, a.status, "%s", a.body)
	require.Equal(t, "completed", a.field(t, "status"))
	a = g.post(t, "/v1/async", smallest)
	require.Equal(t, http.StatusAccepted, a.status, "%s", a.body)
	require.Equal(t, "/v1/tasks/"+a.field(t, "id"), a.header.Get("Location"))
	a = g.post(t, "/v1/async", `{"action":"delay","fail":{"kind":"exit"}}`)
	require.Equal(t, http.StatusUnprocessableEntity, a.status)

	require.Equal(t, 1, g.metric(t, "gateway_worker_calls_total", map[string]string{"outcome": "completed"}))
	require.Equal(t, 2, g.metric(t, "gateway_publisher_publishes_total", map[string]string{"outcome": "accepted"}), "the task, and a marker")
	require.Equal(t, http.StatusOK, g.get(t, g.admin+"/livez").status)
	require.Equal(t, http.StatusNotFound, g.get(t, g.api+"/metrics").status)
	require.Equal(t, http.StatusNotFound, g.get(t, g.api+"/debug/pprof/").status)

	admin := strings.TrimPrefix(g.admin, "http://")
	require.Equal(t, exitOK, run(t.Context(), []string{"health", "--admin-addr=" + admin}, io.Discard, io.Discard))
	require.Equal(t, exitOK, g.stop(t), "%s", g.log)
	require.Equal(t, exitFailed, run(t.Context(), []string{"health", "--admin-addr=" + admin}, io.Discard, io.Discard))
}

// TestStopAnswersEveryRequest stops the gateway while requests of both lanes
// are in flight: each is answered as if nothing were, and each task with a 202
// is in the queue.
func TestStopAnswersEveryRequest(t *testing.T) {
	t.Parallel()
	const inFlight = 20
	broker := rabbittest.Start(t) // of its own, so that the queue holds these tasks alone
	slow := rabbittest.StartProxy(t, broker.URL())
	worker := startWorker(t)
	g := startGateway(t, "--amqp-url="+slow.URL(), "--worker-url="+worker.URL)
	g.awaitReady(t)
	slow.SetLatency(time.Second)

	answers := map[string]chan answer{"/v1/sync": make(chan answer, inFlight), "/v1/async": make(chan answer, inFlight)}
	var requests sync.WaitGroup
	for range inFlight {
		for path, into := range answers {
			requests.Go(func() {
				a, err := g.tryPost(t.Context(), path, smallest)
				if err != nil {
					t.Errorf("%s: %v", path, err)
				}
				into <- a
			})
		}
	}
	require.Eventually(t, func() bool {
		return len(worker.started) == inFlight && g.metric(t, "gateway_publisher_in_flight", nil) == inFlight
	}, patience, time.Millisecond)
	g.terminate()
	require.Eventually(t, func() bool { return strings.Contains(g.log.String(), `"stopping"`) }, patience, time.Millisecond)
	close(worker.release)
	requests.Wait()
	require.Equal(t, exitOK, g.stop(t), "%s", g.log)

	accepted := map[string]bool{}
	for range inFlight {
		require.Equal(t, http.StatusOK, (<-answers["/v1/sync"]).status)
		a := <-answers["/v1/async"]
		require.Equal(t, http.StatusAccepted, a.status, "%s", a.body)
		accepted[a.field(t, "id")] = true
	}
	require.Equal(t, accepted, queued(t, broker.URL()))
}

// queued takes the ids of all tasks out of the queue.
func queued(t *testing.T, url string) map[string]bool {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	conn, err := rabbitmq.NewConnection(rabbitmq.ConnectionConfig{URLs: []string{url}, Name: "test"}, rabbitmq.Tasks(), prometheus.NewRegistry(), nil)
	require.NoError(t, err)
	var running sync.WaitGroup
	running.Go(func() { _ = conn.Run(ctx) })
	defer running.Wait()
	defer cancel()
	channel, err := conn.Channel(ctx)
	require.NoError(t, err)
	ids := map[string]bool{}
	for {
		d, ok, err := channel.Get(task.QueueTasks, true)
		require.NoError(t, err)
		if !ok {
			return ids
		}
		m, err := task.DecodeMessage(d.Body)
		require.NoError(t, err)
		require.Equal(t, m.ID, d.MessageId)
		require.False(t, ids[m.ID], "queued twice")
		ids[m.ID] = true
	}
}

// TestStopGivesUpWhatOutlastsTheGrace shows that a request that no grace time
// is long enough for is told so.
func TestStopGivesUpWhatOutlastsTheGrace(t *testing.T) {
	t.Parallel()
	worker := startWorker(t)
	g := startGateway(t, "--amqp-url="+rabbittest.URL(t), "--worker-url="+worker.URL, "--shutdown-grace=100ms")
	answered := make(chan answer)
	go func() {
		a, err := g.tryPost(t.Context(), "/v1/sync", smallest)
		if err != nil {
			t.Error(err)
		}
		answered <- a
	}()
	<-worker.started
	g.terminate()
	a := <-answered
	require.Equal(t, http.StatusServiceUnavailable, a.status)
	require.Equal(t, "urn:twinlane:problem:shutting-down", a.field(t, "type"))
	require.Equal(t, "2", a.header.Get("Retry-After"))
	require.Equal(t, exitOK, g.stop(t), "%s", g.log)
}

// TestDrainDelay shows that the gateway serves on while it says that it goes
// away. Its delay leaves a busy machine the time for a few requests.
func TestDrainDelay(t *testing.T) {
	t.Parallel()
	g := startGateway(t, "--amqp-url="+rabbittest.URL(t), "--worker-url="+startFreeWorker(t).URL, "--drain-delay=10s")
	g.awaitReady(t)
	g.terminate()
	require.Eventually(t, func() bool { return g.get(t, g.admin+"/readyz").status == http.StatusServiceUnavailable }, patience, time.Millisecond)
	require.Equal(t, http.StatusOK, g.post(t, "/v1/sync", smallest).status)
	require.Equal(t, http.StatusAccepted, g.post(t, "/v1/async", smallest).status)
	require.Equal(t, exitOK, g.stop(t), "%s", g.log)
}

// TestBrokerAway shows that without a broker one lane says so at once, and the
// other one works.
func TestBrokerAway(t *testing.T) {
	t.Parallel()
	g := startGateway(t, "--amqp-url=amqp://nobody:secret@127.0.0.1:1/", "--worker-url="+startFreeWorker(t).URL, "--signing-keys="+signingKey)
	a := g.get(t, g.admin+"/readyz")
	require.Equal(t, http.StatusServiceUnavailable, a.status)
	require.Contains(t, string(a.body), "broker unavailable")
	a = g.post(t, "/v1/async", smallest)
	require.Equal(t, http.StatusServiceUnavailable, a.status)
	require.Equal(t, "urn:twinlane:problem:broker-unavailable", a.field(t, "type"))
	for _, path := range []string{"/v1/tasks/" + keyedID(t, "k"), "/v1/runs/r"} {
		a = g.get(t, g.api+path)
		require.Equal(t, http.StatusServiceUnavailable, a.status)
		require.Equal(t, "urn:twinlane:problem:results-behind", a.field(t, "type"))
		require.NotEmpty(t, a.header.Get("Retry-After"))
	}
	require.Equal(t, http.StatusOK, g.post(t, "/v1/sync", smallest).status)
	require.Equal(t, exitFailed, run(t.Context(), []string{"health", "--admin-addr=" + strings.TrimPrefix(g.admin, "http://")}, io.Discard, io.Discard))
	require.Equal(t, exitOK, g.stop(t), "%s", g.log)
	require.NotContains(t, g.log.String(), "secret")
}

func TestWorkerAway(t *testing.T) {
	t.Parallel()
	worker := startWorker(t)
	worker.Close()
	g := startGateway(t, "--amqp-url="+rabbittest.URL(t), "--worker-url="+worker.URL)
	g.awaitReady(t)
	a := g.post(t, "/v1/sync", smallest)
	require.Equal(t, http.StatusServiceUnavailable, a.status)
	require.Equal(t, "urn:twinlane:problem:worker-unavailable", a.field(t, "type"))
	require.Equal(t, http.StatusAccepted, g.post(t, "/v1/async", smallest).status)
}

// TestHostileClients sends what no client library sends. None of it costs the
// gateway a connection to the broker or a goroutine.
func TestHostileClients(t *testing.T) { //nolint:tparallel // Its group ends before it does.
	t.Parallel()
	g := startGateway(t, "--amqp-url="+rabbittest.URL(t), "--worker-url="+startFreeWorker(t).URL)
	g.awaitReady(t)
	const head = "POST /v1/async HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	long := strings.Repeat("x", 1<<20)
	t.Run("group", func(t *testing.T) {
		for name, tc := range map[string]struct {
			text   string
			status int
		}{
			"1 MiB of headers":      {head + "X-Request-Id: " + long + "\r\n\r\n", 431},
			"1 MiB of request line": {"POST /" + long + " HTTP/1.1\r\nHost: x\r\n\r\n", 431},
			"1 MiB of body":         {head + "Content-Length: 1048576\r\n\r\n" + long, 413},
			"1 MiB in chunks":       {head + "Transfer-Encoding: chunked\r\n\r\n100000\r\n" + long + "\r\n0\r\n\r\n", 413},
			"16 MiB of body":        {head + "Content-Length: 16777216\r\n\r\n" + strings.Repeat(long, 16), 413},
			"slow body":             {head + "Content-Length: 100\r\n\r\n{", 408},
			"no HTTP":               {"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400},
			"two lengths":           {head + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400},
			"length and chunks":     {head + "Content-Length: 2\r\nTransfer-Encoding: gzip, chunked\r\n\r\n{}", 501},
			"negative length":       {head + "Content-Length: -1\r\n\r\n", 400},
			"no host":               {"POST /v1/async HTTP/1.1\r\n\r\n", 400},
			"HTTP of the future":    {"POST /v1/async HTTP/3.0\r\nHost: x\r\n\r\n", 505},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				require.Equal(t, tc.status, statusOf(t, g.raw(t, tc.text)))
			})
		}
		t.Run("slow headers", func(t *testing.T) {
			t.Parallel()
			conn := g.raw(t, head)
			require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
			_, err := conn.Read(make([]byte, 1))
			require.ErrorIs(t, err, io.EOF, "the connection ends without a word")
		})
		t.Run("silence", func(t *testing.T) {
			t.Parallel()
			require.NoError(t, g.raw(t, head+"Content-Length: 100\r\n\r\n{").Close())
		})
	})
	require.Equal(t, http.StatusAccepted, g.post(t, "/v1/async", smallest).status)
	require.Equal(t, 1, g.metric(t, "gateway_amqp_connects_total", map[string]string{"connection": "gateway-publish"}))
	require.Equal(t, exitOK, g.stop(t), "%s", g.log)
}

func TestAddressTaken(t *testing.T) {
	t.Parallel()
	taken := strings.TrimPrefix(startFreeWorker(t).URL, "http://")
	for _, flag := range []string{"--http-addr=", "--admin-addr="} {
		var log servicetest.Log
		args := []string{"--http-addr=127.0.0.1:0", "--admin-addr=127.0.0.1:0", flag + taken}
		require.Equal(t, exitFailed, run(t.Context(), args, io.Discard, &log))
		require.Contains(t, log.String(), "listen on "+taken)
	}
}
