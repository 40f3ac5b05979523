package action

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/task"
)

func TestHTTPPostsThePayload(t *testing.T) {
	t.Parallel()
	type call struct {
		method, body string
		header       http.Header
	}
	calls := make(chan call, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		calls <- call{r.Method, string(body), r.Header}
		_, _ = io.WriteString(w, `{"stored":true}`)
	}))
	t.Cleanup(server.Close)

	r := newRunner(t, func(c *Config) { c.HTTPURL = server.URL })
	tsk := newTask(task.ActionHTTP, 0)
	tsk.Payload = json.RawMessage(`{"n": 1}`)
	tsk.RequestID = "req-1"
	tsk.Traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	tsk.Tracestate = "a=b"
	res, err := r.Run(t.Context(), LaneAsync, tsk)
	require.NoError(t, err)
	require.JSONEq(t, `{"stored":true}`, string(res.Output))

	got := <-calls
	require.Equal(t, http.MethodPost, got.method)
	require.Equal(t, `{"n": 1}`, got.body)
	require.Equal(t, "application/json", got.header.Get("Content-Type"))
	require.Equal(t, "t-1", got.header.Get("Idempotency-Key"))
	require.Equal(t, "req-1", got.header.Get("X-Request-Id"))
	require.Equal(t, tsk.Traceparent, got.header.Get("Traceparent"))
	require.Equal(t, "a=b", got.header.Get("Tracestate"))
}

func TestHTTPAnswers(t *testing.T) {
	t.Parallel()
	tests := map[int]Outcome{
		http.StatusNoContent:           OutcomeCompleted,
		http.StatusMovedPermanently:    OutcomePermanent,
		http.StatusBadRequest:          OutcomePermanent,
		http.StatusNotFound:            OutcomePermanent,
		http.StatusRequestTimeout:      OutcomeTransient,
		http.StatusTooManyRequests:     OutcomeTransient,
		http.StatusInternalServerError: OutcomeTransient,
		http.StatusServiceUnavailable:  OutcomeTransient,
	}
	for code, want := range tests {
		t.Run(http.StatusText(code), func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "http://127.0.0.1:1/elsewhere")
				w.WriteHeader(code)
			}))
			t.Cleanup(server.Close)
			r := newRunner(t, func(c *Config) { c.HTTPURL = server.URL })
			_, err := r.Run(t.Context(), LaneAsync, newTask(task.ActionHTTP, 0))
			require.Equal(t, want, OutcomeOf(err))
		})
	}
}

func TestHTTPWithoutAURLIsPermanent(t *testing.T) {
	t.Parallel()
	r := newRunner(t, nil)
	_, err := r.Run(t.Context(), LaneAsync, newTask(task.ActionHTTP, 0))
	require.Equal(t, OutcomePermanent, OutcomeOf(err))
	require.EqualError(t, err, "action http is not configured")
}

func TestHTTPNetworkErrorIsTransientAndKeepsTheURLToItself(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	url := server.URL + "/?key=secret"
	server.Close()
	r := newRunner(t, func(c *Config) { c.HTTPURL = url })
	_, err := r.Run(t.Context(), LaneAsync, newTask(task.ActionHTTP, 0))
	require.Equal(t, OutcomeTransient, OutcomeOf(err))
	require.NotContains(t, err.Error(), "secret")
}

func TestHTTPTimeout(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(server.Close)
	r := newRunner(t, func(c *Config) { c.HTTPURL, c.Timeout = server.URL, 50*time.Millisecond })
	_, err := r.Run(t.Context(), LaneAsync, newTask(task.ActionHTTP, 0))
	require.Equal(t, OutcomeTimeout, OutcomeOf(err))
}
