package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/twinlane/twinlane/internal/task"
)

// Topology is the exchanges, queues and bindings that a connection declares
// whenever it comes up. Declaring is idempotent.
type Topology struct {
	Exchanges []Exchange
	Queues    []Queue
	Bindings  []Binding
}

// Exchange is a durable exchange.
type Exchange struct {
	Name string
	Kind string
}

// Queue is a durable queue with its arguments.
type Queue struct {
	Name string
	Args map[string]any
}

// Binding routes what an exchange receives to a queue.
type Binding struct {
	Exchange string
	Queue    string
}

// RetryStep is a queue in which a task waits for its next attempt.
type RetryStep struct {
	Queue string
	Delay time.Duration
}

// RetrySteps lists the steps in the order in which a failing task takes them.
func RetrySteps() []RetryStep {
	return []RetryStep{
		{Queue: task.QueueTasks + ".retry.1s", Delay: time.Second},
		{Queue: task.QueueTasks + ".retry.5s", Delay: 5 * time.Second},
		{Queue: task.QueueTasks + ".retry.30s", Delay: 30 * time.Second},
	}
}

const (
	// taskDeliveryLimit is how often a task may be returned without an answer,
	// by workers that crash over it, before the broker itself dead-letters it.
	taskDeliveryLimit = 20
	// unlimitedDeliveries stands for no limit. RabbitMQ 3.10 drops messages
	// under the -1 that means it in 4.x, and 4.x has a default of 20.
	unlimitedDeliveries = 1_000_000
)

// Tasks is the topology of the task queue, its retry steps and its DLQ, the
// same for RabbitMQ 3.10 to 4.x. A limit on the length of a queue belongs into
// a policy, which can be changed while the system runs.
func Tasks() Topology {
	t := Topology{
		Exchanges: []Exchange{{Name: task.ExchangeDead, Kind: amqp.ExchangeFanout}},
		Queues: []Queue{
			quorum(task.QueueDeadLetter, map[string]any{"x-delivery-limit": unlimitedDeliveries}),
			quorum(task.QueueTasks, map[string]any{
				"x-delivery-limit":       taskDeliveryLimit,
				"x-dead-letter-exchange": task.ExchangeDead,
				"x-dead-letter-strategy": "at-least-once",
			}),
		},
		Bindings: []Binding{{Exchange: task.ExchangeDead, Queue: task.QueueDeadLetter}},
	}
	for _, step := range RetrySteps() {
		t.Queues = append(t.Queues, quorum(step.Queue, map[string]any{
			"x-message-ttl":             int(step.Delay / time.Millisecond),
			"x-dead-letter-exchange":    "",
			"x-dead-letter-routing-key": task.QueueTasks,
			"x-dead-letter-strategy":    "at-least-once",
		}))
	}
	return t
}

// quorum is a quorum queue that refuses what it cannot hold.
func quorum(name string, args map[string]any) Queue {
	args["x-queue-type"] = "quorum"
	args["x-overflow"] = "reject-publish"
	return Queue{Name: name, Args: args}
}

// names lists what can exist with other properties than declared.
func (t Topology) names() []string {
	var names []string
	for _, e := range t.Exchanges {
		names = append(names, e.Name)
	}
	for _, q := range t.Queues {
		names = append(names, q.Name)
	}
	return names
}

// declare declares the topology on channels of its own. What exists with other
// properties, or may not be declared by this user, is reported to drift and
// left as it is.
func (t Topology) declare(ctx context.Context, s *session, drift func(name string, err *amqp.Error)) error {
	d := declarer{session: s, drift: drift}
	for _, e := range t.Exchanges {
		d.do(ctx, e.Name, func(ch *amqp.Channel) error {
			return ch.ExchangeDeclare(e.Name, e.Kind, true, false, false, false, nil)
		})
	}
	for _, q := range t.Queues {
		d.do(ctx, q.Name, func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclare(q.Name, true, false, false, false, amqp.Table(q.Args))
			return err
		})
	}
	for _, b := range t.Bindings {
		d.do(ctx, b.Queue, func(ch *amqp.Channel) error {
			return ch.QueueBind(b.Queue, "", b.Exchange, false, nil)
		})
	}
	return d.close(ctx)
}

// declarer opens a channel when it needs one, because a refused declaration
// closes the channel it was made on. It keeps the first error.
type declarer struct {
	session *session
	drift   func(name string, err *amqp.Error)
	ch      *amqp.Channel
	err     error
}

func (d *declarer) do(ctx context.Context, name string, declare func(*amqp.Channel) error) {
	if d.err != nil {
		return
	}
	err := d.session.call(ctx, func() (err error) {
		if d.ch == nil {
			if d.ch, err = d.session.conn.Channel(); err != nil {
				return err
			}
		}
		return declare(d.ch)
	})
	refused, ok := errors.AsType[*amqp.Error](err)
	if ok && (refused.Code == amqp.PreconditionFailed || refused.Code == amqp.AccessRefused) {
		d.ch = nil
		d.drift(name, refused)
		return
	}
	if err != nil {
		d.err = fmt.Errorf("declare %s: %w", name, err)
	}
}

func (d *declarer) close(ctx context.Context) error {
	if d.ch == nil || d.err != nil {
		return d.err
	}
	return d.session.call(ctx, d.ch.Close)
}
