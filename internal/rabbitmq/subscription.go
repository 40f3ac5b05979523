package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sync/errgroup"

	"github.com/twinlane/twinlane/internal/service"
)

// MaxChannelPrefetch is the largest prefetch of one channel. Up to that, one
// delivery loop hands everything over, in the order of the queue. It is large,
// because when a process dies the broker gives the messages of its first channel
// to its other ones, and each such hop counts towards the limit of deliveries.
const MaxChannelPrefetch = 10_000

// SubscriptionConfig says what to consume.
type SubscriptionConfig struct {
	Queue string
	// Prefetch bounds the deliveries that are not settled, over all channels.
	Prefetch int
	// ConsumerTag is how RabbitMQ's management calls the consumer.
	ConsumerTag string
}

// Channels is on how many channels a subscription consumes.
func (c SubscriptionConfig) Channels() int {
	return (c.Prefetch + MaxChannelPrefetch - 1) / MaxChannelPrefetch
}

// Subscription consumes from one queue on a Connection, on as many channels as
// its prefetch needs, and subscribes again after any loss.
type Subscription struct {
	conn       *Connection
	cfg        SubscriptionConfig
	renewAfter time.Duration
	logger     *slog.Logger
	metrics    *subscriptionMetrics
}

// NewSubscription returns a subscription that consumes while Run runs.
func NewSubscription(conn *Connection, cfg SubscriptionConfig, reg prometheus.Registerer, logger *slog.Logger) (*Subscription, error) {
	if cfg.Prefetch < 1 {
		return nil, fmt.Errorf("prefetch %d is not allowed; allowed: 1 and more", cfg.Prefetch)
	}
	return &Subscription{
		conn:       conn,
		cfg:        cfg,
		renewAfter: renewAfter,
		logger:     service.OrDiscard(logger).With("component", "subscription", "queue", cfg.Queue),
		metrics:    newSubscriptionMetrics(reg, cfg.Queue),
	}, nil
}

// Run consumes until ctx ends. It hands each delivery to deliver on the
// delivery loop of its channel; while deliver blocks, so does that loop. The
// context of a delivery ends with ctx, and when its channel is gone: the broker
// has the message back then.
//
// When ctx ends it stops consuming, requeues what was prefetched and not handed
// over, and returns. The channels stay open until the Connection closes, so
// that what was handed over can still be settled. The settling of a delivery
// whose channel is gone returns an error: the broker has it back already.
func (s *Subscription) Run(ctx context.Context, deliver func(context.Context, amqp.Delivery)) error {
	channels := s.cfg.Channels()
	var g errgroup.Group
	for i := range channels {
		prefetch := s.cfg.Prefetch / channels
		if i < s.cfg.Prefetch%channels {
			prefetch++
		}
		g.Go(func() error {
			s.keep(ctx, prefetch, fmt.Sprintf("%s-%d", s.cfg.ConsumerTag, i+1), deliver)
			return nil
		})
	}
	return g.Wait()
}

// keep subscribes again whenever a subscription ends before ctx does.
func (s *Subscription) keep(ctx context.Context, prefetch int, tag string, deliver func(context.Context, amqp.Delivery)) {
	pause := backoff{low: s.conn.cfg.BackoffMin, high: s.conn.cfg.BackoffMax}
	var others sync.WaitGroup // goroutines that end with ctx at the latest
	defer others.Wait()
	for ctx.Err() == nil {
		session, err := s.conn.session(ctx)
		if err != nil {
			return // only when ctx ends
		}
		sub, err := s.subscribe(ctx, session, prefetch, tag)
		if err == nil {
			pause.reset()
			// It outlives the consumer, as what was handed over does.
			channel, gone := context.WithCancel(ctx)
			others.Go(func() {
				defer gone()
				select {
				case <-sub.lost: //nolint:errcheck // Why it was lost is not the delivery's concern.
				case <-ctx.Done():
				}
			})
			others.Go(func() { sub.renew(channel, s.renewAfter) })
			if sub.deliver(ctx, channel, deliver) {
				return
			}
			err = errors.New("the consumer was cancelled")
			others.Go(func() { sub.retire(ctx) })
			if sub.ended.Load() {
				continue
			}
		}
		if session.isClosed() || ctx.Err() != nil {
			continue
		}
		s.metrics.losses.Inc()
		s.logger.Warn("not subscribed, trying again", "err", err)
		s.conn.Redeclare() // the queue may be gone
		pause.wait(ctx)
	}
}

