package httpapi

import (
	"errors"
	"net/http"

	"go.opentelemetry.io/otel/trace"

	"github.com/twinlane/twinlane/internal/task"
	"github.com/twinlane/twinlane/internal/tracing"
)

// startSpan begins the span of a request, in the trace of the gateway's call.
// The span is nil where there are no traces.
func (h *Handler) startSpan(r *http.Request, requestID string) (*http.Request, trace.Span) {
	if h.tracer == nil {
		return r, nil
	}
	route := ""
	if r.URL.Path == task.PathExecute {
		route = task.PathExecute
	}
	r, span := tracing.Serve(h.tracer, r, route)
	span.SetAttributes(tracing.RequestID.String(requestID))
	return r, span
}

// noteAnswer has a span say what its request is answered with: a result, where
// there is no problem.
func noteAnswer(span trace.Span, p *problem) {
	switch {
	case span == nil:
	case p == nil:
		tracing.Answered(span, http.StatusOK, "", nil)
	default:
		tracing.Answered(span, p.Status, string(p.Code()), errors.New(p.Detail))
	}
}

// end ends a span where there is one, also of a request that panics because its
// client has gone.
func end(span trace.Span) {
	if span != nil {
		span.End()
	}
}
