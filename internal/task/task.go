// Package task is the wire contract between the gateway and the worker: the
// request a client sends, the message that travels through the broker or over
// HTTP, its headers, its result, and the limits all of them keep.
//
// It decodes strictly and names the field that is wrong. It deliberately knows
// no transport: it imports the standard library only.
package task

import (
	"encoding/json"
	"time"
)

// Queue and exchange names. The version is part of the name, so that a change
// of a queue's arguments is a migration to a new name and never a redeclaration.
const (
	QueueTasks = "tasks.v1"
	// QueueSuspect and QueueIsolated are for tasks that may crash workers: the
	// first for all that were there when one crashed too often, the second for
	// those that were there when it happened again.
	QueueSuspect    = "tasks.v1.suspect"
	QueueIsolated   = "tasks.v1.isolated"
	QueueDeadLetter = "tasks.v1.dlq"
	ExchangeDead    = "tasks.v1.dead"
	// QueueResults is a stream: what became of each task, for ResultRetention.
	QueueResults = "tasks.v1.results"
)

// ResultRetention is how long the outcome of a task is kept at most.
const ResultRetention = time.Hour

// The AMQP type property of the messages. A task message is in a task queue or
// in the DLQ; the others are in the results stream.
const (
	MessageType         = "task.v1"
	MessageTypeResult   = "result.v1"
	MessageTypeAccepted = "accepted.v1" // an Acceptance
	MessageTypeMarker   = "marker.v1"   // without a body: whoever reads their own has read everything before it
)

// ContentType is the media type of every request, message and result.
const ContentType = "application/json"

// Action says what a task does.
type Action string

// The actions a worker knows.
const (
	ActionDelay Action = "delay" // waits duration_ms without holding a thread
	ActionBlock Action = "block" // waits duration_ms and holds an OS thread
	ActionCPU   Action = "cpu"   // computes for duration_ms of CPU time
	ActionHTTP  Action = "http"  // posts the payload to the worker's configured URL
)

// Actions lists every action, in the order used in messages to people.
func Actions() []Action { return []Action{ActionDelay, ActionBlock, ActionCPU, ActionHTTP} }

// FailKind says how an injected failure shows.
type FailKind string

// The failures that can be injected where fault injection is on.
const (
	FailTransient FailKind = "transient" // an error worth a retry, for the first Count attempts or for all
	FailPermanent FailKind = "permanent" // an error that no retry mends
	FailPanic     FailKind = "panic"     // the handler panics
	FailExit      FailKind = "exit"      // the worker process exits at once
	FailHang      FailKind = "hang"      // the handler does not return before its deadline
)

// FailKinds lists every kind of injected failure.
func FailKinds() []FailKind {
	return []FailKind{FailTransient, FailPermanent, FailPanic, FailExit, FailHang}
}

// Fail asks a worker to fail on purpose.
type Fail struct {
	Kind FailKind `json:"kind"`
	// Count is how many attempts fail before one succeeds: 1 to MaxFailCount,
	// for FailTransient only. Zero means that every attempt fails.
	Count int `json:"count,omitempty"`
}

// Request is what a client asks for. Only Action is required.
type Request struct {
	Action Action `json:"action"`
	// DurationMS is in milliseconds, 0 to MaxDurationMS; nil means the worker's default.
	DurationMS *int `json:"duration_ms,omitempty"`
	// Run names the load-test run that the task belongs to; empty means none.
	Run string `json:"run,omitempty"`
	// Key names what the task is about; empty means nothing. A worker whose
	// execution model is keyed runs the tasks of one key one after the other, in
	// the order in which they are delivered to it.
	Key string `json:"key,omitempty"`
	// Payload is any JSON value, handed through unread.
	Payload json.RawMessage `json:"payload,omitempty"`
	Fail    *Fail           `json:"fail,omitempty"`
}

// Message is a request that a gateway has taken in: the body of a message in
// QueueTasks, and of the worker's POST /v1/execute.
type Message struct {
	ID string `json:"id"`
	// AcceptedAt is when the gateway took the request in, by the gateway's clock.
	AcceptedAt time.Time `json:"accepted_at"`
	Request
}

// Duration is how long the task works: its own duration, or fallback where the
// client named none.
func (r Request) Duration(fallback time.Duration) time.Duration {
	if r.DurationMS == nil {
		return fallback
	}
	return time.Duration(*r.DurationMS) * time.Millisecond
}

// Status is the state of a task as a client sees it.
type Status string

// The states of a task. StatusAccepted is the only one that is not final.
const (
	StatusAccepted  Status = "accepted"
	StatusCompleted Status = "completed"
	StatusDead      Status = "dead"
	StatusDiscarded Status = "discarded"
)

// Reason says why a task died.
type Reason string

// The reasons for which a worker dead-letters a task. ReasonDeliveryLimit is
// the broker's own: too many deliveries ended without an answer.
const (
	ReasonPermanent     Reason = "permanent"
	ReasonExhausted     Reason = "exhausted"
	ReasonPanic         Reason = "panic"
	ReasonUndecodable   Reason = "undecodable"
	ReasonDeliveryLimit Reason = "delivery_limit"
)

// Reasons lists every reason, for metrics and for the tools that filter by one.
func Reasons() []Reason {
	return []Reason{ReasonPermanent, ReasonExhausted, ReasonPanic, ReasonUndecodable, ReasonDeliveryLimit}
}
