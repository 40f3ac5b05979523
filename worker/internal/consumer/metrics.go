package consumer

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/task"
)

// settlement is how a delivery was answered, as a label.
type settlement string

const (
	settlementCompleted settlement = "completed" // acked, the task is done
	settlementRetried   settlement = "retried"   // acked, the task waits in a retry step
	settlementDead      settlement = "dead"      // acked, the task is in the DLQ
	settlementRequeued  settlement = "requeued"  // nacked, the broker delivers it again
)

// holdCause is why a delivery is held back, as a label.
type holdCause string

const (
	causeSuspect     holdCause = "suspect"     // it may have crashed workers
	causeUnconfirmed holdCause = "unconfirmed" // its settlement is not confirmed yet
)

// metrics have their labels resolved, as most are touched by every delivery.
type metrics struct {
	first, again prometheus.Counter
	settlements  map[settlement]prometheus.Counter
	retries      map[string]prometheus.Counter // by queue
	dead         map[task.Reason]prometheus.Counter
	held         map[holdCause]prometheus.Gauge
	unconfirmed  prometheus.Counter
	ackErrors    prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	deliveries := f.NewCounterVec(prometheus.CounterOpts{
		Name: "deliveries_total",
		Help: "Deliveries taken, by whether the broker had delivered the message before.",
	}, []string{"redelivered"})
	settlements := f.NewCounterVec(prometheus.CounterOpts{
		Name: "settlements_total",
		Help: "Deliveries answered to the broker, by what became of the task.",
	}, []string{"settlement"})
	retries := f.NewCounterVec(prometheus.CounterOpts{
		Name: "retries_total",
		Help: "Tasks published to a retry step, by its queue.",
	}, []string{"queue"})
	dead := f.NewCounterVec(prometheus.CounterOpts{
		Name: "dead_total",
		Help: "Tasks published to the dead-letter exchange, by reason.",
	}, []string{"reason"})
	held := f.NewGaugeVec(prometheus.GaugeOpts{
		Name: "deliveries_held",
		Help: "Deliveries held for a while: suspect ones may have crashed workers, unconfirmed ones are done and the broker has not confirmed the message that settles them.",
	}, []string{"cause"})
	m := &metrics{
		first:       deliveries.WithLabelValues("false"),
		again:       deliveries.WithLabelValues("true"),
		settlements: make(map[settlement]prometheus.Counter),
		retries:     make(map[string]prometheus.Counter),
		dead:        make(map[task.Reason]prometheus.Counter),
		held:        make(map[holdCause]prometheus.Gauge),
		unconfirmed: f.NewCounter(prometheus.CounterOpts{
			Name: "unconfirmed_settlements_total",
			Help: "Publishes to a retry step or the DLQ that the broker did not confirm; each is repeated while the delivery is held.",
		}),
		ackErrors: f.NewCounter(prometheus.CounterOpts{
			Name: "ack_errors_total",
			Help: "Answers to the broker that failed because the channel was gone; the broker delivers the message again.",
		}),
	}
	for _, s := range []settlement{settlementCompleted, settlementRetried, settlementDead, settlementRequeued} {
		m.settlements[s] = settlements.WithLabelValues(string(s))
	}
	for _, step := range rabbitmq.RetrySteps() {
		m.retries[step.Queue] = retries.WithLabelValues(step.Queue)
	}
	for _, reason := range task.Reasons() {
		if reason != task.ReasonDeliveryLimit { // the broker's own, which no worker sees
			m.dead[reason] = dead.WithLabelValues(string(reason))
		}
	}
	for _, c := range []holdCause{causeSuspect, causeUnconfirmed} {
		m.held[c] = held.WithLabelValues(string(c))
	}
	return m
}

func (m *metrics) delivered(redelivered bool) {
	if redelivered {
		m.again.Inc()
	} else {
		m.first.Inc()
	}
}
