package task

import "strings"

// The HTTP that both services speak. The gateway's public routes are its own;
// this is what a gateway and a worker have to agree on.
const (
	// PathExecute is the worker's route of the sync lane: a Message in, a Result out.
	PathExecute = "/v1/execute"

	// Names of HTTP headers, in their canonical form.
	HTTPRequestID   = "X-Request-Id"
	HTTPTraceparent = "Traceparent"
	HTTPTracestate  = "Tracestate"

	// ProblemContentType is the media type of a Problem.
	ProblemContentType = "application/problem+json"

	problemTypePrefix = "urn:twinlane:problem:"
)

// ProblemCode names a kind of problem. It is the last part of Problem.Type.
type ProblemCode string

// The kinds of problem that both services report, or that one reports and the
// other has to tell from the rest.
const (
	ProblemMalformedJSON        ProblemCode = "malformed-json"
	ProblemUnreadableBody       ProblemCode = "unreadable-body"
	ProblemSlowBody             ProblemCode = "slow-body"
	ProblemBodyTooLarge         ProblemCode = "body-too-large"
	ProblemUnsupportedMediaType ProblemCode = "unsupported-media-type"
	ProblemInvalidField         ProblemCode = "invalid-field"
	ProblemNotFound             ProblemCode = "not-found"
	ProblemMethodNotAllowed     ProblemCode = "method-not-allowed"
	ProblemWorkerBusy           ProblemCode = "worker-busy"
	ProblemTaskFailed           ProblemCode = "task-failed"
	ProblemTaskTimeout          ProblemCode = "task-timeout"
	ProblemInternal             ProblemCode = "internal"
)

// Title says in a sentence without an end what the problem is; it is the same
// wherever the problem is reported. A code that is not listed above has none.
func (c ProblemCode) Title() string {
	switch c {
	case ProblemMalformedJSON:
		return "The body is not one JSON object"
	case ProblemUnreadableBody:
		return "The body could not be read"
	case ProblemSlowBody:
		return "The body did not arrive in time"
	case ProblemBodyTooLarge:
		return "The body is too large"
	case ProblemUnsupportedMediaType:
		return "The body is not plain JSON"
	case ProblemInvalidField:
		return "A field is not allowed as it is"
	case ProblemNotFound:
		return "No such route"
	case ProblemMethodNotAllowed:
		return "The route does not know the method"
	case ProblemWorkerBusy:
		return "The worker is busy"
	case ProblemTaskFailed:
		return "The task failed"
	case ProblemTaskTimeout:
		return "The task took too long"
	case ProblemInternal:
		return "The service failed"
	default:
		return ""
	}
}

// Type is the code as the type of a Problem.
func (c ProblemCode) Type() string { return problemTypePrefix + string(c) }

// Problem is an RFC 9457 document, with the members that this API adds.
type Problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail,omitempty"`
	RequestID string `json:"request_id,omitempty"`
	// TaskID is the task whose fate is unknown.
	TaskID string `json:"task_id,omitempty"`
	// Field, Value and Allowed are those of a *FieldError.
	Field   string `json:"field,omitempty"`
	Value   string `json:"value,omitempty"`
	Allowed string `json:"allowed,omitempty"`
	// Reason and Transient are those of a task that failed.
	Reason    Reason `json:"reason,omitempty"`
	Transient *bool  `json:"transient,omitempty"`
}

// Code is the kind of the problem, and empty for one of a foreign type.
func (p Problem) Code() ProblemCode {
	code, own := strings.CutPrefix(p.Type, problemTypePrefix)
	if !own {
		return ""
	}
	return ProblemCode(code)
}

// Is reports whether the problem is of the kind that code names.
func (p Problem) Is(code ProblemCode) bool { return p.Type == code.Type() }
