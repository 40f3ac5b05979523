package rabbitmq

import (
	"context"
	"maps"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/twinlane/twinlane/internal/task"
	"github.com/twinlane/twinlane/internal/tracing"
)

// startSpan begins the span of a publish within the trace of ctx, and has the
// message, where it is a task, belong to that span: whoever processes it goes on
// from there. It returns nil where there are no traces, or ctx is in none.
func (p *Publisher) startSpan(ctx context.Context, m *Message) trace.Span {
	if p.cfg.Tracer == nil || !tracing.InTrace(ctx) {
		return nil
	}
	to := tracing.Destination(m.Exchange, m.RoutingKey)
	kind := trace.SpanKindProducer
	if m.Headers == nil {
		kind = trace.SpanKindClient // a record, from which no trace goes on
	}
	ctx, span := p.cfg.Tracer.Start(ctx, tracing.Publish.Span(to), trace.WithSpanKind(kind), trace.WithAttributes(
		append(tracing.Publish.Attributes(to, m.ID, len(m.Body)), semconv.MessagingRabbitMQDestinationRoutingKey(m.RoutingKey))...,
	))
	if m.Headers != nil {
		m.Headers = carrying(ctx, m.Headers)
	}
	return span
}

// carrying returns a copy of the headers of a task that belongs to the span of
// ctx. What was given may be published once more, by another span.
func carrying(ctx context.Context, given map[string]any) map[string]any {
	var h task.Headers
	tracing.Carry(ctx, &h)
	own := maps.Clone(given)
	delete(own, task.HeaderTracestate)
	own[task.HeaderTraceparent] = h.Traceparent
	if h.Tracestate != "" {
		own[task.HeaderTracestate] = h.Tracestate
	}
	return own
}

// endSpan says how a publish ended.
func endSpan(span trace.Span, outcome string, err error) {
	if span == nil {
		return
	}
	if err != nil {
		tracing.Fail(span, outcome, err)
	}
	span.End()
}
