package consumer

import (
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/task"
	"github.com/twinlane/twinlane/worker/internal/executor"
)

// Lane is a queue of tasks and how it is consumed. A worker has a Consumer for
// each of its lanes, with channels and an executor of its own.
type Lane struct {
	Queue    string
	Executor executor.Config
	// Prefetch bounds the deliveries that are not answered.
	Prefetch int
	// MoveFrom is the delivery count from which a message moves to the queue
	// MoveTo before its task runs; zero lets none move.
	MoveFrom int
	MoveTo   string
	// ReturnAnew has what is given back on purpose published to the queue anew, so
	// that it does not count as come back.
	ReturnAnew bool

	room *room // that it shares with the other lanes of its worker
}

// few is how many tasks run at once of those that came back too often.
const few = 32

// Suspects is how many tasks run, and how many deliveries are held, at once in
// the lanes for suspects together.
const Suspects = few + 1

// Lanes are the lanes of a worker that runs tasks as configured, each attempt for
// no longer than timeout.
//
// A task that ends the process takes all others down that were delivered with
// it, and all of them come back together: nothing tells the culprit from its
// neighbours. So what has come back too often runs among few, and what comes
// back from there runs apart from all other suspects: see room. What ends the
// process then is most likely the isolated task, and after a few times the
// broker dead-letters it at the delivery limit of that queue. It is not for
// certain: tasks of the sync lane, and those of the first lane until the last
// tries, are in the same process, and a kill from outside needs none of them.
// But an innocent task has to meet such a crash at each of its tries to be given
// up, where a culprit meets itself. Its neighbours are late and not lost.
//
// A message counts as come back when the process that held it has crashed,
// when the connection was lost, and, before RabbitMQ 4.3, when it was requeued.
// A count starts anew in each queue, and with each message that is published,
// which is why a lane of suspects returns tasks on a stop by publishing them.
func Lanes(tasks executor.Config, timeout time.Duration) []Lane {
	amongFew := executor.Config{Model: executor.ModelGoroutine, Concurrency: few}
	alone := executor.Config{Model: executor.ModelSerial, Concurrency: 1}
	room := newRoom(timeout)
	return []Lane{
		{Queue: task.QueueTasks, Executor: tasks, Prefetch: prefetch(tasks.Capacity()), MoveFrom: 3, MoveTo: task.QueueSuspect, room: room},
		{Queue: task.QueueSuspect, Executor: amongFew, Prefetch: few, MoveFrom: 1, MoveTo: task.QueueIsolated, ReturnAnew: true, room: room},
		{Queue: task.QueueIsolated, Executor: alone, Prefetch: 1, ReturnAnew: true, room: room},
	}
}

// Held is how many deliveries a worker holds at most that runs tasks as
// configured.
func Held(tasks executor.Config) int { return prefetch(tasks.Capacity()) + Suspects }

// Capacity is the largest number of tasks, running and queued, with which a
// worker holds at most held deliveries.
func Capacity(held int) int { return max(held-Suspects, 0) * 10 / 11 }

// prefetch is how many deliveries to hold for an executor that takes a number of
// tasks in: a tenth more, so that the next task is there when one ends, and that
// its saturation policy has something to decide on. Not much more, because what
// is held when a worker crashes is delivered once again.
func prefetch(capacity int) int { return capacity + (capacity+9)/10 }

// MaxOrdered is the largest capacity of an executor whose tasks are delivered by
// one channel, and so in the order of their queue.
const MaxOrdered = rabbitmq.MaxChannelPrefetch * 10 / 11

// queues reports whether the executor of the lane takes tasks in that have to
// wait for their turn.
func (l Lane) queues() bool { return l.Executor.Capacity() > l.Executor.Parallelism() }

// outgrown reports whether a delivery has come back too often to run in this lane.
func (l Lane) outgrown(d amqp.Delivery) bool { return l.MoveFrom > 0 && deliveryCount(d) >= l.MoveFrom }

// maxDeliveryCount bounds what is believed of a header that anybody can write.
const maxDeliveryCount = 30

// deliveryCount is how often the queue has had the message back.
func deliveryCount(d amqp.Delivery) int {
	if !d.Redelivered {
		return 0
	}
	switch n := d.Headers["x-delivery-count"].(type) {
	case int64:
		return int(min(max(n, 0), maxDeliveryCount))
	case int32:
		return int(min(max(n, 0), maxDeliveryCount))
	default:
		return 0
	}
}
