package httpapi

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/twinlane/twinlane/internal/task"
)

// sync has a worker do the task and answers with its result.
func (a *api) sync(c *gin.Context) error {
	m, headers, err := a.readTask(c)
	if err != nil {
		return err
	}
	result, err := a.worker.Execute(c.Request.Context(), m, headers)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, task.ContentType, result)
}
