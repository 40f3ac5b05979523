package consumer

import (
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// TestDeliveriesHaveSpans shows what a trace is told of a delivery, however it is
// answered. Whole traces are followed where both services run.
func TestDeliveriesHaveSpans(t *testing.T) {
	t.Parallel()
	headers := amqp.Table{"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "x-attempt": int64(2)}
	for name, tc := range map[string]struct {
		extra      string
		settlement string
		class      string // of the error; empty for none
	}{
		"completed":   {"", "completed", ""},
		"tried again": {`,"fail":{"kind":"transient"}`, "retried", "transient"},
		"permanent":   {`,"fail":{"kind":"permanent"}`, "dead", "permanent"},
		"panicked":    {`,"fail":{"kind":"panic"}`, "dead", "panic"},
		"undecodable": {`,"unknown":1`, "dead", "undecodable"},
	} {
		synctest.Test(t, func(t *testing.T) {
			spans := tracetest.NewInMemoryExporter()
			b := newBench(t, options{tracer: sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)).Tracer("test")})
			b.deliver(taskBody(1, time.Second, tc.extra), headers)
			sleep(2 * time.Second)
			synctest.Wait()
			b.stopAndWait(t)

			all := map[string]tracetest.SpanStub{}
			for _, s := range spans.GetSpans() {
				all[s.Name] = s
			}
			process, ack := all["process tasks.v1"], all["ack tasks.v1"]
			require.Equal(t, trace.SpanKindConsumer, process.SpanKind, name)
			require.Equal(t, "00f067aa0ba902b7", process.Parent.SpanID().String())
			require.Contains(t, process.Attributes, attribute.String("twinlane.settlement", tc.settlement), name)
			require.Contains(t, process.Attributes, attribute.Int("twinlane.task.attempt", 2))
			require.Contains(t, process.Attributes, attribute.String("messaging.operation.type", "process"))
			require.Equal(t, process.SpanContext.SpanID(), ack.Parent.SpanID(), name)
			require.Contains(t, ack.Attributes, attribute.String("messaging.operation.type", "settle"))
			require.Equal(t, tc.class != "", process.Status.Code.String() == "Error", name)
			if tc.class != "" {
				require.Contains(t, process.Attributes, attribute.String("error.type", tc.class), name)
			}
		})
	}
}

// TestInterruptedDeliveryHasASpan is a task that a stop gives back.
func TestInterruptedDeliveryHasASpan(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		spans := tracetest.NewInMemoryExporter()
		b := newBench(t, options{tracer: sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)).Tracer("test")})
		b.deliver(taskBody(1, time.Minute, ""), nil)
		sleep(time.Second)
		b.stopAndWait(t)
		all := spans.GetSpans()
		require.Len(t, all, 1)
		require.False(t, all[0].Parent.IsValid(), "a message without a trace begins one")
		require.Contains(t, all[0].Attributes, attribute.String("twinlane.settlement", "requeued"))
		require.Contains(t, all[0].Attributes, attribute.String("error.type", "interrupted"))
	})
}

// TestMovedDeliveryStaysInItsTrace is a task that is published to the next lane
// without having run.
func TestMovedDeliveryStaysInItsTrace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		spans := tracetest.NewInMemoryExporter()
		b := newBench(t, options{tracer: sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)).Tracer("test")})
		headers := suspicious()
		headers["traceparent"] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
		b.deliver(taskBody(1, time.Second, ""), headers)
		synctest.Wait()
		b.stopAndWait(t)
		all := spans.GetSpans()
		require.Len(t, all, 1, "it was not processed")
		require.Equal(t, "ack tasks.v1", all[0].Name)
		require.Equal(t, "4bf92f3577b34da6a3ce929d0e0e4736", all[0].SpanContext.TraceID().String())
		require.Contains(t, all[0].Attributes, attribute.String("twinlane.settlement", "moved"))
	})
}

// TestNoTracesCostNoMemory holds for what runs for every delivery.
func TestNoTracesCostNoMemory(t *testing.T) { //nolint:paralleltest // Allocations are those of the process.
	c := &Consumer{settler: &settler{}}
	r, err := receive(amqp.Delivery{Body: []byte(taskBody(1, time.Second, ""))})
	require.NoError(t, err)
	a := answer{received: r}
	ctx := t.Context()
	require.Zero(t, testing.AllocsPerRun(100, func() {
		fetch, _, span := c.startSpan(ctx, ctx, r)
		noteAnswer(span, a)
		endAck(c.settler.startAck(c.continued(fetch, r), &a), nil)
		end(span)
	}))
}
