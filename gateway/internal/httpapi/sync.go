package httpapi

import (
	"net/http"

	"github.com/gin-gonic/gin"
)

// sync has a worker do the task and answers with its result.
func (a *api) sync(c *gin.Context) error {
	m, headers, err := a.takeIn(c)
	if err != nil {
		return err
	}
	result, err := a.worker.Execute(c.Request.Context(), m, headers)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, "application/json", result)
}
