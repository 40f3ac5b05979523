package consumer

import (
	"context"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	// insistAtMost bounds how long a settlement is published again and again.
	insistAtMost = 15 * time.Minute
	// answerWithin is the longest that a delivery stays unanswered. After half an
	// hour a broker closes the channel, and has every delivery on it back.
	answerWithin = 29 * time.Minute

	minPause = time.Second
	maxPause = 30 * time.Second
)

// insistFor is how long to insist on a settlement where a task may run for
// timeout: before, its delivery may have waited that long for its place, and
// has run that long.
func insistFor(timeout time.Duration) time.Duration {
	return max(min(insistAtMost, answerWithin-2*timeout), 0)
}

// nextPause doubles a pause, up to a bound.
func nextPause(pause time.Duration) time.Duration { return min(2*pause, maxPause) }

// hold submits a delivery after a wait, or at once when fetch ends. It occupies
// neither the delivery loop nor the executor; how many deliveries are held is
// bounded by the prefetch.
func (c *Consumer) hold(fetch, work context.Context, wait time.Duration, d amqp.Delivery) {
	c.held.start(func() {
		gauge := c.metrics.held[causeSuspect]
		gauge.Inc()
		defer gauge.Dec()
		passed(fetch, wait)
		c.submit(fetch, work, d)
	})
}

// insist publishes a settlement again, off the executor and with growing
// pauses, until the broker confirms it. Meanwhile the delivery stays unanswered:
// requeued, it would have its task run once more. That is what it comes to when
// fetch ends, or when the time is up in which the broker waits for an answer.
func (c *Consumer) insist(fetch context.Context, a answer) {
	c.held.start(func() {
		gauge := c.metrics.held[causeUnconfirmed]
		gauge.Inc()
		defer gauge.Dec()
		ctx, cancel := context.WithTimeout(fetch, c.insistFor)
		defer cancel()
		for pause := minPause; passed(ctx, pause); pause = nextPause(pause) {
			if c.settler.settle(context.WithoutCancel(ctx), a) == nil {
				return
			}
		}
		c.logger.Warn("settlement given up, the task will run again", "task_id", a.id, "settlement", string(a.settlement))
		c.giveBack(a.Delivery)
	})
}

// giveBackLater requeues a delivery after a pause that grows with each return,
// so that what went wrong does not exhaust the delivery limit at once.
func (c *Consumer) giveBackLater(fetch context.Context, d amqp.Delivery) {
	pause := minPause
	for range deliveryCount(d) {
		pause = nextPause(pause)
	}
	c.held.start(func() {
		passed(fetch, pause)
		c.giveBack(d)
	})
}

// giveBack requeues a delivery. On a stop it waits for the source to have ended
// its consumers: the broker could deliver the message to this worker once more
// before, and each time counts against the delivery limit.
func (c *Consumer) giveBack(d amqp.Delivery) {
	c.held.start(func() {
		select {
		case <-c.stopping:
			<-c.fetched
		default:
		}
		c.settler.requeue(d)
	})
}

// passed waits. It returns false, at once, where ctx ends before.
func passed(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// crew is goroutines that can be waited for while more of them start. Its zero
// value is ready for use.
type crew struct {
	mu     sync.Mutex
	active int
	idle   chan struct{} // closed when the last one ends; nil while there is none
}

func (c *crew) start(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.active == 0 {
		c.idle = make(chan struct{})
	}
	c.active++
	go func() {
		defer c.leave()
		f()
	}()
}

func (c *crew) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.active--; c.active == 0 {
		close(c.idle)
		c.idle = nil
	}
}

// wait returns when none is active, or when late fires: then it returns how
// many are.
func (c *crew) wait(late <-chan time.Time) (active int) {
	c.mu.Lock()
	active, idle := c.active, c.idle
	c.mu.Unlock()
	if active == 0 {
		return 0
	}
	select {
	case <-idle:
		return 0
	case <-late:
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.active
	}
}
