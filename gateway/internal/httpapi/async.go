package httpapi

import (
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/task"
)

// accepted is the answer to a task that is in its queue.
type accepted struct {
	ID     string      `json:"id"`
	Status task.Status `json:"status"`
	Links  links       `json:"links"`
}

type links struct {
	Task string `json:"task"`
}

// pollAfter is the time, in seconds, after which a client may first ask for a
// task it has just handed in.
const pollAfter = "1"

// async publishes the task and answers when the broker has confirmed it: an
// answer of 202 is a promise.
func (a *api) async(c *gin.Context) error {
	m, headers, err := a.readTask(c)
	if err != nil {
		return err
	}
	body, err := m.Encode()
	if err != nil {
		return err
	}
	message := rabbitmq.TaskMessage("", task.QueueTasks, m.ID, headers, body, m.AcceptedAt)
	if err := a.publisher.Publish(c.Request.Context(), message); err != nil {
		return &publishError{taskID: m.ID, err: err}
	}
	location := "/v1/tasks/" + m.ID
	c.Header("Location", location)
	c.Header("Retry-After", pollAfter)
	return writeJSON(c, http.StatusAccepted, task.ContentType,
		accepted{ID: m.ID, Status: task.StatusAccepted, Links: links{Task: location}})
}

// publishError says which task was not published, so that a client can ask for
// it where the outcome is unknown.
type publishError struct {
	taskID string
	err    error
}

func (e *publishError) Error() string { return fmt.Sprintf("publish task %s: %v", e.taskID, e.err) }

func (e *publishError) Unwrap() error { return e.err }
