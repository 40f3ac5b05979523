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
//	interrupted by a stop               -                             requeued at once
//	any, and its publish unconfirmed    -                             requeued after a pause
//
// A message is published before the ack, with confirm, under the same id: a
// crash in between makes a duplicate, never a loss.
type settler struct {
	publisher   publisher
	steps       []rabbitmq.RetryStep
	maxAttempts int
	logger      *slog.Logger
	metrics     *metrics
}

// verdict is a row of the table.
type verdict struct {
	settlement settlement
	reason     task.Reason // of settlementDead
}

// judge finds the row for how a task ended.
func (s *settler) judge(attempt int, err error) verdict {
	if _, ok := errors.AsType[*undecodableError](err); ok {
		return verdict{settlementDead, task.ReasonUndecodable}
	}
	switch action.OutcomeOf(err) {
	case action.OutcomeCompleted:
		return verdict{settlement: settlementCompleted}
	case action.OutcomeInterrupted:
		return verdict{settlement: settlementRequeued}
	case action.OutcomePermanent:
		return verdict{settlementDead, task.ReasonPermanent}
	case action.OutcomePanic:
		return verdict{settlementDead, task.ReasonPanic}
	default: // transient, timeout
		if attempt < s.maxAttempts {
			return verdict{settlement: settlementRetried}
		}
		return verdict{settlementDead, task.ReasonExhausted}
	}
}

// settle answers for a task that ended with err. It returns false where a
// publish was not confirmed: the delivery has to be requeued after a pause.
func (s *settler) settle(ctx context.Context, r received, err error) bool {
	v := s.judge(r.headers.Attempt, err)
	var published error
	switch v.settlement {
	case settlementCompleted:
		s.logger.DebugContext(ctx, "task completed", "task_id", r.id, "attempt", r.headers.Attempt)
	case settlementRequeued:
		s.requeue(r.Delivery)
		return true
	case settlementRetried:
		published = s.retry(ctx, r, err)
	case settlementDead:
		published = s.bury(ctx, r, v.reason, err)
	}
	if published != nil {
		s.metrics.unconfirmed.Inc()
		s.logger.WarnContext(ctx, "settlement not confirmed, requeueing after a pause",
			"task_id", r.id, "settlement", string(v.settlement), "err", published)
		return false
	}
	s.answered(v.settlement, r.Ack(false))
	return true
}

// retry publishes the task to the step of its attempt.
func (s *settler) retry(ctx context.Context, r received, cause error) error {
	step := s.steps[min(r.headers.Attempt, len(s.steps))-1]
	headers := r.headers
	headers.Attempt++
	if err := s.publisher.Publish(ctx, rabbitmq.TaskMessage("", step.Queue, r.id, headers, r.Body, time.Now())); err != nil {
		return err
	}
	s.metrics.retries[step.Queue].Inc()
	s.logger.DebugContext(ctx, "task will be retried", "task_id", r.id, "queue", step.Queue, "attempt", r.headers.Attempt, "err", cause)
	return nil
}

// bury publishes the task to the DLQ, its body byte for byte. The headers are
// made anew: those of a foreign message may be larger than allowed.
func (s *settler) bury(ctx context.Context, r received, reason task.Reason, cause error) error {
	now := time.Now()
	headers := r.headers
	headers.Dead = &task.Death{Reason: reason, Error: cause.Error(), At: now}
	m := rabbitmq.TaskMessage(task.ExchangeDead, task.QueueDeadLetter, r.id, headers, r.Body, now)
	if reason == task.ReasonUndecodable {
		m.Type, m.ContentType = r.Type, r.ContentType // it is no task message
	}
	if err := s.publisher.Publish(ctx, m); err != nil {
		return err
	}
	s.metrics.dead[reason].Inc()
	s.logDeath(ctx, r, reason, cause)
	return nil
}

// logDeath is the one log line of a failed task.
func (s *settler) logDeath(ctx context.Context, r received, reason task.Reason, cause error) {
	attrs := []any{"task_id", r.id, "reason", string(reason), "attempt", r.headers.Attempt, "err", cause}
	if reason != task.ReasonPanic {
		s.logger.WarnContext(ctx, "task dead-lettered", attrs...)
		return
	}
	if failure, ok := errors.AsType[*action.Error](cause); ok {
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
