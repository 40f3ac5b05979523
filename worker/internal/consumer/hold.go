package consumer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// MaxTaskTimeout is the longest timeout of a task with which a result can be
// insisted on before the broker's patience ends: see insistFor.
const MaxTaskTimeout = 9 * time.Minute

const (
	// insistAtMost bounds how long a settlement is published again and again.
	insistAtMost = 15 * time.Minute
	// resultWithin bounds how long of that is for a result alone. Its task is
	// settled, or waits for nothing else, and is in the way of others.
	resultWithin = time.Minute
	// answerWithin is the longest that a delivery stays unanswered. After half an
	// hour a broker closes the channel, and has every delivery on it back.
	answerWithin = 29 * time.Minute

	// returnWithin bounds how long a return waits for its turn to be published, and
	// leaves some of RequeueTime to the requeueing that takes its place. What was sent
	// is waited for all the same: where the broker hangs, a stop is over before that.
	returnWithin = 2 * time.Second

	minPause = time.Second
	maxPause = 30 * time.Second

	// rush is the time over which those who wait for the same recovery try again.
	// There can be as many as the worker may hold, and what has recovered has the
	// work that comes in to do as well.
	rush = time.Second
)

// insistFor is how long to insist on a settlement where a task may run for
// timeout. Before, its delivery may have waited for a task that was running, or
// in the queue of an executor, then for an isolated one that had the worker
// pause, which it waits for itself, and then its own task has run.
func insistFor(timeout time.Duration, queues bool) time.Duration {
	before := timeout + overdue
	if queues {
		before = 2 * waitFor(timeout) // first on the delivery loop
	}
	return max(min(insistAtMost, answerWithin-before-unansweredFor(timeout)), 0)
}

// unansweredFor is how long a delivery may stay unanswered from when it has its
// turn, until its task has run.
func unansweredFor(timeout time.Duration) time.Duration {
	return pauseWithin + (timeout + overdue) + timeout
}

// waitFor is how long a task may wait in the queue of an executor: a third of
// the time that is left. As much is for what waits on the delivery loop until
// the task before it is queued, and for the settlement.
func waitFor(timeout time.Duration) time.Duration {
	return (answerWithin - unansweredFor(timeout)) / 3
}

// nextPause doubles a pause, up to a bound.
func nextPause(pause time.Duration) time.Duration { return min(2*pause, maxPause) }

// jittered spreads what would happen together around a pause, by half of it.
func jittered(pause time.Duration) time.Duration {
	return pause/2 + rand.N(pause) //nolint:gosec // Spread, not secrecy.
}

// hold calls f for a delivery, off the delivery loop and the executor. How many
// are held is bounded by the prefetch. A panic of f gives the delivery back.
func (c *Consumer) hold(fetch context.Context, cause holdCause, d amqp.Delivery, f func()) {
	c.held.start(func() {
		gauge := c.metrics.held[cause]
		gauge.Inc()
		defer gauge.Dec()
		defer func() {
			if v := recover(); v != nil {
				c.metrics.panics.Inc()
				c.logger.Error("panic while a delivery was held", "err", fmt.Sprint(v), "stack", string(debug.Stack()))
				c.giveBackLater(fetch, d)
			}
		}()
		f()
	})
}

// move settles a delivery that has come back too often for this lane. What has
// lost its channel is with the broker again: moved, it would be there twice.
func (c *Consumer) move(fetch context.Context, d amqp.Delivery) {
	if fetch.Err() != nil {
		c.giveBack(fetch, d)
		return
	}
	c.cfg.Lane.room.moves.enter()
	c.hold(fetch, causeMoving, d, func() {
		defer c.cfg.Lane.room.moves.leave()
		c.answerUnrun(fetch, d, c.settler.move)
	})
}

// answerUnrun settles a delivery by a row of the table, without running its
// task. What is no task is dead-lettered as ever.
func (c *Consumer) answerUnrun(fetch context.Context, d amqp.Delivery, row func(*received) answer) {
	r, err := receive(d)
	fetch = c.continued(fetch, r)
	if err != nil {
		c.answer(fetch, c.settler.judge(r, r.unrun(), err))
		return
	}
	c.answer(fetch, row(r))
}

