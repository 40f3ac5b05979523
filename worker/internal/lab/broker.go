package lab

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/service"
)

// Broker is the RabbitMQ that an experiment runs against. Its queues have names
// of their own and are deleted when the experiment ends.
type Broker struct {
	URLs    []string
	Version string

	conn   *rabbitmq.Connection
	stop   func() error
	prefix string

	mu     sync.Mutex
	queues []string
}

const (
	// connectTimeout is how long a connection may take.
	connectTimeout = 10 * time.Second
	// rpcTimeout bounds everything that the broker is asked for, the deletion of
	// the queues after an interrupt included.
	rpcTimeout = 5 * time.Second
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
	b := &Broker{URLs: list, prefix: fmt.Sprintf("lab.%s.%s.", experiment, strings.ToLower(rand.Text()[:8]))}
	if b.conn, b.stop, err = b.Connect(ctx, "lab"); err != nil {
		return nil, fmt.Errorf("RabbitMQ at %s: %w", b.hosts(), err)
	}
	b.Version = b.conn.BrokerVersion()
	return b, nil
}

// hosts names the brokers, without their credentials.
func (b *Broker) hosts() string {
	var all []string
	for _, address := range b.URLs {
		if u, err := url.Parse(address); err == nil { // ParseURLs has seen to it
			all = append(all, u.Host)
		}
	}
	return strings.Join(all, ", ")
}

// config is that of a connection called name.
func (b *Broker) config(name string) rabbitmq.ConnectionConfig {
	return rabbitmq.ConnectionConfig{URLs: b.URLs, Name: name}
}

// Connect returns a connection that is up. Stop closes it.
func (b *Broker) Connect(ctx context.Context, name string) (conn *rabbitmq.Connection, stop func() error, err error) {
	return b.connect(ctx, b.config(name))
}

func (b *Broker) connect(ctx context.Context, cfg rabbitmq.ConnectionConfig) (conn *rabbitmq.Connection, stop func() error, err error) {
	conn, err = rabbitmq.NewConnection(cfg, rabbitmq.Topology{}, nil, nil)
	if err != nil {
		return nil, nil, err
	}
	stop, err = b.start(ctx, conn.Run, conn.Ready)
	return conn, stop, err
}

// Publisher returns a publisher that is ready. Stop ends it, once its publishes
// in flight have their confirms.
func (b *Broker) Publisher(ctx context.Context, name string, cfg rabbitmq.PublisherConfig, reg prometheus.Registerer) (p *rabbitmq.Publisher, stop func() error, err error) {
	return b.publisher(ctx, b.config(name), cfg, reg)
}

func (b *Broker) publisher(
	ctx context.Context, conn rabbitmq.ConnectionConfig, cfg rabbitmq.PublisherConfig, reg prometheus.Registerer,
) (p *rabbitmq.Publisher, stop func() error, err error) {
	p, err = rabbitmq.NewPublisher(cfg, conn, rabbitmq.Topology{}, reg, nil)
	if err != nil {
		return nil, nil, err
	}
	stop, err = b.start(ctx, p.Run, p.Ready)
	return p, stop, err
}

// start runs something until stop is called, and returns when it is ready.
func (b *Broker) start(ctx context.Context, run func(context.Context) error, ready func() error) (stop func() error, err error) {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- run(own) }()
	stop = func() error {
		cancel()
		return <-ended
	}
	err = service.AwaitReady(ctx, connectTimeout, ready)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("not reached within %s; `make lab` starts a broker where none runs: %w", connectTimeout, err)
	}
	if err != nil {
		return nil, errors.Join(err, stop())
	}
	return stop, nil
}

// Queue declares an empty quorum queue and returns its name, which ends in name.
func (b *Broker) Queue(ctx context.Context, name string) (string, error) {
	full := b.prefix + name
	b.mu.Lock()
	b.queues = append(b.queues, full)
	b.mu.Unlock()
	err := b.withChannel(ctx, func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclare(full, true, false, false, false, amqp.Table{
			amqp.QueueTypeArg: amqp.QueueTypeQuorum,
			amqp.QueueTTLArg:  expiry.Milliseconds(),
		})
		return err
	})
	if err != nil {
		return "", fmt.Errorf("declare %s: %w", full, err)
	}
	return full, nil
}

// Ready counts the messages of a queue that wait for a consumer.
func (b *Broker) Ready(ctx context.Context, queue string) (count int, err error) {
	err = b.withChannel(ctx, func(ch *amqp.Channel) error {
		q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
		count = q.Messages
		return err
	})
	return count, err
}

// drain takes everything out of a queue that nobody publishes to any more, and
// counts it by id.
func (b *Broker) drain(ctx context.Context, queue string) (map[string]int, error) {
	const last = "last"
	// The queue takes messages in the order in which it was given them.
	p, stop, err := b.Publisher(ctx, "lab-drain", rabbitmq.PublisherConfig{}, nil)
	if err != nil {
		return nil, err
	}
	err = errors.Join(p.Publish(ctx, labMessage(queue, last)), stop())
	if err != nil {
		return nil, err
	}
	counts := make(map[string]int)
	err = b.withChannel(ctx, func(ch *amqp.Channel) error {
		deliveries, err := ch.Consume(queue, "lab-drain", true, false, false, false, nil)
		if err != nil {
			return err
		}
		for {
			select {
			case d, ok := <-deliveries:
				if !ok {
					return errors.New("the broker has ended the consumer")
				}
				if d.MessageId == last {
					return nil
				}
				counts[d.MessageId]++
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("drain %s: %w", queue, err)
	}
	return counts, nil
}

// labMessage is a small message for a queue.
func labMessage(queue, id string) rabbitmq.Message {
	return rabbitmq.Message{
		RoutingKey: queue, ID: id, Type: "lab", ContentType: "application/json", Timestamp: time.Now(),
		Body: []byte(`{"row":"` + strings.Repeat("x", 200) + `"}`),
	}
}

// Delete deletes queues before the experiment ends, so that what they hold does
// not weigh on the next case. It does so also where ctx has ended.
func (b *Broker) Delete(ctx context.Context, queues ...string) error {
	ctx = context.WithoutCancel(ctx)
	var errs []error
	for _, queue := range queues {
		err := b.withChannel(ctx, func(ch *amqp.Channel) error {
			_, err := ch.QueueDelete(queue, false, false, false)
			return err
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("delete %s: %w", queue, err))
		}
	}
	return errors.Join(errs...)
}

func (b *Broker) withChannel(ctx context.Context, do func(*amqp.Channel) error) error {
	ctx, cancel := context.WithTimeout(ctx, rpcTimeout)
	defer cancel()
	ch, err := b.conn.Channel(ctx)
	if err != nil {
		return err
	}
	err = do(ch)
	if closed := ch.Close(); err == nil {
		err = closed
	}
	return err
}

// ErrLeftBehind is what Run returns where queues could not be deleted.
var ErrLeftBehind = errors.New("queues may be left, which RabbitMQ deletes once nobody has used them for " + expiry.String())

// close deletes all queues and disconnects. It does so also where ctx has ended.
func (b *Broker) close(ctx context.Context) error {
	err := b.Delete(ctx, b.queues...)
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrLeftBehind, err)
	}
	return errors.Join(err, b.stop())
}
