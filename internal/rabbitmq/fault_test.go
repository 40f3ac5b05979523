package rabbitmq_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/rabbitmq/rabbittest"
	"github.com/twinlane/twinlane/internal/service"
	"github.com/twinlane/twinlane/internal/service/servicetest"
)

// A stopped broker leaves its sockets open. Bodies of 64 KiB fill them, so
// that a writer blocks while it holds the library's locks. Two remedies free
// it, and each is tried alone: the deadline of the write, and the socket that
// is closed when the heartbeats stay away.
func TestHungBrokerDoesNotWedgePublishers(t *testing.T) {
	t.Parallel()
	for name, remedy := range map[string]func(*rabbitmq.ConnectionConfig){
		"write deadline": func(c *rabbitmq.ConnectionConfig) { c.Heartbeat, c.WriteTimeout = time.Hour, 2*time.Second },
		"heartbeat":      func(c *rabbitmq.ConnectionConfig) { c.Heartbeat, c.WriteTimeout = 2*time.Second, time.Hour },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			node := rabbittest.Start(t)
			conn := connectTo(node.URL())
			conn.DialTimeout = 2 * time.Second
			remedy(&conn)
			cfg := rabbitmq.PublisherConfig{Channels: 1, ConfirmTimeout: time.Hour} // or late confirms would tell as well
			p := startPublisher(t, cfg, conn, oneQueue("q", nil)).usable(t, 1)
			require.NoError(t, p.Publish(t.Context(), message("q", "before")))

			require.NoError(t, node.Pause())
			for _, err := range largeBurst(t, p, 512) {
				require.True(t, errors.Is(err, rabbitmq.ErrOutcomeUnknown) || errors.Is(err, rabbitmq.ErrUnavailable), "%v", err)
			}
			require.ErrorIs(t, p.Publish(t.Context(), message("q", "down")), rabbitmq.ErrUnavailable)
			require.NoError(t, node.Resume())
			p.usable(t, 1)
			require.NoError(t, p.Publish(t.Context(), message("q", "after")))
		})
	}
}

// largeBurst publishes n messages of 64 KiB at the same time. It fails the
// test when they do not return.
func largeBurst(t *testing.T, p publisher, n int) []error {
	t.Helper()
	results := make(chan error, n)
	for range n {
		go func() {
			m := message("q", "during")
			m.Body = bytes.Repeat([]byte("x"), 64<<10)
			results <- p.Publish(context.Background(), m)
		}()
	}
	errs := make([]error, n)
	late := time.After(patience)
	for i := range errs {
		select {
		case errs[i] = <-results:
		case <-late:
			require.Failf(t, "publishers are wedged", "%d of %d have returned", i, n)
		}
	}
	return errs
}

// While the broker lets the user open no channel, every place fails to open
// one, again and again. Not one of them may be lost over it.
func TestPublisherKeepsItsPlacesWhileChannelsAreRefused(t *testing.T) {
	t.Parallel()
	node := rabbittest.Start(t)
	p := startPublisher(t, rabbitmq.PublisherConfig{}, connectTo(node.URL()), rabbitmq.Topology{}).usable(t, 4)
	_, err := node.Ctl(t.Context(), "set_user_limits", "twinlane", `{"max-channels": 0}`)
	require.NoError(t, err)
	require.NoError(t, node.CloseAllConnections(t.Context()))
	require.Eventually(t, func() bool { return p.metric(t, "amqp_connection_failures_total") >= 3 }, patience, 5*time.Millisecond)
	require.Zero(t, p.metric(t, "publisher_channels_open"))
	require.ErrorIs(t, p.Ready(), rabbitmq.ErrUnavailable)
	_, err = node.Ctl(t.Context(), "clear_user_limits", "twinlane", "max-channels")
	require.NoError(t, err)
	p.usable(t, 4)
}

// A new connection does not know of an alarm: it learns of it from its first publish.
func TestBlockedBrokerFailsFast(t *testing.T) {
	t.Parallel()
	node := rabbittest.Start(t)
	// An hour of patience: only an answer at once lets the test end.
	cfg := rabbitmq.PublisherConfig{AcquireWait: time.Hour, ConfirmTimeout: time.Hour}
	p := startPublisher(t, cfg, connectTo(node.URL()), oneQueue("q", nil)).usable(t, 4)
	require.NoError(t, p.Publish(t.Context(), message("q", "before")))

	require.NoError(t, node.SetMemoryAlarm(t.Context(), true))
	first := p.Publish(t.Context(), message("q", "first"))
	require.ErrorIs(t, first, rabbitmq.ErrOutcomeUnknown)
	require.ErrorIs(t, first, rabbitmq.ErrBlocked)
	for range 100 {
		err := p.Publish(t.Context(), message("q", "blocked"))
		require.ErrorIs(t, err, rabbitmq.ErrBlocked)
		require.NotErrorIs(t, err, rabbitmq.ErrOutcomeUnknown)
	}
	require.ErrorIs(t, p.Ready(), rabbitmq.ErrBlocked)
	require.InDelta(t, 1, p.metric(t, "amqp_connection_blocked"), 0)

	require.NoError(t, node.SetMemoryAlarm(t.Context(), false))
	p.usable(t, 4)
	require.NoError(t, p.Publish(t.Context(), message("q", "after")))
	require.Positive(t, p.metric(t, "amqp_connection_blocked_seconds_total"))
	require.Zero(t, p.metric(t, "amqp_connection_blocked"))
	// The one of unknown outcome was read by the broker after the alarm.
	require.Equal(t, map[string]int{"before": 1, "first": 1, "after": 1}, ids(t, node.URL(), "q", 3))
}

