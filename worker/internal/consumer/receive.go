package consumer

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/twinlane/twinlane/internal/task"
	"github.com/twinlane/twinlane/worker/internal/action"
)

// received is a delivery and what could be read of it.
type received struct {
	amqp.Delivery
	// id is what the message is published under when it moves on.
	id      string
	headers task.Headers
	message task.Message // empty where the body is undecodable
}

// undecodableError says that a delivery is no task.
type undecodableError struct{ err error }

// Error implements error.
func (e *undecodableError) Error() string { return "undecodable: " + e.err.Error() }

// Unwrap returns what is wrong with the delivery.
func (e *undecodableError) Unwrap() error { return e.err }

// receive decodes a delivery. Of one that is no task, the error is an
// *undecodableError, and what is returned still has an id and headers to
// publish it with: its own where they are valid.
func receive(d amqp.Delivery) (*received, error) {
	r := &received{Delivery: d}
	headers, headersErr := task.ParseHeaders(d.Headers)
	message, err := task.DecodeMessage(d.Body)
	r.message = message
	if headersErr != nil {
		headers = task.Headers{Attempt: 1}
		if err == nil {
			err = fmt.Errorf("header %w", headersErr)
		}
	}
	headers.Dead = nil // what it died of before says nothing about this delivery
	r.headers = headers
	if err != nil {
		r.id = foreignID(message.ID, d.MessageId)
		return r, &undecodableError{err}
	}
	r.id = message.ID
	return r, nil
}

// task is what there is to run.
func (r *received) task() action.Task { return action.Task{Message: r.message, Headers: r.headers} }

// unrun is the result of a delivery that is not run: all of it that is known.
func (r *received) unrun() task.Result {
	now := time.Now().UTC()
	return task.Result{
		ID: r.id, Run: r.message.Run, Attempt: r.headers.Attempt,
		AcceptedAt: r.message.AcceptedAt, StartedAt: now, FinishedAt: now,
	}
}

// foreignID is the id of a message that is no task: the first valid one, else
// a new one, so that the tools can address the message in the DLQ.
func foreignID(ids ...string) string {
	for _, id := range ids {
		if task.ValidName(id) {
			return id
		}
	}
	return uuid.NewString()
}
