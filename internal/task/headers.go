package task

import (
	"fmt"
	"time"
)

// Names of the AMQP headers of a task message.
const (
	HeaderAttempt     = "x-attempt"      // which attempt this delivery is, from 1
	HeaderRefusals    = "x-refusals"     // how often in a row a worker had no room for this attempt
	HeaderReplayCount = "x-replay-count" // how often the task was replayed from the DLQ
	HeaderRequestID   = "x-request-id"   // the HTTP request that brought the task
	HeaderTraceparent = "traceparent"    // W3C Trace Context
	HeaderTracestate  = "tracestate"     // W3C Trace Context

	HeaderDeadReason = "x-dlq-reason" // a Reason
	HeaderDeadError  = "x-dlq-error"  // the last error, at most MaxErrorBytes
	HeaderDeadAt     = "x-dlq-at"     // when a worker dead-lettered it, RFC 3339

	// HeaderFirstDeathReason is RabbitMQ's own, on messages that it dead-letters
	// itself. A stream keeps it, where RabbitMQ 3.10 loses the list of deaths.
	HeaderFirstDeathReason = "x-first-death-reason"
)

// Headers are the headers of a task message. The zero value is a first attempt
// that belongs to no trace.
type Headers struct {
	// Attempt counts from 1; zero is written and read as 1.
	Attempt int
	// Refusals is how often a full worker has refused this attempt.
	Refusals    int
	ReplayCount int
	RequestID   string
	Traceparent string
	Tracestate  string
	Dead        *Death
}

// Death says why, with what error and when a task was dead-lettered.
type Death struct {
	Reason Reason
	Error  string
	At     time.Time
}

// Table is the form in which headers travel.
func (h Headers) Table() map[string]any {
	t := map[string]any{HeaderAttempt: int64(max(h.Attempt, 1))}
	if h.Refusals > 0 {
		t[HeaderRefusals] = int64(h.Refusals)
	}
	if h.ReplayCount > 0 {
		t[HeaderReplayCount] = int64(h.ReplayCount)
	}
	for name, value := range map[string]string{
		HeaderRequestID: h.RequestID, HeaderTraceparent: h.Traceparent, HeaderTracestate: h.Tracestate,
	} {
		if value != "" {
			t[name] = value
		}
	}
	if h.Dead != nil {
		t[HeaderDeadReason] = string(h.Dead.Reason)
		t[HeaderDeadError] = Truncate(h.Dead.Error, MaxErrorBytes)
		t[HeaderDeadAt] = h.Dead.At.UTC().Format(time.RFC3339Nano)
	}
	return t
}

// ParseHeaders reads the headers of a delivery. Headers of others are passed
// over. A counter that is no whole number from 1 (attempt) or 0 (refusals, replays) is a
// *FieldError; an invalid trace context or request id is ignored, as the
// former's specification demands.
func ParseHeaders(table map[string]any) (Headers, error) {
	var h Headers
	var err error
	if h.Attempt, err = counter(table, HeaderAttempt, 1); err != nil {
		return Headers{}, err
	}
	if h.Refusals, err = counter(table, HeaderRefusals, 0); err != nil {
		return Headers{}, err
	}
	if h.ReplayCount, err = counter(table, HeaderReplayCount, 0); err != nil {
		return Headers{}, err
	}
	if id := text(table, HeaderRequestID); ValidName(id) {
		h.RequestID = id
	}
	h.Traceparent, h.Tracestate = TraceContext(text(table, HeaderTraceparent), text(table, HeaderTracestate))
	if reason := text(table, HeaderDeadReason); reason != "" {
		h.Dead = &Death{Reason: Reason(reason), Error: text(table, HeaderDeadError)}
		if at, err := time.Parse(time.RFC3339Nano, text(table, HeaderDeadAt)); err == nil {
			h.Dead.At = at
		}
	}
	return h, nil
}

// maxCounter keeps a foreign counter from overflowing when it is raised.
const maxCounter = 1_000_000

func counter(table map[string]any, name string, low int64) (int, error) {
	value, ok := table[name]
	if !ok {
		return int(low), nil
	}
	var n int64
	switch v := value.(type) { // AMQP has many integer types and a publisher may choose any
	case int8:
		n = int64(v)
	case uint8:
		n = int64(v)
	case int16:
		n = int64(v)
	case uint16:
		n = int64(v)
	case int32:
		n = int64(v)
	case uint32:
		n = int64(v)
	case int64:
		n = v
	case int:
		n = int64(v)
	default:
		n = low - 1
	}
	if n < low || n > maxCounter {
		return 0, fieldError(name, fmt.Sprint(value), fmt.Sprintf("a whole number from %d to %d", low, maxCounter))
	}
	return int(n), nil
}

func text(table map[string]any, name string) string {
	s, _ := table[name].(string)
	return s
}
