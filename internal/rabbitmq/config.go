package rabbitmq

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.opentelemetry.io/otel/trace"
)

// ConnectionConfig says which brokers to reach, and how patient to be. A zero
// duration takes its default.
type ConnectionConfig struct {
	// URLs are tried in turn.
	URLs []string
	// Name is how RabbitMQ's management and this process's metrics call the connection.
	Name string
	// Heartbeat is the interval of keep-alives; a peer silent for 1.5 of it is
	// taken for dead. Default 10 s.
	Heartbeat time.Duration
	// DialTimeout bounds a handshake, and every RPC. Default 5 s.
	DialTimeout time.Duration
	// WriteTimeout bounds each write to the socket. Default 5 s.
	WriteTimeout time.Duration
	// BackoffMin and BackoffMax bound the pause between two dials. Default 100 ms and 5 s.
	BackoffMin, BackoffMax time.Duration
}

func (c ConnectionConfig) withDefaults() ConnectionConfig {
	setDefault(&c.Heartbeat, 10*time.Second)
	setDefault(&c.DialTimeout, 5*time.Second)
	setDefault(&c.WriteTimeout, 5*time.Second)
	setDefault(&c.BackoffMin, 100*time.Millisecond)
	setDefault(&c.BackoffMax, 5*time.Second)
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// ParseURLs splits a comma-separated list of amqp:// and amqps:// addresses.
// Its errors never show a password.
func ParseURLs(list string) ([]string, error) {
	var urls []string
	for i, part := range strings.Split(list, ",") {
		part = strings.TrimSpace(part)
		if _, err := amqp.ParseURI(part); err != nil {
			return nil, fmt.Errorf("broker address %d is not of the form amqp://user:password@host:port/vhost", i+1)
		}
		urls = append(urls, part)
	}
	return urls, nil
}

// hostOf names the broker of a URL in logs, without its credentials.
func hostOf(url string) string {
	uri, err := amqp.ParseURI(url)
	if err != nil {
		return "invalid address"
	}
	return net.JoinHostPort(uri.Host, strconv.Itoa(uri.Port))
}

// Strategy is a way for concurrent callers to share AMQP channels.
type Strategy string

// The strategies. All but StrategyPooled are there to be compared with it.
const (
	// StrategyPooled shares a bounded set of channels, with many confirms in
	// flight on each.
	StrategyPooled Strategy = "pooled"
	// StrategyExclusive holds a channel for one publish until its confirm.
	StrategyExclusive Strategy = "exclusive"
	// StrategyShared shares one single channel.
	StrategyShared Strategy = "shared"
	// StrategyPerRequest opens a connection for every publish.
	StrategyPerRequest Strategy = "per_request"
)

// Strategies lists every strategy.
func Strategies() []Strategy {
	return []Strategy{StrategyPooled, StrategyExclusive, StrategyShared, StrategyPerRequest}
}

// PublisherConfig bounds a Publisher. A zero field takes its default.
type PublisherConfig struct {
	Strategy Strategy
	// Connections is the number of connections, 1 to 4. Default 1.
	Connections int
	// Channels is the number of channels on each connection, 1 to 64. Default
	// DefaultChannels.
	Channels int
	// MaxInFlight bounds the publishes that wait for their confirm, over all
	// connections. Default 1024.
	MaxInFlight int
	// AcquireWait is how long a caller may wait for its turn. Default 100 ms.
	AcquireWait time.Duration
	// ConfirmTimeout is how long a caller may wait for its confirm, a second
	// attempt included. Default 5 s.
	ConfirmTimeout time.Duration
	// Tracer makes a span for each publish that belongs to a trace. Nil makes none.
	Tracer trace.Tracer
}

// DefaultChannels is how many channels a connection for publishing has.
const DefaultChannels = 4

// The upper bounds of a PublisherConfig; the lower ones are 1.
const (
	MaxConnections = 4
	MaxChannels    = 64
	MaxInFlight    = 65_536
)

func (c PublisherConfig) withDefaults() PublisherConfig {
	setDefault(&c.Strategy, StrategyPooled)
	setDefault(&c.Connections, 1)
	setDefault(&c.Channels, DefaultChannels)
	setDefault(&c.MaxInFlight, 1024)
	setDefault(&c.AcquireWait, 100*time.Millisecond)
	setDefault(&c.ConfirmTimeout, 5*time.Second)
	if c.Strategy == StrategyShared {
		c.Connections, c.Channels = 1, 1
	}
	return c
}

func (c PublisherConfig) validate() error {
	known := false
	for _, s := range Strategies() {
		known = known || s == c.Strategy
	}
	if !known {
		return fmt.Errorf("publish strategy %q is unknown; allowed: %v", c.Strategy, Strategies())
	}
	for _, f := range [...]struct {
		name       string
		value, max int
	}{
		{"connections", c.Connections, MaxConnections},
		{"channels", c.Channels, MaxChannels},
		{"publishes in flight", c.MaxInFlight, MaxInFlight},
	} {
		if f.value < 1 || f.value > f.max {
			return fmt.Errorf("number of %s %d is not allowed; allowed: 1 to %d", f.name, f.value, f.max)
		}
	}
	if c.AcquireWait < 0 || c.ConfirmTimeout <= 0 {
		return fmt.Errorf("acquire wait %s and confirm timeout %s must be positive", c.AcquireWait, c.ConfirmTimeout)
	}
	return nil
}
