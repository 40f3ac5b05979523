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

// TaskQueue is a queue that workers consume from.
type TaskQueue struct {
	Name string
	// DeliveryLimit is how often a task may be returned without an answer, by
	// workers that crash over it, before the broker itself dead-letters it.
	DeliveryLimit int
}

// TaskQueues lists the queues that workers consume from: the one that tasks are
// published to first, then those for tasks that may crash workers.
func TaskQueues() []TaskQueue {
	return []TaskQueue{
		{Name: task.QueueTasks, DeliveryLimit: 20},
		{Name: task.QueueSuspect, DeliveryLimit: 20},
		{Name: task.QueueIsolated, DeliveryLimit: 3},
	}
}

const (
	// unlimitedDeliveries stands for no limit. RabbitMQ 3.10 drops messages
	// under the -1 that means it in 4.x, and 4.x has a default of 20.
	unlimitedDeliveries = 1_000_000
	// maxResultsBytes bounds the results stream where so much happens that
	// task.ResultRetention would not.
	maxResultsBytes = 2 << 30
	// resultsSegmentBytes is in what portions the results stream forgets.
	resultsSegmentBytes = 64 << 20
)

// Tasks is the topology of the task queues, the retry steps, the DLQ and the
// results stream, the same for RabbitMQ 3.10 to 4.x. What the broker itself
// gives up goes through an exchange to the DLQ, and to the stream, so that a
// death that no worker lived to report is seen there too. A limit on the length
// of a queue belongs into a policy, which can be changed while the system runs.
func Tasks() Topology {
	t := Topology{
		Exchanges: []Exchange{{Name: task.ExchangeDead, Kind: amqp.ExchangeFanout}},
		Queues: []Queue{
			quorum(task.QueueDeadLetter, map[string]any{"x-delivery-limit": unlimitedDeliveries}),
			{Name: task.QueueResults, Args: map[string]any{
				"x-queue-type":                    "stream",
				"x-max-age":                       fmt.Sprintf("%ds", int(task.ResultRetention.Seconds())),
				"x-max-length-bytes":              int64(maxResultsBytes),
				"x-stream-max-segment-size-bytes": resultsSegmentBytes,
			}},
		},
		Bindings: []Binding{
			{Exchange: task.ExchangeDead, Queue: task.QueueDeadLetter},
			{Exchange: task.ExchangeDead, Queue: task.QueueResults},
		},
	}
	for _, q := range TaskQueues() {
		t.Queues = append(t.Queues, quorum(q.Name, map[string]any{
			"x-delivery-limit":       q.DeliveryLimit,
			"x-dead-letter-exchange": task.ExchangeDead,
			"x-dead-letter-strategy": "at-least-once",
		}))
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

// declare declares the topology on channels of its own. What the broker refuses
// is reported to refused and left as it is: what exists with other properties,
// may not be declared by this user, or is not available yet, as a stream is
// for a moment after a restart of its broker.
func (t Topology) declare(ctx context.Context, s *session, refused func(name string, err *amqp.Error)) error {
	d := declarer{session: s, refused: refused}
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
	refused func(name string, err *amqp.Error)
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
	if refused, ok := errors.AsType[*amqp.Error](err); ok {
		switch refused.Code {
		case amqp.PreconditionFailed, amqp.AccessRefused, amqp.NotFound:
			d.ch = nil
			d.refused(name, refused)
			return
		}
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
