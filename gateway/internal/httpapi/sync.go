package httpapi

import (
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/twinlane/twinlane/internal/task"
)

// sync has a worker do the task and answers with its result.
func (a *api) sync(c *gin.Context) error {
	room := a.newRoom()
	defer room.leave()
	r, err := a.readTask(c, room)
	if err != nil {
		return err
	}
	if r.task.ID, err = newSyncID(); err != nil {
		return err
	}
	result, err := a.worker.Execute(c.Request.Context(), r.task, r.headers)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, task.ContentType, result)
}

// newSyncID returns an id that is not signed: nobody keeps the outcome of a
// task of this lane, and so nobody is told that it is still to come.
func newSyncID() (string, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("make id: %w", err)
	}
	return id.String(), nil
}
