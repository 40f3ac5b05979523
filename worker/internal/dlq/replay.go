package dlq

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
	"go.opentelemetry.io/otel/trace"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/task"
)

// ReplayOptions say what to replay and how.
type ReplayOptions struct {
	Filter
	Bounds
	// Rate is how many letters to replay in a second at most; zero means as
	// fast as the broker confirms.
	Rate float64
	// DryRun only reports what would be replayed.
	DryRun bool
	// Tracer makes a span for each letter. Nil makes none.
	Tracer trace.Tracer
	// Each is told of each letter that was, or would be, replayed.
	Each func(Letter)
}

// Replay puts dead letters that match back into the task queue, byte for byte
// and as first attempts, one at a time: it publishes with confirm, then takes
// the letter out of the DLQ. It ends with what was in the DLQ at its start and
// does not chase letters that die again. Where it is cut off, a letter can be
// both in the DLQ and replayed, and never in neither.
func (q *Queue) Replay(ctx context.Context, pub publisher, o ReplayOptions) (sum Summary, err error) {
	s, err := q.open(ctx, o.Scan)
	if err != nil {
		return Summary{}, err
	}
	matched := 0
	defer func() {
		err = errors.Join(err, s.close(ctx))
		sum = s.summary(matched)
	}()
	pace := newPace(o.Rate)
	defer pace.stop()
	for o.Max == 0 || matched < o.Max {
		d, ok, err := s.next(ctx)
		if err != nil || !ok {
			return sum, err
		}
		l := newLetter(d)
		if !o.matches(l) {
			continue
		}
		matched++
		if !o.DryRun {
			if err := pace.wait(ctx); err != nil {
				return sum, err
			}
			if err := s.replay(ctx, pub, o.Tracer, d, l); err != nil {
				return sum, err
			}
		}
		o.Each(l)
	}
	return sum, nil
}

// replay moves one letter. Once begun it is carried through, so that a stop
// does not leave a letter in both places.
func (s *session) replay(ctx context.Context, pub publisher, tracer trace.Tracer, d amqp.Delivery, l Letter) error {
	ctx, end := startSpan(ctx, tracer, d)
	defer end()
	if err := pub.Publish(context.WithoutCancel(ctx), replayed(d)); err != nil {
		return fmt.Errorf("replay %s, which stays in the DLQ: %w", l.ID, err)
	}
	if err := s.ack(d); err != nil {
		return fmt.Errorf("take %s out of the DLQ, in which it stays although it was replayed: %w", l.ID, err)
	}
	return nil
}

// replayed is the message that a dead letter becomes.
func replayed(d amqp.Delivery) rabbitmq.Message {
	headers, err := task.ParseHeaders(d.Headers)
	if err != nil {
		headers = task.Headers{}
	}
	headers.Attempt, headers.Dead = 1, nil
	headers.ReplayCount++
	id := d.MessageId
	if !task.ValidName(id) {
		id = uuid.NewString()
	}
	m := rabbitmq.TaskMessage("", task.QueueTasks, id, headers, d.Body, time.Now())
	m.Type, m.ContentType = d.Type, d.ContentType
	return m
}

// pace spreads events over time.
type pace struct {
	ticker *time.Ticker // nil for no limit
	begun  bool
}

func newPace(rate float64) *pace {
	if rate <= 0 {
		return &pace{}
	}
	const longest = 1e18 // what a duration holds, and a rate of next to none exceeds
	return &pace{ticker: time.NewTicker(max(time.Duration(min(float64(time.Second)/rate, longest)), 1))}
}

// wait returns when the next event may happen; the first may at once.
func (p *pace) wait(ctx context.Context) error {
	if p.ticker == nil || !p.begun {
		p.begun = true
		return ctx.Err()
	}
	select {
	case <-p.ticker.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *pace) stop() {
	if p.ticker != nil {
		p.ticker.Stop()
	}
}
