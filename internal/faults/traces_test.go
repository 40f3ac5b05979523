package faults

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/service/servicetest"
)

// traced is a gateway and a worker that send their spans to a collector.
type traced struct {
	*Lab
	t         *testing.T
	collector *servicetest.Collector
	gateway   *service
	worker    *service
}

// TestTraces follows tasks through both services as processes, and through a
// real broker. It is here because this is where both are.
func TestTraces(t *testing.T) {
	t.Parallel()
	l, err := newLab(t.Context(), Options{Binaries: build(t), Dir: t.TempDir(), Seed: 1}, t.TempDir(), "traces")
	require.NoError(t, err)
	t.Cleanup(l.close)
	l.startBroker()
	w := &traced{Lab: l, t: t, collector: servicetest.StartCollector(t)}
	w.worker = l.worker(settings{"OTEL_EXPORTER_OTLP_ENDPOINT": w.collector.URL})
	w.gateway = l.gateway(settings{"OTEL_EXPORTER_OTLP_ENDPOINT": w.collector.URL, "WORKER_URL": w.worker.url()})
	l.ready(w.gateway, w.worker)

	w.oneTraceThroughARetry()
	w.syncLane()
	w.deadLetterAndReplay()
	w.notSampled()

	w.stopSendsTheRest()
}

// oneTraceThroughARetry fails a task once. All of it is one trace, the client's.
func (w *traced) oneTraceThroughARetry() {
	trace := w.send("/v1/async", "0af7651916cd43dd8448eb211c80319c", "01", http.StatusOK,
		`{"action":"delay","duration_ms":5,"fail":{"kind":"transient","count":1}}`, "Prefer", "wait=20")
	spans := w.await(trace, "twinlane-worker process tasks.v1", 2)
	require.Equal(w.t, strings.TrimSpace(`
twinlane-gateway server POST /v1/async
  twinlane-gateway producer publish tasks.v1
    twinlane-worker consumer process tasks.v1 FAILED transient
      twinlane-worker internal run delay FAILED transient
      twinlane-worker producer publish tasks.v1.retry.1s
        twinlane-worker consumer process tasks.v1
          twinlane-worker internal run delay
          twinlane-worker client publish tasks.v1.results
          twinlane-worker client ack tasks.v1
      twinlane-worker client ack tasks.v1
`), tree(spans))
	retry := find(w.t, spans, "publish tasks.v1.retry.1s")
	again := spans[slices.IndexFunc(spans, func(s servicetest.Span) bool { return s.Parent == retry.ID })]
	require.Greater(w.t, again.Began.Sub(retry.Finished), 800*time.Millisecond, "the wait for the retry is seen")
	require.Equal(w.t, "b7ad6b7169203331", find(w.t, spans, "POST /v1/async").Parent, "the client's span")
	published := find(w.t, spans, "publish tasks.v1")
	for name, value := range map[string]string{
		"messaging.system": "rabbitmq", "messaging.destination.name": "tasks.v1", "messaging.operation.name": "publish",
		"messaging.operation.type": "send", "messaging.rabbitmq.destination.routing_key": "tasks.v1",
	} {
		require.Equal(w.t, value, published.Attributes[name], name)
	}
	require.NotEmpty(w.t, published.Attributes["messaging.message.id"])
	require.Equal(w.t, published.Attributes["messaging.message.id"], again.Attributes["messaging.message.id"], "every attempt has the task's id")
}

func (w *traced) syncLane() {
	spans := w.await(w.send("/v1/sync", "1af7651916cd43dd8448eb211c80319c", "01", http.StatusBadGateway,
		`{"action":"delay","duration_ms":5,"fail":{"kind":"permanent"}}`), "twinlane-gateway POST /v1/sync", 1)
	require.Equal(w.t, strings.TrimSpace(`
twinlane-gateway server POST /v1/sync FAILED task-failed
  twinlane-gateway client POST /v1/execute FAILED task_failed
    twinlane-worker server POST /v1/execute FAILED task-failed
      twinlane-worker internal run delay FAILED permanent
`), tree(spans))
}

