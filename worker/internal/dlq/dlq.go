// Package dlq is what an operator needs to deal with dead letters: list, show,
// replay, purge.
//
// A tool looks at messages by taking them without an answer and giving them
// back when it ends. They keep their order, but a quorum queue puts what came
// back before what nobody has looked at yet, and behind what came back earlier:
// after looks at a part of the queue, its head is not always the oldest letter.
//
// What a tool moves it publishes with confirm before it answers for it, so that
// an end at any point, even a kill, leaves every message somewhere. It declares
// no queue.
package dlq

import (
	"context"
	"errors"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/task"
)

var (
	// ErrNoQueue says that the broker has no DLQ: nothing that declares it has
	// connected to this broker yet.
	ErrNoQueue = errors.New("queue " + task.QueueDeadLetter + " does not exist on this broker")
	// ErrNotFound says that no dead letter has the id asked for.
	ErrNotFound = errors.New("no dead letter with this id")
)

// patience is how long a call to the broker may still take once its context has
// ended. Cut off in its middle, a channel is of no more use; the broker has its
// messages back in any case when the connection is gone.
const patience = 3 * time.Second

// channels is a *rabbitmq.Connection, or a fake.
type channels interface {
	Channel(ctx context.Context) (*amqp.Channel, error)
}

// publisher is a *rabbitmq.Publisher, or a fake. It returns nil for a message
// that the broker has confirmed, and only then.
type publisher interface {
	Publish(ctx context.Context, m rabbitmq.Message) error
}

// Queue is the DLQ of one broker.
type Queue struct {
	conn channels
}

// New returns the DLQ at the other end of conn.
func New(conn channels) *Queue { return &Queue{conn: conn} }

// Filter says which dead letters a command is about. Its zero value is all.
type Filter struct {
	ID     string
	Reason string
	// Since keeps those that died at or after it. A letter whose time of death
	// is unknown is older than any.
	Since time.Time
}

// matches reports whether l is one of those meant.
func (f Filter) matches(l Letter) bool {
	return (f.ID == "" || f.ID == l.ID) &&
		(f.Reason == "" || f.Reason == l.Reason) &&
		(f.Since.IsZero() || (l.DiedAt != nil && !l.DiedAt.Before(f.Since)))
}

// Bounds say how far a command goes.
type Bounds struct {
	// Max is how many letters it returns or moves; zero means all.
	Max int
	// Scan is how many messages it looks at. Each stays out of the queue until
	// the command ends.
	Scan int
}

// Summary says how far a command got.
type Summary struct {
	Depth   int // messages in the queue at the start
	Seen    int // of which it looked at
	Matched int // of which were meant
	Moved   int // of which it replayed or deleted
}

// session is a look into the queue. The messages taken stay out of it until
// they are answered or the session is closed.
type session struct {
	ch     *amqp.Channel
	moved  int // of seen: answered for good
	depth  int // when the session was opened: what arrives later is not looked at
	scan   int
	seen   int
	cutOff bool // a call was left behind, and the channel with it
}

func (q *Queue) open(ctx context.Context, scan int) (*session, error) {
	ch, err := q.conn.Channel(ctx)
	if err != nil {
		return nil, fmt.Errorf("open a channel: %w", err)
	}
	state, err := await(ctx, func() (amqp.Queue, error) {
		return ch.QueueDeclarePassive(task.QueueDeadLetter, true, false, false, false, nil)
	})
	if missing, ok := errors.AsType[*amqp.Error](err); ok && missing.Code == amqp.NotFound {
		return nil, ErrNoQueue
	}
	if err != nil {
		return nil, fmt.Errorf("ask for the depth of %s: %w", task.QueueDeadLetter, err)
	}
	return &session{ch: ch, depth: state.Messages, scan: min(scan, state.Messages)}, nil
}

// next takes the next message, or returns false when there is none left to
// look at.
func (s *session) next(ctx context.Context) (amqp.Delivery, bool, error) {
	if err := ctx.Err(); err != nil {
		return amqp.Delivery{}, false, err
	}
	if s.seen == s.scan {
		return amqp.Delivery{}, false, nil
	}
	type got struct {
		amqp.Delivery
		ok bool
	}
	g, err := await(ctx, func() (g got, err error) {
		g.Delivery, g.ok, err = s.ch.Get(task.QueueDeadLetter, false)
		return g, err
	})
	if err != nil {
		s.cutOff = errors.Is(err, errCutOff)
		return amqp.Delivery{}, false, fmt.Errorf("take a message from %s: %w", task.QueueDeadLetter, err)
	}
	if g.ok {
		s.seen++
	}
	return g.Delivery, g.ok, nil
}

// close gives back what was taken and not answered, and waits until it is
// there: who looks next shall see it.
func (s *session) close(ctx context.Context) error {
	if s.cutOff {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	_, err := await(ctx, func() (struct{}, error) {
		return struct{}{}, errors.Join(s.giveBack(ctx), s.ch.Close())
	})
	if err != nil {
		return fmt.Errorf("give messages back: %w", err)
	}
	return nil
}

func (s *session) giveBack(ctx context.Context) error {
	if s.seen == s.moved {
		return nil
	}
	const all = 0 // as a delivery tag
	if err := s.ch.Nack(all, true, true); err != nil {
		return err
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil { // others may take from the queue: then there is nothing to wait for
		state, err := s.ch.QueueDeclarePassive(task.QueueDeadLetter, true, false, false, false, nil)
		if err != nil || state.Messages >= s.depth-s.moved {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	return nil
}

// ack takes a message out of the queue for good.
func (s *session) ack(d amqp.Delivery) error {
	if err := d.Ack(false); err != nil {
		return err
	}
	s.moved++
	return nil
}

func (s *session) summary(matched int) Summary {
	return Summary{Depth: s.depth, Seen: s.seen, Matched: matched, Moved: s.moved}
}

// errCutOff says that a call was left behind before its answer came.
var errCutOff = errors.New("the broker does not answer")

// await returns when f does, or some time after ctx has ended. The library's
// calls take no context; one that is left behind ends with its connection.
func await[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := f()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case r := <-done:
		return r.value, r.err
	case <-late.C:
		var none T
		return none, fmt.Errorf("%w: %w", errCutOff, ctx.Err())
	}
}
