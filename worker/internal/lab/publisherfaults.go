package lab

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/service"
	"github.com/twinlane/twinlane/internal/tcpproxy"
)

// The cases of what goes wrong. Requests come at the highest published rate.
const (
	unconfirmedName = "connection cut, no confirms, 400/s"
	confirmedName   = "connection cut, the pool, 400/s"

	faultRate = 400   // requests a second
	naiveRate = 2_000 // the highest rate of the channel that is shared without care
	// cutEvery is the time from cut to cut, and hang how long a connection
	// delivers nothing before it is cut, as when a cable is pulled.
	cutEvery = 400 * time.Millisecond
	hang     = 50 * time.Millisecond
	// reconnectPause is constant, so that what fails does not depend on how often
	// it has failed before.
	reconnectPause = 100 * time.Millisecond
	// naivePatience is how long a request waits for its confirm.
	naivePatience = time.Second
)

func naiveName(rate int) string {
	return "one channel without care, " + PerSecond.format(float64(rate))
}

// naiveCases are the first story, as far as the client lets it happen: the more
// requests, the more often one meets another.
func naiveCases(size Size) []Case {
	window := Pick(size, 3*time.Second, 1500*time.Millisecond, 300*time.Millisecond)
	var cases []Case
	for _, rate := range []int{faultRate, naiveRate} {
		published := Value{}
		if rate == naiveRate {
			published = Words("most, at high rates")
		}
		cases = append(cases, Case{Name: naiveName(rate), Takes: window + naivePatience/2, Measure: func(ctx context.Context, e *Env) ([]Figure, error) {
			load, err := naive(ctx, e, rate, window)
			return []Figure{
				{Quantity: "confirmed_messages_per_second", Measured: Number(load.rate())},
				{Quantity: "failed_share", Published: published, Measured: Number(load.failedShare())},
				Measured("accept_time_p50_seconds", load.quantile(.5)),
				Measured("accept_time_p95_seconds", load.quantile(.95)),
				Measured("accept_time_p99_seconds", load.quantile(.99)),
				Measured("accepted_messages", float64(len(load.accepted))),
			}, err
		}})
	}
	return cases
}

// naiveBody is the size of a message that does not leave the client in one piece.
// The tests, which are short, have one of several frames, between which there is
// always room for another's.
func naiveBody(size Size) []byte { return make([]byte, Pick(size, 8<<10, 8<<10, 140<<10)) }

func naive(ctx context.Context, e *Env, rate int, window time.Duration) (load load, err error) {
	queue, err := e.Broker.Queue(ctx, "naive")
	if err != nil {
		return load, err
	}
	defer func() { err = errors.Join(err, e.Broker.Delete(ctx, queue)) }()
	channel, err := openShared(ctx, e.Broker, e.Broker.config("lab-naive"))
	if err != nil {
		return load, err
	}
	body := naiveBody(e.Size)
	load = openLoop(ctx, float64(rate), window, func(ctx context.Context) error { return channel.declareAndPublish(ctx, queue, body) })
	return load, errors.Join(context.Cause(ctx), channel.close())
}

// sharedChannel is one channel for everybody, opened again when it is lost.
type sharedChannel struct {
	conn *rabbitmq.Connection
	stop func() error

	mu sync.Mutex
	ch *amqp.Channel
}

func openShared(ctx context.Context, b *Broker, cfg rabbitmq.ConnectionConfig) (*sharedChannel, error) {
	cfg.BackoffMin, cfg.BackoffMax = reconnectPause, reconnectPause
	conn, stop, err := b.connect(ctx, cfg)
	return &sharedChannel{conn: conn, stop: stop}, err
}

func (s *sharedChannel) close() error { return s.stop() }

// get returns the channel. While there is none, it fails at once.
func (s *sharedChannel) get(ctx context.Context) (*amqp.Channel, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != nil && !s.ch.IsClosed() {
		return s.ch, nil
	}
	if err := s.conn.Ready(); err != nil {
		return nil, err
	}
	ch, err := s.conn.Channel(ctx)
	if err == nil {
		err = ch.Confirm(false)
	}
	s.ch = ch
	return ch, err
}

// declareAndPublish is what many examples do for each message. On a channel
// that others publish on, the declaration lands amid their messages.
func (s *sharedChannel) declareAndPublish(ctx context.Context, queue string, body []byte) error {
	ch, err := s.get(ctx)
	if err != nil {
		return err
	}
	if _, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, naivePatience)
	defer cancel()
	confirm, err := ch.PublishWithDeferredConfirmWithContext(ctx, "", queue, true, false, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: body})
	if err != nil {
		return err
	}
	acked, err := confirm.WaitContext(ctx)
	if err == nil && !acked {
		err = rabbitmq.ErrOutcomeUnknown
	}
	return err
}

// publishUnconfirmed is the 202 that is forgotten: the message is handed to the
// operating system, and that is all that anybody knows.
func (s *sharedChannel) publishUnconfirmed(ctx context.Context, m rabbitmq.Message) error {
	ch, err := s.get(ctx)
	if err != nil {
		return err
	}
	return ch.PublishWithContext(ctx, "", m.RoutingKey, false, false, amqp.Publishing{MessageId: m.ID, DeliveryMode: amqp.Persistent, Body: m.Body})
}

