package rabbitmq_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/rabbitmq/rabbittest"
)

// inbox holds deliveries until a test settles them.
type inbox struct {
	mu   sync.Mutex
	held []amqp.Delivery
}

func (b *inbox) put(_ context.Context, d amqp.Delivery) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held = append(b.held, d)
}

func (b *inbox) len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.held)
}

// take waits until n deliveries are held and takes them all out.
func (b *inbox) take(t *testing.T, n int) []amqp.Delivery {
	t.Helper()
	require.Eventually(t, func() bool { return b.len() >= n }, patience, 5e6, "want %d deliveries", n)
	b.mu.Lock()
	defer b.mu.Unlock()
	held := b.held
	b.held = nil
	return held
}

type subscription struct {
	reg              *prometheus.Registry
	conn             *rabbitmq.Connection
	stop, disconnect func()
}

func subscribe(t *testing.T, url, queue string, prefetch int, deliver func(context.Context, amqp.Delivery)) subscription {
	t.Helper()
	reg := prometheus.NewRegistry()
	conn, err := rabbitmq.NewConnection(connectTo(url), oneQueue(queue, nil), reg, nil)
	require.NoError(t, err)
	disconnect := background(t, conn.Run)
	sub, err := rabbitmq.NewSubscription(conn, rabbitmq.SubscriptionConfig{Queue: queue, Prefetch: prefetch, ConsumerTag: "test"}, reg, nil)
	require.NoError(t, err)
	stop := background(t, func(ctx context.Context) error { return sub.Run(ctx, deliver) })
	return subscription{reg: reg, conn: conn, stop: stop, disconnect: disconnect}
}

func send(t *testing.T, url, queue string, names ...string) {
	t.Helper()
	p := startPublisher(t, rabbitmq.PublisherConfig{}, connectTo(url), rabbitmq.Topology{}).usable(t, 4)
	for _, id := range names {
		require.Eventually(t, func() bool { return p.Publish(t.Context(), message(queue, id)) == nil }, patience, 10e6)
	}
	p.stop()
}

func TestSubscriptionPrefetchSpansChannels(t *testing.T) {
	t.Parallel()
	url, queue := rabbittest.URL(t), rabbittest.Prefix(t)+".q"
	deleteAfter(t, url, queue)
	var in inbox
	sub := subscribe(t, url, queue, 10_001, in.put)
	require.Eventually(t, func() bool { return metric(t, sub.reg, "subscription_channels_open") == 2 }, patience, 5*time.Millisecond)
	p := startPublisher(t, rabbitmq.PublisherConfig{AcquireWait: patience, ConfirmTimeout: patience}, connectTo(url), rabbitmq.Topology{}).usable(t, 4)
	var messages []rabbitmq.Message
	for _, id := range numbered("m", 10_100) {
		messages = append(messages, message(queue, id))
	}
	for _, err := range outcomes(p, messages...) {
		require.NoError(t, err)
	}
	held := in.take(t, 10_001)
	require.Len(t, held, 10_001, "no more than the prefetch")
	require.InDelta(t, 10_001, metric(t, sub.reg, "subscription_unsettled_deliveries"), 0)
	for _, d := range held {
		require.NoError(t, d.Ack(false))
	}
	for _, d := range in.take(t, 99) {
		require.NoError(t, d.Ack(false))
	}
	require.Zero(t, metric(t, sub.reg, "subscription_unsettled_deliveries"))
}

// One delivery is handed over and holds the loop; four more are prefetched.
func TestSubscriptionStopsWithoutLosingAnything(t *testing.T) {
	t.Parallel()
	url, queue := rabbittest.URL(t), rabbittest.Prefix(t)+".q"
	deleteAfter(t, url, queue)
	var in inbox
	sub := subscribe(t, url, queue, 5, func(ctx context.Context, d amqp.Delivery) {
		in.put(ctx, d)
		<-ctx.Done()
	})
	send(t, url, queue, numbered("m", 5)...)
	held := in.take(t, 1)
	require.Len(t, held, 1)
	sub.stop()
	require.NoError(t, held[0].Ack(false), "what was handed over can still be settled")
	sub.disconnect()
	got := ids(t, url, queue, 4)
	require.Len(t, got, 4, "what was not handed over is back in the queue")
	require.NotContains(t, got, held[0].MessageId, "what was acked is not")
}

