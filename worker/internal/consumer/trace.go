package consumer

import (
	"context"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/twinlane/twinlane/internal/tracing"
	"github.com/twinlane/twinlane/worker/internal/action"
)

// startSpan begins the span of a delivery that is processed, from its decoding
// to its settlement, and puts it into both contexts: the task runs in one, what
// it comes to is published in the other. Its parent is the publish of the
// message, so that all attempts of a task are in one trace, one after the other;
// what a retry waited for lies between the two. The span is nil where there are
// no traces.
func (c *Consumer) startSpan(fetch, work context.Context, r *received) (ownFetch, ownWork context.Context, span trace.Span) {
	if c.cfg.Tracer == nil {
		return fetch, work, nil
	}
	queue := c.cfg.Lane.Queue
	_, span = c.cfg.Tracer.Start(tracing.Continue(fetch, r.headers), tracing.Process.Span(queue),
		trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
			append(tracing.Process.Attributes(queue, r.id, len(r.Body)),
				semconv.MessagingRabbitMQMessageDeliveryTag(int(r.DeliveryTag)), //nolint:gosec // It is the convention's type, and no channel comes so far.
				tracing.Redelivered.Bool(r.Redelivered), tracing.TaskAttempt.Int(r.headers.Attempt),
				tracing.RequestID.String(r.headers.RequestID))...,
		))
	return trace.ContextWithSpan(fetch, span), trace.ContextWithSpan(work, span), span
}

// noteAnswer has the span of a delivery say what becomes of it. A task that is
// tried again has failed this time.
func noteAnswer(span trace.Span, a answer) {
	if span == nil {
		return
	}
	span.SetAttributes(tracing.Settlement.String(string(a.settlement)))
	switch {
	case a.cause == nil:
	case a.reason != "":
		tracing.Fail(span, string(a.reason), a.cause)
	default:
		tracing.Fail(span, string(action.OutcomeOf(a.cause)), a.cause)
	}
}

// continued returns fetch in the trace of a message that is not processed, so
// that what it is published as belongs there.
func (c *Consumer) continued(fetch context.Context, r *received) context.Context {
	if c.cfg.Tracer == nil {
		return fetch
	}
	return tracing.Continue(fetch, r.headers)
}

// startAck begins the span of an ack, where its delivery belongs to a trace.
func (s *settler) startAck(ctx context.Context, a *answer) trace.Span {
	if s.tracer == nil || !tracing.InTrace(ctx) {
		return nil
	}
	_, span := s.tracer.Start(ctx, tracing.Ack.Span(s.queue), trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		append(tracing.Ack.Attributes(s.queue, a.id, len(a.Body)), tracing.Settlement.String(string(a.settlement)))...,
	))
	return span
}

// endAck says whether an ack went out.
func endAck(span trace.Span, err error) {
	if span == nil {
		return
	}
	if err != nil {
		tracing.Fail(span, "channel_gone", err)
	}
	span.End()
}

// end ends a span where there is one.
func end(span trace.Span) {
	if span != nil {
		span.End()
	}
}
