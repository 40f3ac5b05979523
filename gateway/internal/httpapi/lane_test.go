package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/gateway/internal/workerclient"
	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/task"
)

const (
	traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	smallest    = `{"action":"delay"}`
)

func TestSync(t *testing.T) {
	t.Parallel()
	var got task.Message
	var headers task.Headers
	worker := func(ctx context.Context, m task.Message, h task.Headers) (task.Result, error) {
		got, headers = m, h
		return done()(ctx, m, h)
	}
	api := start(t, Config{Worker: fakeWorker(worker)})
	before := time.Now()
	a := api.post(t, "/v1/sync", `{"action":"cpu","duration_ms":5,"run":"r1","payload":{"a":"<b>"}}`,
		"X-Request-Id", "req-1", "traceparent", traceparent, "tracestate", "a=b")
	require.Equal(t, http.StatusOK, a.status)

	var result task.Result
	require.NoError(t, json.Unmarshal(a.body, &result))
	require.Equal(t, got.ID, result.ID)
	require.Equal(t, uuid.Version(7), uuid.MustParse(result.ID).Version())
	require.Equal(t, "r1", result.Run)
	require.JSONEq(t, `{"slept":true}`, string(result.Output))

	require.Equal(t, task.ActionCPU, got.Action)
	require.JSONEq(t, `{"a":"<b>"}`, string(got.Payload))
	require.WithinRange(t, got.AcceptedAt, before, time.Now())
	require.Equal(t, task.Headers{RequestID: "req-1", Traceparent: traceparent, Tracestate: "a=b"}, headers)
}

func TestAsync(t *testing.T) {
	t.Parallel()
	publisher := &fakePublisher{}
	api := start(t, Config{Publisher: publisher})
	before := time.Now()
	a := api.post(t, "/v1/async", `{"action":"delay","duration_ms":7}`,
		"X-Request-Id", "req-2", "traceparent", traceparent, "tracestate", "a=b")
	require.Equal(t, http.StatusAccepted, a.status)
	require.Equal(t, "1", a.header.Get("Retry-After"))

	var got accepted
	require.NoError(t, json.Unmarshal(a.body, &got))
	require.Equal(t, task.StatusAccepted, got.Status)
	require.Equal(t, "/v1/tasks/"+got.ID, got.Links.Task)
	require.Equal(t, got.Links.Task, a.header.Get("Location"))
	_, ours := newIDs(t).Check(got.ID)
	require.True(t, ours)

	m := publisher.only(t)
	require.Empty(t, m.Exchange)
	require.Equal(t, task.QueueTasks, m.RoutingKey)
	require.Equal(t, got.ID, m.ID)
	require.Equal(t, task.MessageType, m.Type)
	require.Equal(t, task.ContentType, m.ContentType)
	require.Equal(t, map[string]any{
		task.HeaderAttempt: int64(1), task.HeaderRequestID: "req-2",
		task.HeaderTraceparent: traceparent, task.HeaderTracestate: "a=b",
	}, m.Headers)
	message, err := task.DecodeMessage(m.Body)
	require.NoError(t, err)
	require.Equal(t, got.ID, message.ID)
	require.WithinRange(t, message.AcceptedAt, before, time.Now())
	require.True(t, message.AcceptedAt.Equal(m.Timestamp))
}

// TestTaskIDsDiffer also shows that they are in the order of creation.
func TestTaskIDsDiffer(t *testing.T) {
	t.Parallel()
	publisher := &fakePublisher{}
	api := start(t, Config{Publisher: publisher})
	for range 100 {
		api.post(t, "/v1/async", smallest)
	}
	for i := range 99 {
		require.Less(t, publisher.messages[i].ID, publisher.messages[i+1].ID)
	}
}

func TestForeignHeaders(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		header []string
		want   map[string]any
	}{
		"bad request id":               {[]string{"X-Request-Id", "a b"}, map[string]any{}},
		"long request id":              {[]string{"X-Request-Id", strings.Repeat("r", 65)}, map[string]any{}},
		"bad traceparent":              {[]string{"traceparent", "00-0-0-01", "tracestate", "a=b"}, map[string]any{}},
		"tracestate alone":             {[]string{"tracestate", "a=b"}, map[string]any{}},
		"huge traceparent":             {[]string{"traceparent", "01-" + strings.Repeat("a", 9000)}, map[string]any{}},
		"huge tracestate":              {[]string{"traceparent", traceparent, "tracestate", strings.Repeat("a", 9000)}, map[string]any{task.HeaderTraceparent: traceparent}},
		"tracestate that is not ASCII": {[]string{"traceparent", traceparent, "tracestate", "a=\u00fc"}, map[string]any{task.HeaderTraceparent: traceparent}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			publisher := &fakePublisher{}
			api := start(t, Config{Publisher: publisher})
			a := api.post(t, "/v1/async", smallest, tc.header...)
			require.Equal(t, http.StatusAccepted, a.status)
			tc.want[task.HeaderAttempt] = int64(1)
			tc.want[task.HeaderRequestID] = a.header.Get("X-Request-Id")
			require.Equal(t, tc.want, publisher.only(t).Headers)
			require.True(t, task.ValidName(a.header.Get("X-Request-Id")))
		})
	}
	t.Run("tracestate on two lines", func(t *testing.T) {
		t.Parallel()
		publisher := &fakePublisher{}
		api := start(t, Config{Publisher: publisher})
		api.raw(t, http.MethodPost, "/v1/async", "POST /v1/async HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"+
			"traceparent: "+traceparent+"\r\ntracestate: a=b\r\ntracestate: c=d\r\nContent-Length: 18\r\n\r\n"+smallest)
		require.Equal(t, "a=b,c=d", publisher.only(t).Headers[task.HeaderTracestate])
	})
	t.Run("traceparent on two lines", func(t *testing.T) {
		t.Parallel()
		publisher := &fakePublisher{}
		api := start(t, Config{Publisher: publisher})
		api.raw(t, http.MethodPost, "/v1/async", "POST /v1/async HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"+
			"traceparent: "+traceparent+"\r\ntraceparent: "+traceparent+"\r\nContent-Length: 18\r\n\r\n"+smallest)
		require.NotContains(t, publisher.only(t).Headers, task.HeaderTraceparent)
	})
}

