package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/twinlane/twinlane/internal/service"
)

const (
	// streamPrefetch is how many messages of a stream the broker sends ahead.
	streamPrefetch = 1000
	// streamAckEvery is after how many messages the broker is told so, long
	// before it would have to wait.
	streamAckEvery = streamPrefetch / 4
	// streamAckWithin is after what time it is told of fewer. A broker closes the
	// channel of who tells it nothing for half an hour.
	streamAckWithin = time.Minute

	headerStreamOffset = "x-stream-offset"
)

// StreamConfig says what to read.
type StreamConfig struct {
	Stream string
	// ConsumerTag is how RabbitMQ's management calls the consumer.
	ConsumerTag string
	// From is how far back reading begins: at what was written that long ago.
	From time.Duration
}

// StreamMessage is a message of a stream.
type StreamMessage struct {
	// Offset is its place in the stream, from 0.
	Offset  int64
	ID      string
	Type    string
	Headers map[string]any
	Body    []byte
	// Timestamp is when it was written, by its writer's clock, in whole seconds.
	Timestamp time.Time
}

// StreamHandler is told what a StreamReader reads, on one goroutine. What blocks
// it blocks the reading.
type StreamHandler interface {
	// Subscribed says that reading begins, for the first time or again.
	Subscribed()
	// Read is called for each message, in the order of the stream. What was read
	// before can come again, after the stream was replaced by another.
	Read(m StreamMessage)
	// Lost says that reading ended, and will begin again unless the reader stops.
	Lost()
}

// StreamReader reads a stream and goes on where it was after any loss.
type StreamReader struct {
	conn      *Connection
	cfg       StreamConfig
	ackWithin time.Duration
	logger    *slog.Logger
	metrics   *streamMetrics

	// last is the message that was read last; nil where reading begins at
	// StreamConfig.From ago. Run alone uses it.
	last *StreamMessage
	// again asks Run to start over.
	again chan struct{}
}

// The reasons for which reading starts over.
var (
	errStartOver = errors.New("asked to start over")
	errReplaced  = errors.New("the stream is not the one that was read before")
)

// NewStreamReader returns a reader that reads while Run runs.
func NewStreamReader(conn *Connection, cfg StreamConfig, reg prometheus.Registerer, logger *slog.Logger) (*StreamReader, error) {
	if cfg.Stream == "" || cfg.From <= 0 {
		return nil, fmt.Errorf("stream %q from %s ago cannot be read; needed: a name and a time", cfg.Stream, cfg.From)
	}
	return &StreamReader{
		conn:      conn,
		cfg:       cfg,
		ackWithin: streamAckWithin,
		logger:    service.OrDiscard(logger).With("component", "stream", "queue", cfg.Stream),
		metrics:   newStreamMetrics(reg, cfg.Stream),
		again:     make(chan struct{}, 1),
	}, nil
}

// StartOver makes the reader begin again at StreamConfig.From ago. It is for a
// caller that knows of a message that does not come: a broker holds back
// everything before the next offset, and where the stream was replaced while
// the reader was away, that is everything. It does not block.
func (r *StreamReader) StartOver() {
	select {
	case r.again <- struct{}{}:
	default: // asked for already
	}
}

// Run reads until ctx ends. It runs once.
func (r *StreamReader) Run(ctx context.Context, h StreamHandler) error {
	pause := backoff{low: r.conn.cfg.BackoffMin, high: r.conn.cfg.BackoffMax}
	for ctx.Err() == nil {
		session, err := r.conn.session(ctx)
		if err != nil {
			return nil //nolint:nilerr // It fails only when ctx ends, which was asked for.
		}
		sub, err := r.subscribe(ctx, session)
		if err == nil {
			pause.reset()
			err = r.read(ctx, sub, h)
		}
		if session.isClosed() || ctx.Err() != nil {
			continue
		}
		r.metrics.losses.Inc()
		r.logger.Warn("not reading, trying again", "err", err)
		r.conn.Redeclare() // the stream may be gone
		pause.wait(ctx)
	}
	return nil
}

// reading is one consumer on a channel of its own.
type reading struct {
	session  *session
	ch       *amqp.Channel
	messages <-chan amqp.Delivery
}

func (r *StreamReader) subscribe(ctx context.Context, s *session) (*reading, error) {
	ctx, cancel := context.WithTimeout(ctx, r.conn.cfg.DialTimeout)
	defer cancel()
	sub := &reading{session: s}
	var from any = time.Now().Add(-r.cfg.From)
	if r.last != nil {
		from = r.last.Offset // once more, to see whether it is still there
	}
	err := s.call(ctx, func() (err error) {
		if sub.ch, err = s.conn.Channel(); err != nil {
			return err
		}
		if err = sub.ch.Qos(streamPrefetch, 0, false); err != nil {
			return err
		}
		sub.messages, err = sub.ch.Consume(r.cfg.Stream, r.cfg.ConsumerTag, false, false, false, false,
			amqp.Table{headerStreamOffset: from})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", r.cfg.Stream, err)
	}
	return sub, nil
}

// read hands messages over until ctx ends or the consumer does.
func (r *StreamReader) read(ctx context.Context, sub *reading, h StreamHandler) error {
	r.metrics.reading.Set(1)
	h.Subscribed()
	defer func() {
		r.metrics.reading.Set(0)
		h.Lost()
		sub.close(ctx, r.conn.cfg.DialTimeout)
	}()
	tick := time.NewTicker(r.ackWithin)
	defer tick.Stop()
	var last amqp.Delivery
	for unacked := 0; ; {
		var enough bool
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.again:
			r.last = nil
			return errStartOver
		case <-tick.C:
			enough = unacked > 0
		case d, ok := <-sub.messages:
			if !ok {
				return r.ended(sub)
			}
			if err := r.take(&d, h); err != nil {
				return err
			}
			unacked++
			last, enough = d, unacked == streamAckEvery
		}
		if enough {
			unacked = 0
			if err := last.Ack(true); err != nil {
				return fmt.Errorf("ask for more: %w", err)
			}
		}
	}
}

// take hands a message over, unless it is the one that was read last. Another
// one in the place of that was written into another stream, or after the broker
// had lost the end of this one.
func (r *StreamReader) take(d *amqp.Delivery, h StreamHandler) error {
	offset, _ := d.Headers[headerStreamOffset].(int64)
	m := StreamMessage{
		Offset: offset, ID: d.MessageId, Type: d.Type, Headers: d.Headers, Body: d.Body, Timestamp: d.Timestamp,
	}
	if r.last != nil && m.Offset <= r.last.Offset {
		if m.Offset < r.last.Offset || m.ID == r.last.ID && m.Type == r.last.Type && m.Timestamp.Equal(r.last.Timestamp) {
			return nil
		}
		r.last = nil
		return errReplaced
	}
	h.Read(m)
	r.last = &StreamMessage{Offset: m.Offset, ID: m.ID, Type: m.Type, Timestamp: m.Timestamp}
	r.metrics.messages.Inc()
	return nil
}

// ended says why no more messages come. A consumer that is cancelled on an open
// channel has lost its stream: the next one of that name may be another.
func (r *StreamReader) ended(sub *reading) error {
	if sub.ch.IsClosed() {
		return amqp.ErrClosed
	}
	r.last = nil
	return errors.New("the consumer was cancelled")
}

func (s *reading) close(ctx context.Context, timeout time.Duration) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	_ = s.session.call(ctx, s.ch.Close) // an error only says that it was closed already
}