func TestSubscriptionReturnsAfterTheQueueWasDeleted(t *testing.T) {
	t.Parallel()
	url, queue := rabbittest.URL(t), rabbittest.Prefix(t)+".q"
	deleteAfter(t, url, queue)
	var in inbox
	sub := subscribe(t, url, queue, 10, in.put)
	send(t, url, queue, "before")
	before := in.take(t, 1)
	_, err := open(t, url).QueueDelete(queue, false, false, false)
	require.NoError(t, err)
	send(t, url, queue, "after")
	after := in.take(t, 1)
	require.Equal(t, "after", after[0].MessageId)
	require.NoError(t, after[0].Ack(false))
	require.NoError(t, before[0].Ack(false), "the old channel stays open for what was handed over")
	require.InDelta(t, 1, metric(t, sub.reg, "amqp_connects_total"), 0)
	require.GreaterOrEqual(t, metric(t, sub.reg, "subscription_losses_total"), 1.0)
}

// TestADeliveryIsToldThatItsChannelIsGone loses a consumer, which leaves its
// deliveries alone, and then the connection.
func TestADeliveryIsToldThatItsChannelIsGone(t *testing.T) {
	t.Parallel()
	node := rabbittest.Start(t)
	contexts := make(chan context.Context, 3)
	sub := subscribe(t, node.URL(), "q", 10, func(ctx context.Context, _ amqp.Delivery) { contexts <- ctx })
	send(t, node.URL(), "q", "first")
	first := <-contexts
	_, err := open(t, node.URL()).QueueDelete("q", false, false, false)
	require.NoError(t, err)
	send(t, node.URL(), "q", "second")
	second := <-contexts
	require.NoError(t, first.Err(), "its channel is still there")

	require.NoError(t, node.CloseAllConnections(t.Context()))
	<-first.Done()
	<-second.Done()
	again := <-contexts
	require.NoError(t, again.Err())
	sub.stop()
	<-again.Done()
}

// Under the library's own recovery the late ack would settle another message,
// one that has the same tag on the new channel.
func TestLateAckAfterReconnectSettlesNothing(t *testing.T) {
	t.Parallel()
	node := rabbittest.Start(t)
	var in inbox
	sub := subscribe(t, node.URL(), "q", 10, in.put)
	send(t, node.URL(), "q", numbered("m", 7)...)
	old := in.take(t, 7)
	require.NoError(t, old[0].Ack(false))
	require.NoError(t, node.CloseAllConnections(t.Context()))
	again := in.take(t, 6)
	for _, d := range old[1:] {
		require.Error(t, d.Ack(false), "an ack on a channel that is gone")
	}
	sub.stop()
	sub.disconnect()
	want := make(map[string]int)
	for _, d := range again {
		want[d.MessageId] = 1
	}
	require.Len(t, want, 6)
	require.Equal(t, want, ids(t, node.URL(), "q", 6), "no late ack took a message away")
}

func TestSubscriptionConfigIsChecked(t *testing.T) {
	t.Parallel()
	_, err := rabbitmq.NewSubscription(nil, rabbitmq.SubscriptionConfig{Queue: "q"}, nil, nil)
	require.EqualError(t, err, "prefetch 0 is not allowed; allowed: 1 and more")
}

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
	retry := func(ms float64) map[string]any {
		return quorum(map[string]any{
			"x-message-ttl": ms, "x-dead-letter-strategy": "at-least-once",
			"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "tasks.v1",
		})
	}
	require.Equal(t, map[string]map[string]any{
		"tasks.v1": quorum(map[string]any{
			"x-delivery-limit": 20.0, "x-dead-letter-strategy": "at-least-once", "x-dead-letter-exchange": "tasks.v1.dead",
		}),
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

func TestParseURLs(t *testing.T) {
	t.Parallel()
	urls, err := rabbitmq.ParseURLs("amqp://a:b@one:5672/, amqps://two/vhost")
	require.NoError(t, err)
	require.Equal(t, []string{"amqp://a:b@one:5672/", "amqps://two/vhost"}, urls)
	for _, bad := range []string{"", "http://one/", "amqp://user:secret@one:port/", "amqp://one/,"} {
		_, err := rabbitmq.ParseURLs(bad)
		require.Error(t, err, bad)
		require.NotContains(t, err.Error(), "secret")
	}
}
