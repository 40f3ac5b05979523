package rabbitmq

import "errors"

// The ways in which a publish ends without the broker's confirm. Each but
// ErrOutcomeUnknown means that the message is in no queue.
var (
	// ErrUnavailable says that no connection to a broker is up.
	ErrUnavailable = errors.New("broker unavailable")
	// ErrBlocked says that the broker takes no publishes: a memory or disk alarm.
	ErrBlocked = errors.New("broker blocked by an alarm")
	// ErrSaturated says that as many publishes as allowed are in flight already.
	ErrSaturated = errors.New("too many publishes in flight")
	// ErrUnroutable says that the broker returned the message: no queue took it.
	ErrUnroutable = errors.New("message returned as unroutable")
	// ErrNacked says that the broker refused the message: its queue is full.
	ErrNacked = errors.New("message refused by the broker")
	// ErrOutcomeUnknown says that the message was sent and that no answer came:
	// it may be in its queue or not.
	ErrOutcomeUnknown = errors.New("outcome of the publish unknown")
)
