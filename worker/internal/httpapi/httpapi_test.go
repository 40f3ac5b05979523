package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/twinlane/twinlane/internal/task"
	"github.com/twinlane/twinlane/worker/internal/action"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// message is a valid body but for what extra adds to it.
func message(extra string) string {
	return `{"id":"t-1","accepted_at":"2026-01-02T03:04:05.678Z","action":"delay","run":"r-1"` + extra + `}`
}

type fixture struct {
	*Handler
	logged *bytes.Buffer
}

func newFixture(t *testing.T, concurrency int) fixture {
	t.Helper()
	reg := prometheus.NewRegistry()
	runner := action.NewRunner(action.Config{
		DefaultDuration: time.Second,
		Timeout:         5 * time.Second,
		FaultInjection:  true,
		Exit:            func(int) { t.Error("the process was told to exit") },
	}, reg, nil)
	t.Cleanup(runner.Close)
	var logged bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&logged, nil))
	return fixture{NewHandler(Config{Concurrency: concurrency}, runner, reg, logger), &logged}
}

// post sends body to POST /v1/execute and returns the answer.
func (f fixture) post(ctx context.Context, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/v1/execute", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Request-Id", "req-1")
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	return w
}

func decodeProblem(t *testing.T, w *httptest.ResponseRecorder) task.Problem {
	t.Helper()
	require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
	var p task.Problem
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p))
	require.Equal(t, w.Code, p.Status)
	require.Equal(t, task.ProblemCode(strings.TrimPrefix(p.Type, "urn:twinlane:problem:")).Title(), p.Title)
	require.NotEmpty(t, p.Title)
	require.NotEmpty(t, p.RequestID)
	require.Equal(t, p.RequestID, w.Header().Get("X-Request-Id"))
	return p
}

func TestExecuteAnswersWithTheResult(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 1).post(t.Context(), message(`,"duration_ms":1500`))
		require.Equal(t, http.StatusOK, w.Code)
		require.Equal(t, "application/json", w.Header().Get("Content-Type"))
		require.Equal(t, "req-1", w.Header().Get("X-Request-Id"))
		var res task.Result
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &res))
		require.Equal(t, "t-1", res.ID)
		require.Equal(t, "r-1", res.Run)
		require.Equal(t, task.StatusCompleted, res.Status)
		require.Equal(t, 1, res.Attempt)
		require.Equal(t, "2026-01-02T03:04:05.678Z", res.AcceptedAt.Format(time.RFC3339Nano))
		require.Equal(t, 1500*time.Millisecond, res.ServiceTime())
	})
}

func TestFailedTasks(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		extra     string
		status    int
		problem   string
		reason    task.Reason
		transient bool
	}{
		"transient": {`,"fail":{"kind":"transient","count":3}`, 500, "task-failed", task.ReasonExhausted, true},
		"permanent": {`,"fail":{"kind":"permanent"}`, 500, "task-failed", task.ReasonPermanent, false},
		"panic":     {`,"fail":{"kind":"panic"}`, 500, "task-failed", task.ReasonPanic, false},
		"hang":      {`,"fail":{"kind":"hang"}`, 504, "task-timeout", "", false},
		"long":      {`,"duration_ms":60000`, 504, "task-timeout", "", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, 1)
				w := f.post(t.Context(), message(tt.extra))
				require.Equal(t, tt.status, w.Code)
				p := decodeProblem(t, w)
				require.Equal(t, "urn:twinlane:problem:"+tt.problem, p.Type)
				require.Equal(t, tt.reason, p.Reason)
				if tt.problem == "task-failed" {
					require.Equal(t, &tt.transient, p.Transient)
				}
				require.Contains(t, f.logged.String(), `"task_id":"t-1"`)
				require.Equal(t, 1, strings.Count(f.logged.String(), "\n"), "a failure is logged once")
				require.Equal(t, tt.reason == task.ReasonPanic, strings.Contains(f.logged.String(), `"stack"`))
				require.Equal(t, http.StatusOK, f.post(t.Context(), message("")).Code, "the place is free again")
			})
		})
	}
}

func TestBadRequests(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		method, path, contentType, body string
		status                          int
		problem, field                  string
	}{
		"other path":       {"POST", "/v2/execute", "application/json", message(""), 404, "not-found", ""},
		"other method":     {"GET", "/v1/execute", "application/json", "", 405, "method-not-allowed", ""},
		"no content type":  {"POST", "/v1/execute", "", message(""), 415, "unsupported-media-type", ""},
		"text":             {"POST", "/v1/execute", "text/plain", message(""), 415, "unsupported-media-type", ""},
		"charset":          {"POST", "/v1/execute", "application/json; charset=utf-8", message(`,"duration_ms":0`), 200, "", ""},
		"empty":            {"POST", "/v1/execute", "application/json", "", 400, "malformed-json", ""},
		"truncated":        {"POST", "/v1/execute", "application/json", message("")[:20], 400, "malformed-json", ""},
		"trailing data":    {"POST", "/v1/execute", "application/json", message("") + "1", 400, "malformed-json", ""},
		"unknown field":    {"POST", "/v1/execute", "application/json", message(`,"url":"x"`), 422, "invalid-field", "url"},
		"duration too big": {"POST", "/v1/execute", "application/json", message(`,"duration_ms":60001`), 422, "invalid-field", "duration_ms"},
		"too large": {
			"POST", "/v1/execute", "application/json",
			message(`,"payload":"` + strings.Repeat("x", task.MaxMessageBytes) + `"`), 413, "body-too-large", "",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequestWithContext(t.Context(), tt.method, tt.path, strings.NewReader(tt.body))
			r.Header.Set("Content-Type", tt.contentType)
			r.Header.Set("X-Request-Id", "not a valid id")
			w := httptest.NewRecorder()
			newFixture(t, 1).ServeHTTP(w, r)
			require.Equal(t, tt.status, w.Code)
			if tt.problem == "" {
				return
			}
			p := decodeProblem(t, w)
			require.Equal(t, "urn:twinlane:problem:"+tt.problem, p.Type)
			require.Equal(t, tt.field, p.Field)
			require.NotEqual(t, "not a valid id", p.RequestID)
			require.Equal(t, tt.status == 405, w.Header().Get("Allow") == "POST")
		})
	}
}

