package workerclient

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/twinlane/twinlane/internal/task"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newClient returns a client of the worker at base that is closed after the test.
func newClient(t testing.TB, base string, configure ...func(*Config)) *Client {
	t.Helper()
	u, err := url.Parse(base)
	require.NoError(t, err)
	cfg := Config{URL: u, MaxInFlight: 8, Timeout: 10 * time.Second}
	for _, c := range configure {
		c(&cfg)
	}
	c := New(cfg, prometheus.WrapRegistererWithPrefix("gateway_", prometheus.NewRegistry()))
	t.Cleanup(c.Close)
	return c
}

func serve(t testing.TB, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s
}

func message() task.Message {
	duration := 5
	return task.Message{
		ID: "task-1", AcceptedAt: time.Date(2026, 11, 20, 18, 0, 0, 5000, time.UTC),
		Request: task.Request{Action: task.ActionDelay, DurationMS: &duration, Payload: json.RawMessage(`{"a":1}`)},
	}
}

func completed() task.Result {
	at := time.Date(2026, 11, 20, 18, 0, 1, 0, time.UTC)
	return task.Result{ID: "task-1", Status: task.StatusCompleted, Attempt: 1, AcceptedAt: at, StartedAt: at, FinishedAt: at}
}

func writeResult(w http.ResponseWriter, r task.Result) {
	w.Header().Set("Content-Type", task.ContentType)
	if err := json.NewEncoder(w).Encode(r); err != nil {
		panic(err)
	}
}

// counted is how often calls of c ended with the outcome.
func counted(c *Client, outcome string) int {
	return int(testutil.ToFloat64(c.metrics.calls.WithLabelValues(outcome)))
}

func TestExecute(t *testing.T) {
	t.Parallel()
	var got *http.Request
	var body []byte
	worker := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		writeResult(w, completed())
	})
	c := newClient(t, worker.URL+"/base/")
	h := task.Headers{RequestID: "req-1", Traceparent: "00-1", Tracestate: "a=b"}
	result, err := c.Execute(t.Context(), message(), h)
	require.NoError(t, err)
	require.Equal(t, completed(), result)

	require.Equal(t, http.MethodPost, got.Method)
	require.Equal(t, "/base/v1/execute", got.URL.Path)
	require.Equal(t, task.ContentType, got.Header.Get("Content-Type"))
	require.Equal(t, "req-1", got.Header.Get("X-Request-Id"))
	require.Equal(t, "00-1", got.Header.Get("Traceparent"))
	require.Equal(t, "a=b", got.Header.Get("Tracestate"))
	require.Empty(t, got.Header.Get("Accept-Encoding"))
	sent, err := task.DecodeMessage(body)
	require.NoError(t, err)
	require.Equal(t, message(), sent)
	require.Equal(t, 1, counted(c, "completed"))
}

// TestAnswers holds what each answer of a worker means.
func TestAnswers(t *testing.T) {
	t.Parallel()
	problem := func(code string) string {
		return `{"type":"urn:twinlane:problem:` + code + `","title":"x","status":1,"detail":"why","request_id":"r","reason":"permanent","transient":true}`
	}
	for name, tc := range map[string]struct {
		status  int
		body    string
		want    error
		outcome string
	}{
		"task failed":         {status: 500, body: problem("task-failed"), want: &TaskError{Reason: task.ReasonPermanent, Transient: true, Detail: "why"}, outcome: "task_failed"},
		"busy":                {status: 503, body: problem("worker-busy"), want: ErrBusy, outcome: "busy"},
		"busy without a word": {status: 503, body: "", want: ErrBusy, outcome: "busy"},
		"timed out":           {status: 504, body: problem("task-timeout"), want: ErrTimeout, outcome: "timeout"},
		"unknown action":      {status: 422, body: problem("invalid-field"), want: ErrBadAnswer, outcome: "bad_answer"},
		"bad message":         {status: 400, body: problem("malformed-json"), want: ErrBadAnswer, outcome: "bad_answer"},
		"other failure":       {status: 500, body: problem("internal"), want: ErrBadAnswer, outcome: "bad_answer"},
		"page of a proxy":     {status: 502, body: "<html>", want: ErrBadAnswer, outcome: "bad_answer"},
		"redirect":            {status: 307, body: "", want: ErrBadAnswer, outcome: "bad_answer"},
		"other success":       {status: 202, body: `{}`, want: ErrBadAnswer, outcome: "bad_answer"},
		"no JSON":             {status: 200, body: "ok", want: ErrBadAnswer, outcome: "bad_answer"},
		"no result":           {status: 200, body: "{}", want: ErrBadAnswer, outcome: "bad_answer"},
		"result of another":   {status: 200, body: `{"id":"task-2","status":"completed"}`, want: ErrBadAnswer, outcome: "bad_answer"},
		"result not final":    {status: 200, body: `{"id":"task-1","status":"accepted"}`, want: ErrBadAnswer, outcome: "bad_answer"},
		"oversized result":    {status: 200, body: `{"id":"task-1","status":"completed","output":"` + strings.Repeat("x", 1<<20) + `"}`, want: ErrBadAnswer, outcome: "bad_answer"},
		"oversized problem":   {status: 503, body: strings.Repeat("x", 1<<20), want: ErrBadAnswer, outcome: "bad_answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			worker := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(tc.status)
				_, _ = io.WriteString(w, tc.body)
			})
			c := newClient(t, worker.URL)
			_, err := c.Execute(t.Context(), message(), task.Headers{})
			if failed, ok := errors.AsType[*TaskError](err); ok {
				require.Equal(t, tc.want, failed)
			} else {
				require.ErrorIs(t, err, tc.want)
			}
			require.ErrorContains(t, err, "task-1")
			require.Equal(t, 1, counted(c, tc.outcome))
		})
	}
}

