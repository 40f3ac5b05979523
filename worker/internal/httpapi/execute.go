package httpapi

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"

	"github.com/twinlane/twinlane/internal/task"
	"github.com/twinlane/twinlane/internal/tracing"
	"github.com/twinlane/twinlane/worker/internal/action"
)

// execute runs the task in the body. Its place is taken before the body is
// read, so that refusing costs next to nothing.
func (h *Handler) execute(w http.ResponseWriter, r *http.Request, requestID string) (task.Result, *problem) {
	if mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mediaType != task.ContentType {
		return task.Result{}, unsupportedMediaType()
	}
	select {
	case h.places <- struct{}{}:
		defer func() { <-h.places }()
	default:
		return task.Result{}, workerBusy()
	}
	message, p := readMessage(w, r)
	if p != nil {
		return task.Result{}, p
	}
	t := action.Task{Message: message, Headers: task.Headers{Attempt: 1, RequestID: requestID}}
	t.Traceparent, t.Tracestate = tracing.FromRequest(r.Header)

	res, err := h.runner.Run(r.Context(), action.LaneSync, t)
	if err == nil {
		h.logger.DebugContext(r.Context(), "task completed", "task_id", t.ID, "request_id", requestID, "service_time", res.ServiceTime())
		return res, nil
	}
	if action.OutcomeOf(err) == action.OutcomeInterrupted {
		// Nobody is left to answer; without this the client would get an empty 200.
		panic(http.ErrAbortHandler)
	}
	h.logFailure(r.Context(), t, err)
	return task.Result{}, taskProblem(err)
}

func readMessage(w http.ResponseWriter, r *http.Request) (task.Message, *problem) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, task.MaxMessageBytes))
	if err != nil {
		return task.Message{}, missingBody(err)
	}
	m, err := task.DecodeMessage(body)
	if err != nil {
		return task.Message{}, invalidMessage(err)
	}
	return m, nil
}

// logFailure is the one log line of a failed task in this lane.
func (h *Handler) logFailure(ctx context.Context, t action.Task, err error) {
	outcome := action.OutcomeOf(err)
	attrs := []any{"task_id", t.ID, "request_id", t.RequestID, "outcome", string(outcome), "err", err.Error()}
	if outcome != action.OutcomePanic {
		h.logger.WarnContext(ctx, "task failed", attrs...)
		return
	}
	if failure, ok := errors.AsType[*action.Error](err); ok {
		attrs = append(attrs, "stack", failure.Stack)
	}
	h.logger.ErrorContext(ctx, "task failed", attrs...)
}