func TestPublisherSurvivesTheBroker(t *testing.T) {
	t.Parallel()
	node := rabbittest.Start(t)
	p := startPublisher(t, rabbitmq.PublisherConfig{}, connectTo(node.URL()), oneQueue("q", nil)).usable(t, 4)
	// Killed within a moment of declaring a queue, RabbitMQ starts it from scratch.
	require.NoError(t, node.SyncQueues(t.Context()))

	accepted := make(map[string]int)
	publish := func(id string) bool {
		if p.Publish(t.Context(), message("q", id)) != nil {
			return false
		}
		accepted[id] = 1
		return true
	}
	for _, id := range numbered("before", 200) {
		require.True(t, publish(id))
	}
	node.Kill()
	require.Eventually(t, func() bool { return !publish("while down") }, patience, time.Millisecond)
	require.NoError(t, node.Start(t.Context()))
	p.usable(t, 4)
	// The broker is up before its queue has a leader, and confirms nothing until then.
	require.Eventually(t, func() bool { return publish("first") }, patience, time.Millisecond)
	for _, id := range numbered("after", 200) {
		require.True(t, publish(id))
	}
	require.GreaterOrEqual(t, p.metric(t, "amqp_connects_total"), 2.0)
	got := ids(t, node.URL(), "q", len(accepted))
	for id := range accepted {
		require.Contains(t, got, id, "lost")
	}
}

func TestConnectionTakesTheBrokerThatAnswers(t *testing.T) {
	t.Parallel()
	cfg := connectTo("amqp://127.0.0.1:1/")
	cfg.URLs = append(cfg.URLs, rabbittest.URL(t))
	p := startPublisher(t, rabbitmq.PublisherConfig{}, cfg, rabbitmq.Topology{})
	p.usable(t, 4)
}

// The library resolves every outstanding confirm as not acked when a
// connection closes, although the broker may hold all the messages.
func TestCloseIsNotANack(t *testing.T) {
	t.Parallel()
	url, queue := rabbittest.URL(t), rabbittest.Prefix(t)+".q"
	deleteAfter(t, url, queue)
	proxy := rabbittest.StartProxy(t, url)
	p := startPublisher(t, rabbitmq.PublisherConfig{ConfirmTimeout: patience}, connectTo(proxy.URL()), oneQueue(queue, nil)).usable(t, 4)

	proxy.Pause(rabbittest.ToClient)
	const n = 100
	results := make(chan error, n)
	for _, id := range numbered("m", n) {
		go func() { results <- p.Publish(context.Background(), message(queue, id)) }()
	}
	require.Len(t, ids(t, url, queue, n), n, "the broker has them all")
	proxy.Refuse() // no second attempt either
	proxy.Drop()
	for range n {
		err := <-results
		require.ErrorIs(t, err, rabbitmq.ErrOutcomeUnknown)
		require.NotErrorIs(t, err, rabbitmq.ErrNacked)
	}
	require.InDelta(t, n, p.metric(t, "publisher_publishes_total", "unknown"), 0)
}

func TestUnknownOutcomeIsPublishedAgain(t *testing.T) {
	t.Parallel()
	url, queue := rabbittest.URL(t), rabbittest.Prefix(t)+".q"
	deleteAfter(t, url, queue)
	proxy := rabbittest.StartProxy(t, url)
	p := startPublisher(t, rabbitmq.PublisherConfig{ConfirmTimeout: patience}, connectTo(proxy.URL()), oneQueue(queue, nil)).usable(t, 4)

	proxy.Pause(rabbittest.ToClient)
	result := make(chan error, 1)
	go func() { result <- p.Publish(context.Background(), message(queue, "m")) }()
	require.Equal(t, map[string]int{"m": 1}, ids(t, url, queue, 1), "the broker has it, the confirm is held back")
	proxy.Drop()
	proxy.Resume()
	require.NoError(t, <-result)
	require.InDelta(t, 1, p.metric(t, "publisher_republished_total"), 0)
	require.Equal(t, map[string]int{"m": 1}, ids(t, url, queue, 1), "and has it again, under the same id")
}