// cutCases show what is lost where nobody waits for a confirm.
func cutCases(size Size) []Case {
	window := Pick(size, 6*time.Second, 2*time.Second, 900*time.Millisecond)
	return []Case{
		{Name: unconfirmedName, Takes: window + time.Second, Measure: func(ctx context.Context, e *Env) ([]Figure, error) {
			return measureCuts(ctx, e, window, func(ctx context.Context, cfg rabbitmq.ConnectionConfig) (publish, func() error, error) {
				channel, err := openShared(ctx, e.Broker, cfg)
				return channel.publishUnconfirmed, channel.close, err
			}, Words("left open"), true)
		}},
		{Name: confirmedName, Takes: window + time.Second, Measure: func(ctx context.Context, e *Env) ([]Figure, error) {
			return measureCuts(ctx, e, window, func(ctx context.Context, cfg rabbitmq.ConnectionConfig) (publish, func() error, error) {
				p, stop, err := e.Broker.publisher(ctx, cfg, rabbitmq.PublisherConfig{}, e.Metrics)
				return p.Publish, stop, err
			}, Value{}, false)
		}},
	}
}

type publish func(context.Context, rabbitmq.Message) error

// measureCuts publishes through a proxy that hangs and cuts the connection, and
// then looks for what was accepted.
func measureCuts(
	ctx context.Context, e *Env, window time.Duration,
	connect func(context.Context, rabbitmq.ConnectionConfig) (publish, func() error, error), published Value, loses bool,
) (figures []Figure, err error) {
	queue, err := e.Broker.Queue(ctx, "cut")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.Broker.Delete(ctx, queue)) }()
	proxy, cfg, err := proxied(ctx, e.Broker.config("lab-cut"))
	if err != nil {
		return nil, err
	}
	defer proxy.Close()
	send, stop, err := connect(ctx, cfg)
	if err != nil {
		return nil, err
	}
	accepted := &ledger{ids: make(map[string]int)}
	cutting, enough := context.WithCancel(ctx)
	hung := make(chan time.Duration, 1)
	go func() { hung <- cut(cutting, proxy) }()
	load := openLoop(ctx, faultRate, window, func(ctx context.Context) error { return accepted.publish(ctx, queue, send) })
	enough()
	hungFor := <-hung
	if err := errors.Join(context.Cause(ctx), stop()); err != nil {
		return nil, err
	}
	arrived, err := e.Broker.drain(ctx, queue)
	if err != nil {
		return nil, err
	}
	lost, twice := accepted.compare(arrived)
	losing := Figure{Quantity: "lost_messages", Published: published, Measured: Number(float64(lost)), Predicted: Number(0), Theory: "no confirm, no 202: nothing that was accepted can be lost"}
	if loses {
		losing.Predicted, losing.Theory = AtLeast(math.Floor(faultRate*hungFor.Seconds())), "400/s × time for which the connection hung before it was cut"
	}
	return []Figure{
		{Quantity: "confirmed_messages_per_second", Measured: Number(load.rate())},
		{Quantity: "failed_share", Measured: Number(load.failedShare())},
		losing,
		Measured("accepted_messages", float64(len(load.accepted))),
		Measured("duplicate_messages", float64(twice)),
	}, nil
}

// proxied puts a proxy between a connection and its broker.
func proxied(ctx context.Context, cfg rabbitmq.ConnectionConfig) (*tcpproxy.Proxy, rabbitmq.ConnectionConfig, error) {
	u, err := url.Parse(cfg.URLs[0])
	if err != nil {
		return nil, cfg, fmt.Errorf("proxy: %w", err)
	}
	if u.Port() == "" {
		u.Host += ":5672"
	}
	listener, err := service.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		return nil, cfg, fmt.Errorf("proxy: %w", err)
	}
	proxy := tcpproxy.New(listener, u.Host)
	u.Host = proxy.Addr()
	cfg.URLs = []string{u.String()}
	cfg.BackoffMin, cfg.BackoffMax = reconnectPause, reconnectPause
	return proxy, cfg, nil
}

// cut lets connections hang and cuts them, until ctx ends. It returns for how
// long they hung.
func cut(ctx context.Context, proxy *tcpproxy.Proxy) (hung time.Duration) {
	for pause(ctx, cutEvery-hang) == nil {
		proxy.Pause(tcpproxy.ToServer)
		began := time.Now()
		_ = pause(ctx, hang) // what hangs is cut in any case
		hung += time.Since(began)
		proxy.Drop()
		proxy.Resume(tcpproxy.ToServer)
	}
	return hung
}

// ledger has the ids of what was accepted.
type ledger struct {
	next atomic.Int64
	mu   sync.Mutex
	ids  map[string]int
}

func (l *ledger) publish(ctx context.Context, queue string, send publish) error {
	id := strconv.FormatInt(l.next.Add(1), 10)
	err := send(ctx, labMessage(queue, id))
	if err == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.ids[id]++
	}
	return err
}

// compare counts what was accepted and has not arrived, and what has arrived
// more than once.
func (l *ledger) compare(arrived map[string]int) (lost, twice int) {
	for id := range l.ids {
		if arrived[id] == 0 {
			lost++
		}
	}
	for _, n := range arrived {
		if n > 1 {
			twice++
		}
	}
	return lost, twice
}
