package rabbitmq_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/rabbitmq/rabbittest"
	"github.com/twinlane/twinlane/internal/task"
)

// outcomes publishes all at the same time and returns what each publish returned.
func outcomes(p publisher, messages ...rabbitmq.Message) []error {
	errs := make([]error, len(messages))
	var wg sync.WaitGroup
	for i, m := range messages {
		wg.Go(func() { errs[i] = p.Publish(context.Background(), m) })
	}
	wg.Wait()
	return errs
}

func TestPublisherConfirms(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		strategy           rabbitmq.Strategy
		channels, messages int
	}{
		{rabbitmq.StrategyPooled, 4, 500},
		{rabbitmq.StrategyExclusive, 4, 200},
		{rabbitmq.StrategyShared, 1, 500},
		{rabbitmq.StrategyPerRequest, 0, 40},
	} {
		t.Run(string(tc.strategy), func(t *testing.T) {
			t.Parallel()
			url, queue := rabbittest.URL(t), rabbittest.Prefix(t)+".q"
			deleteAfter(t, url, queue)
			p := startPublisher(t, rabbitmq.PublisherConfig{Strategy: tc.strategy, MaxInFlight: 20, AcquireWait: patience, ConfirmTimeout: patience},
				connectTo(url), oneQueue(queue, nil)).usable(t, tc.channels)
			var messages []rabbitmq.Message
			for _, id := range numbered("m", tc.messages) {
				messages = append(messages, message(queue, id))
			}
			for _, err := range outcomes(p, messages...) {
				require.NoError(t, err)
			}
			got := ids(t, url, queue, tc.messages)
			require.Len(t, got, tc.messages)
			for id, n := range got {
				require.Equal(t, 1, n, "message %s", id)
			}
			require.InDelta(t, tc.messages, p.metric(t, "publisher_publishes_total", "accepted"), 0)
			require.Zero(t, p.metric(t, "publisher_in_flight"))
			require.InDelta(t, tc.messages, p.metric(t, "publisher_acquire_wait_seconds"), 0, "each waits for its turn once")
		})
	}
}

// Messages of one and the same id are published at the same time on the same
// channel, every other one to a queue that does not exist.
func TestPublisherNeverAcceptsUnroutable(t *testing.T) {
	t.Parallel()
	url, queue := rabbittest.URL(t), rabbittest.Prefix(t)+".q"
	deleteAfter(t, url, queue)
	p := startPublisher(t, rabbitmq.PublisherConfig{Channels: 1}, connectTo(url), oneQueue(queue, nil)).usable(t, 1)
	var messages []rabbitmq.Message
	for i := range 400 {
		to := queue
		if i%2 == 1 {
			to = queue + ".missing"
		}
		messages = append(messages, message(to, "same-id"))
	}
	for i, err := range outcomes(p, messages...) {
		if i%2 == 1 {
			require.ErrorIs(t, err, rabbitmq.ErrUnroutable)
		} else {
			require.NoError(t, err)
		}
	}
	require.Equal(t, map[string]int{"same-id": 200}, ids(t, url, queue, 200))
}

func TestPublisherReportsFullQueue(t *testing.T) {
	t.Parallel()
	url, queue := rabbittest.URL(t), rabbittest.Prefix(t)+".q"
	deleteAfter(t, url, queue)
	p := startPublisher(t, rabbitmq.PublisherConfig{}, connectTo(url),
		oneQueue(queue, map[string]any{"x-max-length": 5, "x-overflow": "reject-publish"})).usable(t, 4)
	accepted := 0
	require.Eventually(t, func() bool {
		err := p.Publish(t.Context(), message(queue, "m"))
		if err == nil {
			accepted++
			return false
		}
		require.ErrorIs(t, err, rabbitmq.ErrNacked)
		return true
	}, patience, time.Millisecond)
	require.Equal(t, map[string]int{"m": accepted}, ids(t, url, queue, accepted))
}

