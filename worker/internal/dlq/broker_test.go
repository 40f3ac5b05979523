package dlq

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/rabbitmq/rabbittest"
	"github.com/twinlane/twinlane/internal/task"
	"github.com/twinlane/twinlane/worker/internal/brokertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestOnABroker holds the tools against a real DLQ. Each part has one of its own.
func TestOnABroker(t *testing.T) {
	t.Parallel()
	node := rabbittest.Start(t)
	parts := map[string]func(t *testing.T, w *world){
		"list and show":                 listAndShow,
		"empty":                         emptyQueue,
		"death by the broker":           deathByTheBroker,
		"replay moves what matches":     replayMovesWhatMatches,
		"replay does not chase":         replayDoesNotChase,
		"replay with a rate":            replayWithARate,
		"replay that is not confirmed":  replayNotConfirmed,
		"replay that is cut off":        replayCutOff,
		"purge deletes what it kept":    purgeDeletesWhatItKept,
		"purge that is not agreed to":   purgeNotAgreedTo,
		"purge that is cut off":         purgeCutOff,
		"purge of nothing":              purgeOfNothing,
		"purge keeps every kind of odd": purgeKeepsTheOdd,
	}
	for name, part := range parts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			part(t, newWorld(t, brokertest.NewVHost(t, node), rabbitmq.Tasks()))
		})
	}
	t.Run("no queue", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, brokertest.NewVHost(t, node), rabbitmq.Topology{})
		_, _, err := w.List(t.Context(), Filter{}, everything)
		require.ErrorIs(t, err, ErrNoQueue)
		_, err = w.Show(t.Context(), "t-1", 10)
		require.ErrorIs(t, err, ErrNoQueue)
	})
}

func listAndShow(t *testing.T, w *world) {
	t.Helper()
	w.buryMany(t, 5)
	w.put(t, "", task.QueueDeadLetter, amqp.Publishing{MessageId: "stranger", Body: []byte("x")})

	for range 2 { // a second look sees the same
		letters, sum, err := w.List(t.Context(), Filter{}, everything)
		require.NoError(t, err)
		require.Equal(t, []string{"t-0", "t-1", "t-2", "t-3", "t-4", "stranger"}, named(letters))
		require.Equal(t, Summary{Depth: 6, Seen: 6, Matched: 6}, sum)
		first := letters[0]
		require.Equal(t, "permanent", first.Reason)
		require.Equal(t, "why t-0", first.Error)
		require.Equal(t, 3, first.Attempt)
		require.Zero(t, first.Replays)
		require.Equal(t, "delay", first.Action)
		require.Equal(t, "r-1", first.Run)
		require.WithinDuration(t, time.Now().Add(-5*time.Hour), *first.DiedAt, time.Minute)
		require.Nil(t, first.Contents)
		require.Equal(t, string(reasonUnknown), letters[5].Reason)
		require.Nil(t, letters[5].DiedAt)
	}

	for name, tt := range map[string]struct {
		filter Filter
		want   []string
	}{
		"by id":     {Filter{ID: "t-3"}, []string{"t-3"}},
		"by reason": {Filter{Reason: "panic"}, []string{"t-1", "t-3"}},
		"by age":    {Filter{Since: time.Now().Add(-150 * time.Minute)}, []string{"t-3", "t-4"}},
		"no match":  {Filter{ID: "t-9"}, []string{}},
	} {
		letters, sum, err := w.List(t.Context(), tt.filter, everything)
		require.NoError(t, err)
		require.Equal(t, tt.want, named(letters), name)
		require.Equal(t, Summary{Depth: 6, Seen: 6, Matched: len(tt.want)}, sum)
	}

	letter, err := w.Show(t.Context(), "t-2", 100)
	require.NoError(t, err)
	require.Equal(t, string(dead("t-2", "", time.Now()).Body), string(letter.Contents.Body))
	require.Equal(t, string(letter.Contents.Body), letter.Contents.Text)
	require.Equal(t, "req-t-2", letter.Contents.Headers[task.HeaderRequestID])
	var out bytes.Buffer
	require.NoError(t, WriteLetter(&out, letter, time.Now()))
	require.Contains(t, out.String(), letter.Contents.Text)

	_, err = w.Show(t.Context(), "t-9", 100)
	require.ErrorIs(t, err, ErrNotFound)

	letters, sum, err := w.List(t.Context(), Filter{}, Bounds{Max: 2, Scan: 100})
	require.NoError(t, err)
	require.Len(t, letters, 2)
	require.Equal(t, Summary{Depth: 6, Seen: 2, Matched: 2}, sum)
	_, sum, err = w.List(t.Context(), Filter{ID: "t-9"}, Bounds{Scan: 3})
	require.NoError(t, err)
	require.Equal(t, Summary{Depth: 6, Seen: 3}, sum)
	require.ElementsMatch(t, []string{"t-0", "t-1", "t-2", "t-3", "t-4", "stranger"}, w.ids(t, task.QueueDeadLetter, 6))
}

