package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/service/servicetest"
	"github.com/twinlane/twinlane/internal/task"
)

func TestRouting(t *testing.T) {
	t.Parallel()
	api := start(t, Config{})
	for _, tc := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{http.MethodGet, "/", 200, ""},
		{http.MethodHead, "/", 200, ""},
		{http.MethodPost, "/", 405, "GET, HEAD"},
		{http.MethodGet, "/reports/", 404, ""},
		{http.MethodGet, "/reports/run/report.html", 404, ""},
		{http.MethodPost, "/reports/run/report.html", 405, "GET, HEAD"},
		{http.MethodPost, "/v1/async/", 404, ""},
		{http.MethodPost, "/V1/ASYNC", 404, ""},
		{http.MethodPost, "//v1/async", 404, ""},
		{http.MethodPost, "/v1/../v1/async", 404, ""},
		{http.MethodGet, "/v1/tasks/1", 404, ""},
		{http.MethodGet, "/%00%ff", 404, ""},
		{http.MethodGet, "/" + strings.Repeat("x", 5000), 404, ""},
		{http.MethodGet, "/metrics", 404, ""},
		{http.MethodGet, "/debug/pprof/", 404, ""},
		{http.MethodHead, "/nowhere", 404, ""},
		{"BREW", "/nowhere", 404, ""},
		{http.MethodGet, "/v1/async", 405, "POST"},
		{http.MethodHead, "/v1/async", 405, "POST"},
		{http.MethodOptions, "/v1/sync", 405, "POST"},
		{http.MethodPut, "/v1/sync", 405, "POST"},
		{http.MethodGet, "/v1/tasks", 404, ""},
		{http.MethodGet, "/v1/tasks/", 404, ""},
		{http.MethodGet, "/v1/tasks/1/2", 404, ""},
		{http.MethodGet, "/v1/tasks/%00%ff", 404, ""},
		{http.MethodHead, "/v1/tasks/1", 404, ""},
		{http.MethodGet, "/v1/runs/", 404, ""},
		{http.MethodPost, "/v1/tasks/1", 405, "GET, HEAD"},
		{http.MethodDelete, "/v1/runs/r", 405, "GET, HEAD"},
		{"BREW", "/v1/sync", 405, "POST"},
		{http.MethodDelete, "/openapi.yaml", 405, "GET, HEAD"},
		{http.MethodGet, "/openapi.yaml", 200, ""},
		{http.MethodHead, "/openapi.yaml", 200, ""},
	} {
		a := api.send(t, tc.method, tc.path, nil)
		require.Equal(t, tc.status, a.status, "%s %s", tc.method, tc.path)
		require.Equal(t, tc.allow, a.header.Get("Allow"), "%s %s", tc.method, tc.path)
		if tc.method == http.MethodHead {
			require.Empty(t, a.body)
		} else if tc.status >= 400 {
			require.Equal(t, tc.status, a.problem(t).Status)
			require.Less(t, len(a.body), 600)
		}
	}
	for _, target := range []string{"CONNECT x:1", "GET http://elsewhere/nowhere", "CONNECT /v1/async", "OPTIONS http://x/v1/async"} {
		method, path, _ := strings.Cut(target, " ")
		a := api.raw(t, method, "/", target+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		require.Contains(t, []int{404, 405}, a.status, path)
	}
}

func TestDescriptionIsServed(t *testing.T) {
	t.Parallel()
	api := start(t, Config{})
	a := api.send(t, http.MethodGet, "/openapi.yaml", nil)
	require.Equal(t, "application/yaml", a.header.Get("Content-Type"))
	require.Equal(t, openAPI, a.body)
}

// TestDescriptionIsComplete holds the description against the code: it is
// valid, examples included, and both know the same routes, statuses and codes.
func TestDescriptionIsComplete(t *testing.T) {
	t.Parallel()
	doc := loadSpec(t).doc
	require.True(t, doc.IsOpenAPI31OrLater())
	require.NoError(t, doc.Validate(t.Context(), openapi3.EnableExamplesValidation()))

	described := map[string][]int{}
	for path, item := range doc.Paths.Map() {
		for method, operation := range item.Operations() {
			for status := range operation.Responses.Map() {
				n, err := strconv.Atoi(status)
				require.NoError(t, err)
				described[method+" "+path] = append(described[method+" "+path], n)
			}
			slices.Sort(described[method+" "+path])
		}
	}
	served := map[string][]int{}
	parameter := regexp.MustCompile(`:(\w+)`)
	for _, r := range (&api{}).routes() {
		served[r.method+" "+parameter.ReplaceAllString(r.path, "{$1}")] = r.statuses
	}
	require.Equal(t, served, described)

	text := string(openAPI)
	for _, p := range problems() {
		if p.status == statusClientGone {
			continue
		}
		if p.code == task.ProblemNotFound || p.code == task.ProblemMethodNotAllowed {
			require.Contains(t, text, "`"+string(p.code)+"`")
			continue
		}
		require.Contains(t, text, p.code.Type()+"\n")
		require.Contains(t, text, "title: "+p.title+"\n", "an example of %s", p.code)
	}
}

