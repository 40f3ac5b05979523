package tracing

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
)

// exemplarTrace is the label that Grafana is told to follow to the trace.
const exemplarTrace = "trace_id"

// Observe books a value, and the trace of ctx as an example of it where that
// trace is sampled: one that is not cannot be looked at. It allocates nothing
// where it is not.
func Observe(ctx context.Context, o prometheus.Observer, value float64) {
	sc := trace.SpanContextFromContext(ctx)
	if e, ok := o.(prometheus.ExemplarObserver); ok && sc.IsSampled() {
		e.ObserveWithExemplar(value, prometheus.Labels{exemplarTrace: sc.TraceID().String()})
		return
	}
	o.Observe(value)
}
