package main

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/task"
	"github.com/twinlane/twinlane/worker/internal/brokertest"
)

// neighboursOfAnExit has a task end every worker that starts it, and starts a
// new one each time: the tasks that were delivered with it are done, however
// long they take, and it dies alone.
func neighboursOfAnExit(t *testing.T, v brokertest.VHost) {
	t.Helper()
	const culprit = "culprit"
	to, ledger := newTarget(t), v.Ledger(t)
	pub, _ := v.Publisher(t, rabbitmq.Tasks())
	publish(t, pub, culprit, "exit")
	neighbours := ids("short", 10)
	for _, id := range neighbours {
		publish(t, pub, id, "")
	}
	for i, id := range ids("long", 2) {
		publishLong(t, pub, id, time.Duration(10+i)*time.Second)
		neighbours = append(neighbours, id)
	}

	settled := func() bool {
		for _, id := range neighbours {
			require.Empty(t, ledger.BrokersDeaths(id), "%s died with the culprit", id)
			if len(ledger.Results(t, id)) == 0 {
				return false
			}
		}
		return len(ledger.BrokersDeaths(culprit)) > 0
	}
	exits := 0
	for p := startWorker(t, v, to); !p.endedBefore(t, settled); p = startWorker(t, v, to) {
		exits++
		require.Equal(t, 70, p.await(t), "%s", p.log)
		require.Less(t, exits, 50, "it never ends")
	}
	require.Equal(t, crashesOfACulprit(), exits)

	for _, id := range neighbours {
		for _, res := range ledger.Results(t, id) { // more than one where the crash came between result and ack
			require.Equal(t, task.StatusCompleted, res.Status, id)
			require.Equal(t, 1, res.Attempt, "a crash of another is no attempt")
		}
	}
	require.Equal(t, []string{string(task.ReasonDeliveryLimit)}, ledger.BrokersDeaths(culprit))
	require.Empty(t, ledger.Results(t, culprit))
	for _, id := range ids("long", 2) {
		require.Equal(t, 1, to.counts()[id], "%s was done once, when nobody cut it off", id)
		require.Len(t, ledger.Results(t, id), 1)
	}
	awaitEmpty(t, v)
	code, out, log := runWith(t, "", "dlq", "show", culprit, "--amqp-url", v.URL())
	require.Zero(t, code, log)
	require.Regexp(t, `(?m)^reason +delivery_limit$`, out)
	require.Regexp(t, `(?m)^queue +`+task.QueueIsolated+`$`, out)
	require.Equal(t, map[string]int{culprit: 1}, take(t, v, task.QueueDeadLetter))
}

// crashesOfACulprit is how many processes a task can end before the broker
// gives it up: three among all, one among few, and alone as many as the queue's
// limit allows.
func crashesOfACulprit() int {
	queues := rabbitmq.TaskQueues()
	return 3 + 1 + queues[len(queues)-1].DeliveryLimit + 1
}

// endedBefore waits until the process has ended, which it reports as false, or
// cond holds. Then it stops the process, in order.
func (p *process) endedBefore(t *testing.T, cond func() bool) bool {
	t.Helper()
	late := time.NewTimer(brokertest.Patience)
	defer late.Stop()
	tick := time.NewTicker(brokertest.Interval)
	defer tick.Stop()
	for {
		select {
		case err := <-p.done:
			p.done <- err
			return false
		case <-tick.C:
			if cond() {
				require.Zero(t, p.end(t, syscall.SIGTERM), "%s", p.log)
				return true
			}
		case <-late.C:
			require.Fail(t, "neither ended the process nor came true what was waited for", fmt.Sprint(p.log))
		}
	}
}
