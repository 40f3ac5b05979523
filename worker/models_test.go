package main

import (
	"math/rand/v2"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/rabbitmq/rabbittest"
	"github.com/twinlane/twinlane/internal/task"
	"github.com/twinlane/twinlane/worker/internal/brokertest"
	"github.com/twinlane/twinlane/worker/internal/executor"
)

// TestEveryModelKeepsTheBooks has whole workers of each model and policy, all of
// them full, be stopped with tasks queued, be killed with tasks queued, and do
// the rest.
func TestEveryModelKeepsTheBooks(t *testing.T) {
	t.Parallel()
	node := rabbittest.Start(t)
	models := map[string][]string{
		"goroutine": {"--executor=goroutine", "--concurrency=4"},
		"threads":   {"--os-threads", "--concurrency=4"},
		"serial":    {"--executor=serial"},
		"keyed":     {"--executor=keyed", "--concurrency=4", "--key-queue=8"},
	}
	for _, policy := range executor.Policies() {
		models["pool "+string(policy)] = []string{
			"--executor=pool", "--pool-core=2", "--pool-max=4", "--pool-queue=8", "--pool-policy=" + string(policy),
		}
	}
	for name, args := range models {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			booksBalance(t, brokertest.NewVHost(t, node), args)
		})
	}
}

func booksBalance(t *testing.T, v brokertest.VHost, args []string) {
	t.Helper()
	const tasks = 48
	to := newTarget(t)
	pub, _ := v.Publisher(t, rabbitmq.Tasks())
	ledger := v.Ledger(t)
	well, failing, flaky := ids("well", tasks), ids("failing", 5), ids("flaky", 5)
	for i, id := range well {
		publishTask(t, pub, task.Message{ID: id, Request: task.Request{Action: task.ActionHTTP, Key: "k-" + id[len(id)-1:]}})
		if i < len(failing) {
			publish(t, pub, failing[i], "permanent")
			publishTask(t, pub, task.Message{ID: flaky[i], Request: task.Request{
				Action: task.ActionHTTP, Fail: &task.Fail{Kind: task.FailTransient, Count: 1},
			}})
		}
	}
	someDone := func(n int) {
		enough := len(to.counts()) + n
		require.Eventually(t, func() bool { return len(to.counts()) >= enough }, brokertest.Patience, time.Millisecond)
	}

	p := startWorker(t, v, to, args...)
	someDone(2)
	require.Zero(t, p.end(t, syscall.SIGTERM), "%s", p.log)
	require.Equal(t, to.begunCounts(), to.counts(), "what had begun was given the time to finish")
	for id, n := range to.counts() {
		require.Equal(t, 1, n, "%s ran once", id)
	}

	p = startWorker(t, v, to, args...)
	someDone(1 + rand.IntN(4))
	require.Equal(t, -1, p.end(t, os.Kill))

	p = startWorker(t, v, to, args...)
	books := make(map[task.Status]int)
	for _, id := range append(append(well, failing...), flaky...) {
		require.Eventually(t, func() bool { return len(ledger.Results(t, id)) > 0 }, 2*brokertest.Patience, brokertest.Interval, "%s has no end\n%s", id, p.log)
		results := ledger.Results(t, id)
		books[results[len(results)-1].Status]++
	}
	awaitEmpty(t, v)
	require.Zero(t, p.end(t, syscall.SIGTERM), "%s", p.log)
	t.Logf("%v", books)

	require.Equal(t, tasks+len(failing)+len(flaky), books[task.StatusCompleted]+books[task.StatusDead]+books[task.StatusDiscarded])
	if policy := args[len(args)-1]; policy == "--pool-policy=discard" || policy == "--pool-policy=discard_oldest" {
		require.NotZero(t, books[task.StatusDiscarded])
		return
	}
	require.Equal(t, len(failing), books[task.StatusDead])
	require.Equal(t, tasks+len(flaky), books[task.StatusCompleted])
	require.Len(t, take(t, v, task.QueueDeadLetter), len(failing))
}
