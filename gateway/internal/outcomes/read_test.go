package outcomes

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/task"
)

// TestWhatTheBrokerGivesUp holds that a task that no worker lived to report is
// dead.
func TestWhatTheBrokerGivesUp(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC().Truncate(time.Second)
	accepted := now.Add(-time.Minute)
	message := task.Message{ID: idAt(now, 1), AcceptedAt: accepted, Request: task.Request{Action: task.ActionDelay, Run: "run"}}
	for name, tc := range map[string]struct {
		change func(*rabbitmq.StreamMessage)
		want   task.Result
	}{
		"crash loop": {
			func(*rabbitmq.StreamMessage) {},
			task.Result{ID: message.ID, Run: "run", Attempt: 2, Reason: task.ReasonDeliveryLimit, Error: errBroker, AcceptedAt: accepted},
		},
		"after a retry": {
			func(m *rabbitmq.StreamMessage) { m.Headers[task.HeaderFirstDeathReason] = "expired" },
			task.Result{ID: message.ID, Run: "run", Attempt: 2, Reason: task.ReasonDeliveryLimit, Error: errBroker, AcceptedAt: accepted},
		},
		"by another reason": {
			func(m *rabbitmq.StreamMessage) { m.Headers[task.HeaderFirstDeathReason] = "rejected" },
			task.Result{ID: message.ID, Run: "run", Attempt: 2, Reason: "rejected", AcceptedAt: accepted},
		},
		"replayed from the DLQ by another tool": {
			func(m *rabbitmq.StreamMessage) { m.Headers[task.HeaderDeadReason] = "permanent" },
			task.Result{ID: message.ID, Run: "run", Attempt: 2, Reason: task.ReasonDeliveryLimit, Error: errBroker, AcceptedAt: accepted},
		},
		"undecodable": {
			func(m *rabbitmq.StreamMessage) {
				m.Body, m.Headers[task.HeaderFirstDeathReason], m.Headers[task.HeaderAttempt] = []byte("{"), 5, "x"
			},
			task.Result{ID: message.ID, Attempt: 1, Reason: task.ReasonDeliveryLimit, Error: errBroker},
		},
		"under another id": {
			func(m *rabbitmq.StreamMessage) { m.ID, m.Type = "other", task.MessageTypeResult },
			task.Result{ID: message.ID, Run: "run", Attempt: 2, Reason: task.ReasonDeliveryLimit, Error: errBroker, AcceptedAt: accepted},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newStream(t, Config{})
				s.setCaughtUp(true)
				m := deathMessage(t, message, string(task.ReasonDeliveryLimit))
				tc.change(&m)
				tc.want.Status, tc.want.FinishedAt = task.StatusDead, time.Now().UTC()
				s.write(m)
				sleep(time.Minute)
				s.write(m) // the broker dead-letters at least once
				s.replay(0)
				got, state := s.Lookup(message.ID, now)
				require.Equal(t, Known, state)
				require.Equal(t, tc.want, got)
				require.EqualValues(t, len(tc.want.Run)/3, s.Run("run").Dead)

				s.outcome(done(message.ID, "run", time.Now()))
				s.replay(0)
				require.Zero(t, s.Run("run").Dead)
				require.EqualValues(t, 1, s.Run("run").Completed)
				require.Zero(t, s.Run("run").Duplicates)
			})
		})
	}
}

// TestADeathIsDatedByWhatIsAroundIt holds that a gateway that starts later
// takes a death for no older than what was written before it.
func TestADeathIsDatedByWhatIsAroundIt(t *testing.T) {
	t.Parallel()
	s := newStream(t, Config{})
	now := time.Now().UTC().Truncate(time.Second)
	s.outcome(done("a", "", now.Add(-10*time.Minute)))
	m := task.Message{ID: idAt(now, 1), AcceptedAt: now.Add(-3 * time.Hour), Request: task.Request{Action: task.ActionDelay}}
	s.write(deathMessage(t, m, "delivery_limit"))
	got, state := s.Lookup(m.ID, m.AcceptedAt)
	require.Equal(t, Known, state)
	require.Equal(t, now.Add(-10*time.Minute), got.FinishedAt)
}

// TestADeathAtTheBeginning holds that a stream that replaces another can begin
// with what has no time.
func TestADeathAtTheBeginning(t *testing.T) {
	t.Parallel()
	s := newStream(t, Config{})
	now := time.Now()
	s.outcome(done("a", "", now))
	s.messages = nil
	m := task.Message{ID: idAt(now, 1), AcceptedAt: now, Request: task.Request{Action: task.ActionDelay}}
	s.write(deathMessage(t, m, "delivery_limit"))
	s.requireState(m.ID, Known)
}

