package task_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/task"
)

const (
	traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	traceID     = "0af7651916cd43dd8448eb211c80319c"
)

func TestHeadersRoundTrip(t *testing.T) {
	t.Parallel()
	full := task.Headers{
		Attempt: 3, Refusals: 2, ReplayCount: 1, RequestID: "req-1", Traceparent: traceparent, Tracestate: "a=b",
		Dead: &task.Death{Reason: task.ReasonPanic, Error: "boom", At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
	}
	got, err := task.ParseHeaders(full.Table())
	require.NoError(t, err)
	require.Equal(t, full, got)

	got, err = task.ParseHeaders(nil)
	require.NoError(t, err)
	require.Equal(t, task.Headers{Attempt: 1}, got)
}

func TestParseHeadersTakesEveryInteger(t *testing.T) {
	t.Parallel()
	for _, n := range []any{int8(4), uint8(4), int16(4), uint16(4), int32(4), uint32(4), int64(4), 4} {
		h, err := task.ParseHeaders(map[string]any{task.HeaderAttempt: n})
		require.NoError(t, err)
		require.Equal(t, 4, h.Attempt, "%T", n)
	}
}

func TestParseHeadersRefusesForeignCounters(t *testing.T) {
	t.Parallel()
	for _, bad := range []any{"2", 2.0, true, nil, int64(0), int64(-1), int64(1) << 40} {
		_, err := task.ParseHeaders(map[string]any{task.HeaderAttempt: bad})
		var field *task.FieldError
		require.ErrorAs(t, err, &field, "%v", bad)
		require.Equal(t, task.HeaderAttempt, field.Field)
	}
}

func TestParseHeadersIgnoresWhatIsOnlyInformation(t *testing.T) {
	t.Parallel()
	h, err := task.ParseHeaders(map[string]any{
		task.HeaderRequestID: "not valid!", task.HeaderTraceparent: 5, task.HeaderTracestate: "a=b", "x-foreign": struct{}{},
	})
	require.NoError(t, err)
	require.Equal(t, task.Headers{Attempt: 1}, h)
}

func TestDeadErrorIsBounded(t *testing.T) {
	t.Parallel()
	h := task.Headers{Dead: &task.Death{Reason: task.ReasonPermanent, Error: strings.Repeat("é\xff", 5000)}}
	require.NoError(t, task.CheckHeaders(h.Table()))
	require.LessOrEqual(t, len(fmt.Sprint(h.Table()[task.HeaderDeadError])), task.MaxErrorBytes)
}

func TestTraceContext(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, parent, state   string
		wantParent, wantState string
	}{
		{"valid", traceparent, "vendor=1,b=2", traceparent, "vendor=1,b=2"},
		{"later version", "01" + traceparent[2:] + "-extra", "", "01" + traceparent[2:] + "-extra", ""},
		{"version 00 with more", traceparent + "-extra", "a=b", "", ""},
		{"version ff", "ff" + traceparent[2:], "", "", ""},
		{"capitals", strings.ToUpper(traceparent), "", "", ""},
		{"no trace id", strings.Replace(traceparent, traceID, strings.Repeat("0", 32), 1), "", "", ""},
		{"no parent id", strings.Replace(traceparent, "b7ad6b7169203331", strings.Repeat("0", 16), 1), "", "", ""},
		{"short", traceparent[:54], "", "", ""},
		{"long", "01" + traceparent[2:] + "-" + strings.Repeat("a", 300), "", "", ""},
		{"no dash", strings.Replace(traceparent, "-", "_", 1), "", "", ""},
		{"state too long", traceparent, strings.Repeat("a", 600), traceparent, ""},
		{"state with control", traceparent, "a=\x00", traceparent, ""},
		{"state with too many", traceparent, strings.Repeat("a=b,", 40), traceparent, ""},
		{"state alone", "", "a=b", "", ""},
	} {
		parent, state := task.TraceContext(tc.parent, tc.state)
		require.Equal(t, tc.wantParent, parent, tc.name)
		require.Equal(t, tc.wantState, state, tc.name)
	}
}

func TestCheckHeaders(t *testing.T) {
	t.Parallel()
	require.NoError(t, task.CheckHeaders(map[string]any{"a": "b", "n": int64(1), "ok": true}))
	for name, tc := range map[string]map[string]any{
		"header name": {strings.Repeat("n", 256): "v"},
		"headers":     {"a": strings.Repeat("v", task.MaxHeaderBytes)},
		"header a":    {"a": []string{"v"}},
	} {
		var field *task.FieldError
		require.ErrorAs(t, task.CheckHeaders(tc), &field)
		require.Equal(t, name, field.Field)
	}
}

func TestTruncateKeepsCharactersWhole(t *testing.T) {
	t.Parallel()
	require.Equal(t, "é", task.Truncate("éé", 3))
	require.Empty(t, task.Truncate("é", 1))
	require.Equal(t, "a\uFFFD", task.Truncate("a\xff", 10))
}

func TestValidName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"a": true, "A-z_0.9": true, strings.Repeat("a", 64): true,
		"": false, strings.Repeat("a", 65): false, "a b": false, "é": false, "a/b": false, "a\n": false,
	} {
		require.Equal(t, want, task.ValidName(name), "%q", name)
	}
}