func TestLargestResult(t *testing.T) {
	t.Parallel()
	want := completed()
	want.Output = json.RawMessage(`"` + strings.Repeat("x", task.MaxOutputBytes-2) + `"`)
	want.Error = strings.Repeat("<", task.MaxErrorBytes) // six bytes each when escaped
	worker := serve(t, func(w http.ResponseWriter, _ *http.Request) { writeResult(w, want) })
	result, err := newClient(t, worker.URL).Execute(t.Context(), message(), task.Headers{})
	require.NoError(t, err)
	require.Equal(t, want, result)
}

// TestEndlessAnswer shows that an answer is not read to its end, and that its
// headers are not either.
func TestEndlessAnswer(t *testing.T) {
	t.Parallel()
	worker := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, strings.Repeat(" ", maxAnswerBytes+1))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	_, err := newClient(t, worker.URL).Execute(t.Context(), message(), task.Headers{})
	require.ErrorIs(t, err, ErrBadAnswer)

	worker = serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Long", strings.Repeat("x", 1<<20))
		writeResult(w, completed())
	})
	_, err = newClient(t, worker.URL).Execute(t.Context(), message(), task.Headers{})
	require.ErrorIs(t, err, ErrBroken)
}

// TestBulkhead fills the client up and shows that one more call fails at once,
// and that there is room again afterwards.
func TestBulkhead(t *testing.T) {
	t.Parallel()
	const limit = 4
	worker, received := stuck(t)
	c := newClient(t, worker.URL, func(cfg *Config) { cfg.MaxInFlight = limit })
	ctx, cancel := context.WithCancel(t.Context())
	var calls sync.WaitGroup
	for range limit {
		calls.Go(func() { _, _ = c.Execute(ctx, message(), task.Headers{}) })
	}
	for range limit {
		<-received
	}
	_, err := c.Execute(t.Context(), message(), task.Headers{})
	require.ErrorIs(t, err, ErrSaturated)
	require.Equal(t, 1, counted(c, "saturated"))
	cancel()
	calls.Wait()
	require.Empty(t, c.slots)
}

// TestConnectionsAreReused sends bursts as large as the bulkhead: after the
// first one no connection is opened.
func TestConnectionsAreReused(t *testing.T) {
	t.Parallel()
	const burst = 32
	var together sync.WaitGroup
	worker := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		together.Done()
		together.Wait()
		writeResult(w, completed())
	})
	c := newClient(t, worker.URL, func(cfg *Config) { cfg.MaxInFlight = burst })
	for range 3 {
		together.Add(burst)
		var calls sync.WaitGroup
		for range burst {
			calls.Go(func() {
				_, err := c.Execute(t.Context(), message(), task.Headers{})
				if err != nil {
					t.Error(err)
				}
			})
		}
		calls.Wait()
	}
	require.Equal(t, burst, int(testutil.ToFloat64(c.metrics.connections)))
}

func TestNoProxyOfTheEnvironment(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	c := newClient(t, "http://worker.example")
	transport, ok := c.http.Transport.(*http.Transport)
	require.True(t, ok)
	require.Nil(t, transport.Proxy)
}

func TestMetricsLint(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	newMetrics(prometheus.WrapRegistererWithPrefix("gateway_", registry), make(chan struct{}, 7))
	problems, err := testutil.GatherAndLint(registry)
	require.NoError(t, err)
	require.Empty(t, problems)
	count, err := testutil.GatherAndCount(registry, "gateway_worker_calls_total")
	require.NoError(t, err)
	require.Equal(t, len(outcomes())+2, count, "every outcome is there from the start")
}
