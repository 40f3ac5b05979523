package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/twinlane/twinlane/internal/service"
)

// republishWait bounds how long a publish whose outcome is unknown waits for a
// channel to be published on again.
const republishWait = time.Second

// Publisher publishes messages with confirms, from any number of goroutines,
// on connections and channels of its own.
type Publisher struct {
	cfg     PublisherConfig
	conns   []*Connection
	pool    pool // nil with StrategyPerRequest
	logger  *slog.Logger
	metrics *publisherMetrics

	deadline sharedDeadline // of a publish, once it is admitted
	// admitted holds a place for each publish in flight.
	admitted chan struct{}
	stopping atomic.Bool
	recovery service.Signal
	open     atomic.Int64  // channels in the pool
	next     atomic.Uint64 // round robin of StrategyPerRequest
}

// NewPublisher returns a publisher that refuses everything until Run runs. Its
// connections declare topology, and have, like its metrics, the name of conn.
func NewPublisher(cfg PublisherConfig, conn ConnectionConfig, topology Topology, reg prometheus.Registerer, logger *slog.Logger) (*Publisher, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	p := &Publisher{
		cfg:      cfg,
		logger:   service.OrDiscard(logger).With("component", "publisher"),
		metrics:  newPublisherMetrics(reg, conn.Name, cfg),
		deadline: sharedDeadline{timeout: cfg.ConfirmTimeout},
		admitted: make(chan struct{}, cfg.MaxInFlight),
	}
	for i := range cfg.Connections {
		own := conn
		if cfg.Connections > 1 {
			own.Name = fmt.Sprintf("%s-%d", conn.Name, i+1)
		}
		c, err := NewConnection(own, topology, reg, logger)
		if err != nil {
			return nil, err
		}
		c.usable = p.recovered
		p.conns = append(p.conns, c)
	}
	switch cfg.Strategy {
	case StrategyPerRequest:
	case StrategyExclusive:
		p.pool = newExclusivePool(cfg.Connections * cfg.Channels)
	case StrategyPooled, StrategyShared:
		p.pool = newPipelinedPool()
	}
	return p, nil
}

// Run keeps the connections and channels until ctx ends. Then it refuses new
// publishes, waits for the confirms in flight and closes.
func (p *Publisher) Run(ctx context.Context) error {
	own, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var g errgroup.Group
	for _, c := range p.conns {
		g.Go(func() error { return c.Run(own) })
		if p.pool == nil {
			continue
		}
		for range p.cfg.Channels {
			g.Go(func() error { return p.keepChannel(own, c) })
		}
	}
	<-ctx.Done()
	p.stopping.Store(true)
	p.drain()
	stop()
	return g.Wait()
}

// drain waits for the publishes in flight, for as long as one can take.
func (p *Publisher) drain() {
	late := time.NewTimer(2 * p.cfg.ConfirmTimeout)
	defer late.Stop()
	for range cap(p.admitted) {
		select {
		case p.admitted <- struct{}{}:
		case <-late.C:
			p.logger.Error("publishes still in flight are given up")
			return
		}
	}
}

// keepChannel owns one place in the pool: it opens a channel, and the next one
// whenever that is lost. Because no other goroutine opens channels, a failure
// to open one cannot cost the pool its place.
func (p *Publisher) keepChannel(ctx context.Context, c *Connection) error {
	pause := backoff{low: c.cfg.BackoffMin, high: c.cfg.BackoffMax}
	for ctx.Err() == nil {
		s, err := c.session(ctx)
		if err != nil {
			return nil //nolint:nilerr // It fails only when ctx ends, which was asked for.
		}
		ch, err := p.openChannel(ctx, c, s)
		if err != nil {
			p.logger.Warn("no channel for publishing", "err", err)
			pause.wait(ctx)
			continue
		}
		pause.reset()
		p.pool.add(ch)
		p.open.Add(1)
		p.metrics.channels.Inc()
		p.recovered()
		select {
		case reason := <-ch.lost:
			if reason != nil && !s.isClosed() {
				p.logger.Warn("channel closed by the broker", "reason", reason.Reason)
				c.Redeclare() // it closes a channel over an exchange that is gone
				pause.wait(ctx)
			}
		case <-s.closed:
		case <-ctx.Done():
		}
		p.pool.remove(ch)
		p.open.Add(-1)
		p.metrics.channels.Dec()
	}
	return nil
}

func (p *Publisher) openChannel(ctx context.Context, c *Connection, s *session) (*confirmChannel, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.DialTimeout)
	defer cancel()
	shared := p.cfg.MaxInFlight
	if p.cfg.Strategy == StrategyExclusive || p.cfg.Strategy == StrategyPerRequest {
		shared = 1
	}
	return openConfirmChannel(ctx, s, shared, 2*p.cfg.ConfirmTimeout, func() {
		p.metrics.evictions.Inc()
		p.logger.Warn("confirms stay away, connection closed")
	})
}