func (s *Subscription) subscribe(ctx context.Context, session *session, prefetch int, tag string) (*subscribed, error) {
	sub := &subscribed{
		session: session, tag: tag, timeout: s.conn.cfg.DialTimeout, metrics: s.metrics,
		idle: make(chan struct{}, 1),
	}
	// A stop meanwhile does not cost the connection, on which others have deliveries to settle.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.conn.cfg.DialTimeout)
	defer cancel()
	err := session.call(ctx, func() (err error) {
		if sub.ch, err = session.conn.Channel(); err != nil {
			return err
		}
		if err = sub.ch.Qos(prefetch, 0, false); err != nil {
			return err
		}
		sub.lost = sub.ch.NotifyClose(make(chan *amqp.Error, 1))
		sub.deliveries, err = sub.ch.Consume(s.cfg.Queue, tag, false, false, false, false, nil)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("consume from %s: %w", s.cfg.Queue, err)
	}
	return sub, nil
}

// subscribed is one consumer on a channel of its own.
type subscribed struct {
	session    *session
	ch         *amqp.Channel
	tag        string
	deliveries <-chan amqp.Delivery
	lost       <-chan *amqp.Error // receives or closes when the channel is closed
	timeout    time.Duration
	metrics    *subscriptionMetrics

	delivered atomic.Uint64
	ended     atomic.Bool // by renew, and not by the broker
	unsettled atomic.Int64
	idle      chan struct{} // signals that unsettled has come down to zero
}

// deliver hands deliveries over until ctx ends, which it reports as true, or
// until the broker ends the consumer.
func (s *subscribed) deliver(ctx, channel context.Context, deliver func(context.Context, amqp.Delivery)) bool {
	s.metrics.channels.Inc()
	defer s.metrics.channels.Dec()
	for {
		select {
		case <-ctx.Done():
			s.cancel(ctx)
			return true
		case d, ok := <-s.deliveries:
			if !ok {
				return false
			}
			s.delivered.Add(1)
			s.unsettled.Add(1)
			s.metrics.unsettled.Inc()
			d.Acknowledger = &settler{subscribed: s, Acknowledger: d.Acknowledger}
			deliver(channel, d)
		}
	}
}

// cancel ends the consumer and requeues what it had prefetched.
func (s *subscribed) cancel(ctx context.Context) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), s.timeout)
	defer stop()
	if err := s.session.call(ctx, func() error { return s.ch.Cancel(s.tag, false) }); err != nil {
		return // the channel is gone, and the broker has everything back
	}
	for d := range s.deliveries {
		if d.Nack(false, true) != nil {
			return
		}
	}
}

// retire closes the channel of a consumer that the broker has ended, once
// everything that was handed over is settled: closed earlier, the broker would
// hand out again what is still being worked on.
func (s *subscribed) retire(ctx context.Context) {
	for s.unsettled.Load() > 0 {
		select {
		case <-s.idle:
		case <-s.session.closed:
			return
		case <-ctx.Done():
			return
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeout)
	defer cancel()
	_ = s.session.call(ctx, s.ch.Close) // an error only says that it was closed already
}

// settler counts a delivery as settled with its first answer.
type settler struct {
	*subscribed
	amqp.Acknowledger
	settled atomic.Bool
}

// Ack implements amqp.Acknowledger.
func (s *settler) Ack(tag uint64, multiple bool) error {
	defer s.done()
	return s.Acknowledger.Ack(tag, multiple)
}

// Nack implements amqp.Acknowledger.
func (s *settler) Nack(tag uint64, multiple, requeue bool) error {
	defer s.done()
	return s.Acknowledger.Nack(tag, multiple, requeue)
}

// Reject implements amqp.Acknowledger.
func (s *settler) Reject(tag uint64, requeue bool) error {
	defer s.done()
	return s.Acknowledger.Reject(tag, requeue)
}

func (s *settler) done() {
	if s.settled.Swap(true) {
		return
	}
	s.metrics.unsettled.Dec()
	if s.unsettled.Add(-1) == 0 {
		select {
		case s.idle <- struct{}{}:
		default:
		}
	}
}
