package rabbitmq_test

import (
	"context"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/rabbitmq/rabbittest"
)

func TestMain(m *testing.M) { rabbittest.Main(m) }

// patience bounds every wait for something that happens soon.
const patience = 30 * time.Second

func connectTo(url string) rabbitmq.ConnectionConfig {
	return rabbitmq.ConnectionConfig{URLs: []string{url}, Name: "test", BackoffMax: 200 * time.Millisecond}
}

// background runs something with a Run method until the test ends.
func background(t *testing.T, run func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			require.NoError(t, err)
		case <-time.After(patience):
			require.Fail(t, "did not stop")
		}
	}
	t.Cleanup(stop)
	return stop
}

type publisher struct {
	*rabbitmq.Publisher
	reg  *prometheus.Registry
	stop func()
}

func startPublisher(t *testing.T, cfg rabbitmq.PublisherConfig, conn rabbitmq.ConnectionConfig, topology rabbitmq.Topology) publisher {
	t.Helper()
	reg := prometheus.NewRegistry()
	p, err := rabbitmq.NewPublisher(cfg, conn, topology, reg, nil)
	require.NoError(t, err)
	return publisher{Publisher: p, reg: reg, stop: background(t, p.Run)}
}

// usable waits until p has as many channels as channels.
func (p publisher) usable(t *testing.T, channels int) publisher {
	t.Helper()
	require.Eventually(t, func() bool {
		return p.Ready() == nil && p.metric(t, "publisher_channels_open") == float64(channels)
	}, patience, 5*time.Millisecond)
	return p
}

// metric is the sum of a metric's series that have the given label values; of
// a histogram, the number of its observations.
func (p publisher) metric(t *testing.T, name string, values ...string) float64 {
	t.Helper()
	return metric(t, p.reg, name, values...)
}

func metric(t *testing.T, reg *prometheus.Registry, name string, values ...string) float64 {
	t.Helper()
	families, err := reg.Gather()
	require.NoError(t, err)
	sum := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
	series:
		for _, m := range f.GetMetric() {
			for _, want := range values {
				found := false
				for _, l := range m.GetLabel() {
					found = found || l.GetValue() == want
				}
				if !found {
					continue series
				}
			}
			sum += m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sum
}

func message(queue, id string) rabbitmq.Message {
	return rabbitmq.Message{RoutingKey: queue, ID: id, Type: "test", ContentType: "text/plain", Timestamp: time.Now(), Body: []byte("x")}
}

func quorumQueue(name string, args map[string]any) rabbitmq.Queue {
	all := map[string]any{"x-queue-type": "quorum"}
	maps.Copy(all, args)
	return rabbitmq.Queue{Name: name, Args: all}
}

func oneQueue(name string, args map[string]any) rabbitmq.Topology {
	return rabbitmq.Topology{Queues: []rabbitmq.Queue{quorumQueue(name, args)}}
}

// open opens a channel with nothing of this package in between.
func open(t testing.TB, url string) *amqp.Channel {
	t.Helper()
	conn, err := amqp.Dial(url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	ch, err := conn.Channel()
	require.NoError(t, err)
	return ch
}

// ids takes every message out of a queue and counts them by message id. It
// waits until at least want are there.
func ids(t *testing.T, url, queue string, want int) map[string]int {
	t.Helper()
	ch := open(t, url)
	got := make(map[string]int)
	taken := 0
	require.Eventually(t, func() bool {
		for {
			d, ok, err := ch.Get(queue, true)
			require.NoError(t, err)
			if !ok {
				return taken >= want
			}
			got[d.MessageId]++
			taken++
		}
	}, patience, 20*time.Millisecond, "queue %s", queue)
	return got
}

func deleteAfter(t *testing.T, url string, queues ...string) {
	t.Helper()
	t.Cleanup(func() {
		ch := open(t, url)
		for _, q := range queues {
			_, err := ch.QueueDelete(q, false, false, false)
			require.NoError(t, err)
		}
	})
}

func numbered(prefix string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%s-%d", prefix, i)
	}
	return names
}
