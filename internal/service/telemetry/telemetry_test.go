package telemetry

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"

	"github.com/twinlane/twinlane/internal/service/servicetest"
)

func TestMain(m *testing.M) {
	// The exporter's HTTP transport is the library's own, and keeps its idle
	// connections as all of them do.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

// patience bounds every wait for something that is bound to happen.
const patience = 30 * time.Second

// traces is a process's Traces while it runs.
type traces struct {
	*Traces
	log      *servicetest.Log
	registry *prometheus.Registry
	stop     context.CancelFunc
	stopped  chan error
}

func start(t *testing.T, endpoint string, ratio float64) *traces {
	t.Helper()
	u, err := url.Parse(endpoint)
	require.NoError(t, err)
	r := &traces{log: &servicetest.Log{}, registry: prometheus.NewRegistry(), stopped: make(chan error, 1)}
	r.Traces, err = New(t.Context(), Config{Service: "test", Endpoint: u, Ratio: ratio}, r.registry, slog.New(slog.NewJSONHandler(r.log, nil)))
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	r.stop = stop
	go func() { r.stopped <- r.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		r.Close(context.Background())
	})
	return r
}

func (r *traces) end(t *testing.T, n int) {
	t.Helper()
	for range n {
		_, span := r.Tracer().Start(t.Context(), "span")
		span.End()
	}
}

func (r *traces) await(t *testing.T) {
	t.Helper()
	r.stop()
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case err := <-r.stopped:
		require.NoError(t, err)
	case <-late.C:
		require.Fail(t, "no end")
	}
}

func (r *traces) count(t *testing.T, name string) int {
	t.Helper()
	families, err := r.registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			full := f.GetName()
			for _, l := range m.GetLabel() {
				full += " " + l.GetValue()
			}
			if full == name {
				return int(m.GetCounter().GetValue())
			}
		}
	}
	require.Fail(t, "no such metric", name)
	return 0
}

func TestSpansAreSent(t *testing.T) {
	t.Parallel()
	c := servicetest.StartCollector(t)
	r := start(t, c.URL, 1)
	r.end(t, 3)
	require.Eventually(t, func() bool { return len(c.Named("span")) == 3 }, patience, 10*time.Millisecond, "without a stop")
	require.Equal(t, "test", c.Named("span")[0].Service)
	r.end(t, 2)
	r.await(t)
	require.Len(t, c.Named("span"), 5, "a stop sends what is left")
	require.Equal(t, 5, r.count(t, "trace_spans_total"))
	require.Equal(t, 5, r.count(t, "trace_spans_exported_total sent"))
	require.Empty(t, r.log.String())
	problems, err := testutil.GatherAndLint(r.registry)
	require.NoError(t, err)
	require.Empty(t, problems)
}

func TestRatio(t *testing.T) {
	t.Parallel()
	c := servicetest.StartCollector(t)
	none, some := start(t, c.URL, 0), start(t, c.URL, 0.25)
	none.end(t, 1000)
	some.end(t, 1000)
	none.await(t)
	some.await(t)
	require.Zero(t, none.count(t, "trace_spans_total"))
	require.InDelta(t, 250, some.count(t, "trace_spans_total"), 100)
}

func TestOff(t *testing.T) {
	t.Parallel()
	off, err := New(t.Context(), Config{}, nil, nil)
	require.NoError(t, err)
	require.Nil(t, off)
	require.Nil(t, off.Tracer(), "an interface that is nil, as it is asked for")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, off.Run(ctx))
	off.Close(t.Context())
}

// TestCollectorDown shows what a collector that is not there costs: one line.
func TestCollectorDown(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	r := start(t, "http://"+l.Addr().String(), 1)
	for range 3 {
		sent := r.count(t, "trace_spans_exported_total lost")
		r.end(t, 10)
		require.Eventually(t, func() bool { return r.count(t, "trace_spans_exported_total lost") == sent+10 }, patience, 10*time.Millisecond)
	}
	r.await(t)
	require.Equal(t, 1, strings.Count(r.log.String(), "\n"), r.log.String())
	require.Contains(t, r.log.String(), "collector takes no spans")
}

// TestCollectorHangs shows that one that does not answer holds up no span and no
// stop, and that what does not fit into the queue is dropped.
func TestCollectorHangs(t *testing.T) {
	t.Parallel()
	release, reached := make(chan struct{}), make(chan struct{}, 1000)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		reached <- struct{}{}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	defer close(release)
	r := start(t, server.URL, 1)
	r.end(t, batch)
	<-reached
	began := time.Now()
	r.end(t, 3*queued) // far more than fits
	require.Less(t, time.Since(began), exportWithin, "nobody has waited for the collector")
	began = time.Now()
	r.await(t)
	require.Less(t, time.Since(began), FlushTime+5*time.Second)
	require.Equal(t, batch+3*queued, r.count(t, "trace_spans_total"))
	require.Less(t, r.count(t, "trace_spans_exported_total lost"), batch+3*queued, "some were dropped")
}

// TestReminders is what is logged of a collector that comes and goes.
func TestReminders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log servicetest.Log
		next := &failing{err: errors.New("refused")}
		e := newExporter(t.Context(), next, "http://collector", nil, slog.New(slog.NewJSONHandler(&log, nil)))
		export := func() {
			require.NoError(t, e.ExportSpans(t.Context(), tracetest.SpanStubs{{}, {}}.Snapshots()))
		}
		began := time.Now()
		for time.Since(began) < remindAfter {
			export()
			time.Sleep(time.Second) //nolint:forbidigo // Of the bubble.
		}
		require.Equal(t, 1, strings.Count(log.String(), "takes no spans"))
		export()
		require.Equal(t, 2, strings.Count(log.String(), "takes no spans"))
		require.Contains(t, log.String(), `"lost":602`)
		next.err = nil
		export()
		export()
		require.Equal(t, 1, strings.Count(log.String(), "takes spans again"))
		next.err = errors.New("refused again")
		export()
		require.Contains(t, log.String(), `"lost":2,"err":"refused again"`)
	})
}

type failing struct{ err error }

func (f *failing) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return f.err }
func (f *failing) Shutdown(context.Context) error                             { return nil }

func TestEndpoint(t *testing.T) {
	t.Parallel()
	u, err := ParseEndpoint("NAME", "")
	require.NoError(t, err)
	require.Nil(t, u)
	u, err = ParseEndpoint("NAME", "https://collector:4318/tenant")
	require.NoError(t, err)
	require.Equal(t, "https://collector:4318/tenant/v1/traces", u.JoinPath(path).String())
	for _, wrong := range []string{"collector:4318", "grpc://collector:4317", "http://", "http://user:secret@collector", "http://collector?token=secret", "http://c#f"} {
		_, err := ParseEndpoint("NAME", wrong)
		require.ErrorContains(t, err, "NAME", wrong)
		require.NotContains(t, err.Error(), "secret")
	}
}
