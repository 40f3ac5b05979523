package consumer

import (
	"context"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sync/semaphore"

	"github.com/twinlane/twinlane/internal/task"
	"github.com/twinlane/twinlane/worker/internal/executor"
)

const (
	// aloneFrom is the delivery count from which an isolated task has the process
	// for itself.
	aloneFrom = 2
	// headStart is how much earlier than the other lanes that of isolated tasks
	// begins.
	headStart = 500 * time.Millisecond
)

// room is where the lanes of a worker run their tasks, one process. It keeps a
// task that ends the process from doing more harm than it has to:
//
//   - Suspects wait until no move is under way. What was published and not acked
//     when the process ended would be there twice, the culprit first of all.
//   - An isolated task shares the process with no other suspect, and once it has
//     come back aloneFrom times with no other task at all, for which the whole
//     worker pauses. Otherwise the crashes of others could exhaust the few
//     deliveries that its queue allows.
//   - A worker begins with the isolated task that comes first, for that may have
//     ended the one before it. What is not delivered yet cannot come back.
type room struct {
	moves    crew
	tasks    *semaphore.Weighted // a place for each task of the first lane
	suspects *semaphore.Weighted // a place for each task of the lane among few
	places   int64               // of tasks
}

func newRoom(tasks executor.Config) *room {
	places := int64(tasks.Parallelism())
	return &room{tasks: semaphore.NewWeighted(places), suspects: semaphore.NewWeighted(few), places: places}
}

// begin waits until a lane may begin to consume, or ctx ends.
func (r *room) begin(ctx context.Context, queue string) {
	if queue == task.QueueIsolated || !passed(ctx, headStart) {
		return
	}
	if leave, err := take(ctx, r.suspects, 1); err == nil {
		leave()
	}
}

// enter waits until the task of a delivery may run, and returns what to call
// once it has. It returns an error when ctx ends before.
func (r *room) enter(ctx context.Context, queue string, d amqp.Delivery) (leave func(), err error) {
	if queue == task.QueueTasks {
		return take(ctx, r.tasks, 1)
	}
	if r.moves.wait(ctx) > 0 {
		return nil, ctx.Err()
	}
	if queue == task.QueueSuspect {
		return take(ctx, r.suspects, 1)
	}
	leaveSuspects, err := take(ctx, r.suspects, few)
	if err != nil || deliveryCount(d) < aloneFrom {
		return leaveSuspects, err
	}
	leaveTasks, err := take(ctx, r.tasks, r.places)
	if err != nil {
		leaveSuspects()
		return nil, err
	}
	return func() {
		leaveTasks()
		leaveSuspects()
	}, nil
}

// take takes places, and returns what gives them back.
func take(ctx context.Context, from *semaphore.Weighted, places int64) (giveBack func(), err error) {
	if err := from.Acquire(ctx, places); err != nil {
		return nil, err
	}
	return func() { from.Release(places) }, nil
}
