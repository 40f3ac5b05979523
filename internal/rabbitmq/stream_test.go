package rabbitmq_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/rabbitmq/rabbittest"
)

// notes is a StreamHandler that remembers what it was told.
type notes struct {
	mu         sync.Mutex
	read       []rabbitmq.StreamMessage
	subscribed int
	lost       int
}

func (n *notes) Subscribed() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.subscribed++
}

func (n *notes) Lost() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lost++
}

func (n *notes) Read(m rabbitmq.StreamMessage) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.read = append(n.read, m)
}

func (n *notes) ids() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var ids []string
	for _, m := range n.read {
		ids = append(ids, m.ID)
	}
	return ids
}

func (n *notes) last() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.read) == 0 {
		return ""
	}
	return n.read[len(n.read)-1].ID
}

func (n *notes) lastHeader(t *testing.T, name string) any {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	require.NotEmpty(t, n.read)
	return n.read[len(n.read)-1].Headers[name]
}

func (n *notes) subscriptions() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.subscribed
}

func oneStream(name string) rabbitmq.Topology {
	return rabbitmq.Topology{Queues: []rabbitmq.Queue{{Name: name, Args: map[string]any{"x-queue-type": "stream", "x-max-age": "1h"}}}}
}

func startReader(t *testing.T, url, stream string, options ...func(*rabbitmq.StreamReader)) (*notes, *rabbitmq.StreamReader, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewRegistry()
	conn, err := rabbitmq.NewConnection(connectTo(url), oneStream(stream), reg, nil)
	require.NoError(t, err)
	background(t, conn.Run)
	reader, err := rabbitmq.NewStreamReader(conn, rabbitmq.StreamConfig{Stream: stream, ConsumerTag: "reader", From: time.Hour}, reg, nil)
	require.NoError(t, err)
	for _, option := range options {
		option(reader)
	}
	var n notes
	background(t, func(ctx context.Context) error { return reader.Run(ctx, &n) })
	return &n, reader, reg
}

// write publishes messages with the ids prefix-0, prefix-1, … and returns these.
func write(t *testing.T, p publisher, stream, prefix string, count int) []string {
	t.Helper()
	ids := numbered(prefix, count)
	for _, id := range ids {
		require.Eventually(t, func() bool { // right after a restart, a stream is away for a moment
			return p.Publish(t.Context(), message(stream, id)) == nil
		}, patience, 20*time.Millisecond)
	}
	return ids
}

func (n *notes) requireLast(t *testing.T, id string) {
	t.Helper()
	require.Eventually(t, func() bool { return n.last() == id }, patience, 5*time.Millisecond, "waiting for %s", id)
}

func TestStreamReaderReadsThePastAndFollows(t *testing.T) {
	t.Parallel()
	url := rabbittest.URL(t)
	stream := rabbittest.Prefix(t)
	p := startPublisher(t, rabbitmq.PublisherConfig{}, connectTo(url), oneStream(stream)).usable(t, 4)
	deleteAfter(t, url, stream)
	want := write(t, p, stream, "past", 1500) // more than the broker sends without being told that they arrived
	n, _, reg := startReader(t, url, stream)
	n.requireLast(t, want[len(want)-1])
	want = append(want, write(t, p, stream, "now", 20)...)
	n.requireLast(t, want[len(want)-1])
	require.Equal(t, want, n.ids())
	for i, m := range n.read {
		require.EqualValues(t, i, m.Offset)
	}
	require.Equal(t, "test", n.read[0].Type)
	require.Equal(t, "x", string(n.read[0].Body))
	require.InDelta(t, float64(len(want)), metric(t, reg, "stream_messages_total"), 0)
	require.Equal(t, 1, n.subscriptions())
}

// A broker closes the channel of a reader that leaves messages unacked for long,
// however few there are.
func TestStreamReaderAcksFew(t *testing.T) {
	t.Parallel()
	node := rabbittest.Start(t)
	p := startPublisher(t, rabbitmq.PublisherConfig{}, connectTo(node.URL()), oneStream("s")).usable(t, 4)
	want := write(t, p, "s", "m", 3)
	n, _, _ := startReader(t, node.URL(), "s", func(r *rabbitmq.StreamReader) { r.AckWithin(100 * time.Millisecond) })
	n.requireLast(t, want[2])
	require.Eventually(t, func() bool {
		unacked, err := node.Ctl(t.Context(), "list_channels", "messages_unacknowledged")
		require.NoError(t, err)
		return strings.Contains(unacked, "0") && !strings.ContainsAny(unacked, "123")
	}, patience, 10*time.Millisecond)
}

