package task_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/task"
)

func TestDecodeRequest(t *testing.T) {
	t.Parallel()
	r, err := task.DecodeRequest([]byte(` {"action":"delay","duration_ms":250,"run":"r-1","key":"user.7","payload":{"a":[1,null]},"fail":{"kind":"transient","count":2}} `))
	require.NoError(t, err)
	ms := 250
	require.Equal(t, task.Request{
		Action: task.ActionDelay, DurationMS: &ms, Run: "r-1", Key: "user.7", Payload: json.RawMessage(`{"a":[1,null]}`),
		Fail: &task.Fail{Kind: task.FailTransient, Count: 2},
	}, r)
	require.Equal(t, 250*time.Millisecond, r.Duration(time.Second))

	r, err = task.DecodeRequest([]byte(`{"action":"cpu"}`))
	require.NoError(t, err)
	require.Equal(t, time.Second, r.Duration(time.Second))
}

func TestDecodeRequestRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ body, want string }{
		{``, `malformed JSON: unexpected end of input`},
		{`{`, `malformed JSON: unexpected end of input`},
		{`{"action":"delay"`, `malformed JSON: unexpected end of input`},
		{`{"action":"delay",}`, `malformed JSON: `},
		{`{"action":"delay"} {}`, `malformed JSON: data after the JSON object`},
		{`{"action":"delay"}]`, `malformed JSON: data after the JSON object`},
		{`[]`, `malformed JSON: the body is not one JSON object`},
		{`null`, `malformed JSON: the body is not one JSON object`},
		{"{\"action\":\"\xff\"}", `malformed JSON: not valid UTF-8`},
		{`{"action":"delay","payload":` + strings.Repeat("[", 20_000), `malformed JSON: `},
		{`{}`, `action: none is not allowed; allowed: delay, block, cpu, http`},
		{`{"action":"sleep"}`, `action: "sleep" is not allowed; allowed: delay, block, cpu, http`},
		{`{"action":7}`, `action: 7 is not allowed; allowed: delay, block, cpu, http`},
		{`{"action":null}`, `action: null is not allowed; allowed: delay, block, cpu, http`},
		{`{"Action":"delay"}`, `Action: an unknown field is not allowed; allowed: action, duration_ms, run, key, payload, fail`},
		{`{"action":"delay","action":"cpu"}`, `action: a repeated field is not allowed; allowed: each field once`},
		{`{"action":"delay","id":"x"}`, `id: an unknown field is not allowed; allowed: action, duration_ms, run, key, payload, fail`},
		{`{"action":"delay","duration_ms":-1}`, `duration_ms: -1 is not allowed; allowed: a whole number from 0 to 60000`},
		{`{"action":"delay","duration_ms":60001}`, `duration_ms: 60001 is not allowed; allowed: a whole number from 0 to 60000`},
		{`{"action":"delay","duration_ms":1.5}`, `duration_ms: 1.5 is not allowed; allowed: a whole number from 0 to 60000`},
		{`{"action":"delay","duration_ms":1e400}`, `duration_ms: 1e400 is not allowed; allowed: a whole number from 0 to 60000`},
		{`{"action":"delay","duration_ms":null}`, `duration_ms: null is not allowed; allowed: a whole number from 0 to 60000`},
		{`{"action":"delay","duration_ms":"1"}`, `duration_ms: "1" is not allowed; allowed: a whole number from 0 to 60000`},
		{`{"action":"delay","run":""}`, `run: "" is not allowed; allowed: 1 to 64 of A-Z a-z 0-9 . _ -`},
		{`{"action":"delay","run":"a b"}`, `run: "a b" is not allowed; allowed: 1 to 64 of A-Z a-z 0-9 . _ -`},
		{`{"action":"delay","key":""}`, `key: "" is not allowed; allowed: 1 to 64 of A-Z a-z 0-9 . _ -`},
		{`{"action":"delay","key":7}`, `key: 7 is not allowed; allowed: 1 to 64 of A-Z a-z 0-9 . _ -`},
		{`{"action":"delay","fail":"panic"}`, `fail: "panic" is not allowed; allowed: one JSON object`},
		{`{"action":"delay","fail":{}}`, `fail.kind: none is not allowed; allowed: transient, permanent, panic, exit, hang`},
		{`{"action":"delay","fail":{"kind":"slow"}}`, `fail.kind: "slow" is not allowed; allowed: transient, permanent, panic, exit, hang`},
		{`{"action":"delay","fail":{"kind":"panic","count":1}}`, `fail.count: 1 is not allowed; allowed: a count with kind transient only`},
		{`{"action":"delay","fail":{"kind":"transient","count":0}}`, `fail.count: 0 is not allowed; allowed: a whole number from 1 to 1000`},
		{`{"action":"delay","fail":{"kind":"panic","why":1}}`, `fail.why: an unknown field is not allowed; allowed: kind, count`},
	} {
		_, err := task.DecodeRequest([]byte(tc.body))
		require.Error(t, err, "%.80s", tc.body)
		require.True(t, strings.HasPrefix(err.Error(), tc.want), "%.80s: %v", tc.body, err)
	}
}