// TestABodyThatDoesNotComeWhole tells a client that went wrong from one that is slow.
func TestABodyThatDoesNotComeWhole(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]struct {
		status int
		code   task.ProblemCode
	}{
		io.ErrUnexpectedEOF:    {http.StatusBadRequest, task.ProblemUnreadableBody},
		os.ErrDeadlineExceeded: {http.StatusRequestTimeout, task.ProblemSlowBody},
	} {
		body := io.MultiReader(strings.NewReader(message("")[:20]), iotest.ErrReader(err))
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, task.PathExecute, body)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		newFixture(t, 1).ServeHTTP(w, r)
		require.Equal(t, want.status, w.Code)
		p := decodeProblem(t, w)
		require.True(t, p.Is(want.code), p.Type)
	}
}

// TestAnOutputArrivesByteForByte holds that no output grows on its way beyond
// what a gateway accepts.
func TestAnOutputArrivesByteForByte(t *testing.T) {
	t.Parallel()
	output := `"` + strings.Repeat("<>&", task.MaxOutputBytes/3)[:task.MaxOutputBytes-2] + `"`
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, output) }))
	t.Cleanup(target.Close)
	reg := prometheus.NewRegistry()
	runner := action.NewRunner(action.Config{Timeout: 5 * time.Second, HTTPURL: target.URL}, reg, nil)
	t.Cleanup(runner.Close)
	body := strings.Replace(message(""), `"delay"`, `"http"`, 1)
	w := fixture{NewHandler(Config{Concurrency: 1}, runner, reg, nil), nil}.post(t.Context(), body)
	require.Equal(t, http.StatusOK, w.Code)
	require.Contains(t, w.Body.String(), `"output":`+output)
}

func TestRefusesWhatIsBeyondItsBound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const places = 3
		f := newFixture(t, places)
		codes := make(chan int)
		for range places {
			go func() { codes <- f.post(t.Context(), message("")).Code }()
		}
		synctest.Wait()

		w := f.post(t.Context(), message(""))
		require.Equal(t, http.StatusServiceUnavailable, w.Code)
		require.Equal(t, "1", w.Header().Get("Retry-After"))
		require.Equal(t, "urn:twinlane:problem:worker-busy", decodeProblem(t, w).Type)

		for range places {
			require.Equal(t, http.StatusOK, <-codes)
		}
		require.Equal(t, http.StatusOK, f.post(t.Context(), message("")).Code)
	})
}

func TestAClientThatGoesAwayEndsItsTask(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/v1/execute", strings.NewReader(message("")))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/json")
	_, err = server.Client().Do(r) //nolint:bodyclose // There is none.
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Eventually(t, func() bool { return len(f.places) == 0 }, 30*time.Second, time.Millisecond)
}

// TestNobodyGetsAnEmptyAnswer stands for a client that is still there when its
// context ends, as on a stop of the server: its connection is cut.
func TestNobodyGetsAnEmptyAnswer(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f := newFixture(t, 1)
	require.PanicsWithValue(t, http.ErrAbortHandler, func() { f.post(ctx, message("")) })
	require.Empty(t, f.places)
}

func TestTheTraceIsHandedOn(t *testing.T) {
	t.Parallel()
	seen := make(chan http.Header, 1)
	target := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header }))
	t.Cleanup(target.Close)
	reg := prometheus.NewRegistry()
	runner := action.NewRunner(action.Config{Timeout: 5 * time.Second, HTTPURL: target.URL}, reg, nil)
	t.Cleanup(runner.Close)
	h := NewHandler(Config{Concurrency: 1}, runner, reg, nil)

	const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	body := strings.Replace(message(""), `"delay"`, `"http"`, 1)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/execute", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Request-Id", "req-1")
	r.Header.Set("Traceparent", traceparent)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	answer, err := io.ReadAll(w.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, w.Code, string(answer))

	got := <-seen
	require.Equal(t, traceparent, got.Get("Traceparent"))
	require.Equal(t, "req-1", got.Get("X-Request-Id"))
}

func TestMetricsAreWellNamed(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	newMetrics(reg)
	problems, err := testutil.GatherAndLint(reg)
	require.NoError(t, err)
	require.Empty(t, problems)
}
