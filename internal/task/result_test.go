package task_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/task"
)

func aResult() task.Result {
	at := time.Date(2026, 1, 31, 23, 59, 59, 123456789, time.UTC)
	return task.Result{
		ID: "id-1", Run: "run-1", Status: task.StatusCompleted, Attempt: 2, Output: json.RawMessage(`{"a":"<&>"}`),
		AcceptedAt: at, StartedAt: at.Add(time.Second), FinishedAt: at.Add(3 * time.Second),
	}
}

func TestResultRoundTrip(t *testing.T) {
	t.Parallel()
	want := aResult()
	body, err := want.Encode()
	require.NoError(t, err)
	require.Contains(t, string(body), `"<&>"`, "an output does not grow")
	got, err := task.DecodeResult(body)
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Equal(t, time.Second, got.QueueWait())
	require.Equal(t, 2*time.Second, got.ServiceTime())
	require.Equal(t, 3*time.Second, got.EndToEnd())

	got, err = task.DecodeResult([]byte(`{"id":"x","status":"dead","finished_at":"2026-01-31T00:00:00Z","of_a_later_version":1}`))
	require.NoError(t, err)
	require.Equal(t, task.StatusDead, got.Status)
}

// The largest result that a worker can have is one that a gateway reads.
func TestLargestResultFits(t *testing.T) {
	t.Parallel()
	r := aResult()
	r.ID, r.Run = strings.Repeat("i", task.MaxNameLen), strings.Repeat("r", task.MaxNameLen)
	r.Status, r.Reason = task.StatusDead, task.ReasonExhausted
	r.Output = json.RawMessage(`"` + strings.Repeat("x", task.MaxOutputBytes-2) + `"`)
	r.Error = strings.Repeat("\x01", 2*task.MaxErrorBytes)
	body, err := r.Encode()
	require.NoError(t, err)
	got, err := task.DecodeResult(body)
	require.NoError(t, err)
	require.Len(t, got.Error, task.MaxErrorBytes)
}

func TestResultOmitsWhatNobodyKnows(t *testing.T) {
	t.Parallel()
	body, err := task.Result{ID: "x", Status: task.StatusDead, FinishedAt: time.Unix(1, 0).UTC()}.Encode()
	require.NoError(t, err)
	require.JSONEq(t, `{"id":"x","status":"dead","attempt":0,"finished_at":"1970-01-01T00:00:01Z"}`, string(body))
}

func TestDecodeResultRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ body, want string }{
		{``, `malformed JSON: unexpected end of`},
		{`[]`, `malformed JSON: `},
		{`{"id":"a b","status":"dead","finished_at":"2026-01-31T00:00:00Z"}`, `id: a b is not allowed; allowed: 1 to 64 of`},
		{`{"id":"x","run":"a b","status":"dead","finished_at":"2026-01-31T00:00:00Z"}`, `run: a b is not allowed; allowed: 1 to 64 of`},
		{`{"id":"x","status":"accepted","finished_at":"2026-01-31T00:00:00Z"}`, `status: accepted is not allowed; allowed: completed, dead, discarded`},
		{`{"id":"x","status":"dead"}`, `finished_at: none is not allowed; allowed: a time of RFC 3339`},
		{strings.Repeat(" ", task.MaxResultBytes+1), `body: `},
	} {
		_, err := task.DecodeResult([]byte(tc.body))
		require.ErrorContains(t, err, tc.want, "%.60s", tc.body)
	}
}

func TestAcceptance(t *testing.T) {
	t.Parallel()
	want := task.Acceptance{ID: "id-1", Run: "r", AcceptedAt: aResult().AcceptedAt, Digest: strings.Repeat("0a", 32)}
	body, err := want.Encode()
	require.NoError(t, err)
	got, err := task.DecodeAcceptance(body)
	require.NoError(t, err)
	require.Equal(t, want, got)
	for _, tc := range []struct{ name, value, want string }{
		{"id", `""`, `id: `},
		{"run", `"a b"`, `run: a b is not allowed`},
		{"accepted_at", `"0001-01-01T00:00:00Z"`, `accepted_at: none is not allowed`},
		{"digest", `"0a"`, `digest: 0a is not allowed; allowed: 64 of 0-9 a-f`},
		{"digest", `"` + strings.Repeat("0A", 32) + `"`, `digest: `},
		{"id", `7`, `malformed JSON: `},
	} {
		var members map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(body, &members))
		members[tc.name] = json.RawMessage(tc.value)
		bad, err := json.Marshal(members)
		require.NoError(t, err)
		_, err = task.DecodeAcceptance(bad)
		require.ErrorContains(t, err, tc.want, "%s", bad)
	}
}

func FuzzDecodeResult(f *testing.F) {
	body, err := aResult().Encode()
	require.NoError(f, err)
	f.Add(body)
	f.Add([]byte(`{"id":"x","status":"dead","reason":"panic","finished_at":"2026-01-31T00:00:00+01:00"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := task.DecodeResult(body)
		if err != nil {
			return
		}
		again, err := r.Encode()
		require.NoError(t, err)
		got, err := task.DecodeResult(again)
		if len(again) > task.MaxResultBytes {
			return
		}
		require.NoError(t, err)
		require.Equal(t, r.ID, got.ID)
		require.True(t, r.FinishedAt.Equal(got.FinishedAt))
	})
}