func emptyQueue(t *testing.T, w *world) {
	t.Helper()
	letters, sum, err := w.List(t.Context(), Filter{}, everything)
	require.NoError(t, err)
	require.Empty(t, letters)
	require.Zero(t, sum)
	sum, err = w.Replay(t.Context(), w.publisher(t), ReplayOptions{Bounds: everything, Each: nobody})
	require.NoError(t, err)
	require.Zero(t, sum)
}

// deathByTheBroker has a task returned in each queue that workers consume from,
// until its delivery limit is reached. Wherever it died, it is replayed into
// the queue that tasks are published to.
func deathByTheBroker(t *testing.T, w *world) {
	t.Helper()
	for n, queue := range rabbitmq.TaskQueues() {
		alive := dead("t-1", "", time.Now())
		w.put(t, "", queue.Name, amqp.Publishing{MessageId: "t-1", Body: alive.Body, Headers: amqp.Table{"x-attempt": int64(2), "x-replay-count": int64(n)}})
		returns := 0
		require.Eventually(t, func() bool {
			d, ok, err := w.raw.Get(queue.Name, false)
			require.NoError(t, err)
			if ok {
				returns++
				require.NoError(t, d.Reject(true))
			}
			state, err := w.raw.QueueDeclarePassive(task.QueueDeadLetter, true, false, false, false, nil)
			require.NoError(t, err)
			return state.Messages == 1
		}, brokertest.Patience, brokertest.Interval)
		require.Equal(t, queue.DeliveryLimit+1, returns)

		letters, _, err := w.List(t.Context(), Filter{Reason: "delivery_limit", Since: time.Now().Add(-time.Hour)}, everything)
		require.NoError(t, err)
		require.Len(t, letters, 1)
		require.Equal(t, 2, letters[0].Attempt)
		require.Equal(t, n, letters[0].Replays)
		require.Equal(t, queue.Name, letters[0].Queue)
		require.NotEmpty(t, letters[0].Error)
		require.WithinDuration(t, time.Now(), *letters[0].DiedAt, time.Minute)

		letter, err := w.Show(t.Context(), "t-1", 10)
		require.NoError(t, err)
		_, err = json.Marshal(letter)
		require.NoError(t, err)
		var out bytes.Buffer
		require.NoError(t, WriteLetter(&out, letter, time.Now()))
		require.Regexp(t, `(?m)^queue +`+queue.Name+`$`, out.String())

		sum, err := w.Replay(t.Context(), w.publisher(t), ReplayOptions{Bounds: everything, Each: nobody})
		require.NoError(t, err)
		require.Equal(t, 1, sum.Moved)
		d, ok, err := w.raw.Get(task.QueueTasks, true)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, string(alive.Body), string(d.Body))
		delete(d.Headers, "x-delivery-count") // which a quorum queue may give to any delivery
		require.Equal(t, amqp.Table{"x-attempt": int64(1), "x-replay-count": int64(n + 1)}, d.Headers)
	}
}

