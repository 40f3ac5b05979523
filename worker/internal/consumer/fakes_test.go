package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/service"
	"github.com/twinlane/twinlane/internal/task"
)

// journal is what happened, in order.
type journal struct {
	mu      sync.Mutex
	entries []string
}

func (j *journal) add(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, fmt.Sprintf(format, args...))
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.entries)
}

// last is the newest entry, empty where there is none.
func (j *journal) last() string {
	all := j.all()
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1]
}

// fakePublisher notes what it publishes and says what fails tells it to. It
// keeps messages and results apart, and is both publishers of a worker: see
// oneKind.
type fakePublisher struct {
	journal *journal
	fails   func(m rabbitmq.Message) error

	mu      sync.Mutex
	sent    []rabbitmq.Message
	results []task.Result
}

func (p *fakePublisher) Publish(ctx context.Context, m rabbitmq.Message) error {
	p.mu.Lock()
	fails := p.fails
	p.mu.Unlock()
	if fails != nil {
		if err := fails(m); err != nil {
			p.journal.add("publish %s failed", m.ID)
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.Type == task.MessageTypeResult {
		return p.noteResult(m)
	}
	p.sent = append(p.sent, m)
	p.journal.add("publish %s to %s%s", m.ID, m.Exchange, m.RoutingKey)
	return nil
}

// told is the results so far, while others may still come.
func (p *fakePublisher) told() []task.Result {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.results)
}

// failWith changes what fails, at any time.
func (p *fakePublisher) failWith(fails func(m rabbitmq.Message) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fails = fails
}

// accept ends the failures.
func (p *fakePublisher) accept() { p.failWith(nil) }

func (p *fakePublisher) noteResult(m rabbitmq.Message) error {
	res, err := task.DecodeResult(m.Body)
	if err != nil {
		return err
	}
	if res.ID != m.ID || m.Exchange != "" || m.RoutingKey != task.QueueResults {
		return fmt.Errorf("the result of %s was published as %s to %q %q", res.ID, m.ID, m.Exchange, m.RoutingKey)
	}
	p.results = append(p.results, res)
	p.journal.add("result %s %s", res.ID, res.Status)
	return nil
}

// oneKind is a publisher for results, or for everything else, with a recovery of
// its own.
type oneKind struct {
	*fakePublisher
	t        *testing.T
	results  bool
	recovery *service.Signal
}

func (p oneKind) Publish(ctx context.Context, m rabbitmq.Message) error {
	if isResult(m) != p.results {
		p.t.Errorf("%s %s went to the wrong publisher", m.Type, m.ID)
	}
	return p.fakePublisher.Publish(ctx, m)
}

func (p oneKind) Recovery() *service.Signal { return p.recovery }

// isResult tells results from what moves tasks.
func isResult(m rabbitmq.Message) bool { return m.Type == task.MessageTypeResult }

// fakeAcknowledger notes answers. Its deliveries are told apart by their tags.
type fakeAcknowledger struct {
	journal *journal
	err     error
	panics  int // that Ack still has
}

func (a *fakeAcknowledger) Ack(tag uint64, multiple bool) error {
	if a.panics > 0 {
		a.panics--
		panic("an error of theirs")
	}
	a.journal.add("ack %d", tag)
	return a.refuse(multiple)
}

func (a *fakeAcknowledger) Nack(tag uint64, multiple, requeue bool) error {
	if !requeue {
		a.journal.add("drop %d", tag)
	} else {
		a.journal.add("requeue %d", tag)
	}
	return a.refuse(multiple)
}

func (a *fakeAcknowledger) Reject(tag uint64, _ bool) error {
	a.journal.add("reject %d", tag)
	return a.err
}

func (a *fakeAcknowledger) refuse(multiple bool) error {
	if multiple {
		return errors.New("several deliveries were answered at once")
	}
	return a.err
}

var errSourceLost = errors.New("source lost")

// fakeSource is a delivery loop on a channel.
type fakeSource struct {
	journal    *journal
	deliveries chan amqp.Delivery // closed, the source ends with errSourceLost
	lose       chan struct{}      // sent to, the channel is gone and there is a new one
	returns    time.Duration      // how long a stop takes
}

func (s *fakeSource) Run(ctx context.Context, deliver func(context.Context, amqp.Delivery)) error {
	for {
		switch err := s.channel(ctx, deliver); {
		case err != nil:
			return err
		case ctx.Err() != nil:
			if s.returns > 0 {
				sleep(s.returns)
				s.journal.add("source returned")
			}
			return nil
		}
	}
}

// channel delivers on one channel until it is lost.
func (s *fakeSource) channel(ctx context.Context, deliver func(context.Context, amqp.Delivery)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for {
		select {
		case d, ok := <-s.deliveries:
			if !ok {
				return errSourceLost
			}
			deliver(ctx, d)
		case <-s.lose:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}