// insist goes on with a settlement, off the executor and with growing pauses,
// until the broker has confirmed all of it. A pause is over soon once there is
// word that another try is worth while, or none at all. Meanwhile the delivery stays
// unanswered: requeued, it would have its task run once more. That is what it
// comes to when fetch ends, for then the worker stops or the broker has the
// delivery back, and when the time is up in which the broker waits for an
// answer. Where nothing but the result is missing, there is less time, and then
// it is acked: a status that nobody learns is less bad than work that is done
// twice.
func (c *Consumer) insist(fetch context.Context, a answer, err error) {
	c.hold(fetch, causeUnconfirmed, a.Delivery, func() {
		all, cancel := context.WithTimeout(fetch, c.insistFor)
		defer cancel()
		err = c.repeat(all, &a, err, c.settler.tasks, func() bool { return !a.onlyResultMissing() })
		result, cancel := context.WithTimeout(all, resultWithin)
		defer cancel()
		err = c.repeat(result, &a, err, c.settler.results, func() bool { return !c.settler.results.areLost() })
		switch {
		case err == nil:
		case fetch.Err() == nil && a.onlyResultMissing():
			if result.Err() != nil {
				c.settler.results.giveUp(err)
			}
			c.settler.settleWithoutResult(context.WithoutCancel(fetch), &a, err)
		default:
			c.logger.Warn("settlement given up, the task will run again", "task_id", a.id, "settlement", string(a.settlement), "err", err)
			c.giveBack(fetch, a.Delivery)
		}
	})
}

// repeat settles what failed with err, with growing pauses, until that does not
// fail, goOn returns false, or ctx ends. It returns the last error. A recovery of
// what it publishes through shortens the pause, one amid the try before as well.
func (c *Consumer) repeat(ctx context.Context, a *answer, err error, through publisher, goOn func() bool) error {
	recovery := through.Recovery().Next()
	for pause := minPause; err != nil && goOn() && passed(ctx, jittered(pause), recovery); pause = nextPause(pause) {
		recovery = through.Recovery().Next()
		err = c.settler.settle(context.WithoutCancel(ctx), a)
	}
	return err
}

// giveBackLater requeues a delivery after a pause that grows with each return,
// so that what went wrong does not exhaust the delivery limit at once. It counts
// as come back in every lane, or it could go wrong for ever.
func (c *Consumer) giveBackLater(fetch context.Context, d amqp.Delivery) {
	pause := minPause
	for range deliveryCount(d) {
		pause = nextPause(pause)
	}
	c.held.start(func() {
		passed(fetch, pause, nil)
		c.awaitSource()
		c.settler.requeue(d)
	})
}

// giveBack returns a delivery that is nobody's fault, in the way of its lane.
func (c *Consumer) giveBack(fetch context.Context, d amqp.Delivery) {
	c.giveBackBy(fetch, d, c.cfg.Lane.ReturnAnew)
}

// giveBackBy requeues a delivery, or publishes it anew. What cannot be published in time is
// requeued as well. So is what is to move on, which needs its count for that,
// and what has lost its channel, for the broker has that back already.
func (c *Consumer) giveBackBy(fetch context.Context, d amqp.Delivery, anew bool) {
	c.held.start(func() {
		lost := !c.awaitSource() && fetch.Err() != nil
		if lost || !anew || c.cfg.Lane.outgrown(d) {
			c.settler.requeue(d)
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(fetch), returnWithin)
		defer cancel()
		if err := c.settler.returnAnew(ctx, c.cfg.Lane.Queue, d); err != nil {
			c.logger.Warn("return not confirmed, requeueing, which counts against the delivery limit", "task_id", d.MessageId, "err", err)
			c.settler.requeue(d)
		}
	})
}

// awaitSource waits, on a stop, for the source to have ended its consumers: the
// broker could deliver to this worker once more what is given back before. It
// returns whether there is a stop.
func (c *Consumer) awaitSource() (stopping bool) {
	select {
	case <-c.stopping:
		<-c.fetched
		return true
	default:
		return false
	}
}

// passed waits, and once sooner is closed for a moment at most. It returns
// false, at once, where ctx ends before.
func passed(ctx context.Context, wait time.Duration, sooner <-chan struct{}) bool {
	began := time.Now()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-sooner:
		moment := rand.N(rush) //nolint:gosec // Spread, not secrecy.
		return passed(ctx, min(moment, wait-time.Since(began)), nil)
	case <-ctx.Done():
		return false
	}
}

// crew is work that can be waited for while more of it begins. Its zero value
// is ready for use.
type crew struct {
	mu     sync.Mutex
	active int
	idle   chan struct{} // closed when the last one ends; nil while there is none
}

// start runs f on a goroutine of its own.
func (c *crew) start(f func()) {
	c.enter()
	go func() {
		defer c.leave()
		f()
	}()
}

func (c *crew) enter() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.active == 0 {
		c.idle = make(chan struct{})
	}
	c.active++
}

func (c *crew) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.active--; c.active == 0 {
		close(c.idle)
		c.idle = nil
	}
}

// wait returns when none is active, or when ctx ends: then it returns how many
// are.
func (c *crew) wait(ctx context.Context) (active int) {
	c.mu.Lock()
	active, idle := c.active, c.idle
	c.mu.Unlock()
	if active == 0 {
		return 0
	}
	select {
	case <-idle:
		return 0
	case <-ctx.Done():
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.active
	}
}
