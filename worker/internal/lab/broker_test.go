package lab

import (
	"context"
	"errors"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/rabbitmq/rabbittest"
)

// needsQueue is an experiment of one case, which declares a queue.
func needsQueue(name string, then func(ctx context.Context, e *Env, queue string) error) Experiment {
	e := example()
	e.Name, e.Broker = name, true
	e.Cases = func(Size) []Case {
		return []Case{{Name: "queue", Measure: func(ctx context.Context, e *Env) ([]Figure, error) {
			queue, err := e.Broker.Queue(ctx, "q")
			if err != nil {
				return nil, err
			}
			return nil, then(ctx, e, queue)
		}}}
	}
	return e
}

// requireGone looks for a queue that was deleted.
func requireGone(t *testing.T, queue string) {
	t.Helper()
	require.NotEmpty(t, queue)
	b, err := openBroker(t.Context(), rabbittest.URL(t), "look")
	require.NoError(t, err)
	_, err = b.Ready(t.Context(), queue)
	var refused *amqp.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, amqp.NotFound, refused.Code)
	require.NoError(t, b.close(t.Context()))
}

func TestQueuesGoWithTheirExperiment(t *testing.T) {
	t.Parallel()
	var name string
	broken := errors.New("broken")
	e := needsQueue("gone", func(ctx context.Context, e *Env, queue string) error {
		name = queue
		p, stop, err := e.Broker.Publisher(ctx, "test", rabbitmq.PublisherConfig{}, e.Metrics)
		require.NoError(t, err)
		for _, id := range []string{"a", "b", "b"} {
			require.NoError(t, p.Publish(ctx, labMessage(queue, id)))
		}
		require.NoError(t, stop())
		counts, err := e.Broker.drain(ctx, queue)
		require.NoError(t, err)
		require.Equal(t, map[string]int{"a": 1, "b": 2}, counts)
		return broken
	})
	result, err := Run(t.Context(), e, Options{AMQPURL: rabbittest.URL(t)})
	require.ErrorIs(t, err, broken)
	require.Regexp(t, `^lab\.gone\.[a-z0-9]{8}\.q$`, name)
	require.Regexp(t, `^\d+\.\d+`, result.RabbitMQ)
	requireGone(t, name)
}

func TestAnInterruptLeavesNoQueue(t *testing.T) {
	t.Parallel()
	var name string
	ctx, interrupt := context.WithCancel(t.Context())
	e := needsQueue("interrupted", func(ctx context.Context, _ *Env, queue string) error {
		name = queue
		interrupt()
		return context.Cause(ctx)
	})
	_, err := Run(ctx, e, Options{AMQPURL: rabbittest.URL(t)})
	require.ErrorIs(t, err, context.Canceled)
	requireGone(t, name)
}

// TestWhatIsLeftIsSaid has the broker be gone when the queues are to be deleted.
func TestWhatIsLeftIsSaid(t *testing.T) {
	t.Parallel()
	broker := rabbitmq.ConnectionConfig{URLs: []string{rabbittest.URL(t)}, Name: "left"}
	proxy, cfg, err := proxied(t.Context(), broker)
	require.NoError(t, err)
	broken := errors.New("broken")
	e := needsQueue("left", func(context.Context, *Env, string) error {
		proxy.Close()
		return broken
	})
	_, err = Run(t.Context(), e, Options{AMQPURL: cfg.URLs[0]})
	require.ErrorIs(t, err, broken)
	require.ErrorIs(t, err, ErrLeftBehind)
	require.ErrorContains(t, err, "deletes once nobody has used them for 10m0s")
}

func TestAMissingBrokerIsSaidAtOnce(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	_, err := Run(ctx, needsQueue("none", nil), Options{AMQPURL: "amqp://user:secret@127.0.0.1:1/, amqp://[::1]:2/"})
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "RabbitMQ at 127.0.0.1:1, [::1]:2: ")
	require.NotContains(t, err.Error(), "secret")
	_, err = Run(t.Context(), needsQueue("none", nil), Options{AMQPURL: "http://127.0.0.1/"})
	require.ErrorContains(t, err, "broker address 1")
}
