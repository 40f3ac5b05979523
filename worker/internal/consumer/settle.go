package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.opentelemetry.io/otel/trace"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/task"
	"github.com/twinlane/twinlane/worker/internal/action"
)

// settler answers the broker for a delivery, by this table:
//
//	the task                            is published to               with the result   and the delivery is
//	completed                           -                             completed         acked
//	failed transiently or timed out:
//	  attempts left                     the next retry step           -                 acked
//	  none left                         the DLQ, reason exhausted     dead              acked
//	failed permanently                  the DLQ, reason permanent     dead              acked
//	panicked                            the DLQ, reason panic         dead              acked
//	undecodable                         the DLQ, reason undecodable   dead              acked
//	refused, as the worker was full     the next retry step           -                 acked
//	dropped, as the worker was full     -                             discarded         acked
//	came back too often for its lane    the next lane                 -                 acked
//	interrupted by a stop               -                             -                 requeued
//	the same, in a lane of suspects     its queue, anew               -                 acked
//
// What is published is published before the ack, from left to right, each with
// confirm and under the same id: a crash in between makes a duplicate, never a
// loss. While a publish is not confirmed the delivery stays unanswered, so that
// its task does not run again, and the publish is repeated, without those that
// are confirmed already: see Consumer.insist. Only where the worker stops
// meanwhile, or the broker would wait no longer, is the delivery requeued. One
// of which nothing but the result is missing is acked without it, once it has
// been insisted on for a minute, or at once while results are lost anyway. A
// return is not repeated: where it is not confirmed in time, the delivery is
// requeued.
//
// A refused task keeps its attempt: the steps follow from the refusals in a row,
// and there is no last one.
//
// Results have a publisher of their own, and the DLQ is published to directly:
// the exchange through which the broker itself dead-letters leads to the stream
// of results as well. So a stream that takes nothing holds up nothing else.
type settler struct {
	tasks       publisher // moves tasks from queue to queue
	results     *Results
	steps       []rabbitmq.RetryStep
	maxAttempts int
	moveTo      string // the queue of the next lane
	queue       string // that is settled for
	tracer      trace.Tracer
	logger      *slog.Logger
	metrics     *metrics
}

// answer is what becomes of one delivery: a row of the table, filled in.
type answer struct {
	*received
	settlement settlement
	reason     task.Reason // of settlementDead
	cause      error       // how the task failed; nil where it did not
	status     task.Status // of result

	// What is still to be published, in this order. Each is nil where there is
	// none, and once it is confirmed.
	message *rabbitmq.Message
	result  *rabbitmq.Message
}

// onlyResultMissing reports whether the task is safe in another place, or done.
func (a *answer) onlyResultMissing() bool { return a.message == nil && a.result != nil }

// judge finds the row for how a task ended, or for a delivery that is no task.
func (s *settler) judge(r *received, res task.Result, err error) answer {
	if _, ok := errors.AsType[*undecodableError](err); ok {
		return s.bury(r, res, task.ReasonUndecodable, err)
	}
	switch action.OutcomeOf(err) {
	case action.OutcomeCompleted:
		return answer{received: r, settlement: settlementCompleted, status: res.Status, result: s.encode(res)}
	case action.OutcomeInterrupted:
		return answer{received: r, settlement: settlementRequeued, cause: err}
	case action.OutcomePermanent:
		return s.bury(r, res, task.ReasonPermanent, err)
	case action.OutcomePanic:
		return s.bury(r, res, task.ReasonPanic, err)
	default: // transient, timeout
		if r.headers.Attempt < s.maxAttempts {
			return s.retry(r, err)
		}
		return s.bury(r, res, task.ReasonExhausted, err)
	}
}

// retry moves the task to the step of its attempt.
func (s *settler) retry(r *received, cause error) answer {
	step := s.steps[min(r.headers.Attempt, len(s.steps))-1]
	headers := r.headers
	headers.Attempt++
	headers.Refusals = 0
	m := rabbitmq.TaskMessage("", step.Queue, r.id, headers, r.Body, time.Now())
	return answer{received: r, settlement: settlementRetried, cause: cause, message: &m}
}

// refuse moves a task that there was no room for to the step of its refusals.
func (s *settler) refuse(r *received) answer {
	step := s.steps[min(r.headers.Refusals, len(s.steps)-1)]
	headers := r.headers
	headers.Refusals++
	m := rabbitmq.TaskMessage("", step.Queue, r.id, headers, r.Body, time.Now())
	return answer{received: r, settlement: settlementRefused, message: &m}
}

// discard tells that a task was dropped.
func (s *settler) discard(r *received) answer {
	res := r.unrun()
	res.Status, res.Error = task.StatusDiscarded, "dropped by a full worker"
	return answer{received: r, settlement: settlementDiscarded, status: res.Status, result: s.encode(res)}
}

// move moves the task as it is to the next lane.
func (s *settler) move(r *received) answer {
	m := rabbitmq.TaskMessage("", s.moveTo, r.id, r.headers, r.Body, time.Now())
	return answer{received: r, settlement: settlementMoved, message: &m}
}

// returnAnew moves a task as it is to the end of its own queue, where nothing
// counts against it. It returns an error for one that is still to be answered,
// as what is no task always is.
func (s *settler) returnAnew(ctx context.Context, queue string, d amqp.Delivery) error {
	r, err := receive(d)
	if err != nil {
		return err
	}
	m := rabbitmq.TaskMessage("", queue, r.id, r.headers, r.Body, time.Now())
	return s.settle(ctx, &answer{received: r, settlement: settlementReturned, message: &m})
}

