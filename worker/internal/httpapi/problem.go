package httpapi

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/twinlane/twinlane/internal/task"
	"github.com/twinlane/twinlane/worker/internal/action"
)

const (
	problemType   = "application/problem+json"
	problemPrefix = "urn:twinlane:problem:"
)

// problem is an RFC 9457 problem with the extensions that this API uses.
type problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail,omitempty"`
	RequestID string `json:"request_id"`

	// Of task-failed.
	Reason    task.Reason `json:"reason,omitempty"`
	Transient *bool       `json:"transient,omitempty"`
	// Of invalid-field.
	Field   string `json:"field,omitempty"`
	Value   string `json:"value,omitempty"`
	Allowed string `json:"allowed,omitempty"`

	allow      string
	retryAfter string
}

func (p *problem) setHeader(h http.Header) {
	if p.allow != "" {
		h.Set("Allow", p.allow)
	}
	if p.retryAfter != "" {
		h.Set("Retry-After", p.retryAfter)
	}
}

func newProblem(status int, code, title, detail string) *problem {
	return &problem{Type: problemPrefix + code, Title: title, Status: status, Detail: detail}
}

func notFound(http.ResponseWriter, *http.Request, string) (task.Result, *problem) {
	return task.Result{}, newProblem(http.StatusNotFound, "not-found", "Not found", "This worker serves POST /v1/execute.")
}

func methodNotAllowed(http.ResponseWriter, *http.Request, string) (task.Result, *problem) {
	p := newProblem(http.StatusMethodNotAllowed, "method-not-allowed", "Method not allowed", "Use POST.")
	p.allow = http.MethodPost
	return task.Result{}, p
}

func unsupportedMediaType() *problem {
	return newProblem(http.StatusUnsupportedMediaType, "unsupported-media-type", "Unsupported media type",
		"The Content-Type has to be "+task.ContentType+".")
}

func workerBusy() *problem {
	p := newProblem(http.StatusServiceUnavailable, "worker-busy", "Worker busy",
		"As many tasks run as this worker takes over HTTP.")
	p.retryAfter = "1"
	return p
}

func bodyTooLarge() *problem {
	return newProblem(http.StatusRequestEntityTooLarge, "body-too-large", "Body too large",
		fmt.Sprintf("The body may have %d bytes.", task.MaxMessageBytes))
}

func unreadableBody() *problem {
	return newProblem(http.StatusBadRequest, "malformed-json", "Malformed JSON", "The body did not arrive whole.")
}

// invalidMessage answers for an error of task.DecodeMessage.
func invalidMessage(err error) *problem {
	if f, ok := errors.AsType[*task.FieldError](err); ok {
		p := newProblem(http.StatusUnprocessableEntity, "invalid-field", "Invalid field", f.Error())
		p.Field, p.Value, p.Allowed = f.Field, f.Value, f.Allowed
		return p
	}
	return newProblem(http.StatusBadRequest, "malformed-json", "Malformed JSON", err.Error())
}

// taskProblem answers for a task that failed. In this lane the first attempt
// is the last one, so that a transient failure has exhausted them.
func taskProblem(err error) *problem {
	outcome := action.OutcomeOf(err)
	detail := task.Truncate(err.Error(), task.MaxErrorBytes)
	if outcome == action.OutcomeTimeout {
		return newProblem(http.StatusGatewayTimeout, "task-timeout", "Task timed out", detail)
	}
	p := newProblem(http.StatusInternalServerError, "task-failed", "Task failed", detail)
	transient := outcome == action.OutcomeTransient
	p.Transient = &transient
	switch outcome {
	case action.OutcomePermanent:
		p.Reason = task.ReasonPermanent
	case action.OutcomePanic:
		p.Reason = task.ReasonPanic
	default:
		p.Reason = task.ReasonExhausted
	}
	return p
}