// Publish returns nil when the broker has confirmed m and has not returned it:
// every replica that has to has it on disk. It returns one of the errors of
// this package, or a *task.FieldError for a message that must not be sent.
//
// It fails at once when the broker is down or blocks, waits AcquireWait at most
// for its turn, and ConfirmTimeout at most for the confirm. A message of
// unknown outcome is published a second time, with the same id, if time
// allows. What has been sent is waited for even when ctx ends: the caller went
// away, the message did not.
func (p *Publisher) Publish(ctx context.Context, m Message) error {
	span := p.startSpan(ctx, &m)
	err := p.publish(ctx, &m)
	outcome := outcomeOf(err)
	p.metrics.outcomes.WithLabelValues(outcome).Inc()
	endSpan(span, outcome, err)
	if err != nil {
		return fmt.Errorf("publish message %s: %w", m.ID, err)
	}
	return nil
}

func (p *Publisher) publish(ctx context.Context, m *Message) error {
	if err := m.validate(); err != nil {
		return err
	}
	if err := p.connected(); err != nil {
		return err
	}
	asked := time.Now()
	if err := p.admit(ctx); err != nil {
		return err
	}
	defer p.leave()
	ctx = p.deadline.context()
	first := p.send(ctx, m, asked, p.cfg.AcquireWait) //nolint:contextcheck // The message outlives its caller.
	if !errors.Is(first, ErrOutcomeUnknown) || errors.Is(first, ErrBlocked) || ctx.Err() != nil {
		return first
	}
	p.metrics.republished.Inc()
	second := p.send(ctx, m, time.Now(), republishWait) //nolint:contextcheck // As the first.
	if second == nil || errors.Is(second, ErrOutcomeUnknown) {
		return second
	}
	// That the second was refused says nothing about the first.
	return fmt.Errorf("%w; published again: %w", first, second)
}

// admit takes a place among the publishes in flight.
func (p *Publisher) admit(ctx context.Context) error {
	select {
	case p.admitted <- struct{}{}:
	default:
		turn := time.NewTimer(p.cfg.AcquireWait)
		defer turn.Stop()
		select {
		case p.admitted <- struct{}{}:
		case <-turn.C:
			return ErrSaturated
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrSaturated, context.Cause(ctx))
		}
	}
	p.metrics.inFlight.Inc()
	return nil
}

func (p *Publisher) leave() {
	p.metrics.inFlight.Dec()
	<-p.admitted
}

// send publishes m once, on the first channel that is to be had within wait.
// The wait for a turn is measured from asked on, so that it counts once, the
// place among those in flight included.
func (p *Publisher) send(ctx context.Context, m *Message, asked time.Time, wait time.Duration) error {
	began := time.Now()
	if p.pool == nil {
		p.metrics.acquire.Observe(began.Sub(asked).Seconds())
		return p.sendOnOwnConnection(ctx, m, began)
	}
	ch := p.pool.tryAcquire()
	if ch == nil {
		var err error
		if ch, err = p.waitForChannel(ctx, wait); err != nil {
			return err
		}
	}
	defer p.pool.release(ch)
	p.metrics.acquire.Observe(time.Since(asked).Seconds())
	return p.confirmed(ch.publish(ctx, m), began)
}

func (p *Publisher) waitForChannel(ctx context.Context, wait time.Duration) (*confirmChannel, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	ch, err := p.pool.acquire(ctx)
	if down := p.Ready(); err != nil && down != nil {
		return nil, down
	}
	return ch, err
}

// sendOnOwnConnection is StrategyPerRequest: a connection for one message.
func (p *Publisher) sendOnOwnConnection(ctx context.Context, m *Message, began time.Time) error {
	c := p.conns[p.next.Add(1)%uint64(len(p.conns))]
	url := c.cfg.URLs[p.next.Load()%uint64(len(c.cfg.URLs))]
	s, err := dial(ctx, url, c.cfg, c.onBlocked)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	defer s.close(ctx, c.cfg.DialTimeout)
	ch, err := p.openChannel(ctx, c, s)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return p.confirmed(ch.publish(ctx, m), began)
}

// confirmed notes what became of a publish and asks for what was found missing.
func (p *Publisher) confirmed(err error, began time.Time) error {
	if err == nil {
		p.metrics.confirm.Observe(time.Since(began).Seconds())
	}
	if errors.Is(err, ErrUnroutable) {
		for _, c := range p.conns {
			c.Redeclare()
		}
	}
	return err
}
