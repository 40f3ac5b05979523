package rabbitmq_test

import (
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/rabbitmq/rabbittest"
	"github.com/twinlane/twinlane/internal/task"
	"github.com/twinlane/twinlane/internal/tracing"
)

const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// TestPublishesHaveSpans shows what a trace is told of publishes, and that a task
// goes on from its own.
func TestPublishesHaveSpans(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	url, queue := rabbittest.URL(t), rabbittest.Prefix(t)+".q"
	deleteAfter(t, url, queue)
	p := startPublisher(t, rabbitmq.PublisherConfig{Tracer: provider.Tracer("test")}, connectTo(url), oneQueue(queue, nil)).usable(t, 4)
	inTrace := tracing.Continue(t.Context(), task.Headers{Traceparent: traceparent, Tracestate: "a=b"})
	given := task.Headers{Traceparent: "00-1af92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Tracestate: "old=1", Attempt: 2}.Table()
	before := maps.Clone(given)
	m := rabbitmq.TaskMessage("", queue, "id-1", task.Headers{}, []byte("body"), time.Now())
	m.Headers = given

	require.NoError(t, p.Publish(t.Context(), m))
	require.Empty(t, spans.GetSpans(), "what belongs to no trace begins none")
	require.NoError(t, p.Publish(inTrace, m))
	record := m
	record.Headers = nil
	require.NoError(t, p.Publish(inTrace, record))
	m.RoutingKey = "nowhere"
	require.ErrorIs(t, p.Publish(inTrace, m), rabbitmq.ErrUnroutable)
	require.Equal(t, before, given, "the caller may publish it once more")

	all := spans.GetSpans()
	require.Len(t, all, 3)
	sent, recorded, failed := all[0], all[1], all[2]
	require.Equal(t, "publish "+queue, sent.Name)
	require.Equal(t, trace.SpanKindProducer, sent.SpanKind)
	require.Equal(t, "00f067aa0ba902b7", sent.Parent.SpanID().String())
	require.Equal(t, trace.SpanKindClient, recorded.SpanKind, "nothing goes on from it")
	require.Equal(t, codes.Unset, sent.Status.Code)
	require.Equal(t, "publish nowhere", failed.Name)
	require.Equal(t, codes.Error, failed.Status.Code)
	require.Contains(t, failed.Attributes, attribute.String("error.type", "unroutable"))
	for _, a := range []attribute.KeyValue{
		attribute.String("messaging.system", "rabbitmq"), attribute.String("messaging.operation.name", "publish"),
		attribute.String("messaging.operation.type", "send"), attribute.String("messaging.destination.name", queue),
		attribute.String("messaging.message.id", "id-1"), attribute.Int("messaging.message.body.size", 4),
		attribute.String("messaging.rabbitmq.destination.routing_key", queue),
	} {
		require.Contains(t, sent.Attributes, a)
	}

	ch := open(t, url)
	for _, want := range []map[string]any{
		before, // as it was given
		{task.HeaderAttempt: int64(2), task.HeaderTracestate: "a=b", task.HeaderTraceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-" +
			sent.SpanContext.SpanID().String() + "-01"},
	} {
		d, ok, err := ch.Get(queue, true)
		require.NoError(t, err)
		require.True(t, ok)
		delete(d.Headers, "x-delivery-count") // the broker's own
		require.Equal(t, want, map[string]any(d.Headers))
	}
}
