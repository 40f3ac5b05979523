package lab

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sync/errgroup"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/worker/internal/executor"
)

// consumeRun is one case.
type consumeRun struct {
	consumeLoad
	window   time.Duration
	messages int // of the backlog
}

// consumed is what a case has measured.
type consumed struct {
	rate, arrived float64 // a second
	left          int
	write         time.Duration // the mean
}

// consumerParts are the queues, connections and counters of a case.
type consumerParts struct {
	source, store   string
	arrivals, write *rabbitmq.Publisher
	consume         *rabbitmq.Connection
	delay           time.Duration
	stops           []func() error

	arrived, stored, writeNanos atomic.Int64
	fail                        context.CancelCauseFunc // ends the case
}

// build connects. What it has built by the time it fails, close takes down.
func (p *consumerParts) build(ctx context.Context, e *Env, metrics prometheus.Registerer) (err error) {
	if p.source, err = e.Broker.Queue(ctx, "arrivals"); err != nil {
		return err
	}
	if p.store, err = e.Broker.Queue(ctx, "store"); err != nil {
		return err
	}
	patient := rabbitmq.PublisherConfig{AcquireWait: 5 * time.Second, MaxInFlight: 2048}
	for name, publisher := range map[string]**rabbitmq.Publisher{"lab-arrivals": &p.arrivals, "lab-write": &p.write} {
		var stop func() error
		if *publisher, stop, err = e.Broker.Publisher(ctx, name, patient, metrics); err != nil {
			return err
		}
		p.stops = append(p.stops, stop)
	}
	var stop func() error
	if p.consume, stop, err = e.Broker.Connect(ctx, "lab-consume"); err == nil {
		p.stops = append(p.stops, stop)
	}
	return err
}

func (p *consumerParts) close(ctx context.Context, e *Env) error {
	var errs []error
	for _, stop := range p.stops {
		errs = append(errs, stop())
	}
	return errors.Join(append(errs, e.Broker.Delete(ctx, p.source, p.store))...)
}

// storeOne is the write: it returns when the message is stored.
func (p *consumerParts) storeOne(ctx context.Context) error {
	began := time.Now()
	if err := pause(ctx, p.delay); err != nil {
		return err
	}
	if err := p.write.Publish(ctx, labMessage(p.store, "row")); err != nil {
		return err
	}
	p.writeNanos.Add(int64(time.Since(began)))
	return nil
}

// writeAlone is the mean time of a write while nothing else happens.
func (r consumeRun) writeAlone(ctx context.Context, e *Env) (mean time.Duration, err error) {
	p := &consumerParts{delay: r.delay}
	defer func() { err = errors.Join(err, p.close(ctx, e)) }()
	if err := p.build(ctx, e, e.MetricsOf("one write alone")); err != nil {
		return 0, err
	}
	writes := 0
	for began := time.Now(); time.Since(began) < r.window/8; writes++ {
		if err := p.storeOne(ctx); err != nil {
			return 0, err
		}
	}
	return time.Duration(p.writeNanos.Load() / int64(writes)), nil
}

// measure runs the consumer under a model for as long as the window is.
func (r consumeRun) measure(ctx context.Context, e *Env, model executor.Config) (m consumed, err error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	p := &consumerParts{delay: r.delay, fail: fail}
	defer func() { err = errors.Join(err, p.close(ctx, e)) }()
	if err := p.build(ctx, e, e.Metrics); err != nil {
		return m, err
	}
	if r.backlog {
		if err := p.fill(ctx, r.messages); err != nil {
			return m, err
		}
	}
	exec, err := e.newExecutor("", model)
	if err != nil {
		return m, err
	}
	prefetch := model.Parallelism() + model.Parallelism()/10 + 1
	subscription, err := rabbitmq.NewSubscription(p.consume, rabbitmq.SubscriptionConfig{Queue: p.source, Prefetch: prefetch, ConsumerTag: "lab"}, e.Metrics, e.Logger)
	if err != nil {
		return m, err
	}
	running, stop := context.WithCancel(ctx)
	var parts sync.WaitGroup
	parts.Go(func() {
		_ = subscription.Run(running, func(_ context.Context, d amqp.Delivery) {
			_ = exec.Submit(running, executor.Task{Run: func() { p.handle(ctx, d) }}) // fails when the case ends
		})
	})
	if !r.backlog {
		parts.Go(func() { p.arrive(running) })
	}
	m, err = r.count(ctx, p)
	stop()
	parts.Wait()
	exec.Drain(context.WithoutCancel(ctx))
	return m, err
}

// handle is the work of the consumer: store, then ack.
func (p *consumerParts) handle(ctx context.Context, d amqp.Delivery) {
	if err := p.storeOne(ctx); err != nil {
		p.fail(fmt.Errorf("store: %w", err))
		return
	}
	p.stored.Add(1)
	if err := d.Ack(false); err != nil {
		p.fail(fmt.Errorf("ack: %w", err))
	}
}

// count lets the case run and counts what is stored within the window, or until
// the backlog is gone.
func (r consumeRun) count(ctx context.Context, p *consumerParts) (m consumed, err error) {
	for began := time.Now(); p.stored.Load() == 0 || (!r.backlog && time.Since(began) < consumeWarmUp); {
		if err := pause(ctx, time.Millisecond); err != nil {
			return m, err
		}
	}
	began := time.Now()
	stored, arrived, nanos := p.stored.Load(), p.arrived.Load(), p.writeNanos.Load()
	for time.Since(began) < r.window && (!r.backlog || p.stored.Load() < int64(r.messages)) {
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return m, err
		}
	}
	seconds := time.Since(began).Seconds()
	m.left = int(p.arrived.Load() - p.stored.Load())
	done := max(1, p.stored.Load()-stored)
	m.rate, m.arrived = float64(done)/seconds, float64(p.arrived.Load()-arrived)/seconds
	m.write = time.Duration((p.writeNanos.Load() - nanos) / done)
	return m, nil
}

// fill puts the backlog into the queue.
func (p *consumerParts) fill(ctx context.Context, messages int) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(consumeInFlight)
	for range messages {
		g.Go(func() error { return p.arriveOne(ctx) })
	}
	return g.Wait()
}

// arrive publishes at a constant rate until ctx ends. Where the broker cannot
// take so much, less arrives, and is counted as less.
func (p *consumerParts) arrive(ctx context.Context) {
	const atOnce = 1024
	var g errgroup.Group
	g.SetLimit(atOnce)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	began, sent := time.Now(), 0
	for ctx.Err() == nil {
		for ; float64(sent) < consumeRate*time.Since(began).Seconds(); sent++ {
			g.TryGo(func() error {
				if err := p.arriveOne(ctx); err != nil && ctx.Err() == nil {
					p.fail(fmt.Errorf("arrival: %w", err))
				}
				return nil
			})
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	_ = g.Wait() // they report themselves
}

func (p *consumerParts) arriveOne(ctx context.Context) error {
	if err := p.arrivals.Publish(ctx, labMessage(p.source, "row")); err != nil {
		return err
	}
	p.arrived.Add(1)
	return nil
}

// pause waits for a while, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
