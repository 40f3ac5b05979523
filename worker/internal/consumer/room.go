package consumer

import (
	"context"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sync/semaphore"

	"github.com/twinlane/twinlane/internal/task"
)

const (
	// aloneFrom is the delivery count from which an isolated task has the process
	// for itself.
	aloneFrom = 2
	// headStart is how much earlier than the other lanes that of isolated tasks
	// begins.
	headStart = 500 * time.Millisecond
	// pauseWithin bounds how long an isolated task waits for the worker to pause,
	// because all that comes to the worker meanwhile waits behind it.
	pauseWithin = 10 * time.Second
	// overdue is how much longer than its timeout a task is waited for. One that
	// outlasts that ignores its context, and may do so for ever.
	overdue = 10 * time.Second
)

// room is where the lanes of a worker run their tasks, one process. It keeps a
// task that ends the process from doing more harm than it has to:
//
//   - Suspects wait until no move is under way. What was published and not acked
//     when the process ended would be there twice, the culprit first of all.
//   - An isolated task shares the process with no other suspect, and once it has
//     come back aloneFrom times with none of the first lane either, which pauses
//     for it. Otherwise the crashes of others could exhaust the few deliveries
//     that its queue allows. The sync lane goes on.
//   - A worker begins with the isolated task that comes first, for that may have
//     ended the one before it. What is not delivered yet cannot come back.
//
// Every wait for a task has an end. A worker that does not pause in time runs the
// isolated task all the same, at the risk of its neighbours, which a crash costs
// one more delivery; and a suspect or isolated task that is overdue is not
// waited for, nor is what it was let in alone for kept from others.
type room struct {
	moves    crew
	tasks    *semaphore.Weighted // a place for each task of the first lane, with some to spare
	suspects *semaphore.Weighted // a place for each task of the lane among few
	timeout  time.Duration       // of a task
}

// places are more than tasks of the first lane ever run at once: how many do is
// the business of its executor.
const places = 1 << 30

func newRoom(timeout time.Duration) *room {
	return &room{tasks: semaphore.NewWeighted(places), suspects: semaphore.NewWeighted(few), timeout: timeout}
}

// stay is what a task has in the room until it leaves.
type stay struct {
	leave func()
	// crowded says that it has to share the process, because the worker did not
	// pause in time.
	crowded bool
}

// begin waits until a lane may begin to consume, or ctx ends.
func (r *room) begin(ctx context.Context, queue string) {
	if queue == task.QueueIsolated || !passed(ctx, headStart, nil) {
		return
	}
	if leave, err := take(ctx, r.suspects, 1); err == nil {
		leave()
	}
}

// enter waits until the task of a delivery may run. It returns an error when ctx
// ends before.
func (r *room) enter(ctx context.Context, queue string, d amqp.Delivery) (stay, error) {
	if queue == task.QueueTasks {
		leave, err := take(ctx, r.tasks, 1)
		return stay{leave: leave}, err
	}
	if r.moves.wait(ctx) > 0 {
		return stay{}, ctx.Err()
	}
	if queue == task.QueueSuspect {
		return r.lapsing(take(ctx, r.suspects, 1))
	}
	leaveSuspects, err := take(ctx, r.suspects, few)
	if err != nil || deliveryCount(d) < aloneFrom {
		return r.lapsing(leaveSuspects, err)
	}
	bounded, cancel := context.WithTimeout(ctx, pauseWithin)
	defer cancel()
	leaveTasks, err := take(bounded, r.tasks, places)
	switch {
	case err == nil:
		return r.lapsing(func() {
			leaveTasks()
			leaveSuspects()
		}, nil)
	case ctx.Err() == nil:
		crowded, err := r.lapsing(leaveSuspects, nil)
		crowded.crowded = true
		return crowded, err
	default:
		leaveSuspects()
		return stay{}, err
	}
}

// lapsing is a stay that ends by itself when the task is overdue. It passes err on.
func (r *room) lapsing(giveBack func(), err error) (stay, error) {
	if err != nil {
		return stay{}, err
	}
	once := sync.OnceFunc(giveBack)
	timer := time.AfterFunc(r.timeout+overdue, once)
	return stay{leave: func() {
		timer.Stop()
		once()
	}}, nil
}

// take takes places, and returns what gives them back.
func take(ctx context.Context, from *semaphore.Weighted, places int64) (giveBack func(), err error) {
	if err := from.Acquire(ctx, places); err != nil {
		return nil, err
	}
	return func() { from.Release(places) }, nil
}
