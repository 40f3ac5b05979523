package httpapi

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/task"
)

// confirmed is a publisher to which every publish is confirmed at once.
type confirmed struct{}

func (confirmed) Publish(context.Context, rabbitmq.Message) error { return nil }

// BenchmarkAsync is the gateway's own share of an async request: everything
// but net/http and the publish.
func BenchmarkAsync(b *testing.B) {
	benchmark(b, nil, "/v1/async", http.StatusAccepted)
}

// BenchmarkTraces is what traces add to an async request, beside one without: the
// span of the request, that is, and no export. Off is the default.
func BenchmarkTraces(b *testing.B) {
	for name, sampler := range map[string]sdktrace.Sampler{"none-sampled": sdktrace.NeverSample(), "all-sampled": sdktrace.AlwaysSample()} {
		b.Run(name, func(b *testing.B) {
			benchmark(b, sdktrace.NewTracerProvider(sdktrace.WithSampler(sampler)).Tracer("bench"), "/v1/async", http.StatusAccepted)
		})
	}
	b.Run("off", func(b *testing.B) { benchmark(b, nil, "/v1/async", http.StatusAccepted) })
}

// BenchmarkSync is the same for a sync request without its call to the worker.
func BenchmarkSync(b *testing.B) {
	benchmark(b, nil, "/v1/sync", http.StatusOK)
}

func benchmark(b *testing.B, tracer trace.Tracer, path string, status int) {
	b.Helper()
	handler, err := New(Config{
		Publisher: confirmed{}, Records: confirmed{}, Worker: done(), IDs: newIDs(b), Outcomes: newOutcomes(), Registerer: prometheus.NewRegistry(), Tracer: tracer,
	})
	require.NoError(b, err)
	const body = `{"action":"delay","duration_ms":1000,"run":"bench","payload":{"order":4711}}`
	reader := strings.NewReader(body)
	req := httptest.NewRequestWithContext(b.Context(), http.MethodPost, path, reader)
	req.Header.Set("Content-Type", task.ContentType)
	w := &discard{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		reader.Reset(body)
		clear(w.header)
		handler.ServeHTTP(w, req)
		if w.status != status {
			b.Fatalf("status %d", w.status)
		}
	}
}

// discard is an answer that nobody reads.
type discard struct {
	header http.Header
	status int
}

func (w *discard) Header() http.Header         { return w.header }
func (w *discard) WriteHeader(status int)      { w.status = status }
func (w *discard) Write(p []byte) (int, error) { return len(p), nil }