func TestWhatIsSkipped(t *testing.T) {
	t.Parallel()
	now := time.Now()
	good := resultMessage(t, done("a", "run", now))
	with := func(change func(*rabbitmq.StreamMessage)) rabbitmq.StreamMessage {
		m := good
		change(&m)
		return m
	}
	for name, tc := range map[string]struct {
		message rabbitmq.StreamMessage
		reason  skip
	}{
		"a marker":             {rabbitmq.StreamMessage{Type: task.MessageTypeMarker, ID: "m"}, skipMarker},
		"no type":              {with(func(m *rabbitmq.StreamMessage) { m.Type = "" }), skipForeign},
		"a task without id":    {rabbitmq.StreamMessage{Type: task.MessageType}, skipUndecodable},
		"no JSON":              {with(func(m *rabbitmq.StreamMessage) { m.Body = []byte{0, 255} }), skipUndecodable},
		"no body":              {with(func(m *rabbitmq.StreamMessage) { m.Body = nil }), skipUndecodable},
		"too large":            {with(func(m *rabbitmq.StreamMessage) { m.Body = bytes.Repeat([]byte(" "), 1<<20) }), skipUndecodable},
		"not final":            {with(func(m *rabbitmq.StreamMessage) { m.Body = []byte(`{"id":"a","status":"accepted"}`) }), skipUndecodable},
		"a bad acceptance":     {with(func(m *rabbitmq.StreamMessage) { m.Type = task.MessageTypeAccepted }), skipUndecodable},
		"a death without id":   {rabbitmq.StreamMessage{Headers: map[string]any{task.HeaderFirstDeathReason: "x"}}, skipUndecodable},
		"a death of a bad id":  {rabbitmq.StreamMessage{ID: "no id", Headers: map[string]any{task.HeaderFirstDeathReason: "x"}}, skipUndecodable},
		"a death of a long id": {rabbitmq.StreamMessage{ID: strings.Repeat("a", 65), Headers: map[string]any{task.HeaderFirstDeathReason: nil}}, skipUndecodable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStream(t, Config{})
			s.write(tc.message)
			require.Equal(t, 1.0, s.metric("outcomes_skipped_total", string(tc.reason)))
			require.Equal(t, 1.0, s.metric("outcomes_skipped_total"))
			require.Zero(t, s.metric("outcomes_tasks"))
			s.write(good)
			require.EqualValues(t, 1, s.Run("run").Completed, "reading goes on")
			s.replay(1)
			require.Equal(t, 1.0, s.metric("outcomes_skipped_total", string(skipReplayed)))
		})
	}
}

// TestForeignMessagesAreLoggedSparsely holds that somebody who writes nonsense
// into the stream does not fill the log.
func TestForeignMessagesAreLoggedSparsely(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		reg := prometheus.NewRegistry()
		x := New(Config{}, reg, slog.New(slog.NewJSONHandler(&log, nil)))
		for n := range 600 {
			x.Read(rabbitmq.StreamMessage{Offset: int64(2 * n), Type: "nonsense", ID: strings.Repeat("\xff", 300)})
			x.Read(rabbitmq.StreamMessage{Offset: int64(2*n + 1), Type: task.MessageTypeMarker})
			sleep(time.Second)
		}
		require.Equal(t, 10, strings.Count(log.String(), "\n"))
		require.Equal(t, 600.0, metric(t, reg, "outcomes_skipped_total", "foreign"))
	})
}

func TestHowLongOutcomesTakeToBeVisible(t *testing.T) {
	t.Parallel()
	s := newStream(t, Config{})
	s.outcome(done("a", "", time.Now()))
	require.Zero(t, s.metric("outcomes_visible_seconds"), "the past says nothing")
	s.setCaughtUp(true)
	s.outcome(done("b", "", time.Now()))
	s.outcome(done("c", "", time.Now().Add(time.Hour)))
	s.replay(0)
	require.Equal(t, 2.0, s.metric("outcomes_visible_seconds"))
}

func TestMetricsAreWellFormed(t *testing.T) {
	t.Parallel()
	s := newStream(t, Config{})
	s.outcome(done("a", "run", time.Now()))
	s.outcome(died("b", "run", time.Now()))
	problems, err := testutil.GatherAndLint(s.reg)
	require.NoError(t, err)
	require.Empty(t, problems)
	require.Equal(t, 1.0, s.metric("outcomes_read_total", "completed"))
	require.Equal(t, 1.0, s.metric("outcomes_read_total", "dead"))
	require.Equal(t, 2.0, s.metric("outcomes_tasks"))
	require.EqualValues(t, DefaultMaxTasks, s.metric("outcomes_tasks_limit"))
	require.EqualValues(t, DefaultMaxBytes, s.metric("outcomes_bytes_limit"))
}
