package consumer

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/twinlane/twinlane/worker/internal/executor"
)

// take runs on a delivery loop, which waits while the executor is full, as far
// as its model has it wait, or runs the task itself.
func (c *Consumer) take(fetch, work context.Context, d amqp.Delivery) {
	loop := c.loop(fetch)
	loop.Begin()
	defer loop.End()
	c.metrics.delivered(d.Redelivered)
	if c.cfg.Lane.outgrown(d) {
		c.move(fetch, d)
		return
	}
	c.submit(fetch, work, d)
}

// loop is the delivery loop of a channel, for the watchdog; nil where there is
// none. It is called on that loop, whose channel ends with fetch.
func (c *Consumer) loop(fetch context.Context) *executor.Loop {
	if c.cfg.Watchdog == nil {
		return nil
	}
	c.loopsMu.Lock()
	defer c.loopsMu.Unlock()
	l := c.loops[fetch]
	if l == nil {
		l = c.cfg.Watchdog.Loop(c.cfg.Lane.Queue)
		c.loops[fetch] = l
		context.AfterFunc(fetch, func() {
			c.loopsMu.Lock()
			defer c.loopsMu.Unlock()
			delete(c.loops, fetch)
			l.Close()
		})
	}
	return l
}

// submit hands a task to the executor, which runs it, drops it or refuses it. A
// task that the executor queues is in nobody's hands while it waits. It is given
// back where it may not wait on: on a stop, when its channel is gone, and when it
// has waited for as long as the broker's patience allows.
func (c *Consumer) submit(fetch, work context.Context, d amqp.Delivery) {
	var taken atomic.Bool // by whoever answers the delivery
	take := func() bool { return !taken.Swap(true) }
	wait, stopWaiting := c.bounded(fetch, d, take)
	read, key := c.reader(d)
	err := c.executor.Submit(wait, executor.Task{
		Key: key,
		Run: func() {
			if take() {
				stopWaiting()
				c.run(fetch, work, d, read)
			}
		},
		Discard: func() {
			if take() {
				stopWaiting()
				c.discard(fetch, d)
			}
		},
	})
	if err == nil || !take() {
		return
	}
	stopWaiting()
	if errors.Is(err, executor.ErrSaturated) {
		c.refuse(fetch, d)
		return
	}
	c.giveBackQueued(fetch, d) // the process is stopping, the channel gone, or there was no room for too long
}

// refusePause is how long a refused delivery is held before it moves. A full
// worker would otherwise move the whole queue into the retry steps, as fast as
// the broker confirms it, and stand idle until it is back.
const refusePause = time.Second / 2

// refuse moves a delivery that there was no room for into a retry step, after a
// pause.
func (c *Consumer) refuse(fetch context.Context, d amqp.Delivery) {
	c.hold(fetch, causeSaturated, d, func() {
		if !passed(fetch, jittered(refusePause), nil) {
			c.giveBack(fetch, d)
			return
		}
		c.answerUnrun(fetch, d, c.settler.refuse)
	})
}

// discard settles a delivery whose task the executor has dropped, off the
// delivery loop.
func (c *Consumer) discard(fetch context.Context, d amqp.Delivery) {
	c.hold(fetch, causeSaturated, d, func() { c.answerUnrun(fetch, d, c.settler.discard) })
}

// giveBackQueued gives back what has not had its turn. Where nothing but its
// time to wait is over, that does not count as come back.
func (c *Consumer) giveBackQueued(fetch context.Context, d amqp.Delivery) {
	c.giveBackBy(fetch, d, c.cfg.Lane.ReturnAnew || fetch.Err() == nil)
}

// bounded is how long a task may wait for its turn. Once it has waited for
// longer, and can still be taken, it is given back. Where the executor has no
// queue, a task that it accepts is under way, and only the submit waits.
func (c *Consumer) bounded(fetch context.Context, d amqp.Delivery, take func() bool) (wait context.Context, stop func()) {
	if !c.cfg.Lane.queues() {
		return fetch, func() {}
	}
	wait, cancel := context.WithTimeout(fetch, waitFor(c.cfg.TaskTimeout))
	release := context.AfterFunc(wait, func() {
		defer cancel()
		if take() {
			c.giveBackQueued(fetch, d)
		}
	})
	return wait, func() {
		release()
		cancel()
	}
}

// reader returns what reads a delivery, and the key of its task where the
// executor needs it. It is read then already, else where the task runs.
func (c *Consumer) reader(d amqp.Delivery) (read func() (*received, error), key string) {
	if c.cfg.Lane.Executor.Model != executor.ModelKeyed {
		return func() (*received, error) { return receive(d) }, ""
	}
	r, err := receive(d)
	return func() (*received, error) { return r, err }, r.message.Key
}

// run runs a task once there is room for it in the process. It waits for that
// inside the executor, so that all that may run at once wait at once.
func (c *Consumer) run(fetch, work context.Context, d amqp.Delivery, read func() (*received, error)) {
	leave, err := c.enter(fetch, d)
	if err != nil {
		c.giveBack(fetch, d)
		return
	}
	defer leave()
	c.process(fetch, work, d, read)
}
