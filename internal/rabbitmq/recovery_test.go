package rabbitmq_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/rabbitmq/rabbittest"
)

// recovered reports whether a recovery has been raised.
func recovered(recovery <-chan struct{}) bool {
	select {
	case <-recovery:
		return true
	default:
		return false
	}
}

// await waits for a recovery, which has to be one.
func (p publisher) await(t *testing.T, recovery <-chan struct{}) {
	t.Helper()
	select {
	case <-recovery:
		require.NoError(t, p.Ready())
	case <-time.After(patience):
		require.Fail(t, "no recovery")
	}
}

// TestRecoveryFromALoss takes the network away, with every strategy.
func TestRecoveryFromALoss(t *testing.T) {
	t.Parallel()
	for _, strategy := range rabbitmq.Strategies() {
		t.Run(string(strategy), func(t *testing.T) {
			t.Parallel()
			url, queue := rabbittest.URL(t), rabbittest.Prefix(t)+".q"
			deleteAfter(t, url, queue)
			proxy := rabbittest.StartProxy(t, url)
			p := startPublisher(t, rabbitmq.PublisherConfig{Strategy: strategy}, connectTo(proxy.URL()), oneQueue(queue, nil))
			require.Eventually(t, func() bool { return p.Ready() == nil }, patience, time.Millisecond)

			proxy.Refuse()
			proxy.Drop()
			require.Eventually(t, func() bool { return p.Ready() != nil }, patience, time.Millisecond)
			recovery := p.Recovery().Next()
			require.Eventually(t, func() bool { return p.metric(t, "amqp_connection_failures_total") >= 3 }, patience, time.Millisecond)
			require.False(t, recovered(recovery))

			require.NoError(t, proxy.Accept())
			p.await(t, recovery)
			require.NoError(t, p.Publish(t.Context(), message(queue, "after")))
		})
	}
}

// TestRecoveryFromAnAlarm has the broker block its publishers for a while.
func TestRecoveryFromAnAlarm(t *testing.T) {
	t.Parallel()
	node := rabbittest.Start(t)
	p := startPublisher(t, rabbitmq.PublisherConfig{}, connectTo(node.URL()), oneQueue("q", nil)).usable(t, 4)
	require.NoError(t, node.SetMemoryAlarm(t.Context(), true))
	require.ErrorIs(t, p.Publish(t.Context(), message("q", "blocked")), rabbitmq.ErrBlocked)
	recovery := p.Recovery().Next()
	require.ErrorIs(t, p.Publish(t.Context(), message("q", "blocked")), rabbitmq.ErrBlocked)
	require.False(t, recovered(recovery))

	require.NoError(t, node.SetMemoryAlarm(t.Context(), false))
	p.await(t, recovery)
	require.NoError(t, p.Publish(t.Context(), message("q", "after")))
}
