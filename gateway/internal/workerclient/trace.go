package workerclient

import (
	"context"
	"net/http"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/twinlane/twinlane/internal/task"
	"github.com/twinlane/twinlane/internal/tracing"
)

// startSpan begins the span of a call, and has the headers that it is sent with
// belong to that span. The span is nil where there are no traces.
func (c *Client) startSpan(ctx context.Context, m task.Message, h *task.Headers) (context.Context, trace.Span) {
	if c.tracer == nil {
		return ctx, nil
	}
	ctx, span := tracing.Call(ctx, c.tracer, http.MethodPost, c.execute, task.PathExecute)
	span.SetAttributes(tracing.TaskID.String(m.ID))
	tracing.Carry(ctx, h)
	return ctx, span
}

// noteStatus has the span of a call say what it was answered with.
func (c *Client) noteStatus(ctx context.Context, status int) {
	if c.tracer != nil {
		trace.SpanFromContext(ctx).SetAttributes(semconv.HTTPResponseStatusCode(status))
	}
}

// endSpan says how a call ended.
func endSpan(span trace.Span, outcome string, err error) {
	if span == nil {
		return
	}
	if err != nil {
		tracing.Fail(span, outcome, err)
	}
	span.End()
}
