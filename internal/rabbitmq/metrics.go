package rabbitmq

import (
	"errors"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/twinlane/twinlane/internal/service"
	"github.com/twinlane/twinlane/internal/task"
)

// connectionMetrics are told apart by the label connection.
type connectionMetrics struct {
	up, blocked                        prometheus.Gauge
	connects, failures, blockedSeconds prometheus.Counter
	drift                              *prometheus.GaugeVec
}

func newConnectionMetrics(reg prometheus.Registerer, name string) *connectionMetrics {
	f := promauto.With(withLabel(reg, "connection", name))
	return &connectionMetrics{
		up: f.NewGauge(prometheus.GaugeOpts{
			Name: "amqp_connection_up", Help: "Whether the connection to the broker is up.",
		}),
		blocked: f.NewGauge(prometheus.GaugeOpts{
			Name: "amqp_connection_blocked", Help: "Whether the broker takes no publishes on the connection, because of an alarm.",
		}),
		blockedSeconds: f.NewCounter(prometheus.CounterOpts{
			Name: "amqp_connection_blocked_seconds_total", Help: "Time for which the broker took no publishes, counted when it ends.",
		}),
		connects: f.NewCounter(prometheus.CounterOpts{
			Name: "amqp_connects_total", Help: "Connections established; each beyond the first is a reconnection.",
		}),
		failures: f.NewCounter(prometheus.CounterOpts{
			Name: "amqp_connection_failures_total", Help: "Failed dials and lost connections.",
		}),
		drift: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "amqp_topology_drift", Help: "Queues and exchanges that exist with other arguments or may not be declared by this user: 1 each.",
		}, []string{"name"}),
	}
}

// withLabel adds a label to everything that is registered; nil stays nil.
func withLabel(reg prometheus.Registerer, name, value string) prometheus.Registerer {
	if reg == nil {
		return nil
	}
	return prometheus.WrapRegistererWith(prometheus.Labels{name: value}, reg)
}

// publisherMetrics are told apart by the label publisher.
type publisherMetrics struct {
	outcomes    *prometheus.CounterVec
	confirm     prometheus.Histogram
	acquire     prometheus.Histogram
	inFlight    prometheus.Gauge
	channels    prometheus.Gauge
	republished prometheus.Counter
	evictions   prometheus.Counter
}

// The values of the label outcome.
const (
	outcomeAccepted   = "accepted"
	outcomeInvalid    = "invalid"
	outcomeUnknown    = "unknown"
	outcomeUnroutable = "unroutable"
	outcomeNacked     = "nacked"
	outcomeBlocked    = "blocked"
	outcomeSaturated  = "saturated"
	outcomeDown       = "unavailable"
)

func newPublisherMetrics(reg prometheus.Registerer, name string, cfg PublisherConfig) *publisherMetrics {
	f := promauto.With(withLabel(reg, "publisher", name))
	histogram := func(name, help string) prometheus.Histogram {
		return f.NewHistogram(service.DurationHistogram(name, help))
	}
	f.NewGaugeVec(prometheus.GaugeOpts{
		Name: "publisher_info", Help: "How the publisher works; always 1.",
	}, []string{"strategy", "connections", "channels"}).
		WithLabelValues(string(cfg.Strategy), strconv.Itoa(cfg.Connections), strconv.Itoa(cfg.Channels)).Set(1)
	m := &publisherMetrics{
		outcomes: f.NewCounterVec(prometheus.CounterOpts{
			Name: "publisher_publishes_total", Help: "Publishes by outcome.",
		}, []string{"outcome"}),
		confirm: histogram("publisher_confirm_duration_seconds", "Time from a publish to its confirm, for accepted messages."),
		acquire: histogram("publisher_acquire_wait_seconds", "Time that a publish waited for its turn."),
		inFlight: f.NewGauge(prometheus.GaugeOpts{
			Name: "publisher_in_flight", Help: "Publishes that wait for their confirm.",
		}),
		channels: f.NewGauge(prometheus.GaugeOpts{
			Name: "publisher_channels_open", Help: "Channels that are open for publishing.",
		}),
		republished: f.NewCounter(prometheus.CounterOpts{
			Name: "publisher_republished_total", Help: "Messages published a second time, because the outcome of the first was unknown.",
		}),
		evictions: f.NewCounter(prometheus.CounterOpts{
			Name: "publisher_evictions_total", Help: "Connections closed because confirms stayed away on them.",
		}),
	}
	for _, o := range []string{
		outcomeAccepted, outcomeInvalid, outcomeUnknown, outcomeUnroutable,
		outcomeNacked, outcomeBlocked, outcomeSaturated, outcomeDown,
	} {
		m.outcomes.WithLabelValues(o)
	}
	return m
}

// outcomeOf classifies what Publish returns. An unknown outcome is looked for
// first, because it can wrap the reason why a second attempt failed.
func outcomeOf(err error) string {
	_, invalid := errors.AsType[*task.FieldError](err)
	switch {
	case err == nil:
		return outcomeAccepted
	case errors.Is(err, ErrOutcomeUnknown):
		return outcomeUnknown
	case invalid:
		return outcomeInvalid
	case errors.Is(err, ErrUnroutable):
		return outcomeUnroutable
	case errors.Is(err, ErrNacked):
		return outcomeNacked
	case errors.Is(err, ErrBlocked):
		return outcomeBlocked
	case errors.Is(err, ErrSaturated):
		return outcomeSaturated
	default:
		return outcomeDown
	}
}

type subscriptionMetrics struct {
	channels, unsettled prometheus.Gauge
	losses              prometheus.Counter
}

func newSubscriptionMetrics(reg prometheus.Registerer, queue string) *subscriptionMetrics {
	f := promauto.With(withLabel(reg, "queue", queue))
	return &subscriptionMetrics{
		channels: f.NewGauge(prometheus.GaugeOpts{
			Name: "subscription_channels_open", Help: "Channels that consume from the queue.",
		}),
		unsettled: f.NewGauge(prometheus.GaugeOpts{
			Name: "subscription_unsettled_deliveries", Help: "Deliveries handed over and not settled yet.",
		}),
		losses: f.NewCounter(prometheus.CounterOpts{
			Name: "subscription_losses_total", Help: "Consumers ended by the broker or by a lost connection.",
		}),
	}
}

type streamMetrics struct {
	reading          prometheus.Gauge
	messages, losses prometheus.Counter
}

func newStreamMetrics(reg prometheus.Registerer, stream string) *streamMetrics {
	f := promauto.With(withLabel(reg, "queue", stream))
	return &streamMetrics{
		reading: f.NewGauge(prometheus.GaugeOpts{
			Name: "stream_reading", Help: "1 while the stream is being read.",
		}),
		messages: f.NewCounter(prometheus.CounterOpts{
			Name: "stream_messages_total", Help: "Messages read from the stream.",
		}),
		losses: f.NewCounter(prometheus.CounterOpts{
			Name: "stream_losses_total", Help: "Times that the reading of the stream ended on an open connection.",
		}),
	}
}
