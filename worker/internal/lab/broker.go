package lab

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/twinlane/twinlane/internal/rabbitmq"
)

// Broker is the RabbitMQ that an experiment runs against. Its queues have names
// of their own and are deleted when the experiment ends.
type Broker struct {
	URLs    []string
	Version string

	conn   *rabbitmq.Connection
	stop   context.CancelFunc
	ended  chan error
	prefix string

	mu     sync.Mutex
	queues []string
}

const (
	// connectTimeout is how long the first connection may take.
	connectTimeout = 10 * time.Second
	// cleanupTimeout bounds the deletion of the queues, also after an interrupt.
	cleanupTimeout = 5 * time.Second
	// expiry is when the broker deletes a queue that nobody uses any more, because
	// the process that declared it was killed.
	expiry = 10 * time.Minute
)

// openBroker connects to the broker.
func openBroker(ctx context.Context, urls, experiment string) (*Broker, error) {
	list, err := rabbitmq.ParseURLs(urls)
	if err != nil {
		return nil, err
	}
	b := &Broker{
		URLs:   list,
		prefix: fmt.Sprintf("lab.%s.%s.", experiment, strings.ToLower(rand.Text()[:8])),
		ended:  make(chan error, 1),
	}
	b.conn, err = rabbitmq.NewConnection(rabbitmq.ConnectionConfig{URLs: list, Name: "lab"}, rabbitmq.Topology{}, prometheus.NewRegistry(), nil)
	if err != nil {
		return nil, err
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	b.stop = stop
	go func() { b.ended <- b.conn.Run(run) }()
	err = b.withChannel(ctx, connectTimeout, func(*amqp.Channel) error { return nil })
	if err != nil {
		stop()
		return nil, errors.Join(fmt.Errorf("no broker reached within %s: %w", connectTimeout, err), <-b.ended)
	}
	b.Version = b.conn.BrokerVersion()
	return b, nil
}

// Queue declares an empty quorum queue and returns its name, which ends in name.
func (b *Broker) Queue(ctx context.Context, name string) (string, error) {
	full := b.prefix + name
	err := b.withChannel(ctx, cleanupTimeout, func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclare(full, true, false, false, false, amqp.Table{
			amqp.QueueTypeArg: amqp.QueueTypeQuorum,
			amqp.QueueTTLArg:  expiry.Milliseconds(),
		})
		return err
	})
	if err != nil {
		return "", fmt.Errorf("declare %s: %w", full, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queues = append(b.queues, full)
	return full, nil
}

// Ready counts the messages of a queue that wait for a consumer.
func (b *Broker) Ready(ctx context.Context, queue string) (count int, err error) {
	err = b.withChannel(ctx, cleanupTimeout, func(ch *amqp.Channel) error {
		q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
		count = q.Messages
		return err
	})
	return count, err
}

// Delete deletes a queue before the experiment ends, so that what it holds does
// not weigh on the next case.
func (b *Broker) Delete(ctx context.Context, queue string) error {
	return b.withChannel(ctx, cleanupTimeout, func(ch *amqp.Channel) error {
		_, err := ch.QueueDelete(queue, false, false, false)
		return err
	})
}

// Connection is the configuration of a connection of a case's own.
func (b *Broker) Connection(name string) rabbitmq.ConnectionConfig {
	return rabbitmq.ConnectionConfig{URLs: b.URLs, Name: name}
}

func (b *Broker) withChannel(ctx context.Context, timeout time.Duration, do func(*amqp.Channel) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	ch, err := b.conn.Channel(ctx)
	if err != nil {
		return err
	}
	return errors.Join(do(ch), closed(ch.Close()))
}

// closed forgives a channel that the broker has closed already, over the error
// that is reported anyway.
func closed(err error) error {
	if errors.Is(err, amqp.ErrClosed) {
		return nil
	}
	return err
}

// close deletes the queues and disconnects. It does so also where ctx has ended.
func (b *Broker) close(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	var errs []error
	for _, queue := range b.queues {
		if err := b.Delete(ctx, queue); err != nil {
			errs = append(errs, fmt.Errorf("delete %s: %w", queue, err))
		}
	}
	b.stop()
	return errors.Join(append(errs, <-b.ended)...)
}
