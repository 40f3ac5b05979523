package action

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Outcome says how a run of a task ended.
type Outcome string

// The outcomes of a run.
const (
	OutcomeCompleted   Outcome = "completed"
	OutcomeTransient   Outcome = "transient"   // failed; another attempt may succeed
	OutcomeTimeout     Outcome = "timeout"     // ran out of time; another attempt may succeed
	OutcomePermanent   Outcome = "permanent"   // failed; no attempt will succeed
	OutcomePanic       Outcome = "panic"       // the action panicked
	OutcomeInterrupted Outcome = "interrupted" // the caller gave up, which says nothing of the task
)

// Outcomes lists every outcome.
func Outcomes() []Outcome {
	return []Outcome{
		OutcomeCompleted, OutcomeTransient, OutcomeTimeout, OutcomePermanent, OutcomePanic, OutcomeInterrupted,
	}
}

// Error is how a run failed.
type Error struct {
	Outcome Outcome
	Err     error
	Stack   string // of the goroutine that panicked, else empty
}

// Error implements error.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the error that was classified.
func (e *Error) Unwrap() error { return e.Err }

// OutcomeOf tells the outcome of a run from its error. An error that nobody
// classified is transient: a retry costs little, and a task given up is work
// for a person.
func OutcomeOf(err error) Outcome {
	if err == nil {
		return OutcomeCompleted
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Outcome
	}
	return OutcomeTransient
}

// permanent says of an error that no retry mends it.
func permanent(err error) error { return &Error{Outcome: OutcomePermanent, Err: err} }

// classify turns the error of an action into an *Error. given is the error of
// the caller's context: once the caller has given up, a failure that is not
// the task's own for certain is put down to that.
func classify(err, given error, timeout time.Duration) error {
	classified, ok := errors.AsType[*Error](err)
	switch {
	case ok:
		return classified
	case given != nil:
		return &Error{Outcome: OutcomeInterrupted, Err: fmt.Errorf("interrupted: %w", given)}
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{Outcome: OutcomeTimeout, Err: fmt.Errorf("no result within %s: %w", timeout, err)}
	default:
		return &Error{Outcome: OutcomeTransient, Err: err}
	}
}
