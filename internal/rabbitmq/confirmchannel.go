package rabbitmq

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// blockedGrace is how long a publish in flight still waits for its confirm once
// the broker has blocked the connection: what the broker had read before is
// confirmed by then, the rest may wait for as long as the alarm.
const blockedGrace = 100 * time.Millisecond

// confirmChannel is an AMQP channel in confirm mode that many callers share:
// each writes its message in turn, under the library's lock, and all wait for
// their confirms together. No RPC is ever sent on it: the library would weave
// its frame into those of a message, and the broker would hang up.
type confirmChannel struct {
	session *session
	ch      *amqp.Channel
	lost    <-chan *amqp.Error // receives or closes when the channel is closed
	// patience is how long the broker may leave all publishes unconfirmed before
	// the connection is taken for dead and evicted.
	patience time.Duration
	evicted  func()

	inFlight atomic.Int64
	sequence atomic.Uint64 // numbers the publishes, for their correlation ids
	// waitingSince is when the first publish was written since the last confirm,
	// in nanoseconds of the Unix epoch; zero after a confirm.
	waitingSince atomic.Int64

	mu      sync.Mutex
	returns <-chan amqp.Return
	pending map[string]bool // correlation id -> whether the message was returned
}

// openConfirmChannel opens a channel that can hold maxInFlight publishes.
func openConfirmChannel(ctx context.Context, s *session, maxInFlight int, patience time.Duration, evicted func()) (*confirmChannel, error) {
	c := &confirmChannel{
		session:  s,
		patience: patience,
		evicted:  evicted,
		pending:  make(map[string]bool),
	}
	err := s.call(ctx, func() (err error) {
		if c.ch, err = s.conn.Channel(); err != nil {
			return err
		}
		return c.ch.Confirm(false)
	})
	if err != nil {
		return nil, fmt.Errorf("open a channel for publishing: %w", err)
	}
	c.lost = c.ch.NotifyClose(make(chan *amqp.Error, 1))
	// The library drops a return that finds no room for 5 s. Each publish and
	// each confirm empties the buffer, so twice the bound cannot fill up.
	c.returns = c.ch.NotifyReturn(make(chan amqp.Return, 2*maxInFlight))
	return c, nil
}

// dead reports whether the channel is closed for good.
func (c *confirmChannel) dead() bool { return c.ch.IsClosed() || c.session.isClosed() }

// usable reports whether a publish on the channel has a chance.
func (c *confirmChannel) usable() bool { return !c.dead() && !c.session.isBlocked() }

// publish writes m and waits for its confirm until ctx ends. The writing itself
// knows no context: behind a broker that has stopped reading it takes as long
// as the write deadline of the connection, which fails every publish on it.
func (c *confirmChannel) publish(ctx context.Context, m *Message) error {
	c.inFlight.Add(1)
	defer c.inFlight.Add(-1)
	id := strconv.FormatUint(c.sequence.Add(1), 36)
	c.expect(id)
	defer c.forget(id)
	c.waitingSince.CompareAndSwap(0, time.Now().UnixNano())
	dc, err := c.ch.PublishWithDeferredConfirm(m.Exchange, m.RoutingKey, true, false, m.publishing(id))
	if err != nil {
		// Some of it may have been written.
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	}
	return c.await(ctx, dc, id)
}

func (c *confirmChannel) await(ctx context.Context, dc *amqp.DeferredConfirmation, id string) error {
	blocked := c.session.blockedSignal()
	var graceOver <-chan time.Time
	for {
		select {
		case <-dc.Done():
			c.waitingSince.Store(0)
			return c.classify(dc.Acked(), id)
		case <-blocked:
			blocked = nil
			graceOver = time.After(blockedGrace)
		case <-graceOver:
			return fmt.Errorf("%w: %w", ErrOutcomeUnknown, ErrBlocked)
		case <-ctx.Done():
			c.evictIfSilent()
			return fmt.Errorf("%w: no confirm: %w", ErrOutcomeUnknown, context.Cause(ctx))
		}
	}
}

// evictIfSilent closes a connection on which nothing is confirmed any more. A
// broker that stalls for a while answers again, and a connection that is
// closed over it makes everything in flight a duplicate.
func (c *confirmChannel) evictIfSilent() {
	since := c.waitingSince.Load()
	if since != 0 && time.Since(time.Unix(0, since)) >= c.patience && !c.session.isClosed() {
		c.evicted()
		c.session.kill()
	}
}

// classify tells the four meanings of a confirm apart. The library resolves
// every confirm that is outstanding as not acked when a channel closes; the
// channel is marked as closed before that.
func (c *confirmChannel) classify(acked bool, id string) error {
	switch {
	case acked && c.wasReturned(id):
		return ErrUnroutable
	case acked:
		return nil
	case c.dead():
		return fmt.Errorf("%w: the channel closed before the confirm", ErrOutcomeUnknown)
	default:
		return ErrNacked
	}
}

func (c *confirmChannel) expect(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.collectReturns()
	c.pending[id] = false
}

func (c *confirmChannel) forget(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.collectReturns()
	delete(c.pending, id)
}

// wasReturned may be asked once the confirm is there: the broker sends the
// return of a message before its ack, and one goroutine of the library handles
// both in that order.
func (c *confirmChannel) wasReturned(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.collectReturns()
	return c.pending[id]
}

// collectReturns empties the buffer of returns. It is called with mu held.
func (c *confirmChannel) collectReturns() {
	for {
		select {
		case r, ok := <-c.returns:
			if !ok {
				c.returns = nil
				return
			}
			if _, waiting := c.pending[r.CorrelationId]; waiting {
				c.pending[r.CorrelationId] = true
			}
		default:
			return
		}
	}
}