func TestErrorsAreShort(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 10_000)
	for _, body := range []string{`{"` + long + `":1}`, `{"action":"` + long + `"}`, `{"action":"delay","run":"` + long + `"}`} {
		_, err := task.DecodeRequest([]byte(body))
		require.Error(t, err)
		require.Less(t, len(err.Error()), 300)
	}
}

func TestMessageRoundTrip(t *testing.T) {
	t.Parallel()
	ms := 0
	m := task.Message{
		ID: "0192-x", AcceptedAt: time.Date(2026, 1, 2, 3, 4, 5, 6789, time.UTC),
		Request: task.Request{Action: task.ActionHTTP, DurationMS: &ms, Key: "k", Payload: json.RawMessage(`"<&>"`)},
	}
	body, err := m.Encode()
	require.NoError(t, err)
	require.Contains(t, string(body), `"<&>"`, "a payload does not grow")
	got, err := task.DecodeMessage(body)
	require.NoError(t, err)
	require.Equal(t, m, got)
}

func TestDecodeMessageRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ body, want string }{
		{`{"action":"delay","accepted_at":"2026-01-02T03:04:05Z"}`, `id: none is not allowed; allowed: 1 to 64 of A-Z a-z 0-9 . _ -`},
		{`{"action":"delay","id":"x"}`, `accepted_at: none is not allowed; allowed: a time of RFC 3339, such as 2006-01-02T15:04:05.999Z`},
		{`{"action":"delay","id":"x","accepted_at":"now"}`, `accepted_at: "now" is not allowed; allowed: a time of RFC 3339, such as 2006-01-02T15:04:05.999Z`},
		{`{"id":"x","accepted_at":"2026-01-02T03:04:05Z"}`, `action: none is not allowed; allowed: delay, block, cpu, http`},
		{strings.Repeat(" ", task.MaxMessageBytes+1), `body: 266241 bytes is not allowed; allowed: at most 266240 bytes`},
	} {
		_, err := task.DecodeMessage([]byte(tc.body))
		require.EqualError(t, err, tc.want)
	}
}

// Whatever is accepted survives encoding, and means the same afterwards.
func FuzzDecodeRequest(f *testing.F) {
	for _, seed := range []string{
		`{"action":"delay","duration_ms":1000,"run":"r","payload":{"a":1},"fail":{"kind":"transient","count":2}}`,
		`{"action":"block","payload":null}`, `{"action":"cpu","payload":"\ud800"}`, `{`, `[]`, `{"a":1}`, "\xff",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := task.DecodeRequest(body)
		if err != nil {
			require.Less(t, len(err.Error()), 400)
			return
		}
		m := task.Message{ID: "id", AcceptedAt: time.Unix(1, 0).UTC(), Request: r}
		encoded, err := m.Encode()
		require.NoError(t, err)
		require.LessOrEqual(t, len(encoded), len(body)+4<<10, "an envelope is at most 4 KiB")
		again, err := task.DecodeMessage(encoded)
		require.NoError(t, err)
		var want, got bytes.Buffer
		if r.Payload != nil {
			require.NoError(t, json.Compact(&want, r.Payload))
			require.NoError(t, json.Compact(&got, again.Payload))
		}
		require.Equal(t, want.String(), got.String())
		again.Payload, m.Payload = nil, nil
		require.Equal(t, m, again)
	})
}

func FuzzDecodeMessage(f *testing.F) {
	f.Add([]byte(`{"id":"a","accepted_at":"2026-01-02T03:04:05Z","action":"delay"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := task.DecodeMessage(body)
		if err == nil {
			require.True(t, task.ValidName(m.ID))
			require.Contains(t, task.Actions(), m.Action)
		}
	})
}
