package control

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/twinlane/twinlane/worker/internal/executor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newHandler(t *testing.T, c executor.Config) (*Handler, executor.Executor) {
	t.Helper()
	exec, err := executor.New(c, nil, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.Zero(t, exec.Drain(context.Background())) })
	next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	return NewHandler(c, exec, next, nil), exec
}

func ask(h *Handler, method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json; charset=utf-8")
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

const idle = `"stats":{"running":0,"queued":0,"waiting":0,"workers":0,"largest_workers":0,"completed":0,"saturated":0,"discarded":0}`

func pool() executor.Config {
	return executor.Config{Model: executor.ModelPool, Pool: executor.PoolConfig{
		Core: 3, Max: 5, Queue: 200, KeepAlive: time.Minute, Policy: executor.Block,
	}}
}

func TestTheExecutorIsShown(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		config executor.Config
		want   string
	}{
		"pool":      {pool(), `{"model":"pool","sizes":{"core":3,"max":5},"limits":{"core":5,"max":5},"capacity":205,"policy":"block",` + idle + `}`},
		"serial":    {executor.Config{Model: executor.ModelSerial, Concurrency: 7}, `{"model":"serial","sizes":{},"limits":{},"capacity":1,` + idle + `}`},
		"goroutine": {executor.Config{Model: executor.ModelGoroutine, Concurrency: 7}, `{"model":"goroutine","sizes":{"concurrency":7},"limits":{"concurrency":7},"capacity":7,` + idle + `}`},
		"keyed": {
			executor.Config{Model: executor.ModelKeyed, Concurrency: 7, KeyQueue: 3},
			`{"model":"keyed","sizes":{"concurrency":7},"limits":{"concurrency":7},"capacity":10,` + idle + `}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, _ := newHandler(t, tt.config)
			w := ask(h, http.MethodGet, "/executor", "")
			require.Equal(t, http.StatusOK, w.Code)
			require.Equal(t, "application/json", w.Header().Get("Content-Type"))
			require.JSONEq(t, tt.want, w.Body.String())
		})
	}
}

func TestSizesAreChanged(t *testing.T) {
	t.Parallel()
	h, exec := newHandler(t, pool())
	sizes := exec.(executor.Resizer).Sizes //nolint:forcetypeassert // A pool is.
	for _, tt := range []struct {
		body string
		want executor.Sizes
	}{
		{`{"core":0}`, executor.Sizes{Core: 0, Max: 5}},
		{`{"max":1}`, executor.Sizes{Core: 0, Max: 1}},
		{`{"core":5,"max":5}`, executor.Sizes{Core: 5, Max: 5}},
		{`{}`, executor.Sizes{Core: 5, Max: 5}},
	} {
		w := ask(h, http.MethodPut, "/executor", tt.body)
		require.Equal(t, http.StatusOK, w.Code, w.Body)
		require.Equal(t, tt.want, sizes())
		require.Equal(t, ask(h, http.MethodGet, "/executor", "").Body.String(), w.Body.String(), "the answer is the new state")
	}
	h, exec = newHandler(t, executor.Config{Model: executor.ModelKeyed, Concurrency: 7})
	require.Equal(t, http.StatusOK, ask(h, http.MethodPut, "/executor", `{"concurrency":2}`).Code)
	require.Equal(t, executor.Sizes{Concurrency: 2}, exec.(executor.Resizer).Sizes()) //nolint:forcetypeassert // It is one.
}

func TestWhatIsNotAllowed(t *testing.T) {
	t.Parallel()
	serial := executor.Config{Model: executor.ModelSerial, Concurrency: 1}
	for name, tt := range map[string]struct {
		config executor.Config
		method string
		body   string
		status int
		want   string
	}{
		"beyond the start": {pool(), http.MethodPut, `{"max":6}`, 422, `max: 6 is not allowed; allowed: up to 5, which the worker was started with`},
		"core above max":   {pool(), http.MethodPut, `{"max":2}`, 422, `core: 3 is not allowed; allowed: 0 to 2`},
		"no worker":        {pool(), http.MethodPut, `{"core":0,"max":0}`, 422, `max: 0 is not allowed; allowed: 1 or more`},
		"another model's":  {pool(), http.MethodPut, `{"concurrency":3}`, 422, `concurrency: not a size of the executor pool`},
		"serial":           {serial, http.MethodPut, `{}`, 422, `the executor serial has no sizes that could change`},
		"unknown field":    {pool(), http.MethodPut, `{"queue":3}`, 400, `unknown field`},
		"no object":        {pool(), http.MethodPut, `3`, 400, `not an object of sizes`},
		"two objects":      {pool(), http.MethodPut, `{}{}`, 400, `more than one JSON object`},
		"a brace too many": {pool(), http.MethodPut, `{"max":4}}`, 400, `more than one JSON object`},
		"nothing":          {pool(), http.MethodPut, `null`, 400, `not an object of sizes`},
		"too long":         {pool(), http.MethodPut, `{` + strings.Repeat(" ", maxBody) + `}`, 400, `too large`},
		"no JSON":          {pool(), http.MethodPut, ``, 415, `Content-Type has to be application/json`},
		"method":           {pool(), http.MethodPost, `{}`, 405, `use GET or PUT`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, _ := newHandler(t, tt.config)
			before := ask(h, http.MethodGet, "/executor", "").Body.String()
			w := ask(h, tt.method, "/executor", tt.body)
			require.Equal(t, tt.status, w.Code, w.Body)
			require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
			require.Contains(t, w.Body.String(), tt.want)
			require.Equal(t, before, ask(h, http.MethodGet, "/executor", "").Body.String(), "nothing has changed")
		})
	}
}

func TestOthersAreHandedOn(t *testing.T) {
	t.Parallel()
	h, _ := newHandler(t, pool())
	for _, path := range []string{"/", "/metrics", "/executors"} {
		require.Equal(t, http.StatusTeapot, ask(h, http.MethodGet, path, "").Code)
	}
}
