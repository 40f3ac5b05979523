package dlq

import (
	"context"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.opentelemetry.io/otel/trace"

	"github.com/twinlane/twinlane/internal/task"
	"github.com/twinlane/twinlane/internal/tracing"
)

// startSpan begins the trace of a replay. The trace in which the task died may be
// long over: the new one has a link to it. Without a tracer the task goes on in
// the old one.
func startSpan(ctx context.Context, tracer trace.Tracer, d amqp.Delivery) (own context.Context, end func()) {
	if tracer == nil {
		return ctx, func() {}
	}
	options := []trace.SpanStartOption{trace.WithAttributes(tracing.TaskID.String(d.MessageId))}
	if h, err := task.ParseHeaders(d.Headers); err == nil {
		options = append(options, trace.WithLinks(trace.LinkFromContext(tracing.Continue(ctx, h))))
	}
	ctx, span := tracer.Start(ctx, "replay "+task.QueueDeadLetter, options...)
	return ctx, func() { span.End() }
}
