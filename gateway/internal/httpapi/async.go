package httpapi

import (
	"context"
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/task"
)

// async takes a task in and answers when the broker has confirmed it: an answer
// of 202 is a promise. Where the client prefers to wait it holds the answer
// back for the result.
func (a *api) async(c *gin.Context) error {
	w := a.grantWait(c.Request.Header)
	defer w.end()
	id, err := a.takeIn(c, w)
	if err != nil {
		return err
	}
	w.watch(id) // one that was taken in before is not watched yet
	c.Header("Location", taskPath(id))
	w.apply(c)
	if result, ok := w.result(c.Request.Context()); ok {
		return writeJSON(c, http.StatusOK, task.ContentType, result)
	}
	return writeAccepted(c, http.StatusAccepted, id)
}

// takeIn reads a task, puts it into its queue and returns its id. What it holds
// of the request, its body, it gives back before it returns.
func (a *api) takeIn(c *gin.Context, w *wait) (string, error) {
	room := a.newRoom()
	defer room.leave()
	key, err := idempotencyKey(c.Request.Header)
	if err != nil {
		return "", err
	}
	r, err := a.readTask(c, room)
	if err != nil {
		return "", err
	}
	if key != "" {
		return a.takeInOnce(c.Request.Context(), &r, key, w)
	}
	id, err := a.ids.New()
	if err != nil {
		return "", err
	}
	if err := a.publish(c.Request.Context(), &r, id, w); err != nil {
		return "", err
	}
	a.outcomes.AcceptedHere(r.task.Run)
	return id, nil
}

// publish puts a task into its queue. It blocks until the broker has confirmed
// it, holds a place among those in flight until then, and has the wait see a
// result from before then on.
func (a *api) publish(ctx context.Context, r *incoming, id string, w *wait) error {
	leave, err := a.admitTask()
	if err != nil {
		return err
	}
	defer leave()
	r.task.ID = id
	body, err := r.task.Encode()
	if err != nil {
		return err
	}
	w.watch(id)
	message := rabbitmq.TaskMessage("", task.QueueTasks, id, r.headers, body, r.task.AcceptedAt)
	if err := a.publisher.Publish(ctx, message); err != nil {
		return &publishError{taskID: id, err: err}
	}
	return nil
}

// publishError says which task was not published, so that a client can ask for
// it where the outcome is unknown.
type publishError struct {
	taskID string
	err    error
}

func (e *publishError) Error() string { return fmt.Sprintf("publish task %s: %v", e.taskID, e.err) }

func (e *publishError) Unwrap() error { return e.err }
