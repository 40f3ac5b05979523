package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/task"
	"github.com/twinlane/twinlane/worker/internal/brokertest"
	"github.com/twinlane/twinlane/worker/internal/dlq"
)

func bury(t *testing.T, v brokertest.VHost, letters []string) {
	t.Helper()
	pub, stop := v.Publisher(t, rabbitmq.Tasks())
	defer stop()
	for _, id := range letters {
		headers := task.Headers{Attempt: 4, Dead: &task.Death{Reason: task.ReasonExhausted, Error: "it was hopeless", At: time.Now()}}
		body := []byte(`{"id":"` + id + `","accepted_at":"2026-01-02T03:04:05Z","action":"delay"}`)
		require.NoError(t, pub.Publish(t.Context(), rabbitmq.TaskMessage("", task.QueueDeadLetter, id, headers, body, time.Now())))
	}
}

func noDLQ(t *testing.T, v brokertest.VHost) {
	t.Helper()
	code, out, log := runWith(t, "", "dlq", "ls", "--amqp-url", v.URL())
	require.Zero(t, code, log)
	require.Contains(t, out, "queue tasks.v1.dlq does not exist on this broker")
	code, out, _ = runWith(t, "", "dlq", "list", "--json", "--amqp-url", v.URL())
	require.Zero(t, code)
	require.JSONEq(t, "[]", out)
	code, _, log = runWith(t, "", "dlq", "replay", "--all", "--amqp-url", v.URL())
	require.Equal(t, 1, code)
	require.Contains(t, log, "does not exist")
}

func dlqCommands(t *testing.T, v brokertest.VHost) {
	t.Helper()
	_, stop := v.Connect(t, rabbitmq.Tasks())
	stop()
	dlqRun := func(args ...string) (int, string, string) {
		return runWith(t, "", append(append([]string{"dlq"}, args...), "--amqp-url", v.URL())...)
	}
	code, out, _ := dlqRun("ls")
	require.Zero(t, code)
	require.Equal(t, "tasks.v1.dlq is empty.\n", out)

	bury(t, v, ids("t", 3))
	code, out, _ = dlqRun("ls", "--max", "2")
	require.Zero(t, code)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	require.Len(t, lines, 4)
	require.Equal(t, []string{"t-0", "exhausted", "4"}, strings.Fields(lines[1])[:3])
	require.Equal(t, "2 listed; tasks.v1.dlq holds 3.", lines[3])

	code, out, _ = dlqRun("ls", "--reason", "panic")
	require.Zero(t, code)
	require.Equal(t, "None of the 3 looked at matches; tasks.v1.dlq holds 3.\n", out)

	code, out, _ = dlqRun("ls", "--json")
	require.Zero(t, code)
	var letters []dlq.Letter
	require.NoError(t, json.Unmarshal([]byte(out), &letters))
	require.Len(t, letters, 3)

	code, out, _ = dlqRun("show", "t-1")
	require.Zero(t, code)
	require.Contains(t, out, `{"id":"t-1","accepted_at":"2026-01-02T03:04:05Z","action":"delay"}`)
	code, _, log := dlqRun("show", "t-9")
	require.Equal(t, 1, code)
	require.Contains(t, log, "no dead letter with this id")

	code, out, _ = dlqRun("replay", "--since", "1h", "--dry-run")
	require.Zero(t, code)
	require.Contains(t, out, "t-1 would be replayed")
	code, out, log = dlqRun("replay", "--id", "t-1")
	require.Zero(t, code, log)
	require.Equal(t, "t-1 replayed\n1 of 1 matching letters replayed; 3 of 3 looked at.\n", out)
	require.Equal(t, map[string]int{"t-1": 1}, take(t, v, task.QueueTasks))
	require.Equal(t, map[string]int{"t-0": 1, "t-2": 1}, take(t, v, task.QueueDeadLetter))
}

func purgeAsksForTheCount(t *testing.T, v brokertest.VHost) {
	t.Helper()
	bury(t, v, ids("t", 3))
	backup := filepath.Join(t.TempDir(), "backup.ndjson")
	purge := func(stdin string, args ...string) (int, string, string) {
		return runWith(t, stdin, append([]string{"dlq", "purge", "--backup", backup, "--amqp-url", v.URL()}, args...)...)
	}
	for _, answer := range []string{"", "y\n", "2\n"} {
		code, _, log := purge(answer)
		require.Equal(t, 1, code, "answer %q", answer)
		require.Contains(t, log, "nothing deleted")
		require.NoFileExists(t, backup)
	}
	code, _, log := purge("", "--count", "2")
	require.Equal(t, 1, code)
	require.Contains(t, log, "--count is 2, and 3 letters match: nothing deleted")

	code, out, _ := purge("", "--count", "1", "--id", "t-1")
	require.Zero(t, code)
	require.Contains(t, out, "1 of 1 letters deleted; 3 of 3 looked at.")
	require.NoError(t, os.Remove(backup))

	code, out, _ = purge("2\n")
	require.Zero(t, code)
	require.Contains(t, out, "2 letters written to "+backup)
	text, err := os.ReadFile(backup)
	require.NoError(t, err)
	require.Equal(t, 2, strings.Count(string(text), "\n"))
	require.Empty(t, take(t, v, task.QueueDeadLetter))
}

// replayKilled ends a replay without warning: each letter is in the DLQ or in
// the task queue, and at most one is in both.
func replayKilled(t *testing.T, v brokertest.VHost) {
	t.Helper()
	const letters = 200
	bury(t, v, ids("t", letters))
	p := startProcess(t, "dlq", "replay", "--all", "--rate", "300", "--amqp-url", v.URL())
	require.Eventually(t, func() bool { return strings.Count(p.out.String(), "replayed") >= letters/4 }, brokertest.Patience, time.Millisecond)
	require.Equal(t, -1, p.end(t, os.Kill))

	replayed, left := make(map[string]int), make(map[string]int)
	require.Eventually(t, func() bool { // the broker takes a moment to see that the tool is gone
		for id, n := range take(t, v, task.QueueTasks) {
			replayed[id] += n
		}
		for id, n := range take(t, v, task.QueueDeadLetter) {
			left[id] += n
		}
		return len(replayed)+len(left) >= letters
	}, brokertest.Patience, 50*time.Millisecond)
	require.NotEmpty(t, left, "or it was not in its middle")
	require.LessOrEqual(t, len(replayed)+len(left), letters+1)
	for _, id := range ids("t", letters) {
		require.Positive(t, replayed[id]+left[id], id)
	}
}