// Whatever cuts the reader off, it goes on with the message after the last one.
func TestStreamReaderResumes(t *testing.T) {
	t.Parallel()
	node := rabbittest.Start(t)
	stream := rabbittest.Prefix(t)
	p := startPublisher(t, rabbitmq.PublisherConfig{}, connectTo(node.URL()), oneStream(stream)).usable(t, 4)
	want := write(t, p, stream, "first", 300)
	n, _, _ := startReader(t, node.URL(), stream)
	n.requireLast(t, want[len(want)-1])

	require.NoError(t, node.CloseAllConnections(t.Context()))
	want = append(want, write(t, p, stream, "second", 300)...)
	n.requireLast(t, want[len(want)-1])

	require.NoError(t, node.SyncQueues(t.Context()))
	node.Kill()
	require.NoError(t, node.Start(t.Context()))
	want = append(want, write(t, p, stream, "third", 10)...)
	n.requireLast(t, want[len(want)-1])
	require.Equal(t, want, n.ids())
	require.GreaterOrEqual(t, n.subscriptions(), 3)
	require.Equal(t, n.subscriptions()-1, n.lost, "each loss is told")
}

// A stream that is deleted is declared again, and read from its beginning.
func TestStreamReaderStartsOverWhenTheStreamIsDeleted(t *testing.T) {
	t.Parallel()
	node := rabbittest.Start(t)
	stream := rabbittest.Prefix(t)
	p := startPublisher(t, rabbitmq.PublisherConfig{}, connectTo(node.URL()), oneStream(stream)).usable(t, 4)
	want := write(t, p, stream, "old", 50)
	n, _, reg := startReader(t, node.URL(), stream)
	n.requireLast(t, want[len(want)-1])

	require.NoError(t, node.DeleteQueue(t.Context(), stream))
	want = append(want, write(t, p, stream, "new", 10)...)
	n.requireLast(t, want[len(want)-1])
	require.Equal(t, want, n.ids())
	require.GreaterOrEqual(t, metric(t, reg, "stream_losses_total"), 1.0)
}

// A stream that was replaced while the reader was away has nothing yet at the
// offset that the reader waits for.
func TestStreamReaderStartsOverWhenAsked(t *testing.T) {
	t.Parallel()
	p, n, reader, stream, want := replaceStream(t, 50, 10)
	reader.StartOver()
	n.requireLast(t, want[len(want)-1])
	want = append(want, write(t, p, stream, "after", 1)...)
	n.requireLast(t, want[len(want)-1])
	require.Equal(t, want, n.ids())
}

// One that has grown beyond that offset has another message there.
func TestStreamReaderNoticesAnotherStream(t *testing.T) {
	t.Parallel()
	for _, grown := range []int{50, 60} {
		_, n, _, _, want := replaceStream(t, 50, grown)
		n.requireLast(t, want[len(want)-1])
		require.Equal(t, want, n.ids())
	}
}

// replaceStream has a reader read a stream, and replaces the stream by another
// while the reader cannot see it. It returns the ids that were written into both.
func replaceStream(t *testing.T, old, grown int) (publisher, *notes, *rabbitmq.StreamReader, string, []string) {
	t.Helper()
	node := rabbittest.Start(t)
	stream := rabbittest.Prefix(t)
	p := startPublisher(t, rabbitmq.PublisherConfig{}, connectTo(node.URL()), oneStream(stream)).usable(t, 4)
	proxy := rabbittest.StartProxy(t, node.URL())
	ids := write(t, p, stream, "old", old)
	n, reader, _ := startReader(t, proxy.URL(), stream)
	n.requireLast(t, ids[len(ids)-1])

	proxy.Refuse()
	proxy.Drop()
	require.NoError(t, node.DeleteQueue(t.Context(), stream))
	ids = append(ids, write(t, p, stream, "new", grown)...)
	require.NoError(t, proxy.Accept())
	require.Eventually(t, func() bool { return n.subscriptions() > 1 }, patience, 5*time.Millisecond)
	return p, n, reader, stream, ids
}
