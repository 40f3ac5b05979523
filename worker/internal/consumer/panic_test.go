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
)

// TestAPanicOfAPublish stands for an error in code that no action runs in. It
// is a publish that was not confirmed: the process lives, what is done is not
// done again, and what has been published is not either.
func TestAPanicOfAPublish(t *testing.T) {
	t.Parallel()
	for name, kind := range kinds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, options{concurrency: 1})
				panics := 3
				b.publisher.fails = func(m rabbitmq.Message) error {
					if m.ID == "t-1" && panics > 0 {
						panics--
						panic("an error of ours")
					}
					return nil
				}
				tag := kind.deliver(b)
				next := b.deliver(taskBody(2, 0, ""), nil)
				synctest.Wait()
				require.Contains(t, b.journal.all(), fmt.Sprintf("ack %d", next), "others go on")
				sleep(time.Minute)
				require.Equal(t, fmt.Sprintf("ack %d", tag), b.journal.last())
				require.Equal(t, 3, value(b.metrics.panics))
				require.Contains(t, b.logged.String(), "an error of ours")
				require.Contains(t, b.logged.String(), "panic_test.go", "the stack shows where")
				b.stopAndWait(t)
			})
		})
	}
}

// TestAPanicOfAnAck comes after everything is published, which is not repeated.
func TestAPanicOfAnAck(t *testing.T) {
	t.Parallel()
	for name, kind := range kinds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, options{})
				b.acks.panics = 3
				tag := kind.deliver(b)
				sleep(time.Minute)
				require.Equal(t, fmt.Sprintf("ack %d", tag), b.journal.last())
				require.LessOrEqual(t, len(b.publisher.sent), 1)
				require.LessOrEqual(t, len(b.publisher.results), 1)
				require.Equal(t, 3, value(b.metrics.panics))
				b.stopAndWait(t)
			})
		})
	}
}

// TestAPanicOfTheWorkerItself is one where no publish is under way: in the
// executor, or while a delivery is held. The message goes back after a pause,
// and the worker goes on.
func TestAPanicOfTheWorkerItself(t *testing.T) {
	t.Parallel()
	for name, deliver := range map[string]func(b *bench) uint64{
		"running": func(b *bench) uint64 { return b.deliver(taskBody(1, 0, ""), nil) },
		"held": func(b *bench) uint64 {
			d := amqp.Delivery{Acknowledger: b.acks, DeliveryTag: 7}
			b.hold(context.Background(), causeMoving, d, func() { b.runner.Close() })
			return d.DeliveryTag
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, options{concurrency: 1})
				b.runner = nil
				tag := deliver(b)
				synctest.Wait()
				require.Empty(t, b.journal.all(), "not at once")
				sleep(minPause)
				synctest.Wait()
				require.Equal(t, []string{fmt.Sprintf("requeue %d", tag)}, b.journal.all())
				require.Contains(t, b.logged.String(), "nil pointer")
				next := b.deliver("no task", nil)
				synctest.Wait()
				b.stopAndWait(t)
				require.Equal(t, fmt.Sprintf("ack %d", next), b.journal.last())
			})
		})
	}
}
