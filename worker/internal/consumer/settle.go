package consumer

import (
	"context"
	"errors"
	"log/slog"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/task"
	"github.com/twinlane/twinlane/worker/internal/action"
)

// settler answers the broker for a delivery, by this table:
//
//	the task                            is published to               and the delivery is
//	completed                           -                             acked
//	failed transiently or timed out:
//	  attempts left                     the next retry step           acked
//	  none left                         the DLQ, reason exhausted     acked
//	failed permanently                  the DLQ, reason permanent     acked
//	panicked                            the DLQ, reason panic         acked
//	undecodable                         the DLQ, reason undecodable   acked
//	interrupted by a stop               -                             requeued
//
// A message is published before the ack, with confirm, under the same id: a
// crash in between makes a duplicate, never a loss. While the publish is not
// confirmed the delivery stays unanswered, so that its task does not run again,
// and the publish is repeated: see Consumer.insist. Only where the worker stops
// meanwhile, or the broker would wait no longer, is the delivery requeued.
type settler struct {
	publisher   publisher
	steps       []rabbitmq.RetryStep
	maxAttempts int
	logger      *slog.Logger
	metrics     *metrics
}

// answer is what becomes of one delivery: a row of the table, filled in.
type answer struct {
	received
	settlement settlement
	reason     task.Reason      // of settlementDead
	cause      error            // how the task failed; nil where it completed
	message    rabbitmq.Message // what is published; none where nothing is
}

// judge finds the row for how a task ended.
func (s *settler) judge(r received, err error) answer {
	if _, ok := errors.AsType[*undecodableError](err); ok {
		return s.bury(r, task.ReasonUndecodable, err)
	}
	switch action.OutcomeOf(err) {
	case action.OutcomeCompleted:
		return answer{received: r, settlement: settlementCompleted}
	case action.OutcomeInterrupted:
		return answer{received: r, settlement: settlementRequeued, cause: err}
	case action.OutcomePermanent:
		return s.bury(r, task.ReasonPermanent, err)
	case action.OutcomePanic:
		return s.bury(r, task.ReasonPanic, err)
	default: // transient, timeout
		if r.headers.Attempt < s.maxAttempts {
			return s.retry(r, err)
		}
		return s.bury(r, task.ReasonExhausted, err)
	}
}

// retry moves the task to the step of its attempt.
func (s *settler) retry(r received, cause error) answer {
	step := s.steps[min(r.headers.Attempt, len(s.steps))-1]
	headers := r.headers
	headers.Attempt++
	m := rabbitmq.TaskMessage("", step.Queue, r.id, headers, r.Body, time.Now())
	return answer{received: r, settlement: settlementRetried, cause: cause, message: m}
}

// bury moves the task to the DLQ, its body byte for byte. The headers are made
// anew: those of a foreign message may be larger than allowed.
func (s *settler) bury(r received, reason task.Reason, cause error) answer {
	now := time.Now()
	headers := r.headers
	headers.Dead = &task.Death{Reason: reason, Error: cause.Error(), At: now}
	m := rabbitmq.TaskMessage(task.ExchangeDead, task.QueueDeadLetter, r.id, headers, r.Body, now)
	if reason == task.ReasonUndecodable {
		m.Type, m.ContentType = r.Type, r.ContentType // it is no task message
	}
	return answer{received: r, settlement: settlementDead, reason: reason, cause: cause, message: m}
}

// settle publishes what the answer has to be published and acks the delivery.
// An error says that the publish was not confirmed and nothing answered.
func (s *settler) settle(ctx context.Context, a answer) error {
	if a.settlement != settlementCompleted {
		if err := s.publisher.Publish(ctx, a.message); err != nil {
			s.metrics.unconfirmed.Inc()
			return err
		}
	}
	s.booked(ctx, a)
	s.answered(a.settlement, a.Ack(false))
	return nil
}

// booked counts and logs how a task ended, once that is certain.
func (s *settler) booked(ctx context.Context, a answer) {
	switch a.settlement {
	case settlementRetried:
		s.metrics.retries[a.message.RoutingKey].Inc()
		s.logger.DebugContext(ctx, "task will be retried",
			"task_id", a.id, "queue", a.message.RoutingKey, "attempt", a.headers.Attempt, "err", a.cause)
	case settlementDead:
		s.metrics.dead[a.reason].Inc()
		s.logDeath(ctx, a)
	default:
		s.logger.DebugContext(ctx, "task completed", "task_id", a.id, "attempt", a.headers.Attempt)
	}
}

// logDeath is the one log line of a failed task.
func (s *settler) logDeath(ctx context.Context, a answer) {
	attrs := []any{"task_id", a.id, "reason", string(a.reason), "attempt", a.headers.Attempt, "err", a.cause}
	if a.reason != task.ReasonPanic {
		s.logger.WarnContext(ctx, "task dead-lettered", attrs...)
		return
	}
	if failure, ok := errors.AsType[*action.Error](a.cause); ok {
		attrs = append(attrs, "stack", failure.Stack)
	}
	s.logger.ErrorContext(ctx, "task dead-lettered", attrs...)
}

// requeue gives a delivery back to the broker.
func (s *settler) requeue(d amqp.Delivery) { s.answered(settlementRequeued, d.Nack(false, true)) }

// answered books an answer. One that fails is no loss: the channel is gone,
// and the broker delivers the message again.
func (s *settler) answered(as settlement, err error) {
	if err != nil {
		s.metrics.ackErrors.Inc()
		s.logger.Debug("answer to the broker failed", "settlement", string(as), "err", err)
		return
	}
	s.metrics.settlements[as].Inc()
}
