package workerclient

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/twinlane/twinlane/internal/task"
)

// maxAnswerBytes bounds the body of an answer: the output and the error of a
// result, which may grow when it is escaped, and its envelope.
const maxAnswerBytes = task.MaxOutputBytes + 8*task.MaxErrorBytes

// readAnswer reads the answer to the task with the given id.
func readAnswer(ctx context.Context, resp *http.Response, id string) (task.Result, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes+1))
	if err != nil {
		return task.Result{}, transportError(ctx, err)
	}
	if len(body) > maxAnswerBytes {
		return task.Result{}, fmt.Errorf("%w: status %d with more than %d bytes", ErrBadAnswer, resp.StatusCode, maxAnswerBytes)
	}
	if resp.StatusCode != http.StatusOK {
		return task.Result{}, problemError(resp.StatusCode, body)
	}
	var result task.Result
	if err := json.Unmarshal(body, &result); err != nil {
		return task.Result{}, fmt.Errorf("%w: %w", ErrBadAnswer, err)
	}
	if result.ID != id || result.Status != task.StatusCompleted {
		return task.Result{}, fmt.Errorf("%w: task %q is %q", ErrBadAnswer, task.Truncate(result.ID, task.MaxNameLen), result.Status)
	}
	return result, nil
}

func problemError(status int, body []byte) error {
	var p task.Problem
	if json.Unmarshal(body, &p) != nil {
		p = task.Problem{} // a worker's proxy need not speak of problems; the status is left
	}
	detail := task.Truncate(p.Detail, task.MaxErrorBytes)
	switch {
	case status == http.StatusInternalServerError && p.Is(task.ProblemTaskFailed):
		return &TaskError{Reason: p.Reason, Transient: p.Transient != nil && *p.Transient, Detail: detail}
	case status == http.StatusServiceUnavailable:
		return fmt.Errorf("%w: %s", ErrBusy, detail)
	case status == http.StatusGatewayTimeout:
		return fmt.Errorf("%w: %s", ErrTimeout, detail)
	default:
		return fmt.Errorf("%w: status %d: %s", ErrBadAnswer, status, detail)
	}
}
