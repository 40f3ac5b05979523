package telemetry

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// remindAfter is how long a collector that takes no spans is not spoken of again.
const remindAfter = 5 * time.Minute

// exporter sends batches on, one at a time, and knows what became of them. It
// keeps their errors to itself: the processor of batches would hand them to a
// handler that all of the process shares.
type exporter struct {
	next    sdktrace.SpanExporter
	life    context.Context //nolint:containedctx // It is the exporter's own end, which its caller's contexts do not know.
	to      string
	logger  *slog.Logger
	metrics *metrics

	// Touched by the one goroutine that exports.
	failing  bool
	lost     int       // spans since the collector failed first
	reminded time.Time // when that was last said
}

func newExporter(life context.Context, next sdktrace.SpanExporter, to string, reg prometheus.Registerer, logger *slog.Logger) *exporter {
	return &exporter{next: next, life: life, to: to, logger: logger, metrics: newMetrics(reg)}
}

// ExportSpans implements sdktrace.SpanExporter. It never fails.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	unregister := context.AfterFunc(e.life, cancel) //nolint:contextcheck // It is the exporter's end that is waited for.
	defer unregister()
	if err := e.next.ExportSpans(ctx, spans); err != nil {
		e.failed(len(spans), err)
		return nil
	}
	e.metrics.sent.Add(float64(len(spans)))
	if e.failing {
		e.logger.Info("collector takes spans again", "endpoint", e.to, "lost", e.lost)
		e.failing, e.lost = false, 0
	}
	return nil
}

// failed notes that a batch is lost. It says so when it begins, and then rarely.
func (e *exporter) failed(spans int, err error) {
	e.metrics.lost.Add(float64(spans))
	e.lost += spans
	if e.failing && time.Since(e.reminded) < remindAfter {
		return
	}
	e.failing, e.reminded = true, time.Now()
	e.logger.Warn("collector takes no spans, which are lost", "endpoint", e.to, "lost", e.lost, "err", err)
}

// Shutdown implements sdktrace.SpanExporter.
func (e *exporter) Shutdown(ctx context.Context) error { return e.next.Shutdown(ctx) }

// counting counts the spans that are to be exported.
type counting struct {
	ended prometheus.Counter
	sdktrace.SpanProcessor
}

// OnEnd implements sdktrace.SpanProcessor.
func (c counting) OnEnd(s sdktrace.ReadOnlySpan) {
	c.ended.Inc()
	c.SpanProcessor.OnEnd(s)
}

type metrics struct{ ended, sent, lost prometheus.Counter }

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	exported := f.NewCounterVec(prometheus.CounterOpts{
		Name: "trace_spans_exported_total",
		Help: "Spans handed to the collector, by whether it took them.",
	}, []string{"outcome"})
	return &metrics{
		ended: f.NewCounter(prometheus.CounterOpts{
			Name: "trace_spans_total",
			Help: "Spans of sampled traces. What exceeds those that were exported waits to be, or was dropped because too many did.",
		}),
		sent: exported.WithLabelValues("sent"),
		lost: exported.WithLabelValues("lost"),
	}
}