// TestFailures holds what either lane answers when what is behind it fails.
func TestFailures(t *testing.T) {
	t.Parallel()
	wrap := func(err error) error { return fmt.Errorf("dial 10.0.0.1: %w", err) }
	for _, tc := range []struct {
		lane       string
		err        error
		status     int
		code       string
		retryAfter string
	}{
		{"/v1/sync", workerclient.ErrSaturated, 503, "worker-busy", "1"},
		{"/v1/sync", workerclient.ErrBusy, 503, "worker-busy", "1"},
		{"/v1/sync", workerclient.ErrUnavailable, 503, "worker-unavailable", "2"},
		{"/v1/sync", workerclient.ErrClosed, 503, "shutting-down", "2"},
		{"/v1/sync", workerclient.ErrTimeout, 504, "task-timeout", ""},
		{"/v1/sync", workerclient.ErrBroken, 502, "worker-failed", ""},
		{"/v1/sync", workerclient.ErrBadAnswer, 502, "worker-failed", ""},
		{"/v1/sync", &workerclient.TaskError{Reason: task.ReasonPermanent, Detail: "no"}, 502, "task-failed", ""},
		{"/v1/sync", errors.New("surprise"), 500, "internal", ""},
		{"/v1/async", rabbitmq.ErrSaturated, 429, "overloaded", "1"},
		{"/v1/async", rabbitmq.ErrNacked, 429, "queue-full", "5"},
		{"/v1/async", rabbitmq.ErrBlocked, 503, "broker-blocked", "5"},
		{"/v1/async", rabbitmq.ErrUnavailable, 503, "broker-unavailable", "2"},
		{"/v1/async", rabbitmq.ErrUnroutable, 503, "not-routable", "5"},
		{"/v1/async", rabbitmq.ErrOutcomeUnknown, 503, "outcome-unknown", "5"},
		{"/v1/async", errors.Join(rabbitmq.ErrOutcomeUnknown, rabbitmq.ErrNacked), 503, "outcome-unknown", "5"},
		{"/v1/async", errors.Join(rabbitmq.ErrOutcomeUnknown, rabbitmq.ErrSaturated), 503, "outcome-unknown", "5"},
		{"/v1/async", errors.Join(rabbitmq.ErrBlocked, rabbitmq.ErrOutcomeUnknown), 503, "outcome-unknown", "5"},
		{"/v1/async", errors.Join(rabbitmq.ErrUnavailable, context.Canceled), 503, "broker-unavailable", "2"},
		{"/v1/async", &task.FieldError{Field: "headers", Value: "9000 bytes", Allowed: "8192"}, 422, "invalid-field", ""},
		{"/v1/async", errors.New("surprise"), 500, "internal", ""},
	} {
		t.Run(fmt.Sprint(tc.lane, tc.err), func(t *testing.T) {
			t.Parallel()
			api := start(t, Config{Publisher: &fakePublisher{err: wrap(tc.err)}, Worker: failing(wrap(tc.err))})
			a := api.post(t, tc.lane, smallest, "X-Request-Id", "req-3")
			require.Equal(t, tc.status, a.status)
			p := a.problem(t)
			require.Equal(t, tc.code, codeOf(p))
			require.Equal(t, tc.status, p.Status)
			require.Equal(t, "req-3", p.RequestID)
			require.Equal(t, tc.retryAfter, a.header.Get("Retry-After"))
			require.NotEmpty(t, p.Detail)
			if tc.status >= 500 {
				require.NotContains(t, p.Detail, "10.0.0.1", "the inside stays inside")
			}
			require.Equal(t, tc.code == "outcome-unknown", p.TaskID != "")
			require.Equal(t, 1, api.count(t, "gateway_http_problems_total", "code", tc.code))
			require.Equal(t, 1, api.count(t, "gateway_http_problems_total"))
		})
	}
}

func TestAnswersAreFitForPeople(t *testing.T) {
	t.Parallel()
	a := start(t, Config{}).post(t, "/v1/async", `{"action":"<&>"}`)
	require.Contains(t, string(a.body), `<&>`)
	require.True(t, strings.HasSuffix(string(a.body), "}\n"))
}

func TestTaskFailureIsExplained(t *testing.T) {
	t.Parallel()
	api := start(t, Config{Worker: failing(&workerclient.TaskError{Reason: task.ReasonPanic, Transient: true, Detail: "oh"})})
	p := api.post(t, "/v1/sync", smallest).problem(t)
	require.Equal(t, task.ReasonPanic, p.Reason)
	require.Equal(t, "oh", p.Detail)
	require.True(t, *p.Transient)
}

func TestUnknownOutcomeNamesTheTask(t *testing.T) {
	t.Parallel()
	publisher := &fakePublisher{err: rabbitmq.ErrOutcomeUnknown}
	api := start(t, Config{Publisher: publisher})
	p := api.post(t, "/v1/async", smallest).problem(t)
	require.Equal(t, publisher.only(t).ID, p.TaskID)
}
