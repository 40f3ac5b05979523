package consumer

import (
	"slices"

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
	settlementMoved     settlement = "moved"     // acked, the task is in the queue of the next lane
	settlementReturned  settlement = "returned"  // acked, the task is in its queue anew
	settlementRefused   settlement = "refused"   // acked, the task waits in a retry step as the worker was full
	settlementDiscarded settlement = "discarded" // acked, the task is dropped as the worker was full
	settlementRequeued  settlement = "requeued"  // nacked, the broker delivers it again
)

// settlements lists every settlement.
func settlements() []settlement {
	return []settlement{settlementCompleted, settlementRetried, settlementDead, settlementMoved, settlementReturned, settlementRefused, settlementDiscarded, settlementRequeued}
}

// holdCause is why a delivery is held back, as a label.
type holdCause string

const (
	causeMoving      holdCause = "moving"      // it is on its way to the next lane
	causeSaturated   holdCause = "saturated"   // there was no room for its task, which is being refused or discarded
	causeUnconfirmed holdCause = "unconfirmed" // its settlement is not confirmed yet
)

// metrics have their labels resolved, as most are touched by every delivery.
type metrics struct {
	first, again prometheus.Counter
	settlements  map[settlement]prometheus.Counter
	retries      map[string]prometheus.Counter // by queue
	dead         map[task.Reason]prometheus.Counter
	held         map[holdCause]prometheus.Gauge
	results      map[task.Status]prometheus.Counter
	ackErrors    map[settlement]prometheus.Counter
	resultsLost  prometheus.Counter
	unconfirmed  prometheus.Counter
	crowded      prometheus.Counter
	panics       prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	deliveries := f.NewCounterVec(prometheus.CounterOpts{
		Name: "deliveries_total",
		Help: "Deliveries taken, by whether the broker had delivered the message before.",
	}, []string{"redelivered"})
	answers := f.NewCounterVec(prometheus.CounterOpts{
		Name: "settlements_total",
		Help: "Deliveries answered to the broker, by what became of the task.",
	}, []string{"settlement"})
	retries := f.NewCounterVec(prometheus.CounterOpts{
		Name: "retries_total",
		Help: "Tasks published to a retry step, by its queue: those that failed, and those that a full worker refused.",
	}, []string{"queue"})
	dead := f.NewCounterVec(prometheus.CounterOpts{
		Name: "dead_total",
		Help: "Tasks published to the DLQ, by reason.",
	}, []string{"reason"})
	results := f.NewCounterVec(prometheus.CounterOpts{
		Name: "results_total",
		Help: "Results that the broker has confirmed, by status. What exceeds the settlements of the same kind was or will be published again.",
	}, []string{"status"})
	ackErrors := f.NewCounterVec(prometheus.CounterOpts{
		Name: "ack_errors_total",
		Help: "Answers to the broker that failed because the channel was gone, by what became of the task. The broker delivers the message again: a task that was completed or dead is run, and its result published, twice.",
	}, []string{"settlement"})
	held := f.NewGaugeVec(prometheus.GaugeOpts{
		Name: "deliveries_held",
		Help: "Deliveries held outside of the executor: moving ones are on their way to the next lane, saturated ones met a full executor, unconfirmed ones are done and the broker has not confirmed a message that settles them.",
	}, []string{"cause"})
	return &metrics{
		first:       deliveries.WithLabelValues("false"),
		again:       deliveries.WithLabelValues("true"),
		settlements: resolved(answers.WithLabelValues, settlements()),
		retries:     resolved(retries.WithLabelValues, retryQueues()),
		dead:        resolved(dead.WithLabelValues, workersReasons()),
		held:        resolved(held.WithLabelValues, []holdCause{causeMoving, causeSaturated, causeUnconfirmed}),
		results:     resolved(results.WithLabelValues, []task.Status{task.StatusCompleted, task.StatusDead, task.StatusDiscarded}),
		ackErrors:   resolved(ackErrors.WithLabelValues, settlements()),
		resultsLost: f.NewCounter(prometheus.CounterOpts{
			Name: "results_lost_total",
			Help: "Results that were given up: their tasks are settled, and nobody was told how.",
		}),
		unconfirmed: f.NewCounter(prometheus.CounterOpts{
			Name: "unconfirmed_settlements_total",
			Help: "Publishes of a settlement that the broker did not confirm. Each is repeated while the delivery is held, but for results while they are being lost, and for tasks that are given back.",
		}),
		crowded: f.NewCounter(prometheus.CounterOpts{
			Name: "isolated_crowded_total",
			Help: "Isolated tasks that ran beside others because the worker did not pause for them in time, as for a task that ignores its deadline.",
		}),
		panics: f.NewCounter(prometheus.CounterOpts{
			Name: "settlement_panics_total",
			Help: "Panics of the worker itself outside of its executors; what was being settled is tried again.",
		}),
	}
}

// resolved is the metrics of all values of a label.
func resolved[L ~string, M any](with func(...string) M, labels []L) map[L]M {
	all := make(map[L]M, len(labels))
	for _, label := range labels {
		all[label] = with(string(label))
	}
	return all
}

func retryQueues() []string {
	var queues []string
	for _, step := range rabbitmq.RetrySteps() {
		queues = append(queues, step.Queue)
	}
	return queues
}

// workersReasons are the reasons that a worker can give.
func workersReasons() []task.Reason {
	return slices.DeleteFunc(task.Reasons(), func(r task.Reason) bool { return r == task.ReasonDeliveryLimit })
}

func (m *metrics) delivered(redelivered bool) {
	if redelivered {
		m.again.Inc()
	} else {
		m.first.Inc()
	}
}
