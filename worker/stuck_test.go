package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/service"
	"github.com/twinlane/twinlane/internal/task"
	"github.com/twinlane/twinlane/worker/internal/brokertest"
)

// stuckStream has a stream that confirms nothing, as one can come back after a
// power cut, and a worker that has to do its work without it. What it cannot
// tell it does once all the same, and when the stream is back it tells again.
func stuckStream(t *testing.T, v brokertest.VHost) {
	t.Helper()
	const (
		// tasks are more than the broker lets wait for a stream before it stops
		// reading from the connection, and from all channels on it.
		tasks = 1500
		// insisted is for how long results are, before they are given up.
		insisted = time.Minute
	)
	to, ledger := newTarget(t), v.Ledger(t)
	pub, _ := v.Publisher(t, rabbitmq.Tasks())
	p := startWorker(t, v, to, "--concurrency", "2000", "--max-attempts", "2")
	_, adminAddr := p.log.addresses(t)
	publish(t, pub, "before", "")
	ledger.Await(t, "before")
	leader(t, v, "suspend")

	began := time.Now()
	all := ids("t", tasks)
	for _, id := range all {
		publish(t, pub, id, "")
	}
	require.Eventually(t, func() bool { return len(to.counts()) == 1+tasks }, brokertest.Patience, brokertest.Interval)

	// All of them are held for their results, and what needs none goes on.
	publish(t, pub, "permanent", "permanent")
	publish(t, pub, "exhausted", "transient")
	letters := make(map[string]int)
	require.Eventually(t, func() bool {
		for id, n := range take(t, v, task.QueueDeadLetter) {
			letters[id] += n
		}
		return len(letters) == 2
	}, insisted, 100*time.Millisecond)
	require.Less(t, time.Since(began), insisted, "before any result is given up")
	require.Equal(t, map[string]int{"permanent": 1, "exhausted": 1}, letters)
	code, why := get(t, "http://"+adminAddr+"/readyz")
	require.Equal(t, http.StatusOK, code, why)

	completed := func() int {
		return p.metric(t, adminAddr, `worker_settlements_total{settlement="completed",source="tasks.v1"} `)
	}
	require.Equal(t, 1, completed(), "the others are insisted on")
	require.Eventually(t, func() bool { return completed() == 1+tasks }, insisted+brokertest.Patience, 100*time.Millisecond)
	require.Equal(t, 1, strings.Count(p.log.String(), "results are being lost"), "%s", p.log)

	// From now on nobody waits for a result.
	late := ids("late", 200)
	for _, id := range late {
		publish(t, pub, id, "")
	}
	require.Eventually(t, func() bool { return completed() >= tasks+len(late) }, insisted/2, 100*time.Millisecond)
	require.NotContains(t, p.log.String(), "results are told again")
	for id, n := range to.counts() {
		require.Equal(t, 1, n, "%s ran once", id)
	}

	leader(t, v, "resume")
	told := 0
	require.Eventually(t, func() bool {
		told++
		publish(t, pub, fmt.Sprintf("after-%d", told), "")
		return strings.Contains(p.log.String(), "results are told again")
	}, brokertest.Patience, 100*time.Millisecond)
	publish(t, pub, "told", "")
	ledger.Await(t, "told")
	require.Empty(t, take(t, v, task.QueueTasks))
	// Those in the DLQ have been insisted on for less than a minute perhaps.
	require.Eventually(t, func() bool {
		return p.metric(t, adminAddr, `worker_settlements_total{settlement="dead",source="tasks.v1"} `) == len(letters)
	}, brokertest.Patience, 100*time.Millisecond)
	require.Zero(t, p.metric(t, adminAddr, `worker_deliveries_held{cause="unconfirmed",source="tasks.v1"} `))

	// A stop waits for no result: the next worker may be able to tell it.
	leader(t, v, "suspend")
	last := ids("last", 10)
	for _, id := range last {
		publish(t, pub, id, "")
	}
	require.Eventually(t, func() bool {
		done := to.counts()
		return !slices.ContainsFunc(last, func(id string) bool { return done[id] == 0 })
	}, brokertest.Patience, brokertest.Interval)
	began = time.Now()
	require.Zero(t, p.end(t, syscall.SIGTERM), "%s", p.log)
	require.Less(t, time.Since(began), insisted/2)
	leader(t, v, "resume")
	require.Len(t, take(t, v, task.QueueTasks), len(last))
}

// metric is the value of a line of the metrics that begins with name.
func (p *process) metric(t *testing.T, adminAddr, name string) (value int) {
	t.Helper()
	_, page := get(t, "http://"+adminAddr+"/metrics")
	_, line, found := strings.Cut(page, "\n"+name)
	require.True(t, found, "no metric %s", name)
	_, err := fmt.Sscan(line, &value)
	require.NoError(t, err)
	return value
}

// leader suspends or resumes the process of the broker that writes the results
// stream.
func leader(t *testing.T, v brokertest.VHost, what string) {
	t.Helper()
	_, err := v.Node.Ctl(t.Context(), "eval", fmt.Sprintf(`
		{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<%q>>, queue, <<%q>>)),
		#{leader_pid := Leader} = amqqueue:get_type_state(Q),
		sys:%s(Leader).`, v.Name, task.QueueResults, what))
	require.NoError(t, err)
}

// readyWithoutResults holds that a worker takes work whose connection for
// results is not there.
func readyWithoutResults(t *testing.T, v brokertest.VHost) {
	t.Helper()
	c := serveCommand{brokerFlags: brokerFlags{AMQPURL: v.URL()}}
	b, err := c.newBroker(nil, prometheus.NewRegistry(), service.NewLogger(&logLines{}, slog.LevelInfo))
	require.NoError(t, err)
	readiness := b.readiness()
	brokertest.Run(t, b.conn.Run)
	require.Eventually(t, func() bool { return b.conn.Ready() == nil }, brokertest.Patience, brokertest.Interval)
	require.ErrorIs(t, readiness.Ready(), rabbitmq.ErrUnavailable, "it could not move tasks")
	brokertest.Run(t, b.tasks.Run)
	require.Eventually(t, func() bool { return readiness.Ready() == nil }, brokertest.Patience, brokertest.Interval)
	require.ErrorIs(t, b.results.Ready(), rabbitmq.ErrUnavailable)
}
