package dlq

import (
	"bytes"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/task"
)

func TestReasonOfADeadLetter(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	brokers := func(reason string) []any {
		return []any{amqp.Table{"reason": reason, "time": at}, amqp.Table{"reason": "expired", "time": at.Add(-time.Hour)}}
	}
	tests := map[string]struct {
		headers amqp.Table
		want    string
		died    bool
	}{
		"worker": {task.Headers{Dead: &task.Death{Reason: task.ReasonPanic, At: at}}.Table(), "panic", true},
		"worker, after retries": {amqp.Table{
			"x-dlq-reason": "exhausted", "x-dlq-at": at.Format(time.RFC3339Nano), "x-death": brokers("expired"),
		}, "exhausted", true},
		"broker, newest first": {amqp.Table{"x-death": brokers("delivery_limit")}, "delivery_limit", true},
		"broker, other":        {amqp.Table{"x-death": brokers("rejected")}, "rejected", true},
		"nobody":               {nil, "unknown", false},
		"garbage":              {amqp.Table{"x-death": "x", "x-dlq-reason": 7}, "unknown", false},
		"garbage within":       {amqp.Table{"x-death": []any{amqp.Table{"reason": 7}}}, "unknown", false},
		"no time":              {amqp.Table{"x-dlq-reason": "panic", "x-dlq-at": "soon"}, "panic", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLetter(amqp.Delivery{Headers: tt.headers})
			require.Equal(t, tt.want, l.Reason)
			require.Equal(t, tt.died, l.DiedAt != nil)
			if tt.died {
				require.Equal(t, at, *l.DiedAt)
			}
		})
	}
}

func TestTableShowsOneLinePerLetterAndNothingATerminalActsOn(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	died := now.Add(-90 * time.Second)
	var out bytes.Buffer
	require.NoError(t, WriteTable(&out, []Letter{
		{ID: "t-1", Reason: "panic", Error: "line\nbreak\x1b[2J" + strings.Repeat("x", 100), Attempt: 2, Replays: 1, DiedAt: &died, Action: "delay"},
		{ID: "\x1b]0;title\a", Reason: "unknown", Attempt: 1},
	}, now))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 3)
	require.Equal(t, []string{"t-1", "panic", "2", "1", "2026-01-02", "03:02:35", "1m30s", "delay"}, strings.Fields(lines[1])[:8])
	require.NotContains(t, out.String(), "\x1b")
	require.NotContains(t, out.String(), "\a")
}
