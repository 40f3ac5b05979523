package main

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/twinlane/twinlane/gateway/internal/outcomes"
	"github.com/twinlane/twinlane/gateway/internal/taskid"
	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/service"
	"github.com/twinlane/twinlane/internal/task"
)

// results is what the gateway knows of outcomes and how it comes to know it, and
// what it writes into their stream itself. It has connections of its own: a
// stream that answers no more holds up no task.
type results struct {
	conn      *rabbitmq.Connection
	publisher *rabbitmq.Publisher
	index     *outcomes.Index
	follower  *outcomes.Follower
}

func newResults(cfg config, tracer trace.Tracer, reg prometheus.Registerer, logger *slog.Logger) (*results, error) {
	own := rabbitmq.PublisherConfig{
		Channels: 1, AcquireWait: cfg.PublishAcquireWait, ConfirmTimeout: cfg.PublishConfirmTimeout, Tracer: tracer,
	}
	publisher, err := rabbitmq.NewPublisher(own, cfg.connection("gateway-results"), rabbitmq.Tasks(), reg, logger)
	if err != nil {
		return nil, err
	}
	conn, err := rabbitmq.NewConnection(cfg.connection("gateway-consume"), rabbitmq.Tasks(), reg, logger)
	if err != nil {
		return nil, err
	}
	reader, err := rabbitmq.NewStreamReader(conn, rabbitmq.StreamConfig{
		Stream:      task.QueueResults,
		ConsumerTag: "gateway-results",
		From:        task.ResultRetention,
	}, reg, logger)
	if err != nil {
		return nil, err
	}
	index := outcomes.New(cfg.outcomes(), reg, logger)
	return &results{conn: conn, publisher: publisher, index: index, follower: outcomes.NewFollower(index, reader, publisher, logger)}, nil
}

// newWaits returns the component that ends the waits for results, by closing
// end, when it is stopped.
func newWaits() (waits service.Component, end <-chan struct{}) {
	ended := make(chan struct{})
	return service.Component{Name: "waits", Run: func(ctx context.Context) error {
		<-ctx.Done()
		close(ended)
		return nil
	}}, ended
}

// newSigner returns what signs the ids of tasks.
func newSigner(cfg config, logger *slog.Logger) (*taskid.Signer, error) {
	keys, err := cfg.signingKeys()
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		logger.Warn("no SIGNING_KEYS given, task ids are signed with a random key: other gateways do not know them, nor this one after a restart")
		keys = append(keys, taskid.RandomKey())
	}
	return taskid.NewSigner(keys...)
}
