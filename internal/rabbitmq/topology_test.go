package rabbitmq_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/rabbitmq/rabbittest"
	"github.com/twinlane/twinlane/internal/task"
)

func TestTopologyDriftIsReportedAndSurvived(t *testing.T) {
	t.Parallel()
	url, queue := rabbittest.URL(t), rabbittest.Prefix(t)+".q"
	deleteAfter(t, url, queue, queue+".2")
	_, err := open(t, url).QueueDeclare(queue, true, false, false, false, amqp.Table{"x-queue-type": "quorum", "x-delivery-limit": 3})
	require.NoError(t, err)
	topology := rabbitmq.Topology{Queues: []rabbitmq.Queue{quorumQueue(queue, nil), quorumQueue(queue+".2", nil)}}
	p := startPublisher(t, rabbitmq.PublisherConfig{}, connectTo(url), topology).usable(t, 4)
	require.InDelta(t, 1, p.metric(t, "amqp_topology_drift", queue), 0)
	require.Zero(t, p.metric(t, "amqp_topology_drift", queue+".2"))
	for _, q := range []string{queue, queue + ".2"} {
		require.NoError(t, p.Publish(t.Context(), message(q, "m")), "the rest is declared and the queue is used as it is")
		require.Equal(t, map[string]int{"m": 1}, ids(t, url, q, 1))
	}
}

func TestTasksTopology(t *testing.T) {
	t.Parallel()
	node := rabbittest.Start(t)
	p := startPublisher(t, rabbitmq.PublisherConfig{}, connectTo(node.URL()), rabbitmq.Tasks()).usable(t, 4)
	require.Zero(t, p.metric(t, "amqp_topology_drift"))
	requireArguments(t, node)
	retry := rabbitmq.RetrySteps()[0]
	require.NoError(t, p.Publish(t.Context(), message(retry.Queue, "retried")))
	require.Equal(t, map[string]int{"retried": 1}, ids(t, node.URL(), "tasks.v1", 1), "a retry step leads back to the tasks")
	dead := message("", "dead")
	dead.Exchange = "tasks.v1.dead"
	require.NoError(t, p.Publish(t.Context(), dead))
	require.Equal(t, map[string]int{"dead": 1}, ids(t, node.URL(), "tasks.v1.dlq", 1))
	told, _, _ := startReader(t, node.URL(), "tasks.v1.results")
	told.requireLast(t, "dead")

	// The broker's own safety net: 20 deliveries that end without an answer.
	require.NoError(t, p.Publish(t.Context(), message("tasks.v1", "crashing")))
	for i := range 21 {
		conn, err := amqp.Dial(node.URL())
		require.NoError(t, err)
		ch, err := conn.Channel()
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			_, ok, err := ch.Get("tasks.v1", false)
			return err == nil && ok
		}, patience, 5e6, "delivery %d", i+1)
		require.NoError(t, conn.Close())
	}
	require.Equal(t, map[string]int{"crashing": 1}, ids(t, node.URL(), "tasks.v1.dlq", 1))
	told.requireLast(t, "crashing")
	require.Equal(t, "delivery_limit", told.lastHeader(t, task.HeaderFirstDeathReason), "the stream tells of a death that no worker reports")
}

// requireArguments holds the arguments on which "never lost" rests, as the
// broker has them.
func requireArguments(t *testing.T, node *rabbittest.Node) {
	t.Helper()
	out, err := node.Ctl(t.Context(), "list_queues", "--formatter", "json", "name", "durable", "arguments")
	require.NoError(t, err)
	var queues []struct {
		Name      string          `json:"name"`
		Durable   bool            `json:"durable"`
		Arguments json.RawMessage `json:"arguments"`
	}
	require.NoError(t, json.Unmarshal([]byte(out), &queues))
	got := make(map[string]map[string]any)
	for _, q := range queues {
		require.True(t, q.Durable, q.Name)
		got[q.Name] = arguments(t, q.Arguments)
	}
	quorum := func(more map[string]any) map[string]any {
		args := map[string]any{"x-queue-type": "quorum", "x-overflow": "reject-publish"}
		maps.Copy(args, more)
		return args
	}
	tasks := func(limit float64) map[string]any {
		return quorum(map[string]any{
			"x-delivery-limit": limit, "x-dead-letter-strategy": "at-least-once", "x-dead-letter-exchange": "tasks.v1.dead",
		})
	}
	retry := func(ms float64) map[string]any {
		return quorum(map[string]any{
			"x-message-ttl": ms, "x-dead-letter-strategy": "at-least-once",
			"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "tasks.v1",
		})
	}
	require.Equal(t, map[string]map[string]any{
		"tasks.v1":          tasks(20),
		"tasks.v1.suspect":  tasks(20),
		"tasks.v1.isolated": tasks(3),
		"tasks.v1.results": {
			"x-queue-type": "stream", "x-max-age": "3600s", "x-max-length-bytes": float64(2 << 30),
			"x-stream-max-segment-size-bytes": float64(64 << 20),
		},
		"tasks.v1.dlq":       quorum(map[string]any{"x-delivery-limit": 1e6}),
		"tasks.v1.retry.1s":  retry(1000),
		"tasks.v1.retry.5s":  retry(5000),
		"tasks.v1.retry.30s": retry(30_000),
	}, got)
}

