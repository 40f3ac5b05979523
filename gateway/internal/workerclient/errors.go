package workerclient

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/twinlane/twinlane/internal/task"
)

// The ways in which a call ends without a word about the task.
var (
	// ErrSaturated says that as many calls as allowed are in flight already.
	ErrSaturated = errors.New("too many calls to the worker in flight")
	// ErrBusy says that the worker has no room for the task, or is stopping.
	ErrBusy = errors.New("worker busy")
	// ErrUnavailable says that no connection to a worker came about.
	ErrUnavailable = errors.New("worker unavailable")
	// ErrTimeout says that the task took longer than the worker or the gateway waits.
	ErrTimeout = errors.New("task timed out")
	// ErrBroken says that the connection broke after the request was sent: the
	// task may have run or not.
	ErrBroken = errors.New("connection to the worker broken")
	// ErrBadAnswer says that the answer is none that this version understands.
	ErrBadAnswer = errors.New("bad answer of the worker")
	// ErrClosed says that the client was closed.
	ErrClosed = errors.New("worker client closed")
)

// TaskError says that the task ran and failed.
type TaskError struct {
	Reason task.Reason
	// Transient says that another attempt may succeed.
	Transient bool
	Detail    string
}

// Error implements error.
func (e *TaskError) Error() string {
	return fmt.Sprintf("task failed (%s): %s", e.Reason, e.Detail)
}

// transportError says what an error of the transport means. ctx is the call's
// own, so that its cause tells a timeout, a closed client and a caller who has
// gone from each other.
func transportError(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return fmt.Errorf("%w: %w", ErrBroken, err)
}
