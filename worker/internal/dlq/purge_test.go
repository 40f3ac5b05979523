package dlq

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/task"
)

// readBackup returns the letters in a backup.
func readBackup(t *testing.T, path string) []Letter {
	t.Helper()
	file, err := os.Open(path)
	require.NoError(t, err)
	defer func() { require.NoError(t, file.Close()) }()
	var letters []Letter
	for lines := json.NewDecoder(file); lines.More(); {
		var l Letter
		require.NoError(t, lines.Decode(&l))
		letters = append(letters, l)
	}
	return letters
}

func agree(context.Context, int) error { return nil }

func purgeDeletesWhatItKept(t *testing.T, w *world) {
	t.Helper()
	w.buryMany(t, 5)
	backup := filepath.Join(t.TempDir(), "backup.ndjson")
	late := func() { w.bury(t, dead("late", task.ReasonPermanent, time.Now())) }
	sum, err := w.Purge(t.Context(), PurgeOptions{
		Filter: Filter{Reason: "permanent"}, Scan: 100, Backup: backup,
		Confirm: func(_ context.Context, count int) error {
			require.Equal(t, 3, count)
			require.Len(t, readBackup(t, backup), 3, "on disk before anybody is asked")
			late()
			return nil
		},
	})
	require.NoError(t, err)
	require.Equal(t, Summary{Depth: 5, Seen: 5, Matched: 3, Moved: 3}, sum)
	require.Equal(t, []string{"t-1", "t-3", "late"}, w.ids(t, task.QueueDeadLetter, 3))
	letters := readBackup(t, backup)
	require.Equal(t, []string{"t-0", "t-2", "t-4"}, named(letters))
	require.Equal(t, string(dead("t-2", "", time.Now()).Body), string(letters[1].Contents.Body))

	_, err = w.Purge(t.Context(), PurgeOptions{Scan: 100, Backup: backup, Confirm: agree})
	require.ErrorIs(t, err, os.ErrExist)
	require.Len(t, readBackup(t, backup), 3, "a backup is never overwritten")
	require.Len(t, w.ids(t, task.QueueDeadLetter, 3), 3)
}

func purgeNotAgreedTo(t *testing.T, w *world) {
	t.Helper()
	w.buryMany(t, 3)
	backup := filepath.Join(t.TempDir(), "backup.ndjson")
	no := errors.New("no")
	sum, err := w.Purge(t.Context(), PurgeOptions{
		Scan: 100, Backup: backup, Confirm: func(context.Context, int) error { return no },
	})
	require.ErrorIs(t, err, no)
	require.Equal(t, Summary{Depth: 3, Seen: 3, Matched: 3}, sum)
	require.Equal(t, []string{"t-0", "t-1", "t-2"}, w.ids(t, task.QueueDeadLetter, 3))
	require.NoFileExists(t, backup)
}

func purgeCutOff(t *testing.T, w *world) {
	t.Helper()
	w.buryMany(t, 3)
	backup := filepath.Join(t.TempDir(), "backup.ndjson")
	ctx, cancel := context.WithCancel(t.Context())
	_, err := w.Purge(ctx, PurgeOptions{Scan: 100, Backup: backup, Confirm: func(context.Context, int) error {
		cancel()
		return nil
	}})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, []string{"t-0", "t-1", "t-2"}, w.ids(t, task.QueueDeadLetter, 3))
}

func purgeOfNothing(t *testing.T, w *world) {
	t.Helper()
	w.buryMany(t, 1)
	backup := filepath.Join(t.TempDir(), "backup.ndjson")
	sum, err := w.Purge(t.Context(), PurgeOptions{
		Filter: Filter{ID: "t-9"}, Scan: 100, Backup: backup,
		Confirm: func(context.Context, int) error { return errors.New("asked for nothing") },
	})
	require.NoError(t, err)
	require.Equal(t, Summary{Depth: 1, Seen: 1}, sum)
	require.NoFileExists(t, backup)
	_, err = w.Purge(t.Context(), PurgeOptions{Scan: 1, Backup: filepath.Join(t.TempDir(), "no", "such", "place"), Confirm: agree})
	require.ErrorIs(t, err, os.ErrNotExist)
	require.Equal(t, []string{"t-0"}, w.ids(t, task.QueueDeadLetter, 1))
}

// purgeKeepsTheOdd has a message with everything that JSON has no form for.
func purgeKeepsTheOdd(t *testing.T, w *world) {
	t.Helper()
	body := []byte{0, 255, 254, 10}
	w.put(t, "", task.QueueDeadLetter, amqp.Publishing{
		Timestamp: time.Unix(1<<40, 0), Body: body, Headers: amqp.Table{
			"late": time.Unix(1<<40, 0), "bytes": []byte{255}, "list": []any{"x", amqp.Table{"a": nil}},
			"number": amqp.Decimal{Scale: 1, Value: 5}, "x-death": []any{"nonsense"}, "x-attempt": "two",
		},
	})
	backup := filepath.Join(t.TempDir(), "backup.ndjson")
	sum, err := w.Purge(t.Context(), PurgeOptions{Scan: 100, Backup: backup, Confirm: agree})
	require.NoError(t, err)
	require.Equal(t, 1, sum.Moved)
	letters := readBackup(t, backup)
	require.Len(t, letters, 1)
	require.Equal(t, body, letters[0].Contents.Body)
	require.Empty(t, letters[0].Contents.Text)
	require.InDelta(t, 1<<40, letters[0].Contents.Headers["late"], 0)
	require.Empty(t, w.ids(t, task.QueueDeadLetter, 0))
}