// arguments reads a queue's arguments, which some versions print as an object
// and others as a list of name, type and value.
func arguments(t *testing.T, raw json.RawMessage) map[string]any {
	t.Helper()
	got := make(map[string]any)
	if json.Unmarshal(raw, &got) == nil {
		return got
	}
	var triples [][3]any
	require.NoError(t, json.Unmarshal(raw, &triples), "%s", raw)
	for _, triple := range triples {
		got[fmt.Sprint(triple[0])] = triple[2]
	}
	return got
}

// With a policy on its length, the queue of the real topology refuses what it
// has no room for, and drops nothing that it has confirmed.
func TestFullTaskQueueRefuses(t *testing.T) {
	t.Parallel()
	node := rabbittest.Start(t)
	p := startPublisher(t, rabbitmq.PublisherConfig{}, connectTo(node.URL()), rabbitmq.Tasks()).usable(t, 4)
	require.NoError(t, node.SetPolicy(t.Context(), "short", "^tasks\\.v1$", map[string]any{"max-length": 10}))
	accepted := 0
	require.Eventually(t, func() bool {
		err := p.Publish(t.Context(), message("tasks.v1", "m"))
		if err == nil {
			accepted++
			return false
		}
		require.ErrorIs(t, err, rabbitmq.ErrNacked)
		return true
	}, patience, time.Millisecond)
	require.Equal(t, map[string]int{"m": accepted}, ids(t, node.URL(), "tasks.v1", accepted))
}

// A user without the right to declare works on what operators have declared.
func TestTopologyOfOperatorsIsUsed(t *testing.T) {
	t.Parallel()
	node := rabbittest.Start(t)
	startPublisher(t, rabbitmq.PublisherConfig{}, connectTo(node.URL()), oneQueue("q", nil)).usable(t, 4)
	_, err := node.Ctl(t.Context(), "set_permissions", "twinlane", "^$", ".*", ".*")
	require.NoError(t, err)
	p := startPublisher(t, rabbitmq.PublisherConfig{}, connectTo(node.URL()), oneQueue("q", nil)).usable(t, 4)
	require.InDelta(t, 1, p.metric(t, "amqp_topology_drift", "q"), 0)
	require.NoError(t, p.Publish(t.Context(), message("q", "m")))
	require.Equal(t, map[string]int{"m": 1}, ids(t, node.URL(), "q", 1))
}

// While a stream is not available yet, the connection serves everything else.
func TestConnectionDoesNotWaitForAStream(t *testing.T) {
	t.Parallel()
	node := rabbittest.Start(t)
	queue := rabbittest.Prefix(t)
	topology := oneQueue(queue, nil)
	topology.Queues = append(topology.Queues, oneStream(queue+".stream").Queues...)
	p := startPublisher(t, rabbitmq.PublisherConfig{}, connectTo(node.URL()), topology).usable(t, 4)
	for i := range 2 {
		require.NoError(t, node.SyncQueues(t.Context()))
		node.Kill()
		require.NoError(t, node.Start(t.Context()))
		require.Eventually(t, func() bool {
			return p.Publish(t.Context(), message(queue, fmt.Sprint(i))) == nil
		}, patience, 5*time.Millisecond)
		require.Eventually(t, func() bool {
			return p.Publish(t.Context(), message(queue+".stream", fmt.Sprint(i))) == nil
		}, patience, 20*time.Millisecond)
	}
	require.Zero(t, p.metric(t, "amqp_topology_drift"))
}