// deadLetterAndReplay has a task die and replays it, which is a trace of its own
// that points at the first.
func (w *traced) deadLetterAndReplay() {
	trace := w.send("/v1/async", "2af7651916cd43dd8448eb211c80319c", "01", http.StatusOK,
		`{"action":"delay","duration_ms":5,"fail":{"kind":"permanent"}}`, "Prefer", "wait=20")
	spans := w.await(trace, "twinlane-worker process tasks.v1", 1)
	require.Equal(w.t, strings.TrimSpace(`
twinlane-gateway server POST /v1/async
  twinlane-gateway producer publish tasks.v1
    twinlane-worker consumer process tasks.v1 FAILED permanent
      twinlane-worker internal run delay FAILED permanent
      twinlane-worker producer publish tasks.v1.dlq
      twinlane-worker client publish tasks.v1.results
      twinlane-worker client ack tasks.v1
`), tree(spans))

	var out bytes.Buffer
	tool := w.service("worker", 9, nil, settings{"OTEL_EXPORTER_OTLP_ENDPOINT": w.collector.URL})
	delete(tool.set, "HTTP_ADDR")
	delete(tool.set, "ADMIN_ADDR")
	tool.args = []string{"dlq", "replay", "--all"}
	p, err := startTool(tool, &out)
	require.NoError(w.t, err)
	<-p.Done()
	replays := w.collector.Named("replay tasks.v1.dlq")
	require.Len(w.t, replays, 1, "%s", out.String())
	require.NotEqual(w.t, trace, replays[0].Trace)
	require.Equal(w.t, []string{trace}, replays[0].Links)
	again := w.await(replays[0].Trace, "twinlane-worker process tasks.v1", 1)
	require.Equal(w.t, strings.TrimSpace(`
twinlane-dlq internal replay tasks.v1.dlq
  twinlane-dlq producer publish tasks.v1
    twinlane-worker consumer process tasks.v1 FAILED permanent
      twinlane-worker internal run delay FAILED permanent
      twinlane-worker producer publish tasks.v1.dlq
      twinlane-worker client publish tasks.v1.results
      twinlane-worker client ack tasks.v1
`), tree(again))
}

// notSampled sends tasks whose client wants no spans of them, and then one of
// which there are, so that the others had their time.
func (w *traced) notSampled() {
	unsampled := w.send("/v1/async", "3af7651916cd43dd8448eb211c80319c", "00", http.StatusOK,
		`{"action":"delay","duration_ms":5}`, "Prefer", "wait=20")
	w.send("/v1/sync", "3af7651916cd43dd8448eb211c80319c", "00", http.StatusOK, `{"action":"delay","duration_ms":5}`)
	later := w.send("/v1/async", "4af7651916cd43dd8448eb211c80319c", "01", http.StatusOK,
		`{"action":"delay","duration_ms":5}`, "Prefer", "wait=20")
	w.await(later, "twinlane-worker process tasks.v1", 1)
	require.Empty(w.t, w.collector.Trace(unsampled))
}

// stopSendsTheRest ends both services right after a task. Once they have ended,
// all of its spans are there.
func (w *traced) stopSendsTheRest() {
	trace := w.send("/v1/sync", "5af7651916cd43dd8448eb211c80319c", "01", http.StatusOK, `{"action":"delay","duration_ms":5}`)
	for _, s := range []*service{w.gateway, w.worker} {
		require.NoError(w.t, s.terminate(w.t.Context()))
	}
	require.Equal(w.t, strings.TrimSpace(`
twinlane-gateway server POST /v1/sync
  twinlane-gateway client POST /v1/execute
    twinlane-worker server POST /v1/execute
      twinlane-worker internal run delay
`), tree(w.collector.Trace(trace)))
}

// send sends a task within a trace, and returns the trace.
func (w *traced) send(path, trace, flags string, status int, body string, header ...string) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.gateway.url()+path, strings.NewReader(body))
	require.NoError(w.t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Traceparent", "00-"+trace+"-b7ad6b7169203331-"+flags)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := w.client.Do(req)
	require.NoError(w.t, err)
	defer func() { _ = resp.Body.Close() }()
	require.Equal(w.t, status, resp.StatusCode)
	return trace
}

// await waits until a trace has n spans of that service and name, and returns it.
func (w *traced) await(trace, serviceAndName string, n int) []servicetest.Span {
	w.t.Helper()
	var spans []servicetest.Span
	require.Eventually(w.t, func() bool {
		spans = w.collector.Trace(trace)
		found, root := 0, false
		for _, s := range spans {
			if s.Service+" "+s.Name == serviceAndName {
				found++
			}
			root = root || s.Kind == "server" || s.Service == "twinlane-dlq"
		}
		return found >= n && root
	}, time.Minute, 20*time.Millisecond, "%v", spans)
	return spans
}

func find(t *testing.T, spans []servicetest.Span, name string) servicetest.Span {
	t.Helper()
	for _, s := range spans {
		if s.Name == name {
			return s
		}
	}
	require.Fail(t, "no such span", name)
	return servicetest.Span{}
}

// tree draws a trace: each span below the one that it belongs to, as they began.
func tree(spans []servicetest.Span) string {
	known := map[string]bool{}
	for _, s := range spans {
		known[s.ID] = true
	}
	var b strings.Builder
	var draw func(parent, indent string)
	draw = func(parent, indent string) {
		for _, s := range spans {
			if s.Parent != parent && (parent != "" || known[s.Parent]) {
				continue
			}
			b.WriteString(indent + s.Service + " " + s.Kind + " " + s.Name)
			if s.Failed {
				b.WriteString(" FAILED " + s.Attributes["error.type"])
			}
			b.WriteString("\n")
			draw(s.ID, indent+"  ")
		}
	}
	draw("", "")
	return strings.TrimSpace(b.String())
}
