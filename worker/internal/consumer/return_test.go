package consumer

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/task"
)

// TestAStopReturnsSuspectsAnew holds for all that are held, at work or waiting:
// each is published to its own queue and then acked, and where that cannot be it
// is requeued.
func TestAStopReturnsSuspectsAnew(t *testing.T) {
	t.Parallel()
	const took = 100 * time.Millisecond
	for name, tt := range map[string]struct {
		publish func(rabbitmq.Message) error
		takes   time.Duration // beyond the grace time
		wants   []string
	}{
		"confirmed":    {func(rabbitmq.Message) error { return nil }, 0, []string{"publish t-1 to %s", "ack %d"}},
		"late":         {func(rabbitmq.Message) error { sleep(took); return nil }, took, []string{"publish t-1 to %s", "ack %d"}},
		"too late":     {func(rabbitmq.Message) error { sleep(returnWithin + took); return nil }, returnWithin + took, []string{"requeue %d"}},
		"refused":      {func(rabbitmq.Message) error { return rabbitmq.ErrNacked }, 0, []string{"publish t-1 failed", "requeue %d"}},
		"by the panic": {func(rabbitmq.Message) error { panic("an error of ours") }, 0, []string{"requeue %d"}},
	} {
		for _, queue := range []string{task.QueueSuspect, task.QueueIsolated} {
			t.Run(name+" "+queue, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t, options{queue: queue})
					b.publisher.fails = tt.publish
					body := hanging(1)
					tag := b.deliver(body, amqp.Table{"x-attempt": int64(2), "x-request-id": "req-1"})
					synctest.Wait()
					start := time.Now()
					b.stopAndWait(t)
					require.Equal(t, grace+tt.takes, time.Since(start))
					var want []string
					for _, entry := range tt.wants {
						switch {
						case entry == "publish t-1 to %s":
							entry = fmt.Sprintf(entry, queue)
						case entry != "publish t-1 failed":
							entry = fmt.Sprintf(entry, tag)
						}
						want = append(want, entry)
					}
					require.Equal(t, want, b.journal.all())
					if len(b.publisher.sent) == 0 {
						require.Equal(t, 1, value(b.metrics.settlements[settlementRequeued]))
						require.Contains(t, b.logged.String(), "return not confirmed")
						return
					}
					require.Equal(t, 1, value(b.metrics.settlements[settlementReturned]))
					require.Equal(t, body, string(b.publisher.sent[0].Body))
					require.Equal(t, map[string]any{"x-attempt": int64(2), "x-request-id": "req-1"}, b.publisher.sent[0].Headers)
				})
			})
		}
	}
}

// TestWhatIsRequeuedInALaneOfSuspects holds what is not published anew there:
// what the broker has back already, which would be there twice; what is to move
// on, which would not; and what the worker itself fails over, which would be
// tried for ever.
func TestWhatIsRequeuedInALaneOfSuspects(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		deliver func(b *bench)
		failed  int // publishes
	}{
		"channel lost": {func(b *bench) {
			isolated, err := b.cfg.Lane.room.enter(context.Background(), task.QueueIsolated, amqp.Delivery{})
			if err != nil {
				panic(err)
			}
			b.deliver(taskBody(1, 0, ""), nil)
			synctest.Wait()
			b.source.lose <- struct{}{}
			synctest.Wait()
			isolated.leave()
		}, 0},
		"moving": {func(b *bench) {
			b.publisher.fails = func(rabbitmq.Message) error { return rabbitmq.ErrNacked }
			b.deliver(taskBody(1, 0, ""), suspicious())
			synctest.Wait()
			b.stop()
		}, 1},
		"panic": {func(b *bench) {
			b.runner = nil
			b.deliver(taskBody(1, 0, ""), nil)
			sleep(minPause)
		}, 0},
		"no task": {func(b *bench) {
			b.publisher.fails = func(rabbitmq.Message) error { return rabbitmq.ErrNacked }
			b.deliver("no task", nil)
			synctest.Wait()
			b.stop()
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, options{queue: task.QueueSuspect})
				tt.deliver(b)
				synctest.Wait()
				b.stopAndWait(t)
				require.Equal(t, "requeue 1", b.journal.last())
				require.Len(t, b.journal.all(), tt.failed+1)
				require.Empty(t, b.publisher.sent)
			})
		})
	}
}
