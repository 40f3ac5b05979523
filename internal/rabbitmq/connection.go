package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/twinlane/twinlane/internal/service"
)

// Connection keeps one AMQP connection to one of several brokers: while Run
// runs it dials, declares the topology, and dials again after every loss, for
// ever, with a jittered exponential pause.
type Connection struct {
	cfg      ConnectionConfig
	topology Topology
	logger   *slog.Logger
	metrics  *connectionMetrics
	usable   func() // called when the connection is up, and when it is no longer blocked; nil where nobody asked

	// redeclare asks Run to declare the topology again.
	redeclare chan struct{}
	// drift is what differed at the last declaration, and away what was not
	// available, by name. Run alone uses them.
	drift, away map[string]string

	mu      sync.Mutex
	current *session      // nil while down
	changed chan struct{} // closed, and replaced, when current changes
}

// NewConnection returns a connection that is down until Run runs.
func NewConnection(cfg ConnectionConfig, topology Topology, reg prometheus.Registerer, logger *slog.Logger) (*Connection, error) {
	if len(cfg.URLs) == 0 {
		return nil, errors.New("no broker address given")
	}
	for _, url := range cfg.URLs {
		if _, err := ParseURLs(url); err != nil {
			return nil, err
		}
	}
	return &Connection{
		cfg:       cfg.withDefaults(),
		topology:  topology,
		logger:    service.OrDiscard(logger).With("component", "rabbitmq", "connection", cfg.Name),
		metrics:   newConnectionMetrics(reg, cfg.Name),
		redeclare: make(chan struct{}, 1),
		changed:   make(chan struct{}),
	}, nil
}

// Run keeps the connection until ctx ends, and closes it then.
func (c *Connection) Run(ctx context.Context) error {
	pause := backoff{low: c.cfg.BackoffMin, high: c.cfg.BackoffMax}
	for n := 0; ctx.Err() == nil; n++ {
		url := c.cfg.URLs[n%len(c.cfg.URLs)]
		began := time.Now()
		if err := c.keep(ctx, url); err != nil && ctx.Err() == nil {
			c.metrics.failures.Inc()
			c.logger.Warn("connection failed, dialing again", "broker", hostOf(url), "err", err)
		}
		if time.Since(began) >= c.cfg.BackoffMax {
			pause.reset()
		}
		pause.wait(ctx)
	}
	return nil
}

// keep connects once and returns when that connection is lost or ctx ends.
func (c *Connection) keep(ctx context.Context, url string) error {
	s, err := dial(ctx, url, c.cfg, c.onBlocked)
	if err != nil {
		return err
	}
	defer s.close(ctx, c.cfg.DialTimeout)
	if err := c.declare(ctx, s); err != nil {
		return err
	}
	c.set(s)
	defer c.set(nil)
	c.metrics.connects.Inc()
	c.logger.Info("connected", "broker", hostOf(url))
	c.tellUsable()
	asked := c.redeclare
	var due, pauseOver <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.closed:
			return fmt.Errorf("connection lost: %w", s.err)
		case <-asked:
			asked, due = nil, time.After(redeclareDelay)
		case <-due:
			if err := c.declare(ctx, s); err != nil {
				return err
			}
			if len(c.away) == 0 {
				c.logger.Info("topology declared again")
			}
			due, pauseOver = nil, time.After(redeclarePause)
		case <-pauseOver:
			asked, pauseOver = c.redeclare, nil
		}
	}
}

const (
	// redeclareDelay is the time between the request for a declaration and the
	// declaration: RabbitMQ 3.10 forgets to tell the consumers of a queue that it
	// was deleted when there is one of that name again a few milliseconds later.
	redeclareDelay = 500 * time.Millisecond
	// redeclarePause is the least time between two declarations that were asked for.
	redeclarePause = time.Second
)

func (c *Connection) declare(ctx context.Context, s *session) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.DialTimeout)
	defer cancel()
	drift, away := make(map[string]string), make(map[string]string)
	err := c.topology.declare(ctx, s, func(name string, refused *amqp.Error) {
		if refused.Code == amqp.NotFound {
			away[name] = refused.Reason
			if c.away[name] != refused.Reason {
				c.logger.Warn("not available yet, will be declared again", "name", name, "err", refused.Reason)
			}
			c.Redeclare()
			return
		}
		drift[name] = refused.Reason
		if c.drift[name] != refused.Reason {
			c.logger.Error("cannot be declared as it should be, used as it is", "name", name, "difference", refused.Reason)
		}
	})
	if err != nil {
		return err
	}
	c.drift, c.away = drift, away
	for _, name := range c.topology.names() {
		differs := 0.0
		if drift[name] != "" {
			differs = 1
		}
		c.metrics.drift.WithLabelValues(name).Set(differs)
	}
	return nil
}

// Redeclare asks for the topology to be declared again, because a part of it
// was found missing. It does not block.
func (c *Connection) Redeclare() {
	select {
	case c.redeclare <- struct{}{}:
	default: // asked for already
	}
}

func (c *Connection) onBlocked(blocked bool, reason string, lasted time.Duration) {
	if blocked {
		c.metrics.blocked.Set(1)
		c.logger.Warn("blocked by the broker", "reason", reason)
		return
	}
	c.metrics.blocked.Set(0)
	c.metrics.blockedSeconds.Add(lasted.Seconds())
	c.logger.Info("no longer blocked", "seconds", lasted.Seconds())
	c.tellUsable()
}

func (c *Connection) tellUsable() {
	if c.usable != nil {
		c.usable()
	}
}

func (c *Connection) set(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current = s
	close(c.changed)
	c.changed = make(chan struct{})
	up := 0.0
	if s != nil {
		up = 1
	}
	c.metrics.up.Set(up)
}

// session waits until the connection is up.
func (c *Connection) session(ctx context.Context) (*session, error) {
	for {
		c.mu.Lock()
		s, changed := c.current, c.changed
		c.mu.Unlock()
		if s != nil && !s.isClosed() {
			return s, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
		}
	}
}

// Ready returns nil, ErrUnavailable while the connection is down, or
// ErrBlocked while the broker takes no publishes on it.
func (c *Connection) Ready() error {
	c.mu.Lock()
	s := c.current
	c.mu.Unlock()
	switch {
	case s == nil || s.isClosed():
		return ErrUnavailable
	case s.isBlocked():
		return ErrBlocked
	default:
		return nil
	}
}

// BrokerVersion is what the broker says of itself, or nothing while the
// connection is down.
func (c *Connection) BrokerVersion() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current == nil {
		return ""
	}
	version, _ := c.current.conn.Properties["version"].(string)
	return version
}

// Channel waits until the connection is up and opens a channel of its own for
// the caller, who closes it.
func (c *Connection) Channel(ctx context.Context) (*amqp.Channel, error) {
	s, err := c.session(ctx)
	if err != nil {
		return nil, err
	}
	var ch *amqp.Channel
	ctx, cancel := context.WithTimeout(ctx, c.cfg.DialTimeout)
	defer cancel()
	err = s.call(ctx, func() (err error) {
		ch, err = s.conn.Channel()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open channel: %w", err)
	}
	return ch, nil
}