func replayMovesWhatMatches(t *testing.T, w *world) {
	t.Helper()
	w.buryMany(t, 6)
	garbage := dead("garbage", task.ReasonPanic, time.Now())
	garbage.Body, garbage.ContentType, garbage.Type = []byte{0, 255, '\n', 27}, "application/x-odd", "odd"
	w.bury(t, garbage)
	var told []string
	each := func(l Letter) { told = append(told, l.ID) }

	sum, err := w.Replay(t.Context(), w.publisher(t), ReplayOptions{
		Filter: Filter{Reason: "panic"}, Bounds: everything, Each: each, DryRun: true,
	})
	require.NoError(t, err)
	require.Equal(t, Summary{Depth: 7, Seen: 7, Matched: 4}, sum)
	require.Equal(t, []string{"t-1", "t-3", "t-5", "garbage"}, told)
	require.Len(t, w.ids(t, task.QueueDeadLetter, 7), 7)
	require.Empty(t, w.ids(t, task.QueueTasks, 0))

	told = nil
	sum, err = w.Replay(t.Context(), w.publisher(t), ReplayOptions{
		Filter: Filter{Reason: "panic"}, Bounds: everything, Each: each,
	})
	require.NoError(t, err)
	require.Equal(t, Summary{Depth: 7, Seen: 7, Matched: 4, Moved: 4}, sum)
	require.Equal(t, []string{"t-1", "t-3", "t-5", "garbage"}, told)
	require.Equal(t, []string{"t-0", "t-2", "t-4"}, w.ids(t, task.QueueDeadLetter, 3), "the others, in order")

	require.Equal(t, told, w.ids(t, task.QueueTasks, 4))
	for _, id := range told {
		d, ok, err := w.raw.Get(task.QueueTasks, true)
		require.NoError(t, err)
		require.True(t, ok)
		want := dead(id, task.ReasonPanic, time.Now())
		if id == "garbage" {
			want = garbage
		}
		require.Equal(t, string(want.Body), string(d.Body), "byte for byte")
		require.Equal(t, want.Type, d.Type)
		require.Equal(t, want.ContentType, d.ContentType)
		delete(d.Headers, "x-delivery-count") // of the look above
		delete(d.Headers, "x-acquired-count") // as RabbitMQ 4.3 counts deliveries
		require.Equal(t, amqp.Table{"x-attempt": int64(1), "x-replay-count": int64(1), "x-request-id": "req-" + id}, d.Headers)
	}

	sum, err = w.Replay(t.Context(), w.publisher(t), ReplayOptions{Bounds: Bounds{Max: 2, Scan: 100}, Each: nobody})
	require.NoError(t, err)
	require.Equal(t, 2, sum.Moved)
	require.Equal(t, []string{"t-4"}, w.ids(t, task.QueueDeadLetter, 1))
}

// publishFunc is a publisher that a test takes the place of.
type publishFunc func(context.Context, rabbitmq.Message) error

func (f publishFunc) Publish(ctx context.Context, m rabbitmq.Message) error { return f(ctx, m) }

// replayDoesNotChase has every replayed task die again at once.
func replayDoesNotChase(t *testing.T, w *world) {
	t.Helper()
	w.buryMany(t, 3)
	die := func(id string) { w.bury(t, dead(id, task.ReasonPanic, time.Now())) }
	again := publishFunc(func(_ context.Context, m rabbitmq.Message) error {
		require.Equal(t, task.QueueTasks, m.RoutingKey)
		die(m.ID + "-again")
		return nil
	})
	sum, err := w.Replay(t.Context(), again, ReplayOptions{Bounds: everything, Each: nobody})
	require.NoError(t, err)
	require.Equal(t, Summary{Depth: 3, Seen: 3, Matched: 3, Moved: 3}, sum)
	require.Equal(t, []string{"t-0-again", "t-1-again", "t-2-again"}, w.ids(t, task.QueueDeadLetter, 3))
}

func replayWithARate(t *testing.T, w *world) {
	t.Helper()
	w.buryMany(t, 5)
	start := time.Now()
	sum, err := w.Replay(t.Context(), w.publisher(t), ReplayOptions{Bounds: everything, Rate: 20, Each: nobody})
	require.NoError(t, err)
	require.Equal(t, 5, sum.Moved)
	require.GreaterOrEqual(t, time.Since(start), 150*time.Millisecond)
}

func replayNotConfirmed(t *testing.T, w *world) {
	t.Helper()
	w.buryMany(t, 3)
	calls := 0
	sum, err := w.Replay(t.Context(), publishFunc(func(context.Context, rabbitmq.Message) error {
		if calls++; calls == 2 {
			return rabbitmq.ErrNacked
		}
		return nil
	}), ReplayOptions{Bounds: everything, Each: nobody})
	require.ErrorIs(t, err, rabbitmq.ErrNacked)
	require.ErrorContains(t, err, "t-1, which stays in the DLQ")
	require.Equal(t, Summary{Depth: 3, Seen: 2, Matched: 2, Moved: 1}, sum)
	require.Equal(t, []string{"t-1", "t-2"}, w.ids(t, task.QueueDeadLetter, 2))
}

// replayCutOff ends the context in the middle of a publish: that letter is
// carried through, and the rest stays.
func replayCutOff(t *testing.T, w *world) {
	t.Helper()
	w.buryMany(t, 4)
	ctx, cancel := context.WithCancel(t.Context())
	onto := w.publisher(t)
	sum, err := w.Replay(ctx, publishFunc(func(ctx context.Context, m rabbitmq.Message) error {
		if m.ID == "t-1" {
			cancel()
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		return onto.Publish(ctx, m)
	}), ReplayOptions{Bounds: everything, Each: nobody})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 2, sum.Moved)
	require.Equal(t, []string{"t-0", "t-1"}, w.ids(t, task.QueueTasks, 2))
	require.Equal(t, []string{"t-2", "t-3"}, w.ids(t, task.QueueDeadLetter, 2))
}