// bury moves the task to the DLQ, its body byte for byte. The headers are made
// anew: those of a foreign message may be larger than allowed.
func (s *settler) bury(r *received, res task.Result, reason task.Reason, cause error) answer {
	headers := r.headers
	headers.Refusals = 0
	headers.Dead = &task.Death{Reason: reason, Error: cause.Error(), At: res.FinishedAt}
	m := rabbitmq.TaskMessage("", task.QueueDeadLetter, r.id, headers, r.Body, res.FinishedAt)
	if reason == task.ReasonUndecodable {
		m.Type, m.ContentType = r.Type, r.ContentType // it is no task message
	}
	res.Status, res.Reason, res.Error = task.StatusDead, reason, cause.Error()
	return answer{
		received: r, settlement: settlementDead, reason: reason, cause: cause, message: &m,
		status: res.Status, result: s.encode(res),
	}
}

// encode returns the message that tells the result. A result that has no
// encoding is lost, and its task settled without it.
func (s *settler) encode(res task.Result) *rabbitmq.Message {
	body, err := res.Encode()
	if err != nil {
		s.metrics.resultsLost.Inc()
		s.logger.Error("result lost, it has no encoding", "task_id", res.ID, "err", err)
		return nil
	}
	m := rabbitmq.ResultMessage(res.ID, body, res.FinishedAt)
	return &m
}

// settle publishes what there still is to publish and acks the delivery. An
// error says that a publish was not confirmed, or panicked, and that nothing is
// answered: it is for another call to go on from there.
func (s *settler) settle(ctx context.Context, a *answer) (err error) {
	defer func() {
		if v := recover(); v != nil {
			s.metrics.panics.Inc()
			s.logger.ErrorContext(ctx, "settlement panicked", "task_id", a.id, "err", fmt.Sprint(v), "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	if a.message != nil {
		if err := s.publish(ctx, s.tasks, a.message); err != nil {
			return err
		}
		s.published(ctx, a)
		a.message = nil
	}
	if a.result != nil {
		if err := s.publish(ctx, s.results, a.result); err != nil {
			return err
		}
		s.metrics.results[a.status].Inc()
		a.result = nil
	}
	s.ack(ctx, a)
	return nil
}

func (s *settler) publish(ctx context.Context, to publisher, m *rabbitmq.Message) error {
	err := to.Publish(ctx, *m)
	if err != nil && !errors.Is(err, errResultsLost) {
		s.metrics.unconfirmed.Inc()
	}
	return err
}

// settleWithoutResult acks a delivery whose result is given up. Its task is
// done, or in the DLQ: run once more it would be so twice.
func (s *settler) settleWithoutResult(ctx context.Context, a *answer, why error) {
	s.metrics.resultsLost.Inc()
	s.logger.DebugContext(ctx, "result lost, the task is settled without it", "task_id", a.id, "err", why)
	a.result = nil
	s.ack(ctx, a)
}

// published counts and logs where a task has gone, once that is certain.
func (s *settler) published(ctx context.Context, a *answer) {
	switch to := a.message.RoutingKey; a.settlement {
	case settlementRetried:
		s.metrics.retries[to].Inc()
		s.logger.DebugContext(ctx, "task will be retried", "task_id", a.id, "to", to, "attempt", a.headers.Attempt, "err", a.cause)
	case settlementRefused:
		s.metrics.retries[to].Inc()
		s.logger.DebugContext(ctx, "task refused, the executor is full", "task_id", a.id, "to", to, "refusals", a.headers.Refusals+1)
	case settlementMoved:
		s.logger.WarnContext(ctx, "task came back too often, moved", "task_id", a.id, "to", to, "deliveries", deliveryCount(a.Delivery))
	case settlementReturned:
		s.logger.DebugContext(ctx, "task returned to its queue", "task_id", a.id)
	default:
		s.metrics.dead[a.reason].Inc()
		s.logDeath(ctx, a)
	}
}

// logDeath is the one log line of a failed task.
func (s *settler) logDeath(ctx context.Context, a *answer) {
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

func (s *settler) ack(ctx context.Context, a *answer) {
	switch a.settlement {
	case settlementCompleted:
		s.logger.DebugContext(ctx, "task completed", "task_id", a.id, "attempt", a.headers.Attempt)
	case settlementDiscarded:
		s.logger.WarnContext(ctx, "task discarded, the executor is full", "task_id", a.id, "attempt", a.headers.Attempt)
	default: // logged where it was published
	}
	span := s.startAck(ctx, a)
	err := a.Ack(false)
	endAck(span, err)
	s.answered(a.settlement, err)
}

// requeue gives a delivery back to the broker.
func (s *settler) requeue(d amqp.Delivery) { s.answered(settlementRequeued, d.Nack(false, true)) }

// answered books an answer. One that fails is no loss: the channel is gone,
// and the broker delivers the message again.
func (s *settler) answered(as settlement, err error) {
	if err != nil {
		s.metrics.ackErrors[as].Inc()
		s.logger.Debug("answer to the broker failed", "settlement", string(as), "err", err)
		return
	}
	s.metrics.settlements[as].Inc()
}
