package rabbitmq_test

import (
	"context"
	"fmt"
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

func subscribe(t *testing.T, url, queue string, prefetch int, deliver func(context.Context, amqp.Delivery), options ...func(*rabbitmq.Subscription)) subscription {
	t.Helper()
	reg := prometheus.NewRegistry()
	conn, err := rabbitmq.NewConnection(connectTo(url), oneQueue(queue, nil), reg, nil)
	require.NoError(t, err)
	disconnect := background(t, conn.Run)
	sub, err := rabbitmq.NewSubscription(conn, rabbitmq.SubscriptionConfig{Queue: queue, Prefetch: prefetch, ConsumerTag: "test"}, reg, nil)
	require.NoError(t, err)
	for _, option := range options {
		option(sub)
	}
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

// TestSubscriptionNoticesThatItWasForgotten has a queue deleted and declared
// again at once, of which RabbitMQ 3.10 mostly tells no consumer.
func TestSubscriptionNoticesThatItWasForgotten(t *testing.T) {
	t.Parallel()
	url, queue := rabbittest.URL(t), rabbittest.Prefix(t)+".q"
	deleteAfter(t, url, queue)
	var in inbox
	sub := subscribe(t, url, queue, 10, in.put, func(s *rabbitmq.Subscription) { s.RenewAfter(200 * time.Millisecond) })
	ch := open(t, url)
	for i := range 3 {
		id := fmt.Sprint("m", i)
		send(t, url, queue, id)
		held := in.take(t, 1)
		require.Equal(t, id, held[0].MessageId)
		require.NoError(t, held[0].Ack(false))
		_, err := ch.QueueDelete(queue, false, false, false)
		require.NoError(t, err)
		_, err = ch.QueueDeclare(queue, true, false, false, false, amqp.Table(quorumQueue(queue, nil).Args))
		require.NoError(t, err)
	}
	send(t, url, queue, "last")
	last := in.take(t, 1)[0]
	require.Equal(t, "last", last.MessageId)

	before := metric(t, sub.reg, "subscription_losses_total")
	open := func() bool { return metric(t, sub.reg, "subscription_channels_open") == 1 }
	require.Never(t, func() bool { return !open() }, time.Second, 10*time.Millisecond, "who has something to settle is not idle")
	require.NoError(t, last.Ack(false))
	require.Eventually(t, func() bool { return !open() }, patience, 50*time.Microsecond, "it is renewed")
	require.Eventually(t, open, patience, time.Millisecond)
	require.InDelta(t, before, metric(t, sub.reg, "subscription_losses_total"), 0, "a renewal is no loss")
}

// TestAStopAmidARenewalKeepsTheConnection stops idle consumers at every moment of
// their renewals: others have deliveries to settle on the same connection.
func TestAStopAmidARenewalKeepsTheConnection(t *testing.T) {
	t.Parallel()
	node := rabbittest.Start(t)
	keeper := subscribe(t, node.URL(), "q", 1, new(inbox).put)
	for i := range 200 {
		sub, err := rabbitmq.NewSubscription(keeper.conn, rabbitmq.SubscriptionConfig{Queue: "q", Prefetch: 1, ConsumerTag: "test"}, nil, nil)
		require.NoError(t, err)
		sub.RenewAfter(time.Duration(1+i%7) * time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(5_000+i*37)*time.Microsecond)
		require.NoError(t, sub.Run(ctx, new(inbox).put))
		cancel()
	}
	require.InDelta(t, 1, metric(t, keeper.reg, "amqp_connects_total"), 0)
	require.Zero(t, metric(t, keeper.reg, "amqp_connection_failures_total"))
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