func TestPublisherRefusesWhatWouldKillTheConnection(t *testing.T) {
	t.Parallel()
	url, queue := rabbittest.URL(t), rabbittest.Prefix(t)+".q"
	deleteAfter(t, url, queue)
	p := startPublisher(t, rabbitmq.PublisherConfig{}, connectTo(url), oneQueue(queue, nil)).usable(t, 4)
	long := strings.Repeat("x", task.MaxShortString+1)
	for name, spoil := range map[string]func(*rabbitmq.Message){
		"message id":   func(m *rabbitmq.Message) { m.ID = long },
		"routing key":  func(m *rabbitmq.Message) { m.RoutingKey = long },
		"exchange":     func(m *rabbitmq.Message) { m.Exchange = long },
		"type":         func(m *rabbitmq.Message) { m.Type = long },
		"content type": func(m *rabbitmq.Message) { m.ContentType = long },
		"header name":  func(m *rabbitmq.Message) { m.Headers = map[string]any{long: "v"} },
		"headers":      func(m *rabbitmq.Message) { m.Headers = map[string]any{"h": strings.Repeat("x", 200<<10)} },
		"header h":     func(m *rabbitmq.Message) { m.Headers = map[string]any{"h": struct{}{}} },
	} {
		m := message(queue, "m")
		spoil(&m)
		var refused *task.FieldError
		require.ErrorAs(t, p.Publish(t.Context(), m), &refused, name)
		require.Equal(t, name, refused.Field)
	}
	require.NoError(t, p.Publish(t.Context(), message(queue, "good")))
	require.InDelta(t, 1, p.metric(t, "amqp_connects_total"), 0, "a connection died of it")
	require.Equal(t, map[string]int{"good": 1}, ids(t, url, queue, 1))
}

// An exchange that does not exist closes the channel. The channel has to come
// back each time, also where the connection has no channel to spare.
func TestPublisherKeepsItsPlaces(t *testing.T) {
	t.Parallel()
	for _, strategy := range []rabbitmq.Strategy{rabbitmq.StrategyPooled, rabbitmq.StrategyExclusive} {
		t.Run(string(strategy), func(t *testing.T) {
			t.Parallel()
			url, queue := rabbittest.URL(t), rabbittest.Prefix(t)+".q"
			deleteAfter(t, url, queue)
			// Four places, three channels: one place always fails to open its channel.
			p := startPublisher(t, rabbitmq.PublisherConfig{Strategy: strategy, Channels: 4, AcquireWait: patience, ConfirmTimeout: patience},
				connectTo(url+"?channel_max=3"), oneQueue(queue, nil)).usable(t, 3)
			for range 8 {
				lost := message(queue, "lost")
				lost.Exchange = queue + ".no-such-exchange"
				require.Error(t, p.Publish(t.Context(), lost))
				require.NoError(t, p.Publish(t.Context(), message(queue, "good")))
			}
			p.usable(t, 3)
			require.InDelta(t, 1, p.metric(t, "amqp_connects_total"), 0)
			require.Equal(t, map[string]int{"good": 8}, ids(t, url, queue, 8))
		})
	}
}

func TestPublisherOutlivesItsCaller(t *testing.T) {
	t.Parallel()
	url, queue := rabbittest.URL(t), rabbittest.Prefix(t)+".q"
	deleteAfter(t, url, queue)
	p := startPublisher(t, rabbitmq.PublisherConfig{}, connectTo(url), oneQueue(queue, nil)).usable(t, 4)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, p.Publish(gone, message(queue, "m")))
	require.Equal(t, map[string]int{"m": 1}, ids(t, url, queue, 1))
}

func TestPublisherFailsAtOnceWhenDown(t *testing.T) {
	t.Parallel()
	// An hour of patience: only an answer at once lets the test end.
	cfg := rabbitmq.PublisherConfig{AcquireWait: time.Hour, ConfirmTimeout: time.Hour}
	p := startPublisher(t, cfg, connectTo("amqp://127.0.0.1:1/"), rabbitmq.Topology{})
	require.ErrorIs(t, p.Publish(t.Context(), message("q", "m")), rabbitmq.ErrUnavailable)
	require.ErrorIs(t, p.Ready(), rabbitmq.ErrUnavailable)
}

func TestPublisherConfigIsChecked(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		cfg  rabbitmq.PublisherConfig
		want string
	}{
		{rabbitmq.PublisherConfig{Strategy: "fast"}, `publish strategy "fast" is unknown; allowed: [pooled exclusive shared per_request]`},
		{rabbitmq.PublisherConfig{Connections: 5}, "number of connections 5 is not allowed; allowed: 1 to 4"},
		{rabbitmq.PublisherConfig{Channels: -1}, "number of channels -1 is not allowed; allowed: 1 to 64"},
		{rabbitmq.PublisherConfig{MaxInFlight: 1 << 20}, "number of publishes in flight 1048576 is not allowed; allowed: 1 to 65536"},
	} {
		_, err := rabbitmq.NewPublisher(tc.cfg, connectTo("amqp://127.0.0.1:1/"), rabbitmq.Topology{}, nil, nil)
		require.EqualError(t, err, tc.want)
	}
}