func TestPanicIsAnswered(t *testing.T) {
	t.Parallel()
	var log servicetest.Log
	worker := func(context.Context, task.Message, task.Headers) (task.Result, error) { panic("boom <&>") }
	api := start(t, Config{Worker: fakeWorker(worker), Logger: slog.New(slog.NewJSONHandler(&log, nil))})
	for range 3 {
		a := api.post(t, "/v1/sync", smallest, "X-Request-Id", "req-4")
		require.Equal(t, http.StatusInternalServerError, a.status)
		require.NotContains(t, string(a.body), "boom")
	}
	require.Equal(t, http.StatusAccepted, api.post(t, "/v1/async", smallest).status)
	require.Contains(t, log.String(), "boom")
	require.Contains(t, log.String(), "router_test.go", "the stack")
	require.Contains(t, log.String(), "req-4")
}

// TestClientHangsUp shows that nothing is left of a client that does not wait:
// its sync call ends, and its publish goes on and counts.
func TestClientHangsUp(t *testing.T) {
	t.Parallel()
	entered, left := make(chan struct{}), make(chan struct{})
	worker := func(ctx context.Context, _ task.Message, _ task.Headers) (task.Result, error) {
		close(entered)
		<-ctx.Done()
		close(left)
		return task.Result{}, context.Cause(ctx)
	}
	publisher := &fakePublisher{release: make(chan struct{})}
	api := start(t, Config{Worker: fakeWorker(worker), Publisher: publisher})

	hangUp := func(path string, when func()) {
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, api.URL+path, strings.NewReader(smallest))
		require.NoError(t, err)
		req.Header.Set("Content-Type", task.ContentType)
		go func() { when(); cancel() }()
		_, err = api.Client().Do(req) //nolint:bodyclose // There is no answer.
		require.ErrorIs(t, err, context.Canceled)
	}
	inFlight := func(n int) {
		require.Eventually(t, func() bool { return api.count(t, "gateway_http_requests_in_flight") == n }, patience, time.Millisecond)
	}
	hangUp("/v1/sync", func() { <-entered })
	<-left
	inFlight(0)
	hangUp("/v1/async", func() { inFlight(1) })
	close(publisher.release)
	inFlight(0)
	publisher.only(t)
	require.Equal(t, 1, api.count(t, "gateway_http_problems_total", "code", "client-gone"))
	require.Equal(t, 1, api.count(t, "gateway_http_request_duration_seconds", "route", "/v1/sync", "code", "499"))
	require.Equal(t, 1, api.count(t, "gateway_http_request_duration_seconds", "route", "/v1/async", "code", "202"))
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	api := start(t, Config{})
	problems, err := testutil.GatherAndLint(api.registry)
	require.NoError(t, err)
	require.Empty(t, problems)

	before, err := testutil.GatherAndCount(api.registry)
	require.NoError(t, err)
	api.post(t, "/v1/sync", smallest)
	api.post(t, "/v1/async", `{`)
	api.send(t, "BREW", "/some/where", nil)
	api.send(t, http.MethodPatch, "/v1/async", nil)
	api.send(t, http.MethodHead, "/openapi.yaml", nil)
	require.Equal(t, 1, api.count(t, "gateway_http_request_duration_seconds", "route", "/v1/sync", "method", "POST", "code", "200"))
	require.Equal(t, 1, api.count(t, "gateway_http_request_duration_seconds", "route", "/v1/async", "method", "POST", "code", "400"))
	require.Equal(t, 1, api.count(t, "gateway_http_request_duration_seconds", "route", "other", "method", "other", "code", "404"))
	require.Equal(t, 1, api.count(t, "gateway_http_request_duration_seconds", "route", "other", "method", "other", "code", "405"))
	after, err := testutil.GatherAndCount(api.registry)
	require.NoError(t, err)
	require.Equal(t, before, after, "every series is there from the start")
}

func TestRequestsAreLoggedAtDebug(t *testing.T) {
	t.Parallel()
	var log servicetest.Log
	api := start(t, Config{Logger: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	api.post(t, "/v1/async", smallest, "X-Request-Id", "req-5")
	require.Eventually(t, func() bool { return strings.Contains(log.String(), `"request_id":"req-5"`) }, patience, time.Millisecond)
	require.Contains(t, log.String(), `"status":202`)
}
