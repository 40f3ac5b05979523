package action

import (
	"context"

	"go.opentelemetry.io/otel/trace"

	"github.com/twinlane/twinlane/internal/tracing"
)

// startSpan begins the span of a run, which is the service time of a task, and
// has whatever the task calls belong to it. The span is nil where there are no
// traces.
func (r *Runner) startSpan(ctx context.Context, lane Lane, t *Task) (context.Context, trace.Span) {
	if r.cfg.Tracer == nil {
		return ctx, nil
	}
	ctx, span := r.cfg.Tracer.Start(ctx, "run "+string(t.Action), trace.WithAttributes(
		tracing.TaskID.String(t.ID), tracing.TaskAction.String(string(t.Action)),
		tracing.TaskAttempt.Int(max(t.Attempt, 1)), tracing.Lane.String(string(lane)),
	))
	tracing.Carry(ctx, &t.Headers)
	return ctx, span
}

// endSpan says how a run ended.
func endSpan(span trace.Span, outcome Outcome, err error) {
	if span == nil {
		return
	}
	if err != nil {
		tracing.Fail(span, string(outcome), err)
	}
	span.End()
}