// Confirms that stay away for long on a connection that seems alive get it
// replaced; a stall that is just longer than the confirm timeout does not.
func TestSilentConnectionIsReplaced(t *testing.T) {
	t.Parallel()
	url, queue := rabbittest.URL(t), rabbittest.Prefix(t)+".q"
	deleteAfter(t, url, queue)
	proxy := rabbittest.StartProxy(t, url)
	conn := connectTo(proxy.URL())
	conn.Heartbeat = time.Minute // so that only the confirms can tell
	timeout := 500 * time.Millisecond
	p := startPublisher(t, rabbitmq.PublisherConfig{Channels: 1, ConfirmTimeout: timeout}, conn, oneQueue(queue, nil)).usable(t, 1)

	proxy.Pause(rabbittest.ToClient)
	var stalled []rabbitmq.Message
	for _, id := range numbered("stalled", 20) {
		stalled = append(stalled, message(queue, id))
	}
	for _, err := range outcomes(p, stalled...) {
		require.ErrorIs(t, err, rabbitmq.ErrOutcomeUnknown)
	}
	require.Zero(t, p.metric(t, "publisher_evictions_total"), "20 timeouts at once are one stall")
	proxy.Resume()
	require.Eventually(t, func() bool { return p.Publish(t.Context(), message(queue, "again")) == nil }, patience, 5*time.Millisecond)
	require.InDelta(t, 1, p.metric(t, "amqp_connects_total"), 0)

	proxy.Pause(rabbittest.ToClient)
	require.Eventually(t, func() bool {
		require.Error(t, p.Publish(t.Context(), message(queue, "m")))
		return p.metric(t, "publisher_evictions_total") == 1
	}, patience, time.Millisecond)
	proxy.Drop()
	proxy.Resume()
	require.Eventually(t, func() bool { return p.Publish(t.Context(), message(queue, "after")) == nil }, patience, 5*time.Millisecond)
}

// What is missing is asked for at each publish, and declared once a second.
func TestRedeclarationIsPaced(t *testing.T) {
	t.Parallel()
	url, queue := rabbittest.URL(t), rabbittest.Prefix(t)+".q"
	var logged servicetest.Log
	reg := prometheus.NewRegistry()
	p, err := rabbitmq.NewPublisher(rabbitmq.PublisherConfig{}, connectTo(url), rabbitmq.Topology{}, reg, service.NewLogger(&logged, slog.LevelInfo))
	require.NoError(t, err)
	background(t, p.Run)
	publisher{Publisher: p, reg: reg}.usable(t, 4)
	began := time.Now()
	for range 200 {
		require.ErrorIs(t, p.Publish(t.Context(), message(queue+".missing", "m")), rabbitmq.ErrUnroutable)
	}
	most := 1 + int(time.Since(began)/time.Second)
	require.LessOrEqual(t, strings.Count(logged.String(), "topology declared again"), most+1)
}

// A peer that accepts connections and never says a word must not hold Run.
func TestSilentHandshakeIsGivenUp(t *testing.T) {
	t.Parallel()
	proxy := rabbittest.StartProxy(t, rabbittest.URL(t))
	proxy.Pause()
	conn := connectTo(proxy.URL())
	conn.DialTimeout = 100 * time.Millisecond
	p := startPublisher(t, rabbitmq.PublisherConfig{}, conn, rabbitmq.Topology{})
	require.Eventually(t, func() bool { return p.metric(t, "amqp_connection_failures_total") >= 2 }, patience, 5*time.Millisecond)
	proxy.Resume()
	proxy.Drop()
	p.usable(t, 4)
}

func TestSaturatedPublisherRefuses(t *testing.T) {
	t.Parallel()
	url, queue := rabbittest.URL(t), rabbittest.Prefix(t)+".q"
	deleteAfter(t, url, queue)
	for _, cfg := range []rabbitmq.PublisherConfig{
		{Strategy: rabbitmq.StrategyPooled, Channels: 1, MaxInFlight: 1, AcquireWait: time.Millisecond, ConfirmTimeout: patience},
		{Strategy: rabbitmq.StrategyExclusive, Channels: 1, AcquireWait: time.Millisecond, ConfirmTimeout: patience},
	} {
		proxy := rabbittest.StartProxy(t, url)
		p := startPublisher(t, cfg, connectTo(proxy.URL()), oneQueue(queue, nil)).usable(t, 1)
		proxy.Pause(rabbittest.ToClient)
		first := make(chan error, 1)
		go func() { first <- p.Publish(context.Background(), message(queue, "first")) }()
		require.Eventually(t, func() bool { return p.metric(t, "publisher_in_flight") == 1 }, patience, time.Millisecond)
		require.ErrorIs(t, p.Publish(t.Context(), message(queue, "second")), rabbitmq.ErrSaturated, cfg.Strategy)
		proxy.Resume()
		require.NoError(t, <-first)
		require.NoError(t, p.Publish(t.Context(), message(queue, "third")))
		p.stop()
	}
}
