package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/twinlane/twinlane/internal/task"
	"github.com/twinlane/twinlane/worker/internal/action"
)

// problem is a task.Problem and the headers that go with it.
type problem struct {
	task.Problem
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

func newProblem(status int, code task.ProblemCode, detail string) *problem {
	return &problem{Problem: task.Problem{Type: code.Type(), Title: code.Title(), Status: status, Detail: detail}}
}

func notFound(http.ResponseWriter, *http.Request, string) (task.Result, *problem) {
	return task.Result{}, newProblem(http.StatusNotFound, task.ProblemNotFound, "This worker serves POST "+task.PathExecute+".")
}

func methodNotAllowed(http.ResponseWriter, *http.Request, string) (task.Result, *problem) {
	p := newProblem(http.StatusMethodNotAllowed, task.ProblemMethodNotAllowed, "Use POST.")
	p.allow = http.MethodPost
	return task.Result{}, p
}

func unsupportedMediaType() *problem {
	return newProblem(http.StatusUnsupportedMediaType, task.ProblemUnsupportedMediaType,
		"The Content-Type has to be "+task.ContentType+".")
}

func workerBusy() *problem {
	p := newProblem(http.StatusServiceUnavailable, task.ProblemWorkerBusy,
		"As many tasks run as this worker takes over HTTP.")
	p.retryAfter = "1"
	return p
}

// missingBody answers for an error of reading the body.
func missingBody(err error) *problem {
	_, tooLarge := errors.AsType[*http.MaxBytesError](err)
	switch {
	case tooLarge:
		return newProblem(http.StatusRequestEntityTooLarge, task.ProblemBodyTooLarge,
			fmt.Sprintf("The body may have %d bytes.", task.MaxMessageBytes))
	case errors.Is(err, os.ErrDeadlineExceeded):
		return newProblem(http.StatusRequestTimeout, task.ProblemSlowBody, "Send the whole body at once.")
	default:
		return newProblem(http.StatusBadRequest, task.ProblemUnreadableBody, "The body did not arrive whole.")
	}
}

// invalidMessage answers for an error of task.DecodeMessage.
func invalidMessage(err error) *problem {
	if f, ok := errors.AsType[*task.FieldError](err); ok {
		p := newProblem(http.StatusUnprocessableEntity, task.ProblemInvalidField, f.Error())
		p.Field, p.Value, p.Allowed = f.Field, f.Value, f.Allowed
		return p
	}
	return newProblem(http.StatusBadRequest, task.ProblemMalformedJSON, err.Error())
}

// taskProblem answers for a task that failed. In this lane the first attempt
// is the last one, so that a transient failure has exhausted them.
func taskProblem(err error) *problem {
	outcome := action.OutcomeOf(err)
	detail := task.Truncate(err.Error(), task.MaxErrorBytes)
	if outcome == action.OutcomeTimeout {
		return newProblem(http.StatusGatewayTimeout, task.ProblemTaskTimeout, detail)
	}
	p := newProblem(http.StatusInternalServerError, task.ProblemTaskFailed, detail)
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
