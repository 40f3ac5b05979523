package httpapi

import (
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/twinlane/twinlane/gateway/internal/outcomes"
	"github.com/twinlane/twinlane/gateway/internal/taskid"
	"github.com/twinlane/twinlane/internal/task"
)

// The answers to a question for a task that tell of no state.
var (
	errForeignTask   = errors.New("the id is none of a gateway with these signing keys")
	errUnknownTask   = errors.New("the task of an Idempotency-Key is not known")
	errTaskGone      = errors.New("the task is older than what is kept")
	errResultsBehind = errors.New("results not caught up with")
)

// pollAfter is the time, in seconds, after which a client may ask for a task
// again.
const pollAfter = "1"

// accepted is the answer to a task that has not ended.
type accepted struct {
	ID     string      `json:"id"`
	Status task.Status `json:"status"`
	Links  links       `json:"links"`
}

type links struct {
	Task string `json:"task"`
}

func taskPath(id string) string { return "/v1/tasks/" + id }

// task answers with the state of a task, and holds the answer back for the
// result where the client prefers that.
func (a *api) task(c *gin.Context) error {
	id := c.Param("id")
	issued, ok := a.ids.Check(id)
	if !ok {
		return errForeignTask
	}
	w := a.grantWait(c.Request.Header)
	defer w.end()
	w.watch(id)
	result, state := a.lookup(id, issued)
	if w != nil && (state == outcomes.Accepted || state == outcomes.Behind || state == outcomes.Unknown) {
		if late, ok := w.result(c.Request.Context()); ok {
			result, state = late, outcomes.Known
		} else {
			result, state = a.lookup(id, issued)
		}
	}
	switch state {
	case outcomes.Known:
		w.apply(c)
		return writeJSON(c, http.StatusOK, task.ContentType, result)
	case outcomes.Accepted:
		w.apply(c)
		return writeAccepted(c, http.StatusOK, id)
	case outcomes.Gone:
		return errTaskGone
	case outcomes.Unknown:
		return errUnknownTask
	default:
		return errResultsBehind
	}
}

// lookup says what is known of a task. One that is confirmed and whose
// acceptance is pending is accepted as far as this gateway can tell.
func (a *api) lookup(id string, issued taskid.ID) (task.Result, outcomes.State) {
	result, state := a.outcomes.Lookup(id, issued.IssuedAt)
	if state == outcomes.Unknown || state == outcomes.Behind {
		if _, pending := a.pending.get(id); pending {
			state = outcomes.Accepted
		}
	}
	return result, state
}

// writeAccepted answers that a task has not ended, with the status given.
func writeAccepted(c *gin.Context, status int, id string) error {
	c.Header("Retry-After", pollAfter)
	return writeJSON(c, status, task.ContentType,
		accepted{ID: id, Status: task.StatusAccepted, Links: links{Task: taskPath(id)}})
}
