package tracing

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/twinlane/twinlane/internal/task"
)

const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func newTracer() (trace.Tracer, *tracetest.InMemoryExporter) {
	spans := tracetest.NewInMemoryExporter()
	return sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)).Tracer("test"), spans
}

func TestATraceGoesOnThroughHeaders(t *testing.T) {
	t.Parallel()
	tracer, _ := newTracer()
	for name, tc := range map[string]struct {
		given   task.Headers
		sampled bool
		state   string
	}{
		"sampled":                   {task.Headers{Traceparent: traceparent, Tracestate: "a=b,c=d"}, true, "a=b,c=d"},
		"not sampled":               {task.Headers{Traceparent: traceparent[:53] + "00", Tracestate: "a=b"}, false, "a=b"},
		"a tracestate that is none": {task.Headers{Traceparent: traceparent, Tracestate: "=,"}, true, ""},
		"a later version":           {task.Headers{Traceparent: "01" + traceparent[2:] + "-more"}, true, ""},
	} {
		ctx := Continue(t.Context(), tc.given)
		require.True(t, InTrace(ctx), name)
		ctx, span := tracer.Start(ctx, "span")
		h := task.Headers{Attempt: 3, RequestID: "r", Traceparent: "old", Tracestate: "old=1"}
		Carry(ctx, &h)
		require.Equal(t, 3, h.Attempt)
		require.Equal(t, "r", h.RequestID)
		require.Equal(t, tc.state, h.Tracestate, name)
		sc := span.SpanContext()
		require.Equal(t, "4bf92f3577b34da6a3ce929d0e0e4736", sc.TraceID().String())
		require.Equal(t, tc.sampled, sc.IsSampled(), name)
		require.Equal(t, "00-"+sc.TraceID().String()+"-"+sc.SpanID().String()+"-"+sc.TraceFlags().String(), h.Traceparent)
		require.NotEqual(t, tc.given.Traceparent, h.Traceparent, "it is another span's")
	}
}

func TestWhatIsNoTraceIsIgnored(t *testing.T) {
	t.Parallel()
	require.False(t, InTrace(Continue(t.Context(), task.Headers{})))
	require.False(t, InTrace(Continue(t.Context(), task.Headers{Traceparent: "00-1", Tracestate: "a=b"})))
	h := task.Headers{Traceparent: traceparent, Tracestate: "a=b"}
	Carry(t.Context(), &h)
	require.Equal(t, task.Headers{Traceparent: traceparent, Tracestate: "a=b"}, h, "as they were")
}

// TestWhatIsCarriedFits shows that no tracestate, of whatever size, gets into the
// headers of a message beyond what is allowed there.
func TestWhatIsCarriedFits(t *testing.T) {
	t.Parallel()
	state, err := trace.ParseTraceState("a=" + strings.Repeat("x", 250) + ",b=" + strings.Repeat("x", 250) + ",c=" + strings.Repeat("x", 250))
	require.NoError(t, err)
	sc := trace.SpanContextFromContext(Continue(t.Context(), task.Headers{Traceparent: traceparent})).WithTraceState(state)
	var h task.Headers
	Carry(trace.ContextWithSpanContext(t.Context(), sc), &h)
	require.Equal(t, traceparent, h.Traceparent)
	require.Empty(t, h.Tracestate)
}

func TestRequests(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		method, route string
		status        int
		span          string
		failed        string
	}{
		"a route":           {"POST", "/v1/async", 202, "POST /v1/async", ""},
		"no route":          {"GET", "", 404, "GET", ""},
		"a made-up method":  {"BREW", "", 405, "HTTP", ""},
		"a client's error":  {"POST", "/v1/async", 422, "POST /v1/async", ""},
		"a server's error":  {"POST", "/v1/async", 503, "POST /v1/async", "503"},
		"one that is known": {"POST", "/v1/async", 500, "POST /v1/async", "internal"},
	} {
		tracer, spans := newTracer()
		r := httptest.NewRequestWithContext(t.Context(), tc.method, "/v1/async?x=1", http.NoBody)
		r.Header.Set("Traceparent", traceparent)
		r, span := Serve(tracer, r, tc.route)
		require.True(t, InTrace(r.Context()))
		class := ""
		if tc.failed == "internal" {
			class = "internal"
		}
		Answered(span, tc.status, class, errors.New("why"))
		span.End()
		got := spans.GetSpans()[0]
		require.Equal(t, tc.span, got.Name, name)
		require.Equal(t, trace.SpanKindServer, got.SpanKind)
		require.Equal(t, "00f067aa0ba902b7", got.Parent.SpanID().String())
		all := map[string]string{}
		for _, a := range got.Attributes {
			all[string(a.Key)] = a.Value.String()
		}
		require.Equal(t, tc.failed, all["error.type"], name)
		require.Equal(t, tc.failed != "", got.Status.Code == codes.Error, name)
		require.Equal(t, "/v1/async", all["url.path"])
		require.Equal(t, tc.route, all["http.route"])
	}
}

func TestExemplars(t *testing.T) {
	t.Parallel()
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "h_seconds", Help: "Time.", Buckets: []float64{1}})
	read := func() *dto.Exemplar {
		var m dto.Metric
		require.NoError(t, h.Write(&m))
		return m.GetHistogram().GetBucket()[0].GetExemplar()
	}
	Observe(t.Context(), h, .5)
	Observe(Continue(t.Context(), task.Headers{Traceparent: traceparent[:53] + "00"}), h, .5)
	require.Nil(t, read(), "of no trace, and of one that nobody can look at")
	Observe(Continue(t.Context(), task.Headers{Traceparent: traceparent}), h, .25)
	require.Equal(t, "trace_id", read().GetLabel()[0].GetName())
	require.Equal(t, "4bf92f3577b34da6a3ce929d0e0e4736", read().GetLabel()[0].GetValue())
	require.Equal(t, .25, read().GetValue())
}

// TestNoTracesCostNoMemory holds for what runs for every request.
func TestNoTracesCostNoMemory(t *testing.T) { //nolint:paralleltest // Allocations are those of the process.
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "h_seconds", Help: "Time.", Buckets: []float64{1}})
	ctx := context.WithValue(t.Context(), t, t)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		Observe(ctx, h, .5)
		if InTrace(ctx) {
			t.Error("in no trace")
		}
	}))
}
