// Package tracing is what both services know of spans: how a trace goes on from
// a task's headers and back into them, what the spans of a broker and of HTTP
// have for attributes, how a failure shows, and how a histogram points at a
// trace.
//
// It makes no decisions and exports nothing: where spans go to, and which of
// them, is the business of package telemetry. A nil trace.Tracer means that
// there are no traces; whoever has one asks for that first, so that a service
// without traces does not even allocate for them.
package tracing

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/twinlane/twinlane/internal/task"
)

// The attributes that are this project's own.
const (
	TaskID      = attribute.Key("twinlane.task.id")
	TaskAction  = attribute.Key("twinlane.task.action")
	TaskAttempt = attribute.Key("twinlane.task.attempt")
	Lane        = attribute.Key("twinlane.lane")
	Settlement  = attribute.Key("twinlane.settlement") // what became of a delivery
	RequestID   = attribute.Key("twinlane.request.id")
	Redelivered = attribute.Key("twinlane.redelivered")
)

// Continue returns ctx with the trace that a task's headers belong to. Where
// that is none, or not a valid one, it is ctx itself.
func Continue(ctx context.Context, h task.Headers) context.Context {
	return propagation.TraceContext{}.Extract(ctx, headers{&h})
}

// Carry has h belong to the span of ctx. Without one it leaves h as it is.
func Carry(ctx context.Context, h *task.Headers) {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return
	}
	h.Traceparent, h.Tracestate = "", ""
	propagation.TraceContext{}.Inject(ctx, headers{h})
	// What goes on is held to what may come in, in whichever way it came.
	h.Traceparent, h.Tracestate = task.TraceContext(h.Traceparent, h.Tracestate)
}

// headers has a propagator read and write the headers of a task.
type headers struct{ *task.Headers }

// Get implements propagation.TextMapCarrier.
func (h headers) Get(name string) string {
	switch name {
	case task.HeaderTraceparent:
		return h.Traceparent
	case task.HeaderTracestate:
		return h.Tracestate
	default:
		return ""
	}
}

// Set implements propagation.TextMapCarrier.
func (h headers) Set(name, value string) {
	switch name {
	case task.HeaderTraceparent:
		h.Traceparent = value
	case task.HeaderTracestate:
		h.Tracestate = value
	}
}

// Keys implements propagation.TextMapCarrier.
func (h headers) Keys() []string {
	return []string{task.HeaderTraceparent, task.HeaderTracestate}
}

// InTrace reports whether ctx belongs to a trace, sampled or not. What does not
// is nobody's request, and gets no spans.
func InTrace(ctx context.Context) bool { return trace.SpanContextFromContext(ctx).IsValid() }

// Fail marks a span as failed. The class is the error's place in a set that is
// bounded, for searches; the error itself is for people.
func Fail(span trace.Span, class string, err error) {
	span.SetAttributes(semconv.ErrorTypeKey.String(class))
	text := class
	if err != nil {
		text = task.Truncate(err.Error(), task.MaxErrorBytes)
	}
	span.SetStatus(codes.Error, text)
}
