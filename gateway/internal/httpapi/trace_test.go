package httpapi

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/twinlane/twinlane/gateway/internal/workerclient"
	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/task"
)

// spanOf remembers the span that a publish or a call belongs to.
type spanOf struct {
	span oteltrace.SpanContext
	err  error
}

func (s *spanOf) Publish(ctx context.Context, _ rabbitmq.Message) error {
	s.span = oteltrace.SpanContextFromContext(ctx)
	return s.err
}

func (s *spanOf) Execute(ctx context.Context, m task.Message, h task.Headers) (task.Result, error) {
	s.span = oteltrace.SpanContextFromContext(ctx)
	if s.err != nil {
		return task.Result{}, s.err
	}
	return done()(ctx, m, h)
}

func newSpans() (oteltrace.Tracer, *tracetest.InMemoryExporter) {
	spans := tracetest.NewInMemoryExporter()
	return sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)).Tracer("test"), spans
}

// awaitSpan returns the only span. It ends after its answer.
func awaitSpan(t *testing.T, spans *tracetest.InMemoryExporter) tracetest.SpanStub {
	t.Helper()
	require.Eventually(t, func() bool { return len(spans.GetSpans()) == 1 }, 5*time.Second, time.Millisecond)
	span := spans.GetSpans()[0]
	spans.Reset()
	return span
}

func TestRequestsHaveSpans(t *testing.T) {
	t.Parallel()
	tracer, spans := newSpans()
	publisher, worker := &spanOf{}, &spanOf{}
	api := start(t, Config{Tracer: tracer, Publisher: publisher, Worker: worker})
	for path, behind := range map[string]*spanOf{"/v1/async": publisher, "/v1/sync": worker} {
		api.post(t, path, smallest, "traceparent", traceparent, "X-Request-Id", "req-9")
		span := awaitSpan(t, spans)
		require.Equal(t, "POST "+path, span.Name)
		require.Equal(t, oteltrace.SpanKindServer, span.SpanKind)
		require.Equal(t, traceparent[3:35], span.SpanContext.TraceID().String())
		require.Equal(t, traceparent[36:52], span.Parent.SpanID().String())
		require.Equal(t, span.SpanContext.SpanID(), behind.span.SpanID(), "what it does belongs to it")
		require.Contains(t, span.Attributes, attribute.String("http.route", path))
		require.Contains(t, span.Attributes, attribute.String("twinlane.request.id", "req-9"))
	}

	api.post(t, "/v1/async", smallest, "traceparent", "00-0-0-01")
	require.False(t, awaitSpan(t, spans).Parent.IsValid(), "an invalid trace is none")
	api.post(t, "/v1/async", `{`)
	span := awaitSpan(t, spans)
	require.Contains(t, span.Attributes, attribute.Int("http.response.status_code", 400))
	require.Equal(t, "Unset", span.Status.Code.String(), "it is the client's error")
	worker.err = workerclient.ErrBusy
	api.post(t, "/v1/sync", smallest)
	span = awaitSpan(t, spans)
	require.Equal(t, "Error", span.Status.Code.String())
	require.Contains(t, span.Attributes, attribute.String("error.type", string(task.ProblemWorkerBusy)))
	api.send(t, "BREW", "/some/where", nil)
	require.Equal(t, "HTTP", awaitSpan(t, spans).Name, "clients make up no names")
}

// TestExemplars follows a histogram to the trace of a request.
func TestExemplars(t *testing.T) {
	t.Parallel()
	tracer, spans := newSpans()
	api := start(t, Config{Tracer: tracer})
	exemplars := func() []string {
		families, err := api.registry.Gather()
		require.NoError(t, err)
		var found []string
		for _, f := range families {
			if f.GetName() != "gateway_http_request_duration_seconds" {
				continue
			}
			for _, m := range f.GetMetric() {
				for _, b := range m.GetHistogram().GetBucket() {
					found = append(found, labels(b.GetExemplar())...)
				}
			}
		}
		return found
	}
	api.post(t, "/v1/async", smallest, "traceparent", traceparent[:53]+"00")
	require.Eventually(t, func() bool {
		return api.count(t, "gateway_http_request_duration_seconds", "route", "/v1/async", "code", "202") == 1
	}, 5*time.Second, time.Millisecond)
	require.Empty(t, exemplars(), "nobody can look at a trace that is not sampled")
	require.Empty(t, spans.GetSpans())
	api.post(t, "/v1/async", smallest, "traceparent", traceparent)
	awaitSpan(t, spans)
	require.Equal(t, []string{"trace_id=" + traceparent[3:35]}, exemplars())
}

func labels(e *dto.Exemplar) []string {
	var all []string
	for _, l := range e.GetLabel() {
		all = append(all, l.GetName()+"="+l.GetValue())
	}
	return all
}

// TestPanicHasASpan ends the span of a request whose handler panics as well.
func TestPanicHasASpan(t *testing.T) {
	t.Parallel()
	tracer, spans := newSpans()
	worker := func(context.Context, task.Message, task.Headers) (task.Result, error) { panic("boom") }
	api := start(t, Config{Tracer: tracer, Worker: fakeWorker(worker)})
	require.Equal(t, http.StatusInternalServerError, api.post(t, "/v1/sync", smallest).status)
	span := awaitSpan(t, spans)
	require.Contains(t, span.Attributes, attribute.String("error.type", "internal"))
	require.True(t, strings.HasPrefix(span.Status.Description, "panic: boom"))
}
